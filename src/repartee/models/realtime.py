"""`RealtimeModel` and `RealtimeSession`: anything that can hold a conversation.

A remote speech-to-speech model, an LLM with a memory, and each wrapper of `repartee.compose` are all of this one
kind, so whoever holds one (`AgentSession`, the server) need not ask which. A session's verbs are the protocol's client
events and its events the server's (`repartee.models.events`).

**Verbs are plain calls.** They take effect in order, never block and never fail for a reason that lies outside the
process: what the far end refuses arrives as an `ErrorOccurred`. **Events are plain calls too**, to the one consumer
given at construction, on the event loop. A wrapper passes verbs down and events up, so there is no queue between
layers to overflow or to race.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from repartee.chat import FunctionCall, FunctionTool, Item, Message, ToolChoice, new_id
from repartee.clock import Clock
from repartee.errors import ModelError
from repartee.models.events import (
    CallArgumentsDelta,
    ErrorOccurred,
    OutputItemDone,
    RealtimeEvent,
    ResponseDone,
    TranscriptDelta,
)
from repartee.models.llm import LLM, CallDelta, CallDone, ChatChunk, ChatRequest, LLMCapabilities, TextDelta

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = [
    "Modality",
    "PlaybackFinished",
    "PlaybackReport",
    "PlaybackStarted",
    "RealtimeCapabilities",
    "RealtimeModel",
    "RealtimeSession",
    "ResponseOptions",
    "SessionOptions",
    "Sink",
]

Sink = Callable[[RealtimeEvent], None]

WAITING_CHARS_MAX = 100_000
"""Of a one-off answer (`RealtimeModel.chat`) that nobody reads; about six times the longest that there is."""
Modality = Literal["audio", "text"]


@dataclass(frozen=True, slots=True)
class RealtimeCapabilities(LLMCapabilities):
    """What a model does by itself. Wrappers add to these."""

    audio_input: bool = False
    """Takes `RealtimeSession.append_audio`."""
    audio_output: bool = False
    """Gives `AudioDelta`s."""
    transcription: bool = False
    """Gives final transcripts of the user's audio, perhaps only once the turn is committed."""
    settles: bool = False
    """Takes `RealtimeSession.settle_audio`: gives the words of a turn while it is open (`InterimTranscript`)."""
    turn_detection: bool = False
    """Decides by itself when a turn is over, and answers it."""
    truncation: bool = False
    """Takes `RealtimeSession.truncate_item`."""
    floor: bool = False
    """Decides who has the floor: gives `OutputPause`, `OutputClear` and the like, and wants playback reports."""
    drafts: bool = False
    """Takes `ResponseOptions.draft` and `RealtimeSession.release_response`."""
    verbatim: bool = False
    """Takes `ResponseOptions.say`."""
    voices: tuple[str, ...] | None = None
    """Names for `SessionOptions.voice`, the default first; it may know more. ``()``: it has one voice. ``None``: not
    known."""
    input_sample_rate: int = 24_000
    output_sample_rate: int = 24_000


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """A session's standing configuration."""

    instructions: str = ""
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: ToolChoice = "auto"
    modalities: tuple[Modality, ...] = ("audio",)
    """``("text",)``: no voice, even where the model has one."""
    voice: str | None = None
    """``None``: the model's default, which also speaks where it has no voice of that name (`ErrorOccurred`)."""
    max_output_tokens: int | None = None
    """``None``: the model's own limit."""
    temperature: float | None = None
    transcription: dict[str, Any] | None = None
    """How the caller's audio is to be written down (the protocol's ``transcription``: model, language, prompt …), for
    a model that is behind that protocol itself. ``None``: as the model has it."""


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """One response. ``None`` means as the session has it."""

    request_id: str = field(default_factory=lambda: new_id("req"))
    """Comes back in `ResponseCreated`, so a response can be matched with who asked for it."""
    say: str | None = None
    """Say exactly this instead of generating (see `RealtimeCapabilities.verbatim`)."""
    instructions: str | None = None
    input: tuple[Item, ...] | None = None
    """Answer these items instead of the conversation."""
    conversation: Literal["auto", "none"] = "auto"
    """``"none"``: out of band, nothing of it enters the conversation."""
    tools: tuple[FunctionTool, ...] | None = None
    tool_choice: ToolChoice | None = None
    modalities: tuple[Modality, ...] | None = None
    voice: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    interruptible: bool = True
    """Whether the user may interrupt it by speaking."""
    follow_up: bool = False
    """Whether it carries on after functions have run."""
    draft: Message | None = None
    """Prepare the answer to this user message, which is not in the conversation yet. Nothing of the response
    enters the conversation until `RealtimeSession.release_response`; cancelling it leaves no trace."""


@dataclass(frozen=True, slots=True)
class PlaybackStarted:
    """The first sample of a response has been heard."""

    response_id: str


@dataclass(frozen=True, slots=True)
class PlaybackFinished:
    """Nothing more of a response will be heard: it was played to its end, or cleared."""

    response_id: str
    interrupted: bool = False


PlaybackReport = PlaybackStarted | PlaybackFinished


class RealtimeSession(ABC):
    """One conversation with a `RealtimeModel`.

    Verbs that a model does not have (see its capabilities) do nothing, unless their text says otherwise.
    """

    def __init__(self, options: SessionOptions, *, on_event: Sink, clock: Clock) -> None:
        self.options = options
        self.emit = on_event
        self.clock = clock

    async def start(self) -> None:
        """Connect and get ready.

        Raises:
            ModelError: it can't be had; the message says why and what would help.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """End the conversation and release everything it holds; a live response ends as cancelled. Idempotent."""

    def update(self, options: SessionOptions) -> None:
        """Change the standing configuration from now on."""
        self.options = options

    # -- the user's audio --------------------------------------------------------------------------------------

    def append_audio(self, frame: AudioFrame) -> None:
        """The next audio of the user: mono, at `RealtimeCapabilities.input_sample_rate`."""

    def begin_input(self, item_id: str) -> None:
        """The audio from here on belongs to a user item of this id (where the id can be chosen)."""

    def commit_audio(self) -> None:
        """Close the user's turn: what was appended becomes a user item."""

    def clear_audio(self, *, reason: str = "client_cleared") -> None:
        """Drop what was appended and not committed, for that reason (it comes back in `InputCleared`)."""

    def settle_audio(self) -> None:
        """The user has paused: get the words so far as final as they can be, without closing the turn."""

    # -- the conversation --------------------------------------------------------------------------------------

    @abstractmethod
    def create_item(self, item: Item, *, previous_item_id: str | None = None) -> None:
        """Put an item into the conversation (behind another, ``"root"`` for the front, by default at the end)."""

    @abstractmethod
    def delete_item(self, item_id: str) -> None:
        """Take an item out."""

    def truncate_item(self, item_id: str, *, audio_end_ms: int, text: str | None = None) -> None:
        """Cut an assistant item to what was heard.

        Args:
            item_id: of the item.
            audio_end_ms: how much of its audio was heard. 0: nothing, then the item goes.
            text: the words that were heard, where the caller knows them better than the model can.
        """

    # -- responses ---------------------------------------------------------------------------------------------

    @abstractmethod
    def create_response(self, options: ResponseOptions) -> None:
        """Ask for a response.

        A `ResponseCreated` with its ``request_id`` and exactly one `ResponseDone` follow, even where it fails or is
        refused at once.
        """

    def tools_finished(self) -> None:
        """The functions that a response asked for have run, and no further response will be asked for."""

    def release_response(self, request_id: str) -> None:
        """Let a response that was prepared with ``draft`` into the conversation; its user message is there now."""

    @abstractmethod
    def cancel_response(self, response_id: str | None = None, *, reason: str = "client_cancelled") -> None:
        """End a response (by default the live one): its `ResponseDone` follows with status ``cancelled``.

        A ``request_id`` whose response has not begun is taken back. Nothing happens where none is live.
        """

    def report_playback(self, report: PlaybackReport) -> None:
        """Say what has been heard; for those who decide by it."""


class RealtimeModel(LLM):
    """Anything that can hold a conversation; shared by any number of sessions.

    It is an `LLM` too: `LLM.generate_reply` and `LLM.chat` run a text conversation of their own.
    """

    capabilities: RealtimeCapabilities = RealtimeCapabilities()

    @abstractmethod
    def session(self, options: SessionOptions, *, on_event: Sink, clock: Clock) -> RealtimeSession:
        """A new conversation, not started yet.

        Args:
            options: its standing configuration.
            on_event: its one consumer, called on the event loop, in order.
            clock: session time.
        """

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Answer a conversation in text, in a session of its own that lasts as long as the answer.

        Raises:
            ModelError: it failed, or too much of it waits to be read.
        """
        answer = _Answer()
        session = self.session(
            SessionOptions(
                instructions=request.instructions,
                tools=tuple(request.tools),
                tool_choice=request.tool_choice,
                modalities=("text",),
                max_output_tokens=request.max_output_tokens,
                temperature=request.temperature,
            ),
            on_event=answer.take,
            clock=Clock(asyncio.get_running_loop().time),
        )
        try:
            await session.start()
            for item in request.context:
                session.create_item(item)
            session.create_response(ResponseOptions(metadata=dict(request.metadata)))
            while not isinstance(chunk := await answer.next(), ResponseDone):
                yield chunk
            yield chunk.usage
            if chunk.error is not None:
                raise chunk.error
        finally:
            await session.aclose()


class _Answer:
    """What of one answer waits to be read.

    The session can't wait for a slow reader, so what comes meanwhile is joined to what waits: words to words, arguments
    to arguments. Beyond `WAITING_CHARS_MAX` characters, far more than any model answers, the answer fails.
    """

    def __init__(self) -> None:
        self._waiting: deque[ChatChunk] = deque()  # bounded by WAITING_CHARS_MAX
        self._chars = 0
        self._end: ResponseDone | None = None
        self._changed = asyncio.Event()

    async def next(self) -> ChatChunk | ResponseDone:
        """The next chunk, or how the answer ended."""
        while not self._waiting and self._end is None:
            self._changed.clear()
            await self._changed.wait()
        if not self._waiting:
            assert self._end is not None
            return self._end
        chunk = self._waiting.popleft()
        self._chars -= _weight(chunk)
        return chunk

    def take(self, event: RealtimeEvent) -> None:
        """An event of the session that answers."""
        match event:
            case TranscriptDelta(delta=delta):
                self._put(TextDelta(delta))
            case CallArgumentsDelta(call_id=call_id, name=name, delta=delta):
                self._put(CallDelta(call_id, name, delta))
            case OutputItemDone(item=FunctionCall() as call):
                self._put(CallDone(call))
            case ResponseDone():
                self._finish(event)
            case ErrorOccurred(error=error, fatal=True):
                self._finish(ResponseDone("", "failed", "session_failed", error))
            case _:
                pass

    def _put(self, chunk: ChatChunk) -> None:
        if self._end is not None:
            return
        last = self._waiting[-1] if self._waiting else None
        joined = _joined(last, chunk) if last is not None else None
        if last is not None and joined is not None:
            self._chars -= _weight(last)
            self._waiting[-1] = chunk = joined
        else:
            self._waiting.append(chunk)
        self._chars += _weight(chunk)
        if self._chars > WAITING_CHARS_MAX:
            error = ModelError(
                f"nobody read the answer: more than {WAITING_CHARS_MAX} characters of it wait; read it as it comes, or "
                "close the stream",
                stage="realtime",
            )
            self._finish(ResponseDone("", "failed", "not_read", error))
        self._changed.set()

    def _finish(self, end: ResponseDone) -> None:
        self._end = self._end or end
        self._changed.set()


def _joined(first: ChatChunk, second: ChatChunk) -> ChatChunk | None:
    """Both as one; ``None``: they don't belong together."""
    match first, second:
        case TextDelta(text=one), TextDelta(text=two):
            return TextDelta(one + two)
        case CallDelta(call_id=call_id, name=name, arguments=one), CallDelta(call_id=other, arguments=two):
            return CallDelta(call_id, name, one + two) if call_id == other else None
        case _:
            return None


def _weight(chunk: ChatChunk) -> int:
    match chunk:
        case TextDelta(text=text):
            return len(text) or 1
        case CallDelta(arguments=arguments):
            return len(arguments) or 1
        case _:
            return 1
