"""A thread, and its end as something that an event loop can await."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

from repartee.errors import StateError

__all__ = ["Worker"]


class Worker:
    """A daemon thread that runs ``work(worker)`` until that returns.

    Args:
        name: of the thread.
        work: ends soon after `stopping` was set (and it was woken, which is its owner's business).
    """

    def __init__(self, name: str, work: Callable[[Worker], None]) -> None:
        self.stopping = False
        self._end: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, args=(work,), name=name, daemon=True)
        self._thread.start()

    def _main(self, work: Callable[[Worker], None]) -> None:
        try:
            work(self)
        finally:
            self._end.set_result(None)

    async def ended(self) -> None:
        """Return once the thread is gone."""
        if threading.current_thread() is self._thread:
            raise StateError("a worker can't wait for its own end")
        await asyncio.shield(asyncio.wrap_future(self._end))
        self._thread.join()  # only its last few instructions are left
