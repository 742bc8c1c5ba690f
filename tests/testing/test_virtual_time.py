"""The loop that jumps: exact time, the same order twice, deadlocks named, nothing left behind."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator

import pytest

from repartee.chat import new_id
from repartee.clock import Clock
from repartee.testing.virtual_time import (
    DeadlockError,
    LeakError,
    SwallowedError,
    TimeLimitError,
    VirtualTimeLoop,
    elapse,
    hold_time,
    run,
    sleep_until,
    virtual_time,
)


def now() -> float:
    return asyncio.get_running_loop().time()


# -- time ----------------------------------------------------------------------------------------------------


@virtual_time
async def test_time_begins_at_zero_and_moves_exactly_to_each_timer() -> None:
    seen = [now()]
    for when in (0.02, 0.3, 7.7):
        await sleep_until(when)
        seen.append(now())
    await sleep_until(1.0)  # passed already
    seen.append(now())
    await elapse(0.1)
    seen.append(now())
    assert seen == [0.0, 0.02, 0.3, 7.7, 7.7, 7.7 + 0.1]


@virtual_time
async def test_no_time_passes_until_all_is_done_that_can_be() -> None:
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    async def chain() -> None:
        for step in range(5):
            await asyncio.sleep(0)
            seen.append(await asyncio.to_thread(abs, -step))
        loop.call_later(0, seen.append, 99)

    async with asyncio.TaskGroup() as group:
        group.create_task(chain())
        await elapse(0)
        assert seen == [0, 1, 2, 3, 4, 99]
    assert now() == 0.0


def test_half_an_hour_of_20_ms_ticks_takes_seconds() -> None:
    async def main() -> int:
        ticks = 0
        while now() < 1800.0:
            ticks += 1
            await sleep_until(ticks * 0.02)
        return ticks

    real = Clock()
    assert run(main()) == 90_000
    # About one second on an idle machine; the limit leaves room for a busy one.
    assert real.now() < 20.0


@virtual_time
async def test_timeouts_are_virtual() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5.0):
            await asyncio.Event().wait()
    assert now() == 5.0


def test_order_is_the_same_in_every_run() -> None:
    async def main() -> list[tuple[float, str, str]]:
        seen: list[tuple[float, str, str]] = []

        async def worker(number: int) -> None:
            for step in range(20):
                await elapse((number * 7 + step * 3) % 5 / 10)
                await asyncio.to_thread(sum, range(number * 100))
                task = asyncio.current_task()
                assert task is not None
                seen.append((now(), task.get_name(), new_id("item")))

        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(worker(number))
        return seen

    first = run(main(), seed=3)
    assert first == run(main(), seed=3)
    assert len(first) == 200
    assert [item for _, _, item in first] != [item for _, _, item in run(main(), seed=4)]


def test_ids_are_unpredictable_again_afterwards() -> None:
    async def main() -> str:
        return new_id("item")

    assert run(main()) == run(main())
    assert new_id("item") != new_id("item")
    assert len(new_id("item")) == 26


# -- what can't end ------------------------------------------------------------------------------------------


def test_deadlock_names_the_tasks_and_where_they_wait() -> None:
    async def waits_in_vain() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await elapse(2.5)
        async with asyncio.TaskGroup() as group:
            group.create_task(waits_in_vain(), name="the microphone")

    with pytest.raises(DeadlockError) as caught:
        run(main())
    text = str(caught.value)
    assert "deadlock at 2.500 s" in text
    assert "the microphone" in text
    assert "waits_in_vain" in text
    assert "in wait" in text  # the innermost frame, in asyncio's Event
    assert "main" in text
    assert "test_virtual_time.py" in text


def test_deadlock_tells_which_task_had_failed() -> None:
    async def fails() -> None:
        raise ValueError("the reason for it all")

    async def main() -> None:
        task = asyncio.create_task(fails())
        await asyncio.Event().wait()
        await task

    with pytest.raises(DeadlockError, match="the reason for it all"):
        run(main())


def test_virtual_limit() -> None:
    async def main() -> None:
        while True:
            await elapse(1.0)

    with pytest.raises(TimeLimitError, match="10 virtual seconds") as caught:
        run(main(), max_virtual_s=10.0)
    assert "main" in str(caught.value)


def test_real_limit_when_callbacks_go_round_in_a_circle() -> None:
    async def main() -> None:
        while True:
            await elapse(0)

    with pytest.raises(TimeLimitError, match="circle"):
        run(main(), max_real_s=0.05)


def test_real_limit_names_the_thread_work() -> None:
    ended = threading.Event()

    def stuck_work() -> None:
        ended.wait(30.0)

    async def main() -> None:
        await asyncio.to_thread(stuck_work)

    try:
        with pytest.raises(TimeLimitError, match="stuck_work"):
            run(main(), max_real_s=0.05)
    finally:
        ended.set()


def test_a_task_that_resists_cancellation_does_not_hide_the_failure() -> None:
    async def main() -> None:
        try:
            await elapse(100.0)
        finally:
            await asyncio.Event().wait()

    with pytest.raises(TimeLimitError, match="max_virtual_s"):
        run(main(), max_virtual_s=1.0)


# -- what is left --------------------------------------------------------------------------------------------


async def forever() -> None:
    while True:
        await elapse(1.0)


def test_a_task_left_behind_is_a_leak() -> None:
    tasks = []

    async def main() -> None:
        tasks.append(asyncio.create_task(forever(), name="left"))

    with pytest.raises(LeakError, match=r"task left \(forever\)"):
        run(main())
    assert tasks[0].cancelled()
    run(main(), check_leaks=False)


def test_a_timer_left_behind_is_a_leak() -> None:
    def ring() -> None: ...

    async def main() -> None:
        asyncio.get_running_loop().call_later(3.0, ring)
        asyncio.get_running_loop().call_later(4.0, ring).cancel()

    with pytest.raises(LeakError, match=r"timer at 3\.000 s: .*ring") as caught:
        run(main())
    assert "4.000" not in str(caught.value)


async def numbers() -> AsyncGenerator[int, None]:
    for number in range(3):
        yield number


def test_an_open_generator_is_a_leak() -> None:
    kept = []

    async def main() -> None:
        kept.append(numbers())
        await anext(kept[0])

    with pytest.raises(LeakError, match="open async generator numbers"):
        run(main())


def test_a_generator_dropped_midway_is_a_leak() -> None:
    async def main() -> None:
        async for _ in numbers():
            break
        await elapse(1.0)

    with pytest.raises(LeakError, match="numbers"):
        run(main())


@virtual_time
async def test_what_ends_at_the_same_instant_is_no_leak() -> None:
    task = asyncio.create_task(forever())
    async for _ in numbers():
        pass
    await elapse(0)
    task.cancel()


# -- exceptions ----------------------------------------------------------------------------------------------


def test_an_exception_in_a_callback_ends_the_run() -> None:
    def breaks() -> None:
        raise ValueError("broken")

    async def main() -> None:
        asyncio.get_running_loop().call_later(1.0, breaks)
        await elapse(100.0)

    with pytest.raises(SwallowedError, match=r"swallowed by 1\.000 s") as caught:
        run(main())
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_task_that_failed_unseen_fails_the_run() -> None:
    kept = []

    async def fails() -> None:
        raise ValueError("unseen")

    async def main() -> None:
        kept.append(asyncio.create_task(fails()))
        await elapse(1.0)

    with pytest.raises(SwallowedError, match="unseen"):
        run(main())


def test_the_exception_of_main_comes_through() -> None:
    async def main() -> None:
        await elapse(1.0)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(main())


# -- threads and sockets -------------------------------------------------------------------------------------


@virtual_time
async def test_thread_work_takes_no_virtual_time_and_ends_in_the_order_of_submission() -> None:
    release = threading.Event()
    seen: list[tuple[str, float]] = []

    async def work(name: str, wait: bool) -> None:
        await asyncio.to_thread(release.wait if wait else release.set)
        seen.append((name, now()))

    async def tick() -> None:
        await elapse(0.001)
        seen.append(("tick", now()))

    async with asyncio.TaskGroup() as group:
        group.create_task(tick())
        group.create_task(work("first, slow", True))
        group.create_task(work("second, quick", False))
    assert seen == [("first, slow", 0.0), ("second, quick", 0.0), ("tick", 0.001)]


@virtual_time
async def test_thread_work_hands_over_errors_and_survives_its_waiter() -> None:
    def fails() -> None:
        raise ValueError("in the thread")

    with pytest.raises(ValueError, match="in the thread"):
        await asyncio.to_thread(fails)
    done: list[int] = []
    task = asyncio.create_task(asyncio.to_thread(done.append, 1))
    await asyncio.sleep(0)
    task.cancel()
    await elapse(1.0)
    assert done == [1]


@virtual_time
async def test_time_is_held_for_a_thread_of_ones_own() -> None:
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[int] = loop.create_future()
    thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(answered.set_result, 7))
    with hold_time():
        thread.start()
        async with asyncio.timeout(0.001):
            assert await answered == 7
    thread.join()
    assert now() == 0.0


def test_hold_time_does_nothing_on_another_loop() -> None:
    async def main() -> bool:
        with hold_time():
            return not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)

    assert asyncio.run(main())


@virtual_time
async def test_sockets_work() -> None:
    left, right = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=left)
    far_reader, far_writer = await asyncio.open_connection(sock=right)
    writer.write(b"hello\n")
    assert await far_reader.readline() == b"hello\n"
    for one in (writer, far_writer):
        one.close()
        await one.wait_closed()
    assert await reader.read() == b""


# -- the decorator -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2])
@virtual_time(max_virtual_s=5.0)
async def test_parameters_and_fixtures_pass_through(number: int, request: pytest.FixtureRequest) -> None:
    assert f"[{number}]" in request.node.name


class TestMethods:
    @virtual_time
    async def test_method(self) -> None:
        assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
