from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from repartee.inference import Batcher
from repartee.inference.batch import Run

Doubling = Batcher[int, int]


class Model:
    """Doubles numbers, when it is let; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.slots: list[list[int]] = []
        self.threads: set[str] = set()
        self.bad: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()

    def run(self, slots: Sequence[int], items: Sequence[int]) -> list[int]:
        self.busy.set()
        assert self.gate.wait(30)
        self.threads.add(threading.current_thread().name)
        self.batches.append(list(items))
        self.slots.append(list(slots))
        if self.bad & set(items):
            raise ValueError(f"bad item in {list(items)}")
        return [2 * item for item in items]

    def hold(self) -> None:
        """Make the next batch wait for `gate`."""
        self.gate.clear()
        self.busy.clear()


class Taker:
    """Takes a stream's results."""

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


async def waiting(model: Model) -> None:
    """Return once the model is in a batch."""
    assert await asyncio.to_thread(model.busy.wait, 30)


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("test-")]


def test_results_come_in_order_on_the_loops_thread() -> None:
    async def main() -> None:
        model, taker = Model(), Taker()
        where: set[str] = set()

        def deliver(result: int) -> None:
            where.add(threading.current_thread().name)
            taker.deliver(result)

        batcher = Doubling(lambda: model.run, name="test-batch")
        stream = batcher.open(deliver, taker.fail)
        for item in range(30):
            stream.submit(item)
        await taker.until(lambda: len(taker.got) == 30)
        await stream.aclose()
        assert taker.got == [2 * item for item in range(30)]
        assert where == {threading.current_thread().name}
        assert model.threads == {"test-batch"}
        assert all(len(batch) == 1 for batch in model.batches)

    asyncio.run(main())
    assert threads() == []


def test_what_arrives_while_a_batch_runs_is_the_next_batch() -> None:
    async def main() -> None:
        model = Model()
        batcher = Doubling(lambda: model.run, name="test-batch", gather_max_ms=0)
        takers = [Taker() for _ in range(5)]
        streams = [batcher.open(taker.deliver, taker.fail) for taker in takers]
        model.hold()
        streams[0].submit(0)
        await waiting(model)
        for number, stream in enumerate(streams[1:], 1):
            stream.submit(number)
            stream.submit(10 * number)
        model.gate.set()
        for number, taker in enumerate(takers[1:], 1):
            await taker.until(lambda taker=taker: len(taker.got) == 2)  # type: ignore[misc]
            assert taker.got == [2 * number, 20 * number]
        assert model.batches == [[0], [1, 2, 3, 4], [10, 20, 30, 40]]
        assert model.slots == [[0], [1, 2, 3, 4], [1, 2, 3, 4]]
        statistics = batcher.statistics()
        assert (statistics.batches, statistics.items, statistics.largest_batch) == (3, 9, 4)
        assert (statistics.streams, statistics.queue_depth, statistics.dropped_items) == (5, 0, 0)
        for stream in streams:
            await stream.aclose()

    asyncio.run(main())


def test_streams_are_gathered() -> None:
    async def main() -> None:
        model = Model()
        # Nobody waits for less than everybody, for as long as it takes.
        batcher = Doubling(
            lambda: model.run, name="test-batch", gather_max_ms=30_000, gather_per_stream_ms=30_000
        )
        takers = [Taker() for _ in range(3)]
        streams = [batcher.open(taker.deliver, taker.fail) for taker in takers]
        for number, stream in enumerate(streams):
            stream.submit(number)
            await asyncio.to_thread(lambda: None)
        for taker in takers:
            await taker.until(lambda taker=taker: bool(taker.got))  # type: ignore[misc]
        assert model.batches == [[0, 1, 2]]
        for stream in streams:
            await stream.aclose()

    asyncio.run(main())


def test_batches_are_bounded() -> None:
    async def main() -> None:
        model = Model()
        batcher = Doubling(lambda: model.run, name="test-batch", batch_max=2, gather_max_ms=0)
        takers = [Taker() for _ in range(5)]
        streams = [batcher.open(taker.deliver, taker.fail) for taker in takers]
        model.hold()
        streams[0].submit(0)
        await waiting(model)
        for number, stream in enumerate(streams):
            stream.submit(number)
        model.gate.set()
        for taker in takers:
            await taker.until(lambda taker=taker: bool(taker.got))  # type: ignore[misc]
        await takers[0].until(lambda: len(takers[0].got) == 2)
        assert model.batches == [[0], [0, 1], [2, 3], [4]]
        for stream in streams:
            await stream.aclose()

    asyncio.run(main())


def test_overflow_drops_the_oldest() -> None:
    async def main() -> None:
        model, taker = Model(), Taker()
        batcher = Doubling(lambda: model.run, name="test-batch", pending_max=3)
        stream = batcher.open(taker.deliver, taker.fail)
        model.hold()
        stream.submit(100)
        await waiting(model)
        for item in range(10):
            stream.submit(item)
        assert stream.dropped == 7
        assert batcher.statistics().dropped_items == 7
        assert batcher.statistics().queue_depth == 3
        model.gate.set()
        await taker.until(lambda: len(taker.got) == 4)
        assert taker.got == [200, 14, 16, 18]
        await stream.aclose()

    asyncio.run(main())


def test_failing_item_fails_its_own_stream_only() -> None:
    async def main() -> None:
        model = Model()
        model.bad = {13}
        batcher = Doubling(lambda: model.run, name="test-batch", gather_max_ms=0)
        takers = [Taker() for _ in range(3)]
        streams = [batcher.open(taker.deliver, taker.fail) for taker in takers]
        model.hold()
        streams[0].submit(0)
        await waiting(model)
        for stream, item in zip(streams, (1, 13, 3), strict=True):
            stream.submit(item)
            stream.submit(item + 20)
        model.gate.set()
        await takers[1].until(lambda: bool(takers[1].errors))
        await takers[0].until(lambda: len(takers[0].got) == 3)
        await takers[2].until(lambda: len(takers[2].got) == 2)
        assert takers[0].got == [0, 2, 42]
        assert takers[2].got == [6, 46]
        assert takers[1].got == []
        assert [str(error) for error in takers[1].errors] == ["bad item in [13]"]
        streams[1].submit(5)  # ignored
        assert batcher.statistics().failed_batches == 1
        assert batcher.statistics().streams == 2
        for stream in streams:
            await stream.aclose()
        assert takers[1].got == []

    asyncio.run(main())
    assert threads() == []


def test_wrong_number_of_results_is_a_failure() -> None:
    async def main() -> None:
        taker = Taker()
        batcher = Doubling(lambda: lambda slots, items: [], name="test-batch")
        stream = batcher.open(taker.deliver, taker.fail)
        stream.submit(1)
        await taker.until(lambda: bool(taker.errors))
        assert "a batch of 1 items gave 0 results" in str(taker.errors[0])
        await stream.aclose()

    asyncio.run(main())


def test_model_that_can_not_be_loaded() -> None:
    async def main() -> None:
        model, attempts = Model(), 0

        def load() -> Run[int, int]:
            nonlocal attempts
            attempts += 1
            if attempts <= 3:
                raise OSError("no such file")
            return model.run

        batcher = Doubling(load, name="test-batch")
        with pytest.raises(OSError, match="no such file"):
            await batcher.prewarm()
        takers = [Taker(), Taker()]
        first = batcher.open(takers[0].deliver, takers[0].fail)
        first.submit(1)
        await takers[0].until(lambda: bool(takers[0].errors))
        await first.aclose()
        # The file is there now: the next stream works.
        second = batcher.open(takers[1].deliver, takers[1].fail)
        second.submit(1)
        await takers[1].until(lambda: bool(takers[1].got))
        await second.aclose()
        assert takers[0].got == []

    asyncio.run(main())
    assert threads() == []


def test_cleared_items_give_no_result() -> None:
    async def main() -> None:
        model, taker = Model(), Taker()
        batcher = Doubling(lambda: model.run, name="test-batch")
        stream = batcher.open(taker.deliver, taker.fail)
        model.hold()
        stream.submit(1)
        await waiting(model)
        stream.submit(2)
        stream.clear()  # 1 is being computed, 2 waits
        stream.submit(3)
        model.gate.set()
        await taker.until(lambda: bool(taker.got))
        assert taker.got == [6]
        assert model.batches == [[1], [3]]
        await stream.aclose()

    asyncio.run(main())


def test_closed_stream_gets_nothing_and_its_slot_is_used_again() -> None:
    async def main() -> None:
        model, taker, other = Model(), Taker(), Taker()
        batcher = Doubling(lambda: model.run, name="test-batch")
        stream, stays = batcher.open(taker.deliver, taker.fail), batcher.open(other.deliver, other.fail)
        model.hold()
        stream.submit(1)
        await waiting(model)
        await stream.aclose()
        await stream.aclose()
        later = batcher.open(taker.deliver, taker.fail)
        assert later.slot == stream.slot == 0
        stays.submit(5)
        model.gate.set()
        await other.until(lambda: bool(other.got))
        assert taker.got == []
        await stays.aclose()
        await later.aclose()

    asyncio.run(main())


def test_thread_ends_with_the_last_stream_and_starts_again() -> None:
    async def main() -> None:
        model, taker = Model(), Taker()
        batcher = Doubling(lambda: model.run, name="test-batch")
        for round_number in range(1, 4):
            one, two = (batcher.open(taker.deliver, taker.fail) for _ in range(2))
            assert threads() == ["test-batch"]
            one.submit(1)
            await taker.until(lambda n=round_number: len(taker.got) == n)  # type: ignore[misc]
            await one.aclose()
            assert threads() == ["test-batch"]
            await two.aclose()
            assert threads() == []

    asyncio.run(main())


def test_a_stream_that_opens_while_the_last_batch_ends() -> None:
    async def main() -> None:
        model, taker = Model(), Taker()
        batcher = Doubling(lambda: model.run, name="test-batch")
        old = batcher.open(taker.deliver, taker.fail)
        model.hold()
        old.submit(1)
        await waiting(model)
        closing = asyncio.ensure_future(old.aclose())
        await asyncio.to_thread(lambda: None)
        new = batcher.open(taker.deliver, taker.fail)
        new.submit(7)
        model.gate.set()
        await closing
        await taker.until(lambda: bool(taker.got))
        assert taker.got == [14]
        await new.aclose()

    asyncio.run(main())
    assert threads() == []


def test_streams_on_two_loops() -> None:
    model = Model()
    batcher = Doubling(lambda: model.run, name="test-batch")
    results: dict[int, list[int]] = {}

    def session(number: int) -> None:
        async def main() -> None:
            taker = Taker()
            stream = batcher.open(taker.deliver, taker.fail)
            for item in range(20):
                stream.submit(100 * number + item)
            await taker.until(lambda: len(taker.got) == 20)
            await stream.aclose()
            results[number] = taker.got

        asyncio.run(main())

    loops = [threading.Thread(target=session, args=(number,)) for number in range(2)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    assert results == {n: [2 * (100 * n + i) for i in range(20)] for n in range(2)}
    assert threads() == []


def test_stream_whose_loop_is_gone_is_dropped() -> None:
    model = Model()
    batcher = Doubling(lambda: model.run, name="test-batch")

    async def leave_open() -> None:
        taker = Taker()
        model.hold()
        batcher.open(taker.deliver, taker.fail).submit(1)
        await waiting(model)

    asyncio.run(leave_open())
    worker = batcher._worker
    assert worker is not None
    model.gate.set()
    worker._thread.join(30)
    assert batcher.statistics().streams == 0
    assert threads() == []


def test_failing_callback_is_reported_and_harms_nobody() -> None:
    async def main() -> None:
        reported: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        model, taker = Model(), Taker()
        batcher = Doubling(
            lambda: model.run, name="test-batch", gather_max_ms=30_000, gather_per_stream_ms=30_000
        )

        def broken(result: int) -> None:
            raise KeyError(result)

        streams = [batcher.open(broken, taker.fail), batcher.open(taker.deliver, taker.fail)]
        for stream in streams:
            stream.submit(4)
        await taker.until(lambda: bool(taker.got))
        assert [repr(error) for error in reported] == ["KeyError(8)"]
        assert model.batches == [[4, 4]]
        for stream in streams:
            await stream.aclose()

    asyncio.run(main())
