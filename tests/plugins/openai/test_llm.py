"""`openai.LLM` against a server that speaks the API's streaming, well and badly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from repartee.chat import ChatContext, FunctionCall, Message, function_tool
from repartee.errors import (
    ConfigurationError,
    ModelConnectionError,
    ModelError,
    ModelTimeoutError,
    StateError,
)
from repartee.models import CallDelta, CallDone, ChatChunk, ChatRequest, TextDelta, Usage
from repartee.plugins.openai import LLM, client
from repartee.testing.conformance_llm import LLM_CHECKS, LLMCheck
from tests.plugins.openai.chat_api import call_piece, chunk, polite, streamed
from tests.plugins.openai.http_server import Exchange, Handler, HttpServer, drop, refuse, stall

KEY = "sk-test-0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "OPENAI_ORG_ID",
        "OPENAI_PROJECT_ID",
        "OPENAI_API_VERSION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(client, "BACKOFF_S", 0.001)


@function_tool
def book(guests: int, name: str = "nobody") -> str:
    """Book a table."""
    return f"{guests} {name}"


def ask(text: str = "what is the color of the sky", **options: Any) -> ChatRequest:
    return ChatRequest(ChatContext([Message.of("user", text)]), **options)


async def take(model: LLM, request: ChatRequest | None = None) -> list[ChatChunk]:
    async with aclosing(model.chat(request or ask())) as chunks:
        return [chunk async for chunk in chunks]


def with_server(
    body: Callable[[HttpServer, LLM], Coroutine[Any, Any, None]], *handlers: Handler, **options: Any
) -> HttpServer:
    """Run a test's body with a server and a model that asks it."""
    server = HttpServer(*handlers)

    async def main() -> None:
        async with server:
            model = LLM("m", **{"base_url": server.url, "api_key": KEY, **options})
            try:
                await body(server, model)
            finally:
                await model.aclose()

    asyncio.run(main())
    return server


@pytest.mark.parametrize("check", LLM_CHECKS, ids=lambda check: check.__name__)
def test_conformance(check: LLMCheck) -> None:
    async def main() -> None:
        async with HttpServer(polite) as server:
            await check(lambda: LLM("m", base_url=server.url))

    asyncio.run(main())


def test_words_and_what_they_cost() -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        chunks = await take(model, ask(instructions="Be brief."))
        assert chunks == [TextDelta("The"), TextDelta(" sky"), Usage(20, 4, 16)]

    server = with_server(
        body, streamed("The", " sky"), temperature=0.5, max_output_tokens=9, extra_body={"top_k": 3}
    )
    (asked,) = server.requests
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.json == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "what is the color of the sky"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 9,
        "top_k": 3,
    }


def test_a_request_goes_before_the_model() -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        await take(model, ask(temperature=0.0, max_output_tokens=2, tools=[book], tool_choice="book"))
        await take(model, ask(tools=[book], tool_choice="none"))

    server = with_server(body, streamed("x"), temperature=0.5, max_output_tokens=9, parallel_tool_calls=False)
    first, second = (each.json for each in server.requests)
    assert (first["temperature"], first["max_tokens"], first["parallel_tool_calls"]) == (0.0, 2, False)
    assert first["tool_choice"] == {"type": "function", "function": {"name": "book"}}
    assert "strict" not in first["tools"][0]["function"]
    assert "tools" not in second, "a server may not heed tool_choice"


def test_calls_in_parallel_each_in_pieces() -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        chunks = await take(model, ask(tools=[book]))
        assert chunks[:-1] == [
            TextDelta("Sure."),
            CallDelta("c1", "book", '{"gue'),
            CallDelta("c1", "book", 'sts": 2}'),
            CallDone(FunctionCall("book", '{"guests": 2}', "c1", chunks[3].call.id)),  # type: ignore[union-attr]
            CallDelta("c2", "book", '{"guests": 3}'),
            CallDone(FunctionCall("book", '{"guests": 3}', "c2", chunks[5].call.id)),  # type: ignore[union-attr]
        ]

    handler = streamed(
        "Sure.",
        call_piece(0, id="c1", name="book"),
        call_piece(0, '{"gue'),
        call_piece(0, 'sts": 2}'),
        call_piece(1, id="c2", name="book"),
        call_piece(1, '{"guests": 3}'),
        finish="tool_calls",
    )
    with_server(body, handler)


@pytest.mark.parametrize(
    "pieces",
    [
        # All with one number; without numbers; with neither number nor id.
        [
            call_piece(0, '{"guests": 2}', id="c1", name="book"),
            call_piece(0, '{"guests": 3}', id="c2", name="book"),
        ],
        [
            call_piece(None, '{"guests": 2}', id="c1", name="book"),
            call_piece(None, '{"guests": 3}', id="c2", name="book"),
        ],
        [
            call_piece(None, '{"guests": 2}', id="", name="book"),
            call_piece(None, '{"guests": 3}', id="", name="book"),
        ],
    ],
)
def test_calls_as_careless_servers_send_them(pieces: list[dict[str, Any]]) -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        done = [chunk.call for chunk in await take(model, ask(tools=[book])) if isinstance(chunk, CallDone)]
        assert [call.arguments for call in done] == ['{"guests": 2}', '{"guests": 3}']
        assert len({call.call_id for call in done}) == 2

    with_server(body, streamed(*pieces, finish="tool_calls"))


def test_a_call_without_arguments_and_one_that_was_not_wanted() -> None:
    handler = streamed(call_piece(0, id="c1", name="book"), finish="tool_calls")

    async def body(server: HttpServer, model: LLM) -> None:
        (done, _) = await take(model, ask(tools=[book]))
        assert isinstance(done, CallDone)
        assert done.call.arguments == "{}"
        assert [type(chunk) for chunk in await take(model, ask())] == [Usage]

    with_server(body, handler)


def test_a_refusal_is_said_and_thoughts_are_not() -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        for expected in ("I can't.", "\nBlue.", "<b>Bold", "<th", "Blue. <think>"):
            text = "".join(chunk.text for chunk in await take(model) if isinstance(chunk, TextDelta))
            assert text.strip() == expected.strip()

    with_server(
        body,
        streamed({"refusal": "I can't."}),
        streamed("<thi", "nk>\nhmm", " so </th", "ink>", "\n", "\nBlue."),
        streamed("<b>", "Bold"),
        streamed("<th"),
        streamed("Blue.", " <think>"),
    )


@pytest.mark.parametrize(
    "handler, kind, code, says",
    [
        (
            refuse(401, "invalid_api_key", f"Incorrect API key provided: {KEY}"),
            ModelError,
            "invalid_api_key",
            "api_key=",
        ),
        (refuse(403, "forbidden", "no access"), ModelError, "forbidden", "may not use 'm'"),
        (refuse(404, "model_not_found", "no such model"), ModelError, "model_not_found", "no model 'm'"),
        (
            refuse(400, "context_length_exceeded", "too long"),
            ModelError,
            "context_length_exceeded",
            "too long",
        ),
        (refuse(429, "insufficient_quota", "pay up"), ModelError, "insufficient_quota", "no credit"),
    ],
)
def test_what_is_refused_for_good(handler: Handler, kind: type[ModelError], code: str, says: str) -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        with pytest.raises(kind, match=says) as caught:
            await take(model)
        error = caught.value
        assert (error.code, error.recoverable, error.stage, error.provider) == (code, False, "llm", "openai")
        assert KEY not in repr(error)
        # The package's exceptions hold the request with its headers: none may be printed along.
        assert error.__cause__ is None
        assert error.__context__ is None
        assert len(server.requests) == 1, "asking again can't help"

    with_server(body, handler)


@pytest.mark.parametrize(
    "handler",
    [
        refuse(500, None, "oops"),
        refuse(503, "overloaded", "busy"),
        refuse(429, "rate_limit_exceeded", "slow down", retry_after_ms="1"),
        refuse(429, None, "slow down", retry_after="0"),
        drop,
    ],
)
def test_what_may_pass_is_asked_again(handler: Handler) -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        assert TextDelta("Blue.") in await take(model)
        assert len(server.requests) == 3

    with_server(body, handler, handler, streamed("Blue."))


def test_a_server_that_keeps_failing_is_told_with_its_words() -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        with pytest.raises(ModelError, match=r"failed \(500\): oops \[secret\]") as caught:
            await take(model)
        assert caught.value.recoverable
        assert len(server.requests) == 2

    with_server(body, refuse(500, None, f"oops {KEY}"), max_retries=1)


def test_nobody_waits_long_for_a_busy_server() -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        with pytest.raises(ModelError, match=r"asks to wait 60\.0 s") as caught:
            await take(model)
        assert (caught.value.recoverable, caught.value.code) == (True, "rate_limit_exceeded")
        assert len(server.requests) == 1

    with_server(body, refuse(429, None, "slow down", retry_after="60"))


def test_nothing_is_asked_again_once_words_came() -> None:
    async def half(exchange: Exchange) -> None:
        exchange.begin()
        await exchange.event(chunk({"content": "The sky"}))
        exchange.drop()

    async def body(server: HttpServer, model: LLM) -> None:
        chunks = model.chat(ask())
        assert await anext(chunks) == TextDelta("The sky")
        with pytest.raises(ModelConnectionError, match="connection"):
            await anext(chunks)
        assert len(server.requests) == 1

    with_server(body, half)


def test_an_answer_that_ends_too_soon_is_no_answer() -> None:
    async def cut(exchange: Exchange) -> None:
        exchange.begin()
        await exchange.event(chunk({"content": "The sky"}))
        await exchange.event("[DONE]")
        await exchange.end()

    async def body(server: HttpServer, model: LLM) -> None:
        with pytest.raises(ModelConnectionError, match="in its middle"):
            await take(model)

    with_server(body, cut)


@pytest.mark.parametrize(
    "handler, code",
    [
        (streamed("Well", finish="content_filter"), "content_filter"),
        (streamed(call_piece(0, '{"gue', id="c1", name="book"), finish="length"), "max_output_tokens"),
    ],
)
def test_an_answer_that_was_cut_off(handler: Handler, code: str) -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        with pytest.raises(ModelError) as caught:
            await take(model, ask(tools=[book]))
        assert caught.value.code == code

    with_server(body, handler)


def test_an_error_within_the_stream() -> None:
    async def fail(exchange: Exchange) -> None:
        exchange.begin()
        await exchange.event(
            {"error": {"message": "the server had an error", "code": "server_error", "type": "x"}}
        )
        await exchange.end()

    async def body(server: HttpServer, model: LLM) -> None:
        assert TextDelta("Blue.") in await take(model)
        assert len(server.requests) == 2

    with_server(body, fail, streamed("Blue."))


def test_an_answer_that_is_not_the_api() -> None:
    async def web_page(exchange: Exchange) -> None:
        exchange.begin()
        await exchange.event("<html>")
        await exchange.end()

    async def body(server: HttpServer, model: LLM) -> None:
        with pytest.raises(ModelError, match="base_url="):
            await take(model)

    with_server(body, web_page)


def test_a_server_that_is_silent_at_first_or_in_the_middle() -> None:
    async def half(exchange: Exchange) -> None:
        exchange.begin()
        await exchange.event(chunk({"content": "The sky"}))
        await exchange.stall()

    async def body(server: HttpServer, model: LLM) -> None:
        with pytest.raises(ModelTimeoutError, match=r"nothing for 0\.2 s"):
            await take(model)
        with pytest.raises(ModelTimeoutError):
            await take(model)

    with_server(body, stall, half, timeout_s=0.2, max_retries=0)


def test_a_server_that_is_not_there() -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        nobody = LLM("m", base_url="http://127.0.0.1:9/v1", max_retries=0)
        with pytest.raises(ModelConnectionError, match=r"127\.0\.0\.1:9 failed"):
            await take(nobody)
        with pytest.raises(ModelConnectionError):
            await nobody.prewarm()
        await nobody.aclose()

    with_server(body, stall)


def test_closing_an_answer_closes_the_stream() -> None:
    stopped: list[bool] = []

    async def endless(exchange: Exchange) -> None:
        exchange.begin()
        await exchange.event(chunk({"content": "On and on"}))
        await exchange.stall()
        stopped.append(True)

    async def body(server: HttpServer, model: LLM) -> None:
        chunks = model.chat(ask())
        assert await anext(chunks) == TextDelta("On and on")
        await chunks.aclose()
        async with asyncio.timeout(5):
            await server.requests[0].gone.wait()

    with_server(body, endless)


def test_a_connection_is_kept_from_prewarming_on() -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        await model.prewarm()
        await take(model)
        await take(model)
        assert server.connections == 1
        assert len(server.listings) == 1

    with_server(body, polite)


def test_prewarming_finds_a_wrong_key() -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        with pytest.raises(ModelError, match=r"refused the key from api_key= \(401\)") as caught:
            await model.prewarm()
        assert "0123456789" not in str(caught.value)

    with_server(body, polite, api_key="sk-wrong-key-0123456789")


def test_one_model_serves_one_loop_after_another() -> None:
    async def once(model: LLM, server: HttpServer) -> None:
        async with server:
            model._client.server = server_of(server)
            assert await take(model)

    def server_of(server: HttpServer) -> Any:
        from dataclasses import replace

        return replace(model._client.server, base_url=server.url)

    model = LLM("m", base_url="http://127.0.0.1:9/v1", max_retries=0)

    async def first() -> None:
        with pytest.raises(ModelConnectionError):
            await take(model)

    asyncio.run(first())

    async def second() -> None:
        await once(model, HttpServer(polite))
        await model.aclose()

    asyncio.run(second())


def test_a_closed_model_says_so() -> None:
    async def body(server: HttpServer, model: LLM) -> None:
        await model.aclose()
        with pytest.raises(StateError, match="closed"):
            await take(model)

    with_server(body, polite)


def test_azure_by_version_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    async def token() -> str:
        asked.append(1)
        return "entra-token-0123456789"

    async def main() -> None:
        async with HttpServer(polite) as server:
            root = server.url.removesuffix("/v1")
            dated = LLM(base_url=root, azure_deployment="mine", entra_token=token, api_version="2024-10-21")
            await take(dated, ask(tools=[book], max_output_tokens=4))
            await dated.prewarm()
            await dated.aclose()
            plain = LLM(base_url=root, azure_deployment="mine", entra_token="entra-token-0123456789")
            await take(plain)
            await plain.aclose()
            first, second = server.requests
            assert first.path == "/openai/deployments/mine/chat/completions?api-version=2024-10-21"
            assert second.path == "/openai/v1/chat/completions"
            for each in (first, second):
                assert each.headers["authorization"] == "Bearer entra-token-0123456789"
                assert each.json["model"] == "mine"
            assert first.json["max_completion_tokens"] == 4
            assert first.json["tools"][0]["function"]["strict"] is True
            assert len(asked) == 2

    asyncio.run(main())


def test_no_thinking_on_the_phone() -> None:
    for model, effort in (
        ("gpt-6-luna", "none"),
        ("gpt-5.1", "none"),
        ("gpt-5-mini", "minimal"),
        ("gpt-5", "minimal"),
        ("gpt-4.1-mini", None),
        ("gpt-5.2-chat-latest", None),
        ("o3", None),
    ):
        made = LLM(model, api_key=KEY)
        assert made._body(ask()).get("reasoning_effort") == effort, model
    assert LLM(api_key=KEY, reasoning_effort="low")._body(ask())["reasoning_effort"] == "low"
    assert "reasoning_effort" not in LLM("gpt-6-luna", base_url="http://localhost:1/v1")._body(ask())


def test_bad_arguments_and_a_repr_without_secrets() -> None:
    for wrong in ({"temperature": 3.0}, {"max_output_tokens": 0}, {"timeout_s": 0}, {"max_retries": -1}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            LLM(api_key=KEY, **wrong)
    model = LLM(api_key=KEY)
    assert repr(model) == "openai.LLM('gpt-6-luna' at api.openai.com)"
    assert KEY not in repr(model._client)
