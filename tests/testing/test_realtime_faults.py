"""When a scripted server's connections fail."""

from __future__ import annotations

from repartee.testing.realtime_faults import WireFaultPlan, drop, freeze, lag, refuse


def test_a_drop_counts_what_is_sent() -> None:
    plan = WireFaultPlan([drop(after=2)], 1)
    assert plan.count("response.create", sent=False) is None
    assert plan.count("session.created", sent=True) is None
    assert plan.count("session.updated", sent=True) == "drop"
    assert plan.count("session.updated", sent=True) is None


def test_a_fault_may_wait_for_one_type_of_event() -> None:
    plan = WireFaultPlan([freeze(on="response.create", after=2)], 1)
    due = [plan.count(t, sent=False) for t in ("response.create", "response.cancel", "response.create")]
    assert due == [None, None, "freeze"]


def test_a_fault_is_one_connections_or_all_ones() -> None:
    faults = [drop(connection=2), lag(0.5), refuse(429, connection=3)]
    assert WireFaultPlan(faults, 1).count("x", sent=True) is None
    assert WireFaultPlan(faults, 2).count("x", sent=True) == "drop"
    assert [WireFaultPlan(faults, n).refusal for n in (1, 2, 3)] == [None, None, 429]
    assert WireFaultPlan(faults, 7).delay_s == 0.5


def test_lags_begin_when_they_are_due_and_add_up() -> None:
    plan = WireFaultPlan([lag(0.5), lag(0.25, on="response.created", after=1)], 1)
    assert plan.delay_s == 0.5
    plan.count("response.created", sent=True)
    assert plan.delay_s == 0.75
