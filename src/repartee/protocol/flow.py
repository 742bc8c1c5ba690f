"""The state that server events make, the same at both ends: session, conversation, input, responses, playback.

`Flow.observe` is called by the server for what it sends, and by the client for what arrives. It first checks the
event against the tables, then takes it in. A *strict* flow raises on what is out of order and changes nothing; a
lenient one (a client's, by default: servers differ, and a late delta harms nobody) notes it in `deviations` and takes
from the event what it can.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable
from typing import Any, Final

from repartee.errors import ProtocolError
from repartee.protocol import events as ev
from repartee.protocol.config import SessionConfig
from repartee.protocol.conversation import ROOT, Conversation
from repartee.protocol.faults import DUPLICATE_ITEM, SESSION_OVER
from repartee.protocol.items import AudioPart, id_of
from repartee.protocol.mcp_flow import MCP_LIST_EVENTS, McpLists
from repartee.protocol.model import UNSET, UnsetType
from repartee.protocol.playback_flow import PLAYBACK_EVENTS, PlaybackFlow
from repartee.protocol.response_flow import RESPONSE_EVENTS, ResponseFlow, illegal
from repartee.protocol.sessions import SessionKind, bytes_per_ms, kind_of, output_of, turn_detection_of
from repartee.protocol.tables import (
    INPUT_TABLE,
    SESSION_TABLE,
    InputState,
    PartState,
    SessionState,
    step,
)

__all__ = ["Flow"]

_TRANSLATION_ONLY: Final = (
    ev.SessionClosed,
    ev.SessionInputTranscriptDelta,
    ev.SessionOutputAudioDelta,
    ev.SessionOutputTranscriptDelta,
)
_ANY_KIND: Final = (ev.Error, ev.SessionCreated, ev.SessionUpdated)
_REALTIME_ONLY_PREFIXES: Final = ("response.", "output_audio_buffer.", "mcp_list_tools.")


class Flow:
    """What a connection is in the middle of.

    Args:
        kind: of the session.
        strict: whether an event out of order raises.
        attached: the session was there before (sideband): no ``session.created``, and items that were never seen.
        audio_bytes_max: see `Conversation`.
    """

    def __init__(
        self, kind: SessionKind, *, strict: bool, attached: bool = False, audio_bytes_max: int = 0
    ) -> None:
        self.kind: SessionKind = kind
        self.strict = strict and not attached
        self.session: SessionConfig | None = None
        self.session_state = SessionState.OPEN if attached else SessionState.CONNECTING
        self.conversation = Conversation(audio_bytes_max=audio_bytes_max)
        self.input_state = InputState.IDLE
        self.input_item_id: str | None = None
        """Of the user message to come, from ``speech_started``, its first words or the commit until it is there."""
        self.playback = PlaybackFlow()
        """What the server plays (WebRTC, SIP)."""
        self.mcp_lists = McpLists()
        """Those that are being made."""
        self.responses: dict[str, ResponseFlow] = {}
        """Those in progress, by id."""
        self.active: ResponseFlow | None = None
        """The one of them in the conversation."""
        self.has_spoken = False
        """Whether the model has produced audio: from then on its voice stays."""
        self.at_root: set[str] = set()
        """Items that were asked for at the front: for them ``previous_item_id: null`` means so."""
        self.deviations: collections.deque[ProtocolError] = collections.deque(maxlen=32)
        """What a lenient flow let pass; the oldest are forgotten."""

    def observe(self, event: ev.ServerEvent) -> None:
        """Take a server event in.

        Raises:
            ProtocolError: it is out of order, and the flow is strict. Nothing was changed.
        """
        if type(event) is ev.ResponseOutputAudioDelta and self._take_audio(event):
            return
        try:
            self._check(event)
        except ProtocolError as error:
            if self.strict:
                raise
            self.deviations.append(error)
        if type(event) in RESPONSE_EVENTS:
            self._apply_response_event(event)
        else:
            apply = _APPLIES.get(type(event))
            if apply is not None:
                apply(self, event)

    def _take_audio(self, event: ev.ResponseOutputAudioDelta) -> bool:
        """The short road for nearly all events of a session: whether this one is in order, and was taken in."""
        flow = self.responses.get(event.response_id)
        item = flow.items.get(event.item_id) if flow is not None else None
        if flow is None or item is None or self.session_state is not SessionState.OPEN:
            return False
        state = item.parts.get(event.content_index)
        if state is not PartState.AUDIO and state is not PartState.TRANSCRIPT_ENDED:
            return False
        if item.output_index != event.output_index:
            return False
        self.has_spoken = True
        self._count_audio(flow, event.item_id, event.content_index, event.delta)
        return True

    def _check(self, event: Any) -> None:
        if isinstance(event, ev.UnknownEvent):
            return
        event_type = event.__struct_config__.tag
        if (self.session_state, event_type) not in SESSION_TABLE:
            if self.session_state is SessionState.CLOSED:
                raise SESSION_OVER.error()
            if self.session_state is SessionState.CONNECTING or event_type == "session.created":
                step(SESSION_TABLE, self.session_state, event_type)
        self._check_kind(event, event_type)
        if type(event) in RESPONSE_EVENTS:
            self._response_of(event).check(event)
        else:
            check = _CHECKS.get(type(event))
            if check is not None:
                check(self, event)

    def _check_kind(self, event: Any, event_type: str) -> None:
        if isinstance(event, _ANY_KIND):
            return
        if self.kind == "translation":
            allowed = isinstance(event, _TRANSLATION_ONLY)
        elif self.kind == "transcription":
            allowed = not isinstance(event, _TRANSLATION_ONLY) and not event_type.startswith(
                _REALTIME_ONLY_PREFIXES
            )
        else:
            allowed = not isinstance(event, _TRANSLATION_ONLY)
        if not allowed:
            raise illegal(f"{event_type} has no place in a {self.kind} session.", "type")

    # ----------------------------------------------------------------------------------------------------- session

    def _check_session(self, event: ev.SessionCreated | ev.SessionUpdated) -> None:
        if kind_of(event.session) != self.kind:
            raise illegal(f"This connection has a {self.kind} session.", "session.type")

    def _apply_session(self, event: ev.SessionCreated | ev.SessionUpdated) -> None:
        self.session = event.session
        if self.session_state is SessionState.CONNECTING:
            self.session_state = SessionState.OPEN

    def _apply_error(self, event: ev.Error) -> None:
        if self.session_state is SessionState.CONNECTING:
            self.session_state = SessionState.CLOSED

    def _apply_closed(self, event: ev.SessionClosed) -> None:
        self.session_state = SessionState.CLOSED

    # ---------------------------------------------------------------------------------------------- caller's audio

    def _check_input(self, event: Any) -> None:
        event_type = event.__struct_config__.tag
        step(INPUT_TABLE, self.input_state, event_type)
        item_id = getattr(event, "item_id", None)
        if item_id is not None:
            if self.input_item_id not in (None, item_id):
                raise illegal(f"The input buffer's item is {self.input_item_id}.", "item_id")
            if item_id in self.conversation:
                raise DUPLICATE_ITEM.error(item_id=item_id)

    def _apply_input(self, event: Any) -> None:
        event_type = event.__struct_config__.tag
        forced = InputState.COMMITTED if isinstance(event, ev.InputAudioBufferCommitted) else self.input_state
        self.input_state = INPUT_TABLE.get((self.input_state, event_type), forced)
        self.input_item_id = getattr(event, "item_id", None)  # cleared: none

    def _check_transcription(self, event: Any) -> None:
        if event.item_id == self.input_item_id or event.item_id in self.conversation:
            return
        if not self._begins_item(event):
            raise illegal(f"Nobody has spoken in an item {event.item_id!r}.", "item_id")

    def _begins_item(self, event: Any) -> bool:
        """Whether words are the first that is told of a message.

        Where nobody detects turns, a streaming transcription tells words before the commit, and nothing else has named
        the item yet (G8). With turn detection on, ``speech_started`` comes first (G2).
        """
        return (
            isinstance(event, ev.TranscriptionDelta)
            and self.input_item_id is None
            and event.item_id not in self.conversation
            and turn_detection_of(self.session) is None
        )

    def _apply_words(self, event: ev.TranscriptionDelta) -> None:
        if self._begins_item(event):
            self.input_item_id = event.item_id

    def _apply_transcript(self, event: ev.TranscriptionCompleted) -> None:
        index = event.content_index if isinstance(event.content_index, int) else 0
        self.conversation.set_transcript(event.item_id, index, event.transcript)

    # ------------------------------------------------------------------------------------------------ conversation

    def place_of(self, item_id: str | None, previous_item_id: str | UnsetType | None) -> str | UnsetType:
        """Where an added item goes. ``null`` is the front only where that was asked for: some servers send no other."""
        if isinstance(previous_item_id, str):
            return previous_item_id
        return ROOT if item_id in self.at_root else UNSET

    def _check_added(self, event: ev.ConversationItemAdded) -> None:
        item_id = id_of(event.item)
        if item_id is None:
            raise illegal("An item needs an id.", "item.id")
        self.conversation.check_insert(item_id, self.place_of(item_id, event.previous_item_id))
        if self.input_state is InputState.COMMITTED and item_id != self.input_item_id:
            raise illegal(f"The committed item {self.input_item_id} comes first.", "item.id")

    def _apply_added(self, event: ev.ConversationItemAdded) -> None:
        item_id = id_of(event.item)
        if item_id is None or item_id in self.conversation:
            return
        place = self.place_of(item_id, event.previous_item_id)
        if place is not UNSET and place != ROOT and place not in self.conversation:
            place = UNSET
        self.conversation.insert(event.item, place)
        self.mcp_lists.added(event.item)
        self.at_root.discard(item_id)
        if item_id == self.input_item_id and self.input_state is InputState.COMMITTED:
            self.input_state, self.input_item_id = InputState.IDLE, None

    def _check_done(self, event: ev.ConversationItemDone) -> None:
        item_id = id_of(event.item) or ""
        owner = self._owner_of(item_id)
        entry = self.conversation.entry(item_id)
        if owner is not None:
            owner.check_item_done(event.item)
        elif entry is None:
            raise illegal(f"Item {item_id!r} was never added.", "item.id")
        if entry is not None and entry.done:
            raise illegal(f"Item {item_id!r} is done already.", "item.id")
        self.mcp_lists.check_done(item_id)

    def _apply_done(self, event: ev.ConversationItemDone) -> None:
        item_id = id_of(event.item)
        if item_id is None:
            return
        owner = self._owner_of(item_id)
        if owner is not None:
            owner.settle(item_id)
        elif item_id not in self.conversation:
            self.conversation.insert(event.item)
        if item_id in self.conversation:  # it may have been deleted while it grew
            self.conversation.finish(event.item)
        self.mcp_lists.gone(item_id)

    def _apply_created(self, event: ev.ConversationItemCreated) -> None:
        self._apply_added(ev.ConversationItemAdded(previous_item_id=event.previous_item_id, item=event.item))
        item_id = id_of(event.item)
        if item_id is not None and getattr(event.item, "status", None) != "in_progress":
            self.conversation.finish(event.item)

    def _check_truncated(self, event: ev.ConversationItemTruncated) -> None:
        self.conversation.check_truncate(event.item_id, event.content_index, event.audio_end_ms)

    def _apply_truncated(self, event: ev.ConversationItemTruncated) -> None:
        with contextlib.suppress(ProtocolError):  # noted by the check
            self.conversation.truncate(event.item_id, event.content_index, event.audio_end_ms)

    def _check_known_item(self, event: ev.ConversationItemDeleted) -> None:
        if event.item_id not in self.conversation:
            raise illegal(f"There is no item {event.item_id!r}.", "item_id")

    def _apply_deleted(self, event: ev.ConversationItemDeleted) -> None:
        if event.item_id in self.conversation:
            self.conversation.delete(event.item_id)
        self.mcp_lists.gone(event.item_id)

    # --------------------------------------------------------------------------------------------------- responses

    def _owner_of(self, item_id: str) -> ResponseFlow | None:
        """The response in the conversation that generates an item."""
        return self.active if self.active is not None and item_id in self.active.items else None

    def _response_of(self, event: Any) -> ResponseFlow:
        if isinstance(event, _MCP_CALL_EVENTS):  # they don't name their response
            for each in self.responses.values():
                if event.item_id in each.items:
                    return each
            raise illegal(f"No response in progress has an item {event.item_id!r}.", "item_id")
        response_id = event.response.id if isinstance(event, ev.ResponseDone) else event.response_id
        found = self.responses.get(response_id) if isinstance(response_id, str) else None
        if found is None:
            raise illegal(f"There is no response {response_id!r} in progress.", "response_id")
        return found

    def _check_response_created(self, event: ev.ResponseCreated) -> None:
        if not isinstance(event.response.id, str) or event.response.id in self.responses:
            raise illegal("A response needs an id of its own.", "response.id")
        if self.active is not None and event.response.conversation_id is not None:
            raise illegal(f"Response {self.active.id} is in progress in the conversation.", "response")

    def _apply_response_created(self, event: ev.ResponseCreated) -> None:
        response = event.response
        if not isinstance(response.id, str):
            return
        output = output_of(response) if output_of(response).format is not UNSET else output_of(self.session)
        made = ResponseFlow(
            response.id,
            in_conversation=response.conversation_id is not None,
            bytes_per_ms=bytes_per_ms(output.format),
        )
        self.responses[response.id] = made
        if made.in_conversation:
            self.active = made

    def _apply_response_event(self, event: Any) -> None:
        try:
            flow = self._response_of(event)
        except ProtocolError:
            return  # noted by the check
        flow.apply(event)
        if isinstance(event, ev.ResponseDone):
            del self.responses[flow.id]
            if self.active is flow:
                self.active = None
        elif isinstance(event, ev.ResponseOutputAudioDelta):
            self.has_spoken = True
            self._count_audio(flow, event.item_id, event.content_index, event.delta)
        elif isinstance(event, ev.ResponseContentPartAdded) and isinstance(event.part, AudioPart):
            self._count_audio(flow, event.item_id, event.content_index, b"")

    def _count_audio(self, flow: ResponseFlow, item_id: str, content_index: int, audio: bytes) -> None:
        self.conversation.add_audio(item_id, content_index, audio, bytes_per_ms=flow.bytes_per_ms)


_INPUT_EVENTS: Final = (
    ev.InputAudioBufferCleared,
    ev.InputAudioBufferCommitted,
    ev.InputAudioBufferSpeechStarted,
    ev.InputAudioBufferSpeechStopped,
    ev.InputAudioBufferTimeoutTriggered,
)
_MCP_CALL_EVENTS: Final = (
    ev.ResponseMcpCallCompleted,
    ev.ResponseMcpCallFailed,
    ev.ResponseMcpCallInProgress,
)
_TRANSCRIPTION_EVENTS: Final = (
    ev.TranscriptionDelta,
    ev.TranscriptionCompleted,
    ev.TranscriptionFailed,
    ev.TranscriptionSegment,
)
_CHECKS: Final[dict[type[Any], Callable[[Flow, Any], None]]] = {
    ev.SessionCreated: Flow._check_session,
    ev.SessionUpdated: Flow._check_session,
    ev.ConversationItemAdded: Flow._check_added,
    ev.ConversationItemDone: Flow._check_done,
    ev.ConversationItemTruncated: Flow._check_truncated,
    ev.ConversationItemDeleted: Flow._check_known_item,
    ev.ResponseCreated: Flow._check_response_created,
    **dict.fromkeys(_INPUT_EVENTS, Flow._check_input),
    **dict.fromkeys(PLAYBACK_EVENTS, lambda flow, event: flow.playback.check(event, flow.responses)),
    **dict.fromkeys(MCP_LIST_EVENTS, lambda flow, event: flow.mcp_lists.check(event)),
    **dict.fromkeys(_TRANSCRIPTION_EVENTS, Flow._check_transcription),
}
_APPLIES: Final[dict[type[Any], Callable[[Flow, Any], None]]] = {
    ev.SessionCreated: Flow._apply_session,
    ev.SessionUpdated: Flow._apply_session,
    ev.SessionClosed: Flow._apply_closed,
    ev.Error: Flow._apply_error,
    ev.ConversationItemAdded: Flow._apply_added,
    ev.ConversationItemCreated: Flow._apply_created,
    ev.ConversationItemDone: Flow._apply_done,
    ev.ConversationItemTruncated: Flow._apply_truncated,
    ev.ConversationItemDeleted: Flow._apply_deleted,
    ev.ResponseCreated: Flow._apply_response_created,
    ev.TranscriptionCompleted: Flow._apply_transcript,
    ev.TranscriptionDelta: Flow._apply_words,
    **dict.fromkeys(_INPUT_EVENTS, Flow._apply_input),
    **dict.fromkeys(PLAYBACK_EVENTS, lambda flow, event: flow.playback.apply(event)),
    **dict.fromkeys(MCP_LIST_EVENTS, lambda flow, event: flow.mcp_lists.apply(event)),
}
