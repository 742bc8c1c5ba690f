"""One model for many streams, a batch at a time.

Theory of operation
-------------------
A stream hands over items; the one worker thread takes the oldest waiting item of each ready stream, runs
them as one batch, and gives each result back on its stream's event loop, with one ``call_soon_threadsafe``
for each loop and batch. While a batch runs the next one collects. A stream has at most one item in a batch,
because items of one stream follow one another through the model's state; so results come in the order of
the items.

*Gathering.* Run at once, whatever comes would make batches of one: a small model spends more on being woken
(its weights have left the cache) than on computing. So the worker waits for company: `gather_per_stream_ms`
for each other open stream, at most `gather_max_ms`, and no longer than until `enough` streams (or all) are
ready. A single stream never waits, and neither does a backlog.

*Overflow.* A stream keeps `pending_max` items; past that its oldest is dropped and counted. The newest
audio is what a live conversation needs.

*Failure.* When a batch fails, its items are run one by one, so only the streams that cannot be run fail:
each is told once and gets nothing more. ``run`` must therefore leave its state as it was when it raises.

*Threads.* The thread starts with the first stream and ends with the last one, whose ``aclose`` waits for
that. A stream whose loop was closed under it is dropped when its next result can't be delivered.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from repartee.inference.worker import Worker

__all__ = ["BatchStream", "Batcher", "BatcherStatistics"]

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

Run = Callable[[Sequence[int], Sequence[I]], Sequence[R]]
"""Runs a batch: ``run(slots, items)`` gives one result for each, in order. ``slots[k]`` is the small number
of the stream that item ``k`` belongs to, no two alike: where the model keeps that stream's state. A closed
stream's slot is given to a later one, so the first item of a stream must say that it is the first."""


@dataclass(frozen=True, slots=True)
class BatcherStatistics:
    """What a batcher has done since it was made."""

    batches: int
    items: int
    largest_batch: int
    failed_batches: int
    dropped_items: int
    """Lost to overflow."""
    streams: int
    """Open now."""
    queue_depth: int
    """Items waiting now."""


@dataclass(slots=True)
class _Counts:
    batches: int = 0
    items: int = 0
    largest: int = 0
    failed: int = 0
    dropped: int = 0


class BatchStream(Generic[I, R]):
    """One stream's place in the batches. Made by `Batcher.open`; use it on the loop that opened it."""

    __slots__ = (
        "_batcher",
        "_deliver",
        "_fail",
        "_loop",
        "closed",
        "dropped",
        "epoch",
        "pending",
        "queued",
        "slot",
    )

    def __init__(
        self,
        batcher: Batcher[I, R],
        slot: int,
        deliver: Callable[[R], None],
        fail: Callable[[Exception], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._batcher = batcher
        self._deliver = deliver
        self._fail = fail
        self._loop = loop
        self.slot = slot
        self.pending: deque[I] = deque()  # bounded by pending_max: submit drops the oldest
        self.queued = False  # whether it is among the batcher's ready ones
        self.closed = False
        self.epoch = 0  # a result of an earlier epoch is not delivered
        self.dropped = 0
        """Items lost to overflow."""

    def submit(self, item: I) -> None:
        """Queue an item. Never blocks. Ignored once the stream is closed or has failed."""
        batcher = self._batcher
        with batcher._lock:
            if self.closed:
                return
            pending = self.pending
            if len(pending) >= batcher._pending_max:
                pending.popleft()
                self.dropped += 1
                batcher._done.dropped += 1
            pending.append(item)
            if not self.queued:
                self.queued = True
                ready = batcher._ready
                ready.append(self)
                if len(ready) == batcher._wake_at:
                    batcher._condition.notify()

    def clear(self) -> None:
        """Drop what waits and what is being computed: nothing submitted before gives a result any more."""
        with self._batcher._lock:
            self.pending.clear()
            self.epoch += 1

    async def aclose(self) -> None:
        """Leave the batches. No result comes after this returns; the last one also waits for the thread."""
        await self._batcher._close(self)


class Batcher(Generic[I, R]):
    """Batches the items of any number of streams, on any number of loops, through one model.

    Args:
        load: makes the model ready and returns what runs a batch (see `Run`). Called once, on the worker's
            thread (or `prewarm`'s), when it is first needed; called again later if it raised.
        name: of the thread.
        batch_max: most items of a batch. Default: 256.
        pending_max: most items that a stream may have waiting; the oldest is dropped. Default: 32.
        gather_max_ms: longest wait for company. Default: 16.
        gather_per_stream_ms: wait for each other open stream. Default: 0.5.
        enough: as many ready streams are not made to wait for more. Default: 64.
    """

    def __init__(
        self,
        load: Callable[[], Run[I, R]],
        *,
        name: str,
        batch_max: int = 256,
        pending_max: int = 32,
        gather_max_ms: float = 16.0,
        gather_per_stream_ms: float = 0.5,
        enough: int = 64,
    ) -> None:
        self._load = load
        self._run: Run[I, R] | None = None
        self._load_lock = threading.Lock()
        self._name = name
        self._batch_max = batch_max
        self._pending_max = pending_max
        self._gather_max_s = gather_max_ms / 1000
        self._gather_per_stream_s = gather_per_stream_ms / 1000
        self._enough = enough
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self._ready: deque[BatchStream[I, R]] = deque()  # bounded by the open streams: each is in it once
        self._wake_at = 0  # at how many ready streams the worker wants to be woken; 0: it is not waiting
        self._backlog = False  # whether the last batch left ready streams over, which have waited enough
        self._streams: dict[int, BatchStream[I, R]] = {}
        self._worker: Worker | None = None
        self._ending: Worker | None = None  # the last one that was told to end
        self._working = threading.Lock()  # held by the thread at work: a new one waits for the old
        self._done = _Counts()

    def open(
        self,
        deliver: Callable[[R], None],
        fail: Callable[[Exception], None],
        *,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> BatchStream[I, R]:
        """Add a stream.

        Args:
            deliver: called on the loop with each result, in the order of the items.
            fail: called on the loop at most once, when this stream's items can't be run; nothing comes after.
            loop: where to call them. Default: the running loop.
        """
        loop = loop if loop is not None else asyncio.get_running_loop()
        with self._lock:
            slot = 0
            while slot in self._streams:
                slot += 1
            stream = BatchStream(self, slot, deliver, fail, loop)
            self._streams[slot] = stream
            if self._worker is None:
                self._worker = Worker(self._name, self._work)
        return stream

    async def prewarm(self) -> None:
        """Load the model now, off the loop. Raises what loading raises."""
        await asyncio.to_thread(self._loaded)

    def statistics(self) -> BatcherStatistics:
        """What was done so far, and what waits."""
        with self._lock:
            return BatcherStatistics(
                batches=self._done.batches,
                items=self._done.items,
                largest_batch=self._done.largest,
                failed_batches=self._done.failed,
                dropped_items=self._done.dropped,
                streams=len(self._streams),
                queue_depth=sum(len(s.pending) for s in self._streams.values()),
            )

    def _loaded(self) -> Run[I, R]:
        with self._load_lock:
            if self._run is None:
                self._run = self._load()
            return self._run

    async def _close(self, stream: BatchStream[I, R]) -> None:
        with self._lock:
            self._remove(stream)
            worker = self._ending if not self._streams else None
        if worker is not None:
            await worker.ended()

    def _remove(self, stream: BatchStream[I, R]) -> None:
        """Forget a stream (the lock is held). The last one sends the worker home."""
        stream.closed = True
        stream.pending.clear()
        if self._streams.get(stream.slot) is not stream:
            return
        del self._streams[stream.slot]
        if not self._streams and self._worker is not None:
            self._ending, self._worker = self._worker, None
            self._ending.stopping = True
            self._ready.clear()
            self._condition.notify_all()

    # What follows runs on the worker's thread.

    def _work(self, worker: Worker) -> None:
        with self._working:
            # Load before the first item comes; a failure is told to the streams when they have one.
            with contextlib.suppress(Exception):
                self._loaded()
            while (batch := self._collect(worker)) is not None:
                streams = [stream for stream, _, _ in batch]
                epochs = [epoch for _, epoch, _ in batch]
                outcomes = self._run_batch([s.slot for s in streams], [item for _, _, item in batch])
                self._hand_back(streams, epochs, outcomes)

    def _collect(self, worker: Worker) -> list[tuple[BatchStream[I, R], int, I]] | None:
        """The next batch: (stream, epoch, item) of each ready stream; None when the worker shall end."""
        ready = self._ready
        with self._lock:
            while not ready:
                if worker.stopping:
                    return None
                self._wake_at = 1
                self._condition.wait()
            count = len(self._streams)
            enough = min(self._enough, count)
            if not self._backlog and len(ready) < enough:
                self._wake_at = enough
                self._condition.wait(min(self._gather_max_s, self._gather_per_stream_s * (count - 1)))
            self._wake_at = 0
            if worker.stopping:
                return None
            batch: list[tuple[BatchStream[I, R], int, I]] = []
            while ready and len(batch) < self._batch_max:
                stream = ready.popleft()
                stream.queued = False
                if stream.pending:
                    batch.append((stream, stream.epoch, stream.pending.popleft()))
            # A stream with more goes to the end of the queue now: it is the backlog of the next batch.
            for stream, _, _ in batch:
                if stream.pending:
                    stream.queued = True
                    ready.append(stream)
            self._backlog = bool(ready)
            return batch

    def _run_batch(self, slots: list[int], items: list[I]) -> list[R | _Failure]:
        if not items:
            return []
        self._done.batches += 1
        self._done.items += len(items)
        self._done.largest = max(self._done.largest, len(items))
        try:
            return list(self._run_checked(slots, items))
        except Exception as error:  # reported: each stream that can't be run is told
            self._done.failed += 1
            if len(items) == 1 or self._run is None:
                return [_Failure(error)] * len(items)
        outcomes: list[R | _Failure] = []
        for slot, item in zip(slots, items, strict=True):
            try:
                outcomes.extend(self._run_checked([slot], [item]))
            except Exception as error:
                outcomes.append(_Failure(error))
        return outcomes

    def _run_checked(self, slots: list[int], items: list[I]) -> Sequence[R]:
        results = self._loaded()(slots, items)
        if len(results) != len(items):
            raise RuntimeError(f"{self._name}: a batch of {len(items)} items gave {len(results)} results")
        return results

    def _hand_back(
        self, streams: list[BatchStream[I, R]], epochs: list[int], outcomes: list[R | _Failure]
    ) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[BatchStream[I, R], int, R | _Failure]]] = {}
        for stream, epoch, outcome in zip(streams, epochs, outcomes, strict=True):
            if not stream.closed:
                by_loop.setdefault(stream._loop, []).append((stream, epoch, outcome))
        for loop, results in by_loop.items():
            try:
                loop.call_soon_threadsafe(self._deliver, loop, results)
            except RuntimeError:  # the loop was closed: nobody is there to be told
                with self._lock:
                    for stream, _, _ in results:
                        self._remove(stream)

    # And this on an event loop.

    def _deliver(
        self, loop: asyncio.AbstractEventLoop, results: list[tuple[BatchStream[I, R], int, R | _Failure]]
    ) -> None:
        for stream, epoch, outcome in results:
            if stream.closed:
                continue
            try:
                if isinstance(outcome, _Failure):
                    with self._lock:
                        self._remove(stream)
                    stream._fail(outcome.error)
                elif stream.epoch == epoch:
                    stream._deliver(outcome)
            except Exception as error:
                # One session's callback must not keep the others from their results.
                loop.call_exception_handler(
                    {"message": f"a result callback of {self._name} failed", "exception": error}
                )


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception
