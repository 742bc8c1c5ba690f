"""What the words alone say about whether an English turn is over; beside a language model, which misses some of it.

A language model has read little text with "um" in it, and digits have no grammar. The rules here know about both, and
about words that hardly ever end a turn, and answers that are complete as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Features", "features"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILLERS = _words("um uh uhm umm uhh hmm hm er erm ehm mm like")

# Words that ask for another one. Not those that often end a turn by themselves ("turn it on", "she said so").
_OPEN = _words(
    """a an the my your our their its every each another some
    and or but because if although unless until since whether than that
    of from to into onto at with without during against toward towards between for by
    i i'm i've i'd i'll you're we're we've we'd we'll they're they've they'll he's she's it's there's
    is am was were be been has would should could
    very really quite around almost nearly about maybe probably"""
)

_COMPLETE_ANSWERS = frozenset(
    answer.strip()
    for line in """
    yes|yeah|yep|yup|sure|okay|ok|no|nope|nah|right|correct|exactly|absolutely|definitely|certainly|of course
    yes please|yes sir|yes ma'am|yes it is|yes i do|yes i am|yes i did|yes it does|yeah sure|sure thing|that's fine
    no thanks|no thank you|no i don't|no i'm not|no i didn't|not yet|not really|never|never mind|nothing|not at all
    thanks|thank you|thank you very much|okay thanks|okay thank you|that's right|that's it|that's all|that's correct
    i think so|i don't think so|i guess so|i don't know|i'm not sure|perhaps|go ahead|sounds good|perfect|great
    bye|goodbye|stop|wait|help|what|why|hello|hi|pardon|sorry|please do|both|neither|either one|whatever
    """.splitlines()
    for answer in line.split("|")
    if answer.strip()
)

_DIGITS = _words("zero oh o one two three four five six seven eight nine")
_TENS = _words(
    """ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
    twenty thirty forty fifty sixty seventy eighty ninety"""
)
_ORDER = re.compile(r"\b(first|last) (two|three|four|five|six|eight|ten) (digits|numbers|letters|characters)")
_COUNTS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "ten": 10}

# What a question asks for, and how many digits or letters it takes at least (and when it is surely whole). From how
# such numbers are made: national phone numbers have 7 to 11 digits (ITU-T E.164), card numbers 13 to 19
# (ISO/IEC 7812), one-time codes 4 to 8, references 5 to 8.
_ASKED = (
    (re.compile(r"\b(card number|credit card number|iban)\b"), 13, 16),
    (re.compile(r"\b(phone|mobile|telephone|call you|callback)\b"), 7, 10),
    (re.compile(r"\b(zip|postal|post ?code)\b"), 5, 5),
    (re.compile(r"\b(security code|pin|cvc|passcode)\b"), 3, 4),
    (re.compile(r"\b(code|meter)\b"), 4, 6),
    (re.compile(r"\b(number|reference|tracking|policy|id|plate|serial)\b"), 5, 7),
)
_SPELL = re.compile(r"\bspell\b")


@dataclass(frozen=True, slots=True)
class Features:
    """Each is 0 or 1, but for ``digits_missing`` (0 to 1)."""

    filler: float = 0.0
    """The last word is a hesitation."""
    open_word: float = 0.0
    """The last word asks for another."""
    answer: float = 0.0
    """The whole is an answer that needs nothing more."""
    digits_missing: float = 0.0
    """How much is still to come of the number that was asked for, as a share of its least length."""
    digits_whole: float = 0.0
    """The number that was asked for has its length."""
    spelling: float = 0.0
    """Single letters or digits at the end, without knowing how many there will be."""


def features(agent: str, text: str) -> Features:
    """Look at the caller's words, lower case and without punctuation, and at what the agent said before them."""
    words = text.split()
    if not words:
        return Features()
    spelled = _spelled(words)
    asked = _asked_length(agent.lower()) if spelled else None
    missing = whole = spelling = 0.0
    if asked is not None:
        least, full = asked
        missing = max(0.0, 1 - spelled / least)
        whole = float(spelled >= full)
    elif spelled >= 2 or (spelled and _SPELL.search(agent.lower())):
        spelling = 1.0
    return Features(
        filler=float(words[-1] in _FILLERS),
        open_word=float(words[-1] in _OPEN and spelled < 2),
        answer=float(text in _COMPLETE_ANSWERS),
        digits_missing=missing,
        digits_whole=whole,
        spelling=spelling,
    )


def _spelled(words: list[str]) -> int:
    """How many digits and single letters the text ends with, as spoken: "twenty one" is two, "double five" too."""
    count = 0
    for at in range(len(words) - 1, -1, -1):
        word, before = words[at], words[at - 1] if at else ""
        if word.isdigit():
            count += len(word)
        elif word in _DIGITS or _is_letter(word, before, count):
            count += 1
            count += {"double": 1, "triple": 2}.get(before, 0)
        elif word in _TENS:
            count += 1 if count and words[at + 1] in _DIGITS and word.endswith("ty") else 2
        elif word not in ("double", "triple", "dash", "hyphen", "plus"):
            break
    return count


def _is_letter(word: str, before: str, count: int) -> bool:
    # "a" and "i" are words of their own, unless other letters or digits are beside them.
    return len(word) == 1 and word.isalpha() and (word not in "ai" or bool(count) or len(before) == 1)


def _asked_length(agent: str) -> tuple[int, int] | None:
    order = _ORDER.search(agent)
    if order is not None:
        length = _COUNTS[order[2]]
        return length, length
    return next(((least, full) for pattern, least, full in _ASKED if pattern.search(agent)), None)
