from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.usefulness import requests
from repartee.plugins.local.persona import (
    CONFIDENCE_MIN,
    DONT_KNOW,
    FEW_SHOT,
    NO_COMMENT,
    acceptable,
    as_question,
    tidy,
    verdict,
)


@pytest.mark.parametrize(
    "said, sentence",
    [
        ("what is the capital of france", "What is the capital of france?"),
        ("what's that", "What's that?"),
        ("i think i'm lost", "I think I'm lost."),
        ("is it?", "Is it?"),
        ("  tell   me more ", "Tell me more."),
        ("stop!", "Stop!"),
        ("", ""),
    ],
)
def test_a_transcript_becomes_a_sentence(said: str, sentence: str) -> None:
    assert as_question(said) == sentence


@pytest.mark.parametrize(
    "answer, tidied",
    [
        ('"Paris."', "Paris."),
        ("One. Two. Three.", "One. Two."),
        ("**Bold** and `code`.", "Bold and code."),
        ("It costs 3.5 dollars. And then the", "It costs 3.5 dollars."),
        ("no end", "no end"),
        ("Line one.\n\nLine two.", "Line one. Line two."),
    ],
)
def test_an_answer_is_tidied(answer: str, tidied: str) -> None:
    assert tidy(answer) == tidied


@pytest.mark.parametrize(
    "answer", ["The capital of France is Paris.", "Seven.", "It costs 3.5 dollars – really."]
)
def test_a_plain_answer_may_be_said(answer: str) -> None:
    assert acceptable(answer)
    assert acceptable(answer, confidence=CONFIDENCE_MIN)
    assert not acceptable(answer, confidence=CONFIDENCE_MIN - 0.01)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "...",
        "I'm sorry for your loss.",
        "As an AI, I can't say.",
        "I'm here to support you.",
        "Look at https://example.org for more.",
        "It is 🌱🌱🌱.",
        "I am a small one. I am a small one. I am a small one.",
        "word " * 41,
        "use <b>this</b>",
    ],
)
def test_what_may_not_be_said(answer: str) -> None:
    assert not acceptable(answer)


@pytest.mark.parametrize(
    "answer, said, spoken",
    [
        ("Paris.", "what is the capital of france", "Paris."),
        ("I'm sorry for your loss.", "who won the game", DONT_KNOW),
        ("I'm sorry for your loss.", "i lost my hat", NO_COMMENT),
        ("You're going to the beach tomorrow.", "i am going to the beach tomorrow", NO_COMMENT),
        ("The sky is blue.", "is the sky blue", "The sky is blue."),  # an answer may take up the question
        ("", "", DONT_KNOW),
    ],
)
def test_the_verdict(answer: str, said: str, spoken: str) -> None:
    assert verdict(answer, said) == spoken


def test_doubt_is_admitted() -> None:
    assert verdict("Rome.", "what is the capital of france", confidence=-3.0) == DONT_KNOW
    assert verdict("Rome.", "what is the capital of italy", confidence=-0.1) == "Rome."


def test_the_ways_out_may_be_said() -> None:
    assert acceptable(DONT_KNOW)
    assert acceptable(NO_COMMENT)


def test_the_examples_keep_the_rules_and_give_no_test_away() -> None:
    asked = {as_question(row["text"]) for row in requests()}
    for question, answer in FEW_SHOT:
        assert question == as_question(question)
        assert verdict(answer, question) == answer
        assert question not in asked


@given(st.text(), st.text())
def test_whatever_it_writes_something_is_said(answer: str, said: str) -> None:
    spoken = verdict(answer, said, confidence=-0.1)
    assert spoken.strip()
    assert "sorry for your loss" not in spoken.lower()
