from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.plugins.local.matching import Matcher, Reader, Template, Utterance, is_common, likeness, shed
from repartee.plugins.local.slots import may_start_number, read_number

TEXT = Reader("text", lambda words, text: text, 60, free=True)
NUMBER = Reader("number", lambda words, text: read_number(words), 8, starts=may_start_number)


def reader_of(name: str, kind: str | None) -> Reader:
    return NUMBER if name == "number" else TEXT


def template(text: str, loose: bool = False) -> Template:
    return Template.parse(text, reader_of, loose=loose)


EXAMPLES = [["open door {number}"], ["say {text}"], ["what time is it"], ["close the door", "shut the door"]]
MATCHER = Matcher([[template(text) for text in texts] for texts in EXAMPLES])


def score(said: str, example: str) -> float:
    return MATCHER.match(Utterance(said), template(example)).score


def values(said: str, example: str, loose: bool = False) -> dict[str, Any]:
    return MATCHER.match(Utterance(said), template(example, loose)).values


def test_contractions_are_written_out() -> None:
    assert Utterance("What's it? I can't, we're late; Tom's").words == (
        ["what", "is", "it", "i", "can", "not", "we", "are", "late", "tom", "'s"]
    )
    assert Utterance("it’s don't").words == ["it", "is", "do", "not"]


def test_a_slice_is_as_it_was_said() -> None:
    utterance = Utterance("Say: I'm Tom!")
    assert utterance.words == ["say", "i", "am", "tom"]
    assert utterance.slice(1, 4) == "I'm Tom"


@pytest.mark.parametrize(
    "one, other, least, most",
    [
        ("timer", "timer", 1, 1),
        ("timer", "timers", 0.8, 0.99),
        ("weather", "whether", 0.7, 0.9),
        ("minutes", "minuets", 0.7, 0.9),
        ("hour", "our", 0.7, 0.9),
        ("timer", "tiger", 0, 0.75),
        ("cat", "cut", 0, 0),
        ("repeat", "defeat", 0, 0.7),
    ],
)
def test_likeness(one: str, other: str, least: float, most: float) -> None:
    assert least <= likeness(one, other) <= most
    assert likeness(one, other) == likeness(other, one)


def test_the_same_words_score_one() -> None:
    assert score("what time is it", "what time is it") == 1
    assert score("say hello", "say {text}") > 0.85
    assert score("open door seven", "open door {number}") == 1


def test_politeness_costs_next_to_nothing() -> None:
    assert score("could you please close the door for me", "close the door") > 0.9


def test_other_subjects_cost_much() -> None:
    assert score("what time does the museum close", "what time is it") < 0.68
    assert score("close the deal with the devil", "close the door") < 0.68


def test_a_slot_alone_proves_nothing() -> None:
    assert score("seven", "open door {number}") == 0


def test_the_word_before_free_text_must_be_there() -> None:
    assert score("mention hello", "say {text}") == 0


def test_what_stands_before_an_open_request_must_be_a_request() -> None:
    assert score("could you please say hello", "say {text}") > 0.8
    assert score("they say hello", "say {text}") < 0.6


def test_slots_take_what_they_read() -> None:
    assert values("please open door twenty two now", "open door {number}") == {"number": 22}
    assert values("open door", "open door {number}") == {}
    assert values("say The Word of the day", "say {text}") == {"text": "The Word of the day"}
    assert values("say cheese please", "say {text}") == {"text": "cheese"}


def test_a_loose_template_sheds_small_words() -> None:
    assert values("say in paris please", "say {text}", loose=True) == {"text": "paris"}
    assert values("say please", "say {text}", loose=True) == {}
    assert shed("in paris please") == "paris"
    assert shed("the") == ""


def test_nothing_matches_nothing() -> None:
    assert score("", "what time is it") == 0
    assert score("what time is it", "") == 0


def test_a_bound_only_saves_work() -> None:
    exact = MATCHER.match(Utterance("what time is it"), template("what time is it"), at_least=0.9)
    assert exact.score == 1
    assert MATCHER.match(Utterance("hello"), template("what time is it"), at_least=0.9).score == 0


def test_common_words_have_no_subject() -> None:
    assert is_common(["the", "for", "please"])
    assert not is_common(["the", "door"])


_VOCABULARY = (
    "open close the door say what time is it hello please seven twenty two can you i am not for in and"
)
_WORDS = st.sampled_from(_VOCABULARY.split())


@given(st.lists(_WORDS, max_size=12))
def test_a_score_is_a_share_and_the_bound_holds(words: list[str]) -> None:
    utterance = Utterance(" ".join(words))
    for examples in EXAMPLES:
        for example in examples:
            full = MATCHER.match(utterance, template(example))
            assert 0 <= full.score <= 1
            bounded = MATCHER.match(Utterance(" ".join(words)), template(example), at_least=full.score - 1e-9)
            assert bounded == full


@given(st.text(max_size=60))
def test_any_text_can_be_matched(text: str) -> None:
    for examples in EXAMPLES:
        assert 0 <= score(text, examples[0]) <= 1


def test_a_long_utterance_is_cut() -> None:
    assert len(Utterance("word " * 1000).words) == 60
