"""Which provider is asked, by time alone; names; and that the rotation recovers from anything."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.compose.providers import Desk, Rotation, bound_to, log_bad_end, names_of
from repartee.errors import ConfigurationError, ModelError, ModelTimeoutError
from repartee.models.events import ErrorOccurred, ProviderSwitched, RealtimeEvent
from repartee.testing import ScriptedLLM, ScriptedTTS, virtual_time


def rotation(count: int = 2, cooldown_s: float = 10.0, max_cooldown_s: float = 120.0) -> Rotation:
    return Rotation(count, cooldown_s=cooldown_s, max_cooldown_s=max_cooldown_s)


def test_the_first_is_preferred_and_the_next_stands_in() -> None:
    it = rotation(3)
    assert it.take(0.0) == 0
    it.failed(0, 0.0)
    assert it.take(0.0) == 1
    assert it.take(0.0, {1}) == 2
    assert it.take(9.9) == 1


def test_one_alone_probes_what_cooled_down() -> None:
    it = rotation()
    it.failed(0, 0.0)
    assert it.take(10.0) == 0, "the probe"
    assert it.take(10.0) == 1, "the others keep away"
    it.succeeded(0)
    assert it.take(10.0) == 0
    assert it.current == 0


def test_a_probe_that_fails_cools_down_longer_up_to_a_bound() -> None:
    it = rotation(max_cooldown_s=30.0)
    now = 0.0
    for cooldown_s in (10.0, 20.0, 30.0, 30.0):
        it.failed(0, now)
        assert it.take(now + cooldown_s - 0.1) == 1
        now += cooldown_s
        assert it.take(now) == 0
    it.succeeded(0)
    it.failed(0, now)
    assert it.take(now + 10.0) == 0


def test_a_probe_that_nobody_waited_for_is_made_again() -> None:
    it = rotation()
    it.failed(0, 0.0)
    assert it.take(10.0) == 0
    it.abandoned(0)
    assert it.take(10.0) == 0


def test_many_that_fail_at_once_count_once() -> None:
    it = rotation()
    for now in (0.0, 0.1, 0.2):
        it.failed(0, now)
    assert it.take(10.0) == 0


def test_where_all_cool_down_the_soonest_is_asked() -> None:
    it = rotation()
    it.failed(1, 0.0)
    it.failed(0, 1.0)
    assert it.take(2.0) == 1
    assert it.take(2.0, {1}) == 0
    assert it.take(2.0, {0, 1}) is None


def test_who_is_better() -> None:
    it = rotation(3)
    assert it.better(0.0, 0) is None
    assert it.preferred_at(0) is None
    it.failed(0, 0.0)
    it.failed(1, 5.0)
    assert it.better(9.0, 2) is None
    assert it.preferred_at(2) == 10.0
    assert it.better(10.0, 2) == 0
    assert it.better(10.0, 2) is None, "it is being probed"
    assert it.better(15.0, 2) == 1


steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "failed", "succeeded", "abandoned"]), st.integers(0, 2), st.floats(0, 30)
    ),
    max_size=40,
)


@given(steps)
def test_somebody_is_always_asked_and_all_come_back(steps: list[tuple[str, int, float]]) -> None:
    it = rotation(3)
    now = 0.0
    for what, index, passed_s in steps:
        now += passed_s
        if what == "failed":
            it.failed(index, now)
        elif what == "succeeded":
            it.succeeded(index)
        elif what == "abandoned":
            it.abandoned(index)
        else:
            assert it.take(now) is not None
        tried: set[int] = set()
        while (taken := it.take(now, tried)) is not None:
            assert taken not in tried
            tried.add(taken)
            it.abandoned(taken)
        assert tried == {0, 1, 2}
    for index in range(3):
        it.abandoned(index)
    assert it.take(now + 120.0) == 0, "the preferred one is asked again at last"


def test_names_tell_models_apart() -> None:
    class Named(ScriptedLLM):
        model = "big"

    Named.__module__ = "repartee.plugins.openai.llm"
    assert names_of([ScriptedLLM(), ScriptedTTS(), ScriptedLLM(), Named(), Named()]) == (
        "ScriptedLLM",
        "ScriptedTTS",
        "ScriptedLLM #2",
        "openai.Named big",
        "openai.Named big #2",
    )


@virtual_time
async def test_a_session_is_told_what_happens_to_it(caplog: pytest.LogCaptureFixture) -> None:
    events: list[RealtimeEvent] = []
    shared = Desk(["a", "b"], "llm", rotation())
    desk = shared.bound(events.append)
    error = ModelError("out of order", stage="llm")
    with caplog.at_level(logging.WARNING):
        desk.failed(0, error)
        desk.succeeded(1)
        desk.succeeded(1)
        desk.succeeded(0)
    assert events == [
        ErrorOccurred(error, "llm"),
        ProviderSwitched("llm", "str", "str #2", "out of order"),
        ProviderSwitched("llm", "str #2", "str", "str is back"),
    ]
    assert "using str #2 instead of str: out of order" in caplog.text
    other = shared.bound(events.append)
    other.succeeded(1)
    assert isinstance(events[-1], ProviderSwitched)
    assert "passed over" in events[-1].reason


def test_what_a_providers_exception_is() -> None:
    desk = Desk(["a", "b"], "tts", rotation())
    own = ModelError("own", stage="tts")
    assert desk.error_of(0, own, 5.0) is own
    assert isinstance(desk.error_of(0, TimeoutError(), 5.0), ModelTimeoutError)
    assert "gave nothing for 5 s" in str(desk.error_of(0, TimeoutError(), 5.0))
    assert not desk.error_of(0, ConfigurationError("too long"), None).recoverable
    assert "failed with KeyError" in str(desk.error_of(1, KeyError("x"), None))
    all_of_them = desk.exhausted({0: own, 1: ModelError("two", stage="tts", recoverable=False)})
    assert str(all_of_them) == "all 2 providers failed: str: own; str #2: two"
    assert all_of_them.recoverable


def test_a_model_without_providers_is_bound_as_it_is() -> None:
    model = ScriptedLLM()
    assert bound_to(model, lambda event: None) is model


def test_an_end_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    log_bad_end(OSError("gone"))
    assert "gone" in caplog.text
