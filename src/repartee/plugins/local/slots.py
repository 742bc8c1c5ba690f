"""Values in what people say: numbers, durations, arithmetic, letters, choices.

Each reader takes the words of a span (lowercase, as speech recognition gives them, or typed with digits and signs) and
gives the value if the *whole* span is one, else ``None``. They are rules about English, not a model: what they don't
know they refuse, and the caller asks.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

__all__ = [
    "evaluate",
    "may_start_expression",
    "may_start_number",
    "read_boolean",
    "read_choice",
    "read_duration_s",
    "read_expression",
    "read_number",
    "words_of",
]

_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[a-zà-ÿ]+(?:['’][a-zà-ÿ]+)*|[-+*/×÷^%()=]")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)\b")


def words_of(text: str) -> list[str]:
    """The words of a text in lowercase, with numbers and the signs of arithmetic as words of their own."""
    text = text.lower().replace("’", "'")
    return _WORD.findall(_ORDINAL.sub(r"\1", text))


# -- numbers -------------------------------------------------------------------------------------------------------

_SMALL = "zero one two three four five six seven eight nine ten eleven twelve"
_TEENS = "thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_UNITS = {word: value for value, word in enumerate(f"{_SMALL} {_TEENS}".split())}
_UNITS |= {"oh": 0, "nought": 0, "dozen": 12}
_TENS = {
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fourty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_FRACTIONS = {"half": Fraction(1, 2), "quarter": Fraction(1, 4), "third": Fraction(1, 3)}
# What the recognizer writes for a number word when little context tells them apart.
_HOMOPHONES = {"to": "two", "too": "two", "for": "four", "fore": "four", "ate": "eight", "won": "one"}
_DIGITS = re.compile(r"\d{1,15}(?:,\d{3})*(?:\.\d{1,12})?")


def read_number(words: Sequence[str]) -> float | int | None:
    """A number in words or digits: ``["two", "hundred", "and", "five"]`` is 205; ``None`` if it isn't one.

    Decimals ("three point one four"), fractions ("two and a half"), a sign ("minus five") and digits strung together
    ("one two three" is 123) are understood. Below 10**15.
    """
    value = _fraction(list(words))
    if value is None:
        return None
    return int(value) if value.denominator == 1 else float(value)


def _fraction(words: list[str]) -> Fraction | None:
    if not words or len(words) > 24:
        return None
    if words[0] in ("minus", "negative", "-"):
        value = _fraction(words[1:])
        return -value if value is not None else None
    if len(words) >= 3 and words[-1] in _FRACTIONS and words[-2] in ("a", "one") and words[-3] == "and":
        value = _fraction(words[:-3])
        return value + _FRACTIONS[words[-1]] if value is not None else None
    if words[-1] in _FRACTIONS and words[:-1] in ([], ["a"], ["one"]):
        return _FRACTIONS[words[-1]]
    if words == ["three", "quarters"]:
        return Fraction(3, 4)
    if "point" in words:
        at = words.index("point")
        whole = _whole(words[:at]) if at else 0
        decimals = [_digit(word) for word in words[at + 1 :]]
        if whole is None or not decimals or None in decimals:
            return None
        return Fraction(f"{whole}.{''.join(str(digit) for digit in decimals)}")
    if len(words) == 1 and _DIGITS.fullmatch(words[0]):
        return Fraction(words[0].replace(",", ""))
    whole = _whole(words)
    return Fraction(whole) if whole is not None else None


def _digit(word: str) -> int | None:
    value = _UNITS.get(word)
    if value is None and word.isdecimal() and len(word) == 1:
        value = int(word)
    return value if value is not None and value < 10 else None


def _whole(words: list[str]) -> int | None:
    if (
        words
        and words[0] == "a"
        and len(words) > 1
        and (words[1] in _SCALES or words[1] in ("hundred", "dozen"))
    ):
        words = ["one", *words[1:]]
    if len(words) > 2 and all(_digit(word) is not None for word in words):
        return int("".join(str(_digit(word)) for word in words))
    total = group = 0
    last = 10**18  # the size of the last part of this group; each part must be smaller
    for at, word in enumerate(words):
        if word == "and":
            if at == 0 or at == len(words) - 1 or words[at - 1] not in (*_SCALES, "hundred"):
                return None
            continue
        if word == "hundred":
            if not 0 < group < 100:
                return None
            group, last = group * 100, 100
        elif word in _SCALES:
            if group == 0 or (total and total % (_SCALES[word] * 1000)):
                return None
            total, group, last = total + group * _SCALES[word], 0, 10**18
        elif word == "dozen" and 0 < group < 100:
            group, last = group * 12, 1
        else:
            part = _part(word)
            if part is None or part >= last or (last == 10 and part == 0):
                return None
            group += part
            last = 10 if part in _TENS.values() and word in _TENS else 100 if part % 100 == 0 and part else 1
    return total + group if words else None


def _part(word: str) -> int | None:
    if word in _UNITS:
        return _UNITS[word]
    if word in _TENS:
        return _TENS[word]
    return int(word) if word.isdecimal() and len(word) <= 15 else None


_LEADS = frozenset({"a", "an", "minus", "negative", "-", "half", "quarter", "third", "point", "couple"})


def may_start_number(word: str) -> bool:
    """Whether a number or a duration can begin with this word."""
    return word in _UNITS or word in _TENS or word in _LEADS or word[0].isdecimal()


def may_start_expression(word: str) -> bool:
    """Whether arithmetic can begin with this word."""
    return (
        may_start_number(word)
        or word in _HOMOPHONES
        or word in _VERBS
        or word in _NOUNS
        or word in ("the", "square", "root")
    )


# -- durations -----------------------------------------------------------------------------------------------------

_SECONDS = {
    "second": 1,
    "sec": 1,
    "minute": 60,
    "min": 60,
    "hour": 3600,
    "hr": 3600,
    "day": 86400,
    "week": 604800,
}
# Heard for a unit by PocketSphinx or typed in haste; "our" and "ours" only ever count behind a number.
_UNIT_ERRORS = {
    "minuet": 60,
    "minutes": 60,
    "menace": 60,
    "minit": 60,
    "min": 60,
    "our": 3600,
    "ours": 3600,
    "secant": 1,
    "seconds": 1,
    "s": 1,
    "m": 60,
    "h": 3600,
}


def _unit_s(word: str) -> int | None:
    word = word.removesuffix("'s")
    for form in (word, word.removesuffix("s")):
        if form in _SECONDS:
            return _SECONDS[form]
        if form in _UNIT_ERRORS:
            return _UNIT_ERRORS[form]
    if len(word) >= 5:
        near = difflib.get_close_matches(
            word, ("minutes", "seconds", "minute", "second", "hours"), n=1, cutoff=0.75
        )
        if near:
            return _SECONDS[near[0].removesuffix("s")]
    return None


def read_duration_s(words: Sequence[str]) -> float | int | None:
    """A length of time in seconds: "ten minutes", "half an hour", "an hour and a half", "two hours and five minutes".

    ``None`` if the span is anything else, or not above 0. At most 366 days.
    """
    total = Fraction(0)
    rest = list(words)
    if not rest:
        return None
    unit = 0
    while rest:
        if total and rest[0] == "and":
            rest = rest[1:]
        taken, part, unit = _duration_part(rest, unit)
        if not taken:
            return None
        total += part
        rest = rest[taken:]
    if not 0 < total <= 366 * 86400:
        return None
    return int(total) if total.denominator == 1 else float(total)


def _duration_part(words: list[str], last_unit: int) -> tuple[int, Fraction, int]:
    """How many words the first part takes (0: none fits), its seconds, and its unit."""
    if last_unit and words in (["a", "half"], ["half"]):  # "an hour and a half"
        return len(words), Fraction(last_unit, 2), last_unit
    if last_unit and words == ["a", "quarter"]:
        return 2, Fraction(last_unit, 4), last_unit
    for at in range(1, min(len(words), 12)):
        unit = _unit_s(words[at])
        if unit is None:
            continue
        amount = words[:at]
        if amount[-1] == "of" and len(amount) > 1:
            amount = amount[:-1]
        if len(amount) > 1 and amount[-1] in ("a", "an"):  # "half an hour", "a quarter of an hour"
            amount = amount[:-2] if amount[-2] == "of" else amount[:-1]
        if amount in (["a"], ["an"]):
            value: Fraction | None = Fraction(1)
        elif amount in (["a", "couple"], ["couple"]):
            value = Fraction(2)
        else:
            value = _fraction(amount) if amount[0] not in ("minus", "negative", "-") else None
        if value is not None:
            return at + 1, value * unit, unit
    return 0, Fraction(0), 0


# -- arithmetic ----------------------------------------------------------------------------------------------------

_OPERATORS: dict[tuple[str, ...], str] = {
    ("plus",): "+",
    ("+",): "+",
    ("added", "to"): "+",
    ("minus",): "-",
    ("-",): "-",
    ("take", "away"): "-",
    ("less",): "-",
    ("times",): "*",
    ("*",): "*",
    ("×",): "*",
    ("x",): "*",
    ("time",): "*",
    ("multiplied", "by"): "*",
    ("divided", "by"): "/",
    ("divide", "by"): "/",
    ("over",): "/",
    ("/",): "/",
    ("÷",): "/",
    ("to", "the", "power", "of"): "^",
    ("to", "the", "power"): "^",
    ("^",): "^",
    ("percent", "of"): "% of",
    ("per", "cent", "of"): "% of",
    ("%", "of"): "% of",
}
_POSTFIX = {("squared",): "^ 2", ("cubed",): "^ 3"}
# "add nineteen and thirty two": the verb, the word between the two, the operator, whether the two change places.
_VERBS: dict[str, tuple[tuple[str, ...], str, bool]] = {
    "add": (("and", "to"), "+", False),
    "subtract": (("from",), "-", True),
    "multiply": (("by", "and", "with"), "*", False),
    "divide": (("by",), "/", False),
}


_NOUNS = {"sum": "+", "product": "*", "difference": "-", "quotient": "/"}


def read_expression(words: Sequence[str]) -> str | None:
    """Arithmetic as a formula: ``["twenty", "three", "times", "four"]`` is ``"23 * 4"``; ``None`` if it isn't any.

    At least one operation. "for", "to", "ate" count as numbers where only a number can stand.
    """
    rest = [word for word in words if word not in ("=", "equals")]
    if len(rest) < 2 or len(rest) > 40:
        return None
    rest = rest[1:] if rest[0] == "the" else rest
    if rest[0] in _VERBS:
        return _verb_expression(rest)
    if rest[0] in _NOUNS and rest[1:2] in (["of"], ["between"]):
        return _pair(rest[2:], _NOUNS[rest[0]])
    if rest[:2] == ["half", "of"] or rest[:3] == ["a", "half", "of"]:
        number = read_number(rest[rest.index("of") + 1 :])
        return f"{number} / 2" if number is not None else None
    if "root" in rest[:3]:
        at = rest.index("root")
        inner = rest[at + 2 :] if rest[at + 1 : at + 2] == ["of"] else rest[at + 1 :]
        number = read_number(inner)
        known = rest[:at] in (["square"], [])
        return f"root {number}" if number is not None and number >= 0 and known else None
    return _infix(rest) or _pair(rest, "+")  # "what is eight and seven"


def _pair(words: list[str], operator: str) -> str | None:
    for at in range(1, len(words) - 1):
        left, right = _operand(words[:at]), _operand(words[at + 1 :])
        if words[at] == "and" and left is not None and right is not None and read_number(words) is None:
            return f"{left} {operator} {right}"
    return None


def _infix(words: list[str]) -> str | None:
    tokens: list[str] = []
    start = at = 0
    while at < len(words):
        operator, length = _operator_at(words, at)
        # A sign at the start of an operand ("minus five plus two") belongs to the number.
        if operator is None or (operator == "-" and at == start):
            at += 1
            continue
        number = _operand(words[start:at])
        if number is None:
            return None
        tokens += [number, operator]
        at += length
        start = at
        if operator.startswith("^ "):  # "squared" ends its operand; an operator must follow, or nothing
            tokens[-1] = "^"
            tokens.append(operator[2:])
            if at == len(words):
                return " ".join(tokens)
            operator, length = _operator_at(words, at)
            if operator is None or operator.startswith("^ "):
                return None
            tokens.append(operator)
            at += length
            start = at
    number = _operand(words[start:])
    if number is None or not tokens:
        return None
    return " ".join([*tokens, number])


def _operator_at(words: list[str], at: int) -> tuple[str | None, int]:
    for table in (_OPERATORS, _POSTFIX):
        for phrase, operator in table.items():
            if tuple(words[at : at + len(phrase)]) == phrase:
                return operator, len(phrase)
    return None, 0


def _operand(words: list[str]) -> str | None:
    number = read_number(words)
    if number is None:
        number = read_number([_HOMOPHONES.get(word, word) for word in words])
    if number is None or abs(number) >= 10**15:
        return None
    return str(number)


def _verb_expression(words: list[str]) -> str | None:
    betweens, operator, swapped = _VERBS[words[0]]
    for at in range(2, len(words) - 1):
        if words[at] not in betweens:
            continue
        left, right = _operand(words[1:at]), _operand(words[at + 1 :])
        if left is not None and right is not None:
            return f"{right} {operator} {left}" if swapped else f"{left} {operator} {right}"
    return None


_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?(?:e[+-]?\d+)?)|(% of|root|\*\*|[-+*/^()%×÷]))", re.IGNORECASE)
_EXPRESSION_CHARACTERS_MAX = 200


def evaluate(expression: str) -> float:
    """The value of a formula of numbers, ``+ - * / ^ % ( )``, ``% of`` and ``root``. No code is run.

    Raises:
        ValueError: it isn't one, or has no finite value; the text says why, in words for a listener.
    """
    if len(expression) > _EXPRESSION_CHARACTERS_MAX:
        raise ValueError("that is too long to work out")
    tokens: list[str] = []
    at = 0
    text = expression.replace(",", "").strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"{text[at : at + 10]!r} is not arithmetic")
        tokens.append((match[1] or match[2]).lower().replace("**", "^").replace("×", "*").replace("÷", "/"))
        at = match.end()
    value = _Formula(tokens).value()
    if not math.isfinite(value):
        raise ValueError("that number is too large")
    return value


class _Formula:
    """Precedence climbing over tokens. Its depth is bounded by the length of an expression."""

    _STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "% of": 2, "^": 4}  # noqa: RUF012 - a constant

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def value(self) -> float:
        value = self._binary(1)
        if self._at != len(self._tokens):
            raise ValueError(f"{self._tokens[self._at]!r} stands where an operator should")
        return value

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _binary(self, strength: int) -> float:
        left = self._unary()
        while True:
            operator = self._peek()
            level = self._STRENGTH.get(operator, 0)
            if level < strength:
                return left
            self._at += 1
            right = self._binary(level if operator == "^" else level + 1)  # powers group from the right
            left = _apply(operator, left, right)

    def _unary(self) -> float:
        token = self._peek()
        self._at += 1
        if token in ("-", "+"):
            value = self._binary(3)  # -2 ^ 2 is -(2 ^ 2)
            return -value if token == "-" else value
        if token == "root":
            value = self._binary(3)
            if value < 0:
                raise ValueError("a negative number has no square root here")
            return math.sqrt(value)
        if token == "(":
            value = self._binary(1)
            if self._peek() != ")":
                raise ValueError("a bracket is not closed")
            self._at += 1
        elif token and token[0].isdecimal():
            value = float(token)
        else:
            raise ValueError("a number is missing")
        if self._peek() == "%":
            self._at += 1
            return value / 100
        return value


def _apply(operator: str, left: float, right: float) -> float:
    try:
        match operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return left / right
            case "% of":
                return left / 100 * right
        power = left**right
    except ZeroDivisionError:
        raise ValueError("nothing can be divided by zero") from None
    except OverflowError:
        raise ValueError("that number is too large") from None
    if isinstance(power, complex):
        raise ValueError("a negative number has no such power here")
    return float(power)


# -- choices -------------------------------------------------------------------------------------------------------

_YES = {"yes", "yeah", "yep", "on", "true", "sure", "ok", "okay"}
_NO = {"no", "nope", "off", "false", "never", "not"}


def read_boolean(words: Sequence[str]) -> bool | None:
    """Yes or no, on or off."""
    said = set(words)
    if said & _NO:
        return False
    return True if said & _YES else None


def read_choice(words: Sequence[str], choices: Sequence[Any], *, cutoff: float = 0.8) -> Any:
    """The one of ``choices`` that the words name, allowing for small errors; ``None`` if none does.

    ``cutoff`` is the least similarity, 0 to 1 (difflib's ratio).
    """
    said = " ".join(words)
    best: tuple[float, Any] = (0.0, None)
    for choice in choices:
        if choice is None or isinstance(choice, bool):
            continue
        name = " ".join(words_of(str(choice).replace("_", " ").replace("-", " ")))
        if isinstance(choice, (int, float)) and read_number(words) == choice:
            return choice
        likeness = difflib.SequenceMatcher(None, said, name).ratio()
        if likeness > best[0]:
            best = (likeness, choice)
    return best[1] if best[0] >= cutoff else None
