"""`Alarm`: one timer on session time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from repartee.clock import Clock

__all__ = ["Alarm"]


class Alarm:
    """Calls once at a time that can be moved.

    Args:
        clock: session time.
        on_due: called then.
    """

    __slots__ = ("_clock", "_handle", "_on_due", "due_s")

    def __init__(self, clock: Clock, on_due: Callable[[], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._handle: asyncio.TimerHandle | None = None
        self.due_s: float | None = None
        """When; ``None``: it is not set."""

    def set(self, due_s: float | None) -> None:
        """Call at that time instead, or not at all. One that has passed: as soon as possible, never from within."""
        if due_s == self.due_s:
            return
        self.due_s = due_s
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if due_s is not None:
            self._handle = asyncio.get_running_loop().call_at(self._clock.to_source(due_s), self._fire)

    def _fire(self) -> None:
        self._handle, self.due_s = None, None
        self._on_due()
