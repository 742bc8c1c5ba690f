"""Text models that answer a conversation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from repartee.chat import ChatContext, FunctionCall, FunctionTool, ToolChoice

__all__ = [
    "LLM",
    "CallDelta",
    "CallDone",
    "ChatChunk",
    "ChatRequest",
    "LLMCapabilities",
    "TextDelta",
    "Usage",
]


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost, in tokens. ``cached`` ones are part of ``input_tokens``."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.input_audio_tokens + other.input_audio_tokens,
            self.output_audio_tokens + other.output_audio_tokens,
        )


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next words."""

    text: str


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A piece of a function call's arguments, as the model writes them."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CallDone:
    """A complete function call."""

    call: FunctionCall


ChatChunk = TextDelta | CallDelta | CallDone | Usage


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What to answer, and how."""

    context: ChatContext
    instructions: str = ""
    """Standing instructions, before the conversation."""
    tools: Sequence[FunctionTool] = ()
    tool_choice: ToolChoice = "auto"
    max_output_tokens: int | None = None
    """``None``: the model's own limit."""
    temperature: float | None = None
    """``None``: the model's own default."""
    speculative: bool = False
    """Whether the answer may be thrown away (a model may rank it behind others)."""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LLMCapabilities:
    """What a model does."""

    tools: bool = True
    parallel_tool_calls: bool = True
    images: bool = False
    speculation: bool = True
    """Whether starting an answer that may be thrown away is worth its price."""


class LLM(ABC):
    """A text model, shared by any number of sessions."""

    capabilities: LLMCapabilities = LLMCapabilities()

    default_tools: tuple[FunctionTool, ...] = ()
    """Functions that it is lost without; a session offers them unless it is given tools of its own."""

    @abstractmethod
    def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Answer a conversation, in pieces. Closing the generator cancels the answer at the provider.

        Raises:
            ModelError: the model failed; what was yielded before stands.
        """

    async def generate_reply(
        self, prompt: str, *, chat_context: ChatContext | None = None
    ) -> AsyncIterator[str]:
        """Stream the text of a one-off answer to ``prompt``.

        Args:
            prompt: what the user says.
            chat_context: the conversation before it, left unchanged. Default: none.

        Raises:
            ModelError: the model failed.
        """
        context = chat_context.copy() if chat_context is not None else ChatContext()
        context.add_message("user", prompt)
        async with aclosing(self.chat(ChatRequest(context, tool_choice="none"))) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, TextDelta):
                    yield chunk.text

    async def prewarm(self, request: ChatRequest | None = None) -> None:
        """Get ready: load or connect, and process the part of a request that won't change. Default: nothing."""

    async def aclose(self) -> None:
        """Release shared resources. Default: nothing."""
