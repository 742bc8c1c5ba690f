"""Nobody has said anything."""

from __future__ import annotations

import asyncio

from repartee.clock import Clock
from repartee.server.hearing.idle import IdleTimer
from repartee.testing import elapse, sleep_until, virtual_time


@virtual_time
async def test_it_calls_once_after_the_timeout() -> None:
    clock = Clock(asyncio.get_running_loop().time)
    called: list[float] = []
    idle = IdleTimer(clock, lambda: called.append(clock.now()))
    idle.begin(1.0, 7.5)
    assert [idle.counting] == [False]  # nobody has said how long
    await elapse(2.0)
    idle.configure(5.0)
    assert [idle.counting] == [True]
    assert idle.position_s == 7.5
    await elapse(20.0)
    assert called == [6.0]
    assert not idle.counting
    idle.configure(6.0)
    await elapse(20.0)
    assert called == [6.0]


@virtual_time
async def test_it_stops_and_begins_anew() -> None:
    clock = Clock(asyncio.get_running_loop().time)
    called: list[float] = []
    idle = IdleTimer(clock, lambda: called.append(clock.now()))
    idle.configure(5.0)
    idle.begin(0.0, 0.0)
    await sleep_until(4.0)
    idle.stop()
    await sleep_until(10.0)
    idle.begin(11.0, 0.0)  # it is heard to its end a second from now
    idle.configure(8.0)
    await sleep_until(30.0)
    assert called == [19.0]
    idle.begin(30.0, 0.0)
    idle.configure(None)
    await elapse(20.0)
    assert called == [19.0]
