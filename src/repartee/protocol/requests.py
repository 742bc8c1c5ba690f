"""The client's side: what it may ask for now, and what it has asked for and not been answered.

A request changes nothing until the server answers it. But what is on its way counts when the next request is judged:
an item that was just created may be referred to, one that was just deleted may not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from repartee.protocol import events as ev
from repartee.protocol.config import RealtimeSession
from repartee.protocol.conversation import ROOT
from repartee.protocol.faults import (
    ALREADY_ACTIVE,
    CANCEL_NOT_ACTIVE,
    CANNOT_UPDATE_VOICE,
    COMMIT_EMPTY,
    DELETE_UNKNOWN,
    DUPLICATE_ITEM,
    INVALID_PREVIOUS,
    INVALID_VALUE,
    ODD_PCM,
    RETRIEVE_UNKNOWN,
    SESSION_OVER,
    TRUNCATE_PAST_END,
    TRUNCATE_UNKNOWN,
    UNSUPPORTED_TYPE,
)
from repartee.protocol.flow import Flow
from repartee.protocol.items import Item, McpApprovalRequest, McpApprovalResponse, id_of
from repartee.protocol.limits import COMMIT_MIN_MS, check_values
from repartee.protocol.model import UNSET, given
from repartee.protocol.sessions import (
    SessionKind,
    bytes_per_ms,
    input_of,
    kind_of,
    output_of,
    turn_detection_of,
)
from repartee.protocol.tables import SessionState

__all__ = ["Requests", "check_allowed", "check_approval", "check_update", "is_out_of_band"]

PENDING_MAX: Final = 1024
"""Requests that are remembered until they are answered; beyond, the oldest are forgotten."""

_APPROVAL: Final = "item.approval_request_id"
_TRANSLATION: Final = frozenset({"session.update", "session.input_audio_buffer.append", "session.close"})
_REALTIME: Final = frozenset(ev.ClientEvent.members) - {"session.input_audio_buffer.append", "session.close"}
ALLOWED: Final[dict[SessionKind, frozenset[str]]] = {
    "realtime": _REALTIME,
    "transcription": frozenset(
        name for name in _REALTIME if not name.startswith(("response.", "output_audio_buffer."))
    ),
    "translation": _TRANSLATION,
}
"""What a client may send in each kind of session."""


def check_allowed(event: ev.ClientEvent, flow: Flow) -> None:
    """Whether an event has a place in this session at all: both roles ask this first.

    Raises:
        ProtocolError: the session is over, the type is unknown or another kind's, or a value is impossible.
    """
    event_type = event.type if isinstance(event, ev.UnknownEvent) else event.__struct_config__.tag  # type: ignore[attr-defined]
    allowed = ALLOWED[flow.kind]
    if event_type not in allowed:
        raise UNSUPPORTED_TYPE.error(type=event_type, supported=", ".join(f"'{t}'" for t in sorted(allowed)))
    if flow.session_state in (SessionState.CLOSED, SessionState.CLOSING):
        raise SESSION_OVER.error()
    check_values(event)
    if isinstance(event, ev.SessionInputAudioBufferAppend) and len(event.audio) % 2:
        raise ODD_PCM.error(length=len(event.audio))


def check_update(update: ev.SessionUpdate, flow: Flow) -> None:
    """Whether the session can change so: the same kind and model, and no other voice once it has spoken.

    Raises:
        ProtocolError: it can't; a server then drops the whole update.
    """
    session = flow.session
    if kind_of(update.session) != flow.kind:
        raise INVALID_VALUE.error(param="session.type", detail=f"this is a {flow.kind} session")
    if session is None:
        return
    model = getattr(update.session, "model", UNSET)
    if isinstance(model, str) and model != getattr(session, "model", model):
        raise INVALID_VALUE.error(param="session.model", detail="the model of a session can't change")
    voice = output_of(update.session).voice
    if flow.has_spoken and isinstance(update.session, RealtimeSession) and given(voice, ""):
        name = voice if isinstance(voice, str) else getattr(voice, "id", None)
        if name != output_of(session).voice:
            raise CANNOT_UPDATE_VOICE.error()


def check_approval(answer: Item, items: Iterable[Item]) -> None:
    """Whether an item, if it approves (or not) of an MCP call, answers a request that is there, for the first time.

    Args:
        answer: what a client creates; other kinds are let be.
        items: of the conversation.

    Raises:
        ProtocolError: it doesn't.
    """
    if not isinstance(answer, McpApprovalResponse):
        return
    asked = False
    for item in items:
        asked = asked or (isinstance(item, McpApprovalRequest) and item.id == answer.approval_request_id)
        if isinstance(item, McpApprovalResponse) and item.approval_request_id == answer.approval_request_id:
            raise INVALID_VALUE.error(
                param=_APPROVAL, detail=f"{item.approval_request_id!r} was answered before"
            )
    if not asked:
        wanted = answer.approval_request_id
        raise INVALID_VALUE.error(param=_APPROVAL, detail=f"no approval was asked for with the id {wanted!r}")


def is_out_of_band(event: ev.ResponseCreate) -> bool:
    """Whether a response is asked for beside the conversation."""
    return getattr(event.response, "conversation", None) == "none"


E = TypeVar("E")


class Requests:
    """What a client asked for.

    Args:
        flow: what it is in the middle of.
        complete: whether it has seen the session from its start; if not, it may refer to items that it never saw.
    """

    def __init__(self, flow: Flow, *, complete: bool = True) -> None:
        self._flow = flow
        self._complete = complete
        self._pending: dict[str, ev.ClientEvent] = {}
        self._appended = 0

    @property
    def pending(self) -> tuple[ev.ClientEvent, ...]:
        """What was asked for and not answered yet, oldest first."""
        return tuple(self._pending.values())

    def pending_of(self, kind: type[E]) -> list[E]:
        """Those of one kind."""
        return [event for event in self._pending.values() if isinstance(event, kind)]

    def check(self, event: Any) -> None:
        """Whether an event may be sent now.

        Raises:
            ProtocolError: the server would refuse it, as far as can be known here.
        """
        check_allowed(event, self._flow)
        check = _CHECKS.get(type(event))
        if check is not None:
            check(self, event)

    def sent(self, event: Any) -> None:
        """Remember an event that was sent, with an id."""
        if isinstance(event, ev.InputAudioBufferAppend):
            self._appended += len(event.audio)
            return
        if isinstance(event, ev.InputAudioBufferCommit | ev.InputAudioBufferClear):
            self._appended = 0
        elif isinstance(event, ev.SessionClose):
            self._flow.session_state = SessionState.CLOSING
        elif isinstance(event, ev.ConversationItemCreate) and event.previous_item_id == ROOT:
            self._flow.at_root.add(id_of(event.item) or "")
        elif isinstance(event, ev.SessionInputAudioBufferAppend):
            return
        self._pending[event.event_id] = event
        if len(self._pending) > PENDING_MAX:
            del self._pending[next(iter(self._pending))]

    def answered(self, event: Any) -> ev.ClientEvent | None:
        """Forget the request that a server event answers.

        Returns:
            The request; ``None`` if the event answers none.
        """
        if isinstance(event, ev.Error):
            request = self._pending.pop(given(event.error.event_id, ""), None)
            if isinstance(request, ev.ConversationItemCreate):
                self._flow.at_root.discard(id_of(request.item) or "")
            return request
        find = _ANSWERS.get(type(event))
        if find is None:
            return None
        kind, matches = find
        for event_id, request in self._pending.items():
            if isinstance(request, kind) and matches(request, event):
                return self._pending.pop(event_id)
        return None

    # ------------------------------------------------------------------------------------------------------ checks

    def _check_append(self, event: ev.InputAudioBufferAppend) -> None:
        format = input_of(self._flow.session).format
        if bytes_per_ms(format) != 8 and len(event.audio) % 2 and not self.pending_of(ev.SessionUpdate):
            raise ODD_PCM.error(length=len(event.audio))

    def _check_commit(self, event: ev.InputAudioBufferCommit) -> None:
        # With the server's turn detection on, or an update on its way, only the server knows what the buffer holds.
        session = self._flow.session
        if session is None or turn_detection_of(session) or self.pending_of(ev.SessionUpdate):
            return
        buffered = self._appended / bytes_per_ms(input_of(session).format)
        if buffered < COMMIT_MIN_MS:
            raise COMMIT_EMPTY.error(minimum=COMMIT_MIN_MS, buffered=buffered)

    def _check_update(self, event: ev.SessionUpdate) -> None:
        check_update(event, self._flow)

    def _check_create(self, event: ev.ConversationItemCreate) -> None:
        item_id, previous = id_of(event.item), event.previous_item_id
        if item_id is not None and self._has(item_id):
            raise DUPLICATE_ITEM.error(item_id=item_id)
        if isinstance(previous, str) and previous != ROOT and self._complete and not self._has(previous):
            raise INVALID_PREVIOUS.error(item_id=previous)
        if self._complete:
            check_approval(event.item, self._items())

    def _check_truncate(self, event: ev.ConversationItemTruncate) -> None:
        if not self._may_name(event.item_id):
            raise TRUNCATE_UNKNOWN.error(item_id=event.item_id)
        if event.item_id in self._flow.conversation:
            self._flow.conversation.check_truncate(event.item_id, event.content_index, event.audio_end_ms)
        for before in self.pending_of(ev.ConversationItemTruncate):
            if before.item_id == event.item_id and before.audio_end_ms < event.audio_end_ms:
                raise TRUNCATE_PAST_END.error(duration=before.audio_end_ms, audio_end=event.audio_end_ms)

    def _check_delete(self, event: ev.ConversationItemDelete) -> None:
        if not self._may_name(event.item_id):
            raise DELETE_UNKNOWN.error(item_id=event.item_id)

    def _check_retrieve(self, event: ev.ConversationItemRetrieve) -> None:
        if not self._may_name(event.item_id):
            raise RETRIEVE_UNKNOWN.error(item_id=event.item_id)

    def _check_respond(self, event: ev.ResponseCreate) -> None:
        if is_out_of_band(event):
            return
        active = self._flow.active
        blocker = active.id if active is not None else None
        for before in self._pending.values():  # in the order in which the server will take them
            if isinstance(before, ev.ResponseCancel) and given(before.response_id, blocker) == blocker:
                blocker = None
            elif isinstance(before, ev.ResponseCreate) and not is_out_of_band(before):
                blocker = "(the one just asked for)"
        if blocker is not None:
            raise ALREADY_ACTIVE.error(response_id=blocker)

    def _check_cancel(self, event: ev.ResponseCancel) -> None:
        if isinstance(event.response_id, str):
            if event.response_id not in self._flow.responses:
                raise CANCEL_NOT_ACTIVE.error()
        elif self._flow.active is None and not self.pending_of(ev.ResponseCreate):
            raise CANCEL_NOT_ACTIVE.error()

    def _may_name(self, item_id: str) -> bool:
        return self._has(item_id) or (not self._complete and not self._is_deleted(item_id))

    def _has(self, item_id: str) -> bool:
        """Whether the item will be there when the server has taken all that is on its way."""
        there = item_id in self._flow.conversation
        for request in self._pending.values():
            if isinstance(request, ev.ConversationItemCreate) and id_of(request.item) == item_id:
                there = True
            elif isinstance(request, ev.ConversationItemDelete) and request.item_id == item_id:
                there = False
        return there

    def _items(self) -> Iterator[Item]:
        """Those that will be there then, in no order."""
        coming = [request.item for request in self.pending_of(ev.ConversationItemCreate)]
        for item in (*self._flow.conversation, *coming):
            if self._has(id_of(item) or ""):
                yield item

    def _is_deleted(self, item_id: str) -> bool:
        return any(request.item_id == item_id for request in self.pending_of(ev.ConversationItemDelete))


_CHECKS: Final[dict[type[Any], Callable[[Requests, Any], None]]] = {
    ev.ConversationItemCreate: Requests._check_create,
    ev.ConversationItemDelete: Requests._check_delete,
    ev.ConversationItemRetrieve: Requests._check_retrieve,
    ev.ConversationItemTruncate: Requests._check_truncate,
    ev.InputAudioBufferAppend: Requests._check_append,
    ev.InputAudioBufferCommit: Requests._check_commit,
    ev.ResponseCancel: Requests._check_cancel,
    ev.ResponseCreate: Requests._check_respond,
    ev.SessionUpdate: Requests._check_update,
}


def _same_item(request: Any, event: Any) -> bool:
    return bool(request.item_id == event.item_id)


def _any(request: Any, event: Any) -> bool:
    return True


def _same_response(request: ev.ResponseCreate, event: ev.ResponseCreated) -> bool:
    wanted = getattr(request.response, "metadata", None) or None
    same_place = is_out_of_band(request) == (event.response.conversation_id is None)
    return same_place and wanted == (event.response.metadata or None)


def _cancelled(request: ev.ResponseCancel, event: ev.ResponseDone) -> bool:
    if isinstance(request.response_id, str):
        return request.response_id == event.response.id
    return event.response.conversation_id is not None


_ANSWERS: Final[dict[type[Any], tuple[type[Any], Callable[[Any, Any], bool]]]] = {
    ev.SessionUpdated: (ev.SessionUpdate, _any),
    ev.SessionClosed: (ev.SessionClose, _any),
    ev.ConversationItemAdded: (
        ev.ConversationItemCreate,
        lambda request, event: id_of(request.item) == id_of(event.item),
    ),
    ev.ConversationItemDeleted: (ev.ConversationItemDelete, _same_item),
    ev.ConversationItemTruncated: (ev.ConversationItemTruncate, _same_item),
    ev.ConversationItemRetrieved: (
        ev.ConversationItemRetrieve,
        lambda request, event: request.item_id == id_of(event.item),
    ),
    ev.InputAudioBufferCommitted: (ev.InputAudioBufferCommit, _any),
    ev.InputAudioBufferCleared: (ev.InputAudioBufferClear, _any),
    ev.OutputAudioBufferCleared: (ev.OutputAudioBufferClear, _any),
    ev.ResponseCreated: (ev.ResponseCreate, _same_response),
    ev.ResponseDone: (ev.ResponseCancel, _cancelled),
}
"""Server event → the kind of request that it answers, and whether it is this one."""
