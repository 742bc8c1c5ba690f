"""A Kokoro voice: a model's ``.onnx`` file and its file of voices, spoken by kokoro-onnx (extra ``kokoro``).

Each sentence is one run of the model; a synthesis that is closed ends after the run under way. Words get times where
the model tells durations.
"""

from __future__ import annotations

import copy
import importlib.util
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from repartee.errors import ConfigurationError, MissingDependencyError, ModelFileError
from repartee.models import TimedWord, TTSCapabilities
from repartee.plugins.local.piper import sentences, words_of_groups
from repartee.plugins.local.voices import Emit, LocalVoice

__all__ = ["KokoroVoice", "find_voices"]

_SAMPLE_RATE = 24_000
_DEFAULT_SPEAKER = "af_heart"
# A voice's first letter is its language (VOICES.md of the model).
_LANGUAGES = {"a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "p": "pt-br"}


def find_voices(model: Path) -> Path | None:
    """The file of voices beside a model."""
    if model.with_name(model.name + ".json").exists():
        return None  # a Piper voice, whatever else lies there
    found = sorted(model.parent.glob("voices*.bin")) + sorted(model.parent.glob("voices*.npz"))
    return found[-1] if found else None


@dataclass(slots=True)
class _Engine:
    """What all voices of a file share."""

    engine: Any = None
    timed: bool = False


class KokoroVoice(LocalVoice):
    """A Kokoro voice.

    Args:
        path: of the model.
        voices: the file of voices. Default: the one beside the model.
        speaker: a voice in that file. Default: ``"af_heart"``, else its first.
        speed: 0.5 to 2; 1 is the voice's own.
        volume: 1 is the voice's own.

    Raises:
        ModelFileError, ConfigurationError, MissingDependencyError: as `repartee.plugins.local.TTS`.
    """

    def __init__(
        self, path: Path, voices: Path | None, *, speaker: str | int | None, speed: float, volume: float
    ) -> None:
        if not 0.5 <= speed <= 2.0:
            raise ConfigurationError(
                f"a Kokoro voice speaks at 85 to 340 words a minute, not {round(speed * 170)}"
            )
        voices = voices or find_voices(path)
        if voices is None:
            raise ModelFileError(f"the Kokoro model {path} needs its file of voices: give voices=...")
        self._names = _names_in(voices)
        self._voices = voices
        self._speak_as(speaker)
        if importlib.util.find_spec("kokoro_onnx") is None:
            raise MissingDependencyError("a Kokoro voice", package="kokoro-onnx", extra="kokoro")
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="repartee-kokoro")
        self._path = path
        self._speed, self._volume = speed, volume
        self._shared = _Engine()

    def _speak_as(self, speaker: str | int | None) -> None:
        self._speaker = _choose(self._names, speaker, self._voices)
        self._language = _LANGUAGES.get(self._speaker[:1])
        if self._language is None:
            raise ConfigurationError(
                f"the voice {self._speaker!r} speaks a language that kokoro-onnx can't read; choose one whose name "
                f"begins with {', '.join(_LANGUAGES)}"
            )
        self.name = f"kokoro {self._speaker}"
        readable = sorted(name for name in self._names if name[:1] in _LANGUAGES)
        voices = tuple(dict.fromkeys((self._speaker, *readable)))
        self.capabilities = TTSCapabilities(_SAMPLE_RATE, False, 3, (self._language,), voices)

    def with_speaker(self, name: str) -> KokoroVoice:
        """Another voice in the same file, by the same engine.

        Raises:
            ConfigurationError: it is not there, or speaks a language that can't be read.
        """
        other = copy.copy(self)
        other._speak_as(name)
        return other

    def load(self) -> None:
        shared = self._shared
        if shared.engine is None:
            self._load(shared)
        self.capabilities = replace(self.capabilities, word_times=shared.timed)

    def _load(self, shared: _Engine) -> None:
        from kokoro_onnx import Kokoro

        try:
            engine = Kokoro(str(self._path), str(self._voices))
            engine.get_voice_style(self._speaker)
        except Exception as error:  # whatever the runtime raises for a broken file
            raise ModelFileError(
                f"the Kokoro model {self._path} with {self._voices.name} can't be loaded, so one of them is truncated "
                f"or of another kind: {error}"
            ) from error
        shared.timed = bool(getattr(engine, "has_timings", False)) and hasattr(engine, "create_timed")
        shared.engine = engine

    def speak(self, text: str, *, first: bool, last: bool, emit: Emit) -> None:
        import numpy as np

        self.load()
        engine = self._shared.engine
        given_ms = 0.0
        for start, end in sentences(text):
            sentence = text[start:end]
            arguments = {"voice": self._speaker, "speed": self._speed, "lang": self._language}
            words: list[TimedWord] = []
            if self.capabilities.word_times:
                audio, rate, timings = engine.create_timed(sentence.strip(), **arguments)
                groups = [(timing.phoneme, timing.start * 1000) for timing in timings]
                words = words_of_groups(sentence, groups)
            else:
                audio, rate = engine.create(sentence.strip(), **arguments)
            scaled = np.clip(np.asarray(audio, dtype=np.float32) * (self._volume * 32767), -32768, 32767)
            data = scaled.astype("<i2").tobytes()
            shifted = [
                TimedWord(w.text_start + start, w.text_end + start, w.start_ms + given_ms) for w in words
            ]
            given_ms += len(data) / 2 / rate * 1000
            if data and not emit(data, shifted):
                return

    def close(self) -> None:
        self.executor.shutdown(wait=False, cancel_futures=True)


def _names_in(voices: Path) -> list[str]:
    try:
        with zipfile.ZipFile(voices) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except OSError as error:
        raise ModelFileError(
            f"Kokoro's file of voices {voices} can't be read: {error.strerror or error}"
        ) from None
    except zipfile.BadZipFile:
        raise ModelFileError(
            f"{voices} is truncated or no file of Kokoro voices (voices-v1.0.bin is one); get it again"
        ) from None
    if not names:
        raise ModelFileError(f"{voices} holds no voice")
    return names


def _choose(names: list[str], speaker: str | int | None, voices: Path) -> str:
    if speaker is None:
        return _DEFAULT_SPEAKER if _DEFAULT_SPEAKER in names else names[0]
    if speaker not in names:
        some = ", ".join(sorted(names)[:12])
        raise ConfigurationError(f"{voices.name} has no voice {speaker!r}; it has {some}, …")
    return str(speaker)
