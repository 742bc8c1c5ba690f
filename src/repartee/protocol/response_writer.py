"""Neutral steps of a response (a message begins, a word, audio, a call, done) as the recorded order of events.

Every method returns the events to send, in order. Once the response is over (`ResponseWriter.finished`), cancelled by
the client or by the caller's voice, they all return nothing: whoever generates may notice that when it suits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from repartee.errors import StateError
from repartee.protocol import events as ev
from repartee.protocol.config import AudioOutputConfig, VoiceId
from repartee.protocol.items import AudioPart, ContentPart, FunctionCall, Message, TextPart
from repartee.protocol.mcp_writer import McpCallWriter
from repartee.protocol.model import UNSET, Maybe, given
from repartee.protocol.outlet import Outlet
from repartee.protocol.responses import (
    Response,
    ResponseAudio,
    ResponseError,
    ResponseParams,
    StatusDetails,
    Usage,
)
from repartee.protocol.sessions import output_of

__all__ = ["DEFAULT_RATE_LIMITS", "ResponseWriter"]

DEFAULT_RATE_LIMITS: Final = (
    ev.RateLimit(name="tokens", limit=15_000_000, remaining=15_000_000, reset_seconds=0.0),
)
"""What a server without limits tells after each response, because the service does."""


class ResponseWriter(McpCallWriter):
    """Writes one response. Made by a server's `Connection` (`respond`, `next_response`).

    Calls that the server runs itself: `McpCallWriter`.

    Args:
        outlet: where its events go.
        params: what the client asked for; ``None``: the server responds by itself.
        on_done: called when it is over; gives the events that waited for that.
        rate_limits: what ``rate_limits.updated`` tells after it; none: it isn't sent.
    """

    def __init__(
        self,
        outlet: Outlet,
        params: ResponseParams | None,
        *,
        on_done: Callable[[ResponseWriter], list[ev.ServerEvent]],
        rate_limits: Sequence[ev.RateLimit] = DEFAULT_RATE_LIMITS,
    ) -> None:
        params = params or ResponseParams()
        session = outlet.flow.session
        modalities = given(
            params.output_modalities, given(getattr(session, "output_modalities", UNSET), ["audio"])
        )
        super().__init__(
            outlet,
            outlet.new_id("resp"),
            in_conversation=params.conversation != "none",
            modality="text" if modalities == ["text"] else "audio",
        )
        self._on_done = on_done
        self._rate_limits = rate_limits
        self.params = params
        """What the client asked for; empty if nothing in particular."""
        self._status: dict[str, Any] = {
            "object": "realtime.response",
            "id": self.id,
            "conversation_id": outlet.conversation_id if self.in_conversation else None,
            "output_modalities": [self.modality],
            "max_output_tokens": given(
                self.params.max_output_tokens, given(getattr(session, "max_output_tokens", UNSET), "inf")
            ),
            "audio": ResponseAudio(output=self._sound()),
            "metadata": given(self.params.metadata, {}) or None,
        }

    def _sound(self) -> AudioOutputConfig:
        wanted, session = output_of(self.params), output_of(self._outlet.flow.session)
        voice = wanted.voice if given(wanted.voice, "") else session.voice
        return AudioOutputConfig(
            format=wanted.format if wanted.format not in (UNSET, None) else session.format,
            voice=voice.id if isinstance(voice, VoiceId) else voice,
        )

    def begin(self) -> list[ev.ServerEvent]:
        """``response.created``. The connection calls it, and gives the event out with the answer to the request."""
        response = Response(status="in_progress", status_details=None, output=[], usage=None, **self._status)
        return self._outlet.emit(ev.ResponseCreated(response=response))

    # ---------------------------------------------------------------------------------------------------- messages

    def begin_message(self, *, item_id: str | None = None, phase: Maybe[str] = UNSET) -> list[ev.ServerEvent]:
        """Begin a message of the response's modality. `text`, `transcript` and `audio` do it where none is open.

        Args:
            item_id: its id. Default: a new one.
            phase: ``commentary`` or ``final_answer``. Default: not told.
        """
        if self.finished:
            return []
        item = Message(
            id=item_id or self._outlet.new_id("item"),
            status="in_progress",
            role="assistant",
            content=[],
            phase=phase,
        )
        part: ContentPart = TextPart(text="") if self.modality == "text" else AudioPart(transcript="")
        return [
            *self._begin(item),
            *self._outlet.emit(ev.ResponseContentPartAdded(part=part, **self._where(str(item.id), 0))),
        ]

    def text(self, delta: str, *, item_id: str | None = None) -> list[ev.ServerEvent]:
        """More text.

        Raises:
            StateError: the response is spoken: use `transcript` and `audio`.
        """
        self._require("text")
        return self._message_delta(ev.ResponseOutputTextDelta, delta, item_id)

    def transcript(self, delta: str, *, item_id: str | None = None) -> list[ev.ServerEvent]:
        """More of the words that the audio says, at best before it.

        Raises:
            StateError: the response is text: use `text`.
        """
        self._require("audio")
        return self._message_delta(ev.ResponseOutputAudioTranscriptDelta, delta, item_id)

    def audio(self, audio: bytes, *, item_id: str | None = None) -> list[ev.ServerEvent]:
        """More audio, in the session's output format.

        Raises:
            StateError: the response is text.
        """
        self._require("audio")
        return self._message_delta(ev.ResponseOutputAudioDelta, audio, item_id)

    def end_message(self, item_id: str | None = None) -> list[ev.ServerEvent]:
        """The message is complete."""
        return [] if self.finished else self._end(self._current(Message, item_id))

    def _require(self, modality: str) -> None:
        if self.modality != modality:
            raise StateError(f"response {self.id} is {self.modality}, not {modality}")

    def _message_delta(
        self, event: type[Any], delta: str | bytes, item_id: str | None
    ) -> list[ev.ServerEvent]:
        if self.finished:
            return []
        made: list[ev.ServerEvent] = []
        if item_id is None and not any(isinstance(each.item, Message) for each in self._open.values()):
            made = self.begin_message()
        found = self._current(Message, item_id)
        if isinstance(delta, str):
            found.text.append(delta)
        return made + self._outlet.emit(event(delta=delta, **self._where(str(found.item.id), 0)))

    # ------------------------------------------------------------------------------------------------------- calls

    def begin_call(
        self, name: str, *, call_id: str | None = None, item_id: str | None = None
    ) -> list[ev.ServerEvent]:
        """Begin a function call. A message, and other calls, may still be open.

        Args:
            name: of the function.
            call_id: what its output will name; at most 32 characters. Default: a new one.
            item_id: of the item. Default: a new one.
        """
        if self.finished:
            return []
        item = FunctionCall(
            id=item_id or self._outlet.new_id("item"),
            status="in_progress",
            call_id=call_id or self._outlet.new_id("call"),
            name=name,
            arguments="",
        )
        return self._begin(item)

    def arguments(self, delta: str, *, item_id: str | None = None) -> list[ev.ServerEvent]:
        """More of a call's arguments (JSON)."""
        if self.finished:
            return []
        found = self._current(FunctionCall, item_id)
        assert isinstance(found.item, FunctionCall)
        found.text.append(delta)
        return self._outlet.emit(
            ev.ResponseFunctionCallArgumentsDelta(
                call_id=str(found.item.call_id), delta=delta, **self._where(str(found.item.id))
            )
        )

    def end_call(self, item_id: str | None = None) -> list[ev.ServerEvent]:
        """The call's arguments are complete: the client may run the function."""
        return [] if self.finished else self._end(self._current(FunctionCall, item_id))

    # ------------------------------------------------------------------------------------------------------ the end

    def finish(
        self,
        status: str = "completed",
        *,
        reason: str | None = None,
        error: ResponseError | None = None,
        usage: Usage | None = None,
    ) -> list[ev.ServerEvent]:
        """End the response, and all in it that is still open.

        Args:
            status: ``completed``, ``cancelled``, ``incomplete`` or ``failed``.
            reason: why it was cancelled or is incomplete.
            error: why it failed.
            usage: what it cost. Default: not told.
        """
        if self.finished:
            return []
        made: list[ev.ServerEvent] = []
        for each in list(self._open.values()):
            made += self._end(each, "completed" if status == "completed" else "incomplete")
        details = None
        if status != "completed":
            details = StatusDetails(type=status, reason=reason or UNSET, error=error or UNSET)
        response = Response(
            status=status, status_details=details, output=list(self._output), usage=usage, **self._status
        )
        self.finished = True
        made += self._outlet.emit(ev.ResponseDone(response=response))
        if self._rate_limits:
            made += self._outlet.emit(ev.RateLimitsUpdated(rate_limits=list(self._rate_limits)))
        return made + self._on_done(self)

    def cancel(self, reason: str = "client_cancelled") -> list[ev.ServerEvent]:
        """Cut it off.

        Args:
            reason: ``client_cancelled``, or ``turn_detected``: the caller speaks.
        """
        return self.finish("cancelled", reason=reason)
