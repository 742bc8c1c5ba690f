"""A language model on this machine: SmolLM2-135M by default, or any GGUF file that can converse.

**Prompts grow at their end only** (instructions, then the conversation), so a turn costs what is new in it: the rest is
in the slot already. When a conversation outgrows its room the oldest messages go, half the room at a time, because each
such step costs one full reading.

**The default model** is 135 million parameters: it proves the pipe and keeps a friend company, no more. It answers
in a fixed form of prompt (ChatML, with the examples of `persona`), greedily, one sentence, which is held back until
it is whole and judged; what it doubts is not said. Which function to call is not its decision (it is right 5 times in
12) but the `router`'s, which also answers small talk, says what a function gave back, and refuses what can't be done.

**Any other GGUF** is asked through its own chat template, with its own sampling defaults. Functions are chosen by the
router for it too.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from repartee.chat import ChatContext, FunctionCallOutput, Message
from repartee.errors import ConfigurationError, ModelError
from repartee.models.llm import LLM as AbstractLLM
from repartee.models.llm import ChatChunk, ChatRequest, LLMCapabilities, TextDelta, Usage
from repartee.plugins.local.engine import (
    Engine,
    EngineSettings,
    Finished,
    Generation,
    Piece,
    Priority,
    Started,
    acquire,
    hold_for,
)
from repartee.plugins.local.functions import BUILTIN_TOOLS
from repartee.plugins.local.persona import (
    DONT_KNOW,
    FEW_SHOT,
    MAX_TOKENS,
    SAMPLING,
    SYSTEM_PROMPT,
    as_question,
    verdict,
)
from repartee.plugins.local.router import Router, route
from repartee.plugins.local.stopping import STOP_STRINGS, ReplyLimits, ReplyRules
from repartee.plugins.local.weights import DEFAULT_MODEL, check_gguf, find_gguf

__all__ = ["LLM"]

_CHARS_PER_TOKEN = 3.2  # English is near 4.2; other languages and digits need more
_MESSAGE_TOKENS = 6  # the markers around a message
_MARKER = re.compile(r"<\|[^|<>]{0,40}\|>|<\|")


@dataclass(frozen=True, slots=True)
class _Turn:
    role: str
    text: str

    @property
    def tokens(self) -> int:
        return estimate_tokens(self.text) + _MESSAGE_TOKENS


class LLM(AbstractLLM):
    """A local language model, shared by any number of sessions.

    Args:
        model: a GGUF file, by path or by its name in the model directory. Default: SmolLM2-135M-Instruct.
        n_ctx: tokens that one conversation may hold, instructions included. Default: 1536.
        threads: threads that compute. Default: as many as the process has cores, at most 4.
        conversations: conversations whose prompts are kept ready at a time. More still work, each of
            their turns reading its whole prompt. Default: 3.
        temperature: 0 always takes the likeliest word. Default: 0 for the default model, 0.7 for others.
        max_output_tokens: of one reply. Default: 40 for the default model, 256 for others.
        limits: when a reply is long enough. Default: one sentence for the default model, no rule for others.
        deadline_s: for one reply, waiting included. Default: 20 seconds.

    Raises:
        ModelFileError: the file is missing, truncated, or not a GGUF of a chat model.
        ConfigurationError: a number is out of range.
    """

    capabilities = LLMCapabilities(tools=True, parallel_tool_calls=False, images=False, speculation=True)
    default_tools = BUILTIN_TOOLS

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        n_ctx: int = 1536,
        threads: int | None = None,
        conversations: int = 3,
        temperature: float | None = None,
        max_output_tokens: int | None = None,
        limits: ReplyLimits | None = None,
        deadline_s: float = 20.0,
    ) -> None:
        self._info = check_gguf(find_gguf(model))
        self._is_default = model is None or model == DEFAULT_MODEL
        if not self._info.is_chat_model:
            raise ConfigurationError(
                f"{self._info.path.name} has no chat template: it is a base model, which was not taught to "
                "converse; get its instruct or chat form"
            )
        self._n_ctx = n_ctx
        self._temperature = temperature if temperature is not None else (0.0 if self._is_default else 0.7)
        self._max_tokens = max_output_tokens or (MAX_TOKENS if self._is_default else 256)
        self._limits = limits or (ReplyLimits(max_sentences=1) if self._is_default else None)
        self._router = Router(functions_only=not self._is_default)
        self._deadline_s = deadline_s
        if n_ctx < self._max_tokens + 128:
            raise ConfigurationError(
                f"n_ctx={n_ctx} leaves no room for a conversation beside {self._max_tokens} tokens of reply: "
                f"use at least {self._max_tokens + 128}"
            )
        self._engine: Engine = acquire(
            EngineSettings(
                self._info.path, context_tokens=n_ctx, conversations=conversations, threads=threads
            )
        )
        self._hold = hold_for(self, self._engine)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Answer a conversation, in pieces. Closing the generator frees the model between two tokens.

        Raises:
            ModelError: the model failed, or the conversation does not fit even when cut.
            ModelTimeoutError: the deadline passed.
            ConfigurationError: the instructions alone do not fit into ``n_ctx``.
        """
        async with aclosing(route(request, router=self._router) or self._answer(request)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def prewarm(self, request: ChatRequest | None = None) -> None:
        """Load the model, and read a request's instructions and conversation so far into its slot.

        Cut short when a turn needs the slot; that is no error.
        """
        await self._engine.load()
        if request is None:
            return
        generation = self._generation(request, Priority.PREWARM, max_tokens=1, open_turn=True)
        try:
            async with aclosing(self._engine.generate(generation)) as pieces:
                async for _ in pieces:
                    pass
        except ModelError as error:
            if error.code not in ("stopped", "queue_full"):
                raise

    async def aclose(self) -> None:
        """Let go of the model; the last holder frees its memory."""
        if self._hold.detach() is not None:
            await self._engine.release()

    # -- one answer --------------------------------------------------------------------------------------------

    async def _answer(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        priority = Priority.SPECULATIVE if request.speculative else Priority.COMMITTED
        for share in (1.0, 0.5, 0.25):
            generation = self._generation(request, priority, share=share)
            try:
                run = (
                    self._judged(generation, _last_said(request))
                    if self._is_default
                    else self._run(generation)
                )
                async with aclosing(run) as chunks:
                    async for chunk in chunks:
                        yield chunk
                return
            except ModelError as error:
                # Estimates of length are for English; the engine counts exactly, before the first word.
                if error.code != "exceed_context_size_error" or share == 0.25:
                    raise

    async def _run(self, generation: Generation) -> AsyncGenerator[ChatChunk, None]:
        rules = ReplyRules(self._limits) if self._limits is not None else None
        started, output_tokens = Started(0, 0), 0
        async with aclosing(self._engine.generate(generation)) as pieces:
            async for piece in pieces:
                match piece:
                    case Started():
                        started = piece
                    case Piece(text):
                        output_tokens += 1
                        out = rules.feed(text) if rules is not None else text
                        if out:
                            yield TextDelta(out)
                        if rules is not None and rules.done:
                            break
                    case Finished():
                        output_tokens = piece.output_tokens or output_tokens
        rest = rules.finish() if rules is not None else ""
        if rest:
            yield TextDelta(rest)
        yield Usage(started.input_tokens, output_tokens, started.cached_tokens)

    async def _judged(self, generation: Generation, said: str) -> AsyncGenerator[ChatChunk, None]:
        """The default model's reply, once it is whole: one sentence is what a voice needs before it can begin."""
        rules = ReplyRules(self._limits or ReplyLimits())
        started, output_tokens, doubt = Started(0, 0), 0, 0.0
        text = ""
        async with aclosing(self._engine.generate(generation)) as pieces:
            async for piece in pieces:
                match piece:
                    case Started():
                        started = piece
                    case Piece(words, likeliest):
                        output_tokens += 1
                        doubt += likeliest[0][2] if likeliest else 0.0
                        text += rules.feed(words)
                        if rules.done:
                            break
                    case Finished():
                        output_tokens = piece.output_tokens or output_tokens
        text += rules.finish()
        confidence = doubt / output_tokens if output_tokens else None
        yield TextDelta(verdict(text, said, confidence=confidence) if text else DONT_KNOW)
        yield Usage(started.input_tokens, output_tokens, started.cached_tokens)

    def _generation(
        self,
        request: ChatRequest,
        priority: Priority,
        *,
        share: float = 1.0,
        max_tokens: int | None = None,
        open_turn: bool = False,
    ) -> Generation:
        limit = max_tokens or min(request.max_output_tokens or self._max_tokens, self._n_ctx // 2)
        room = int((self._n_ctx - limit) * share)
        turns = self._turns(request, room, whole=share == 1.0)
        options: dict[str, Any] = {
            "temperature": request.temperature if request.temperature is not None else self._temperature
        }
        if self._is_default:
            options = {**SAMPLING, **options, "stop": list(STOP_STRINGS)}
            return Generation(
                prompt=chatml(turns, open_turn=open_turn),
                priority=priority,
                max_tokens=limit,
                options=options,
                probabilities=1,
                deadline_s=self._deadline_s,
            )
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        if not any(turn.role == "user" for turn in turns):
            messages.append({"role": "user", "content": "Hello."})  # most templates demand one
        return Generation(
            messages=tuple(messages),
            priority=priority,
            max_tokens=limit,
            options=options,
            deadline_s=self._deadline_s,
        )

    def _turns(self, request: ChatRequest, room: int, *, whole: bool) -> list[_Turn]:
        instructions = request.instructions.strip()
        if self._is_default:
            instructions = instructions or SYSTEM_PROMPT
        head = [_Turn("system", _plain(instructions))] if instructions else []
        if self._is_default:
            for question, answer in FEW_SHOT:
                head += [_Turn("user", question), _Turn("assistant", answer)]
        needed = sum(turn.tokens for turn in head)
        if whole and needed > room * 0.8:
            raise ConfigurationError(
                f"the instructions are about {needed} tokens long, and n_ctx={self._n_ctx} leaves {room} for them "
                f"and the conversation: shorten them, or use LLM(n_ctx={2 * needed + self._n_ctx - room})"
            )
        turns = conversation_turns(request.context, results=not self._is_default)
        if self._is_default:
            turns = [_Turn(t.role, as_question(t.text)) if t.role == "user" else t for t in turns]
        return head + fit(turns, room - needed)


# -- prompts -----------------------------------------------------------------------------------------------------


def conversation_turns(context: ChatContext, *, results: bool = True) -> list[_Turn]:
    """The conversation as alternating turns: a role's consecutive messages are one, function results are told.

    Without ``results`` they are not: where each is spoken anyway, telling it too only confuses.
    """
    turns: list[_Turn] = []
    for role, text in _spoken(context, results):
        if turns and turns[-1].role == role:
            turns[-1] = _Turn(role, f"{turns[-1].text} {text}")
        else:
            turns.append(_Turn(role, text))
    return turns


def _last_said(request: ChatRequest) -> str:
    messages = request.context.messages
    return messages[-1].text if messages and messages[-1].role == "user" else ""


def _spoken(context: ChatContext, results: bool) -> Iterable[tuple[str, str]]:
    for item in context:
        if isinstance(item, Message):
            text = _plain(item.text).strip()
            if text:
                yield item.role, text
        elif isinstance(item, FunctionCallOutput) and results:
            yield "user", f"(Result: {_plain(item.output)})"


def fit(turns: list[_Turn], room: int) -> list[_Turn]:
    """The newest turns that fit into ``room`` tokens.

    What is dropped grows in steps of half the room, so that the beginning stays the same for many turns and the
    prompt cache holds.
    """
    total = sum(turn.tokens for turn in turns)
    if total <= room:
        return turns
    step = max(1, room // 2)
    to_drop = -(-(total - room) // step) * step
    at = 0
    while at < len(turns) - 1 and to_drop > 0:
        to_drop -= turns[at].tokens
        at += 1
    kept = turns[at:]
    excess = kept[0].tokens - room if len(kept) == 1 else 0
    if excess > 0:  # one enormous message: its end counts
        kept = [
            _Turn(kept[0].role, kept[0].text[-max(1, int((room - _MESSAGE_TOKENS) * _CHARS_PER_TOKEN)) :])
        ]
    return kept


def chatml(turns: Iterable[_Turn], *, open_turn: bool = False) -> str:
    """The prompt in ChatML, ending where the assistant begins; with ``open_turn``, where the user does."""
    text = "".join(f"<|im_start|>{turn.role}\n{turn.text}<|im_end|>\n" for turn in turns)
    return text + ("<|im_start|>user\n" if open_turn else "<|im_start|>assistant\n")


def estimate_tokens(text: str) -> int:
    """About how many tokens, on the safe side for English."""
    return int(len(text.encode("utf-8")) / _CHARS_PER_TOKEN) + 1


def _plain(text: str) -> str:
    """Without the model's own markers, with which a caller could forge a turn."""
    return _MARKER.sub(" ", text)
