"""`Alignment`: which words of a spoken item lie before which moment of its audio.

Theory of operation. Words arrive with their place in the audio where the voice gives one, and without where it does
not. Words with a place count as heard once playback has passed the *start of the next word* (or the end of the
audio): a word cut off in its middle was not heard. Words without a place are spread evenly, by characters, over the
audio that follows the last placed word, which is what speech does on average; while more audio may still come, its
length is reckoned from the pace of ordinary speech. `method` says which of the two a cut
rests on, so nobody mistakes an estimate for a measurement.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal

__all__ = ["Alignment"]

# English is spoken at some 150 words of 6 characters a minute.
_MS_PER_CHARACTER = 1000.0 / 15.0


class Alignment:
    """The words of one item, against its audio."""

    __slots__ = ("_audio_ms", "_closed", "_loose", "_starts_ms", "_texts")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._starts_ms: list[float] = []
        self._loose = ""
        self._audio_ms = 0.0
        self._closed = False

    # -- what is known -----------------------------------------------------------------------------------------

    def add_text(self, text: str, start_ms: float | None = None) -> None:
        """The item's next words, beginning at ``start_ms`` of its audio where that is known."""
        if start_ms is None:
            self._loose += text
            return
        if self._loose:
            # Words without a place before words with one: they share the place of these.
            text, self._loose = self._loose + text, ""
        if self._starts_ms:
            start_ms = max(start_ms, self._starts_ms[-1])
        self._texts.append(text)
        self._starts_ms.append(start_ms)

    def add_audio(self, duration_ms: float) -> None:
        """The item has that much more audio."""
        self._audio_ms += duration_ms

    def close(self) -> None:
        """Neither words nor audio will be added."""
        self._closed = True

    @property
    def text(self) -> str:
        """All its words."""
        return "".join(self._texts) + self._loose

    @property
    def audio_ms(self) -> float:
        """All its audio."""
        return self._audio_ms

    @property
    def method(self) -> Literal["word times", "characters"]:
        """What a cut rests on."""
        return "characters" if self._loose and self._loose.strip() else "word times"

    # -- the cut -----------------------------------------------------------------------------------------------

    def text_at(self, position_ms: float) -> str:
        """The words heard when ``position_ms`` of the audio has been played, without trailing space."""
        if position_ms <= 0.0 or self._audio_ms <= 0.0:
            return ""
        if self._closed and position_ms >= self._audio_ms:
            return self.text.rstrip()
        begun = bisect_right(self._starts_ms, position_ms)
        if begun < len(self._starts_ms) or not self._loose.strip():
            return "".join(self._texts[: max(0, begun - 1)]).rstrip()
        return self._spread(position_ms).rstrip()

    def _spread(self, position_ms: float) -> str:
        """The cut among words without a place: as many whole words as the characters played would hold."""
        from_ms = self._starts_ms[-1] if self._starts_ms else 0.0
        tail = (self._texts[-1] if self._texts else "") + self._loose
        length_ms = self._audio_ms - from_ms
        if not self._closed:
            length_ms = max(length_ms, len(tail) * _MS_PER_CHARACTER)
        played = len(tail) * (position_ms - from_ms) / length_ms if length_ms > 0.0 else 0.0
        end = 0
        for at, char in enumerate(tail):
            if char.isspace() and at <= played:
                end = at
        return "".join(self._texts[:-1]) + tail[:end]
