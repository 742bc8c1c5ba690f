"""`Answers`: the responses of a session, each from its beginning to its one end.

Theory of operation. The protocol decides that a response begins and, where the client or the caller's voice cuts it
off, that it ends; then the model is asked, or told to stop. The model's events are given out by the response's
`Answer`. Whatever comes of a response after its end finds it gone.

A response whose functions run on the server carries on in itself when they have run: the model is asked again, with
their results, and what it says then are further items of the same response. So who waits for ``response.done`` has
the words too, as with MCP servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from repartee.chat import FunctionCall, FunctionCallOutput, Message, ToolChoice
from repartee.clock import Clock
from repartee.errors import ModelTimeoutError, ReparteeError
from repartee.models import RealtimeSession
from repartee.models import events as model_events
from repartee.protocol import responses as wire
from repartee.protocol.config import RealtimeSession as RealtimeConfig
from repartee.protocol.config import RetentionRatio
from repartee.protocol.connection import Connection
from repartee.protocol.events import ServerEvent
from repartee.protocol.faults import CONVERSATION_TOO_LONG
from repartee.protocol.items import McpError
from repartee.protocol.model import given
from repartee.protocol.response_writer import ResponseWriter
from repartee.protocol.sessions import output_of
from repartee.server.served import Served
from repartee.server.sessions.answer import Answer
from repartee.server.sessions.held_drafts import HeldDrafts
from repartee.server.sessions.inner_conversation import InnerConversation
from repartee.server.sessions.observing import Observing
from repartee.server.sessions.output_audio import ItemAudio
from repartee.server.sessions.requests import Asked, asked_of, speed_of
from repartee.server.sessions.server_tools import ServerTools
from repartee.server.sessions.token_count import item_tokens, surplus, text_tokens, tool_tokens
from repartee.server.sessions.usage import TokenBudget, wire_usage

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["Answers", "AnswersOwner", "OutputSink"]

SERVER_LABEL: Final = "repartee"
"""What the server's own functions are told under, as of an MCP server."""
ROUNDS_MAX: Final = 8
"""How often the model is asked for one response; the last time it may call no function."""
_INCOMPLETE: Final = ("max_output_tokens", "content_filter")


class OutputSink(Protocol):
    """Where the server plays what is said (WebRTC). It calls back `ServedSession.playback_started` and the like."""

    def write(self, response_id: str, item_id: str, pcm: AudioFrame) -> None:
        """More audio of an item: mono at 24 kHz, positions counted from the item's start."""

    def end(self, response_id: str) -> None:
        """All audio of a response was written (or will ever be)."""

    def clear(self) -> tuple[str, str, int] | None:
        """Drop what was not played: (response id, item id, how much of the item was heard in ms) of what was cut."""


class AnswersOwner(Protocol):
    """What the answers need of their session."""

    connection: Connection
    clock: Clock
    served: Served
    conversation: InnerConversation
    observing: Observing
    output: OutputSink | None

    @property
    def inner(self) -> RealtimeSession:
        """The model's session."""

    def tell(self, events: Iterable[ServerEvent]) -> None:
        """Send events from which nothing follows for the model."""

    def say(self, events: Iterable[ServerEvent]) -> None:
        """Send events, and do what follows from them."""

    def take(self, event: model_events.RealtimeEvent) -> None:
        """An event of the model's, which had been held back."""

    def response_begins(self) -> None:
        """A response begins in the conversation."""

    def output_ends(self, at_s: float) -> None:
        """What was said will have been heard then."""

    def fail(self, error: ReparteeError, stage: str) -> None:
        """Something failed: for observers and the log."""


class Answers:
    """The responses of a session.

    Args:
        owner: the session.
        tools: the server's functions.
        stall_s: how long a model may give nothing for a response before it counts as failed.
        context_tokens: how much of the conversation a response may take in.
        budget: the tokens that the client's key may spend. Default: no limit.
    """

    def __init__(
        self,
        owner: AnswersOwner,
        *,
        tools: ServerTools,
        stall_s: float,
        context_tokens: int,
        budget: TokenBudget | None = None,
    ) -> None:
        self._owner = owner
        self._tools = tools
        self._stall_s = stall_s
        self._context_tokens = context_tokens
        self._budget = budget
        self._drafts = HeldDrafts()
        self._requested: dict[str, tuple[Answer, Asked]] = {}  # the model has not begun yet
        self._live: dict[str, Answer] = {}  # by the protocol's id; bounded by its RESPONSES_MAX
        self._by_inner: dict[str, tuple[Answer, Asked]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def close(self) -> None:
        """Nothing is answered any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    # -- beginning ---------------------------------------------------------------------------------------------

    def begin_all(self, *, draft: str | None = None, hint: str = "") -> None:
        """Begin what the protocol says is to be answered.

        Args:
            draft: the request of an answer that was prepared, for the first of them.
            hint: goes behind the instructions.
        """
        while not self._closed and (writer := self._owner.connection.server.next_response()) is not None:
            self._begin(writer, draft=draft, hint=hint)
            draft = None
        if draft is not None:
            self._drop_draft(draft)

    def _begin(self, writer: ResponseWriter, *, draft: str | None = None, hint: str = "") -> None:
        owner = self._owner
        session = owner.connection.session
        asked = asked_of(writer, session, owner.served, owner.conversation, hint=hint)
        answer = Answer(
            writer,
            make_audio=self._audio_maker(writer, session),
            tell=owner.tell,
            limit=asked.limit,
            play=self._player(writer),
        )
        answer.speed = speed_of(session)
        answer.last_s = owner.clock.now()
        self._live[writer.id] = answer
        if writer.in_conversation:
            owner.observing.answered(writer.id)
            owner.observing.agent("thinking")
            owner.response_begins()
        if (refusal := self._refusal(answer, asked, session)) is not None:
            if draft is not None:
                self._drop_draft(draft)
            self._end(answer, "failed", error=refusal)
            return
        if draft is None or not self._release(draft, answer, asked):
            self._request(answer, asked)
        self._watch()

    def _request(self, answer: Answer, asked: Asked) -> None:
        self._requested[asked.options.request_id] = (answer, asked)
        self._owner.conversation.in_turn(lambda: self._ask(answer.writer, asked))

    def _ask(self, writer: ResponseWriter, asked: Asked) -> None:
        self.words_lost()
        if not writer.finished:
            self._owner.inner.create_response(asked.options)
        else:
            # It was cancelled while it waited for the caller's words, or they are lost.
            self._requested.pop(asked.options.request_id, None)

    def words_lost(self) -> None:
        """End what is to answer a turn with which the recogniser has failed, if there is any: the model can't."""
        lost = self._owner.conversation.lost
        for answer, asked in list(self._requested.values()) if lost is not None else ():
            if asked.options.input is None and not answer.writer.finished:
                error = wire.ResponseError(
                    type="server_error", code="transcription_failed", message=str(lost)
                )
                self._end(answer, "failed", error=error)

    def _audio_maker(self, writer: ResponseWriter, session: Any) -> Callable[[int], ItemAudio]:
        format = given(output_of(writer.params).format, None) or output_of(session).format
        speed, played = speed_of(session), self._owner.output is not None
        # `speed` is that of the response's beginning: it changes between turns only.
        return lambda rate: ItemAudio(rate, format, speed=speed, played=played)

    def _player(self, writer: ResponseWriter) -> Callable[[str, AudioFrame], None] | None:
        output, response_id = self._owner.output, writer.id
        if output is None or not writer.in_conversation:
            return None
        return lambda item_id, pcm: output.write(response_id, item_id, pcm)

    def _refusal(self, answer: Answer, asked: Asked, session: Any) -> wire.ResponseError | None:
        """Why the model isn't even asked; and make the conversation fit."""
        assert isinstance(session, RealtimeConfig)
        now = self._owner.clock.now()
        if self._budget is not None and self._budget.is_spent(now):
            wait_s = given(self._budget.rate_limit(now).reset_seconds, 0.0)
            most = self._budget.tokens_per_min
            message = f"Rate limit reached: {most} tokens a minute. Full again in {wait_s:.0f} s."
            return wire.ResponseError(type="tokens", code="rate_limit_exceeded", message=message)
        conversation = self._owner.conversation
        options = asked.options
        standing = self._owner.inner.options
        instructions = standing.instructions if options.instructions is None else options.instructions
        fixed = text_tokens(instructions) + tool_tokens(
            standing.tools if options.tools is None else options.tools
        )
        items = conversation.items.items if options.input is None else options.input
        if options.input is None:
            limit, ratio = max(1, self._context_tokens - fixed), 1.0
            policy = given(session.truncation, "auto")
            if isinstance(policy, RetentionRatio):
                ratio = policy.retention_ratio
                limits = given(policy.token_limits, None)
                limit = min(limit, given(limits.post_instructions, limit) if limits is not None else limit)
            gone = surplus(items, limit=limit, keep=round(limit * ratio))
            if gone and policy == "disabled":
                fault = CONVERSATION_TOO_LONG
                return wire.ResponseError(type=fault.type, code=fault.code, message=fault.message)
            conversation.leave_out(gone)
            items = conversation.items.items
        costs = [item_tokens(item) for item in items]
        text_tokens_before, audio_tokens_before = answer.input_tokens
        answer.input_tokens = (
            text_tokens_before + fixed + sum(text for text, _ in costs),
            audio_tokens_before + sum(audio for _, audio in costs),
        )
        return None

    # -- drafts ------------------------------------------------------------------------------------------------

    def _release(self, request_id: str, answer: Answer, asked: Asked) -> bool:
        """Let a prepared answer be this response's; whether it could be used."""
        draft = self._drafts.release(request_id)
        if draft is None:
            return False
        inner_session = self._owner.inner
        if draft.changes != self._owner.conversation.changes:
            inner_session.cancel_response(draft.response_id, reason="out of date")
            return False
        answer.inner_id = draft.response_id
        self._by_inner[draft.response_id] = (answer, asked)
        inner_session.release_response(request_id)
        while draft.held:
            self._owner.take(draft.held.popleft())
        return True

    def _drop_draft(self, request_id: str) -> None:
        draft = self._drafts.release(request_id)
        if draft is not None:
            self._owner.inner.cancel_response(draft.response_id, reason="not wanted")

    def holds(self, event: model_events.RealtimeEvent) -> bool:
        """Whether an event of the model's belongs to an answer that is only being prepared; it is kept then."""
        if type(event) is model_events.ResponseCreated:
            if event.request_id in self._requested:
                return False
            self._drafts.hold(event, self._owner.conversation.changes)
            return True
        response_id = getattr(event, "response_id", None)
        return response_id is not None and self._drafts.take(event, response_id)

    # -- what the model gives ----------------------------------------------------------------------------------

    def on_event(self, event: Any) -> None:
        """An event of the model's."""
        if type(event) is model_events.ResponseCreated:
            self._begun(event)
            return
        handler = _HANDLERS.get(type(event))
        if handler is None:
            return
        found = self._by_inner.get(event.response_id)
        if found is None:
            return
        answer, asked = found
        if not answer.writer.finished:
            answer.last_s = self._owner.clock.now()
            handler(self, answer, asked, event)
        elif type(event) is model_events.ResponseDone:
            del self._by_inner[event.response_id]

    def _begun(self, event: model_events.ResponseCreated) -> None:
        answer, asked = self._requested.pop(event.request_id or "")
        answer.inner_id = event.response_id
        self._by_inner[event.response_id] = (answer, asked)
        if answer.writer.finished:  # it was cancelled before the model came to it
            self._owner.inner.cancel_response(event.response_id)

    def _item_added(self, answer: Answer, asked: Asked, event: model_events.ItemAdded) -> None:
        if isinstance(event.item, Message):
            answer.message(event.item.id)
            if answer.speed != 1.0:
                self._owner.conversation.plays_at(event.item.id, answer.speed)

    def _words(self, answer: Answer, asked: Asked, event: model_events.TranscriptDelta) -> None:
        first = not answer.speaks
        start_ms = None if event.start_ms is None else event.start_ms / answer.speed
        self._owner.observing.words(event.item_id, event.delta, start_ms)
        answer.words(event.item_id, event.delta)
        self._gave(answer, first)

    def _sound(self, answer: Answer, asked: Asked, event: model_events.AudioDelta) -> None:
        first = not answer.speaks
        answer.sound(event.item_id, event.audio)
        if self._owner.observing.wanted:
            self._owner.observing.sound(event.item_id, event.audio.duration_s * 1000.0 / answer.speed)
        self._gave(answer, first)

    def _gave(self, answer: Answer, first: bool) -> None:
        if first and answer.speaks and answer.writer.in_conversation:
            self._owner.observing.agent("speaking")
        if answer.limit is not None and sum(answer.output_tokens) > answer.limit:
            self._end(answer, "incomplete", reason="max_output_tokens")

    def _label(self, asked: Asked, name: str) -> str | None:
        return SERVER_LABEL if name in asked.server_tools else None

    @staticmethod
    def _too_many(answer: Answer, asked: Asked, item_id: str) -> bool:
        """Whether a call is one more than the client wants at once."""
        return not asked.parallel and answer.calls_now > 0 and item_id not in answer.calls

    def _arguments(self, answer: Answer, asked: Asked, event: model_events.CallArgumentsDelta) -> None:
        if self._too_many(answer, asked, event.item_id):
            return
        call_id = self._owner.conversation.wire_call_id(event.call_id)
        answer.call(event.item_id, call_id, event.name, event.delta, self._label(asked, event.name))

    def _item_done(self, answer: Answer, asked: Asked, event: model_events.OutputItemDone) -> None:
        item = event.item
        if isinstance(item, Message):
            answer.end_message(item.id)
        elif self._too_many(answer, asked, item.id):
            self._owner.conversation.leave_out([item])
        else:
            self._call_done(answer, item, self._label(asked, item.name))

    def _call_done(self, answer: Answer, call: FunctionCall, label: str | None) -> None:
        owner, writer = self._owner, answer.writer
        call_id = owner.conversation.wire_call_id(call.call_id)
        told = answer.calls.get(call.id, "")
        rest = call.arguments[len(told) :] if call.arguments.startswith(told) else ""
        answer.call(call.id, call_id, call.name, rest, label)
        owner.observing.tool(call_id, call.name, "running")
        if label is None:
            owner.tell(writer.end_call(item_id=call.id))
            return
        owner.tell(writer.mcp_running(call.id))
        answer.running += 1
        self._tools.run(call, lambda output, is_error: self._result(answer, call, output, is_error))

    def _result(self, answer: Answer, call: FunctionCall, output: str, is_error: bool) -> None:
        """A function of the server's has given its result: the model gets it in any case."""
        if self._closed:
            return
        owner = self._owner
        owner.observing.tool(
            owner.conversation.wire_call_id(call.call_id), call.name, "failed" if is_error else "done"
        )
        if call.id in owner.conversation.items:
            owner.inner.create_item(FunctionCallOutput(call.call_id, output, is_error))
        result = McpError(type="tool_execution_error", message=output) if is_error else output
        owner.tell(answer.writer.end_mcp_call(result, item_id=call.id))
        answer.running -= 1
        answer.last_s = owner.clock.now()
        if answer.done is not None and not answer.running and not answer.writer.finished:
            self._model_done(answer, answer.done)

    def _stage(self, answer: Answer, asked: Asked, event: model_events.StageReached) -> None:
        self._owner.observing.stage(answer.writer.id, event.stage, event.at_s)

    def _response_done(self, answer: Answer, asked: Asked, event: model_events.ResponseDone) -> None:
        del self._by_inner[event.response_id]
        answer.done = event
        if not answer.running or event.status != "completed":
            self._model_done(answer, event)

    # -- the end -----------------------------------------------------------------------------------------------

    def _model_done(self, answer: Answer, done: model_events.ResponseDone) -> None:
        """The model has ended a response."""
        limit = answer.limit
        match done.status:
            case "completed":
                for item_id in list(answer.spoken):
                    answer.end_message(item_id)
                if limit is not None and answer.given_usage.output_tokens >= limit > 0:
                    self._end(answer, "incomplete", reason="max_output_tokens")
                elif self._is_owed_words(answer):
                    self._carry_on(answer)
                else:
                    self._end(answer, "completed")
            case "incomplete":
                reason = done.reason if done.reason in _INCOMPLETE else "max_output_tokens"
                self._end(answer, "incomplete", reason=reason)
            case "cancelled":
                known = done.reason if done.reason == "turn_detected" else "client_cancelled"
                self._end(answer, "cancelled", reason=known)
            case _:
                self._end(answer, "failed", error=_failure(done.error, done.reason))

    def _end(
        self,
        answer: Answer,
        status: str,
        *,
        reason: str | None = None,
        error: wire.ResponseError | None = None,
    ) -> None:
        """End a response, as the model or the server wants it."""
        usage = self.usage_of(answer.writer.id)
        self._owner.say(answer.writer.finish(status, reason=reason, error=error, usage=usage))

    def _is_owed_words(self, answer: Answer) -> bool:
        """Whether all that the model asked for has run on the server, so that it goes on."""
        return bool(answer.calls_now) and not answer.client_calls and not self._closed

    def _carry_on(self, answer: Answer) -> None:
        """Functions have run on the server: ask the model again, for further items of the same response."""
        owner = self._owner
        answer.next_round()
        answer.last_s = owner.clock.now()
        owner.observing.agent("thinking")
        session = owner.connection.session
        choice: ToolChoice = "auto" if answer.rounds < ROUNDS_MAX else "none"
        asked = asked_of(answer.writer, session, owner.served, owner.conversation, follow_up=choice)
        options = replace(asked.options, request_id=f"{answer.writer.id}.{answer.rounds}")
        if (
            options.input is not None
        ):  # it doesn't see the conversation, in which the calls and their results are
            options = replace(options, input=(*options.input, *answer.made_in(owner.conversation.items)))
        asked = replace(asked, options=options)
        if (refusal := self._refusal(answer, asked, session)) is not None:
            self._end(answer, "failed", error=refusal)
        else:
            self._request(answer, asked)

    def usage_of(self, response_id: str) -> wire.Usage | None:
        """What a response that is not over yet has cost so far; ``None``: there is none of that id."""
        answer = self._live.get(response_id)
        if answer is None:
            return None
        return wire_usage(
            answer.given_usage, counted_input=answer.input_tokens, counted_output=answer.output_tokens
        )

    def over(self, response: wire.Response) -> None:
        """A response is over (its ``response.done`` was sent): make an end of it everywhere else."""
        answer = self._live.pop(str(response.id), None)
        if answer is None:
            return
        owner, writer = self._owner, answer.writer
        now = owner.clock.now()
        if answer.done is None and answer.inner_id is not None:
            owner.inner.cancel_response(answer.inner_id, reason=_reason_of(response))
        if writer.in_conversation and response.status != "completed":
            for item_id, spoken in answer.spoken.items():
                owner.conversation.keep_only(item_id, "".join(spoken.text), spoken.source_ms)
        if self._budget is not None and response.usage:
            self._budget.spend(given(response.usage.total_tokens, 0), now)
        if not writer.in_conversation:
            return
        if owner.output is not None:
            owner.output.end(writer.id)
        audio_s = sum(spoken.audio_ms for spoken in answer.spoken.values()) / 1000.0
        if response.status == "cancelled":
            owner.observing.agent("listening")
        elif owner.output is None or not audio_s:
            owner.observing.agent_until(now + audio_s)
        owner.output_ends(now + audio_s)

    # -- deadlines ---------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """One timer, for the response that has waited longest."""
        if self._timer is None and self._live and not self._closed:
            clock = self._owner.clock
            oldest_s = min(clock.now() if each.running else each.last_s for each in self._live.values())
            due_s = clock.to_source(oldest_s + self._stall_s)
            self._timer = asyncio.get_running_loop().call_at(due_s, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._owner.clock.now()
        for answer in tuple(self._live.values()):
            if not answer.running and now - answer.last_s >= self._stall_s - 1e-6:
                error = ModelTimeoutError(
                    f"The model gave nothing for {self._stall_s:g} s.", stage="realtime", code="model_timeout"
                )
                self._owner.fail(error, "realtime")
                self._end(answer, "failed", error=_failure(error, "model_timeout"))
        self._watch()


_HANDLERS: Final[dict[type[Any], Callable[[Answers, Answer, Asked, Any], None]]] = {
    model_events.AudioDelta: Answers._sound,
    model_events.CallArgumentsDelta: Answers._arguments,
    model_events.ItemAdded: Answers._item_added,
    model_events.OutputItemDone: Answers._item_done,
    model_events.ResponseDone: Answers._response_done,
    model_events.StageReached: Answers._stage,
    model_events.TranscriptDelta: Answers._words,
}


def _failure(error: ReparteeError | None, reason: str) -> wire.ResponseError:
    code = getattr(error, "code", None) or reason or "model_error"
    message = str(error) if error is not None else "The model failed."
    return wire.ResponseError(type="server_error", code=code, message=message)


def _reason_of(response: wire.Response) -> str:
    details = response.status_details
    return given(details.reason, "") or "ended" if isinstance(details, wire.StatusDetails) else "ended"
