"""`InputGate`: which of the caller's audio is part of a turn.

Audio always goes to the detector, and to the model only while the caller's turn is open and they speak, with a little
from before the onset. What follows the end of speech waits here: it goes along if they go on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from repartee.errors import ModelError
from repartee.models import VAD, RealtimeSession, SpeechProbability, VADStream
from repartee.models.events import ErrorOccurred, RealtimeEvent
from repartee.turns import EdgeKind, SpeechGate, SpeechGateOptions, facts

if TYPE_CHECKING:
    from repartee.audio import AudioFrame
    from repartee.clock import Clock

__all__ = ["GateOwner", "InputGate"]

# Onsets are confirmed this much later at most; what came before must still be here then.
_CONFIRMATION_S = 0.4
_REOPEN_AFTER_S = 1.0


class GateOwner(Protocol):
    """What the gate needs of the session that it serves."""

    inner: RealtimeSession
    clock: Clock

    def feed(self, fact: facts.Fact) -> None:
        """Take a fact."""

    def emit(self, event: RealtimeEvent) -> None:
        """Tell the consumer."""


class InputGate:
    """One microphone's audio on its way to a model.

    Args:
        owner: the session.
        vad: the detector.
        options: how sure to be that it is speech.
        padding_ms: audio from before the speech that goes along with it.
    """

    def __init__(self, owner: GateOwner, vad: VAD, options: SpeechGateOptions, padding_ms: float) -> None:
        self._owner = owner
        self._vad = vad
        self._options = options
        self._padding_s = padding_ms / 1000.0
        self._edges = SpeechGate(options)
        self._stream: VADStream | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._reopen_s = 0.0
        self._ring: deque[AudioFrame] = deque()  # bounded by _keep_s; the oldest is dropped
        self._ring_s = 0.0
        self._keep_s = self._padding_s + _CONFIRMATION_S + options.min_speech_ms / 1000.0
        self._audio_s = 0.0
        self._base_s = 0.0
        self._epoch_s = 0.0
        self._window_end_s = 0.0
        self._passing = False

    async def aclose(self) -> None:
        """Stop detecting."""
        if self._stream is not None:
            await self._stream.aclose()
            self._stream = None
        if self._closing:
            await asyncio.wait(self._closing)

    def append(self, frame: AudioFrame) -> None:
        """The next audio."""
        stream = self._detector(frame.sample_rate)
        self._audio_s += frame.duration_s
        self._epoch_s = self._owner.clock.now() - self._audio_s
        if self._passing:
            self._owner.inner.append_audio(frame)
        else:
            self._ring.append(frame)
            self._ring_s += frame.duration_s
            while self._ring_s - self._ring[0].duration_s > self._keep_s:
                self._ring_s -= self._ring.popleft().duration_s
        if stream is not None:
            stream.push(frame)

    def open(self, at_s: float) -> None:
        """The caller speaks since that session time: pass it on, with what went before."""
        if self._passing:
            return
        self._passing = True
        from_s = self._audio_s - self._ring_s
        wanted_s = at_s - self._epoch_s - self._padding_s
        while self._ring:
            frame = self._ring.popleft()
            from_s += frame.duration_s
            if from_s > wanted_s:
                self._owner.inner.append_audio(frame)
        self._ring_s = 0.0

    def close(self, *, restart: bool = False) -> None:
        """The caller is quiet: keep what comes. ``restart``: whoever speaks on begins a new turn."""
        self._passing = False
        if restart:
            self._edges = SpeechGate(self._options)

    # -- detection ---------------------------------------------------------------------------------------------

    def _detector(self, sample_rate: int) -> VADStream | None:
        if self._stream is None and self._owner.clock.now() >= self._reopen_s:
            self._sample_rate = sample_rate
            self._base_s = self._window_end_s = self._audio_s
            self._stream = self._vad.stream(
                sample_rate=sample_rate, on_result=self._on_result, on_error=self._on_error
            )
        return self._stream

    def _on_result(self, result: SpeechProbability) -> None:
        start_s = self._window_end_s
        self._window_end_s = self._base_s + result.end_position_samples / self._sample_rate
        edge = self._edges.receive(result.probability, start_s, self._window_end_s)
        if edge is None:
            return
        at_s = max(0.0, self._epoch_s + edge.at_s)
        match edge.kind:
            case EdgeKind.ONSET:
                self._owner.feed(facts.Onset(at_s))
            case EdgeKind.DROPPED:
                self._owner.feed(facts.OnsetDropped())
            case EdgeKind.START:
                self._owner.feed(facts.SpeechBegan(at_s))
            case EdgeKind.STOP:
                self._owner.feed(facts.SpeechEnded(at_s))

    def _on_error(self, error: ModelError) -> None:
        """The detector is lost: say so, take open speech as ended, and try a new one in a moment."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            task = asyncio.get_running_loop().create_task(stream.aclose(), name="input_gate.close_vad")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        now = self._owner.clock.now()
        self._reopen_s = now + _REOPEN_AFTER_S
        self._edges = SpeechGate(self._options)
        self._owner.emit(ErrorOccurred(error, "vad"))
        self._owner.feed(facts.OnsetDropped())
        self._owner.feed(facts.SpeechEnded(now))
