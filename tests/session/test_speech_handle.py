"""What the agent is to say, from the request until nothing more of it will be heard."""

from __future__ import annotations

import asyncio

import pytest

from repartee.session import SpeechHandle
from repartee.testing import elapse, virtual_time


@virtual_time
async def test_several_may_wait_and_one_may_give_up() -> None:
    handle = SpeechHandle("req", lambda _: None)

    async def wait() -> SpeechHandle:
        return await handle

    waiting = [asyncio.create_task(wait()) for _ in range(3)]
    await elapse(0)
    waiting[0].cancel()
    await elapse(0)
    assert not handle.done  # who gives up waiting ends nothing
    handle.finish()
    handle.finish()
    assert [await task for task in waiting[1:]] == [handle, handle]
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    assert await handle.wait() is handle


@virtual_time
async def test_it_interrupts_only_while_it_lasts() -> None:
    asked: list[SpeechHandle] = []
    handle = SpeechHandle("req", asked.append)
    handle.interrupt()
    handle.finish()
    handle.interrupt()
    assert asked == [handle]


@virtual_time
async def test_nobody_has_to_wait() -> None:
    handle = SpeechHandle("req", lambda _: None)
    assert (handle.id, handle.interrupted, handle.error, handle.items, handle.response_ids) == (
        "req",
        False,
        None,
        [],
        [],
    )
    handle.finish()
