"""Text as a voice may get it, and where its words are.

Every change replaces one character by one, so an index in the changed text is the same index in the given one: that
is how word timings stay right whatever was neutralised.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator

from repartee.models import TimedWord

__all__ = ["MAX_CHARACTERS", "WordClock", "cut", "neutralise", "word_spans"]

MAX_CHARACTERS = 20_000
"""The longest text of one synthesis: some 20 minutes of speech."""

_TAG = re.compile(r"</?[A-Za-z!?][^<>]{0,300}>")
_FENCE = re.compile(r"^[ \t]*(#{1,6}[ \t]|[-*+][ \t]|>[ \t]|```\w*)", re.MULTILINE)
_EMPHASIS = re.compile(r"\*{2,}|_{2,}|~{2,}|(?<!\w)[*_`]+(?=\w)|(?<=\w)[*_`]+(?!\w)|`+")
# Scripts that put no space between words: each character is a word of its own.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}][^\w\s]*|[^\s{_UNSPACED}]+")
_SENTENCE_END = re.compile(r"(?<=[^\s.]{3}[.!?…])[\"'”’)\]]*\s+|\n+|(?<=[。！？])")
_CLAUSE_END = re.compile(r"[,;:—–]\s+")


def neutralise(text: str) -> str:
    """Markup and control characters replaced by spaces, one for one.

    Gone are: tags of SSML or HTML, Markdown's emphasis, headings and bullets, control characters (an engine's
    embedded commands among them), private and unassigned ones, and halves of surrogate pairs. What remains is said
    literally.
    """
    text = _TAG.sub(_blank, text)
    text = _FENCE.sub(_blank, text)
    text = _EMPHASIS.sub(_blank, text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_harmless, text))


def _blank(match: re.Match[str]) -> str:
    return " " * len(match.group())


def _harmless(char: str) -> str:
    if char.isprintable() or char == "\n":
        return char
    # Format characters shape words in some scripts (joiners); all others of category C or Z say nothing.
    return char if unicodedata.category(char) == "Cf" else " "


def word_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each word: a run without space, with the punctuation that is attached to it."""
    return [match.span() for match in _WORD.finditer(text)]


def cut(text: str, limit: int) -> Iterator[tuple[int, int]]:
    """Cut a long text into pieces of at most ``limit`` characters: between sentences, else clauses, else words.

    Yields:
        start and end of each piece; together they are the whole text.
    """
    start = 0
    while len(text) - start > limit:
        end = _best_cut(text, start, start + limit)
        yield start, end
        start = end
    if start < len(text):
        yield start, len(text)


def _best_cut(text: str, start: int, stop: int) -> int:
    # A piece much shorter than the limit would cost prosody for nothing, so a cut in the first third is no cut.
    least = start + (stop - start) // 3
    for pattern in (_SENTENCE_END, _CLAUSE_END):
        ends = [match.end() for match in pattern.finditer(text, start, stop) if match.end() > least]
        if ends:
            return ends[-1]
    for at in range(stop, least, -1):
        if text[at - 1].isspace():
            return at
    return stop


class WordClock:
    """Turns an engine's marks into one time for each word.

    An engine announces most words, some twice (a number has several), some not at all ("of the" comes as one). A
    word without a mark shares the time between its neighbours' marks by characters.

    Args:
        text: what is spoken, neutralised.
        spans: its words.
    """

    def __init__(self, text: str, spans: list[tuple[int, int]]) -> None:
        self._spans = [span for span in spans if any(char.isalnum() for char in text[span[0] : span[1]])]
        silent = [span for span in spans if span not in set(self._spans)]
        # A word of signs only ("&", an emoji) is a word if the engine says it, which only its mark tells.
        self._signs = {start: (start, end) for start, end in silent}
        self._starts = [start for start, _ in spans]
        self._all = spans
        self._next = 0  # of self._spans: the first word without a time
        self._mark: tuple[int, float] = (0, 0.0)  # the newest mark: text index of its word, time

    def mark(self, text_index: int, at_ms: float) -> list[TimedWord]:
        """A word was announced.

        Returns:
            the words whose time is known by that: those skipped before it, and itself.
        """
        found = bisect_right(self._starts, text_index) - 1
        if found < 0:
            return []
        start, end = self._all[found]
        if start in self._signs and start >= self._mark[0]:
            words = self._skipped(start, at_ms)
            del self._signs[start]
        elif self._next < len(self._spans) and start >= self._spans[self._next][0]:
            words = self._skipped(start, at_ms)
            self._next += 1
        else:
            return []  # a further mark of a word that has its time
        words.append(TimedWord(start, end, max(at_ms, self._mark[1])))
        self._mark = (start, words[-1].start_ms)
        return words

    def finish(self, end_ms: float) -> list[TimedWord]:
        """The audio ends: the words that were not announced."""
        return self._skipped(self._all[-1][1] if self._all else 0, end_ms)

    def _skipped(self, until: int, at_ms: float) -> list[TimedWord]:
        index, begun_ms = self._mark
        words = []
        while self._next < len(self._spans) and self._spans[self._next][0] < until:
            start, end = self._spans[self._next]
            share = (start - index) / max(1, until - index)
            words.append(TimedWord(start, end, begun_ms + max(0.0, at_ms - begun_ms) * share))
            self._next += 1
        return words
