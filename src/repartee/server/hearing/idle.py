"""`IdleTimer`: nobody has said anything since the reply was heard."""

from __future__ import annotations

from collections.abc import Callable

from repartee.clock import Clock
from repartee.server.hearing.alarm import Alarm

__all__ = ["IdleTimer"]


class IdleTimer:
    """Calls once after an idle time.

    Args:
        clock: session time.
        on_idle: called then.
    """

    __slots__ = ("_alarm", "_begun_s", "_on_idle", "_timeout_s", "position_s")

    def __init__(self, clock: Clock, on_idle: Callable[[], None]) -> None:
        self._alarm = Alarm(clock, self._fire)
        self._on_idle = on_idle
        self._timeout_s: float | None = None
        self._begun_s: float | None = None
        self.position_s = 0.0
        """Where in the session's audio it began to count, in seconds."""

    @property
    def counting(self) -> bool:
        """Whether it will call."""
        return self._alarm.due_s is not None

    def configure(self, timeout_s: float | None) -> None:
        """How long; ``None``: never. What was begun goes on by the new measure."""
        self._timeout_s = timeout_s
        self._set()

    def begin(self, at_s: float, position_s: float) -> None:
        """Count from that session time on; the audio ends at that position."""
        self._begun_s, self.position_s = at_s, position_s
        self._set()

    def stop(self) -> None:
        """Something happens: don't count."""
        self._begun_s = None
        self._set()

    def _set(self) -> None:
        counts = self._begun_s is not None and self._timeout_s is not None
        self._alarm.set((self._begun_s or 0.0) + (self._timeout_s or 0.0) if counts else None)

    def _fire(self) -> None:
        self._begun_s = None
        self._on_idle()
