"""Callbacks later and in order."""

from __future__ import annotations

import asyncio

from repartee.testing._delay import DelayLine
from repartee.testing.virtual_time import elapse, virtual_time


@virtual_time
async def test_order_is_that_of_giving() -> None:
    loop = asyncio.get_running_loop()
    line = DelayLine()
    seen: list[tuple[float, str]] = []

    def note(name: str) -> None:
        seen.append((loop.time(), name))

    line.after(0.5, note, "late")
    line.after(0.1, note, "would be early")
    line.after(0.0, note, "at once")
    assert seen == []
    await elapse(1.0)
    line.after(0.0, note, "now")
    assert len(seen) == 3  # never from within
    await elapse(0)
    assert seen == [(0.5, "late"), (0.5, "would be early"), (0.5, "at once"), (1.0, "now")]


@virtual_time
async def test_dropping_by_tag_and_lateness() -> None:
    line = DelayLine()
    seen: list[str] = []
    line.after(0.1, seen.append, "a", tag=1)
    line.after(0.2, seen.append, "b", tag=2)
    line.after(0.4, seen.append, "c", tag=1)
    line.drop(1, due_after_s=0.2)
    line.after(0.0, seen.append, "d")
    await elapse(0.3)
    assert seen == ["a", "b", "d"]
    line.after(0.1, seen.append, "e", tag=1)
    line.drop(1)
    await elapse(1.0)
    assert seen == ["a", "b", "d"]


@virtual_time
async def test_closing_leaves_no_timer() -> None:
    line = DelayLine()
    seen: list[str] = []
    line.after(0.1, seen.append, "a")
    line.close()
    line.after(0.1, seen.append, "b")
    await elapse(1.0)
    assert seen == []


@virtual_time
async def test_a_callback_may_close_or_add() -> None:
    line = DelayLine()
    seen: list[str] = []
    line.after(0.1, lambda: line.after(0.0, seen.append, "added"))
    line.after(0.1, seen.append, "second")
    await elapse(0.2)
    assert seen == ["second", "added"]
    line.after(0.1, line.close)
    line.after(0.1, seen.append, "never")
    await elapse(0.2)
    assert seen == ["second", "added"]
