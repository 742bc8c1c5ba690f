"""Answers of the chat-completions API, as it streams them."""

from __future__ import annotations

from typing import Any

from tests.plugins.openai.http_server import Exchange, Handler

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 4,
    "total_tokens": 24,
    "prompt_tokens_details": {"cached_tokens": 16},
}


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """One event of a stream."""
    choices = (
        [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
    )
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
    }
    return {**head, "usage": None, **fields}


def call_piece(
    index: int | None, arguments: str = "", *, id: str | None = None, name: str | None = None
) -> dict[str, Any]:
    """A delta with a piece of a function call."""
    piece: dict[str, Any] = {"function": {"arguments": arguments}}
    if index is not None:
        piece["index"] = index
    if id is not None:
        piece |= {"id": id, "type": "function"}
        piece["function"]["name"] = name
    return {"tool_calls": [piece]}


def streamed(
    *deltas: dict[str, Any] | str, finish: str = "stop", usage: dict[str, Any] | None = USAGE
) -> Handler:
    """A handler that streams an answer to its end. A text is a delta of words."""

    async def handler(exchange: Exchange) -> None:
        exchange.begin()
        await exchange.event(chunk({"role": "assistant", "content": ""}))
        for delta in deltas:
            await exchange.event(chunk({"content": delta} if isinstance(delta, str) else delta))
        await exchange.event(chunk({}, finish))
        if usage is not None:
            await exchange.event(chunk(usage=usage))
        await exchange.event("[DONE]")
        await exchange.end()

    return handler


async def polite(exchange: Exchange) -> None:
    """A handler that answers anything with a few words, within the limit that it is given."""
    limit = exchange.json.get("max_tokens", 4)
    words = ["The", " sky", " is", " blue."][:limit]
    usage = {**USAGE, "completion_tokens": len(words)}
    await streamed(*words, usage=usage)(exchange)
