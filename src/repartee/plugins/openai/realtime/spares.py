"""`Spares`: connections that are opened ahead, each for one session.

A spare is taken once, and only for what it was opened for (`Spares.take`, ``key``): the address, the key and all else
that is fixed when a connection opens. What a session configures is said on it when it is taken. One that nobody takes
is closed after a minute: servers count its time as a session's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from repartee.errors import ConfigurationError
from repartee.plugins.openai.realtime.keeper import Wire

__all__ = ["SPARES_MAX", "Spares"]

SPARES_MAX = 16
SPARE_S = 60.0


@dataclass(slots=True, eq=False)
class _Spare:
    key: object
    opening: asyncio.Task[Wire]
    loop: asyncio.AbstractEventLoop
    timer: asyncio.TimerHandle

    def usable(self, key: object) -> bool:
        """Whether it is for this, of this event loop, and still there (or on its way)."""
        if self.key != key or self.loop is not asyncio.get_running_loop():
            return False
        return not self.opening.done() or _wire_of(self.opening) is not None


class Spares:
    """Connections opened ahead.

    Args:
        count: how many are held; 1 to 16.

    Raises:
        ConfigurationError: ``count`` is out of range.
    """

    def __init__(self, count: int = 1) -> None:
        if not 1 <= count <= SPARES_MAX:
            raise ConfigurationError(f"prewarm_connections is {count!r}; it must be 1 to {SPARES_MAX}")
        self._count = count
        self._spares: list[_Spare] = []
        self._closing: set[asyncio.Task[None]] = set()

    async def fill(self, key: object, open_wire: Callable[[], Awaitable[Wire]]) -> None:
        """Open what is missing, all at once; those for another key are closed.

        Args:
            key: what they are for; equal keys make equal connections.
            open_wire: opens one.

        Raises:
            ModelError: one can't be had. The others stay.
        """
        for spare in [each for each in self._spares if not each.usable(key)]:
            self._drop(spare)
        loop = asyncio.get_running_loop()
        for _ in range(self._count - len(self._spares)):
            opening = loop.create_task(_open(open_wire), name="openai.realtime.spare")
            spare = _Spare(key, opening, loop, loop.call_later(SPARE_S, self._expire, opening))
            self._spares.append(spare)
        opening_now = [spare.opening for spare in self._spares]
        # Not gathered: whoever waits may be cancelled, and others wait for the same.
        await asyncio.wait(opening_now)
        for each in opening_now:
            if not each.cancelled() and (error := each.exception()) is not None:
                raise error

    async def take(self, key: object) -> Wire | None:
        """One of them, also one that is still being opened; ``None``: there is none, or it could not be had."""
        while (spare := next((each for each in self._spares if each.usable(key)), None)) is not None:
            self._spares.remove(spare)
            spare.timer.cancel()
            try:
                await asyncio.wait([spare.opening])
            except asyncio.CancelledError:
                self._close(spare)
                raise
            wire = _wire_of(spare.opening)
            if wire is not None:
                return wire
            self._close(spare)
        return None

    async def aclose(self) -> None:
        """Close those that nobody has taken. Idempotent."""
        for spare in list(self._spares):
            self._drop(spare)
        while self._closing:
            await asyncio.wait(self._closing)

    def _expire(self, opening: asyncio.Task[Wire]) -> None:
        for spare in [each for each in self._spares if each.opening is opening]:
            self._drop(spare)

    def _drop(self, spare: _Spare) -> None:
        self._spares.remove(spare)
        spare.timer.cancel()
        if spare.loop is asyncio.get_running_loop():
            self._close(spare)
        # One of an event loop that has ended went with it.

    def _close(self, spare: _Spare) -> None:
        task = spare.loop.create_task(_close(spare.opening), name="openai.realtime.close_spare")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _open(open_wire: Callable[[], Awaitable[Wire]]) -> Wire:
    return await open_wire()


def _wire_of(opening: asyncio.Task[Wire]) -> Wire | None:
    """The connection, if it was opened and is still there."""
    if opening.cancelled() or opening.exception() is not None:
        return None
    wire = opening.result()
    return wire if wire.closed is None else None


async def _close(opening: asyncio.Task[Wire]) -> None:
    opening.cancel()
    await asyncio.wait([opening])
    if not opening.cancelled() and opening.exception() is None:
        await opening.result().aclose()
