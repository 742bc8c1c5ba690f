"""The user's audio on its way to the model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from repartee.audio import AudioFrame
from repartee.errors import DeviceError
from repartee.io import AudioInput
from repartee.models import events as ev
from repartee.session.input_pump import InputPump
from repartee.testing import run


class Frames(AudioInput):
    """Gives these frames, then ends, or fails."""

    def __init__(self, *frames: AudioFrame, error: Exception | None = None) -> None:
        self.frames = frames
        self.error = error
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[AudioFrame]:
        for frame in self.frames:
            yield frame
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        self.closed = True


class Session:
    def __init__(self) -> None:
        self.frames: list[AudioFrame] = []
        self.told: list[Any] = []

    def append_audio(self, frame: AudioFrame) -> None:
        self.frames.append(frame)

    def tell(self, event: ev.RealtimeEvent) -> None:
        self.told.append(event)


def pump(audio_input: AudioInput, rate: int = 24_000) -> Session:
    session = Session()

    async def main() -> None:
        this = InputPump(audio_input, session, rate, session)  # type: ignore[arg-type]
        await this.run()
        await this.aclose()

    run(main())
    return session


def test_what_fits_goes_through_as_it_is() -> None:
    frames = [AudioFrame.silence(20), AudioFrame.silence(30)]
    session = pump(Frames(*frames))
    assert session.frames == frames
    assert session.told == []


def test_another_rate_is_resampled_and_channels_are_mixed() -> None:
    stereo = [AudioFrame.silence(20, 48_000, channels=2) for _ in range(50)]
    session = pump(Frames(*stereo), 16_000)
    assert {(frame.sample_rate, frame.channels) for frame in session.frames} == {(16_000, 1)}
    assert sum(frame.samples for frame in session.frames) == pytest.approx(16_000, abs=40)


def test_the_rate_may_change_midway() -> None:
    frames = [AudioFrame.silence(100, rate) for rate in (8_000, 8_000, 48_000, 24_000)]
    session = pump(Frames(*frames))
    assert sum(frame.samples for frame in session.frames) == pytest.approx(9_600, abs=60)


def test_a_device_that_goes_away_is_told() -> None:
    gone = DeviceError("unplugged")
    session = pump(Frames(AudioFrame.silence(20), error=gone))
    assert session.told == [ev.ErrorOccurred(gone, "input")]
    assert len(session.frames) == 1


def test_whatever_a_driver_raises_is_a_device_error() -> None:
    session = pump(Frames(error=KeyError("x")))
    error = session.told[0].error
    assert isinstance(error, DeviceError)
    assert isinstance(error.__cause__, KeyError)


def test_a_fault_behind_the_input_is_not_called_the_inputs() -> None:
    class Broken(Session):
        def append_audio(self, frame: AudioFrame) -> None:
            raise ValueError("not the microphone's")

    async def main() -> None:
        broken = Broken()
        with pytest.raises(ValueError, match="not the microphone's"):
            await InputPump(Frames(AudioFrame.silence(20)), broken, 24_000, broken).run()  # type: ignore[arg-type]
        assert broken.told == []

    run(main(), check_leaks=False)
