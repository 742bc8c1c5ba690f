"""The scripted LLM: answers in order or by rule, token by token, with its requests on record."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest

from repartee.chat import ChatContext, FunctionCall
from repartee.errors import ModelError
from repartee.models import CallDelta, CallDone, ChatChunk, ChatRequest, TextDelta, Usage
from repartee.testing import (
    Reply,
    ScriptedLLM,
    ScriptError,
    call_function,
    elapse,
    fail,
    slow,
    stall,
    virtual_time,
)
from repartee.testing.scripted_llm import tokens_of


def request(text: str, **options: bool) -> ChatRequest:
    context = ChatContext()
    context.add_message("user", text)
    return ChatRequest(context, **options)  # type: ignore[arg-type]


async def answer(llm: ScriptedLLM, asked: ChatRequest) -> list[tuple[float, ChatChunk]]:
    loop = asyncio.get_running_loop()
    async with aclosing(llm.chat(asked)) as chunks:
        return [(round(loop.time(), 9), chunk) async for chunk in chunks]


def text_of(chunks: list[tuple[float, ChatChunk]]) -> str:
    return "".join(chunk.text for _, chunk in chunks if isinstance(chunk, TextDelta))


@virtual_time
async def test_token_by_token() -> None:
    llm = ScriptedLLM(["Hello there, friend."], ttft_s=0.2, inter_token_s=0.05)
    asked = request("hi")
    assert await answer(llm, asked) == [
        (0.2, TextDelta("Hello")),
        (0.25, TextDelta(" there,")),
        (0.3, TextDelta(" friend.")),
        (0.3, Usage(10, 5)),
    ]
    asked.context.add_message("user", "changed later")
    (record,) = llm.records
    assert (record.outcome, record.text) == ("completed", "Hello there, friend.")
    assert record.started_s == 0.0
    assert record.ended_s == pytest.approx(0.3)
    assert [message.text for message in llm.requests[0].context.messages] == ["hi"]


@virtual_time
async def test_function_calls_and_a_pace_of_its_own() -> None:
    call = call_function("weather", "call_1", city="Oslo")
    assert json.loads(call.arguments) == {"city": "Oslo"}
    llm = ScriptedLLM([Reply("One moment.", (call,), ttft_s=0.0, inter_token_s=1.0, usage=Usage(3, 4)), call])
    chunks = await answer(llm, request("weather?"))
    assert [at_s for at_s, _ in chunks] == [0.0, 1.0, 2.0, 3.0, 4.0, 4.0]
    deltas = [chunk for _, chunk in chunks if isinstance(chunk, CallDelta)]
    assert "".join(delta.arguments for delta in deltas) == call.arguments
    assert chunks[-2][1] == CallDone(call)
    assert chunks[-1][1] == Usage(3, 4)
    again = await answer(llm, request("weather?"))
    assert [type(chunk) for _, chunk in again] == [CallDelta, CallDelta, CallDone, Usage]
    assert call_function("now").call_id != call_function("now").call_id


@virtual_time
async def test_by_words_and_by_rule() -> None:
    llm = ScriptedLLM({"hi": "Hello.", "*": "Pardon?"})
    assert text_of(await answer(llm, request("hi"))) == "Hello."
    assert text_of(await answer(llm, request("hmm"))) == "Pardon?"
    rule = ScriptedLLM(lambda asked: asked.context.messages[-1].text.upper())
    assert text_of(await answer(rule, request("loud"))) == "LOUD"


@virtual_time
async def test_without_a_reply_it_says_so() -> None:
    for llm in (ScriptedLLM(), ScriptedLLM({"hi": "Hello."})):
        with pytest.raises(ScriptError, match="no reply to request 1: 'what'"):
            await answer(llm, request("what"))
        assert len(llm.script_errors) == 1
        assert llm.count("failed") == 1


@virtual_time
async def test_cancelled_ones_are_counted_and_a_speculative_reply_is_kept() -> None:
    llm = ScriptedLLM(["one two three", "four five six"])
    async with aclosing(llm.chat(request("a", speculative=True))) as chunks:
        await anext(chunks)
    assert (llm.cancelled, llm.unused) == (1, 2)
    assert llm.records[0].text == "one"
    task = asyncio.create_task(answer(llm, request("a")))
    await elapse(0.11)
    task.cancel()
    await asyncio.wait([task])
    assert (llm.cancelled, llm.unused) == (2, 1)
    assert text_of(await answer(llm, request("b"))) == "four five six"


@virtual_time
async def test_faults() -> None:
    llm = ScriptedLLM(
        ["one two three"] * 4, faults=[fail(1, after=2), slow(5.0, 2), stall(3, after=1), fail(4)]
    )
    with pytest.raises(ModelError) as caught:
        await answer(llm, request("a"))
    assert caught.value.stage == "llm"
    assert llm.records[0].text == "one two"
    loop = asyncio.get_running_loop()
    before = loop.time()
    chunks = await answer(llm, request("b"))
    assert chunks[0][0] == pytest.approx(before + 5.1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(100.0):
            await answer(llm, request("c"))
    with pytest.raises(ModelError):
        await answer(llm, request("d"))
    assert [record.outcome for record in llm.records] == ["failed", "completed", "cancelled", "failed"]


@virtual_time
async def test_a_one_off_answer_and_prewarming() -> None:
    llm = ScriptedLLM(["It is noon."])
    await llm.prewarm()
    assert llm.prewarmed == [None]
    assert [text async for text in llm.generate_reply("What time is it?")] == ["It", " is", " noon."]


def test_tokens_joined_are_the_text() -> None:
    for text in ("", " ", "a", "  a b\n c ", "Hello there."):
        assert "".join(tokens_of(text)) == text
    assert isinstance(call_function("now"), FunctionCall)
