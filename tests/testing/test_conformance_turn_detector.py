"""The suite itself: it passes what is right, and finds what is wrong."""

from __future__ import annotations

import pytest

from repartee.models import TurnContext, TurnDetector
from repartee.testing import ScriptedTurnDetector, run
from repartee.testing.conformance_turn_detector import (
    TURN_DETECTOR_CHECKS,
    UNFINISHED,
    TurnDetectorCheck,
    check_turn_detector,
)


def by_last_word(context: TurnContext) -> float:
    return 0.1 if context.text.split()[-1:] in [text.split()[-1:] for _, text in UNFINISHED] else 0.9


@pytest.mark.parametrize("check", TURN_DETECTOR_CHECKS, ids=lambda check: check.__name__)
def test_a_scripted_detector_conforms(check: TurnDetectorCheck) -> None:
    run(check(lambda: ScriptedTurnDetector(by_last_word)), check_leaks=False)


class Deaf(ScriptedTurnDetector):
    """The same for everything."""


class Sure(ScriptedTurnDetector):
    """Not a probability."""

    async def predict(self, context: TurnContext) -> float:
        return 1.5


class Forgetful(ScriptedTurnDetector):
    """Changes the history."""

    async def predict(self, context: TurnContext) -> float:
        context.history.add_message("user", context.text)
        return 0.5


@pytest.mark.parametrize("wrong", [Deaf, Sure, Forgetful])
def test_what_is_wrong_is_found(wrong: type[TurnDetector]) -> None:
    with pytest.raises(AssertionError):
        run(check_turn_detector(wrong), check_leaks=False)
