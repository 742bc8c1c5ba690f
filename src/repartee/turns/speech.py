"""`SpeechGate`: from a detector's probabilities to the edges of speech.

Theory of operation. A detector gives one probability per window. Four edges matter, and each has its own price:

* *onset*: the first window that looks like speech. Acting on it must be cheap to undo (the agent's voice is turned
  down), since a cough looks the same.
* *start*: onset that has lasted ``min_speech_ms``. Now somebody speaks.
* *dropped*: onset that did not last.
* *stop*: silence that has lasted ``min_silence_ms``; it is dated back to where the silence began. Waiting for the end
  of the turn counts from that date, so this delay costs nothing.

Two thresholds (hysteresis) keep a wavering probability from chattering. All positions are seconds of audio since the
first sample, so the gate neither knows nor needs a clock.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from repartee.errors import ConfigurationError
from repartee.turns.interruption import reached

__all__ = ["Edge", "EdgeKind", "GateState", "SpeechGate", "SpeechGateOptions"]


class GateState(enum.Enum):
    """Where the gate is between silence and speech."""

    SILENT = "silent"
    RISING = "rising"
    SPEAKING = "speaking"
    FALLING = "falling"


class EdgeKind(enum.Enum):
    """What has been found."""

    ONSET = "onset"
    DROPPED = "dropped"
    START = "start"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge of speech, and where in the audio it is (not when it was noticed)."""

    kind: EdgeKind
    at_s: float


@dataclass(frozen=True, slots=True)
class SpeechGateOptions:
    """How sure to be.

    Args:
        threshold: probability from which a window counts as speech. Default 0.5.
        release: probability below which it counts as silence again. Default: threshold - 0.15.
        min_speech_ms: how long an onset must last to be speech. Default 96.
        min_silence_ms: how long silence must last to be a stop. Default 64.
    """

    threshold: float = 0.5
    release: float | None = None
    min_speech_ms: float = 96.0
    min_silence_ms: float = 64.0

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 1.0:
            raise ConfigurationError(f"threshold is {self.threshold}; it must be between 0 and 1")
        if self.release is not None and not 0.0 < self.release <= self.threshold:
            raise ConfigurationError(
                f"release is {self.release}; it must be above 0 and not above threshold ({self.threshold})"
            )
        if self.min_speech_ms < 0 or self.min_silence_ms < 0:
            raise ConfigurationError("min_speech_ms and min_silence_ms must not be negative")

    @property
    def release_level(self) -> float:
        """The probability that ends speech."""
        return self.release if self.release is not None else max(0.05, self.threshold - 0.15)


class SpeechGate:
    """Finds the edges of speech in one stream of probabilities."""

    __slots__ = ("_edge_s", "_options", "_release", "state")

    def __init__(self, options: SpeechGateOptions | None = None) -> None:
        self._options = options if options is not None else SpeechGateOptions()
        self._release = self._options.release_level
        self._edge_s = 0.0
        self.state = GateState.SILENT

    def rests(self, probability: float) -> bool:
        """Whether nothing follows from a window of that probability: there was silence, and there is."""
        return self.state is GateState.SILENT and probability < self._options.threshold

    def receive(self, probability: float, start_s: float, end_s: float) -> Edge | None:
        """Take one window's probability; the edge that it completes, if any.

        Args:
            probability: 0 to 1.
            start_s: where the window begins, in seconds of audio.
            end_s: where it ends.
        """
        options = self._options
        match self.state:
            case GateState.SILENT:
                if probability >= options.threshold:
                    self.state, self._edge_s = GateState.RISING, start_s
                    return Edge(EdgeKind.ONSET, start_s)
            case GateState.RISING:
                if probability < self._release:
                    self.state = GateState.SILENT
                    return Edge(EdgeKind.DROPPED, end_s)
                if reached((end_s - self._edge_s) * 1000.0, options.min_speech_ms):
                    self.state = GateState.SPEAKING
                    return Edge(EdgeKind.START, self._edge_s)
            case GateState.SPEAKING:
                if probability < self._release:
                    self.state, self._edge_s = GateState.FALLING, start_s
                    return self._stop(end_s)
            case GateState.FALLING:
                if probability >= options.threshold:
                    self.state = GateState.SPEAKING
                else:
                    return self._stop(end_s)
        return None

    def _stop(self, end_s: float) -> Edge | None:
        """The stop, once silence has lasted; a single window may be long enough."""
        if not reached((end_s - self._edge_s) * 1000.0, self._options.min_silence_ms):
            return None
        self.state = GateState.SILENT
        return Edge(EdgeKind.STOP, self._edge_s)
