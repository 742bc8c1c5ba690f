"""A text model's one-off answers."""

from __future__ import annotations

import pytest

from repartee.chat import ChatContext
from repartee.errors import ModelError
from repartee.models import Usage
from repartee.testing import Reply, ScriptedLLM, call_function, fail, virtual_time


@virtual_time
async def test_a_one_off_answer_is_streamed_and_leaves_the_conversation_as_it_was() -> None:
    llm = ScriptedLLM([Reply("It is noon.", (call_function("ignored"),))])
    context = ChatContext()
    context.add_message("user", "Hello.")
    words = [delta async for delta in llm.generate_reply("What time is it?", chat_context=context)]
    assert words == ["It", " is", " noon."]
    assert [m.text for m in llm.requests[0].context.messages] == ["Hello.", "What time is it?"]
    assert llm.requests[0].tool_choice == "none"
    assert len(context) == 1


@virtual_time
async def test_a_failure_comes_behind_what_was_given() -> None:
    llm = ScriptedLLM(["one two three"], faults=[fail(after=2)])
    reply = llm.generate_reply("go")
    assert [await anext(reply), await anext(reply)] == ["one", " two"]
    with pytest.raises(ModelError):
        await anext(reply)


def test_usages_add_up() -> None:
    assert Usage(1, 2, 3, 4, 5) + Usage(10, 20, 30, 40, 50) == Usage(11, 22, 33, 44, 55)
