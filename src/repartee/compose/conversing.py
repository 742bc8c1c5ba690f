"""`Conversing`: an LLM with a conversation.

It holds the items, answers them, and lets answers be cancelled, cut and prepared ahead. It has neither ears nor a
voice: text in, text out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal

from repartee.chat import ChatContext, FunctionCall, FunctionCallOutput, Item, Message, TextContent, new_id
from repartee.clock import Clock
from repartee.compose.providers import bound_to
from repartee.compose.tasks import TaskOwner
from repartee.errors import ModelError, ModelTimeoutError, ReparteeError, StateError, UsageError
from repartee.models import (
    LLM,
    CallDelta,
    CallDone,
    ChatChunk,
    ChatRequest,
    RealtimeCapabilities,
    RealtimeModel,
    RealtimeSession,
    ResponseOptions,
    SessionOptions,
    Sink,
    TextDelta,
    Usage,
)
from repartee.models.events import (
    CallArgumentsDelta,
    ErrorOccurred,
    ItemAdded,
    ItemDeleted,
    ItemDone,
    ItemTruncated,
    OutputItemDone,
    ResponseCreated,
    ResponseDone,
    ResponseStatus,
    StageReached,
    TranscriptDelta,
)

__all__ = ["Conversing"]


class Conversing(RealtimeModel):
    """An LLM with a conversation.

    Args:
        llm: which one.
        first_token_timeout_s: how long an answer may take to begin. Default 10.
        stall_timeout_s: how long it may halt once begun. Default 15.
    """

    def __init__(
        self, llm: LLM, *, first_token_timeout_s: float = 10.0, stall_timeout_s: float = 15.0
    ) -> None:
        self.llm = llm
        self.first_token_timeout_s = first_token_timeout_s
        self.stall_timeout_s = stall_timeout_s
        self.default_tools = llm.default_tools
        inner = llm.capabilities
        self.capabilities = RealtimeCapabilities(
            tools=inner.tools,
            parallel_tool_calls=inner.parallel_tool_calls,
            images=inner.images,
            truncation=True,
            drafts=inner.speculation,
            verbatim=True,
        )

    def session(self, options: SessionOptions, *, on_event: Sink, clock: Clock) -> RealtimeSession:
        """A conversation with the LLM."""
        return _ConversingSession(self, options, on_event=on_event, clock=clock)

    def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The LLM's own answer."""
        return self.llm.chat(request)

    async def prewarm(self, request: ChatRequest | None = None) -> None:
        """Prewarm the LLM."""
        await self.llm.prewarm(request)

    async def aclose(self) -> None:
        """Close the LLM."""
        await self.llm.aclose()


@dataclass(slots=True)
class _Response:
    """A live response."""

    id: str
    options: ResponseOptions
    task: asyncio.Task[None] | None = None
    message: Message | None = None
    text: list[str] = field(default_factory=list)
    call_ids: dict[str, str] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    held: list[Item] | None = None
    """Items of a draft, until it is released; then ``None``."""
    error: ReparteeError | None = None
    """Why a draft failed, until it is released."""

    @property
    def in_band(self) -> bool:
        return self.options.conversation == "auto"


class _ConversingSession(RealtimeSession):
    def __init__(self, model: Conversing, options: SessionOptions, *, on_event: Sink, clock: Clock) -> None:
        super().__init__(options, on_event=on_event, clock=clock)
        self._model = model
        self._llm = bound_to(model.llm, on_event)
        self._context = ChatContext()
        self._live: dict[str, _Response] = {}
        self._finished_drafts: dict[
            str, _Response
        ] = {}  # ended, and not released yet; bounded by _DRAFTS_MAX
        self._outputs: list[Item] = []  # bounded by the calls of the one live response
        self._tasks = TaskOwner(self._crashed)
        self._prewarming: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        self._begin_prewarm()

    def update(self, options: SessionOptions) -> None:
        before, self.options = self.options, options
        if (options.instructions, options.tools) != (before.instructions, before.tools):
            self._begin_prewarm()  # the first answer after it would read all of that, while somebody waits

    def _begin_prewarm(self) -> None:
        if self._closed:
            return
        if self._prewarming is not None:
            self._prewarming.cancel()
        self._prewarming = self._tasks.spawn(self._prewarm(), name="conversing.prewarm")

    async def _prewarm(self) -> None:
        try:
            await self._llm.prewarm(self._request(self._context, ResponseOptions()))
        except ReparteeError as error:
            self.emit(ErrorOccurred(error, "llm"))

    async def aclose(self) -> None:
        self._closed = True
        for response in tuple(self._live.values()):
            self._end(response, "cancelled", "session closed")
        await self._tasks.aclose()

    # -- the conversation --------------------------------------------------------------------------------------

    def create_item(self, item: Item, *, previous_item_id: str | None = None) -> None:
        # A function's result stands behind all of the response that asked for it, not in its middle.
        if isinstance(item, FunctionCallOutput) and any(
            r.in_band and r.held is None for r in self._live.values()
        ):
            self._outputs.append(item)
            return
        try:
            self._context.insert(item, previous_item_id=previous_item_id)
        except UsageError as error:
            self.emit(ErrorOccurred(error, "session"))
            return
        self.emit(ItemAdded(item, self._context.previous_id(item.id)))
        self.emit(ItemDone(item))

    def delete_item(self, item_id: str) -> None:
        try:
            self._context.delete(item_id)
        except UsageError as error:
            self.emit(ErrorOccurred(error, "session"))
            return
        self.emit(ItemDeleted(item_id))

    def truncate_item(self, item_id: str, *, audio_end_ms: int, text: str | None = None) -> None:
        item = self._context.get(item_id)
        if not isinstance(item, Message) or item.role != "assistant":
            self.emit(
                ErrorOccurred(UsageError(f"there is no assistant message {item_id!r} to truncate"), "session")
            )
            return
        words = item.text if text is None else text
        if audio_end_ms <= 0 or not words:
            self.delete_item(item_id)
            return
        self._context.replace(replace(item.with_text(words), interrupted=True, status="incomplete"))
        self.emit(ItemTruncated(item_id, audio_end_ms, words))

    # -- responses ---------------------------------------------------------------------------------------------

    def create_response(self, options: ResponseOptions) -> None:
        response = _Response(new_id("resp"), options, held=[] if options.draft is not None else None)
        busy = any(other.in_band and other.held is None for other in self._live.values())
        self._live[response.id] = response
        self.emit(ResponseCreated(response.id, options.request_id, options.metadata))
        if response.id not in self._live:
            return  # whoever was told has cancelled it already
        if self._closed:
            self._end(response, "failed", "session_closed", StateError("the session is closed"))
            return
        if busy and response.in_band and response.held is None:
            error = UsageError("another response is live; wait for its end")
            self._end(response, "failed", "conversation_already_has_active_response", error)
            return
        # The conversation as it is now: by the time the task runs, a draft's user message may be in it.
        try:
            request = None if options.say is not None else self._request(self._context_of(options), options)
        except UsageError as error:  # two items of one id
            self._end(response, "failed", "invalid_request", error)
            return
        response.task = self._tasks.spawn(self._answer(response, request), name=f"conversing.{response.id}")

    def release_response(self, request_id: str) -> None:
        for response in self._live.values():
            if response.options.request_id == request_id and response.held is not None:
                self._release(response)
                return
        finished = self._finished_drafts.pop(request_id, None)
        if finished is not None:
            self._release(finished)

    def _release(self, response: _Response) -> None:
        held, response.held = response.held or [], None
        for item in held:
            self._context.insert(item)
        if response.error is not None:
            self.emit(ErrorOccurred(response.error, "llm"))

    def cancel_response(self, response_id: str | None = None, *, reason: str = "client_cancelled") -> None:
        for response in tuple(self._live.values()):
            if response.id == response_id or (
                response_id is None and response.in_band and response.held is None
            ):
                self._end(response, "cancelled", reason)
        if response_id is not None:
            for request_id, response in tuple(self._finished_drafts.items()):
                if response.id == response_id:
                    del self._finished_drafts[request_id]

    def _request(self, context: ChatContext, options: ResponseOptions) -> ChatRequest:
        session = self.options
        return ChatRequest(
            context,
            session.instructions if options.instructions is None else options.instructions,
            session.tools if options.tools is None else options.tools,
            session.tool_choice if options.tool_choice is None else options.tool_choice,
            session.max_output_tokens if options.max_output_tokens is None else options.max_output_tokens,
            session.temperature,
            speculative=options.draft is not None,
            metadata=options.metadata,
        )

    def _context_of(self, options: ResponseOptions) -> ChatContext:
        context = self._context.copy() if options.input is None else ChatContext(options.input)
        if options.draft is not None:
            context.insert(options.draft)
        return context

    async def _answer(self, response: _Response, request: ChatRequest | None) -> None:
        try:
            if request is None:
                self._text(response, response.options.say or "")
            else:
                async with aclosing(self._llm.chat(request)) as chunks:
                    await self._read(response, chunks)
            self._end(response, "completed")
        except ReparteeError as error:
            self._end(response, "failed", "llm_failed", error)

    async def _read(self, response: _Response, chunks: AsyncGenerator[ChatChunk, None]) -> None:
        limit_s = self._model.first_token_timeout_s
        while True:
            try:
                async with asyncio.timeout(limit_s):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise ModelTimeoutError(
                    f"the LLM gave nothing for {limit_s:g} s; raise first_token_timeout_s or stall_timeout_s "
                    "of Conversing if that is usual for it",
                    stage="llm",
                ) from None
            limit_s = self._model.stall_timeout_s
            match chunk:
                case TextDelta(text=text):
                    self._text(response, text)
                case CallDelta() if response.id in self._live:
                    item_id = response.call_ids.setdefault(chunk.call_id, new_id("item"))
                    self.emit(
                        CallArgumentsDelta(response.id, item_id, chunk.call_id, chunk.name, chunk.arguments)
                    )
                case CallDone(call=call):
                    self._call(response, call)
                case Usage():
                    response.usage += chunk
                case _:
                    pass

    def _text(self, response: _Response, text: str) -> None:
        if not text or response.id not in self._live:
            return
        if response.message is None:
            response.message = Message("assistant", (), status="in_progress")
            self._reached(response)
            self._add(response, response.message)
        response.text.append(text)
        self.emit(TranscriptDelta(response.id, response.message.id, text))

    def _call(self, response: _Response, call: FunctionCall) -> None:
        if response.id not in self._live:
            return
        self._reached(response)
        call = replace(call, id=response.call_ids.get(call.call_id, call.id))
        self._add(response, call)
        if response.in_band:
            self.emit(ItemDone(call, response.id))
        self.emit(OutputItemDone(response.id, call))

    def _reached(self, response: _Response) -> None:
        self.emit(StageReached(response.id, "first_token", self.clock.now()))

    def _add(self, response: _Response, item: Item) -> None:
        """Put an item of a response into the conversation, or where it waits to get there."""
        if not response.in_band:
            return
        if response.held is not None:
            before = response.held[-1].id if response.held else _draft_id(response.options)
            response.held.append(item)
        else:
            before = self._context.last_id
            self._context.insert(item)
        self.emit(ItemAdded(item, before, response.id))

    def _finish_message(self, response: _Response, status: Literal["completed", "incomplete"]) -> None:
        if response.message is None:
            return
        text = "".join(response.text)
        message = replace(response.message, content=(TextContent(text),), status=status)
        response.message = None
        if response.in_band:
            if response.held is not None:
                response.held = [message if item.id == message.id else item for item in response.held]
            elif message.id in self._context:
                self._context.replace(message)
            self.emit(ItemDone(message, response.id))
        self.emit(OutputItemDone(response.id, message))

    def _end(
        self,
        response: _Response,
        status: ResponseStatus,
        reason: str = "",
        error: ReparteeError | None = None,
    ) -> None:
        """The one way out: whatever comes from its task later finds the response gone."""
        if self._live.pop(response.id, None) is None:
            return
        if status != "completed" and response.task is not None:
            response.task.cancel()
        self._finish_message(response, "completed" if status == "completed" else "incomplete")
        if response.held is not None and status != "cancelled":
            response.error = error
            while len(self._finished_drafts) >= _DRAFTS_MAX:  # the oldest was forgotten by its owner
                del self._finished_drafts[next(iter(self._finished_drafts))]
            self._finished_drafts[response.options.request_id] = response
        if error is not None and reason == "llm_failed" and response.held is None:
            self.emit(ErrorOccurred(error, "llm"))
        self.emit(ResponseDone(response.id, status, reason, error, response.usage))
        if response.in_band and response.held is None:
            outputs, self._outputs = self._outputs, []
            for item in outputs:
                self.create_item(item)

    def _crashed(self, error: Exception) -> None:
        failure = ModelError(f"the LLM plugin failed with {type(error).__name__}: {error}", stage="llm")
        for response in tuple(self._live.values()):
            if response.task is not None and response.task.done():
                self._end(response, "failed", "llm_failed", failure)


_DRAFTS_MAX = 8


def _draft_id(options: ResponseOptions) -> str | None:
    return options.draft.id if options.draft is not None else None
