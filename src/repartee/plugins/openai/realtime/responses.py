"""`Responses`: those that were asked for and those that are live, and the server's events of them, told as ours.

*Theory of operation.* A request is sent when the conversation has no response in progress, so that the server need
not refuse it; where it does all the same (it began one by itself meanwhile), it is sent again when that one is over.
A response is known by the id it had first, also where it had to be asked for again on another connection. What comes
of a response that has ended here is dropped, and what it leaves at the server is deleted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from repartee.audio import AudioFrame
from repartee.chat import AudioContent, ChatContext, FunctionCall, Message, TextContent
from repartee.errors import ModelError, ModelTimeoutError
from repartee.models import ResponseOptions
from repartee.models import events as ev
from repartee.plugins.openai.realtime.mapping import status_of, usage_of
from repartee.protocol import events as wire
from repartee.protocol import items as wire_items
from repartee.protocol.model import given
from repartee.protocol.responses import Response

__all__ = ["REQUEST_KEY", "SAMPLE_RATE", "Responses"]

REQUEST_KEY = "repartee_request"
"""The metadata key under which a request's id goes with it, and comes back with its response."""

SAMPLE_RATE = 24_000

_REMEMBERED = 64  # ended responses of which something may still come


@dataclass(slots=True)
class _Output:
    """An item that a response is making."""

    id: str
    audio: bool = False
    words: list[str] = field(default_factory=list)
    samples: int = 0
    announced: bool = False
    call: FunctionCall | None = None
    cut: tuple[str, int] | None = None
    """The words and milliseconds to which it was truncated while it was being made."""

    @property
    def duration_ms(self) -> int:
        return self.samples * 1000 // SAMPLE_RATE


@dataclass(slots=True)
class _Live:
    """A response that has not ended."""

    id: str
    """As the consumer knows it."""
    options: ResponseOptions | None
    """How it was asked for; ``None``: the server began by itself."""
    in_band: bool = True
    audio: bool = True
    active_s: float = 0.0
    since_s: float = 0.0
    begun: bool = False
    """Something of it was told that can't be taken back."""
    behind: str | None = None
    """The item that its first one stands behind."""
    order: list[str] = field(default_factory=list)
    outputs: dict[str, _Output] = field(default_factory=dict)


@dataclass(slots=True)
class _Request:
    """A response that was asked for and has not begun."""

    options: ResponseOptions
    since_s: float
    sent: bool = False
    silent: bool = False
    """The consumer did not ask: the server owed it."""
    again: _Live | None = None
    """The response that lost its connection before it said anything."""

    @property
    def in_band(self) -> bool:
        return self.options.conversation == "auto"


class Responses:
    """The responses of a session.

    Args:
        tell: takes events for the consumer and the history.
        history: what `tell` keeps.
        send_request: asks the server.
        send_cancel: cancels at the server, by its id.
        send_delete: deletes an item at the server, by its id.
        now: session time, in seconds.
        guess: whether a response without our metadata may be the answer to a request: at servers that don't echo it.
    """

    def __init__(
        self,
        tell: Callable[[ev.RealtimeEvent], None],
        history: ChatContext,
        *,
        send_request: Callable[[ResponseOptions], None],
        send_cancel: Callable[[str], None],
        send_delete: Callable[[str], None],
        now: Callable[[], float],
        guess: bool,
    ) -> None:
        self._tell = tell
        self._history = history
        self._send_request = send_request
        self._send_cancel = send_cancel
        self._send_delete = send_delete
        self._now = now
        self._guess = guess
        self._requests: dict[str, _Request] = {}  # bounded by the turn engine's queue
        self._live: dict[str, _Live] = {}  # by the server's id
        self._withdrawn: deque[str] = deque(maxlen=_REMEMBERED)
        self._cancelled: deque[str] = deque(maxlen=_REMEMBERED)
        self._blocked = False
        self.connected = False
        """Whether requests can be sent."""
        self.owed = False
        """The server is to answer a turn by itself, and has not begun."""

    # -- what the session asks ---------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for or live."""
        return not self._requests and not self._live and not self.owed

    def create(self, options: ResponseOptions) -> None:
        """Ask for a response."""
        self._requests[options.request_id] = _Request(options, self._now())
        self._send_what_may_be_sent()

    def cancel(self, response_id: str | None, reason: str) -> None:
        """End a response, or take a request back; ``None``: the one in the conversation."""
        for remote_id, response in tuple(self._live.items()):
            if response_id == response.id or (response_id is None and response.in_band):
                self._send_cancel(remote_id)
                self._cancelled.append(remote_id)
                self._live.pop(remote_id)
                self._end(response, "cancelled", reason)
        for request_id, request in tuple(self._requests.items()):
            again = request.again
            if response_id == request_id or (
                again is not None and (response_id == again.id or (response_id is None and again.in_band))
            ):
                self._withdraw(request_id, "cancelled", reason)
        self._send_what_may_be_sent()

    def _withdraw(
        self, request_id: str, status: ev.ResponseStatus, reason: str, error: ModelError | None = None
    ) -> None:
        request = self._requests.pop(request_id)
        if request.sent:
            self._withdrawn.append(request_id)
        if request.again is not None:
            self._end(request.again, status, reason, error)
        elif not request.silent:
            self.refuse(request.options, error, status, reason)

    def refuse(
        self,
        options: ResponseOptions,
        error: ModelError | None,
        status: ev.ResponseStatus = "failed",
        reason: str = "refused",
    ) -> None:
        """A request that is not served is a response that ends at once."""
        self._tell(ev.ResponseCreated(options.request_id, options.request_id, options.metadata))
        self._tell(ev.ResponseDone(options.request_id, status, reason, error))

    def received(self, item_id: str) -> tuple[str, int] | None:
        """The words and the milliseconds that have come of an item that is being made; ``None``: none is."""
        for response in self._live.values():
            output = response.outputs.get(item_id)
            if output is not None and output.call is None:
                return "".join(output.words), output.duration_ms
        return None

    def truncated(self, item_id: str, text: str, end_ms: int) -> None:
        """An item was cut, perhaps while it is being made: what comes of it now is not part of it any more."""
        for response in self._live.values():
            output = response.outputs.get(item_id)
            if output is not None:
                output.cut = (text, end_ms)

    def end_all(self, status: ev.ResponseStatus, reason: str, error: ModelError | None = None) -> None:
        """Nothing more will come."""
        for response in tuple(self._live.values()):
            self._end(response, status, reason)
        self._live.clear()
        for request_id in tuple(self._requests):
            self._withdraw(request_id, status, reason, error)
        self.owed = False

    # -- connections -------------------------------------------------------------------------------------------

    def connection_lost(self, *, interrupted: bool) -> None:
        """What has begun ends as it is; the rest is asked for again, once.

        Args:
            interrupted: the user speaks, so that what was being said is not wanted any more.
        """
        self.connected = self._blocked = False
        for request in self._requests.values():
            request.sent = False
        for response in tuple(self._live.values()):
            asked_before = any(request.again is response for request in self._requests.values())
            if interrupted and response.in_band:
                self._end(response, "cancelled", "turn_detected")
            elif response.begun or asked_before:
                self._end(response, "incomplete", "connection_lost")
            else:
                self._ask_again(response)
        self._live.clear()
        if self.owed and not interrupted and not self._requests:
            self.create_owed()
        self.owed = False

    def _ask_again(self, response: _Live) -> None:
        for output in response.outputs.values():
            if output.announced and output.id in self._history:
                self._tell(ev.ItemDeleted(output.id))
        response.outputs.clear()
        response.order.clear()
        options = response.options or ResponseOptions()
        if options.request_id in self._requests:
            return
        response.options = options
        response.begun = True  # the next time it ends here
        first = {options.request_id: _Request(options, self._now(), again=response)}
        self._requests = {**first, **self._requests}

    def create_owed(self) -> None:
        """Ask for what the server would have begun by itself."""
        options = ResponseOptions()
        self._requests[options.request_id] = _Request(options, self._now(), silent=True)

    def resume(self) -> None:
        """There is a connection, which has the conversation: ask for what is open."""
        self.connected = True
        for request in self._requests.values():
            request.since_s = self._now()
        self._send_what_may_be_sent()

    def _send_what_may_be_sent(self) -> None:
        if not self.connected:
            return
        busy = self._blocked or any(response.in_band for response in self._live.values())
        for request in tuple(self._requests.values()):
            if request.in_band:
                if not busy and not request.sent:
                    request.sent, request.since_s = True, self._now()
                    self._send_request(request.options)
                busy = True
            elif not request.sent:
                request.sent, request.since_s = True, self._now()
                self._send_request(request.options)

    # -- deadlines ---------------------------------------------------------------------------------------------

    def oldest_s(self) -> float | None:
        """Since when there was nothing of the one that has waited longest; ``None``: nothing is waited for."""
        if not self.connected:
            return None
        times = [request.since_s for request in self._requests.values() if request.sent]
        times += [response.active_s for response in self._live.values()]
        return min(times, default=None)

    def oldest_begun_s(self) -> float | None:
        """Since when the oldest response is being made; ``None``: none is."""
        return min((response.since_s for response in self._live.values()), default=None)

    def run_out(self, before_s: float, after_s: float) -> None:
        """Fail those that have begun by then and not ended."""
        error = ModelTimeoutError(
            f"a response did not end within {after_s:g} s; raise response_duration_s if the model may talk longer",
            stage="realtime",
            provider="openai",
        )
        self._fail_live([key for key, each in self._live.items() if each.since_s <= before_s], error)
        self._send_what_may_be_sent()

    def _fail_live(self, remote_ids: list[str], error: ModelError) -> None:
        for remote_id in remote_ids:
            self._send_cancel(remote_id)
            self._cancelled.append(remote_id)
            self._end(self._live.pop(remote_id), "failed", "timeout", error)

    def time_out(self, before_s: float, after_s: float) -> None:
        """Fail those of which nothing has come since then."""
        error = ModelTimeoutError(
            f"nothing came of a response for {after_s:g} s; raise response_timeout_s if the model needs longer",
            stage="realtime",
            provider="openai",
        )
        self._fail_live([key for key, each in self._live.items() if each.active_s <= before_s], error)
        for request_id, request in tuple(self._requests.items()):
            if request.sent and request.since_s <= before_s:
                self._tell(ev.ErrorOccurred(error, "realtime"))
                self._withdraw(request_id, "failed", "timeout", error)
        self._send_what_may_be_sent()

    # -- the server's events -----------------------------------------------------------------------------------

    def request_failed(self, request_id: str, error: ModelError) -> bool:
        """The server refuses a request; whether that is one of ours. It may be sent again later."""
        request = self._requests.get(request_id)
        if request is None:
            return False
        if error.code == "conversation_already_has_active_response":
            request.sent, self._blocked = False, not any(each.in_band for each in self._live.values())
            return True
        self._tell(ev.ErrorOccurred(error, "realtime"))
        request.sent = False
        self._withdraw(request_id, "failed", "refused", error)
        self._send_what_may_be_sent()
        return True

    def receive(self, event: wire.ServerEvent) -> None:
        """Tell an event."""
        match event:
            case wire.ResponseOutputAudioDelta():
                self.audio(event)
            case wire.ResponseOutputAudioTranscriptDelta() | wire.ResponseOutputTextDelta():
                self._text(event)
            case wire.ResponseCreated():
                self._created(event)
            case wire.ResponseOutputItemAdded(response_id=response_id, item=item):
                self._output_added(response_id, item)
            case wire.ResponseFunctionCallArgumentsDelta(response_id=response_id, item_id=item_id):
                response = self._of(response_id)
                output = response.outputs.get(item_id) if response is not None else None
                if response is not None and output is not None and output.call is not None:
                    call = output.call
                    self._tell(
                        ev.CallArgumentsDelta(response.id, item_id, call.call_id, call.name, event.delta)
                    )
            case wire.ResponseOutputItemDone(response_id=response_id, item=item):
                self._output_done(response_id, item)
            case wire.ResponseDone():
                self._done(event)
            case _:
                pass

    def _of(self, remote_id: str) -> _Live | None:
        """The live response; ``None``: this is a straggler of one that has ended here."""
        response = self._live.get(remote_id)
        if response is not None:
            response.active_s = self._now()
        return response

    def _created(self, event: wire.ResponseCreated) -> None:
        remote_id = given(event.response.id, "")
        metadata = dict(given(event.response.metadata, {}))
        request_id = metadata.pop(REQUEST_KEY, None)
        if request_id is not None:
            self._guess = False  # it does echo
        elif self._guess:
            request_id = next((key for key, request in self._requests.items() if request.sent), None)
        if request_id is not None and request_id in self._withdrawn:
            self._withdrawn.remove(request_id)
            self._cancelled.append(remote_id)
            self._send_cancel(remote_id)
            return
        request = self._requests.pop(request_id, None) if request_id is not None else None
        if request is None:
            self.owed = False
        if request is not None and request.again is not None:
            request.again.active_s = request.again.since_s = self._now()
            self._live[remote_id] = request.again
            return
        in_band = request is None or request.in_band
        modalities = given(event.response.output_modalities, ["audio"])
        options = request.options if request is not None else None
        now = self._now()
        response = _Live(remote_id, options, in_band, "audio" in modalities, now, now)
        self._live[remote_id] = response
        named = (
            options.request_id if options is not None and request is not None and not request.silent else None
        )
        self._tell(ev.ResponseCreated(remote_id, named, metadata))

    # -- its items ---------------------------------------------------------------------------------------------

    def _place(self, response: _Live, item_id: str) -> str | None:
        """What a new item stands behind: the one that the response began before it, or what was there then."""
        at = response.order.index(item_id)
        for earlier in reversed(response.order[:at]):
            if earlier in self._history:
                return earlier
        if response.behind is None or response.behind in self._history:
            return response.behind
        return self._history.last_id

    def _enlist(self, response: _Live, item_id: str) -> None:
        if not response.order:
            response.behind = self._history.last_id
        if item_id not in response.order:
            response.order.append(item_id)

    def _output(self, response: _Live, item_id: str) -> _Output:
        output = response.outputs.get(item_id)
        if output is None:
            output = response.outputs[item_id] = _Output(item_id, response.audio)
        if not output.announced:
            output.announced = True
            self._enlist(response, item_id)
            if response.in_band:
                content = AudioContent("") if output.audio else TextContent("")
                message = Message("assistant", (content,), item_id, "in_progress")
                self._tell(ev.ItemAdded(message, self._place(response, item_id), response.id))
        return output

    def _output_added(self, remote_id: str, item: wire_items.Item) -> None:
        response = self._of(remote_id)
        item_id = given(getattr(item, "id", None), "")
        if response is None:
            return
        if isinstance(item, wire_items.FunctionCall):
            self._enlist(response, item_id)
            call = FunctionCall(item.name, "", given(item.call_id, item_id), item_id)
            response.outputs[item_id] = _Output(item_id, announced=True, call=call)
        elif isinstance(item, wire_items.Message):
            self._output(response, item_id)

    def _text(self, event: wire.ResponseOutputAudioTranscriptDelta | wire.ResponseOutputTextDelta) -> None:
        response = self._of(event.response_id)
        if response is None:
            return
        output = self._output(response, event.item_id)
        if isinstance(event, wire.ResponseOutputTextDelta):
            output.audio = False
        output.words.append(event.delta)
        response.begun = True
        self._tell(ev.TranscriptDelta(response.id, event.item_id, event.delta))

    def audio(self, event: wire.ResponseOutputAudioDelta) -> None:
        """Tell a piece of sound."""
        response = self._of(event.response_id)
        if response is None:
            return
        output = self._output(response, event.item_id)
        pcm = event.delta if len(event.delta) % 2 == 0 else event.delta[:-1]
        frame = AudioFrame(pcm, SAMPLE_RATE, 1, output.samples)
        output.samples += frame.samples
        response.begun = True
        self._tell(ev.AudioDelta(response.id, event.item_id, frame))

    def _output_done(self, remote_id: str, item: wire_items.Item) -> None:
        response = self._of(remote_id)
        item_id = given(getattr(item, "id", None), "")
        if response is None:
            if remote_id in self._cancelled and item_id and item_id not in self._history:
                self._send_delete(item_id)  # nobody has heard of it here
            return
        output = response.outputs.pop(item_id, None)
        if output is None:
            return
        if not isinstance(item, wire_items.FunctionCall):
            incomplete = isinstance(item, wire_items.Message) and item.status == "incomplete"
            self._close_item(response, output, "incomplete" if incomplete else "completed")
            return
        if item.status == "incomplete":
            if response.in_band:
                self._send_delete(item_id)  # cut short: it was never made
            return
        response.begun = True
        call = FunctionCall(item.name, item.arguments, given(item.call_id, item_id), item_id)
        if response.in_band:
            self._tell(ev.ItemAdded(call, self._place(response, item_id), response.id))
            self._tell(ev.ItemDone(call, response.id))
        self._tell(ev.OutputItemDone(response.id, call))

    def _close_item(self, response: _Live, output: _Output, status: str) -> None:
        if output.call is not None or not output.announced:
            return
        text, duration_ms = output.cut or ("".join(output.words), output.duration_ms)
        content = AudioContent(text, duration_ms) if output.audio else TextContent(text)
        kept: Any = "incomplete" if output.cut is not None else status
        message = Message("assistant", (content,), output.id, kept, interrupted=output.cut is not None)
        if response.in_band:
            self._tell(ev.ItemDone(message, response.id))
        self._tell(ev.OutputItemDone(response.id, message))

    # -- the end -----------------------------------------------------------------------------------------------

    def _done(self, event: wire.ResponseDone) -> None:
        remote_id = given(event.response.id, "")
        self._blocked = False
        response = self._live.pop(remote_id, None)
        if response is not None:
            status, reason, error = status_of(event.response)
            failure = None
            if error is not None:
                text = given(error.message, "") or "the model failed"
                failure = ModelError(text, stage="realtime", provider="openai", code=given(error.code, None))
            self._end(response, status, reason, failure, usage=event.response)
        self._send_what_may_be_sent()

    def _end(
        self,
        response: _Live,
        status: ev.ResponseStatus,
        reason: str,
        error: ModelError | None = None,
        *,
        usage: Response | None = None,
    ) -> None:
        """The one way out of a response."""
        for output in response.outputs.values():
            self._close_item(response, output, "completed" if status == "completed" else "incomplete")
        response.outputs.clear()
        if error is not None:
            self._tell(ev.ErrorOccurred(error, "realtime"))
        cost = usage_of(usage.usage if usage is not None else None)
        self._tell(ev.ResponseDone(response.id, status, reason, error, cost))
