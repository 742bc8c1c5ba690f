"""Streaming speech recognition on this machine: PocketSphinx out of the box, a better model by path or name.

What a caller should expect of each:

===================  ===========  ================================================================================
``model=``           extra        for
===================  ===========  ================================================================================
(none)               ``local``    US English, any words, clean and close speech only; fine for trying things out
``grammar=``         ``local``    a closed set of phrases: nearly without errors, also in worse audio
sherpa-onnx model    ``sherpa``   real use: made for streaming
Whisper model        ``whisper``  real use: the best words, later interims, much more computation
===================  ===========  ================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from pathlib import Path

from repartee.errors import ConfigurationError, ModelError, ModelFileError
from repartee.inference import shared
from repartee.models import STT as AbstractSTT
from repartee.models import STTCapabilities, STTEvent, STTStream
from repartee.plugins.local import sherpa, sphinx, whisper
from repartee.plugins.local.recognition import RATE, Engine, RecognitionStream

__all__ = ["STT"]


class STT(AbstractSTT):
    """Local speech recognition; see `repartee.models.STT`.

    All `STT` objects of a process with the same arguments share one model. Everything that computes runs on a few
    threads, which end with the last stream.

    Args:
        model: a directory with a PocketSphinx acoustic model, a streaming sherpa-onnx model or a faster-whisper
            model (what it is shows in its files), or the name of a Whisper model (``"base.en"``) that
            faster-whisper has already downloaded. Default: PocketSphinx with the US English model of its package.
        grammar: JSGF text (``"#JSGF V1.0; grammar g; public <answer> = yes | no;"``): nothing else is heard.
            PocketSphinx only. Default: any words.
        vocabulary: words to add, with their pronunciation in the phones of the dictionary (``{"repartee": "R EH
            P AA R T IY"}``). PocketSphinx only.
        dictionary: another pronunciation dictionary. PocketSphinx only. Default: the model's, else the package's.
        language_model: another n-gram model (ARPA or binary). PocketSphinx only. Default as for ``dictionary``.
        language: what is spoken, for a multilingual Whisper model; None lets it guess. Default: ``"en"``.
        threads: segments that are decoded at once. Default: one for each CPU, at most 4.
        max_decoders: PocketSphinx segments that may be open at once, of about 20 MB each; further speakers wait,
            and fail once 15 s of their audio wait. Default: 32.

    Raises:
        MissingDependencyError: the model's package isn't installed.
        ModelFileError: a file is missing, truncated, or of another kind. What shows only when it is loaded makes
            `prewarm` raise the same, and is reported to the streams as a `ModelError`.
        ConfigurationError: parameters that contradict each other.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        grammar: str | None = None,
        vocabulary: Mapping[str, str] | None = None,
        dictionary: str | Path | None = None,
        language_model: str | Path | None = None,
        language: str | None = "en",
        threads: int | None = None,
        max_decoders: int = 32,
    ) -> None:
        for name, value in (("threads", threads), ("max_decoders", max_decoders)):
            if value is not None and value < 1:
                raise ConfigurationError(f"{name}={value} must be at least 1")
        if grammar is not None and language_model is not None:
            raise ConfigurationError("a grammar and a language model contradict each other: give one of them")
        if grammar is not None and not grammar.lstrip().startswith("#JSGF"):
            raise ModelFileError(
                "the grammar is no JSGF, which begins with '#JSGF V1.0;': "
                "#JSGF V1.0; grammar g; public <answer> = yes | no;"
            )
        count = threads if threads is not None else min(sphinx.SHARDS_MAX, os.cpu_count() or 1)
        key: Hashable
        make: Callable[[], Engine]
        kind, path = _kind_of(model)
        if kind == "sphinx":
            found = sphinx.find_model(path, dictionary, language_model)
            words = tuple(sorted((vocabulary or {}).items()))
            chosen = replace(found, grammar=grammar, words=words)
            key = chosen, count, max_decoders
            make = lambda: sphinx.SphinxEngine(chosen, threads=count, decoders_max=max_decoders)  # noqa: E731
        else:
            given = {
                "grammar": grammar,
                "vocabulary": vocabulary,
                "dictionary": dictionary,
                "language_model": language_model,
            }
            for name, option in given.items():
                if option is not None:
                    raise ConfigurationError(
                        f"{name}= works with PocketSphinx only, and {model} is for {kind}"
                    )
            key, make = _large_engine(kind, path, str(model), language, count)
        self.capabilities = STTCapabilities(
            interim=True,
            word_times=kind != "sherpa",
            sample_rate=RATE,
            languages=(language,) if language is not None else (),
        )
        self._engine = shared((kind, key), make)

    def stream(
        self,
        *,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> STTStream:
        """Begin recognition of one speaker; see `repartee.models.STT.stream`.

        At most 15 s of audio may wait to be decoded; past that the stream fails.
        """
        return RecognitionStream(self._engine, sample_rate, on_event, on_error)

    async def prewarm(self) -> None:
        """Load the model, off the event loop (PocketSphinx: about 0.3 s and 90 MB)."""
        await self._engine.prewarm()


def _kind_of(model: str | Path | None) -> tuple[str, Path | None]:
    """Which library a model is for, judged by its files; and where it is."""
    if model is None or str(model) == "en-us":
        return "sphinx", None
    if str(model) in whisper.WHISPER_NAMES and not Path(model).exists():
        return "whisper", None
    path = Path(model).expanduser()
    if path.is_file():
        raise ModelFileError(
            f"{path} is a file; a speech recognition model is a directory (of PocketSphinx, sherpa-onnx or "
            "faster-whisper)"
        )
    if not path.is_dir():
        names = ", ".join(sorted(whisper.WHISPER_NAMES))
        raise ModelFileError(
            f"the model {model} does not exist: give a directory, or one of the names {names}"
        )
    if (path / "mdef").is_file():
        return "sphinx", path
    if (path / "tokens.txt").is_file() or any(path.glob("*.onnx")):
        return "sherpa", path
    if any((path / name).is_file() for name in ("model.bin", "pytorch_model.bin", "model.safetensors")):
        return "whisper", path
    raise ModelFileError(
        f"{path} is no model: PocketSphinx's has a file mdef, sherpa-onnx's tokens.txt, faster-whisper's model.bin"
    )


def _large_engine(
    kind: str, path: Path | None, name: str, language: str | None, threads: int
) -> tuple[Hashable, Callable[[], Engine]]:
    """What identifies a sherpa-onnx or Whisper engine, and how to make it; its files have been looked at."""
    if kind == "sherpa":
        assert path is not None
        model = sherpa.find_model(path.resolve())
        return (model, threads), lambda: sherpa.SherpaEngine(model, threads=threads)
    whisper.require()
    directory = (path if path is not None else whisper.find_by_name(name)).resolve()
    whisper.check_directory(directory)
    key = directory, language, threads
    return key, lambda: whisper.WhisperEngine(directory, language=language, threads=threads)
