"""Options that contradict themselves are refused, each with what would be right."""

from __future__ import annotations

import math
from typing import Any

import pytest

from repartee.errors import ConfigurationError
from repartee.turns import SpeculationOptions, TurnOptions


@pytest.mark.parametrize(
    "name",
    [
        "prediction_deadline_s",
        "transcript_deadline_s",
        "response_deadline_s",
        "tool_deadline_s",
        "clear_deadline_s",
        "max_turn_s",
        "away_after_s",
    ],
)
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_a_deadline_is_above_zero(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name}.* must be above 0"):
        TurnOptions(**{name: value})  # type: ignore[arg-type]  # a field by its name


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"queue_max": 0}, "queue_max must be 1 or more"),
        ({"min_turn_ms": -1.0}, r"min_turn_ms is -1\.0; it must be 0 or more"),
    ],
)
def test_other_contradictions(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TurnOptions(**wrong)


def test_the_bounds_themselves_are_fine() -> None:
    assert TurnOptions(away_after_s=None, queue_max=1, min_turn_ms=0.0).queue_max == 1
    assert SpeculationOptions(min_probability=0.0, max_per_turn=1).enabled
    assert SpeculationOptions(min_probability=1.0).min_probability == 1.0


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_a_probability_is_between_0_and_1(value: float) -> None:
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        SpeculationOptions(min_probability=value)


def test_speculation_that_may_never_begin_is_disabled_instead() -> None:
    with pytest.raises(ConfigurationError, match="max_per_turn is 0; it must be 1 or more"):
        SpeculationOptions(max_per_turn=0)
