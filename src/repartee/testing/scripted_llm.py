"""An `LLM` that answers what was scripted."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from repartee.chat import FunctionCall, Message
from repartee.models import (
    LLM,
    CallDelta,
    CallDone,
    ChatChunk,
    ChatRequest,
    LLMCapabilities,
    TextDelta,
    Usage,
)
from repartee.testing.faults import Fault, FaultPlan
from repartee.testing.virtual_time import VirtualTimeError, elapse

__all__ = ["Reply", "ScriptError", "ScriptedLLM", "call_function"]


class ScriptError(VirtualTimeError):
    """A script and what was asked of it don't fit: it has no reply left, or steps that nobody asked for."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    text: str = ""
    calls: tuple[FunctionCall, ...] = ()
    """Functions that it asks for, behind the text."""
    ttft_s: float | None = None
    """Delay of the first token. ``None``: as the model has it."""
    inter_token_s: float | None = None
    """Delay of every other token. ``None``: as the model has it."""
    usage: Usage = field(default=Usage(10, 5))


Replies = (
    Sequence[str | Reply | FunctionCall]
    | Mapping[str, "str | Reply | FunctionCall"]
    | Callable[[ChatRequest], "str | Reply | FunctionCall"]
)


def call_function(name: str, call_id: str | None = None, **arguments: Any) -> FunctionCall:
    """A `FunctionCall` with these arguments as JSON."""
    text = json.dumps(arguments)
    return FunctionCall(name, text) if call_id is None else FunctionCall(name, text, call_id)


@dataclass(slots=True)
class ChatRecord:
    """One request to a `ScriptedLLM`, and what became of it."""

    request: ChatRequest
    """With a copy of its context, as it was then."""
    started_s: float
    """Loop time."""
    outcome: Literal["running", "completed", "cancelled", "failed"] = "running"
    ended_s: float | None = None
    text: str = ""
    """What was given of the answer."""


class ScriptedLLM(LLM):
    """Answers token by token, in virtual time.

    Args:
        replies: the answers in order; or by the user's last words (``"*"`` for any others); or a function of the
            request. A reply is text, a `Reply`, or a `FunctionCall` (see `call_function`). In a list, the reply to a
            speculative request that was cancelled is given again.
        ttft_s: delay of the first token. Default: 0.1.
        inter_token_s: delay of every other token. Default: 0.02.
        capabilities: default: those of `LLMCapabilities`.
        faults: a call is a request (from 1), a result a token.

    Raises:
        ScriptError: from `chat`, when there is no reply to a request. It is kept in `script_errors` too, since who
            asked may take it for a failing model.
    """

    def __init__(
        self,
        replies: Replies = (),
        *,
        ttft_s: float = 0.1,
        inter_token_s: float = 0.02,
        capabilities: LLMCapabilities | None = None,
        faults: Sequence[Fault] = (),
    ) -> None:
        self.capabilities: LLMCapabilities = capabilities or LLMCapabilities()
        self.ttft_s = ttft_s
        self.inter_token_s = inter_token_s
        self.plan = FaultPlan(faults, "llm")
        self.records: list[ChatRecord] = []
        """Every request in order, with its outcome."""
        self.prewarmed: list[ChatRequest | None] = []
        """What `prewarm` was called with."""
        self.script_errors: list[ScriptError] = []
        self._rule: Mapping[str, Any] | Callable[[ChatRequest], Any] | None = None
        self._queue: deque[str | Reply | FunctionCall] = deque()  # bounded by the script
        if callable(replies) or isinstance(replies, Mapping):
            self._rule = replies
        else:
            self._queue.extend(replies)

    @property
    def requests(self) -> list[ChatRequest]:
        """Every request, in order."""
        return [record.request for record in self.records]

    @property
    def unused(self) -> int:
        """How many replies of a list are left."""
        return len(self._queue)

    def count(self, outcome: Literal["running", "completed", "cancelled", "failed"]) -> int:
        """How many requests had this outcome."""
        return sum(record.outcome == outcome for record in self.records)

    @property
    def cancelled(self) -> int:
        """How many requests were given up by who asked."""
        return self.count("cancelled")

    async def prewarm(self, request: ChatRequest | None = None) -> None:
        self.prewarmed.append(request)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        loop = asyncio.get_running_loop()
        record = ChatRecord(replace(request, context=request.context.copy()), loop.time())
        self.records.append(record)
        call = len(self.records)
        scripted = self._choose(record.request)
        reply = as_reply(scripted)
        try:
            given = 0
            for chunk in _chunks(reply):
                await self.plan.meet(call, given)
                await self._wait(reply, first=given == 0)
                if isinstance(chunk, TextDelta):
                    record.text += chunk.text
                given += 1
                yield chunk
            await self.plan.meet(call, given)
            yield reply.usage
            record.outcome = "completed"
        except (GeneratorExit, asyncio.CancelledError):
            record.outcome = "cancelled"
            if self._rule is None and request.speculative:
                self._queue.appendleft(scripted)
            raise
        except Exception:
            record.outcome = "failed"
            raise
        finally:
            record.ended_s = loop.time()

    async def _wait(self, reply: Reply, *, first: bool) -> None:
        own, default = (reply.ttft_s, self.ttft_s) if first else (reply.inter_token_s, self.inter_token_s)
        delay = default if own is None else own
        if delay:
            await elapse(delay)

    def _choose(self, request: ChatRequest) -> str | Reply | FunctionCall:
        asked = _last_user_text(request)
        if self._rule is None:
            if self._queue:
                return self._queue.popleft()
        elif callable(self._rule):
            chosen: str | Reply | FunctionCall = self._rule(request)
            return chosen
        elif asked in self._rule or "*" in self._rule:
            found: str | Reply | FunctionCall = self._rule.get(asked, self._rule.get("*"))
            return found
        error = ScriptError(f"ScriptedLLM has no reply to request {len(self.records)}: {asked!r}")
        self.script_errors.append(error)
        self.records[-1].outcome = "failed"
        raise error


def tokens_of(text: str) -> list[str]:
    """Words with the spaces before them: joined, they are the text."""
    tokens = re.findall(r"\s*\S+", text)
    rest = text[sum(map(len, tokens)) :]
    return [*tokens, rest] if rest else tokens


def as_reply(scripted: str | Reply | FunctionCall) -> Reply:
    """What a script says in short, in full."""
    if isinstance(scripted, FunctionCall):
        return Reply(calls=(scripted,))
    return Reply(scripted) if isinstance(scripted, str) else scripted


def _chunks(reply: Reply) -> list[ChatChunk]:
    chunks: list[ChatChunk] = [TextDelta(token) for token in tokens_of(reply.text)]
    for call in reply.calls:
        half = len(call.arguments) // 2
        chunks.append(CallDelta(call.call_id, call.name, call.arguments[:half]))
        chunks.append(CallDelta(call.call_id, call.name, call.arguments[half:]))
        chunks.append(CallDone(call))
    return chunks


def _last_user_text(request: ChatRequest) -> str:
    for item in reversed(request.context.items):
        if isinstance(item, Message) and item.role == "user":
            return item.text
    return ""
