"""When a small model's reply is long enough, and what of it can be spoken.

A model of this size often doesn't know when to stop: it plays the other part, lists, repeats itself. `ReplyRules` is
fed the pieces as they come and lets through what may be said. It is a pure machine: no clock, no task.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["STOP_STRINGS", "ReplyLimits", "ReplyRules"]

STOP_STRINGS = (
    "<|im_end|>", "<|im_start|>", "<|endoftext|>",
    "\nUser:", "\nuser:", "\nUSER:", "\nHuman:", "\nAssistant:", "\nSystem:", "User:", "Human:", "Caller:",
)  # fmt: skip
"""Where another role would begin to speak; llama.cpp ends there and holds back what might become one of them."""

_LABEL = re.compile(r"^\s*(?:(?:assistant|answer|response|a|agent|bot)\s*:\s*)?[\"'“”‘’*\s]*", re.IGNORECASE)
# Markdown and pictures can't be spoken.
_UNSPEAKABLE = re.compile('[*#`_~|<>\\[\\]{}\\\\"“”\u2190-\u2bff\U0001f000-\U0001faff\ufe0f\u200d]')
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|mr|mrs|ms|dr|st|prof|sr|jr|vs|etc|e\.g|i\.e|a\.m|p\.m|inc)\.$", re.IGNORECASE
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_LABEL_CHARS = 14  # the longest label and its quote: a first piece shorter than this may still be one


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    """How long a reply may get."""

    max_sentences: int = 2
    max_chars: int = 180
    stop_at_newline: bool = True
    max_repeats: int = 2
    """How often in a row the same one to six words may come."""


class ReplyRules:
    """Lets a reply through, piece by piece, until it is long enough; `done` says so, and `reason` why."""

    def __init__(self, limits: ReplyLimits) -> None:
        self._limits = limits
        self._raw = ""
        self._said = ""
        self.done = False
        self.reason = ""

    @property
    def said(self) -> str:
        """What was let through so far."""
        return self._said

    def feed(self, piece: str) -> str:
        """The next words that may be said; often ``piece`` as it is, or nothing."""
        if self.done:
            return ""
        self._raw += piece
        if not self._said:
            start = _LABEL.match(self._raw)
            rest = self._raw[start.end() :] if start else self._raw
            if not rest or (":" not in self._raw and _may_become_label(rest)):
                return ""
            self._raw = rest
            piece = rest
        return self._let_through(piece)

    def finish(self) -> str:
        """What was held back at the reply's very beginning, once it is clear that no more comes."""
        held, self.done = self._raw if not self._said and not self.done else "", True
        return self._let_out(_UNSPEAKABLE.sub("", held).strip())

    def _let_through(self, piece: str) -> str:
        line, newline, _ = piece.partition("\n")
        if newline and self._limits.stop_at_newline:
            piece = line
            self._end("newline")
        out = _UNSPEAKABLE.sub("", piece).replace("\n", " ")
        room = self._limits.max_chars - len(self._said)
        if len(out) > room:
            out = out[:room].rsplit(" ", 1)[0] if " " in out[:room] else ""
            self._end("length")
        out = self._cut_sentences(out)
        if self._repeats(self._said + out):
            self._end("repetition")
            return ""
        return self._let_out(out)

    def _let_out(self, out: str) -> str:
        if not self._said:
            out = out.lstrip()
        self._said += out
        return out

    def _end(self, reason: str) -> None:
        self.done, self.reason = True, self.reason or reason

    def _cut_sentences(self, out: str) -> str:
        text = self._said + out
        count = 0
        for at in range(len(text)):
            if not _ends_sentence(text, at):
                continue
            count += 1
            if count == self._limits.max_sentences:
                self._end("sentences")
                return text[len(self._said) : at + 1]
        return out

    def _repeats(self, text: str) -> bool:
        words = [word.lower() for word in _WORD.findall(text)]
        times = self._limits.max_repeats + 1
        for size in range(1, 7):
            tail = words[-size:]
            if len(words) >= size * times and words[-size * times :] == tail * times:
                return True
        return False


def _may_become_label(text: str) -> bool:
    return len(text) < _LABEL_CHARS and any(
        label.startswith(text.strip().lower())
        for label in ("assistant", "answer", "response", "agent", "bot")
    )


def _ends_sentence(text: str, at: int) -> bool:
    if text[at] in "!?":
        return at + 1 == len(text) or text[at + 1] not in "!?"
    if text[at] != ".":
        return False
    after = text[at + 1 : at + 2]
    if after and not after.isspace():
        return False  # 3.5, e.g., an ellipsis
    if not after and text[at - 1 : at].isdigit():
        return False  # "3." may become 3.5
    return _ABBREVIATION.search(text[: at + 1]) is None
