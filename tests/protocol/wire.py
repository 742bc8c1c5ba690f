"""A client and a server `Connection`, joined by a wire in memory that carries real frames and checks each of them."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import Any

from repartee.protocol import events as ev
from repartee.protocol.codec import decode_client_event, decode_server_event, encode
from repartee.protocol.config import AudioInputConfig, RealtimeSession, SessionAudio
from repartee.protocol.connection import CLIENT, SERVER, Connection
from repartee.protocol.sessions import SessionKind, default_session
from tests.protocol import official

MS = 48
"""Bytes of 24 kHz PCM a millisecond."""


class Wire:
    """Both ends. Frames wait on the wire until they are delivered; `flush` delivers all.

    Each frame is checked against the official client's types.
    """

    def __init__(self, kind: SessionKind = "realtime", **options: Any) -> None:
        session = default_session(kind, id="sess_1", model="test", expires_at=1_900_000_000)
        self.kind = kind
        self.server = Connection(SERVER, session=session, **options)
        self.client = Connection(CLIENT, kind=kind, strict=True)
        self.up: collections.deque[bytes] = collections.deque()
        self.down: collections.deque[bytes] = collections.deque()
        self.log: list[str] = []
        """What arrived at the client: the types, in order."""
        self.events: list[Any] = []
        """The same, whole."""
        self.say(self.server.server.start())
        self.flush()

    # ------------------------------------------------------------------------------------------------------- talking

    def ask(self, event: Any, *, flush: bool = True) -> Any:
        """The client sends."""
        sent = self.client.send(event)
        self.up.append(self._checked(encode(sent), from_client=True))
        if flush:
            self.flush()
        return sent

    def force(self, event: Any) -> list[Any]:
        """The client sends without asking its own side whether it may. Returns the server's events."""
        before = len(self.events)
        self.up.append(encode(event))
        self.flush()
        return self.events[before:]

    def say(self, events: Iterable[Any], *, flush: bool = True) -> None:
        """The server sends what its side has made."""
        self.down.extend(self._checked(encode(event), from_client=False) for event in events)
        if flush:
            self.flush()

    def take_up(self) -> None:
        """Deliver one frame to the server."""
        self.say(self.server.receive(decode_client_event(self.up.popleft())), flush=False)

    def take_down(self) -> None:
        """Deliver one frame to the client."""
        event: Any = decode_server_event(self.down.popleft())
        self.log.append(event.__struct_config__.tag)
        self.events.append(event)
        self.client.receive(event)

    def flush(self) -> None:
        """Deliver everything."""
        while self.up or self.down:
            while self.up:
                self.take_up()
            while self.down:
                self.take_down()

    def _checked(self, frame: bytes, *, from_client: bool) -> bytes:
        found = official.problems(frame, kind=self.kind, from_client=from_client)
        assert not found, "\n".join([*found, frame.decode()[:2000]])
        return frame

    # ------------------------------------------------------------------------------------------------------ questions

    def taken(self) -> list[str]:
        """The types that arrived since last asked."""
        log, self.log = self.log, []
        return log

    def last(self, kind: type[Any]) -> Any:
        """The last event of a kind."""
        return next(event for event in reversed(self.events) if isinstance(event, kind))

    def errors(self) -> list[ev.ErrorDetails]:
        """All errors that arrived."""
        return [event.error for event in self.events if isinstance(event, ev.Error)]

    def assert_same(self) -> None:
        """Both ends hold the same state."""
        one, other = self.client.flow, self.server.flow
        assert list(one.conversation) == list(other.conversation)
        for item_id in one.conversation.ids:
            mine, theirs = one.conversation.entry(item_id), other.conversation.entry(item_id)
            assert mine is not None
            assert theirs is not None
            assert (mine.done, mine.truncated_ms) == (theirs.done, theirs.truncated_ms)
        assert one.session == other.session
        assert set(one.responses) == set(other.responses)
        assert self.client.active_response_id == self.server.active_response_id
        assert (one.input_state, one.input_item_id) == (other.input_state, other.input_item_id)
        assert (one.playback.state, one.playback.response_id) == (
            other.playback.state,
            other.playback.response_id,
        )
        assert (one.mcp_lists.states, one.has_spoken) == (other.mcp_lists.states, other.has_spoken)
        assert one.session_state == other.session_state


def turn_detection(value: Any) -> ev.SessionUpdate:
    """An update of the turn detection alone."""
    return ev.SessionUpdate(
        session=RealtimeSession(audio=SessionAudio(input=AudioInputConfig(turn_detection=value)))
    )
