"""The server's side: what it answers to each client event, and what it may produce by itself.

What follows from the protocol alone is answered here, as events that are ready to send: acknowledgements, errors, the
tail of a cancelled response. What needs a model or ears is left to the caller, with a writer for each.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import Any, Final

from repartee.errors import ProtocolError, UsageError
from repartee.protocol import events as ev
from repartee.protocol.config import SessionConfig, TranslationSession
from repartee.protocol.conversation import ROOT
from repartee.protocol.faults import (
    ALREADY_ACTIVE,
    CANCEL_NOT_ACTIVE,
    CLOSE_EXPIRED,
    CLOSE_NORMAL,
    COMMIT_EMPTY,
    INVALID_VALUE,
    MISSING_PARAMETER,
    ODD_PCM,
    SESSION_EXPIRED,
    TOO_MANY_RESPONSES,
    UNKNOWN_PARAMETER,
    Close,
    Fault,
    error_event,
)
from repartee.protocol.item_writer import ItemWriter
from repartee.protocol.items import FunctionCallOutput, InputAudio, ItemReference, Message, OutputAudio, id_of
from repartee.protocol.limits import COMMIT_MIN_MS
from repartee.protocol.mcp_writer import McpListWriter
from repartee.protocol.model import UNSET, Model, given, unknown_fields
from repartee.protocol.outlet import Outlet, normalised
from repartee.protocol.playback_writer import PlaybackWriter
from repartee.protocol.requests import check_allowed, check_approval, check_update, is_out_of_band
from repartee.protocol.response_writer import DEFAULT_RATE_LIMITS, ResponseWriter
from repartee.protocol.responses import ResponseParams
from repartee.protocol.sessions import bytes_per_ms, input_of, merge, output_of, turn_detection_of
from repartee.protocol.tables import SessionState
from repartee.protocol.translation_writer import TranslationWriter

__all__ = ["ServerSide"]

RESPONSES_MAX: Final = 64
"""Responses in progress at a time, those out of band included; more are refused."""
DTMF_KEYS: Final = frozenset("0123456789*#ABCD")
HELD_MAX: Final = 256
"""Tool outputs that wait for their response; more don't wait."""


class ServerSide:
    """Answers clients.

    Args:
        outlet: where its events go.
        session: the session as it begins; what ``null`` in an update gives back.
        refuse_unknown_fields: whether a field that the protocol doesn't know makes an error, as at the service.
        rate_limits: told after each response.
    """

    def __init__(
        self,
        outlet: Outlet,
        session: SessionConfig,
        *,
        refuse_unknown_fields: bool = True,
        rate_limits: Sequence[ev.RateLimit] = DEFAULT_RATE_LIMITS,
    ) -> None:
        self._outlet = outlet
        self._flow = outlet.flow
        self._defaults = session
        self._refuse_unknown_fields = refuse_unknown_fields
        self._rate_limits = rate_limits
        self._writers: dict[str, ResponseWriter] = {}
        self.playback = PlaybackWriter(outlet)
        """What the server plays, if it has the sound (WebRTC, SIP)."""
        self.translation = TranslationWriter(outlet, self._translation_closed)
        """What a translation session says."""
        self._begun: collections.deque[ResponseWriter] = collections.deque()  # bounded by RESPONSES_MAX
        self._held: list[Any] = []
        """Tool outputs that came before their response was done, and what refers to them."""
        self._held_ids: set[str] = set()
        self.buffered_bytes = 0
        """Of the caller's audio, since the last commit or clear."""
        self.close: Close | None = None
        """How the connection is to be closed, once the last events are sent; ``None``: it stays open."""

    # ------------------------------------------------------------------------------------------------- by itself

    def start(self) -> list[ev.ServerEvent]:
        """``session.created``: the first event of a session."""
        return self._outlet.emit(ev.SessionCreated(session=self._defaults))

    def end(self, fault: Fault = SESSION_EXPIRED, **fields: Any) -> list[ev.ServerEvent]:
        """An error after which nothing is said: tells it, and says in `close` how to close.

        Args:
            fault: `SESSION_EXPIRED`, `INVALID_API_KEY`, `INVALID_MODEL`, … Default: the session's time is up.
            fields: what its message names.
        """
        made = self._outlet.emit(fault.event(**fields))
        self._flow.session_state = SessionState.CLOSED
        self.close = fault.close or CLOSE_EXPIRED
        return made

    def refuse(self, error: ProtocolError, event_id: str | None = None) -> list[ev.ServerEvent]:
        """The error event for what a client did wrong, such as a frame that `codec` could not read.

        A first event that can't be read doesn't end the session, even before ``session.created``. After the session's
        end there is nothing to say any more.
        """
        state = self._flow.session_state
        if state is SessionState.CLOSED:
            return []
        made = self._outlet.emit(error_event(error, event_id))
        self._flow.session_state = state
        return made

    def respond(self, params: ResponseParams | None = None) -> tuple[ResponseWriter, list[ev.ServerEvent]]:
        """Begin a response.

        Args:
            params: what the client wants of it; ``conversation: "none"`` for one out of band.

        Returns:
            Its writer, and ``response.created``.

        Raises:
            LocalProtocolError: one is in progress in the conversation.
        """
        writer = ResponseWriter(
            self._outlet, params, on_done=self._response_done, rate_limits=self._rate_limits
        )
        made = writer.begin()
        self._writers[writer.id] = writer
        return writer, made

    def next_response(self) -> ResponseWriter | None:
        """The next response that was begun by a client's request or the end of a turn, to be generated now."""
        while self._begun:
            writer = self._begun.popleft()
            if not writer.finished:
                return writer
        return None

    def interrupt(self, reason: str = "turn_detected") -> list[ev.ServerEvent]:
        """Cut off the response in the conversation, and what is played of one, if there is any."""
        active = self._flow.active
        writer = self._writers.get(active.id) if active is not None else None
        made = [] if writer is None else writer.cancel(reason)
        return made + self.playback.cleared()

    def user_item(self, item_id: str | None = None) -> ItemWriter:
        """A writer for what the caller says.

        Args:
            item_id: of an item that is there already, to transcribe it. Default: a new one.
        """
        return ItemWriter(
            self._outlet,
            item_id or self._flow.input_item_id or self._outlet.new_id("item"),
            on_speech=self._speech_began,
            on_commit=self._committed,
        )

    def list_mcp_tools(
        self, server_label: str, *, item_id: str | None = None
    ) -> tuple[McpListWriter, list[ev.ServerEvent]]:
        """Tell that an MCP server is asked for its tools.

        Args:
            server_label: of the MCP server.
            item_id: of the item. Default: a new one.

        Returns:
            Its writer, and the events to send.
        """
        writer = McpListWriter(self._outlet, server_label, item_id or self._outlet.new_id("item"))
        return writer, writer.begin()

    def dtmf(self, key: str, *, received_at: int) -> list[ev.ServerEvent]:
        """The caller pressed a key of the telephone.

        Args:
            key: ``0``–``9``, ``*``, ``#``, ``A``–``D``.
            received_at: in seconds of Unix time.
        """
        if key not in DTMF_KEYS:
            raise UsageError(f"{key!r} is no key of a telephone; right are {' '.join(sorted(DTMF_KEYS))}")
        return self._outlet.emit(ev.DtmfEventReceived(event=key, received_at=received_at))

    def _speech_began(self) -> list[ev.ServerEvent]:
        detection = turn_detection_of(self._flow.session)
        return self.interrupt() if given(getattr(detection, "interrupt_response", UNSET), True) else []

    def _committed(self, respond: bool | None) -> list[ev.ServerEvent]:
        self.buffered_bytes = 0
        if respond is None:
            detection = turn_detection_of(self._flow.session)
            respond = detection is not None and given(getattr(detection, "create_response", UNSET), True)
        if not respond or self._flow.kind != "realtime" or self._flow.active is not None:
            return []
        return self._begin(None)

    def _begin(self, params: ResponseParams | None) -> list[ev.ServerEvent]:
        writer, made = self.respond(params)
        self._begun.append(writer)
        return made

    def _translation_closed(self) -> None:
        self.close = CLOSE_NORMAL

    def _response_done(self, writer: ResponseWriter) -> list[ev.ServerEvent]:
        del self._writers[writer.id]
        if not writer.in_conversation:
            return []
        held, self._held = self._held, []
        self._held_ids.clear()
        return [made for event in held for made in self.receive(event)]

    # -------------------------------------------------------------------------------------------------- answering

    def receive(self, event: Any) -> list[ev.ServerEvent]:
        """Answer a client event."""
        try:
            check_allowed(event, self._flow)
            unknown = next(unknown_fields(event), None) if self._refuse_unknown_fields else None
            if unknown is not None:
                raise UNKNOWN_PARAMETER.error(param=unknown)
            return self._ANSWERS[type(event)](self, event)
        except ProtocolError as error:
            return self.refuse(error, event.event_id if isinstance(event.event_id, str) else None)

    def take_audio(self, audio: bytes) -> bool:
        """Take in the audio of a plain append (`codec.read_append`), as of nearly all events: a short cut.

        Returns:
            Whether nothing could be said against it; otherwise it was not taken, and `receive` answers the event.
        """
        flow = self._flow
        if flow.session_state is not SessionState.OPEN or flow.kind == "translation" or len(audio) % 2:
            return False
        self.buffered_bytes += len(audio)
        return True

    def _answer_update(self, event: ev.SessionUpdate) -> list[ev.ServerEvent]:
        untyped = isinstance(event.session, TranslationSession) and event.session.type is UNSET
        if untyped and self._flow.kind != "translation":
            raise MISSING_PARAMETER.error(param="session.type")
        check_update(event, self._flow)
        session = merge(self._flow.session or self._defaults, event.session, self._defaults)
        return self._outlet.emit(ev.SessionUpdated(session=session))

    def _answer_append(self, event: ev.InputAudioBufferAppend) -> list[ev.ServerEvent]:
        if len(event.audio) % 2 and bytes_per_ms(input_of(self._flow.session).format) != 8:
            raise ODD_PCM.error(length=len(event.audio))
        self.buffered_bytes += len(event.audio)
        return []

    def _answer_commit(self, event: ev.InputAudioBufferCommit) -> list[ev.ServerEvent]:
        buffered_ms = self.buffered_bytes / bytes_per_ms(input_of(self._flow.session).format)
        if buffered_ms < COMMIT_MIN_MS:
            raise COMMIT_EMPTY.error(minimum=COMMIT_MIN_MS, buffered=buffered_ms)
        return self.user_item().commit(respond=False)

    def _answer_clear(self, event: ev.InputAudioBufferClear) -> list[ev.ServerEvent]:
        self.buffered_bytes = 0
        return self._outlet.emit(ev.InputAudioBufferCleared())

    def _answer_silence(self, event: ev.OutputAudioBufferClear) -> list[ev.ServerEvent]:
        return self.playback.cleared()

    def _answer_create(self, event: ev.ConversationItemCreate) -> list[ev.ServerEvent]:
        item_id, previous = id_of(event.item), event.previous_item_id
        if self._must_wait(event):
            self._held.append(event)
            self._held_ids.add(item_id or "")
            return []
        conversation = self._flow.conversation
        conversation.check_insert(item_id, previous)
        check_approval(event.item, conversation)
        item = normalised(event.item, item_id or self._outlet.new_id("item"))
        new_id = str(id_of(item))
        if isinstance(previous, str) and previous != ROOT:
            before: str | None = previous
        elif previous == ROOT:
            self._flow.at_root.add(new_id)
            before = None
        else:
            before = conversation.ids[-1] if len(conversation) else None
        made = self._outlet.emit(
            ev.ConversationItemAdded(previous_item_id=before, item=item),
            ev.ConversationItemDone(previous_item_id=before, item=item),
        )
        self._keep_audio(event.item, new_id)
        return made

    def _must_wait(self, event: ev.ConversationItemCreate) -> bool:
        """Tool outputs join behind the running response's items; what refers to a waiting one waits too."""
        if event.previous_item_id in self._held_ids or id_of(event.item) in self._held_ids:
            return True
        if len(self._held) >= HELD_MAX:
            return False
        behind = not isinstance(event.previous_item_id, str)
        return behind and self._flow.active is not None and isinstance(event.item, FunctionCallOutput)

    def _keep_audio(self, item: Any, item_id: str) -> None:
        if isinstance(item, Message):
            session = self._flow.session
            for index, part in enumerate(item.content):
                if isinstance(part, InputAudio | OutputAudio) and isinstance(part.audio, bytes):
                    format = (input_of if isinstance(part, InputAudio) else output_of)(session).format
                    self._flow.conversation.add_audio(
                        item_id, index, part.audio, bytes_per_ms=bytes_per_ms(format)
                    )

    def _answer_truncate(self, event: ev.ConversationItemTruncate) -> list[ev.ServerEvent]:
        self._flow.conversation.check_truncate(event.item_id, event.content_index, event.audio_end_ms)
        return self._outlet.emit(
            ev.ConversationItemTruncated(
                item_id=event.item_id, content_index=event.content_index, audio_end_ms=event.audio_end_ms
            )
        )

    def _answer_delete(self, event: ev.ConversationItemDelete) -> list[ev.ServerEvent]:
        if event.item_id in self._held_ids:
            self._held.append(event)
            return []
        self._flow.conversation.check_delete(event.item_id)
        return self._outlet.emit(ev.ConversationItemDeleted(item_id=event.item_id))

    def _answer_retrieve(self, event: ev.ConversationItemRetrieve) -> list[ev.ServerEvent]:
        if event.item_id in self._held_ids:
            self._held.append(event)
            return []
        item = self._flow.conversation.retrieve(event.item_id)
        return self._outlet.emit(ev.ConversationItemRetrieved(item=item))

    def _answer_respond(self, event: ev.ResponseCreate) -> list[ev.ServerEvent]:
        if self._flow.active is not None and not is_out_of_band(event):
            raise ALREADY_ACTIVE.error(response_id=self._flow.active.id)
        if len(self._writers) >= RESPONSES_MAX:
            raise TOO_MANY_RESPONSES.error(maximum=RESPONSES_MAX)
        params = event.response if isinstance(event.response, ResponseParams) else None
        items = params.input if params is not None else None
        for index, item in enumerate(items if isinstance(items, list) else []):
            if isinstance(item, ItemReference) and item.id not in self._flow.conversation:
                raise INVALID_VALUE.error(
                    param=f"response.input[{index}].id", detail=f"there is no item {item.id!r}"
                )
        return self._begin(params)

    def _answer_cancel(self, event: ev.ResponseCancel) -> list[ev.ServerEvent]:
        active = self._flow.active
        wanted = event.response_id if isinstance(event.response_id, str) else (active.id if active else "")
        writer = self._writers.get(wanted)
        if writer is None:
            raise CANCEL_NOT_ACTIVE.error()
        return writer.cancel("client_cancelled")

    def _answer_translation_append(self, event: ev.SessionInputAudioBufferAppend) -> list[ev.ServerEvent]:
        self.buffered_bytes += len(event.audio)
        return []

    def _answer_close(self, event: ev.SessionClose) -> list[ev.ServerEvent]:
        self._flow.session_state = SessionState.CLOSING
        return []

    _ANSWERS: Final[dict[type[Model], Callable[[Any, Any], list[ev.ServerEvent]]]] = {
        ev.ConversationItemCreate: _answer_create,
        ev.ConversationItemDelete: _answer_delete,
        ev.ConversationItemRetrieve: _answer_retrieve,
        ev.ConversationItemTruncate: _answer_truncate,
        ev.InputAudioBufferAppend: _answer_append,
        ev.InputAudioBufferClear: _answer_clear,
        ev.InputAudioBufferCommit: _answer_commit,
        ev.OutputAudioBufferClear: _answer_silence,
        ev.ResponseCancel: _answer_cancel,
        ev.ResponseCreate: _answer_respond,
        ev.SessionClose: _answer_close,
        ev.SessionInputAudioBufferAppend: _answer_translation_append,
        ev.SessionUpdate: _answer_update,
    }
