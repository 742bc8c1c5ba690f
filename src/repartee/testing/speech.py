"""Audio that says its own words: the code in which scripted voices speak and scripted recognisers hear.

Each sample of a spoken word tells which letter of which word it belongs to, so a test needs no voice and no
recogniser to find out what was said or heard, and when, to the sample. Whatever passes audio on unchanged (framing,
queues, pauses, truncation) passes the words on; so does a resampler, but for the exact ends of words.

**The code.** A word's UTF-8 bytes share its samples evenly. A sample's magnitude is ``1000 + 60 × byte + 30 × (index
of the byte % 2) + (n % 13 − 6)``, where ``n`` counts the utterance's samples: the first terms are the letter, the next
tells "oo" from one long "o", and the last, far below half a step, shows where samples were lost or repeated. The sign
alternates from word to word. A word's last sample is ±500. Silence is zeros, and noise is ±700, which says nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repartee.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["DecodedWord", "Speech", "SpeechDecoder", "TimedText", "decode", "encode", "find_gaps", "noise"]

_BASE = 1000
_STEP = 30
_END = 500
_HUSH = 8
_NOISE = 700
_RAMP = 13
_MIN_BYTE_MS = 2.0

# Kinds of sample that are no letter; letters are ±(1 + 2 × byte + parity).
_SILENT = 0
_ENDED = 10_000
_NOISY = 10_001


@dataclass(frozen=True, slots=True)
class TimedText:
    """A word, and when it is spoken, in seconds."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Speech:
    """Something said at a steady pace, from ``start_s`` on, in seconds of the audio that it is part of."""

    text: str
    start_s: float = 0.0
    words_per_s: float = 3.0

    @property
    def words(self) -> tuple[TimedText, ...]:
        """Its words one after another, without pauses."""
        return tuple(
            TimedText(
                word, self.start_s + index / self.words_per_s, self.start_s + (index + 1) / self.words_per_s
            )
            for index, word in enumerate(self.text.split())
        )

    @property
    def end_s(self) -> float:
        """Where the last word ends."""
        return self.start_s + len(self.text.split()) / self.words_per_s


@dataclass(frozen=True, slots=True)
class DecodedWord:
    """A word found in audio, with its place in samples since the audio began."""

    text: str
    start_samples: int
    end_samples: int
    complete: bool
    """Whether it was there to its very last sample. After resampling this can't be told, and is ``False``."""


def encode(words: Sequence[str], ends: Sequence[int]) -> bytes:
    """Speak: PCM16 mono in which word ``i`` lasts to sample ``ends[i]``, and the first begins at 0.

    Raises:
        UsageError: a word has fewer samples than its letters need (2 ms a byte, reckoned at 8 kHz).
    """
    import numpy as np

    out = np.zeros(ends[-1] if ends else 0, dtype=np.int32)
    start = 0
    for index, (word, end) in enumerate(zip(words, ends, strict=True)):
        letters = np.frombuffer(word.encode(), dtype=np.uint8).astype(np.int32)
        count = end - start
        if count < len(letters) * _MIN_BYTE_MS * 8 or not len(letters):
            raise UsageError(
                f"{word!r} can't be spoken in {count} samples: give it more time or make it shorter"
            )
        at = np.arange(count) * len(letters) // count
        magnitude = _BASE + 2 * _STEP * letters[at] + _STEP * (at % 2)
        magnitude += np.arange(start, end) % _RAMP - _RAMP // 2
        magnitude[-1] = _END
        out[start:end] = magnitude if index % 2 == 0 else -magnitude
        start = end
    return out.astype("<i2").tobytes()


def noise(samples: int) -> bytes:
    """Sound without words, PCM16 mono."""
    pair = _NOISE.to_bytes(2, "little", signed=True) + (-_NOISE).to_bytes(2, "little", signed=True)
    return (pair * (samples // 2 + 1))[: 2 * samples]


def is_silent(data: bytes) -> bool:
    """Whether all samples are 0, or as good as that: A-law has no 0, and gives 8 for it."""
    return data.count(0) == len(data) or not bool((abs(_samples(data)) > _HUSH).any())


def says_something(data: bytes) -> bool:
    """Whether any sample belongs to a word."""
    if is_silent(data):
        return False
    kinds = _kinds(_samples(data))
    return bool(((kinds != _SILENT) & (kinds != _NOISY)).any())


def level_dbfs(data: bytes) -> float:
    """RMS in dB relative to full scale; -96 for silence."""
    if is_silent(data):
        return -96.0
    import math

    mean_square = float((_samples(data).astype("float64") ** 2).mean())
    return max(-96.0, 10 * math.log10(mean_square / 32768.0**2))


class SpeechDecoder:
    """Finds the words in a stream of audio.

    Args:
        sample_rate: of the audio, in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.position_samples = 0
        """How much has been fed."""
        # A letter counts once it has lasted this long: a resampler's slopes cross others on the way.
        self._min_run = max(1, sample_rate // 1000)
        self._run_kind = _SILENT
        self._run_start = 0
        self._accepted = False
        self._letters = bytearray()
        self._sign = 0
        self._word_start = 0
        self._word_end = 0

    def feed(self, data: bytes) -> list[DecodedWord]:
        """Take PCM16 mono of any length; returns the words that ended in it, or are seen to have ended before."""
        found: list[DecodedWord] = []
        count = len(data) // 2
        if is_silent(data):
            if count:
                self._extend(_SILENT, self.position_samples, count, found)
        else:
            kinds = _kinds(_samples(data))
            import numpy as np

            edges = [0, *(np.flatnonzero(kinds[1:] != kinds[:-1]) + 1).tolist(), count]
            for start, end in itertools.pairwise(edges):
                self._extend(int(kinds[start]), self.position_samples + start, end - start, found)
        self.position_samples += count
        return found

    def finish(self) -> DecodedWord | None:
        """The word that has begun and not ended, as far as it goes. Decoding goes on with a new word."""
        word = self._close(complete=False) if self._letters else None
        self._accepted = False
        return word

    def _extend(self, kind: int, start: int, count: int, found: list[DecodedWord]) -> None:
        if kind != self._run_kind:
            self._run_kind, self._run_start, self._accepted = kind, start, False
        if kind == _ENDED:
            if self._letters:
                self._word_end = start + count
                found.append(self._close(complete=True))
            return
        end = start + count
        if not self._accepted:
            if end - self._run_start < self._min_run:
                return
            self._accepted = True
            self._begin_run(kind, found)
        if self._letters:
            self._word_end = end

    def _begin_run(self, kind: int, found: list[DecodedWord]) -> None:
        sign = 0 if kind in (_SILENT, _NOISY) else (1 if kind > 0 else -1)
        if self._letters and sign != self._sign:
            found.append(self._close(complete=False))
        if sign:
            if not self._letters:
                self._sign, self._word_start = sign, self._run_start
            self._letters.append((abs(kind) - 1) >> 1)

    def _close(self, *, complete: bool) -> DecodedWord:
        text = self._letters.decode("utf-8", "replace")
        self._letters.clear()
        return DecodedWord(text, self._word_start, self._word_end, complete)


def decode(data: bytes, sample_rate: int) -> list[DecodedWord]:
    """The words in a piece of audio, with a last one that is cut off."""
    decoder = SpeechDecoder(sample_rate)
    found = decoder.feed(data)
    last = decoder.finish()
    return [*found, last] if last is not None else found


def find_gaps(data: bytes) -> list[int]:
    """Where, within words, samples were lost or repeated: the first sample behind each such place.

    Multiples of 13 samples within one letter go unseen. Meaningless for audio that was resampled.
    """
    import numpy as np

    samples = _samples(data)
    kinds = _kinds(samples)
    spoken = (kinds != _SILENT) & (np.abs(kinds) < _ENDED)
    ramp = (np.abs(samples) - _BASE + _RAMP // 2) % _STEP
    step = (ramp[1:] - ramp[:-1]) % _RAMP
    return [int(at) + 1 for at in np.flatnonzero(spoken[1:] & spoken[:-1] & (step != 1))]


def _samples(data: bytes) -> npt.NDArray[np.int32]:
    import numpy as np

    return np.frombuffer(data, dtype="<i2").astype(np.int32)


def _kinds(samples: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    import numpy as np

    magnitude = np.abs(samples)
    letters = ((magnitude - _BASE + _STEP // 2) // _STEP + 1) * np.sign(samples)
    loudest = _BASE + 2 * _STEP * 255 + _STEP  # real sound may be louder than any letter
    within = (magnitude >= _BASE - _STEP // 2) & (magnitude < loudest + _STEP // 2)
    kinds = np.where(within, letters, _NOISY)
    kinds[magnitude == _END] = _ENDED
    kinds[magnitude <= _HUSH] = _SILENT
    return kinds
