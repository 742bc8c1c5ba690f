"""Counts and rates."""

from __future__ import annotations

import pytest

from repartee.server.access.admission import Admission, EventRate
from repartee.server.options import ServerOptions
from repartee.server.replies import ErrorReply


def _refused(admission: Admission, name: str = "a") -> ErrorReply:
    with pytest.raises(ErrorReply) as refusal:
        admission.enter(name)
    assert refusal.value.headers["Retry-After"]
    return refusal.value


def test_sessions_are_bounded_and_places_come_back_once() -> None:
    admission = Admission(ServerOptions(sessions=2))
    first, _ = admission.enter("a"), admission.enter("b")
    assert _refused(admission).status == 503
    first.release()
    first.release()
    assert admission.sessions == 1
    admission.enter("a")
    assert _refused(admission).code == "server_full"


def test_one_key_can_not_take_all() -> None:
    admission = Admission(ServerOptions(sessions=9, sessions_per_key=1))
    place = admission.enter("a")
    assert (_refused(admission).status, _refused(admission).code) == (429, "too_many_sessions")
    admission.enter("b")
    place.release()
    admission.enter("a")


def test_nobody_is_taken_in_while_it_drains() -> None:
    admission = Admission(ServerOptions())
    admission.draining = True
    assert _refused(admission).code == "server_draining"


def test_connections_are_bounded() -> None:
    admission = Admission(ServerOptions(connections=1))
    with admission.connection(), pytest.raises(ErrorReply, match="1 connections"), admission.connection():
        pass
    assert admission.connections == 0


def test_a_burst_is_allowed_and_then_a_rate() -> None:
    rate = EventRate(10, 5)
    assert [rate.allows(100.0) for _ in range(6)] == [True] * 5 + [False]
    assert [rate.allows(100.2) for _ in range(3)] == [True, True, False]
    assert sum(rate.allows(500.0) for _ in range(20)) == 5, "never more than a burst is saved up"


def test_events_may_be_counted_ahead() -> None:
    rate = EventRate(10, 5)
    assert [rate.take(2, 100.0), rate.take(9, 100.0), rate.take(9, 100.05)] == [2, 3, 0]
    assert [rate.take(4, 100.25), rate.take(4, 101.0)] == [2, 4]
