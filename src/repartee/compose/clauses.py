"""`ClauseSplitter`: cuts streamed text into pieces that a voice can speak.

A voice sounds best with whole clauses, and the caller hears it soonest with the fewest words. So the first piece is
short, and later ones, for which there is time, are whole clauses. Pieces joined are the text, character for character.
"""

from __future__ import annotations

import re

__all__ = ["ClauseSplitter"]

# The end of a sentence or clause: closing marks may follow, and a space must (so that 3.5 and a.m. stay whole).
_END = re.compile(r"""[.!?…:;,—]["')\]]*\s+|[。！？；，、]\s*|\n+""")
_ABBREVIATION = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|st|vs|etc|no|e\.g|i\.e|a\.m|p\.m)|\b[a-z])\.\s+$", re.IGNORECASE
)
_SOFT = ",:;—，、；"


class ClauseSplitter:
    """Cuts one reply.

    Args:
        first_words: the first piece is given after so many words, even where no clause ends. Default 4.
        soft_words: a comma ends a piece only behind so many words. Default 4.
        max_words: no piece is longer. Default 30.
    """

    __slots__ = ("_buffer", "_first", "_first_words", "_max_words", "_soft_words")

    def __init__(self, *, first_words: int = 4, soft_words: int = 4, max_words: int = 30) -> None:
        self._first_words = first_words
        self._soft_words = soft_words
        self._max_words = max(first_words, max_words)
        self._buffer = ""
        self._first = True

    def push(self, text: str) -> list[str]:
        """The next text; the pieces that it completes."""
        self._buffer += text
        pieces = []
        while (end := self._cut()) is not None:
            pieces.append(self._buffer[:end])
            self._buffer = self._buffer[end:]
            self._first = False
        return pieces

    def flush(self) -> str:
        """What is left (perhaps ``""``), as the last piece. The splitter is as new again."""
        rest, self._buffer, self._first = self._buffer, "", True
        return rest

    def _cut(self) -> int | None:
        """Where the first piece of the buffer ends, if it is complete."""
        for match in _END.finditer(self._buffer):
            piece = self._buffer[: match.end()]
            if not piece.strip() or _ABBREVIATION.search(piece):
                continue
            soft = match.group().strip()[:1] in _SOFT and "\n" not in match.group()
            if soft and not self._first and len(piece.split()) < self._soft_words:
                continue
            return self._limited(match.end())
        return self._limited(None)

    def _limited(self, end: int | None) -> int | None:
        """``end``, or the end of the last word allowed, whichever is first."""
        limit = self._first_words if self._first else self._max_words
        # A word counts once the space behind it is there.
        words = list(re.finditer(r"\S+\s+", self._buffer))
        if len(words) > limit or (len(words) == limit and end is None):
            at = words[limit - 1].end()
            return at if end is None else min(at, end)
        return end
