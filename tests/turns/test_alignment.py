"""Which words were heard at which place of the audio."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.turns import Alignment


def aligned(*words: tuple[str, float | None], audio_ms: float = 1000.0, closed: bool = True) -> Alignment:
    alignment = Alignment()
    for text, start_ms in words:
        alignment.add_text(text, start_ms)
    alignment.add_audio(audio_ms)
    if closed:
        alignment.close()
    return alignment


ONE_TWO_THREE = (("One ", 0.0), ("two ", 300.0), ("three.", 600.0))


@pytest.mark.parametrize(
    "position_ms, heard",
    [
        (0.0, ""),
        (299.9, ""),  # a word that is cut off was not heard
        (300.0, "One"),
        (599.9, "One"),
        (600.0, "One two"),
        (999.9, "One two"),
        (1000.0, "One two three."),
        (5000.0, "One two three."),
        (-1.0, ""),
    ],
)
def test_a_word_is_heard_when_the_next_begins(position_ms: float, heard: str) -> None:
    alignment = aligned(*ONE_TWO_THREE)
    assert alignment.text_at(position_ms) == heard
    assert alignment.method == "word times"


def test_the_last_word_needs_the_end_of_the_item() -> None:
    assert aligned(*ONE_TWO_THREE, closed=False).text_at(1000.0) == "One two"


def test_words_that_carry_their_space_in_front() -> None:
    alignment = aligned(("One", 0.0), (" two", 300.0), (" three.", 600.0))
    assert [alignment.text_at(at) for at in (300.0, 600.0, 1000.0)] == ["One", "One two", "One two three."]


def test_a_clause_with_one_place_is_spread_by_characters() -> None:
    # 20 characters from 0 to 1000: a word ends every 50 ms a character.
    alignment = aligned(("aaaa bbbb cccc dddd ", 0.0), ("Next.", 1000.0), audio_ms=1500.0)
    assert [alignment.text_at(at) for at in (199.0, 200.0, 449.0, 450.0, 999.0)] == [
        "",
        "aaaa",
        "aaaa",
        "aaaa bbbb",
        "aaaa bbbb cccc",
    ]
    assert alignment.text_at(1000.0) == "aaaa bbbb cccc dddd"
    assert alignment.method == "characters"


def test_nothing_is_heard_before_the_first_place() -> None:
    assert aligned(("Hello ", 200.0), ("you.", 500.0)).text_at(199.0) == ""


def test_words_without_any_place_are_spread_over_all_the_audio() -> None:
    alignment = aligned(("aaaa bbbb ", None), ("cccc dddd ", None))
    assert alignment.text == "aaaa bbbb cccc dddd "
    assert alignment.method == "characters"
    assert [alignment.text_at(at) for at in (200.0, 450.0, 999.0, 1000.0)] == [
        "aaaa",
        "aaaa bbbb",
        "aaaa bbbb cccc",
        "aaaa bbbb cccc dddd",
    ]


def test_words_without_a_place_before_one_with_a_place_end_there() -> None:
    alignment = aligned(("aaaa bbbb ", None), ("cccc ", 500.0), ("dddd", 700.0))
    assert [alignment.text_at(at) for at in (200.0, 499.0, 500.0, 700.0)] == [
        "aaaa",
        "aaaa",
        "aaaa bbbb",
        "aaaa bbbb cccc",
    ]
    assert alignment.method == "characters"


def test_words_without_a_place_between_two_places() -> None:
    alignment = aligned(("aaaa ", 0.0), ("bbbb ", None), ("cccc", 500.0))
    assert [alignment.text_at(at) for at in (199.0, 200.0, 499.0, 500.0)] == ["", "aaaa", "aaaa", "aaaa bbbb"]


def test_words_without_a_place_and_without_room_share_the_next_one() -> None:
    alignment = aligned(("aaaa ", None), ("bbbb ", 0.0), ("cccc", 500.0))
    assert [alignment.text_at(at) for at in (1.0, 250.0, 499.0, 500.0)] == ["", "aaaa", "aaaa", "aaaa bbbb"]


def test_places_never_run_back() -> None:
    alignment = aligned(("One ", 400.0), ("two ", 300.0), ("three", 600.0))
    assert alignment.text_at(399.0) == ""
    assert alignment.text_at(400.0) == "One"
    assert alignment.text_at(600.0) == "One two"


def test_while_audio_grows_its_length_is_that_of_ordinary_speech() -> None:
    """24 characters last 1.6 s at 15 a second, however little of the audio is here yet."""
    alignment = aligned(("Hello there my dear Anna.", None), audio_ms=200.0, closed=False)
    assert alignment.text_at(200.0) == ""
    assert alignment.text_at(334.0) == "Hello"
    alignment.add_audio(200.0)
    assert alignment.audio_ms == 400.0
    assert alignment.text_at(334.0) == "Hello"
    alignment.close()
    assert alignment.text_at(399.0) == "Hello there my dear"
    assert alignment.text_at(400.0) == "Hello there my dear Anna."


def test_a_place_beyond_the_audio_that_is_here() -> None:
    assert aligned(("One ", 0.0), ("", 500.0), audio_ms=300.0, closed=False).text_at(600.0) == "One"


def test_text_without_audio_was_not_heard() -> None:
    assert aligned(("Hello", None), audio_ms=0.0).text_at(1e9) == ""
    assert Alignment().text_at(10.0) == ""
    assert Alignment().method == "word times"
    assert aligned(("Hello", 0.0), (" ", None)).method == "word times"


pieces = st.lists(
    st.tuples(st.text("ab .", max_size=12), st.none() | st.floats(0.0, 5000.0)), min_size=1, max_size=8
)


@given(pieces, st.floats(0.0, 6000.0), st.booleans(), st.lists(st.floats(0.0, 7000.0), max_size=10))
def test_heard_grows_with_position_and_is_never_more_than_there_is(
    words: list[tuple[str, float | None]], audio_ms: float, closed: bool, positions: list[float]
) -> None:
    alignment = aligned(*words, audio_ms=audio_ms, closed=closed)
    whole = "".join(text for text, _ in words)
    assert alignment.text == whole
    last = ""
    for position_ms in sorted(positions):
        heard = alignment.text_at(position_ms)
        assert whole.startswith(heard)
        assert heard.startswith(last)
        last = heard
    if closed and audio_ms > 0.0:
        assert alignment.text_at(audio_ms) == whole.rstrip()


@given(pieces, st.floats(1.0, 6000.0), st.floats(0.0, 7000.0))
def test_no_word_is_cut(words: list[tuple[str, float | None]], audio_ms: float, position_ms: float) -> None:
    """What is heard ends where a word ends, or where one piece does."""
    alignment = aligned(*words, audio_ms=audio_ms)
    heard = alignment.text_at(position_ms)
    ends, at = {0, len(alignment.text.rstrip())}, 0
    for text, _ in words:
        at += len(text)
        ends.add(len(alignment.text[:at].rstrip()))
    followed_by = alignment.text[len(heard) : len(heard) + 1]
    assert followed_by.isspace() or len(heard) in ends


def test_the_end_is_reached_however_the_chunks_were_summed() -> None:
    chunks = [3473, 10642, 3629, 13581, 13175, 2410, 13318]  # whose sum of milliseconds is a digit too big
    alignment = Alignment()
    alignment.add_text("all of", 0.0)
    alignment.add_text(" it", 100.0)
    for samples in chunks:
        alignment.add_audio(samples * 1000.0 / 24_000)
    alignment.close()
    assert alignment.audio_ms > sum(chunks) * 1000.0 / 24_000
    assert alignment.text_at(sum(chunks) * 1000.0 / 24_000) == "all of it"


def test_words_that_came_behind_the_last_audio_were_not_spoken() -> None:
    alignment = Alignment()
    for text, audio_ms in (("one", 300.0), (" two", 400.0), (" three", 0.0)):
        alignment.add_text(text)
        if audio_ms:
            alignment.add_audio(audio_ms)
    alignment.cut_off()
    assert alignment.text == "one two"
    assert alignment.text_at(700.0) == "one two"


def test_words_that_nobody_could_have_said_in_that_time_were_not_spoken() -> None:
    alignment = Alignment()
    alignment.add_text("one two three four five")
    alignment.add_audio(400.0)  # ten characters, however fast
    alignment.cut_off()
    assert alignment.text_at(400.0) == "one two"
    short = Alignment()
    short.add_text("word")
    short.add_audio(20.0)
    short.cut_off()
    assert short.text_at(20.0) == ""


def test_words_with_a_place_of_their_own_stay_when_it_breaks_off() -> None:
    alignment = aligned(("one", 0.0), (" two", 200.0), audio_ms=300.0, closed=False)
    alignment.add_text(" and what had no place")
    alignment.cut_off()
    assert alignment.text_at(300.0) == "one two"
