"""The English end-of-turn model, on turns that it was not fitted to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.turn_detector import auc
from repartee.chat import ChatContext, Message
from repartee.models import TurnContext
from repartee.plugins.turn_detector.english import EnglishModel, calibrate
from repartee.plugins.turn_detector.features import Features
from repartee.testing.conformance_turn_detector import TURN_DETECTOR_CHECKS, TurnDetectorCheck
from tests.plugins.local.weights_here import needs_weights

TURNS = Path(__file__).parents[2] / "data" / "turns.jsonl"
PATIENT_S = 60.0  # a test machine may be busy; the deadline has a test of its own


def turns(split: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in TURNS.read_text().splitlines()]
    return [row for row in rows if row["split"] == split]


def context(agent: str, text: str) -> TurnContext:
    return TurnContext(text, ChatContext([Message.of("assistant", agent)] if agent else []))


@pytest.fixture(scope="module")
def model() -> Iterator[EnglishModel]:
    detector = EnglishModel(deadline_s=PATIENT_S)
    yield detector
    asyncio.run(detector.aclose())


def test_the_turns_are_balanced_and_each_is_in_one_half() -> None:
    for split in ("tune", "test"):
        rows = turns(split)
        assert len(rows) >= 160
        assert sum(row["complete"] for row in rows) == len(rows) / 2
    seen = [(row["agent"], row["text"]) for row in [*turns("tune"), *turns("test")]]
    assert len(set(seen)) == len(seen)


def test_calibration_keeps_the_order_and_heeds_the_words() -> None:
    plain = [calibrate(score, Features()) for score in (0.0, 0.001, 0.01, 0.1, 0.5, 1.0)]
    assert plain == sorted(plain)
    assert plain[0] < 0.05
    assert plain[-1] > 0.95
    assert all(0 < probability < 1 for probability in plain)
    for hint in (Features(filler=1), Features(open_word=1), Features(digits_missing=1), Features(spelling=1)):
        assert calibrate(0.1, hint) < calibrate(0.1, Features()), hint
    for hint in (Features(answer=1), Features(digits_whole=1)):
        assert calibrate(0.1, hint) > calibrate(0.1, Features()), hint


@needs_weights
@pytest.mark.local
@pytest.mark.slow
def test_it_tells_finished_turns_it_never_saw_from_unfinished_ones(model: EnglishModel) -> None:
    pairs = turns("test")
    rows = [row for at, row in enumerate(pairs) if at % 5 < 2]  # the bench asks them all

    async def ask() -> list[float]:
        return [await model.predict(context(row["agent"], row["text"])) for row in rows]

    probabilities = asyncio.run(ask())
    complete = [row["complete"] for row in rows]
    assert auc(probabilities, complete) >= 0.95
    threshold = model.capabilities.threshold
    right = [(p >= threshold) == done for p, done in zip(probabilities, complete, strict=True)]
    assert sum(right) / len(right) >= 0.88


@needs_weights
@pytest.mark.local
def test_a_hesitation_is_never_the_end(model: EnglishModel) -> None:
    async def main() -> None:
        for text in ("i'd like a table um", "yes uh", "my name is peter hmm"):
            assert await model.predict(context("How can I help you?", text)) < 0.3, text

    asyncio.run(main())


@needs_weights
@pytest.mark.local
@pytest.mark.parametrize("check", TURN_DETECTOR_CHECKS, ids=lambda check: check.__name__)
def test_conformance(check: TurnDetectorCheck, model: EnglishModel) -> None:
    # ``model`` keeps the weights in memory from one check to the next.
    asyncio.run(check(lambda: EnglishModel(deadline_s=PATIENT_S)))
