"""Text made harmless, cut, and put on the clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.plugins.local.speakable import WordClock, cut, neutralise, word_spans


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a <b>bold</b> move", "a    bold     move"),
        ("<break time='1s'/>go", "                  go"),
        ("a < b and c > d", "a < b and c > d"),
        ("**bold** _it_ `code` snake_case 3*4 x * y", "  bold    it   code  snake_case 3*4 x * y"),
        ("# Head\n- one\n1. two", "  Head\n  one\n1. two"),
        ("a\x00b\x01c\td", "a b c d"),
        ("half \ud83d pair", "half   pair"),
        ("private \ue000 use", "private   use"),
        ("café — 日本 👩‍👧", "café — 日本 👩‍👧"),
    ],
)
def test_neutralised_in_place(text: str, expected: str) -> None:
    assert neutralise(text) == expected


@given(st.text(max_size=300))
def test_no_index_moves(text: str) -> None:
    harmless = neutralise(text)
    assert len(harmless) == len(text)
    assert all(new in (old, " ") for old, new in zip(text, harmless, strict=True))
    assert "\x00" not in harmless
    harmless.encode()


@given(st.text(alphabet="ab .,!?\n", max_size=400), st.integers(10, 80))
def test_cuts_are_the_whole_text(text: str, limit: int) -> None:
    pieces = list(cut(text, limit))
    assert "".join(text[start:end] for start, end in pieces) == text
    assert all(0 < end - start <= limit for start, end in pieces)


def test_a_cut_likes_sentences_then_clauses_then_words() -> None:
    def pieces(text: str, limit: int) -> list[str]:
        return [text[start:end].strip() for start, end in cut(text, limit)]

    assert pieces("One sentence here. Another one there.", 25) == ["One sentence here.", "Another one there."]
    assert pieces("Meet Dr. Smith now, then go on home", 25) == ["Meet Dr. Smith now,", "then go on home"]
    assert pieces("only words without any sign", 15) == ["only words", "without any", "sign"]
    assert pieces("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]


def test_words_of_scripts_without_spaces_are_characters() -> None:
    text = "ok 日本。go"
    assert [text[a:b] for a, b in word_spans(text)] == ["ok", "日", "本。", "go"]


def timed(text: str, marks: list[tuple[int, float]], end_ms: float) -> list[tuple[str, float]]:
    clock = WordClock(text, word_spans(text))
    found = [word for index, at in marks for word in clock.mark(index, at)] + clock.finish(end_ms)
    return [(text[word.text_start : word.text_end], round(word.start_ms)) for word in found]


def test_a_word_without_a_mark_shares_its_neighbours_time() -> None:
    # 7 characters, of which "the" begins at the third.
    assert timed("of the in", [(0, 0.0), (7, 210.0)], 300) == [("of", 0), ("the", 90), ("in", 210)]


def test_a_further_mark_of_a_word_gives_nothing() -> None:
    marks = [(0, 0.0), (3, 100.0), (4, 200.0), (4, 300.0), (7, 400.0)]
    assert timed("is 123 ok", marks, 500) == [("is", 0), ("123", 100), ("ok", 400)]


def test_the_end_gives_what_was_not_announced() -> None:
    assert timed("here I am", [(0, 0.0), (5, 100.0)], 300) == [("here", 0), ("I", 100), ("am", 200)]
    assert timed("never announced", [], 100) == [("never", 0), ("announced", 40)]


def test_signs_count_only_when_they_are_marked() -> None:
    assert timed("a & b", [(0, 0.0), (2, 50.0), (4, 90.0)], 100) == [("a", 0), ("&", 50), ("b", 90)]
    assert timed("a - b", [(0, 0.0), (4, 90.0)], 100) == [("a", 0), ("b", 90)]
    assert timed("", [(0, 0.0)], 100) == []


@given(
    st.text(alphabet="ab1 .&日", max_size=60),
    st.lists(st.tuples(st.integers(-3, 70), st.floats(0, 1000)), max_size=30),
)
def test_words_come_once_in_order_whatever_the_marks(text: str, marks: list[tuple[int, float]]) -> None:
    clock = WordClock(text, word_spans(text))
    marks = [(index, at) for (index, _), at in zip(marks, sorted(at for _, at in marks), strict=True)]
    found = [word for index, at in marks for word in clock.mark(index, at)] + clock.finish(2000.0)
    assert [word.text_start for word in found] == sorted({word.text_start for word in found})
    assert [word.start_ms for word in found] == sorted(word.start_ms for word in found)
    expected = [span for span in word_spans(text) if any(char.isalnum() for char in text[slice(*span)])]
    assert {(word.text_start, word.text_end) for word in found} >= set(expected)
