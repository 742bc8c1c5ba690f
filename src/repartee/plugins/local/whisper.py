"""Whisper-family models through faster-whisper (CTranslate2), as an engine of `repartee.plugins.local.recognition`.

Whisper reads a whole stretch of up to 30 s at once, so interims are made by reading the open segment again and
again: whenever `INTERIM_MS` of new audio are there and nothing else waits. What two readings agree on is stable.
Model files are only ever read from where the user put them; nothing here opens a connection.
"""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from repartee.errors import MissingDependencyError, ModelFileError
from repartee.inference import WorkerPool
from repartee.plugins.local.recognition import RATE, Engine, RecognisedWord, Recogniser, Result

__all__ = ["WHISPER_NAMES", "WhisperEngine", "check_directory", "find_by_name", "require"]

WHISPER_NAMES: Final = frozenset(
    (
        *("tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en"),
        *("large", "large-v1", "large-v2", "large-v3", "large-v3-turbo", "turbo"),
        *("distil-small.en", "distil-medium.en", "distil-large-v2", "distil-large-v3", "distil-large-v3.5"),
    )
)
"""Models that are known by name: looked for among what faster-whisper has downloaded before."""

INTERIM_MS: Final = 800
"""New audio after which the open segment is read again."""
SEGMENT_MAX_MS: Final = 28_000
"""Whisper's window is 30 s; what was said before is read once and kept as words."""
NO_SPEECH_MAX: Final = 0.6
"""A piece that the model itself calls silence with more than this (and doubts the words of) has no words."""
LOG_PROBABILITY_MIN: Final = -1.0


def require() -> None:
    """Raise MissingDependencyError unless faster-whisper is installed."""
    if importlib.util.find_spec("faster_whisper") is None:
        raise MissingDependencyError("a Whisper model", package="faster-whisper", extra="whisper")


def find_by_name(name: str) -> Path:
    """Where faster-whisper has the model of that name, without a connection.

    Raises:
        MissingDependencyError: the package isn't installed.
        ModelFileError: it was never downloaded.
    """
    require()
    import faster_whisper

    try:
        return Path(faster_whisper.download_model(name, local_files_only=True))
    except Exception as error:  # huggingface_hub has a class of its own for each way of not being there
        raise ModelFileError(
            f"the Whisper model {name!r} is not on this machine: download it (`repartee models` says how) and give "
            "the path of its directory"
        ) from error


def check_directory(path: Path) -> None:
    """Raise ModelFileError unless ``path`` holds a whole Whisper model in CTranslate2's format."""
    if (
        any((path / name).is_file() for name in ("pytorch_model.bin", "model.safetensors"))
        and not (path / "model.bin").is_file()
    ):
        raise ModelFileError(
            f"{path} holds a model for Transformers: convert it with "
            "ct2-transformers-converter --model … --output_dir … --copy_files tokenizer.json preprocessor_config.json"
        )
    # Without tokenizer.json faster-whisper would go and fetch one from the network.
    for name in ("model.bin", "config.json", "tokenizer.json"):
        if not (path / name).is_file():
            raise ModelFileError(f"{path} is no faster-whisper model: it has no file {name!r}")
    if not any(path.glob("vocabulary.*")):
        raise ModelFileError(
            f"{path} is no faster-whisper model: it has no vocabulary.json or vocabulary.txt"
        )
    for name in ("config.json", "tokenizer.json"):
        try:
            json.loads((path / name).read_text("utf-8"))
        except ValueError as error:
            raise ModelFileError(f"{path / name} is damaged ({error}): get it again") from error
    # CTranslate2: binary version (32 bits), then the specification's name with its length (16 bits, and a NUL).
    with (path / "model.bin").open("rb") as file:
        head = file.read(64)
    kind = b""
    if len(head) >= 6:
        (length,) = struct.unpack_from("<H", head, 4)
        kind = head[6 : 6 + length].rstrip(b"\0")
    if kind != b"WhisperSpec":
        found = f"a {kind.decode()}" if kind.isalnum() and len(head) >= 6 + length else "no CTranslate2 model"
        raise ModelFileError(f"{path / 'model.bin'} is {found}, not a Whisper model for CTranslate2")


class WhisperEngine(Engine):
    """One model, its segments read one after another.

    Args:
        path: a directory that `check_directory` has accepted.
        language: spoken language, such as ``"en"``; None lets the model guess each time.
        threads: of the computation.
        compute_type: CTranslate2's: ``"int8"`` is fastest on a CPU.
    """

    def __init__(self, path: Path, *, language: str | None, threads: int, compute_type: str = "int8") -> None:
        self._path = path
        self._language = language
        self._threads = threads
        self._compute_type = compute_type
        self._pool = WorkerPool(name="repartee-whisper", threads=1)
        self._model: Any = None

    def pool(self) -> WorkerPool:
        """The one thread's."""
        return self._pool

    def begin(
        self, pool: WorkerPool, retry: Callable[[], object], memory: dict[str, Any]
    ) -> Recogniser | None:
        """Begin a segment; loads the model the first time."""
        self._load()
        return _Segment(self)

    def forget(self, pool: WorkerPool, retry: Callable[[], object]) -> None:
        """Nothing waits here."""

    async def prewarm(self) -> None:
        """Load the model and read a second of silence."""

        def load() -> None:
            self._load()
            self.read(bytes(2 * RATE), final=False)

        await self._pool.run(load)

    def read(self, pcm: bytes, *, final: bool) -> list[RecognisedWord]:
        """The words of up to 30 s of audio; with times only if ``final``."""
        import numpy as np

        audio = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
        segments, _ = self._model.transcribe(
            audio,
            language=self._language,
            beam_size=5 if final else 1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=not final,
            word_timestamps=final,
        )
        words: list[RecognisedWord] = []
        for segment in segments:
            if segment.no_speech_prob > NO_SPEECH_MAX and segment.avg_logprob < LOG_PROBABILITY_MIN:
                continue
            if segment.words:
                words += (
                    RecognisedWord(w.word.strip(), round(w.start * RATE), round(w.end * RATE), w.probability)
                    for w in segment.words
                )
            else:
                words += (RecognisedWord(text, 0, 0) for text in segment.text.split())
        return [word for word in words if word.text]

    def _load(self) -> None:
        if self._model is not None:
            return
        import faster_whisper

        try:
            self._model = faster_whisper.WhisperModel(
                str(self._path),
                device="cpu",
                compute_type=self._compute_type,
                cpu_threads=self._threads,
                local_files_only=True,
            )
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            raise ModelFileError(f"the Whisper model {self._path} can't be loaded: {error}") from error
        except Exception as error:
            # The tokenizers package raises plain Exception for a file that it can't read.
            if type(error) is not Exception:
                raise
            raise ModelFileError(f"the tokenizer in {self._path} can't be loaded: {error}") from error


class _Segment(Recogniser):
    def __init__(self, engine: WhisperEngine) -> None:
        self._engine = engine
        self._audio = bytearray()  # what has not been read for good
        self._offset = 0  # where that begins, in samples of the segment
        self._words: list[RecognisedWord] = []  # before that
        self._text = ""
        self._read_to = 0

    def feed(self, pcm: bytes, *, behind: bool) -> str:
        self._audio += pcm
        if len(self._audio) // 2 >= RATE * SEGMENT_MAX_MS // 1000:
            self._settle()
        elif not behind and (len(self._audio) - self._read_to) // 2 >= RATE * INTERIM_MS // 1000:
            self._read_to = len(self._audio)
            self._text = " ".join(w.text for w in self._engine.read(bytes(self._audio), final=False))
        return " ".join(filter(None, (*(w.text for w in self._words), self._text)))

    def finish(self) -> Result:
        self._settle()
        words = tuple(self._words)
        known = [w.confidence for w in words if w.confidence is not None]
        confidence = sum(known) / len(known) if known else None
        return Result(" ".join(w.text for w in words), confidence, words)

    def abort(self) -> None:
        self._audio.clear()

    def _settle(self) -> None:
        """Read what is open for good."""
        for word in self._engine.read(bytes(self._audio), final=True) if self._audio else ():
            self._words.append(
                RecognisedWord(
                    word.text,
                    self._offset + word.start_samples,
                    self._offset + min(word.end_samples, len(self._audio) // 2),
                    word.confidence,
                )
            )
        self._offset += len(self._audio) // 2
        self._audio.clear()
        self._read_to, self._text = 0, ""
