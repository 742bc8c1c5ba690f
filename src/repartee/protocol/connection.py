"""One end of a connection: what may be said now, and what follows.

*Theory of operation.* `Connection` has no socket: events in, events out. Both roles keep the same `Flow`, which only
server events change: the server's when it sends them, the client's when they arrive. A client's events are requests;
the client's side (`requests`) knows which may be made and which are not answered yet, the server's (`server_side`)
answers them. So a client and a server that exchange all their messages in order end in the same state, and what a
client could not know (the response ended while its cancel was on the way) comes back as an error event, not as a
failure.

A client::

    connection = Connection(CLIENT)
    write(encode(connection.send(SessionUpdate(session=…))))
    …
    event = decode_server_event(frame)
    connection.receive(event)          # connection.conversation, .active_response_id, .session now include it

A server::

    connection = Connection(SERVER, session=default_session(id="sess_1", model="local"))
    write(connection.server.start())
    …
    write(connection.receive(decode_client_event(frame)))     # acknowledgements, errors, response.created
    while writer := connection.server.next_response():        # generate it, in a task of yours
        write(writer.transcript("Hello.")); write(writer.audio(pcm)); write(writer.finish())
"""

from __future__ import annotations

import enum
from typing import Any, Final, TypeVar

from repartee.errors import LocalProtocolError, ProtocolError, RemoteProtocolError, StateError
from repartee.protocol import events as ev
from repartee.protocol.config import SessionConfig
from repartee.protocol.conversation import Conversation
from repartee.protocol.flow import Flow
from repartee.protocol.items import id_of
from repartee.protocol.model import Model, given, replace
from repartee.protocol.outlet import NewId, Outlet, counted_ids
from repartee.protocol.requests import Requests
from repartee.protocol.server_side import ServerSide
from repartee.protocol.sessions import SessionKind, default_session, kind_of
from repartee.protocol.tables import SessionState

__all__ = ["CLIENT", "SERVER", "Connection", "Role"]


class Role(enum.Enum):
    """Which end of the connection."""

    CLIENT = "client"
    SERVER = "server"


CLIENT: Final = Role.CLIENT
SERVER: Final = Role.SERVER

E = TypeVar("E")


class Connection:
    """One end of a connection.

    Args:
        role: `CLIENT` or `SERVER`.
        kind: of the session. A server takes it from ``session``. Default: ``realtime``.
        session: server: the session as it begins. Default: `default_session`.
        new_id: makes ids (random ones, in a program: items of a client and of a server must differ). Default: they
            count, which is the same in every run.
        strict: client: whether a server event out of order raises; otherwise it is noted in `flow.deviations`.
            A server's own events are always checked. Default: no.
        attached: client: joined to a session that was there before (sideband).
        audio_bytes_max: how much audio the conversation keeps for ``conversation.item.retrieve``. Default: 0.
        refuse_unknown_fields: server: whether unknown fields in client events are errors. Default: yes.
    """

    def __init__(
        self,
        role: Role,
        *,
        kind: SessionKind = "realtime",
        session: SessionConfig | None = None,
        new_id: NewId | None = None,
        strict: bool = False,
        attached: bool = False,
        audio_bytes_max: int = 0,
        refuse_unknown_fields: bool = True,
    ) -> None:
        new_id = new_id or counted_ids("s" if role is Role.SERVER else "c")
        self.role = role
        self.answered: ev.ClientEvent | None = None
        """Client: the request that the event received last answers, or refuses; ``None``: it answers none."""
        self._new_id = new_id
        if role is Role.SERVER:
            session = session or default_session(kind, id=new_id("sess"))
            kind = kind_of(session) or kind
        self.flow = Flow(
            kind, strict=strict or role is Role.SERVER, attached=attached, audio_bytes_max=audio_bytes_max
        )
        self.requests = Requests(self.flow, complete=not attached)
        """Client: what it asked for."""
        self._outlet = Outlet(self.flow, new_id)
        self._server = None
        if role is Role.SERVER:
            assert session is not None
            self._server = ServerSide(self._outlet, session, refuse_unknown_fields=refuse_unknown_fields)

    # ----------------------------------------------------------------------------------------------------- the state

    @property
    def kind(self) -> SessionKind:
        """Of the session."""
        return self.flow.kind

    @property
    def state(self) -> SessionState:
        """Whether the session is there."""
        return self.flow.session_state

    @property
    def session(self) -> SessionConfig | None:
        """The whole session as the server told it last; ``None``: not yet."""
        return self.flow.session

    @property
    def conversation(self) -> Conversation:
        """The items so far."""
        return self.flow.conversation

    @property
    def active_response_id(self) -> str | None:
        """The response in progress in the conversation."""
        return self.flow.active.id if self.flow.active is not None else None

    @property
    def server(self) -> ServerSide:
        """What only a server does.

        Raises:
            StateError: this is a client.
        """
        if self._server is None:
            raise StateError("this end of the connection is the client; only a server produces events")
        return self._server

    # ------------------------------------------------------------------------------------------- sending, receiving

    def send(self, event: E) -> E:
        """Say something, if it may be said now.

        Args:
            event: a client event from a client, a server event from a server.

        Returns:
            The event to write: with an ``event_id`` (audio of a client's goes without), and an item that a client
            creates with an id.

        Raises:
            LocalProtocolError: it may not, as far as can be known here. Nothing was changed.
        """
        if self.role is Role.SERVER:
            [made] = self._outlet.emit(self._own(event, ev.ServerEvent))
            return made  # type: ignore[return-value]
        request: Any = self._own(event, ev.ClientEvent)
        try:
            self.requests.check(request)
        except ProtocolError as error:
            raise LocalProtocolError(
                str(error), code=error.code, param=error.param, event_id=given(request.event_id, "") or None
            ) from None
        if isinstance(request, Model) and not isinstance(
            request, ev.InputAudioBufferAppend | ev.SessionInputAudioBufferAppend
        ):
            request = self._named(request)
        self.requests.sent(request)
        return request  # type: ignore[no-any-return]

    def _named(self, request: Any) -> Any:
        if not isinstance(request.event_id, str):
            request = replace(request, event_id=self._new_id("event"))
        if isinstance(request, ev.ConversationItemCreate) and id_of(request.item) is None:
            item: Any = request.item
            request = replace(request, item=replace(item, id=self._new_id("item")))
        return request

    def _own(self, event: Any, family: type) -> Any:
        if not isinstance(event, family) or isinstance(event, ev.UnknownEvent):
            raise LocalProtocolError(
                f"A {self.role.value} sends no {type(event).__name__}.", code="invalid_value", param="type"
            )
        return event

    def receive(self, event: Any) -> list[ev.ServerEvent]:
        """Take in what the other end said.

        Args:
            event: as the codec read it.

        Returns:
            Server: the events that answer it (acknowledgements, an error, ``response.created``), ready to write.
            Client: none; see `answered`.

        Raises:
            RemoteProtocolError: strict client only: the event is out of order.
        """
        if self._server is not None:
            return self._server.receive(event)
        self.answered = None
        try:
            self.flow.observe(event)
        except ProtocolError as error:
            raise RemoteProtocolError(str(error), code=error.code, param=error.param) from None
        self.answered = self.requests.answered(event)
        return []
