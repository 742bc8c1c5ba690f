"""Sessions that run, on virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from repartee.protocol.model import replace as replace_fields
from repartee.protocol.sessions import default_session
from repartee.server.access.admission import Admission
from repartee.server.options import ServerOptions
from repartee.server.replies import ErrorReply
from repartee.server.sessions.running import RunningSession, RunningSessions
from repartee.server.sessions.session_config import begin_session
from repartee.server.source import served_from
from repartee.testing import elapse, virtual_time
from tests.server.serving import FakeSession


class _Running:
    def __init__(self, **options: Any) -> None:
        FakeSession.made = []
        self.options = ServerOptions(**options)
        self.admission = Admission(self.options)
        self.sessions = RunningSessions(self.options, self.admission, FakeSession)  # type: ignore[arg-type]

    def open(self, number: int = 0, owner: str = "a") -> RunningSession:
        served: Any = None
        return self.sessions.open(served, default_session(id=f"sess_{number}"), owner=owner)


@virtual_time
async def test_a_session_expires_to_the_second() -> None:
    server = _Running(session_s=60, idle_s=0)
    running = server.open()
    await elapse(59.9)
    assert FakeSession.made[0].faults == []
    await elapse(0.2)
    assert [fault.code for fault in FakeSession.made[0].faults] == ["session_expired"]
    await running.aclose()


@virtual_time
async def test_only_silence_of_both_sides_is_idle() -> None:
    server = _Running(idle_s=10)
    running = server.open()
    for _ in range(5):
        await elapse(9)
        running.touch()
    assert FakeSession.made[0].faults == []
    await elapse(10.1)
    assert [fault.code for fault in FakeSession.made[0].faults] == ["session_idle"]
    await running.aclose()
    await running.aclose()
    assert (len(server.sessions), server.admission.sessions) == (0, 0)


@virtual_time
async def test_a_session_that_can_not_be_made_takes_no_place() -> None:
    server = _Running(sessions=1)

    def fails(*_: object, **__: object) -> Any:
        raise ValueError("no")

    server.sessions._factory = fails
    with pytest.raises(ValueError, match="no"):
        server.open()
    assert server.admission.sessions == 0
    server.sessions._factory = FakeSession  # type: ignore[assignment]
    first = server.open()
    with pytest.raises(ErrorReply, match="1 sessions"):
        server.open(1)
    await first.aclose()


@virtual_time
async def test_draining_waits_then_ends_then_closes() -> None:
    server = _Running(drain_s=30)
    quick, slow = server.open(0), server.open(1)
    started = asyncio.get_running_loop().time()
    draining = asyncio.get_running_loop().create_task(server.sessions.drain())
    await elapse(10)
    await quick.aclose()
    await elapse(19)
    assert FakeSession.made[1].faults == []
    await draining
    assert [fault.code for fault in FakeSession.made[1].faults] == ["server_shutdown"]
    assert slow.session.ended.is_set()
    assert asyncio.get_running_loop().time() - started == pytest.approx(35)
    assert FakeSession.made[0].faults == []


@virtual_time
async def test_draining_is_over_when_the_last_session_is() -> None:
    server = _Running(drain_s=30)
    running = server.open()
    draining = asyncio.get_running_loop().create_task(server.sessions.drain())
    await elapse(1)
    await running.aclose()
    await draining
    assert asyncio.get_running_loop().time() == pytest.approx(1)


@virtual_time
async def test_a_keys_sessions_share_its_tokens() -> None:
    server = _Running(tokens_per_min=60)
    first, second, other = (server.sessions._budget(name) for name in ("a", "a", "b"))
    assert first is not None
    assert second is first
    assert other is not first
    first.spend(60, 0.0)
    assert second.is_spent(1000.0), "a session's own time says nothing"
    await elapse(30)
    assert not second.is_spent(0.0)
    assert _Running().sessions._budget("a") is None


@virtual_time
async def test_what_is_made_for_each_session(caplog: pytest.LogCaptureFixture) -> None:
    served = served_from("tests.server.agent_for_tests:stall_for")
    server = _Running()
    config: Any = begin_session(served, "realtime", model="north", expires_at=0)
    running = server.sessions.open(served, config, owner="a")
    assert FakeSession.made[0].config.instructions == "You serve north."
    bound = replace_fields(config, id="sess_2", instructions="As the secret says.")
    second = server.sessions.open(served, bound, owner="a")
    assert FakeSession.made[1].config.instructions == "As the secret says."
    fails: Any = lambda config: 1 / 0  # noqa: E731
    broken = replace(served, for_session=fails)
    with pytest.raises(ErrorReply) as refused:
        server.sessions.open(broken, config, owner="a")
    assert (refused.value.status, refused.value.code) == (500, "agent_failed")
    assert "division" in caplog.text
    assert len(server.sessions) == server.admission.sessions == 2
    for each in (running, second):
        await each.aclose()
