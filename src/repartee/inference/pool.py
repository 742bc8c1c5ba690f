"""Blocking work of many streams on a few threads: each stream's in order, the streams in parallel.

A `Lane` is one stream's queue of jobs. A job runs on some thread of the pool, never two of one lane at a
time, so what it touches needs no lock of its own; what it returns is handed to the lane's callback on the
lane's event loop. Lanes take turns, a job each, so one with a backlog does not starve the others.

*Overflow.* A lane holds `pending_max` waiting jobs. `Lane.submit` then returns ``False`` and drops the new
job: its caller knows whether that is an error (audio of a sentence is missing) or not.

*Failure.* A job that raises breaks its own lane only: the lane reports it once and runs nothing more.

*Threads.* They start as lanes need them, up to `threads`, and end with the last lane, whose ``aclose`` waits.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from repartee.inference.worker import Worker

__all__ = ["Lane", "PoolStatistics", "WorkerPool"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """What a pool has done since it was made."""

    jobs: int
    failed_jobs: int
    refused_jobs: int
    """Lost to overflow."""
    lanes: int
    """Open now."""
    threads: int
    """Running now."""
    queue_depth: int
    """Jobs waiting now."""


class Lane(Generic[R]):
    """One stream's jobs. Made by `WorkerPool.open`."""

    __slots__ = ("_active", "_deliver", "_fail", "_jobs", "_loop", "_pending_max", "_pool", "closed")

    def __init__(
        self,
        pool: WorkerPool,
        deliver: Callable[[R], None],
        fail: Callable[[Exception], None],
        loop: asyncio.AbstractEventLoop,
        pending_max: int,
    ) -> None:
        self._pool = pool
        self._deliver = deliver
        self._fail = fail
        self._loop = loop
        self._pending_max = pending_max
        self._jobs: deque[Callable[[], R | None]] = deque()  # bounded by pending_max: submit refuses
        self._active = False  # whether it is among the ready lanes, or one of its jobs runs
        self.closed = False

    def submit(self, job: Callable[[], R | None]) -> bool:
        """Queue a job; from any thread; never blocks.

        Args:
            job: runs on a thread of the pool. What it returns goes to the lane's ``deliver``, unless it is
            None.

        Returns:
            whether it was taken: ``False`` past the bound, and once the lane is closed or has failed.
        """
        pool = self._pool
        with pool._lock:
            if self.closed:
                return False
            if len(self._jobs) >= self._pending_max:
                pool._refused += 1
                return False
            self._jobs.append(job)
            if not self._active:
                self._active = True
                pool._ready.append(self)
                pool._wake()
            return True

    async def aclose(self, last: Callable[[], object] | None = None) -> None:
        """Drop what waits, let a running job end, leave the pool. Nothing is delivered after this is called.

        Args:
            last: runs on a thread of the pool after the running job, before this returns: to give back what
                the jobs used. Not called a second time.
        """
        await self._pool._close(self, last)


class WorkerPool:
    """Threads for blocking work, shared by any number of lanes on any number of loops.

    Args:
        name: of the threads (a number is added).
        threads: how many at most. Default: one for each CPU that this process may use.
    """

    def __init__(self, *, name: str, threads: int | None = None) -> None:
        self._name = name
        self._threads_max = threads if threads is not None else _usable_cpus()
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self._ready: deque[Lane[Any]] = deque()  # bounded by the open lanes: each is in it once
        self._lanes: set[Lane[Any]] = set()
        self._workers: list[Worker] = []
        self._idle = 0
        self._jobs = self._failed = self._refused = 0

    def open(
        self,
        deliver: Callable[[R], None],
        fail: Callable[[Exception], None],
        *,
        pending_max: int,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Lane[R]:
        """Add a lane.

        Args:
            deliver: called on the loop with what each job returned, in order.
            fail: called on the loop once, when a job raised; nothing comes after it.
            pending_max: most jobs that may wait; `Lane.submit` refuses more.
            loop: where to call them. Default: the running loop.
        """
        loop = loop if loop is not None else asyncio.get_running_loop()
        lane: Lane[R] = Lane(self, deliver, fail, loop, pending_max)
        with self._lock:
            self._lanes.add(lane)
        return lane

    async def run(self, job: Callable[[], R]) -> R:
        """Run one job on a thread of the pool, behind what waits there. Returns what it returns, or raises."""
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()

        def settle(result: tuple[R]) -> None:
            if not done.done():
                done.set_result(result[0])

        def fail(error: Exception) -> None:
            if not done.done():
                done.set_exception(error)

        lane: Lane[tuple[R]] = self.open(settle, fail, pending_max=1)
        try:
            lane.submit(lambda: (job(),))
            return await done
        finally:
            await lane.aclose()

    def statistics(self) -> PoolStatistics:
        """What was done so far, and what waits."""
        with self._lock:
            return PoolStatistics(
                jobs=self._jobs,
                failed_jobs=self._failed,
                refused_jobs=self._refused,
                lanes=len(self._lanes),
                threads=len(self._workers),
                queue_depth=sum(len(lane._jobs) for lane in self._lanes),
            )

    def _wake(self) -> None:
        """See to it that a thread takes the next ready lane (the lock is held)."""
        if self._idle >= len(self._ready):
            self._condition.notify()
        elif len(self._workers) < self._threads_max:
            self._workers.append(Worker(f"{self._name}-{len(self._workers)}", self._work))

    async def _close(self, lane: Lane[Any], last: Callable[[], object] | None) -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def end() -> None:
            try:
                if last is not None:
                    last()
            finally:
                loop.call_soon_threadsafe(settle)

        def settle() -> None:
            if not ended.done():
                ended.set_result(None)

        with self._lock:
            first = lane in self._lanes
            lane.closed = True
            lane._jobs.clear()
            if first:
                self._lanes.discard(lane)
                if last is not None or lane._active:
                    lane._jobs.append(end)
                    if not lane._active:
                        lane._active = True
                        self._ready.append(lane)
                        self._wake()
                else:
                    ended.set_result(None)
        if first:
            await asyncio.shield(ended)
        await self._end_if_unused()

    async def _end_if_unused(self) -> None:
        with self._lock:
            if self._lanes or any(lane._active for lane in self._ready):
                return
            workers, self._workers = self._workers, []
            self._idle = 0
            for worker in workers:
                worker.stopping = True
            self._condition.notify_all()
        for worker in workers:
            await worker.ended()

    # What follows runs on the pool's threads.

    def _work(self, worker: Worker) -> None:
        while True:
            with self._lock:
                while not self._ready:
                    if worker.stopping:
                        return
                    self._idle += 1
                    self._condition.wait()
                    if not worker.stopping:  # else it was taken off the count when it was told to end
                        self._idle -= 1
                lane = self._ready.popleft()
                job = lane._jobs.popleft() if lane._jobs else None
            if job is not None:
                self._run(lane, job)
            with self._lock:
                if lane._jobs:
                    self._ready.append(lane)
                    if self._idle:
                        self._condition.notify()
                else:
                    lane._active = False

    def _run(self, lane: Lane[Any], job: Callable[[], object | None]) -> None:
        self._jobs += 1
        try:
            result = job()
        except Exception as error:  # reported: the lane's owner is told
            self._failed += 1
            with self._lock:
                if lane.closed:
                    return
                lane._jobs.clear()
                lane.closed = True
            self._post(lane, lane._fail, error)
        else:
            if result is not None:
                self._post(lane, _deliver, lane, result)

    def _post(self, lane: Lane[Any], callback: Callable[..., None], *args: object) -> None:
        try:
            lane._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop was closed: nobody is there to be told
            with self._lock:
                lane.closed = True
                lane._jobs.clear()
                self._lanes.discard(lane)


def _deliver(lane: Lane[Any], result: object) -> None:
    if not lane.closed:
        lane._deliver(result)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)
