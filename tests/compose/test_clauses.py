"""Clauses: pieces that a voice speaks well, and soon; joined, they are the text."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.compose.clauses import ClauseSplitter


def pieces(text: str, size: int = 1, **options: int) -> list[str]:
    splitter = ClauseSplitter(**options)
    found = []
    for start in range(0, len(text), size):
        found += splitter.push(text[start : start + size])
    rest = splitter.flush()
    return [*found, rest] if rest else found


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Yes. It is noon.", ["Yes. ", "It is noon."]),
        ("Sure, for how many people?", ["Sure, ", "for how many people?"]),
        # A first piece of four words, where no clause ends.
        ("I would like to know when it is.", ["I would like to ", "know when it is."]),
        # A comma ends a later piece only behind four words.
        ("Yes. Well, all right, then we see, I hope.", ["Yes. ", "Well, all right, then we see, ", "I hope."]),
        ("It costs 3.50 euros. Fine.", ["It costs 3.50 euros. ", "Fine."]),
        ("Dr. Smith is in. Come.", ["Dr. Smith is in. ", "Come."]),
        ("At 5 p.m. we meet. Bye.", ["At 5 p.m. we ", "meet. ", "Bye."]),
        ('"Stop!" he said. Why?', ['"Stop!" ', "he said. ", "Why?"]),
        ("One\nTwo\n", ["One\n", "Two\n"]),
        ("今日は。元気？はい", ["今日は。", "元気？", "はい"]),
        ("", []),
        ("   ", ["   "]),
    ],
)  # fmt: skip
def test_where_it_cuts(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


def test_no_piece_is_too_long() -> None:
    text = " ".join(f"w{index}" for index in range(100))
    found = pieces(text, max_words=10)
    assert [len(piece.split()) for piece in found] == [4, *[10] * 9, 6]


def test_a_voice_that_wants_more_words_gets_them() -> None:
    assert (
        pieces("one two three four five six seven eight", first_words=6)[0] == "one two three four five six "
    )


def test_after_a_flush_it_is_as_new() -> None:
    splitter = ClauseSplitter()
    assert splitter.push("Yes. And then comes something ") == ["Yes. "]
    assert splitter.flush() == "And then comes something "
    assert splitter.push("Sure, fine ") == ["Sure, "]


@given(st.text(alphabet="ab .,!?\n\"'…。", max_size=80), st.integers(1, 7))
def test_joined_they_are_the_text_however_it_comes(text: str, size: int) -> None:
    assert "".join(pieces(text, size)) == text


@given(st.lists(st.sampled_from(["one ", "two, ", "three. ", "3.5 ", "a.m. "]), max_size=20))
def test_the_size_of_the_deltas_changes_nothing_that_was_complete(words: list[str]) -> None:
    text = "".join(words)
    by_character = pieces(text)
    by_word = list(itertools.chain.from_iterable([pieces(text, len(text) or 1)]))
    assert "".join(by_character) == "".join(by_word)
