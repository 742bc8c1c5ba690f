"""The sessions that run: each with its place, its timers, and its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from repartee.clock import Clock
from repartee.protocol.config import RealtimeSession, SessionConfig
from repartee.protocol.faults import Fault
from repartee.protocol.model import replace
from repartee.server.access.admission import Admission, Place
from repartee.server.faults import IDLE, SHUTDOWN, expired, filled
from repartee.server.options import ServerOptions
from repartee.server.recordings.recording import Recording, Recordings
from repartee.server.replies import ErrorReply
from repartee.server.served import Served
from repartee.server.sessions.served_session import OutputSink, ServedSession
from repartee.server.sessions.usage import TokenBudget

__all__ = ["RunningSession", "RunningSessions", "SessionFactory"]

log = logging.getLogger("repartee.server")

SessionFactory = Callable[..., ServedSession]
"""Called as the class `ServedSession`."""


END_S: Final = 5.0
"""What a session that was told to end may take."""


class RunningSession:
    """One session that runs. Made by `RunningSessions.open`.

    Args:
        session: itself.
        place: that it takes.
        owner: the name of the key that it came with.
        options: how long it may last, and be idle.
        on_end: called once when it is over.
    """

    def __init__(
        self,
        session: ServedSession,
        place: Place,
        owner: str,
        options: ServerOptions,
        on_end: Callable[[RunningSession], None],
    ) -> None:
        self.session = session
        self.owner = owner
        self._place = place
        self._options = options
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self.active_at = self._loop.time()
        """The loop's time when something came from the client, or audio went to it, last."""
        self._closed = False
        self._timers = {"expiry": self._loop.call_later(options.session_s, self._expire)}
        if options.idle_s > 0:
            self._watch_idle()

    def touch(self) -> None:
        """Something came from the client, or audio went to it: the session is not idle."""
        self.active_at = self._loop.time()

    async def aclose(self) -> None:
        """End it, and give its place back. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        try:
            await self.session.aclose()
        finally:
            self._place.release()
            self._on_end(self)

    def _expire(self) -> None:
        log.info("session %s: expired after %g s", self.session.id, self._options.session_s)
        self.session.end(expired(self._options.session_s))

    def _watch_idle(self) -> None:
        left_s = self.active_at + self._options.idle_s - self._loop.time()
        if left_s > 0:
            self._timers["idle"] = self._loop.call_later(left_s, self._watch_idle)
        else:
            log.info("session %s: idle for %g s", self.session.id, self._options.idle_s)
            self.session.end(filled(IDLE, idle_s=self._options.idle_s))


class SharedBudget(TokenBudget):
    """A key's tokens, shared by sessions whose clocks began at different times: it goes by the loop's.

    Args:
        tokens_per_min: how many.
    """

    def __init__(self, tokens_per_min: int) -> None:
        self._clock = Clock(asyncio.get_running_loop().time)
        super().__init__(tokens_per_min, 0.0)

    def _refill(self, now: float) -> None:
        super()._refill(self._clock.now())


class RunningSessions:
    """All sessions that run.

    Args:
        options: the limits.
        admission: who is in.
        factory: makes sessions. Default: `ServedSession`.
        recordings: where they are recorded. Default: nowhere.
    """

    def __init__(
        self,
        options: ServerOptions,
        admission: Admission,
        factory: SessionFactory = ServedSession,
        recordings: Recordings | None = None,
    ) -> None:
        self._recordings = recordings
        self._options = options
        self._admission = admission
        self._factory = factory
        self._budgets: dict[str, SharedBudget] = {}  # bounded by the number of keys
        self._running: dict[str, RunningSession] = {}  # bounded by the options' sessions
        self._none_left = asyncio.Event()
        self._none_left.set()

    def __len__(self) -> int:
        return len(self._running)

    def open(
        self, served: Served, config: SessionConfig, *, owner: str, output: OutputSink | None = None
    ) -> RunningSession:
        """Make a session; not started yet.

        Args:
            served: what it converses with.
            config: as it begins.
            owner: the name of the key that it comes with.
            output: what plays on the server. Default: nothing.

        Raises:
            ErrorReply: there is no room, or no agent could be made for it.
        """
        place = self._admission.enter(owner)
        try:
            clock = Clock(asyncio.get_running_loop().time)
            served, config = _for_session(served, config)
            recording = self._record(served, config, clock, output)
            more = {} if recording is None else {"recording": recording}
            session = self._factory(
                served,
                config=config,
                clock=clock,
                options=self._options,
                output=output,
                budget=self._budget(owner),
                **more,
            )
            running = RunningSession(session, place, owner, self._options, self._ended)
        except BaseException:
            place.release()
            raise
        self._running[session.id] = running
        self._none_left.clear()
        return running

    def _record(
        self, served: Served, config: SessionConfig, clock: Clock, output: OutputSink | None
    ) -> Recording | None:
        if self._recordings is None:
            return None
        about = {"model": served.name, "kind": getattr(config, "type", "realtime")}
        recording = self._recordings.open(str(config.id), clock, plays=output is not None, about=about)  # type: ignore[attr-defined]
        record_to = getattr(output, "record_to", None)  # a `Loudspeaker` knows when it has played what
        if recording is not None and record_to is not None:
            record_to(recording)
        return recording

    def _budget(self, owner: str) -> SharedBudget | None:
        if not self._options.tokens_per_min:
            return None
        if owner not in self._budgets:
            self._budgets[owner] = SharedBudget(self._options.tokens_per_min)
        return self._budgets[owner]

    async def drain(self, fault: Fault = SHUTDOWN, *, drain_s: float | None = None) -> None:
        """Let running sessions come to their end for a while, then end them.

        Args:
            fault: that is told to those still running then.
            drain_s: how long. Default: as the options say.
        """
        await self._wait_none(self._options.drain_s if drain_s is None else drain_s)
        for running in list(self._running.values()):
            running.session.end(fault)
        await self._wait_none(END_S)
        await asyncio.gather(*(running.aclose() for running in list(self._running.values())))

    async def _wait_none(self, within_s: float) -> None:
        if within_s > 0 and self._running:
            waiting: Any = asyncio.ensure_future(self._none_left.wait())
            await asyncio.wait((waiting,), timeout=within_s)
            waiting.cancel()

    def _ended(self, running: RunningSession) -> None:
        self._running.pop(running.session.id, None)
        if not self._running:
            self._none_left.set()


def _for_session(served: Served, config: SessionConfig) -> tuple[Served, SessionConfig]:
    """What this session is served, and how it begins with that.

    Raises:
        ErrorReply: 500, that could not be made.
    """
    make = getattr(served, "for_session", None)
    if not callable(make):
        return served, config
    try:
        made: Served = make(config)
    except Exception:
        log.exception("%s: no agent could be made for a session", served.name)
        raise ErrorReply(500, "agent_failed", "The agent could not be made.") from None
    if isinstance(config, RealtimeSession) and config.instructions == served.instructions:
        config = replace(config, instructions=made.instructions)  # unless a client secret has bound its own
    return made, config
