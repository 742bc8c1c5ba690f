"""Names what blocks the event loop.

One thread looks whether the loop still turns. When it has stood still for too long, the log says where it stands (the
innermost function, and the innermost of ours), and afterwards for how long.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from types import FrameType
from typing import Final

from repartee.clock import Clock

__all__ = ["Watchdog"]

log = logging.getLogger("repartee.server.sockets.watchdog")

OWN: Final = "repartee"


class Watchdog:
    """Watches the running event loop, from `start` to `stop`.

    Args:
        limit_ms: how long it may stand still.
    """

    def __init__(self, limit_ms: int) -> None:
        self._limit_s = limit_ms / 1000
        self._clock = Clock()
        self._turned_at = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop_thread = 0
        self._beat: asyncio.TimerHandle | None = None
        self.reports: int = 0
        """How often the loop has stood still for too long."""

    def start(self) -> None:
        """Begin. Call it in the loop."""
        self._loop_thread = threading.get_ident()
        self._turn()
        self._thread = threading.Thread(
            target=self._watch, name="repartee.server.sockets.watchdog", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End. Idempotent."""
        self._stop.set()
        if self._beat is not None:
            self._beat.cancel()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _turn(self) -> None:
        self._turned_at = self._clock.now()
        self._beat = asyncio.get_running_loop().call_later(self._limit_s / 2, self._turn)

    def _watch(self) -> None:
        blocked_since: float | None = None
        while not self._stop.wait(self._limit_s / 4):
            turned_at = self._turned_at
            if blocked_since is not None and turned_at != blocked_since:
                log.warning("the event loop stood still for %.0f ms", (turned_at - blocked_since) * 1000)
                blocked_since = None
            # It is due every half of the limit; so this is the limit, whatever the loop did before.
            if blocked_since is None and self._clock.now() - turned_at > self._limit_s * 1.5:
                blocked_since = turned_at
                self.reports += 1
                frame = sys._current_frames().get(self._loop_thread)
                log.warning("the event loop stands still: %s", where(frame))


def where(frame: FrameType | None) -> str:
    """The innermost function of a stack, and the innermost of ours."""
    if frame is None:
        return "its thread is gone"
    own = frame
    while own.f_back is not None and not _is_own(own):
        own = own.f_back
    text = _place(frame)
    return text if own is frame or not _is_own(own) else f"{text}, called by {_place(own)}"


def _is_own(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == OWN


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{frame.f_globals.get('__name__', '?')}.{code.co_qualname}, line {frame.f_lineno}"
