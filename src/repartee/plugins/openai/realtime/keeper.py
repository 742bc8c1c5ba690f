"""`Keeper`: one conversation's connection, replaced whenever it is lost or about to end.

It knows nothing of what is said: the session gives every new connection its state (`KeeperOwner.replay`), and is told
when one is gone. A planned end is prepared beside the old connection: the new one is open, and has greeted, before the
old one is left at a quiet moment.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from repartee.clock import Clock
from repartee.errors import ConfigurationError, ModelConnectionError, ModelError, ModelTimeoutError, Stage
from repartee.plugins.openai.realtime.link import Connector, Link, LinkRequest

__all__ = ["Deadlines", "Keeper", "KeeperOwner", "Wire", "checked_deadlines", "checked_seconds", "open_wire"]

_LOG = logging.getLogger("repartee.openai")
_FINAL_CLOSES = frozenset({1002, 1003, 1007, 1008, 1010, 3000, 4000})
_HELD_FRAMES_MAX = 64  # what a server says before it is asked anything: one frame, or two
_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.25, 4.0
_STARTS_MAX = 3
_CLOSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long things may take.

    Args:
        connect_s: a connection, and then the server's consent to the configuration.
        reconnect_s: trying again after a connection was lost, in all.
        session_s: the longest use of one connection.
        grace_s: how long after that a quiet moment is waited for.
        response_s: the time in which nothing comes of a response that was asked for or has begun.
        response_duration_s: a whole response, from when it has begun.
        commit_s: the server's acknowledgement of a commit.
        transcription_s: the time in which nothing comes of the words of a turn that the server has.
        close_s: the end of a connection.
    """

    connect_s: float = 10.0
    reconnect_s: float = 60.0
    session_s: float = 55 * 60.0
    grace_s: float = 120.0
    response_s: float = 30.0
    response_duration_s: float = 300.0
    commit_s: float = 10.0
    transcription_s: float = 30.0
    close_s: float = _CLOSE_S


_DEADLINES = {
    "connect_timeout_s": "connect_s",
    "reconnect_timeout_s": "reconnect_s",
    "max_session_duration_s": "session_s",
    "handover_grace_s": "grace_s",
    "response_timeout_s": "response_s",
    "response_duration_s": "response_duration_s",
    "commit_timeout_s": "commit_s",
    "transcription_timeout_s": "transcription_s",
    "close_timeout_s": "close_s",
}


def checked_seconds(name: str, value: float) -> float:
    """A length of time that a user gave.

    Raises:
        ConfigurationError: it is not above 0; the message names it.
    """
    if not value > 0:
        raise ConfigurationError(f"{name} is {value}; it must be more than 0 s")
    return value


def checked_deadlines(**seconds: float) -> Deadlines:
    """Deadlines by the names that users give them.

    Raises:
        ConfigurationError: one is not above 0; the message names it.
    """
    return Deadlines(**{_DEADLINES[name]: checked_seconds(name, value) for name, value in seconds.items()})


class Wire:
    """A link that keeps what comes until somebody listens, so that it may be opened ahead.

    Args:
        close_s: how long its end may take. Default: as in `Deadlines`.
    """

    __slots__ = ("_close_s", "_held", "_on_close", "_on_message", "closed", "greeted", "link")

    def __init__(self, *, close_s: float = _CLOSE_S) -> None:
        self._close_s = close_s
        self.link: Link | None = None
        self.closed: tuple[int, str] | None = None
        """Close code and reason, once it has ended by itself."""
        self.greeted = asyncio.Event()
        """The server has said something, or closed."""
        self._held: list[bytes] = []
        self._on_message: Callable[[bytes], None] | None = None
        self._on_close: Callable[[int, str], None] | None = None

    def receive(self, frame: bytes) -> None:
        """A frame has come."""
        if self._on_message is not None:
            self._on_message(frame)
            return  # nobody waits for the greeting any more
        if len(self._held) < _HELD_FRAMES_MAX:
            self._held.append(frame)
        self.greeted.set()

    def end(self, code: int, reason: str) -> None:
        """The server, or the network, has ended it."""
        self.closed = (code, reason)
        self.greeted.set()
        if self._on_close is not None:
            self._on_close(code, reason)

    def attach(self, on_message: Callable[[bytes], None], on_close: Callable[[int, str], None]) -> None:
        """Listen from now on; what has come already is told at once."""
        self._on_message, self._on_close = on_message, on_close
        held, self._held = self._held, []
        for frame in held:
            on_message(frame)
        if self.closed is not None:
            on_close(*self.closed)

    def detach(self) -> None:
        """Listen no more."""
        self._on_message, self._on_close = _ignore_frame, None

    def first_frame(self) -> bytes | None:
        """What the server said first, if nobody has listened yet."""
        return self._held[0] if self._held else None

    async def aclose(self) -> None:
        """Close it. After its deadline it is left to itself."""
        self.detach()
        if self.link is None:
            return
        try:
            async with asyncio.timeout(self._close_s):
                await self.link.aclose()
        except TimeoutError:
            _LOG.warning("a connection was dropped: its end took longer than %g s", self._close_s)


def _ignore_frame(_: bytes) -> None:
    pass


async def open_wire(connector: Connector, request: LinkRequest, *, close_s: float = _CLOSE_S) -> Wire:
    """Connect.

    Args:
        connector: opens links.
        request: where to.
        close_s: as in `Wire`.

    Raises:
        ModelError: it can't be had.
    """
    wire = Wire(close_s=close_s)
    wire.link = await connector(request, on_message=wire.receive, on_close=wire.end)
    return wire


class KeeperOwner(Protocol):
    """What the keeper needs of the session."""

    def replay(self) -> None:
        """Give the new connection the state of the conversation."""

    def take_frame(self, frame: bytes) -> None:
        """A frame of the present connection."""

    def connection_lost(self) -> None:
        """The connection is gone, with all that was on its way."""

    def reconnected(self, reason: str, gap_s: float) -> None:
        """Another one has taken over."""

    def gave_up(self, error: ModelError) -> None:
        """There will be none any more."""

    def is_quiet(self) -> bool:
        """Whether nothing would be cut short now."""

    def greeting_error(self, frame: bytes) -> ModelError | None:
        """What is wrong, if the first frame of a connection says so."""


class Keeper:
    """Keeps a connection.

    Args:
        owner: the session.
        connect: opens a connection.
        deadlines: how long things may take.
        clock: session time.
        stage: of the conversation, for errors. Default: ``realtime``.
    """

    def __init__(
        self,
        owner: KeeperOwner,
        connect: Callable[[], Awaitable[Wire]],
        deadlines: Deadlines,
        clock: Clock,
        *,
        stage: Stage = "realtime",
    ) -> None:
        self._stage: Stage = stage
        self._owner = owner
        self._connect = connect
        self._deadlines = deadlines
        self._clock = clock
        self._wire: Wire | None = None
        self._ready: asyncio.Future[None] | None = None
        self._changed = asyncio.Event()
        self._lost = asyncio.Event()
        self._lost_reason = ""
        self._lost_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    # -- for the session ---------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether what is sent reaches a connection."""
        return self._wire is not None

    @property
    def starting(self) -> bool:
        """Whether the server's consent to the configuration is awaited."""
        return self._ready is not None and not self._ready.done()

    @property
    def unsent_bytes(self) -> int:
        """How much waits for the network."""
        link = self._wire.link if self._wire is not None else None
        return link.unsent_bytes if link is not None else 0

    def send(self, frame: bytes) -> None:
        """Send a frame; without a connection it is dropped, since the next one is given the whole state."""
        if self._wire is not None and self._wire.link is not None:
            self._wire.link.send(frame)

    def accept(self) -> None:
        """The server has taken the configuration."""
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def refuse(self, error: ModelError) -> None:
        """The server has not taken it."""
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(error)

    def note_change(self) -> None:
        """It may be quiet now."""
        self._changed.set()

    async def start(self) -> None:
        """Connect. What may pass by itself is tried again, twice, as long as the deadline allows.

        Raises:
            ModelError: it can't be had.
        """
        deadline_s = self._clock.now() + self._deadlines.connect_s
        delay_s = _BACKOFF_MIN_S
        for attempt in range(1, _STARTS_MAX + 1):
            try:
                wire = await self._connect()
                if self._closed:
                    await wire.aclose()
                    return
                await self._adopt(wire)
                break
            except ModelError as error:
                final = (
                    not error.recoverable or isinstance(error, ModelTimeoutError) or attempt == _STARTS_MAX
                )
                if final or self._closed or self._clock.now() + delay_s >= deadline_s:
                    error.stage = self._stage
                    raise
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))
            delay_s *= 2
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="openai.realtime.keep")

    async def aclose(self) -> None:
        """Close the connection. Idempotent."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.aclose()

    def give_up(self, error: ModelError) -> None:
        """Nothing will help: end it."""
        self._lost_reason = "final"
        self._failure = error
        self._lost.set()

    _failure: ModelError | None = None

    # -- its life ----------------------------------------------------------------------------------------------

    async def _adopt(self, wire: Wire) -> None:
        """Leave the old connection for a new one, and give that the state of the conversation."""
        old, self._wire = self._wire, wire
        self._ready = asyncio.get_running_loop().create_future()
        self._lost.clear()
        try:
            if old is not None:
                old.detach()
                self._owner.connection_lost()
            self._owner.replay()
            wire.attach(self._owner.take_frame, self._on_close)
            async with asyncio.timeout(self._deadlines.connect_s):
                await self._ready
        except TimeoutError:
            await self._drop(wire)
            raise ModelTimeoutError(
                f"the server did not accept the session within {self._deadlines.connect_s:g} s; "
                "raise connect_timeout_s if that is usual for it",
                stage=self._stage,
                provider="openai",
            ) from None
        except BaseException:
            await self._drop(wire)
            raise
        finally:
            if self._ready.done() and not self._ready.cancelled():
                self._ready.exception()  # it may have failed while something else went wrong
            self._ready = None
            if old is not None:
                await old.aclose()

    async def _drop(self, wire: Wire) -> None:
        self._wire = None
        wire.detach()
        self._owner.connection_lost()  # it had been given the state
        await wire.aclose()

    def _on_close(self, code: int, reason: str) -> None:
        if self._closed:
            return
        named = reason.rpartition(".")[2] if code in (3000, 4000) else None
        error = ModelConnectionError(
            f"the server closed the connection ({code}{': ' + reason if reason else ''})",
            stage=self._stage,
            provider="openai",
            recoverable=code not in _FINAL_CLOSES,
            code=named or None,
        )
        if self.starting:
            self.refuse(error)
            return
        self._wire = None
        if not error.recoverable:
            self.give_up(error)
            return
        self._lost_reason, self._lost_s = str(error), self._clock.now()
        self._owner.connection_lost()
        self._lost.set()

    async def _keep(self) -> None:
        while True:
            planned = False
            try:
                async with asyncio.timeout(self._deadlines.session_s):
                    await self._lost.wait()
            except TimeoutError:
                planned = True
            try:
                if planned:
                    await self._hand_over()
                if self._failure is not None:
                    raise self._failure
                if self._lost.is_set():
                    await self._reopen()
            except ModelError as error:
                await self._end(error)
                return

    async def _end(self, error: ModelError) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.detach()
        error.stage = self._stage
        self._owner.gave_up(error)
        if wire is not None:
            await wire.aclose()

    async def _hand_over(self) -> None:
        """The planned end: open the next connection, and wait for a quiet moment to use it."""
        deadline_s = self._clock.now() + self._deadlines.grace_s
        await self._until_quiet(deadline_s)
        while not self._lost.is_set():
            try:
                wire = await self._greeted()
            except ModelError as error:
                if not error.recoverable or self._clock.now() >= deadline_s:
                    return  # the old connection still works: what ends it decides
                await self._pause(_BACKOFF_MAX_S)
                continue
            await self._until_quiet(deadline_s)
            if self._lost.is_set() or wire.closed is not None:
                await wire.aclose()
                continue
            try:
                await self._adopt(wire)
            except ModelError as error:
                if not error.recoverable:
                    raise
                self._lost_reason, self._lost_s = str(error), self._clock.now()
                self._lost.set()
                return
            self._owner.reconnected("planned", 0.0)
            return

    async def _greeted(self) -> Wire:
        """A connection on which the server has greeted."""
        wire = await self._connect()
        try:
            async with asyncio.timeout(self._deadlines.connect_s):
                await wire.greeted.wait()
        except TimeoutError:
            await wire.aclose()
            raise ModelTimeoutError(
                f"the server did not greet within {self._deadlines.connect_s:g} s",
                stage=self._stage,
                provider="openai",
            ) from None
        except BaseException:
            await wire.aclose()
            raise
        frame = wire.first_frame()
        error = self._owner.greeting_error(frame) if frame is not None else None
        if error is not None:
            await wire.aclose()
            raise error
        return wire

    async def _until_quiet(self, deadline_s: float) -> None:
        """Wait for a quiet moment, the deadline, or the loss of the connection."""
        try:
            async with asyncio.timeout(max(0.0, deadline_s - self._clock.now())):
                while not self._owner.is_quiet() and not self._lost.is_set():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass

    async def _reopen(self) -> None:
        """The connection is lost: try for another until the deadline."""
        reason, lost_s = self._lost_reason, self._lost_s
        deadline_s = lost_s + self._deadlines.reconnect_s
        delay_s = 0.0
        while True:
            try:
                await self._adopt(await self._connect())
            except ModelError as error:
                delay_s = min(_BACKOFF_MAX_S, max(_BACKOFF_MIN_S, delay_s * 2))
                if not error.recoverable:
                    raise
                if self._clock.now() + delay_s >= deadline_s:
                    raise ModelConnectionError(
                        f"the connection was lost and could not be had again within "
                        f"{self._deadlines.reconnect_s:g} s: {error}",
                        stage=self._stage,
                        provider="openai",
                        recoverable=False,
                        code=error.code,
                    ) from None
            else:
                self._owner.reconnected(reason, self._clock.now() - lost_s)
                return
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # not all sessions of a process at once

    async def _pause(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await self._lost.wait()
        except TimeoutError:
            pass
