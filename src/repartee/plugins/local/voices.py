"""What a local voice is, and eSpeak NG as one."""

from __future__ import annotations

import difflib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace

from repartee.errors import ConfigurationError
from repartee.models import TimedWord, TTSCapabilities
from repartee.plugins.local.espeak_ffi import EspeakSettings, WordMark, espeak
from repartee.plugins.local.speakable import WordClock, word_spans

__all__ = ["VARIANTS", "Emit", "EspeakVoice", "LocalVoice"]

Emit = Callable[[bytes, list[TimedWord]], bool]
"""Takes PCM16 and the words known by it (times from the piece's first sample); returns whether to go on."""


class LocalVoice(ABC):
    """An engine with a voice. `speak` and `load` run in one thread of ``executor``, never two at once."""

    name: str
    capabilities: TTSCapabilities
    executor: Executor
    piece_characters: int = 300
    """Longer text is spoken in pieces of at most that many characters, so one speaker can't hold up the others."""

    def with_speaker(self, name: str) -> LocalVoice:
        """The same engine with another of its voices (``capabilities.voices``).

        Raises:
            ConfigurationError: there is no such voice.
        """
        raise ConfigurationError(f"{self.name} has one voice, and none by the name {name!r}")

    @abstractmethod
    def load(self) -> None:
        """Get ready to speak. Idempotent."""

    @abstractmethod
    def speak(self, text: str, *, first: bool, last: bool, emit: Emit) -> None:
        """Speak a piece until its end, or until ``emit`` says to stop.

        Args:
            text: neutralised (`speakable.neutralise`).
            first: whether the synthesis begins with it, so silence before its first word is waste.
            last: whether the synthesis ends with it.
            emit: takes the audio as it comes.
        """

    def close(self) -> None:
        """Release what is not shared. Default: nothing."""


# One thread for the process, because the engine is one: jobs of all sessions are spoken in turn.
_espeak_thread: ThreadPoolExecutor | None = None
_espeak_thread_lock = threading.Lock()


def _thread() -> ThreadPoolExecutor:
    global _espeak_thread
    with _espeak_thread_lock:
        if _espeak_thread is None:
            _espeak_thread = ThreadPoolExecutor(1, thread_name_prefix="repartee-espeak")
        return _espeak_thread


VARIANTS: Mapping[str, str] = {
    "marin": "f2",
    "cedar": "m3",
    "alloy": "f4",
    "ash": "m7",
    "ballad": "m5",
    "coral": "f3",
    "echo": "m1",
    "sage": "f1",
    "shimmer": "f5",
    "verse": "m4",
    "fable": "shelby",
    "nova": "linda",
    "onyx": "m8",
}
"""For names that clients of OpenAI's API ask for: a variant of eSpeak NG that is clear, and no other name's. High ones
speak at 160 to 205 Hz, low ones at 80 to 105 Hz."""

_AUDIBLE = 32
"""-60 dBFS: below it is silence. The breath of an initial h lies above."""
_FIRST_MS = 60.0
"""The least that the first chunk holds: one block of the engine."""
_OPEN_PAUSE_MS = 40.0
"""Kept after a text that just ends."""
_LEAD_MS = 2.0
"""Kept of the silence before the first sound."""


class EspeakVoice(LocalVoice):
    """eSpeak NG.

    Args:
        settings: voice and manner. Other voices that it is asked for have the same manner.
        closing_pause_ms: the longest silence kept after a synthesis.

    Raises:
        ConfigurationError: there is no such voice.
        MissingDependencyError: the engine is not installed.
    """

    piece_characters = 120

    def __init__(self, settings: EspeakSettings, *, closing_pause_ms: float) -> None:
        engine = espeak()
        languages = engine.languages_of(settings.voice)
        if not languages:
            raise ConfigurationError(_no_such_voice(settings.voice, engine.voices()))
        self.name = f"espeak-ng {settings.voice}"
        self.capabilities = TTSCapabilities(engine.sample_rate, True, 1, languages, _names(settings.voice))
        self.executor = _thread()
        self._engine = engine
        self._settings = settings
        self._closing_pause_ms = closing_pause_ms

    def with_speaker(self, name: str) -> EspeakVoice:
        """Another voice: one of `VARIANTS`, which speaks this one's language, or any of the engine's own.

        Raises:
            ConfigurationError: there is no such voice.
        """
        variant = VARIANTS.get(name.lower())
        voice = name if variant is None else f"{self._settings.voice.partition('+')[0]}+{variant}"
        return EspeakVoice(replace(self._settings, voice=voice), closing_pause_ms=self._closing_pause_ms)

    def load(self) -> None:
        """Choose the voice, and import numpy, so the first words need not wait for either."""
        _last_audible(b"")
        self._engine.speak("a", self._settings, lambda block, marks: False)

    def speak(self, text: str, *, first: bool, last: bool, emit: Emit) -> None:
        pause_ms = self._pause_ms(text, last=last)
        piece = _Piece(text, self.capabilities.sample_rate, emit, trim_lead=first, pause_ms=pause_ms)
        self._engine.speak(text, self._settings, piece.take)
        piece.finish()

    def _pause_ms(self, text: str, *, last: bool) -> float | None:
        """The longest silence that is kept after a piece; ``None``: the engine's own."""
        # The engine pauses 300 ms after a sentence, 150 ms after a comma, and 300 ms after text that just ends,
        # though more of the same clause may follow that.
        if text.rstrip().rstrip("\"'”’)]")[-1:] in tuple(".,;:!?…。！？，—–"):
            return self._closing_pause_ms if last else None
        return min(_OPEN_PAUSE_MS, self._closing_pause_ms) if last else 0.0


class _Piece:
    """One piece on its way from the engine's blocks to chunks, each of which ends where a word begins.

    Audio waits here until the next word is announced, because only then it is known whether a word was skipped; the
    engine speaks a thousand times as fast as it is heard. Only the very first block doesn't wait: a word that was
    skipped in it is announced to begin just behind it.
    """

    def __init__(self, text: str, rate: int, emit: Emit, *, trim_lead: bool, pause_ms: float | None) -> None:
        self._rate = rate
        self._emit = emit
        self._pause_ms = pause_ms
        self._clock = WordClock(text, word_spans(text))
        self._waiting = bytearray()
        self._received = 0  # samples
        self._trimmed = 0
        self._trim_lead = trim_lead
        self._words: list[TimedWord] = []
        self._has_words = False
        self._passed = 0
        self._running = True

    def take(self, block: bytes, marks: list[WordMark]) -> bool:
        """The engine's callback."""
        self._waiting += block
        self._received += len(block) // 2
        newest = None
        for mark in marks:
            self._has_words = True
            self._words += self._clock.mark(mark.text_index, mark.sample * 1000 / self._rate)
            newest = mark.sample
        if self._trim_lead and self._has_words and len(self._waiting) * 1000 >= _FIRST_MS * 2 * self._rate:
            # Not the silence at its end, which may be in excess; and a little stays, to bring the last words.
            self._pass(2 * max(0, _last_audible(self._waiting) - 1 - self._rate // 1000))
        elif newest is not None:
            # Marks may come with the block before their audio.
            self._pass(
                2 * max(0, min(newest - (self._received - len(self._waiting) // 2), len(self._waiting) // 2))
            )
        return self._running

    def finish(self) -> None:
        """The engine is done: give the rest, without the excess of silence at its end."""
        if not self._running:
            return
        sound = _last_audible(self._waiting)
        begun = self._received - len(self._waiting) // 2
        self._words += self._clock.finish((begun + sound) * 1000 / self._rate)
        if self._pause_ms is not None:
            keep = sound + round(self._pause_ms * self._rate / 1000)
            del self._waiting[2 * keep :]
        # Signs that are not said still give a pause, and some voices breathe in it.
        if self._has_words or self._words or not self._trim_lead:
            self._pass(len(self._waiting))

    def _pass(self, size: int) -> None:
        audio = bytes(self._waiting[:size])
        del self._waiting[:size]
        if self._trim_lead:
            silent = _first_audible(audio)
            if silent is None:
                self._trimmed += len(audio) // 2
                return
            silent = max(0, silent - round(_LEAD_MS * self._rate / 1000))
            self._trimmed += silent
            audio = audio[2 * silent :]
            self._trim_lead = False
        if not audio:
            return  # words wait for the audio that they come with
        early, least = self._trimmed * 1000 / self._rate, self._passed * 1000 / self._rate
        words = [TimedWord(w.text_start, w.text_end, max(least, w.start_ms - early)) for w in self._words]
        self._words = []
        self._passed += len(audio) // 2
        self._running = self._emit(audio, words)


def _first_audible(audio: bytes) -> int | None:
    import numpy as np

    loud = np.abs(np.frombuffer(audio, "<i2").astype(np.int32)) > _AUDIBLE
    at = int(loud.argmax()) if len(loud) else 0
    return at if len(loud) and loud[at] else None


def _last_audible(audio: bytes | bytearray) -> int:
    """Samples up to and with the last audible one."""
    import numpy as np

    loud = np.flatnonzero(np.abs(np.frombuffer(bytes(audio), "<i2").astype(np.int32)) > _AUDIBLE)
    return int(loud[-1]) + 1 if len(loud) else 0


def _names(voice: str) -> tuple[str, ...]:
    """What an eSpeak voice, and those beside it, are called: its own name first."""
    variant = voice.partition("+")[2]
    own = next((name for name, each in VARIANTS.items() if each == variant), voice)
    return tuple(dict.fromkeys((own, *VARIANTS)))


def _no_such_voice(voice: str, known: list[str]) -> str:
    close = difflib.get_close_matches(voice.partition("+")[0].lower(), known, n=3)
    hint = (
        f"did you mean {' or '.join(map(repr, close))}?" if close else "for example 'en-us', 'en-gb+f3', 'de'"
    )
    return (
        f"eSpeak NG has no voice {voice!r}; {hint} "
        "(a Piper or Kokoro voice is given by the path of its .onnx file)"
    )
