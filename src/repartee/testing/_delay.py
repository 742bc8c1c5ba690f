"""Callbacks after a delay, in the order in which they were given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class DelayLine:
    """Calls back later and in order; one that was given later never comes sooner.

    Nothing is called from within `after`, even for a delay of 0. What waits is bounded by what a script gives within
    its longest delay.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[float, object, Callable[..., Any], tuple[Any, ...]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._last_due = 0.0
        self.closed = False

    def after(self, delay_s: float, callback: Callable[..., Any], *args: Any, tag: object = None) -> None:
        """Call back in ``delay_s`` or, if something given earlier is later than that, right behind it."""
        if self.closed:
            return
        due = max(self._loop.time() + delay_s, self._last_due)
        self._last_due = due
        self._waiting.append((due, tag, callback, args))
        self._arm()

    def drop(self, tag: object, *, due_after_s: float = -1.0) -> None:
        """Forget what was given with this tag and is due later than in ``due_after_s`` (all of it by default)."""
        limit = self._loop.time() + due_after_s
        self._waiting = [entry for entry in self._waiting if entry[1] != tag or entry[0] <= limit]
        self._last_due = self._waiting[-1][0] if self._waiting else 0.0
        self._rearm()

    def close(self) -> None:
        """Forget everything, and take nothing more."""
        self.closed = True
        self._waiting.clear()
        self._rearm()

    def _rearm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now and not self.closed:
            _, _, callback, args = self._waiting.pop(0)
            callback(*args)
        if self._timer is None:
            self._arm()
