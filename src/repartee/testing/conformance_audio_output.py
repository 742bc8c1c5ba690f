"""What every `AudioOutput` must do, as checks that any transport can run.

Each check takes a function that makes a fresh output, and raises `AssertionError` with what was wrong. They wait with
the event loop's clock, so with a device on virtual time they take no time::

    @pytest.mark.parametrize("check", AUDIO_OUTPUT_CHECKS)
    def test_conformance(check: AudioOutputCheck) -> None:
        run(check(lambda: MyOutput()))
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from repartee.audio import AudioFrame
from repartee.errors import ReparteeError, UsageError
from repartee.io import AudioOutput, PlaybackPosition
from repartee.testing.virtual_time import elapse

__all__ = ["AUDIO_OUTPUT_CHECKS", "AudioOutputCheck", "check_audio_output"]

MakeOutput = Callable[[], AudioOutput]
AudioOutputCheck = Callable[[MakeOutput], Coroutine[Any, Any, None]]

SLACK_S = 0.5
"""The longest that a device may take to start, and to report what it played."""


def tone(sample_rate: int, duration_ms: float) -> AudioFrame:
    """A sine of 440 Hz at a quarter of full scale."""
    count = round(sample_rate * duration_ms / 1000)
    samples = array("h", (round(8000 * math.sin(i * 2764.6 / sample_rate)) for i in range(count)))
    return AudioFrame(samples.tobytes(), sample_rate)


class _Watched:
    """An open output and what it reported."""

    def __init__(self, output: AudioOutput) -> None:
        self.output = output
        self.positions: list[PlaybackPosition] = []
        self.errors: list[ReparteeError] = []
        output.open(on_position=self._on_position, on_error=self.errors.append)

    def _on_position(self, position: PlaybackPosition) -> None:
        if self.positions:
            before = self.positions[-1].position_samples
            assert position.position_samples >= before, f"the position fell from {before} to {position}"
        self.positions.append(position)

    @property
    def last(self) -> int:
        return self.positions[-1].position_samples if self.positions else 0

    @property
    def cleared(self) -> list[PlaybackPosition]:
        return [position for position in self.positions if position.cleared]

    def write(self, duration_ms: float) -> int:
        frame = tone(self.output.sample_rate, duration_ms)
        self.output.write(frame)
        return frame.samples

    async def played(self, samples: int, within_s: float) -> None:
        """Wait until exactly so much was played."""
        waited_s = 0.0
        while self.last < samples and waited_s < within_s:
            await elapse(0.01)
            waited_s += 0.01
        assert self.last == samples, f"{self.last} samples were played after {waited_s:.2f} s, not {samples}"
        assert not self.errors, f"it failed: {self.errors[0]}"


def _check(body: Callable[[_Watched], Awaitable[None]]) -> AudioOutputCheck:
    async def check(make: MakeOutput) -> None:
        watched = _Watched(make())
        try:
            await body(watched)
        finally:
            await watched.output.aclose()

    check.__name__ = body.__name__
    check.__doc__ = body.__doc__
    return check


async def plays_all_that_is_written(it: _Watched) -> None:
    """The position ends at what was written, in several pieces, with a pause of the writer between."""
    total = it.write(100) + it.write(30)
    await it.played(total, 0.13 + SLACK_S)
    total += it.write(55)
    await it.played(total, 0.055 + SLACK_S)


async def plays_no_faster_than_time(it: _Watched) -> None:
    """After half a second no more than that has been played, and most of it has."""
    it.write(2000)
    await elapse(0.5)
    assert it.last <= 0.5 * it.output.sample_rate + 1, (
        f"{it.last / it.output.sample_rate:.3f} s were reported as played after 0.5 s"
    )
    await elapse(SLACK_S)
    assert it.last >= 0.5 * it.output.sample_rate, (
        "less than half a second was reported as played after a second"
    )


async def reports_while_it_plays(it: _Watched) -> None:
    """Positions come at least every 100 ms."""
    it.write(1000)
    await elapse(1.0 + SLACK_S)
    at = [position.position_samples for position in it.positions]
    gaps = [after - before for before, after in zip([0, *at], at, strict=False)]
    assert max(gaps) <= it.output.sample_rate // 10, f"up to {max(gaps)} samples lie between two positions"


async def clear_is_answered_once(it: _Watched) -> None:
    """A clear gives one cleared position, at most what was written; what comes after counts on from it."""
    written = it.write(1000)
    await elapse(0.3)
    it.output.clear()
    await elapse(SLACK_S)
    assert len(it.cleared) == 1, f"one clear was answered {len(it.cleared)} times"
    at = it.cleared[0].position_samples
    assert 0 <= at < written, f"cleared at {at} of {written} samples, after 0.3 s of 1 s"
    assert at <= (0.3 + 0.25) * it.output.sample_rate, f"{at} samples played though a clear came after 0.3 s"
    assert it.last == at, "the position went on after the clear was answered"
    more = it.write(100)
    await it.played(at + more, 0.1 + SLACK_S)


async def clear_without_audio_is_answered(it: _Watched) -> None:
    """Clearing silence is answered too, each time."""
    it.output.clear()
    it.output.clear()
    await elapse(SLACK_S)
    assert [position.position_samples for position in it.cleared] == [0, 0]


async def audio_behind_a_clear_plays(it: _Watched) -> None:
    """What is written right after a clear plays whole, and isn't counted as what was dropped."""
    it.write(500)
    await elapse(0.2)
    it.output.clear()
    more = it.write(200)
    await elapse(0.2 + SLACK_S)
    assert len(it.cleared) == 1
    assert it.last == it.cleared[0].position_samples + more


async def pause_keeps_the_rest(it: _Watched) -> None:
    """A pause stops the position within a block and the device's own buffer; resuming plays the rest."""
    if not it.output.capabilities.pause:
        return
    total = it.write(600)
    await elapse(0.2)
    it.output.pause()
    await elapse(SLACK_S)
    held = it.last
    assert held < total, "it played on while it was paused"
    await elapse(1.0)
    assert it.last == held, "the position moved while it was paused"
    it.output.resume()
    await it.played(total, 0.6 + SLACK_S)


async def pause_holds_what_comes(it: _Watched) -> None:
    """What is written during a pause waits; pausing and resuming twice is the same as once."""
    if not it.output.capabilities.pause:
        return
    it.output.pause()
    it.output.pause()
    total = it.write(100)
    await elapse(0.1 + SLACK_S)
    assert it.last == 0
    it.output.resume()
    it.output.resume()
    await it.played(total, 0.1 + SLACK_S)


async def clear_ends_a_pause(it: _Watched) -> None:
    """After pause and clear, new audio plays at once."""
    it.write(300)
    await elapse(0.1)
    it.output.pause()
    it.output.clear()
    await elapse(SLACK_S)
    assert len(it.cleared) == 1
    at = it.last
    more = it.write(100)
    await it.played(at + more, 0.1 + SLACK_S)


async def gain_changes_no_position(it: _Watched) -> None:
    """Turning the volume down and up while it plays costs no sample."""
    total = it.write(300)
    await elapse(0.1)
    it.output.set_gain(-12.0)
    await elapse(0.1)
    it.output.set_gain(0.0)
    await it.played(total, 0.3 + SLACK_S)


async def other_audio_is_refused(it: _Watched) -> None:
    """Another rate, or stereo, is the caller's error; nothing of it plays."""
    rate = it.output.sample_rate
    for frame in (
        AudioFrame.silence(20, 16_000 if rate != 16_000 else 8_000),
        AudioFrame.silence(20, rate, channels=2),
    ):
        try:
            it.output.write(frame)
        except UsageError:
            continue
        raise AssertionError(
            f"{frame.sample_rate} Hz with {frame.channels} channel(s) was taken as {rate} Hz mono"
        )
    await elapse(0.1)
    assert it.last == 0


async def estimates_are_marked(it: _Watched) -> None:
    """Positions are estimates exactly where nothing acknowledges."""
    it.write(100)
    await elapse(0.1 + SLACK_S)
    assert {position.estimated for position in it.positions} == {not it.output.capabilities.acknowledges}


async def is_silent_once_closed(it: _Watched) -> None:
    """Nothing is reported after `aclose`, which may be called twice."""
    it.write(500)
    await elapse(0.1)
    await it.output.aclose()
    count = len(it.positions)
    await elapse(1.0)
    await it.output.aclose()
    assert len(it.positions) == count, "it reported after it was closed"


AUDIO_OUTPUT_CHECKS: tuple[AudioOutputCheck, ...] = tuple(
    _check(body)
    for body in (
        plays_all_that_is_written,
        plays_no_faster_than_time,
        reports_while_it_plays,
        clear_is_answered_once,
        clear_without_audio_is_answered,
        audio_behind_a_clear_plays,
        pause_keeps_the_rest,
        pause_holds_what_comes,
        clear_ends_a_pause,
        gain_changes_no_position,
        other_audio_is_refused,
        estimates_are_marked,
        is_silent_once_closed,
    )
)
"""All checks; each makes its own output."""


async def check_audio_output(make: MakeOutput) -> None:
    """Run them all."""
    for check in AUDIO_OUTPUT_CHECKS:
        await check(make)
