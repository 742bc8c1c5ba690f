"""`InputGate`: which of the caller's audio is part of a turn.

Audio always goes to the detector, and to the model only while the caller's turn is open and they speak, with a little
from before the onset. What follows the end of speech waits here: it goes along if they go on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from repartee.compose.tasks import TaskOwner
from repartee.errors import ModelError, ModelTimeoutError
from repartee.models import VAD, RealtimeSession, SpeechProbability, VADStream
from repartee.models.events import ErrorOccurred, RealtimeEvent
from repartee.turns import EdgeKind, SpeechGate, SpeechGateOptions, facts

if TYPE_CHECKING:
    from repartee.audio import AudioFrame
    from repartee.clock import Clock

__all__ = ["GateOwner", "InputGate", "Preroll"]

# Onsets are confirmed this much later at most; what came before must still be here then.
_CONFIRMATION_S = 0.4
# A detector that fails is replaced at once, and one that fails soon again after this time.
_REOPEN_AFTER_S = 1.0
# One that gives nothing for audio that is so old has stalled (not one that lags behind audio that came all at once).
_STALL_S = 2.0
_UP_TO_DATE_S = 0.1
# Sums of times differ in their last bits; whether a frame goes along must not hang on those.
_ROUNDING_S = 1e-6
# Who speaks and is cut off (the microphone ends, the line breaks) is taken as quiet after this time without audio.
_GAP_S = 1.0


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
        self._tail_s = vad.capabilities.tail_ms / 1000.0
        self._edges = SpeechGate(options)
        self._stream: VADStream | None = None
        self._tasks = TaskOwner(self._crashed)
        self._reopen_s = -_REOPEN_AFTER_S
        self._preroll = Preroll(self._padding_s + _CONFIRMATION_S + options.min_speech_ms / 1000.0)
        self._audio_s = 0.0
        self._base_s = 0.0
        self._epoch_s = 0.0
        self._window_end_s = 0.0
        self._asked_s = 0.0  # when the oldest audio came for which the detector owes a result
        self._told_s = 0.0  # session time of the last edge that was told; none lies before it
        self._passing = False
        self._appended_s = 0.0
        self._gap_timer: asyncio.TimerHandle | None = None

    async def aclose(self) -> None:
        """Stop detecting."""
        self._watch(False)
        self._drop_stream()
        await self._tasks.aclose()

    def append(self, frame: AudioFrame) -> None:
        """The next audio."""
        stream = self._detector(frame.sample_rate)
        self._audio_s += frame.duration_s
        self._appended_s = self._owner.clock.now()
        self._epoch_s = self._appended_s - self._audio_s
        if self._passing:
            self._owner.inner.append_audio(frame)
        else:
            self._preroll.append(frame)
        if stream is None:
            return
        if self._audio_s - self._window_end_s - frame.duration_s < _UP_TO_DATE_S:
            self._asked_s = self._appended_s
        stream.push(frame)
        if self._appended_s - self._asked_s > _STALL_S - _ROUNDING_S:
            self._on_error(ModelTimeoutError(f"the VAD has given nothing for {_STALL_S:g} s", stage="vad"))

    def open(self, at_s: float) -> None:
        """The caller speaks since that session time: pass it on, with what went before."""
        if self._passing:
            return
        self._passing = True
        self._watch(True)
        for frame in self._preroll.take(self._appended_s - at_s + self._padding_s):
            self._owner.inner.append_audio(frame)

    def close(self, *, restart: bool = False) -> None:
        """The caller is quiet: keep what comes. ``restart``: whoever speaks on begins a new turn."""
        self._passing = False
        self._watch(False)
        if restart:
            self._edges = SpeechGate(self._options)

    def _watch(self, on: bool) -> None:
        """While the caller speaks: see whether their audio goes on."""
        if self._gap_timer is not None:
            self._gap_timer.cancel()
            self._gap_timer = None
        if on:
            due_s = self._owner.clock.to_source(self._appended_s + _GAP_S)
            self._gap_timer = asyncio.get_running_loop().call_at(due_s, self._look)

    def _look(self) -> None:
        if self._owner.clock.now() < self._appended_s + _GAP_S - _ROUNDING_S:
            self._watch(True)
            return
        self._gap_timer = None
        self._told_s = max(self._told_s, self._appended_s)
        self._edges = SpeechGate(self._options)
        self._owner.feed(facts.SpeechEnded(self._told_s))

    # -- detection ---------------------------------------------------------------------------------------------

    def _detector(self, sample_rate: int) -> VADStream | None:
        if self._stream is None and self._owner.clock.now() >= self._reopen_s:
            self._sample_rate = sample_rate
            self._base_s = self._window_end_s = self._audio_s
            self._asked_s = self._owner.clock.now()
            self._stream = self._vad.stream(
                sample_rate=sample_rate, on_result=self._on_result, on_error=self._on_error
            )
        return self._stream

    def _on_result(self, result: SpeechProbability) -> None:
        start_s, self._asked_s = self._window_end_s, self._owner.clock.now()
        self._window_end_s = self._base_s + result.end_position_samples / self._sample_rate
        edge = self._edges.receive(result.probability, start_s, self._window_end_s)
        if edge is None:
            return
        tail_s = self._tail_s if edge.kind is EdgeKind.STOP else 0.0
        at_s = self._told_s = max(self._told_s, self._epoch_s + edge.at_s - tail_s)
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
        """The detector is lost: say so, take open speech as ended, and try a new one."""
        self._drop_stream()
        now = self._told_s = self._owner.clock.now()
        # The next time it fails within that time of this failure, it has to wait.
        self._reopen_s = now if now >= self._reopen_s + _REOPEN_AFTER_S else now + _REOPEN_AFTER_S
        self._edges = SpeechGate(self._options)
        self._owner.emit(ErrorOccurred(error, "vad"))
        self._owner.feed(facts.OnsetDropped())
        self._owner.feed(facts.SpeechEnded(now))

    def _drop_stream(self) -> None:
        if self._stream is not None:
            self._tasks.finish(self._stream.aclose(), name="input_gate.close_vad")
            self._stream = None

    def _crashed(self, error: Exception) -> None:
        failure = ModelError(f"closing a VAD stream failed with {type(error).__name__}: {error}", stage="vad")
        self._owner.emit(ErrorOccurred(failure, "vad"))


class Preroll:
    """The newest audio that is not part of a turn.

    Args:
        keep_s: how much to keep; the oldest is dropped, whole frames at a time.
    """

    __slots__ = ("_frames", "_keep_s", "_length_s")

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._frames: deque[AudioFrame] = deque()  # bounded by _keep_s; the oldest is dropped
        self._length_s = 0.0

    def append(self, frame: AudioFrame) -> None:
        """The next audio."""
        self._frames.append(frame)
        self._length_s += frame.duration_s
        while self._length_s - self._frames[0].duration_s > self._keep_s - _ROUNDING_S:
            self._length_s -= self._frames.popleft().duration_s

    def take(self, last_s: float) -> list[AudioFrame]:
        """The frames that reach into the last so many seconds; all are forgotten."""
        taken, left_s = [], self._length_s
        for frame in self._frames:
            left_s -= frame.duration_s
            if left_s < last_s - _ROUNDING_S:
                taken.append(frame)
        self._frames.clear()
        self._length_s = 0.0
        return taken
