"""`Backlog`: how much audio came faster than it was spoken, and so may still wait for whoever works through it."""

from __future__ import annotations

__all__ = ["Backlog"]

_AT_ONCE_S = 1.0


class Backlog:
    """Counts audio in, and one second of it out in each second.

    What comes from a microphone leaves none. A file that is given all at once leaves its whole length, so a deadline
    for what is to be found in it must be later.
    """

    __slots__ = ("_at_s", "_length_s")

    def __init__(self) -> None:
        self._at_s = 0.0
        self._length_s = 0.0

    def add(self, duration_s: float, now: float) -> None:
        """More audio."""
        self._length_s = self.length_s(now) + duration_s
        self._at_s = now

    def length_s(self, now: float) -> float:
        """How much there is still."""
        return max(0.0, self._length_s - max(0.0, now - self._at_s))

    def allowance_s(self, now: float) -> float:
        """By how much a deadline is later: whoever hears in real time at all works it off no slower than at half that.

        (An answer that is being prepared, or the audio of others, may have half of the machine.) What goes before a
        turn always comes at once; deadlines reckon with that.
        """
        return 2.0 * max(0.0, self.length_s(now) - _AT_ONCE_S)
