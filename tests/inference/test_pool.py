from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from repartee.inference import WorkerPool


class Taker:
    def __init__(self) -> None:
        self.got: list[int] = []
        self.errors: list[Exception] = []
        self.news = asyncio.Event()

    def deliver(self, result: int) -> None:
        self.got.append(result)
        self.news.set()

    def fail(self, error: Exception) -> None:
        self.errors.append(error)
        self.news.set()

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not ready():
                self.news.clear()
                await self.news.wait()


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("test-")]


def raise_value_error() -> int:
    raise ValueError("broken job")


def test_jobs_of_a_lane_run_in_order_and_one_at_a_time() -> None:
    async def main() -> None:
        pool, taker = WorkerPool(name="test-pool", threads=4), Taker()
        lane = pool.open(taker.deliver, taker.fail, pending_max=100)
        running = threading.Lock()

        def job(number: int) -> int:
            assert running.acquire(blocking=False), "two jobs of a lane ran at once"
            running.release()
            return number

        for number in range(100):
            assert lane.submit(lambda number=number: job(number))  # type: ignore[misc]
        await taker.until(lambda: len(taker.got) == 100)
        assert taker.got == list(range(100))
        await lane.aclose()

    asyncio.run(main())
    assert threads() == []


def test_lanes_run_in_parallel() -> None:
    async def main() -> None:
        pool, taker = WorkerPool(name="test-pool", threads=3), Taker()
        meet = threading.Barrier(3)  # passed only when three jobs run at once
        lanes = [pool.open(taker.deliver, taker.fail, pending_max=1) for _ in range(3)]
        for lane in lanes:
            lane.submit(lambda: meet.wait(30) * 0)
        await taker.until(lambda: len(taker.got) == 3)
        assert pool.statistics().threads == 3
        for lane in lanes:
            await lane.aclose()
        assert not taker.errors

    asyncio.run(main())
    assert threads() == []


def test_lanes_take_turns() -> None:
    async def main() -> None:
        pool, taker = WorkerPool(name="test-pool", threads=1), Taker()
        gate = threading.Event()
        first, second = (pool.open(taker.deliver, taker.fail, pending_max=10) for _ in range(2))
        first.submit(lambda: gate.wait(30) and 0)
        for number in (1, 2, 3):
            first.submit(lambda number=number: number)  # type: ignore[misc]
            second.submit(lambda number=number: -number)  # type: ignore[misc]
        gate.set()
        await taker.until(lambda: len(taker.got) == 7)
        assert taker.got == [0, -1, 1, -2, 2, -3, 3]
        await first.aclose()
        await second.aclose()

    asyncio.run(main())


def test_overflow_refuses_the_new_job() -> None:
    async def main() -> None:
        pool, taker = WorkerPool(name="test-pool", threads=1), Taker()
        gate, started = threading.Event(), threading.Event()
        lane = pool.open(taker.deliver, taker.fail, pending_max=2)

        def block() -> int:
            started.set()
            gate.wait(30)
            return 0

        lane.submit(block)
        assert await asyncio.to_thread(started.wait, 30)
        assert [lane.submit(lambda: 1) for _ in range(4)] == [True, True, False, False]
        statistics = pool.statistics()
        assert (statistics.refused_jobs, statistics.queue_depth, statistics.lanes) == (2, 2, 1)
        gate.set()
        await taker.until(lambda: len(taker.got) == 3)
        await lane.aclose()
        assert pool.statistics().jobs == 3

    asyncio.run(main())


def test_nothing_is_delivered_for_none() -> None:
    async def main() -> None:
        pool, taker = WorkerPool(name="test-pool", threads=1), Taker()
        lane = pool.open(taker.deliver, taker.fail, pending_max=2)
        lane.submit(lambda: None)
        lane.submit(lambda: 1)
        await taker.until(lambda: bool(taker.got))
        assert taker.got == [1]
        await lane.aclose()

    asyncio.run(main())


def test_failing_job_breaks_its_own_lane_only() -> None:
    async def main() -> None:
        pool = WorkerPool(name="test-pool", threads=1)
        bad, good = Taker(), Taker()
        broken = pool.open(bad.deliver, bad.fail, pending_max=9)
        works = pool.open(good.deliver, good.fail, pending_max=9)
        gate = threading.Event()
        broken.submit(lambda: gate.wait(30) and None)
        broken.submit(raise_value_error)
        broken.submit(lambda: 1)
        works.submit(lambda: 2)
        gate.set()
        await bad.until(lambda: bool(bad.errors))
        await good.until(lambda: bool(good.got))
        assert [str(error) for error in bad.errors] == ["broken job"]
        assert not broken.submit(lambda: 1)
        await broken.aclose()
        await works.aclose()
        assert (bad.got, good.got, good.errors) == ([], [2], [])
        assert pool.statistics().failed_jobs == 1

    asyncio.run(main())
    assert threads() == []


def test_close_waits_for_the_running_job_and_runs_the_last_one() -> None:
    async def main() -> None:
        pool, taker = WorkerPool(name="test-pool", threads=2), Taker()
        lane = pool.open(taker.deliver, taker.fail, pending_max=9)
        gate, started = threading.Event(), threading.Event()
        order: list[str] = []

        def job() -> int:
            started.set()
            gate.wait(30)
            order.append("job")
            return 1

        lane.submit(job)
        lane.submit(lambda: order.append("dropped"))
        assert await asyncio.to_thread(started.wait, 30)
        closing = asyncio.ensure_future(lane.aclose(lambda: order.append("last")))
        await asyncio.to_thread(lambda: None)
        assert not lane.submit(lambda: 1)
        assert not closing.done()
        gate.set()
        await closing
        assert order == ["job", "last"]
        assert taker.got == []
        await lane.aclose(lambda: order.append("again"))
        assert order == ["job", "last"]
        assert threads() == []

    asyncio.run(main())


def test_idle_lane_closes_with_its_last_job() -> None:
    async def main() -> None:
        pool, taker = WorkerPool(name="test-pool", threads=2), Taker()
        done: list[str] = []
        with_last, without = (pool.open(taker.deliver, taker.fail, pending_max=1) for _ in range(2))
        await with_last.aclose(lambda: done.append(threading.current_thread().name))
        await without.aclose()
        assert done[0].startswith("test-pool")
        assert threads() == []

    asyncio.run(main())


def test_threads_start_again() -> None:
    async def main() -> None:
        pool = WorkerPool(name="test-pool", threads=2)
        for number in range(20):
            assert await pool.run(lambda number=number: number) == number  # type: ignore[misc]
            assert threads() == []
        with pytest.raises(ValueError, match="broken job"):
            await pool.run(raise_value_error)

    asyncio.run(main())


def test_many_lanes_open_and_close_at_once() -> None:
    async def session(pool: WorkerPool, number: int) -> None:
        taker = Taker()
        for _ in range(5):
            lane = pool.open(taker.deliver, taker.fail, pending_max=50)
            for step in range(10):
                lane.submit(lambda step=step: step + number)  # type: ignore[misc]
            await taker.until(lambda: len(taker.got) >= 10)
            assert taker.got[:10] == [step + number for step in range(10)]
            taker.got.clear()
            await lane.aclose(lambda: None)

    async def main() -> None:
        pool = WorkerPool(name="test-pool", threads=3)
        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(session(pool, number))
        assert pool.statistics().jobs >= 30 * 5 * 10
        assert pool.statistics().lanes == pool.statistics().threads == 0

    asyncio.run(main())
    assert threads() == []


def test_lane_whose_loop_is_gone_is_dropped() -> None:
    pool = WorkerPool(name="test-pool", threads=1)
    gate = threading.Event()

    async def leave_open() -> None:
        taker = Taker()
        pool.open(taker.deliver, taker.fail, pending_max=1).submit(lambda: gate.wait(30) and 1)

    asyncio.run(leave_open())
    gate.set()

    async def look() -> None:
        await pool.run(lambda: None)  # behind the job, whose result has nowhere to go

    asyncio.run(look())
    assert pool.statistics().lanes == 0
    assert threads() == []
