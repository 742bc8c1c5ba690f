"""How much an utterance is like an example: alignment of words, with slots.

This is matching, not reasoning. An example such as ``"set a timer for {duration_s}"`` is a sequence of words and
slots. An utterance is laid along it so that the weight of what agrees is greatest: equal words agree fully, similar
ones (a plural, a small recognition error, a word that sounds the same) in part, and a slot agrees with a span that its
reader accepts. The score is the agreeing share of both sides' weight, like Dice's coefficient: 1 when everything
agrees, 0 when nothing does. Rare words weigh more than common ones, politeness weighs next to nothing.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = ["Match", "Matcher", "Reader", "Template", "Utterance", "is_common", "likeness", "shed"]

_WORDS_MAX = 60
_TAIL_WORDS_MAX = 3  # what may follow a free slot at the end: "… please", "… for me", "… right now"
_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|[a-zà-ÿ]+(?:['’][a-zà-ÿ]+)*|['’]s\b|[-+*/×÷^%()=]", re.IGNORECASE)
_TEMPLATE_TOKEN = re.compile(r"\{(\w+)(?::(\w+))?\}|([^\s{}]+)")

_CONTRACTIONS = {
    "can't": ("can", "not"),
    "won't": ("will", "not"),
    "cannot": ("can", "not"),
    "i'm": ("i", "am"),
    "let's": ("let", "us"),
    "gonna": ("going", "to"),
    "wanna": ("want", "to"),
    "gimme": ("give", "me"),
    "whats": ("what", "is"),
}
_ENDINGS = {"n't": "not", "'re": "are", "'ve": "have", "'ll": "will", "'d": "would", "'m": "am"}


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_IS_AFTER = {"what", "where", "who", "that", "it", "how", "there", "here", "when", "he", "she", "why"}

# Said around a request without changing it.
_FILLERS = _set(
    "please um uh er ah oh hey ok okay so well now just kindly actually like can could would will you for me i "
    "want need to right thanks and then the a an do quickly sorry maybe hmm yeah yes"
)
# Carry grammar rather than the subject.
_COMMON = _set(
    "what is are was were be am it its this that of in on at to from with by my your our me us i you we he she they "
    "the a an some any there how much many do does did have has had can could would will shall should may might "
    "about not get give tell show make let go come got know find fetch look check up current when which who where "
    "or if as very really quite pretty bit lot little again also too still already always never ever only even more "
    "today tomorrow tonight yesterday soon later"
)
_QUESTION_WORDS = _set("what who where when why which how")
_PREFIXES = tuple(
    tuple(text.split())
    for text in (
        "can you", "could you", "would you", "will you", "i want you to", "i need you to", "i want to", "i need to",
        "i would like you to", "i would like to", "i would like", "i want", "please", "just", "now", "so", "hey",
        "okay", "ok", "um", "uh", "oh", "well", "then", "and", "yes", "yeah", "sorry", "go ahead and", "let us",
        "kindly", "quickly", "actually", "maybe", "thanks", "hello", "hi",
    )
)  # fmt: skip
_SOUNDS_ALIKE = (
    {"to", "too", "two"},
    {"for", "four", "fore"},
    {"our", "hour", "are"},
    {"weather", "whether"},
    {"right", "write"},
    {"by", "buy", "bye"},
    {"no", "know"},
    {"their", "there"},
    {"time", "thyme"},
    {"spell", "spill", "spelled"},
    {"spelled", "spelt"},
    {"hear", "here"},
    {"date", "day"},
    {"timer", "timers", "time"},
    {"repeat", "repeated"},
    {"one", "won"},
    {"eight", "ate"},
)


_ALIKE_SOUNDS: dict[str, frozenset[str]] = {
    word: frozenset().union(*(group for group in _SOUNDS_ALIKE if word in group))
    for group in _SOUNDS_ALIKE
    for word in group
}


@dataclass(frozen=True, slots=True)
class _Token:
    word: str
    start: int
    end: int


class Utterance:
    """What was said, as words with their places in the text."""

    __slots__ = ("_best", "_near", "_spans", "text", "tokens", "weighed", "words")

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[_Token] = []
        for found in _TOKEN.finditer(text):
            for word in _expand(found[0].lower().replace("’", "'")):
                self.tokens.append(_Token(word, found.start(), found.end()))
        del self.tokens[_WORDS_MAX:]
        self.words = [token.word for token in self.tokens]
        """Normalised: lowercase, contractions written out."""
        self.weighed: tuple[object, list[float]] | None = None
        """What leaving out each word costs, and the matcher that says so."""
        self._near: dict[str, list[int]] = {}
        for at, word in enumerate(self.words):
            for key in _near_keys(word):
                self._near.setdefault(key, []).append(at)
        self._spans: dict[Reader, dict[int, list[tuple[int, Any]]]] = {}
        self._best: dict[str, tuple[float, str, frozenset[int]]] = {}

    def best(self, word: str) -> tuple[float, str, frozenset[int]]:
        """The likeness of the token that is most like ``word``, that token, and the places of all that are like it."""
        known = self._best.get(word)
        if known is None:
            near = {at for key in _near_keys(word) for at in self._near.get(key, ())}
            alike = {at: each for at in near if (each := likeness(word, self.words[at]))}
            best = max(((each, self.words[at]) for at, each in alike.items()), default=(0.0, ""))
            known = self._best[word] = (*best, frozenset(alike))
        return known

    def slice(self, start: int, end: int) -> str:
        """The text as it was said, of the tokens ``start`` up to ``end``."""
        return self.text[self.tokens[start].start : self.tokens[end - 1].end]

    def spans(self, reader: Reader) -> dict[int, list[tuple[int, Any]]]:
        """By first token: each ``(end, value)`` that the reader accepts. Read once."""
        known = self._spans.get(reader)
        if known is None:
            known = self._spans[reader] = self._read(reader)
        return known

    def _read(self, reader: Reader) -> dict[int, list[tuple[int, Any]]]:
        found: dict[int, list[tuple[int, Any]]] = {}
        words = self.words
        for start in range(len(words)):
            if reader.starts is not None and not reader.starts(words[start]):
                continue
            for end in range(start + 1, min(len(words), start + reader.words_max) + 1):
                value = reader.read(words[start:end], self.slice(start, end))
                if value is not None:
                    found.setdefault(start, []).append((end, value))
        return found


def _expand(word: str) -> tuple[str, ...]:
    if word in _CONTRACTIONS:
        return _CONTRACTIONS[word]
    if word.endswith("'s") and len(word) > 2:
        return (word[:-2], "is" if word[:-2] in _IS_AFTER else "'s")
    for ending, full in _ENDINGS.items():
        if word.endswith(ending) and len(word) > len(ending):
            return (word.removesuffix(ending), full)
    return (word,)


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """How a slot is filled."""

    kind: str
    read: Callable[[Sequence[str], str], Any]
    """``read(words, text)`` gives the value of a whole span, or ``None``."""
    words_max: int = 8
    free: bool = False
    """Whether it takes any words; such a slot proves little."""
    starts: Callable[[str], bool] | None = None
    """Whether a span may begin with a word; ``None``: with any. Saves reading most of them."""


@dataclass(frozen=True, slots=True)
class Template:
    """An example: words, and ``(name, reader)`` where a slot is."""

    parts: tuple[str | tuple[str, Reader], ...]
    keys: frozenset[str]
    """Those of its words that have a subject; without any of them it does not match."""
    loose: bool = False
    """Made from a description instead of written by somebody: free slots shed their leading prepositions."""

    @classmethod
    def parse(
        cls, text: str, reader_of: Callable[[str, str | None], Reader], *, loose: bool = False
    ) -> Template:
        """Read ``"set a timer for {duration_s}"``; ``reader_of(name, kind)`` gives a slot's reader."""
        parts: list[str | tuple[str, Reader]] = []
        for found in _TEMPLATE_TOKEN.finditer(text):
            if found[1]:
                parts.append((found[1], reader_of(found[1], found[2])))
            else:
                parts.extend(Utterance(found[3]).words)
        keys = frozenset(part for part in parts if isinstance(part, str) and not is_common([part]))
        return cls(tuple(parts), keys, loose)

    @property
    def words(self) -> list[str]:
        """Its literal words."""
        return [part for part in self.parts if isinstance(part, str)]


@dataclass(frozen=True, slots=True)
class Match:
    """How well a template fits, and what stands in its slots."""

    score: float
    """0 to 1."""
    values: dict[str, Any]


def _near_keys(word: str) -> tuple[str, ...]:
    """Two words that are alike share at least one of these (see `likeness`)."""
    group = _ALIKE_SOUNDS.get(word)
    ends = (word[0], f"-{word[-3:]}") if len(word) >= 3 else (f"={word}",)
    return (*ends, *(f"={each}" for each in group)) if group else ends


@lru_cache(maxsize=16384)
def likeness(left: str, right: str) -> float:
    """How much two words agree: 1 the same, 0 not at all."""
    if left == right:
        return 1.0
    if right in _ALIKE_SOUNDS.get(left, ()):
        return 0.8
    # Errors keep the length nearly, and the beginning or the end.
    if min(len(left), len(right)) < 3 or (left[0] != right[0] and left[-3:] != right[-3:]):
        return 0.0
    if _stem(left) == _stem(right):
        return 0.95
    if min(len(left), len(right)) < 4 or abs(len(left) - len(right)) > 3:
        return 0.0
    ratio = difflib.SequenceMatcher(None, left, right).ratio()
    return 0.9 * ratio if ratio >= 0.78 else 0.0


@lru_cache(maxsize=4096)
def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word.removesuffix(ending)
    return word


def is_common(words: Iterable[str]) -> bool:
    """Whether none of these words has a subject."""
    return all(word in _COMMON or word in _FILLERS for word in words)


class Matcher:
    """Weights for words, from the templates of all the things to choose from.

    Args:
        documents: for each thing, its templates. A word that many things share tells little.
    """

    _SLOT_WEIGHT = 1.5
    _UNKNOWN_WEIGHT = 1.8  # a word that no example has: probably another subject
    _LITERAL_SHARE_MIN = 0.5  # slots alone prove nothing: so much of an example's own words must be there
    _FREE_SLOT_WEIGHT = 0.15  # per word that a free slot takes: unproven, so it only ever dilutes
    _FREE_SLOT_WEIGHT_MAX = 0.6
    _LEAD_FACTOR = 5.0

    def __init__(self, documents: Iterable[Iterable[Template]]) -> None:
        counts: dict[str, int] = {}
        total = 0
        for templates in documents:
            total += 1
            for word in {word for template in templates for word in template.words}:
                counts[word] = counts.get(word, 0) + 1
        self._weights = {
            word: 0.8 + 0.6 * math.log((1 + total) / (1 + count)) / math.log(1 + total)
            for word, count in counts.items()
        }

    def weight(self, word: str) -> float:
        """What a word counts."""
        if word in _QUESTION_WORDS:
            return 0.6
        if word in _COMMON:
            return 0.3
        if word in _FILLERS:
            return 0.05
        return self._weights.get(word, self._UNKNOWN_WEIGHT)

    def match(self, utterance: Utterance, template: Template, *, at_least: float = 0.0) -> Match:
        """Lay the utterance along the template so that the score is greatest.

        Args:
            utterance: what was said.
            template: the example.
            at_least: a score below this is of no interest; 0 may be given for it, which is quicker.
        """
        parts, tokens, keys = template.parts, utterance.words, template.keys
        if not tokens or not parts or (keys and not any(utterance.best(key)[0] for key in keys)):
            return Match(0.0, {})
        if utterance.weighed is None or utterance.weighed[0] is not self:
            utterance.weighed = (self, [self._skip(word) for word in tokens])
        skips = utterance.weighed[1]
        if self._bound(utterance, template, skips) < at_least:
            return Match(0.0, {})
        # Behind a verb, free text may be anything, so what stands before the verb must not be ("they say …").
        if _is_open_ended(parts) and not template.loose:
            asked = _prefix_length(tokens)
            leads = [0.05 if at < asked else self._LEAD_FACTOR * max(0.3, s) for at, s in enumerate(skips)]
        else:
            leads = skips
        rows = self._rows(template, utterance, skips, leads)
        best = rows[len(parts)][len(tokens)]
        agreed, against, _, literal = best
        own = sum(self.weight(word) for word in template.words)
        if literal < self._LITERAL_SHARE_MIN * 2 * own:
            return Match(0.0, {})
        score = agreed / (agreed + against) if agreed > 0 else 0.0
        values = dict(best[2])
        return Match(score, _shed_all(values, parts) if template.loose else values)

    def _dilution(self, taken: Sequence[str]) -> float:
        # A filler belongs to the text ("say the word"), unless it is the last one ("say cheese please").
        weights = (0.04 if word in _FILLERS else self._FREE_SLOT_WEIGHT for word in taken)
        last = self._FREE_SLOT_WEIGHT if taken[-1] == "please" else 0.0
        return min(sum(weights), self._FREE_SLOT_WEIGHT_MAX) + last

    def _skip(self, word: str) -> float:
        return 0.05 if word in _FILLERS else self.weight(word)

    def _bound(self, utterance: Utterance, template: Template, skips: Sequence[float]) -> float:
        """No way of laying out scores more: word order is left out of account, and what slots could take."""
        agreed = against = 0.0
        left_over: set[int] | None = set(range(len(skips)))
        for part in template.parts:
            if isinstance(part, str):
                weight = self.weight(part)
                alike, word, places = utterance.best(part)
                if left_over:
                    left_over -= places
                agreed += alike * (weight + self.weight(word) + 0.3) if alike else 0.0
                against += (1 - alike) * (weight if part not in _FILLERS else min(weight, 0.05))
                continue
            left_over = None  # a slot may take them
            if not part[1].free:
                if utterance.spans(part[1]):
                    agreed += 2 * self._SLOT_WEIGHT
                else:
                    against += self._SLOT_WEIGHT
        if left_over:
            against += sum(skips[at] for at in left_over)
        return agreed / (agreed + against) if agreed > 0 else 0.0

    def _rows(
        self,
        template: Template,
        utterance: Utterance,
        skips: Sequence[float],
        leads: Sequence[float],
    ) -> list[list[_Cell]]:
        """Dynamic programming: ``rows[i][j]`` is the best way to lay ``j`` words along ``i`` parts."""
        parts, tokens = template.parts, utterance.words
        rows = [[_NOTHING] * (len(tokens) + 1) for _ in range(len(parts) + 1)]
        rows[0][0] = (0.0, 0.0, (), 0.0)
        for i in range(len(parts) + 1):
            for j in range(len(tokens) + 1):
                here = rows[i][j]
                if here is _NOTHING:
                    continue
                if j < len(tokens):  # a word that the template does not have
                    _keep(rows[i], j + 1, _cost(here, skips[j] if here[3] else leads[j]))
                if i == len(parts):
                    continue
                part = parts[i]
                if isinstance(part, str):
                    weight = self.weight(part)
                    # Where any words may follow, the word that announces them must be there.
                    after = parts[i + 1] if i + 1 < len(parts) else ""
                    is_anchor = not isinstance(after, str) and after[1].free and not template.loose
                    if not is_anchor:
                        _keep(
                            rows[i + 1], j, _cost(here, weight if part not in _FILLERS else min(weight, 0.15))
                        )
                    if j < len(tokens) and (alike := likeness(part, tokens[j])):
                        both = weight + self.weight(tokens[j])
                        gained = (
                            here[0] + both * alike,
                            here[1] + both * (1 - alike),
                            here[2],
                            here[3] + both * alike,
                        )
                        _keep(rows[i + 1], j + 1, gained)
                    continue
                name, reader = part
                _keep(rows[i + 1], j, _cost(here, self._SLOT_WEIGHT))
                is_tail = reader.free and i == len(parts) - 1
                for end, value in utterance.spans(reader).get(j, ()):
                    if is_tail and end < len(tokens) - _TAIL_WORDS_MAX:
                        continue
                    if reader.free:
                        dilution = self._dilution(tokens[j:end])
                        cell = (here[0], here[1] + dilution, (*here[2], (name, value)), here[3])
                    else:
                        gain = 2 * self._SLOT_WEIGHT
                        cell = (here[0] + gain, here[1], (*here[2], (name, value)), here[3])
                    _keep(rows[i + 1], end, cell)
        return rows


_Cell = tuple[float, float, tuple[tuple[str, Any], ...], float]
"""What agrees, what does not, the slots' values, and how much of what agrees are words of the example."""
_NOTHING: _Cell = (-1.0, math.inf, (), 0.0)


def _cost(cell: _Cell, cost: float) -> _Cell:
    return (cell[0], cell[1] + cost, cell[2], cell[3])


def _keep(row: list[_Cell], at: int, cell: _Cell) -> None:
    old = row[at]
    if old is _NOTHING or cell[0] - cell[1] > old[0] - old[1]:
        row[at] = cell


def _prefix_length(tokens: Sequence[str]) -> int:
    """How many words at the beginning only say that something is asked for ("could you please …")."""
    at = 0
    while True:
        fitting = [len(each) for each in _PREFIXES if tuple(tokens[at : at + len(each)]) == each]
        if not fitting:
            return at
        at += max(fitting)


def _is_open_ended(parts: Sequence[str | tuple[str, Reader]]) -> bool:
    return isinstance(parts[0], str) and any(
        not isinstance(part, str) and part[1].kind == "text" for part in parts
    )


_LEADING = _set(
    "like in for at of to the a an about on from called named is are with by up my me us please and"
)
_TRAILING = _set("please now thanks today like for me right there")


def shed(text: str) -> str:
    """A free text without the small words around it ("in paris please" is "paris"); ``""`` if it has no others."""
    words = text.split()
    while words and words[0].lower() in _LEADING:
        words = words[1:]
    while words and words[-1].lower() in _TRAILING:
        words = words[:-1]
    return " ".join(words)


def _shed_all(values: dict[str, Any], parts: Sequence[str | tuple[str, Reader]]) -> dict[str, Any]:
    free = {part[0] for part in parts if not isinstance(part, str) and part[1].free}
    shorter = {n: shed(v) if n in free and isinstance(v, str) else v for n, v in values.items()}
    return {name: value for name, value in shorter.items() if value != ""}
