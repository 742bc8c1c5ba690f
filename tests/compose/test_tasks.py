"""No task without somebody who ends it."""

from __future__ import annotations

import asyncio

import pytest

from repartee.compose.tasks import TaskOwner
from repartee.testing import elapse, virtual_time


@virtual_time
async def test_it_cancels_what_runs_in_the_order_in_which_it_began() -> None:
    ended: list[str] = []
    owner = TaskOwner(lambda _: None)

    async def work(name: str) -> None:
        try:
            await elapse(100)
        finally:
            ended.append(name)

    for name in ("a", "b", "c"):
        owner.spawn(work(name), name=name)
    await elapse(1)
    await owner.aclose()
    await owner.aclose()
    assert ended == ["a", "b", "c"]


@virtual_time
async def test_it_waits_for_what_only_has_to_finish() -> None:
    done: list[float] = []
    owner = TaskOwner(lambda _: None)

    async def release() -> None:
        await elapse(2)
        done.append(asyncio.get_running_loop().time())

    owner.finish(release(), name="release")
    await owner.aclose()
    assert done == [2.0]


@virtual_time
async def test_what_fails_is_told_once() -> None:
    told: list[Exception] = []
    owner = TaskOwner(told.append)

    async def fail() -> None:
        raise ValueError("oops")

    owner.spawn(fail(), name="a")
    owner.finish(fail(), name="b")
    await elapse(0)
    assert [str(error) for error in told] == ["oops", "oops"]
    await owner.aclose()


@virtual_time
async def test_after_the_end_nothing_begins() -> None:
    began: list[int] = []
    owner = TaskOwner(lambda _: None)
    await owner.aclose()

    async def work() -> None:
        began.append(1)

    task = owner.spawn(work(), name="late")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert began == []


@virtual_time
async def test_a_task_may_close_its_own_owner() -> None:
    owner = TaskOwner(lambda _: None)
    order: list[str] = []

    async def other() -> None:
        try:
            await elapse(100)
        finally:
            order.append("other")

    async def closer() -> None:
        await owner.aclose()
        order.append("closer")

    owner.spawn(other(), name="other")
    task = owner.spawn(closer(), name="closer")
    await task
    assert order == ["other", "closer"]
