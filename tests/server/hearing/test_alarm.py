"""One timer on session time."""

from __future__ import annotations

import asyncio

from repartee.clock import Clock
from repartee.server.hearing.alarm import Alarm
from repartee.testing import elapse, virtual_time


@virtual_time
async def test_it_calls_once_at_the_time_that_was_set_last() -> None:
    await elapse(3.0)
    clock = Clock(asyncio.get_running_loop().time)  # its time is not the loop's
    called: list[float] = []
    alarm = Alarm(clock, lambda: called.append(clock.now()))
    alarm.set(2.0)
    alarm.set(1.0)
    alarm.set(1.0)
    assert [alarm.due_s] == [1.0]
    await elapse(5.0)
    assert called == [1.0]
    assert alarm.due_s is None
    alarm.set(4.0)  # has passed
    assert called == [1.0]
    await elapse(0.0)
    assert called == [1.0, 5.0]
    alarm.set(6.0)
    alarm.set(None)
    await elapse(5.0)
    assert len(called) == 2


@virtual_time
async def test_it_can_be_set_again_from_within() -> None:
    clock = Clock(asyncio.get_running_loop().time)
    called: list[float] = []

    def due() -> None:
        called.append(clock.now())
        if len(called) < 3:
            alarm.set(clock.now() + 1.0)

    alarm = Alarm(clock, due)
    alarm.set(1.0)
    await elapse(9.0)
    assert called == [1.0, 2.0, 3.0]
