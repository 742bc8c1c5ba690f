"""What the words alone say about the end of a turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.plugins.turn_detector.features import Features, features

PHONE = "What is your phone number?"


@pytest.mark.parametrize(
    "agent, text, expected",
    [
        ("", "", Features()),
        ("", "turn on the lights", Features()),
        ("", "i'd like uh", Features(filler=1)),
        ("", "i want to go to the", Features(open_word=1)),
        ("", "yes because", Features(open_word=1)),
        ("Shall I?", "yes please", Features(answer=1)),
        ("Shall I?", "yes please and", Features(open_word=1)),
        (PHONE, "five five five", Features(digits_missing=1 - 3 / 7)),
        (PHONE, "five five five oh one nine two", Features()),
        (PHONE, "five double five oh one nine two four four six", Features(digits_whole=1)),
        (PHONE, "you can call me at home", Features()),
        ("The last four digits, please.", "eight eight", Features(digits_missing=0.5)),
        ("The last four digits, please.", "eight eight oh three", Features(digits_whole=1)),
        ("The last four digits, please.", "8803", Features(digits_whole=1)),
        ("What is your zip code?", "nine four one", Features(digits_missing=0.4)),
        ("I sent you a code.", "forty two sixteen", Features()),
        ("I sent you a code.", "four nine two zero six one", Features(digits_whole=1)),
        ("Can you spell it?", "s m i", Features(spelling=1)),
        ("Can you spell it?", "s", Features(spelling=1)),
        ("Where do you live?", "nineteen baker street", Features()),
        ("How old is she?", "seven", Features()),
        ("", "this is plan b", Features()),
        ("", "so do i", Features(open_word=1)),
        ("", "a", Features(open_word=1)),
    ],
)
def test_features(agent: str, text: str, expected: Features) -> None:
    found = features(agent, text)
    for name in Features.__slots__:
        assert getattr(found, name) == pytest.approx(getattr(expected, name)), name


@given(st.text(), st.text())
def test_any_text_has_features_between_0_and_1(agent: str, text: str) -> None:
    found = features(agent, text)
    assert all(0 <= getattr(found, name) <= 1 for name in Features.__slots__)
