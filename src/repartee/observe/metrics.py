"""`LatencyView`: how long each reply took, and in which stage."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from repartee.models.events import RealtimeEvent, ResponseDone, StageReached, TimedStage

__all__ = ["LatencyView", "TurnLatency"]


@dataclass(slots=True)
class TurnLatency:
    """When the stages of one reply were reached, in session seconds.

    A stage that a reply does not have is ``None``: a typed turn has no end of speech. A reply that was prepared ahead
    reaches its first token before the decision.
    """

    response_id: str
    stages: dict[TimedStage, float] = field(default_factory=dict)

    @property
    def voice_to_voice_s(self) -> float | None:
        """From the end of the caller's speech to the first sample heard."""
        return self.between("speech_end", "playback")

    @property
    def after_decision_s(self) -> float | None:
        """From the decision that the turn is over to the first sample heard."""
        return self.between("decision", "playback")

    def between(self, first: TimedStage, second: TimedStage) -> float | None:
        """The time from one stage to another; ``None`` where either is missing."""
        start, end = self.stages.get(first), self.stages.get(second)
        return end - start if start is not None and end is not None else None


class LatencyView:
    """Collects latencies from a session's events.

    Args:
        keep: how many replies to remember; the oldest are dropped. Default 1000.
    """

    __slots__ = ("_open", "turns")

    def __init__(self, keep: int = 1000) -> None:
        self._open: dict[str, TurnLatency] = {}  # bounded by _OPEN_MAX; the oldest is dropped
        self.turns: deque[TurnLatency] = deque(maxlen=keep)

    def receive(self, event: RealtimeEvent) -> TurnLatency | None:
        """Take an event; the reply that it completes: the one that is heard now for the first time."""
        if isinstance(event, ResponseDone) and event.status != "completed":
            # A reply that is cut short later is measured already; one that was never heard is not measured.
            return None
        if not isinstance(event, StageReached):
            return None
        turn = self._open.get(event.response_id)
        if turn is None:
            while len(self._open) >= _OPEN_MAX:
                del self._open[next(iter(self._open))]
            turn = self._open[event.response_id] = TurnLatency(event.response_id)
        turn.stages.setdefault(event.stage, event.at_s)
        if event.stage != "playback":
            return None
        del self._open[event.response_id]
        self.turns.append(turn)
        return turn


_OPEN_MAX = 64
