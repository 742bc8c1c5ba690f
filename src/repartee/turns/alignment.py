"""`Alignment`: which words of a spoken item lie before which moment of its audio.

Theory of operation. Words arrive with their place in the audio where the voice gives one, and without where it does
not. Words with a place count as heard once playback has passed the *start of the next word* (or the end of the
audio): a word cut off in its middle was not heard. Words without a place of their own (a voice that gives only the
start of a clause, or nothing) are spread evenly, by characters, over the audio from the last place up to the next,
which is what speech does on average; while more audio may still come, its length is reckoned from the pace of ordinary
speech. `method` says which of the two a cut rests on, so nobody mistakes an estimate for a measurement.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal

__all__ = ["Alignment"]

# English is spoken at some 150 words of 6 characters a minute.
_MS_PER_CHARACTER = 1000.0 / 15.0
_MS_PER_CHARACTER_MIN = 40.0  # the fastest speech: 250 words a minute
# Chunks are summed in milliseconds and a position is divided once, so their ends differ in the last binary digit.
_ROUNDING_MS = 0.01


class Alignment:
    """The words of one item, against its audio."""

    __slots__ = ("_audio_ms", "_chars", "_closed", "_loose", "_starts_ms", "_texts", "_voiced_chars")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._starts_ms: list[float] = []
        self._loose = ""
        self._chars = 0
        self._voiced_chars = 0  # those that came before the newest audio
        self._audio_ms = 0.0
        self._closed = False

    # -- what is known -----------------------------------------------------------------------------------------

    def add_text(self, text: str, start_ms: float | None = None) -> None:
        """The item's next words, beginning at ``start_ms`` of its audio where that is known."""
        self._chars += len(text)
        if start_ms is None:
            self._loose += text
            return
        last_ms = self._starts_ms[-1] if self._starts_ms else 0.0
        start_ms = max(start_ms, last_ms)
        if self._loose and start_ms > last_ms:
            # Words without a place are spread from the last place up to this one.
            if self._texts:
                self._texts[-1] += self._loose
            else:
                self._texts.append(self._loose)
                self._starts_ms.append(0.0)
        else:
            text = self._loose + text  # no room between the two places: they share this one
        self._loose = ""
        self._texts.append(text)
        self._starts_ms.append(start_ms)

    def add_audio(self, duration_ms: float) -> None:
        """The item has that much more audio."""
        self._audio_ms += duration_ms
        self._voiced_chars = self._chars

    def cut_off(self) -> None:
        """It broke off, maybe with words whose audio never came.

        Those behind the newest audio, and what nobody could have said in that time, were not spoken. Words with a place
        of their own stay.
        """
        loose = self._loose[: max(0, len(self._loose) - (self._chars - self._voiced_chars))]
        room_ms = self._audio_ms - (self._starts_ms[-1] if self._starts_ms else 0.0)
        if len(loose) * _MS_PER_CHARACTER_MIN > room_ms + _ROUNDING_MS:
            loose = _whole_words(loose, max(0.0, room_ms) / (len(loose) * _MS_PER_CHARACTER_MIN))
        self._loose = loose
        self._closed = True

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
        """What a cut rests on: ``"word times"`` where each word has a place of its own."""
        loose = self._loose.strip() or any(len(text.split()) > 1 for text in self._texts)
        return "characters" if loose else "word times"

    # -- the cut -----------------------------------------------------------------------------------------------

    def text_at(self, position_ms: float) -> str:
        """The words heard when ``position_ms`` of the audio has been played, without trailing space."""
        if position_ms <= 0.0 or self._audio_ms <= 0.0:
            return ""
        if self._closed and position_ms >= self._audio_ms - _ROUNDING_MS:
            return self.text.rstrip()
        begun = bisect_right(self._starts_ms, position_ms)
        if begun < len(self._starts_ms):
            if begun == 0:
                return ""
            said, piece = "".join(self._texts[: begun - 1]), self._texts[begun - 1]
            from_ms, until_ms = self._starts_ms[begun - 1], self._starts_ms[begun]
        else:
            said = "".join(self._texts[:-1])
            piece = (self._texts[-1] if self._texts else "") + self._loose
            from_ms = self._starts_ms[-1] if self._starts_ms else 0.0
            until_ms = self._audio_ms
            if not self._closed:
                until_ms = max(until_ms, from_ms + len(piece) * _MS_PER_CHARACTER)
        share = (position_ms - from_ms) / (until_ms - from_ms) if until_ms > from_ms else 0.0
        return (said + _whole_words(piece, share)).rstrip()


def _whole_words(piece: str, share: float) -> str:
    """As many whole words of a piece as that share of its characters holds; of a single word: none."""
    # From the end of the share backwards: it is asked fifty times a second of a piece that may be long.
    at = min(len(piece.rstrip()) - 1, int(share * len(piece)))
    while at > 0 and not piece[at].isspace():
        at -= 1
    return piece[: max(0, at)]
