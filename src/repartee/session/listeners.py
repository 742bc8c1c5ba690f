"""`Listeners`: the program's own consumers of a session's events."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar
from weakref import ReferenceType, ref

from repartee.models.events import AudioDelta, RealtimeEvent

__all__ = ["EventFeed", "Listeners"]

logger = logging.getLogger("repartee.session")

E = TypeVar("E")


class EventFeed(AsyncIterator[RealtimeEvent]):
    """One reader's events; the oldest is dropped when its queue is full.

    It is forgotten when its reader drops it.
    """

    def __init__(self, max_queue: int, *, closed: bool) -> None:
        self._queue: deque[RealtimeEvent] = deque(maxlen=max_queue)
        self._wake = asyncio.Event()
        self._closed = closed
        self.dropped = 0
        """How many events the reader was too slow for."""

    def __aiter__(self) -> EventFeed:
        return self

    async def __anext__(self) -> RealtimeEvent:
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()

    def put(self, event: RealtimeEvent) -> None:
        """An event for the reader."""
        if self._closed:
            return
        if len(self._queue) == self._queue.maxlen:
            if not self.dropped:
                logger.warning(
                    "an event iterator is too slow: beyond %d events the oldest are dropped", len(self._queue)
                )
            self.dropped += 1
        self._queue.append(event)
        self._wake.set()

    async def aclose(self) -> None:
        """Take no more events; what is there can still be read."""
        self.close()

    def close(self) -> None:
        """No more events come."""
        self._closed = True
        self._wake.set()


class Listeners:
    """Callbacks by event type, and iterators."""

    def __init__(self) -> None:
        self._callbacks: dict[type, list[Callable[[Any], object]]] = {}
        self._feeds: list[ReferenceType[EventFeed]] = []
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
        callbacks = self._callbacks.get(type(event))
        if callbacks:
            for callback in tuple(callbacks):
                try:
                    callback(event)
                except Exception:
                    logger.exception("a callback for %s raised", type(event).__name__)
        if self._feeds and not isinstance(event, AudioDelta):
            for feed in self._readers():
                feed.put(event)

    def _readers(self) -> list[EventFeed]:
        readers = [feed for reference in self._feeds if (feed := reference()) is not None]
        if len(readers) < len(self._feeds):
            self._feeds = [reference for reference in self._feeds if reference() is not None]
        return readers

    def events(self, max_queue: int) -> EventFeed:
        """Every event but audio, from now until the session ends."""
        feed = EventFeed(max_queue, closed=self._closed)
        self._feeds.append(ref(feed))
        return feed

    def close(self) -> None:
        """End every iterator, once it has given what it holds."""
        self._closed = True
        for feed in self._readers():
            feed.close()
