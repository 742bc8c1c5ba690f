"""`Listeners`: the program's own consumers of a session's events."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from repartee.models.events import AudioDelta, RealtimeEvent

__all__ = ["Listeners"]

logger = logging.getLogger("repartee.session")

E = TypeVar("E")


class _Feed:
    """One iterator's queue: the oldest event is dropped when it is full."""

    __slots__ = ("closed", "dropped", "queue", "wake")

    def __init__(self, max_queue: int) -> None:
        self.queue: deque[RealtimeEvent] = deque(maxlen=max_queue)
        self.wake = asyncio.Event()
        self.dropped = 0
        self.closed = False


class Listeners:
    """Callbacks by event type, and iterators."""

    def __init__(self) -> None:
        self._callbacks: dict[type, list[Callable[[Any], object]]] = {}
        self._feeds: list[_Feed] = []
        self._closed = False

    def on(self, kind: type[E], callback: Callable[[E], object]) -> Callable[[], None]:
        """Call back for each event of a type; the function returned ends that."""
        callbacks = self._callbacks.setdefault(kind, [])
        callbacks.append(callback)

        def off() -> None:
            if callback in callbacks:
                callbacks.remove(callback)

        return off

    def tell(self, event: RealtimeEvent) -> None:
        """Hand an event to everybody who wants it. A callback that raises is logged, and hurts nobody else."""
        for callback in tuple(self._callbacks.get(type(event), ())):
            try:
                callback(event)
            except Exception:
                logger.exception("a callback for %s raised", type(event).__name__)
        if not self._feeds or isinstance(event, AudioDelta):
            return
        for feed in self._feeds:
            if len(feed.queue) == feed.queue.maxlen:
                feed.dropped += 1
            feed.queue.append(event)
            feed.wake.set()

    async def events(self, max_queue: int) -> AsyncIterator[RealtimeEvent]:
        """Every event but audio, until the session ends."""
        feed = _Feed(max_queue)
        if self._closed:
            return
        self._feeds.append(feed)
        try:
            while True:
                while feed.queue:
                    yield feed.queue.popleft()
                if feed.closed:
                    return
                feed.wake.clear()
                await feed.wake.wait()
        finally:
            self._feeds.remove(feed)
            if feed.dropped:
                logger.warning("an event iterator was too slow: %d events were dropped", feed.dropped)

    def close(self) -> None:
        """End every iterator, once it has given what it holds."""
        self._closed = True
        for feed in self._feeds:
            feed.closed = True
            feed.wake.set()
