"""Whatever converses answers once, too, in a session of its own."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from repartee.chat import ChatContext, Message
from repartee.errors import ModelConnectionError, ModelError
from repartee.models import CallDelta, CallDone, ChatRequest, TextDelta, Usage
from repartee.models.realtime import WAITING_CHARS_MAX
from repartee.testing import (
    Disconnect,
    Reply,
    ScriptedRealtimeModel,
    call_function,
    elapse,
    fail,
    virtual_time,
)


def request() -> ChatRequest:
    context = ChatContext()
    context.add_message("user", "Which city?")
    return ChatRequest(context, "Be brief.", metadata={"a": "b"})


@virtual_time
async def test_chat_gives_words_calls_and_usage() -> None:
    call = call_function("look", where="Rome")
    model = ScriptedRealtimeModel([Reply("Rome it is.", (call,))], turn_detection=False)
    chunks = [chunk async for chunk in model.chat(request())]
    assert [c.text for c in chunks if isinstance(c, TextDelta)] == ["Rome", " it", " is."]
    assert "".join(c.arguments for c in chunks if isinstance(c, CallDelta)) == call.arguments
    assert [c.call for c in chunks if isinstance(c, CallDone)] == [call]
    assert chunks[-1] == Usage(10, 5)
    session = model.sessions[0]
    assert session.closed
    assert session.options.modalities == ("text",)
    assert session.options.instructions == "Be brief."
    assert isinstance(session.context.items[0], Message)


@virtual_time
async def test_chat_fails_as_the_answer_does() -> None:
    model = ScriptedRealtimeModel(["one two"], turn_detection=False, faults=[fail(after=1)])
    chunks = model.chat(request())
    assert await anext(chunks) == TextDelta("one")
    assert await anext(chunks) == Usage()
    with pytest.raises(ModelError):
        await anext(chunks)
    assert model.sessions[0].closed


@virtual_time
async def test_chat_does_not_hang_when_the_connection_breaks() -> None:
    model = ScriptedRealtimeModel(
        [Reply("never", ttft_s=100.0)], [Disconnect(1.0)], turn_detection=False, strict=False
    )
    with pytest.raises(ModelConnectionError):
        async for _ in model.chat(request()):
            pass
    assert model.sessions[0].closed


@virtual_time
async def test_chat_that_can_not_connect() -> None:
    refused = ModelConnectionError("no such host", stage="realtime")
    model = ScriptedRealtimeModel(start_error=refused)
    with pytest.raises(ModelConnectionError, match="no such host"):
        async for _ in model.chat(request()):
            pass
    assert model.sessions[0].closed


@virtual_time
async def test_leaving_midway_closes_the_session() -> None:
    model = ScriptedRealtimeModel(["one two three"], turn_detection=False)
    async with aclosing(model.chat(request())) as chunks:
        async for _ in chunks:
            break
    await elapse(0)
    assert model.sessions[0].closed


@virtual_time
async def test_what_a_slow_reader_has_not_read_is_joined_and_nothing_is_lost() -> None:
    call = call_function("look", where="Rome")
    words = " ".join(f"word{n}" for n in range(200))
    model = ScriptedRealtimeModel([Reply(words, (call,))], turn_detection=False)
    chunks = model.chat(request())
    first = await anext(chunks)
    await elapse(60)
    rest = [chunk async for chunk in chunks]
    assert first == TextDelta("word0")
    [text, *_] = rest
    assert isinstance(text, TextDelta)
    assert first.text + text.text == words
    assert [type(chunk) for chunk in rest] == [TextDelta, CallDelta, CallDone, Usage]
    assert "".join(chunk.arguments for chunk in rest if isinstance(chunk, CallDelta)) == call.arguments


@virtual_time
async def test_an_answer_that_nobody_reads_fails_instead_of_filling_the_memory() -> None:
    word = "x" * 1000
    model = ScriptedRealtimeModel(
        [" ".join([word] * (2 + WAITING_CHARS_MAX // len(word)))], turn_detection=False, strict=False
    )
    chunks = model.chat(request())
    assert await anext(chunks) == TextDelta(word)
    await elapse(60)
    waiting = await anext(chunks)
    assert isinstance(waiting, TextDelta)
    assert WAITING_CHARS_MAX < len(waiting.text) < WAITING_CHARS_MAX + 2 * len(word)
    assert isinstance(await anext(chunks), Usage)
    with pytest.raises(ModelError, match="nobody read the answer"):
        await anext(chunks)
    assert model.sessions[0].closed
