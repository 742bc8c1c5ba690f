"""`LLM`: chat completions, streamed, of OpenAI and everyone who speaks its API."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Unpack

from repartee.chat import FunctionCall, new_id
from repartee.errors import ConfigurationError, ModelConnectionError, ModelError
from repartee.models import LLM as AbstractLLM
from repartee.models import CallDelta, CallDone, ChatChunk, ChatRequest, LLMCapabilities, TextDelta, Usage
from repartee.plugins.openai.client import Client
from repartee.plugins.openai.messages import chat_messages, tool_choice_param, tool_param
from repartee.plugins.openai.server import ClientArguments

__all__ = ["LLM"]

DEFAULT_MODEL = "gpt-6-luna"
_VERSION = re.compile(r"gpt-(\d+)(?:\.(\d+))?(?:-(?!chat|pro|codex)|$)")


class LLM(AbstractLLM):
    """A language model behind OpenAI's chat-completions API, shared by any number of sessions.

    Args:
        model: its name at the server. Default: ``gpt-6-luna``.
        temperature: 0 to 2. Default: the model's own. Reasoning models take none.
        max_output_tokens: of one answer. Default: no limit but the model's.
        parallel_tool_calls: whether one answer may call several functions. Default: as the server has it.
        reasoning_effort: how long a reasoning model may think first. Default: at OpenAI the least that the model has,
            since nobody on the phone waits for thoughts (and GPT-6 calls functions here with ``none`` alone).
        strict_tools: hold the model to the functions' schemas where they allow it. Default: at OpenAI and Azure.
        extra_body: further fields of each request, for what a server has of its own.
        server: ``api_key``, ``base_url``, ``timeout_s`` and the rest of `ClientArguments`: which server, and how
            long it is waited for.

    Raises:
        ConfigurationError: an argument is out of range, contradicts another, or is missing.
        MissingDependencyError: the package ``openai`` is not installed.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        temperature: float | None = None,
        max_output_tokens: int | None = None,
        parallel_tool_calls: bool | None = None,
        reasoning_effort: str | None = None,
        strict_tools: bool | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **server: Unpack[ClientArguments],
    ) -> None:
        if temperature is not None and not 0 <= temperature <= 2:
            raise ConfigurationError(f"temperature is {temperature!r}; it must be from 0 to 2")
        if max_output_tokens is not None and max_output_tokens < 1:
            raise ConfigurationError(f"max_output_tokens is {max_output_tokens!r}; it must be 1 or more")
        self._client = Client("llm", model, **server)
        is_openai = self._client.server.is_openai
        self.model = self._client.model
        self._temperature = temperature
        self._max_output_tokens = max_output_tokens
        self._parallel_tool_calls = parallel_tool_calls
        self._strict = is_openai if strict_tools is None else strict_tools
        if reasoning_effort is None and is_openai:
            reasoning_effort = _least_effort(self.model)
        self._extra: dict[str, Any] = {"reasoning_effort": reasoning_effort} if reasoning_effort else {}
        self._extra_body = dict(extra_body or {})
        self.capabilities = LLMCapabilities(
            tools=True, parallel_tool_calls=parallel_tool_calls is not False, images=True, speculation=True
        )

    def __repr__(self) -> str:
        return f"openai.LLM({self.model!r} at {self._client.server.host})"

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Answer a conversation, in pieces. Closing the generator closes the stream, and the server stops.

        Raises:
            ModelError: the server failed or refused; `ModelTimeoutError` and `ModelConnectionError` for those.
            StateError: the model is closed.
        """
        results = self._client.results(lambda: self._answer(request))
        try:
            async for chunk in results:
                yield chunk
        finally:
            await results.aclose()

    async def prewarm(self, request: ChatRequest | None = None) -> None:
        """Open a connection, which is kept.

        Raises:
            ModelError: the server can't be reached, or refuses the key.
        """
        await self._client.prewarm()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _answer(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        stream = await self._client.api.chat.completions.create(**self._body(request))
        try:
            answer = _Answer(may_call=bool(request.tools) and request.tool_choice != "none")
            async for event in stream:
                for chunk in answer.read(event):
                    yield chunk
            for chunk in answer.end(self._client.server.host):
                yield chunk
        finally:
            await stream.close()

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        is_openai = self._client.server.is_openai
        body: dict[str, Any] = {
            "model": self.model,
            "messages": chat_messages(request.context, request.instructions),
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._extra,
        }
        limit = self._max_output_tokens if request.max_output_tokens is None else request.max_output_tokens
        if limit is not None:
            # OpenAI's newer models refuse the old name; many other servers don't know the new one.
            body["max_completion_tokens" if is_openai else "max_tokens"] = limit
        temperature = self._temperature if request.temperature is None else request.temperature
        if temperature is not None:
            body["temperature"] = temperature
        # OpenAI keeps the prompt's cache where the tools stay as they were; elsewhere "none" is not always heeded.
        if request.tools and (is_openai or request.tool_choice != "none"):
            body["tools"] = [tool_param(tool, strict=self._strict) for tool in request.tools]
            body["tool_choice"] = tool_choice_param(request.tool_choice)
            if self._parallel_tool_calls is not None:
                body["parallel_tool_calls"] = self._parallel_tool_calls
        if self._extra_body:
            body["extra_body"] = self._extra_body
        return body


def _least_effort(model: str) -> str | None:
    """The least thinking that one of OpenAI's models can be asked for; ``None`` for those that don't think."""
    found = _VERSION.match(model)
    if found is None:
        return None
    version = (int(found[1]), int(found[2] or 0))
    if version < (5, 0):
        return None
    return "minimal" if version == (5, 0) else "none"


@dataclass(slots=True)
class _Call:
    """A function call as it is written."""

    call_id: str
    name: str = ""
    arguments: str = ""


class _Answer:
    """Reads the events of one streamed answer.

    A call is done when the next begins or the answer ends; servers number calls, give each an id, or send each whole.
    """

    def __init__(self, *, may_call: bool) -> None:
        self._may_call = may_call
        self._calls: dict[int, _Call] = {}
        self._done: set[int] = set()
        self._finish: str | None = None
        self._usage: Usage | None = None
        self._thoughts = _Thoughts()

    def read(self, event: Any) -> list[ChatChunk]:
        """What an event gives."""
        chunks: list[ChatChunk] = []
        if event.usage is not None:
            self._usage = _usage_of(event.usage)
        for choice in (event.choices or ())[:1]:
            delta = choice.delta
            if delta is not None:
                text = self._thoughts.leave_out(delta.content or "") + (delta.refusal or "")
                if text:
                    chunks.append(TextDelta(text))
                for piece in delta.tool_calls or () if self._may_call else ():
                    chunks += self._read_call(piece)
            self._finish = choice.finish_reason or self._finish
        return chunks

    def _read_call(self, piece: Any) -> list[ChatChunk]:
        index = piece.index if isinstance(piece.index, int) else len(self._calls)
        known = self._calls.get(index)
        if known is not None and piece.id and piece.id != known.call_id:
            index, known = max(self._calls) + 1, None  # several calls with one number
            index = next((at for at, call in self._calls.items() if call.call_id == piece.id), index)
            known = self._calls.get(index)
        chunks: list[ChatChunk] = []
        if known is None:
            for at in self._calls:
                chunks += self._finished(at)
            known = self._calls[index] = _Call(piece.id or new_id("call"))
        if piece.function is not None:
            known.name = known.name or piece.function.name or ""
            arguments = piece.function.arguments or ""
            if arguments and index not in self._done:
                known.arguments += arguments
                chunks.append(CallDelta(known.call_id, known.name, arguments))
        return chunks

    def _finished(self, index: int) -> list[ChatChunk]:
        if index in self._done:
            return []
        self._done.add(index)
        call = self._calls[index]
        return [CallDone(FunctionCall(call.name, call.arguments or "{}", call.call_id))]

    def end(self, host: str) -> list[ChatChunk]:
        """What is left when the stream has ended.

        Raises:
            ModelError: it ended before the answer did.
        """
        if self._finish is None:
            raise ModelConnectionError(
                f"{host} ended the answer in its middle",
                stage="llm",
                provider="openai",
                code="connection_error",
            )
        if self._finish == "content_filter":
            raise ModelError(
                f"{host} stopped the answer by its content filter",
                stage="llm",
                provider="openai",
                code="content_filter",
            )
        open_calls = [index for index in self._calls if index not in self._done]
        if self._finish == "length" and open_calls:
            raise ModelError(
                "the answer reached its limit of tokens in the middle of a function call: raise max_output_tokens",
                stage="llm",
                provider="openai",
                code="max_output_tokens",
            )
        chunks: list[ChatChunk] = []
        rest = self._thoughts.rest()
        if rest:
            chunks.append(TextDelta(rest))
        for index in open_calls:
            chunks += self._finished(index)
        if self._usage is not None:
            chunks.append(self._usage)
        return chunks


class _Thoughts:
    """Leaves out what a reasoning model thinks aloud: ``<think>…</think>`` at the front of the answer.

    Servers that don't part it from the answer themselves send it as text, and it would be spoken.
    """

    _OPEN, _CLOSE = "<think>", "</think>"

    def __init__(self) -> None:
        self._state = "front"
        self._held = ""

    def leave_out(self, text: str) -> str:
        """What of the next text is to be said; some is held back until it is clear what it is."""
        if self._state == "answer" or not text:
            return text
        self._held += text
        if self._state == "front":
            front = self._held.lstrip()
            if front and not self._OPEN.startswith(front[: len(self._OPEN)]):
                return self._answer()
            if not front.startswith(self._OPEN):
                return ""
            self._state, self._held = "thinking", front[len(self._OPEN) :]
        if self._CLOSE not in self._held:
            self._held = self._held[-len(self._CLOSE) :]
            return ""
        self._held = self._held.partition(self._CLOSE)[2].lstrip()
        # White space behind the thoughts may come in pieces of its own.
        return self._answer() if self._held else self._begin_again()

    def _begin_again(self) -> str:
        self._state = "front"
        return ""

    def _answer(self) -> str:
        self._state = "answer"
        held, self._held = self._held, ""
        return held

    def rest(self) -> str:
        """What was held back and is part of the answer after all."""
        return self._answer() if self._state == "front" else ""


def _usage_of(usage: Any) -> Usage:
    told = usage.prompt_tokens_details
    given = usage.completion_tokens_details
    return Usage(
        usage.prompt_tokens or 0,
        usage.completion_tokens or 0,
        (told.cached_tokens if told is not None else 0) or 0,
        (told.audio_tokens if told is not None else 0) or 0,
        (given.audio_tokens if given is not None else 0) or 0,
    )
