"""`InputPump`: the user's audio on its way to the model."""

from __future__ import annotations

from typing import Protocol

from repartee.audio import Resampler
from repartee.errors import DeviceError, ReparteeError
from repartee.io import AudioInput
from repartee.models import RealtimeSession
from repartee.models.events import ErrorOccurred, RealtimeEvent

__all__ = ["InputOwner", "InputPump"]


class InputOwner(Protocol):
    """What the pump needs of the session that it serves."""

    def tell(self, event: RealtimeEvent) -> None:
        """Something for the session's consumers."""


class InputPump:
    """Reads an input to its end, at the rate that the model wants.

    Args:
        audio_input: what is read.
        session: where it goes.
        sample_rate: what the session takes, in Hz.
        owner: told when the input fails.
    """

    def __init__(
        self, audio_input: AudioInput, session: RealtimeSession, sample_rate: int, owner: InputOwner
    ) -> None:
        self._input = audio_input
        self._session = session
        self._sample_rate = sample_rate
        self._owner = owner

    async def run(self) -> None:
        """Read until the input ends or fails; the conversation goes on in either case."""
        frames = aiter(self._input)
        resampler: Resampler | None = None
        while True:
            try:
                frame = await anext(frames)
            except StopAsyncIteration:
                return
            except Exception as error:  # whatever a driver raises, the conversation goes on without it
                self._failed(error)
                return
            mono = frame.to_mono() if frame.channels > 1 else frame
            if mono.sample_rate != self._sample_rate:
                if resampler is None or resampler.source_rate != mono.sample_rate:
                    resampler = Resampler(mono.sample_rate, self._sample_rate)
                mono = resampler.push(mono)
            if mono.data:
                self._session.append_audio(mono)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, ReparteeError):
            self._owner.tell(ErrorOccurred(error, "input"))
            return
        failure = DeviceError(f"the audio input failed with {type(error).__name__}: {error}")
        failure.__cause__ = error
        self._owner.tell(ErrorOccurred(failure, "input"))

    async def aclose(self) -> None:
        """Release the input."""
        await self._input.aclose()
