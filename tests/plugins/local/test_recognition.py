from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from repartee.audio import AudioFrame
from repartee.errors import AudioFormatError, ModelError, ModelFileError
from repartee.inference import WorkerPool
from repartee.models import Final, Interim, STTEvent, Word
from repartee.plugins.local.recognition import (
    PENDING_MS,
    Engine,
    RecognisedWord,
    Recogniser,
    RecognitionStream,
    Result,
    _Reading,
)


class Counting(Recogniser):
    """Hears a word for each 100 ms: "0 1 2 …"."""

    def __init__(self, engine: CountingEngine) -> None:
        self.engine = engine
        self.samples = 0

    def feed(self, pcm: bytes, *, behind: bool) -> str:
        self.engine.gate.wait(30)
        self.engine.fed.append((len(pcm) // 2, behind))
        if self.engine.broken:
            raise RuntimeError("it broke")
        self.samples += len(pcm) // 2
        return " ".join(self.words())

    def words(self) -> list[str]:
        return [str(k) for k in range(self.samples // 1600)]

    def finish(self) -> Result:
        self.engine.give_back()
        words = tuple(RecognisedWord(w, 1600 * k, 1600 * (k + 1)) for k, w in enumerate(self.words()))
        return Result(" ".join(self.words()), 0.5, words)

    def abort(self) -> None:
        self.engine.give_back()
        self.engine.aborted += 1


class CountingEngine(Engine):
    def __init__(self, recognisers: int = 9) -> None:
        self.free = recognisers
        self.fed: list[tuple[int, bool]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False
        self.fails_to_load = False
        self.aborted = 0
        self.waiting: list[Callable[[], object]] = []
        self._pool = WorkerPool(name="test-recognition", threads=1)

    def pool(self) -> WorkerPool:
        return self._pool

    def begin(
        self, pool: WorkerPool, retry: Callable[[], object], memory: dict[str, Any]
    ) -> Recogniser | None:
        if self.fails_to_load:
            raise ModelFileError("the file is bad")
        memory["segments"] = memory.get("segments", 0) + 1
        if not self.free:
            self.waiting.append(retry)
            return None
        self.free -= 1
        return Counting(self)

    def forget(self, pool: WorkerPool, retry: Callable[[], object]) -> None:
        self.waiting = [waits for waits in self.waiting if waits != retry]

    def give_back(self) -> None:
        self.free += 1
        if self.waiting:
            self.waiting.pop(0)()

    async def prewarm(self) -> None:
        pass


class Ear:
    def __init__(self, engine: Engine, rate: int = 16_000) -> None:
        self.events: list[STTEvent] = []
        self.errors: list[ModelError] = []
        self.news = asyncio.Event()
        self.rate = rate
        self.stream = RecognitionStream(engine, rate, self._take, self._fail)

    def _take(self, event: STTEvent) -> None:
        self.events.append(event)
        self.news.set()

    def _fail(self, error: ModelError) -> None:
        self.errors.append(error)
        self.news.set()

    def say(self, ms: int) -> None:
        self.stream.push(AudioFrame(bytes(2 * self.rate * ms // 1000), self.rate))

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not ready():
                self.news.clear()
                await self.news.wait()

    async def finals(self, count: int) -> list[Final]:
        await self.until(lambda: sum(isinstance(e, Final) for e in self.events) == count)
        return [e for e in self.events if isinstance(e, Final)]


def test_segments_flushes_and_positions() -> None:
    async def main() -> None:
        ear = Ear(CountingEngine())
        ear.say(300)
        assert ear.stream.flush() == 1
        assert ear.stream.flush() == 2
        ear.say(200)
        assert ear.stream.flush() == 3
        first, empty, second = await ear.finals(3)
        assert (first.text, first.confidence, first.flush_id) == ("0 1 2", 0.5, 1)
        assert empty == Final("", None, (), 2)
        assert second.words == (Word("0", 4800, 6400), Word("1", 6400, 8000))
        await ear.stream.aclose()

    asyncio.run(main())


def test_positions_are_of_the_input_rate() -> None:
    async def main() -> None:
        ear = Ear(CountingEngine(), rate=48_000)
        ear.say(1000)
        ear.stream.flush()
        ear.say(220)
        ear.stream.flush()
        _, second = await ear.finals(2)
        assert [w.start_position_samples for w in second.words] == [48_000, 52_800]
        await ear.stream.aclose()

    asyncio.run(main())


def test_waiting_audio_is_taken_in_pieces_and_each_knows_if_more_waits() -> None:
    async def main() -> None:
        engine = CountingEngine()
        ear = Ear(engine)
        engine.gate.clear()
        ear.say(20)
        await asyncio.to_thread(lambda: None)
        for _ in range(25):
            ear.say(20)
        assert ear.stream.pending_samples >= 25 * 320
        engine.gate.set()
        ear.stream.flush()
        await ear.finals(1)
        assert sum(samples for samples, _ in engine.fed) == 26 * 320
        assert max(samples for samples, _ in engine.fed) == 3200
        assert ear.stream.pending_samples == 0
        await ear.stream.aclose()

    asyncio.run(main())


def test_cancel_before_and_after_the_audio_was_looked_at() -> None:
    async def main() -> None:
        engine = CountingEngine()
        ear = Ear(engine)
        engine.gate.clear()
        ear.say(400)
        ear.stream.flush()
        ear.say(500)
        ear.stream.cancel()
        engine.gate.set()
        ear.say(100)
        ear.stream.flush()
        first, second = await ear.finals(2)
        assert first.text == "0 1 2 3"
        # What was thrown away still counts as time.
        assert second.words == (Word("0", 14_400, 16_000),)
        ear.say(300)
        await ear.until(lambda: ear.events[-1] == Interim("0 1 2", 0))
        ear.stream.cancel()
        ear.say(100)
        ear.stream.flush()
        third = (await ear.finals(3))[-1]
        assert third.words == (Word("0", 20_800, 22_400),)
        assert engine.aborted == 1
        assert engine.free == 9
        await ear.stream.aclose()

    asyncio.run(main())


def test_cancelled_segment_gives_no_event_that_was_on_its_way() -> None:
    async def main() -> None:
        engine = CountingEngine()
        ear = Ear(engine)
        ear.say(300)
        await engine.pool().run(lambda: None)  # it has been fed; its interim may be queued on this loop
        ear.events.clear()
        ear.stream.cancel()
        ear.stream.flush()
        assert await ear.finals(1) == ear.events
        await ear.stream.aclose()

    asyncio.run(main())


def test_no_recogniser_is_held_between_segments_and_streams_wait_for_one() -> None:
    async def main() -> None:
        engine = CountingEngine(recognisers=1)
        one, two = Ear(engine), Ear(engine)
        one.say(100)
        await one.until(lambda: bool(one.events))
        two.say(200)
        two.stream.flush()
        await engine.pool().run(lambda: None)
        assert not two.events
        one.stream.flush()
        assert (await two.finals(1))[0].text == "0 1"
        assert engine.free == 1
        await one.stream.aclose()
        await two.stream.aclose()

    asyncio.run(main())


def test_closing_gives_back_and_forgets() -> None:
    async def main() -> None:
        engine = CountingEngine(recognisers=1)
        one, two = Ear(engine), Ear(engine)
        one.say(100)
        await one.until(lambda: bool(one.events))
        two.say(100)
        await engine.pool().run(lambda: None)
        assert len(engine.waiting) == 1
        await two.stream.aclose()
        assert not engine.waiting
        await one.stream.aclose()
        assert engine.free == 1
        one.say(100)
        one.stream.flush()
        await one.stream.aclose()
        assert len(one.events) == 1

    asyncio.run(main())
    assert not [t for t in threading.enumerate() if t.name.startswith("test-recognition")]


def test_failing_recogniser_is_reported_once_and_harms_nobody() -> None:
    async def main() -> None:
        engine = CountingEngine()
        bad, good = Ear(engine), Ear(engine)
        engine.broken = True
        bad.say(100)
        bad.say(100)
        await bad.until(lambda: bool(bad.errors))
        engine.broken = False
        bad.say(100)
        bad.stream.flush()
        bad.stream.cancel()
        good.say(100)
        good.stream.flush()
        assert (await good.finals(1))[0].text == "0"
        assert [str(e) for e in bad.errors] == ["speech recognition failed: it broke"]
        assert (bad.errors[0].stage, bad.errors[0].recoverable) == ("stt", True)
        assert not bad.events
        await bad.stream.aclose()
        await good.stream.aclose()

    asyncio.run(main())


def test_model_that_can_not_be_loaded() -> None:
    async def main() -> None:
        engine = CountingEngine()
        engine.fails_to_load = True
        ear = Ear(engine)
        ear.say(100)
        await ear.until(lambda: bool(ear.errors))
        assert not ear.errors[0].recoverable
        assert isinstance(ear.errors[0].__cause__, ModelFileError)
        await ear.stream.aclose()

    asyncio.run(main())


def test_audio_past_the_bound_is_an_error() -> None:
    async def main() -> None:
        engine = CountingEngine(recognisers=0)
        ear = Ear(engine)
        for _ in range(PENDING_MS // 1000):
            ear.say(1000)
        assert not ear.errors
        ear.say(1)
        assert [e.code for e in ear.errors] == ["overload"]
        assert "too slow for so many speakers" in str(ear.errors[0])
        ear.say(1000)
        assert ear.stream.pending_samples == 0
        await ear.stream.aclose()
        assert len(ear.errors) == 1

    asyncio.run(main())


def test_wrong_rate() -> None:
    async def main() -> None:
        ear = Ear(CountingEngine())
        with pytest.raises(AudioFormatError, match="opened for 16000 Hz"):
            ear.stream.push(AudioFrame(bytes(320), 24_000))
        await ear.stream.aclose()

    asyncio.run(main())


def test_stable_text_is_what_two_readings_agree_on() -> None:
    reading, step = _Reading(), 1600

    def read(text: str) -> Interim | None:
        return reading.read(text, step)

    assert read("") is None
    assert read("please") == Interim("please", 0)
    assert read("please") is None
    assert read("please turn") == Interim("please turn", 0)
    # 300 ms after the first reading of "please".
    assert read("please turn on") == Interim("please turn on", len("please"))
    assert read("please turn on the") == Interim("please turn on the", len("please"))
    found = [read(f"please turn on the light{'s' * k}") for k in range(1, 5)]
    assert found[-1] is not None
    assert found[-1].text[: found[-1].stable_chars] == "please turn on the"
    # It changes its mind: what was promised shrinks to what still holds, by whole words.
    changed = read("please turn off the lights")
    assert changed is not None
    assert changed.text[: changed.stable_chars] == "please turn"
    shorter = read("plea")
    assert shorter == Interim("plea", 0)
