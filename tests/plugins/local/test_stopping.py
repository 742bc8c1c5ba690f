"""Where a small model's reply ends, and what of it is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.plugins.local.stopping import ReplyLimits, ReplyRules


def reply(pieces: list[str], **limits: int | bool) -> tuple[str, str]:
    """What is said of these pieces, and why it ended."""
    rules = ReplyRules(ReplyLimits(**limits))  # type: ignore[arg-type]
    said = "".join(rules.feed(piece) for piece in pieces) + rules.finish()
    assert said == rules.said
    return said, rules.reason


def words(text: str) -> list[str]:
    """As a model gives them: each word with the space before it, punctuation alone."""
    pieces: list[str] = []
    for number, word in enumerate(text.split(" ")):
        space = " " if number else ""
        core = word.rstrip(".!?,")
        pieces += [space + core, *word[len(core) :]]
    return [piece for piece in pieces if piece]


@pytest.mark.parametrize(
    "text, said, reason",
    [
        ("Paris is the capital. It is old. It is big.", "Paris is the capital. It is old.", "sentences"),
        ("Are you sure?! Yes! No!", "Are you sure?! Yes!", "sentences"),
        ("It costs 3.50 dollars. Or 4.", "It costs 3.50 dollars. Or 4.", ""),
        ("Ask Dr. Lee or Mr. Smith. Good luck. Bye.", "Ask Dr. Lee or Mr. Smith. Good luck.", "sentences"),
        ("Come at 7 p.m. today. Fine. Bye.", "Come at 7 p.m. today. Fine.", "sentences"),
        ("Assistant: Hello there.", "Hello there.", ""),
        ('A: "Hello there."', "Hello there.", ""),
        ("Answers vary a lot.", "Answers vary a lot.", ""),
        ("**Bold** and `code` 😀 ok.", "Bold and code  ok.", ""),
        ("One line.\nUser: another", "One line.", "newline"),
        ("no no no no no", "no no", "repetition"),
        ("la femme la femme la femme", "la femme la femme la", "repetition"),
    ],
)
def test_replies(text: str, said: str, reason: str) -> None:
    assert reply(words(text)) == (said, reason)


def test_a_long_sentence_ends_at_a_word() -> None:
    said, reason = reply(words("one two three four five six seven eight nine ten"), max_chars=20)
    assert said == "one two three four"
    assert reason == "length"


def test_newlines_may_be_allowed() -> None:
    assert reply(["one\ntwo"], stop_at_newline=False) == ("one two", "")


def test_nothing_is_said_after_the_end() -> None:
    rules = ReplyRules(ReplyLimits(max_sentences=1))
    assert rules.feed("Yes!") == "Yes!"
    assert rules.done
    assert rules.feed(" And more.") == ""
    assert rules.finish() == ""


def test_what_might_become_a_label_is_held_back_and_then_said() -> None:
    rules = ReplyRules(ReplyLimits())
    assert rules.feed("As") == ""
    assert rules.feed("k me.") == "Ask me."
    held = ReplyRules(ReplyLimits())
    assert held.feed("A") == ""
    assert held.finish() == "A"


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=40))
def test_it_keeps_to_its_limits_whatever_comes(pieces: list[str]) -> None:
    limits = ReplyLimits(max_chars=60)
    rules = ReplyRules(limits)
    said = "".join(rules.feed(piece) for piece in pieces) + rules.finish()
    assert len(said) <= limits.max_chars
    assert "\n" not in said
    assert not set(said) & set("*#`_|<>")
