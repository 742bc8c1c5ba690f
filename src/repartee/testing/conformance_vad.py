"""What every `VAD` must do, as checks that any plugin can run.

Each check takes a function that makes a detector and a `SpeechSample`, and raises `AssertionError` with what was
wrong. They wait for results, not for time, so they suit a model that computes in a thread as well as a scripted
one::

    @pytest.mark.parametrize("check", VAD_CHECKS)
    def test_conformance(check: VADCheck) -> None:
        asyncio.run(check(lambda: MyVAD(), sample))
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from repartee.audio import AudioFrame
from repartee.errors import ModelError
from repartee.models import VAD, SpeechProbability, VADStream

__all__ = ["VAD_CHECKS", "SpeechSample", "VADCheck"]

PATIENCE_S: Final = 30.0
"""How long a model may take for a few seconds of audio, on a machine that others use too."""


@dataclass(frozen=True, slots=True)
class SpeechSample:
    """Audio with speech in the middle and at least 300 ms of silence on both sides."""

    audio: AudioFrame
    """Mono, at any rate."""
    start_position_samples: int
    """Where speech begins and ends, to about 100 ms."""
    end_position_samples: int
    text: str = ""
    """What is said, in lower case, without punctuation."""


VADCheck = Callable[[Callable[[], VAD], SpeechSample], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class _Watched:
    """A stream and what it reported."""

    stream: VADStream
    rate: int
    window: int
    """Samples of a window at the stream's rate, rounded up."""
    results: list[SpeechProbability] = field(default_factory=list)
    errors: list[ModelError] = field(default_factory=list)
    pushed: int = 0
    position: int = 0
    """Where the last result ended."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def open(cls, vad: VAD, rate: int) -> _Watched:
        watched: _Watched

        def on_result(result: SpeechProbability) -> None:
            watched.results.append(result)
            watched.position = result.end_position_samples
            watched.news.set()

        def on_error(error: ModelError) -> None:
            watched.errors.append(error)
            watched.news.set()

        stream = vad.stream(sample_rate=rate, on_result=on_result, on_error=on_error)
        watched = cls(stream, rate, -(-rate * vad.capabilities.window_ms // 1000))
        return watched

    async def hear(self, audio: AudioFrame, step_ms: int = 20) -> None:
        """Push audio in pieces, no faster than results come."""
        step = audio.sample_rate * step_ms // 1000
        for start in range(0, audio.samples, step):
            piece = audio.slice(start, start + step)
            self.stream.push(piece)
            self.pushed += piece.samples
            await self.settle(windows_behind=8)

    async def settle(self, windows_behind: float = 1.5) -> None:
        """Wait until the results reach so near to what was pushed."""
        async with asyncio.timeout(PATIENCE_S):
            while self.pushed - self.position > windows_behind * self.window + self.rate // 500:
                assert not self.errors, f"it failed: {self.errors[0]}"
                self.news.clear()
                await self.news.wait()


def _resampled(audio: AudioFrame, rate: int) -> AudioFrame:
    from repartee.audio import resample

    return audio if audio.sample_rate == rate else resample(audio, rate)


async def finds_speech(make: Callable[[], VAD], sample: SpeechSample) -> None:
    """Speech is probable where it is and improbable where it is not, in order, with values in range."""
    vad = make()
    watched = _Watched.open(vad, sample.audio.sample_rate)
    await watched.hear(sample.audio)
    await watched.settle()
    await watched.stream.aclose()
    await vad.aclose()
    margin = watched.rate // 10 + watched.window
    speech = [
        r.probability
        for r in watched.results
        if sample.start_position_samples + margin < r.end_position_samples < sample.end_position_samples
    ]
    rest = [
        r.probability
        for r in watched.results
        if r.end_position_samples < sample.start_position_samples - margin
        or r.end_position_samples > sample.end_position_samples + 3 * margin
    ]
    assert speech, "no result lies within the speech"
    assert rest, "no result lies outside the speech"
    heard = sum(p >= 0.5 for p in speech) / len(speech)
    false = sum(p >= 0.5 for p in rest) / len(rest)
    assert heard >= 0.7, f"only {heard:.0%} of the windows within speech are called speech"
    assert false <= 0.1, f"{false:.0%} of the windows outside it are called speech"
    for result in watched.results:
        assert 0.0 <= result.probability <= 1.0, f"no probability: {result}"
        assert -200.0 < result.dbfs <= 3.1, f"no level: {result}"


async def counts_positions(make: Callable[[], VAD], sample: SpeechSample) -> None:
    """Windows follow one another by their length, at 8, 16, 24, 44.1 and 48 kHz, and never end in the future."""
    vad = make()
    for rate in (8000, 16_000, 24_000, 44_100, 48_000):
        watched = _Watched.open(vad, rate)
        await watched.hear(_resampled(sample.audio, rate))
        await watched.settle()
        await watched.stream.aclose()
        positions = [r.end_position_samples for r in watched.results]
        assert positions[-1] <= watched.pushed, (
            f"{rate} Hz: a window ends {positions[-1] - watched.pushed} late"
        )
        steps = {b - a for a, b in pairwise(positions)}
        assert max(steps) - min(steps) <= 1, f"{rate} Hz: windows are {sorted(steps)} samples apart"
    await vad.aclose()


async def streams_are_independent(make: Callable[[], VAD], sample: SpeechSample) -> None:
    """A stream beside another, which hears silence and is closed in the middle, gives what it gives alone."""
    vad = make()
    rate = sample.audio.sample_rate
    alone = _Watched.open(vad, rate)
    await alone.hear(sample.audio)
    await alone.settle()
    await alone.stream.aclose()
    one, other = _Watched.open(vad, rate), _Watched.open(vad, rate)
    half = sample.audio.samples // 2
    for part in (sample.audio.slice(0, half), sample.audio.slice(half, None)):
        async with asyncio.TaskGroup() as group:
            group.create_task(one.hear(part))
            if not other.pushed:
                group.create_task(other.hear(AudioFrame(bytes(2 * half), rate)))
        await other.stream.aclose()
    await one.settle()
    await one.stream.aclose()
    await vad.aclose()
    pairs = zip(alone.results, one.results, strict=False)
    worst = max(abs(a.probability - b.probability) for a, b in pairs)
    assert worst < 0.01, f"beside another stream a probability differs by {worst}"


async def starts_afresh(make: Callable[[], VAD], sample: SpeechSample) -> None:
    """After a reset the same audio gives the same results again, and positions go on counting."""
    vad = make()
    watched = _Watched.open(vad, sample.audio.sample_rate)
    await watched.hear(sample.audio)
    await watched.settle()
    first = list(watched.results)
    watched.results.clear()
    before = watched.pushed
    watched.stream.reset()
    await watched.hear(sample.audio)
    await watched.settle()
    await watched.stream.aclose()
    await vad.aclose()
    assert watched.results[0].end_position_samples > before, "positions began again at a reset"
    worst = max(abs(a.probability - b.probability) for a, b in zip(first, watched.results, strict=False))
    assert worst < 0.01, f"after a reset a probability differs by {worst}"


async def is_silent_once_closed(make: Callable[[], VAD], sample: SpeechSample) -> None:
    """No result comes after `aclose`, which may be called again, and pushing then does no harm."""
    vad = make()
    watched = _Watched.open(vad, sample.audio.sample_rate)
    await watched.hear(sample.audio.slice(0, sample.audio.sample_rate // 2))
    watched.stream.push(sample.audio)
    await watched.stream.aclose()
    count = len(watched.results)
    await watched.stream.aclose()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(watched.results) == count, "a result came after the stream was closed"
    assert not watched.errors, f"it failed: {watched.errors[0]}"
    await vad.aclose()


async def takes_any_length(make: Callable[[], VAD], sample: SpeechSample) -> None:
    """Frames of 1 sample, of 7 ms, and one without samples give what 20 ms frames give."""
    vad = make()
    rate = sample.audio.sample_rate
    audio = sample.audio.slice(sample.start_position_samples, sample.start_position_samples + rate // 2)
    runs: list[list[float]] = []
    for step_ms in (20, 7, 0):
        watched = _Watched.open(vad, rate)
        if step_ms:
            await watched.hear(audio, step_ms)
        else:
            watched.stream.push(audio.slice(0, 0))
            for at in range(audio.samples):
                watched.stream.push(audio.slice(at, at + 1))
                watched.pushed += 1
                await watched.settle(windows_behind=8)
        await watched.settle()
        await watched.stream.aclose()
        runs.append([r.probability for r in watched.results])
    await vad.aclose()
    for other in runs[1:]:
        worst = max(abs(a - b) for a, b in zip(runs[0], other, strict=False))
        assert worst < 0.01, f"cut differently, a probability differs by {worst}"


VAD_CHECKS: Final[tuple[VADCheck, ...]] = (
    finds_speech,
    counts_positions,
    streams_are_independent,
    starts_afresh,
    is_silent_once_closed,
    takes_any_length,
)
"""All of them."""
