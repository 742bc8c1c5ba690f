"""The WebSocket endpoint: who connects, for what, and the frames of one connection."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from repartee.errors import ReparteeError
from repartee.protocol.beta import BetaDialect
from repartee.protocol.codec import encode
from repartee.protocol.connection import SERVER, Connection
from repartee.protocol.faults import BETA_DISABLED, INVALID_API_KEY, INVALID_MODEL, Fault
from repartee.protocol.sessions import SessionKind
from repartee.server.access.admission import EventRate
from repartee.server.access.auth import Identity
from repartee.server.endpoints.calls import Call
from repartee.server.faults import (
    BINARY_FRAME,
    HANDSHAKE_TIMEOUT,
    NO_TRANSLATION,
    SERVER_FULL,
    TOO_FAST,
    filled,
    literal,
)
from repartee.server.ids import random_id
from repartee.server.replies import ErrorReply
from repartee.server.served import Served
from repartee.server.service import Service, peer_of
from repartee.server.sessions.running import RunningSession
from repartee.server.sessions.session_config import begin_session
from repartee.server.sockets.wire import Wire, wire_of

__all__ = ["WebSocketEndpoint", "WireListener"]

log = logging.getLogger("repartee.server")

SUBPROTOCOL: Final = "realtime"
BETA_PROTOCOL: Final = "openai-beta.realtime-v1"
QUERY_BYTES_MAX: Final = 4096
COUNTED_AHEAD: Final = 16
FAILED: Final = (1011, "The server failed.")


class WireListener:
    """A session's listener at a WebSocket.

    Args:
        wire: to the client.
        observe: whether the client asked for ``repartee.*`` events.
        running: the session, to tell it that audio went out. Default: none (a sideband).
    """

    def __init__(self, wire: Wire, *, observe: bool, running: RunningSession | None = None) -> None:
        self.observe = observe
        self._wire = wire
        self._running = running

    def send(self, frame: bytes, *, audio: bool = False) -> None:
        """Send one text frame; never blocks."""
        if audio and self._running is not None:
            self._running.touch()
        self._wire.send(frame, audio=audio)

    def close(self, code: int, reason: str) -> None:
        """Close behind what was sent."""
        self._wire.close(code, reason)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a client connects for."""

    identity: Identity
    kind: SessionKind
    model: str
    served: Served
    beta: bool
    observe: bool


class WebSocketEndpoint:
    """An ASGI application for the WebSockets of one address.

    Args:
        service: what is shared.
        kind: ``translation`` at ``…/translations``; otherwise the query says.
    """

    def __init__(self, service: Service, kind: SessionKind = "realtime") -> None:
        self._service = service
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, from its handshake to its end."""
        service = self._service
        service.begin_start()
        wire = wire_of(scope, receive, send, service.options)
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None
        try:
            with service.admission.connection():
                await self._connect(scope, wire, subprotocol)
        except ErrorReply as refusal:
            if "websocket.http.response" in scope.get("extensions", {}):
                await refusal.response()(scope, receive, send)
            else:
                await wire.accept(subprotocol)
                await _turn_away(wire, _as_fault(refusal))

    async def _connect(self, scope: Scope, wire: Wire, subprotocol: str | None) -> None:
        query_string = scope.get("query_string", b"")
        if len(query_string) > QUERY_BYTES_MAX:
            raise ErrorReply(414, "uri_too_long", f"The query is longer than {QUERY_BYTES_MAX} bytes.")
        query = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
        headers = Headers(scope=scope)
        offered = scope.get("subprotocols", ())
        identity = self._service.identify(headers, offered)
        if identity is None:
            log.info("refused: a WebSocket from %s without a valid key", peer_of(scope))
            await wire.accept(subprotocol)
            await _turn_away(wire, INVALID_API_KEY)
        elif "call_id" in query:
            await self._attach(wire, subprotocol, query, identity)
        else:
            beta = "realtime=v1" in headers.get("openai-beta", "") or BETA_PROTOCOL in offered
            wanted = self._wanted(query, identity, beta=beta)
            if isinstance(wanted, Fault):
                await wire.accept(subprotocol)
                await _turn_away(wire, wanted)
            else:
                log.debug("a WebSocket from %s, %s", peer_of(scope), identity.name)
                await self._serve(wire, subprotocol, wanted)

    def _wanted(self, query: dict[str, str], identity: Identity, *, beta: bool) -> _Wanted | Fault:
        """What a client connects for, or what is wrong with it."""
        service = self._service
        if beta and not service.options.beta:
            return BETA_DISABLED
        model = query.get("model", "")
        intent = query.get("intent")
        secret = identity.secret
        kind: SessionKind = self._kind
        if kind == "realtime":
            if intent == "transcription":
                kind = "transcription"
                if model:  # as the service does: the model of a transcription is part of the session
                    return filled(INVALID_MODEL, model=model)
            elif intent is None and secret is not None:
                kind = secret.kind
        if secret is not None:
            bound = bool(model and secret.model and model != secret.model)
            if secret.kind != kind or bound:
                return filled(INVALID_MODEL, model=model or f"{kind} session")
            model = model or secret.model
        served = service.served_for(model)
        if served is None:
            return filled(INVALID_MODEL, model=model)
        if service.kind_problem(kind, served):
            return filled(NO_TRANSLATION, model=model or served.name)
        return _Wanted(identity, kind, model, served, beta, query.get("observe") == "1")

    async def _serve(self, wire: Wire, subprotocol: str | None, wanted: _Wanted) -> None:
        """The main connection of a session."""
        service = self._service
        secret = wanted.identity.secret
        config = begin_session(
            wanted.served,
            wanted.kind,
            model=wanted.model,
            expires_at=service.expires_at(),
            bound=secret.session if secret is not None else None,
        )
        name = wanted.identity.name
        running = service.sessions.open(wanted.served, config, owner=name)
        began_at = asyncio.get_running_loop().time()
        try:
            await wire.accept(subprotocol)
            log.info("session %s: began (%s, %r, %s)", running.session.id, wanted.kind, wanted.model, name)
            listener = WireListener(wire, observe=wanted.observe, running=running)
            dialect = BetaDialect(transcription=wanted.kind == "transcription") if wanted.beta else None
            running.session.attach(listener, dialect=dialect)
            starting = asyncio.get_running_loop().create_task(
                self._start(running, wire), name=f"{running.session.id}.start"
            )
            try:
                await wire.run(self._reader(running, wire, listener))
            finally:
                starting.cancel()
                await asyncio.wait((starting,))
                running.session.detach(listener)
        finally:
            await running.aclose()
            lasted_s = asyncio.get_running_loop().time() - began_at
            log.info("session %s: over after %.1f s", running.session.id, lasted_s)

    async def _start(self, running: RunningSession, wire: Wire) -> None:
        handshake_s = self._service.options.handshake_s
        try:
            async with asyncio.timeout(handshake_s):
                await running.session.start()
        except TimeoutError:
            running.session.end(filled(HANDSHAKE_TIMEOUT, handshake_s=handshake_s))
        except Exception:
            log.exception("session %s: could not be started", running.session.id)
            wire.close(*FAILED)

    async def _attach(
        self, wire: Wire, subprotocol: str | None, query: dict[str, str], identity: Identity
    ) -> None:
        """A sideband: a second connection to a call."""
        call = None
        if identity.kind != "secret":
            call = self._service.calls.find(query["call_id"], identity.name)
        if call is None:
            message = "No session found for the provided call_id"
            raise ErrorReply(404, "call_id_not_found", message, param="")
        await wire.accept(subprotocol)
        listener = WireListener(wire, observe=query.get("observe") == "1")
        await self._run_sideband(call, wire, listener)

    async def _run_sideband(self, call: Call, wire: Wire, listener: WireListener) -> None:
        call.running.session.attach(listener, sideband=True)
        call.sidebands.add(listener)
        try:
            await wire.run(self._reader(call.running, wire, listener))
        finally:
            call.sidebands.discard(listener)
            call.running.session.detach(listener)

    def _reader(self, running: RunningSession, wire: Wire, listener: WireListener) -> _Reader:
        return _Reader(self._service, running, wire, listener)


class _Reader:
    """What is done with each frame of one connection."""

    __slots__ = ("_left", "_listener", "_options", "_over", "_rate", "_receive", "_running", "_time", "_wire")

    def __init__(self, service: Service, running: RunningSession, wire: Wire, listener: WireListener) -> None:
        self._options = service.options
        self._running = running
        self._receive = running.session.receive
        self._wire = wire
        self._listener = listener
        self._rate = EventRate(service.options.events_per_s, service.options.events_burst)
        self._left = 0  # events that were counted ahead
        self._time = asyncio.get_running_loop().time
        self._over = False

    def __call__(self, frame: bytes | str | None) -> None:
        now = self._time()
        if not self._left:
            self._left = 0 if self._over else self._rate.take(COUNTED_AHEAD, now)
            if not self._left:
                self._refuse()
                return
        self._left -= 1
        self._running.active_at = now
        if frame is None:
            _tell(self._wire, BINARY_FRAME)
            return
        try:
            self._receive(frame, self._listener)
        except ReparteeError:
            raise
        except Exception:
            self._over, self._left = True, 0
            log.exception("session %s: a frame could not be handled", self._running.session.id)
            self._wire.close(*FAILED)

    def _refuse(self) -> None:
        """More events than are allowed, or behind the end."""
        if not self._over:
            self._over = True
            options = self._options
            _tell(self._wire, filled(TOO_FAST, burst=options.events_burst, per_s=options.events_per_s))


def _tell(wire: Wire, fault: Fault) -> None:
    """Send a fault's error event, and close if it says so."""
    connection = Connection(SERVER, new_id=random_id)
    for event in connection.server.end(fault):
        wire.send(encode(event))
    if fault.close is not None:
        wire.close(fault.close.code, fault.close.reason)


async def _turn_away(wire: Wire, fault: Fault) -> None:
    _tell(wire, fault)
    await wire.run(_ignore)


def _ignore(frame: bytes | str | None) -> None:
    """What comes from a client that was turned away."""


def _as_fault(refusal: ErrorReply) -> Fault:
    """An HTTP refusal, for a server that can only say it behind the upgrade."""
    close = SERVER_FULL.close if refusal.status in (429, 503) else INVALID_API_KEY.close
    return Fault(refusal.code, literal(str(refusal)), refusal.param, refusal.type, close)
