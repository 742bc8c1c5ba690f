"""`Arrivals`: when audio came, told by its place in the session's audio."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Arrivals"]

STEP_S: Final = 0.05
"""Audio that comes in smaller pieces is noted as if it came in such ones."""
NOTES_MAX: Final = 1200
"""At least a minute of audio; the oldest notes go."""


class Arrivals:
    """When which part of the audio came: session time by position.

    Audio that came as it was spoken gives the time at which it was spoken (plus its way here), even within a longer
    piece; audio that was sent faster than it was spoken gives the time at which it came.

    Args:
        now: session time, of when nothing has come yet.
    """

    __slots__ = ("_noted_s", "_notes", "last_s")

    def __init__(self, now: float = 0.0) -> None:
        self.last_s = now
        """When the newest audio came."""
        self._notes: deque[tuple[float, float]] = deque(maxlen=NOTES_MAX)  # where a piece ends, when it came
        self._noted_s = -STEP_S

    def note(self, end_s: float, now: float) -> None:
        """The audio up to there has come."""
        self.last_s = now
        if end_s - self._noted_s >= STEP_S:
            self._notes.append((end_s, now))
            self._noted_s = end_s

    def time_of(self, position_s: float, now: float) -> float:
        """Session time at which that position came; ``now`` where it has not."""
        spoken_s, earliest_s = now, 0.0
        for end_s, at_s in reversed(self._notes):
            if end_s < position_s:
                earliest_s = at_s
                break
            spoken_s = at_s - (end_s - position_s)
        return min(now, max(earliest_s, spoken_s))
