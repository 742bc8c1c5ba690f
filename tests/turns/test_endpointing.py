"""How long to wait: the formula, its shape, and what is learned."""

from __future__ import annotations

import math
from copy import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.errors import ConfigurationError
from repartee.turns import DynamicEndpointing, Endpointing, FixedEndpointing, SemanticEndpointing

probabilities = st.floats(0.0, 1.0)
policies: st.SearchStrategy[Endpointing] = st.one_of(
    st.builds(FixedEndpointing, st.floats(0.0, 5_000.0)),
    st.builds(
        SemanticEndpointing,
        min_ms=st.floats(0.0, 400.0),
        max_ms=st.floats(400.0, 5_000.0),
        pause_s=st.floats(0.05, 5.0),
        patience_s=st.floats(0.1, 60.0),
    ),
)


def test_fixed_is_the_same_always() -> None:
    policy = FixedEndpointing(700.0)
    policy.learn(3.0)
    assert [policy.delay_s(p) for p in (None, 0.0, 1.0)] == [0.7, 0.7, 0.7]
    assert policy.ceiling_s == 0.7
    assert FixedEndpointing().delay_s(None) == 0.5


@pytest.mark.parametrize(
    "probability, delay_ms",
    # 0.6 · ln(8 · (1 - p) / 0.6), between 250 and 1600; without a probability, 500
    [(None, 500.0), (0.0, 1554.2), (0.5, 1138.3), (0.8, 588.5), (0.9, 250.0), (1.0, 250.0)],
)
def test_semantic_is_the_formula_within_its_bounds(probability: float | None, delay_ms: float) -> None:
    policy = SemanticEndpointing()
    assert policy.delay_s(probability) * 1000.0 == pytest.approx(delay_ms, abs=0.1)
    policy.learn(3.0)
    assert policy.delay_s(probability) * 1000.0 == pytest.approx(delay_ms, abs=0.1)


def test_semantic_is_the_cheapest_wait() -> None:
    """The delay minimises seconds waited in vain plus `patience_s` for each cut-off, as the module derives."""
    policy = SemanticEndpointing(min_ms=0.0, max_ms=10_000.0)

    def cost(wait_s: float, p: float) -> float:
        cut_off = (1.0 - p) * math.exp(-wait_s / policy.pause_s)
        return wait_s + policy.patience_s * cut_off

    for p in (0.1, 0.5, 0.8):
        best = policy.delay_s(p)
        assert cost(best, p) < cost(best - 0.01, p)
        assert cost(best, p) < cost(best + 0.01, p)


@given(policies, probabilities, probabilities)
def test_a_surer_detector_never_waits_longer(policy: Endpointing, one: float, other: float) -> None:
    assert policy.delay_s(max(one, other)) <= policy.delay_s(min(one, other))


@given(policies, st.none() | st.floats())
def test_delays_keep_to_the_bounds_whatever_a_detector_says(
    policy: Endpointing, probability: float | None
) -> None:
    delay_s = policy.delay_s(probability)
    assert 0.0 <= delay_s <= policy.ceiling_s
    if isinstance(policy, SemanticEndpointing):
        assert policy.min_ms / 1000.0 <= delay_s <= policy.max_ms / 1000.0


@given(probabilities)
def test_a_little_more_doubt_is_a_little_more_time(probability: float) -> None:
    """Continuous: no threshold at which the wait jumps. The slope is pause_s / (1 - p), and the minimum caps it."""
    policy = SemanticEndpointing()
    step = 1e-6
    below = policy.delay_s(max(0.0, probability - step))
    assert below - policy.delay_s(probability) <= 20.0 * step


def test_a_broken_detector_is_no_sure_one() -> None:
    assert SemanticEndpointing().delay_s(math.nan) == 0.5


def test_dynamic_learns_how_long_this_caller_pauses() -> None:
    policy = DynamicEndpointing(weight=0.5)
    assert policy.delay_s(0.5) == SemanticEndpointing().delay_s(0.5)
    policy.learn(1.0)
    assert policy.pause_s == pytest.approx(0.8)
    assert policy.delay_s(0.5) == pytest.approx(0.8 * math.log(8.0 * 0.5 / 0.8))
    policy.learn(100.0)  # a pause that long is something else; it counts as 3 s
    assert policy.pause_s == pytest.approx(1.9)
    policy.learn(0.0)  # and one of 0 as 0.1 s
    assert policy.pause_s == pytest.approx(1.0)
    assert policy.ceiling_s == 1.6


@given(st.lists(st.floats(0.0, 1e6), max_size=50), st.none() | probabilities)
def test_dynamic_stays_within_bounds_whatever_it_learns(pauses: list[float], p: float | None) -> None:
    policy = DynamicEndpointing()
    for pause_s in pauses:
        policy.learn(pause_s)
    assert 0.1 - 1e-9 <= policy.pause_s <= 3.0 + 1e-9
    assert 0.25 <= policy.delay_s(p) <= 1.6


def test_a_copy_learns_for_itself() -> None:
    policy = DynamicEndpointing(SemanticEndpointing(pause_s=0.4))
    other = copy(policy)
    other.learn(3.0)
    assert policy.pause_s == 0.4
    assert other.pause_s > 0.4


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: FixedEndpointing(-1.0), r"silence_ms is -1\.0; it must be 0 or more"),
        (lambda: SemanticEndpointing(min_ms=2000.0), r"min_ms \(2000\.0\).* max_ms \(1600\.0\)"),
        (lambda: SemanticEndpointing(min_ms=-1.0), "must be 0 or more"),
        (lambda: SemanticEndpointing(pause_s=0.0), "must be above 0"),
        (lambda: SemanticEndpointing(patience_s=-1.0), "must be above 0"),
        (lambda: SemanticEndpointing(fallback_ms=-1.0), "fallback_ms not below 0"),
        (lambda: DynamicEndpointing(weight=0.0), r"weight is 0\.0"),
        (lambda: DynamicEndpointing(weight=1.1), "not above 1"),
    ],
)
def test_contradictions_are_refused(wrong: object, message: str) -> None:
    assert callable(wrong)
    with pytest.raises(ConfigurationError, match=message):
        wrong()
