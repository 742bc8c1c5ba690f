"""An LLM with a conversation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from repartee.chat import FunctionCall, FunctionCallOutput, Message, function_tool
from repartee.compose import Conversing
from repartee.models import ResponseOptions, Usage
from repartee.models import events as ev
from repartee.testing import Reply, ScriptedLLM, call_function, elapse, fail, stall, virtual_time
from tests.compose.stage import Stage


def user(text: str, **options: Any) -> Message:
    return Message.of("user", text, **options)


@virtual_time
async def test_an_answer_word_by_word() -> None:
    async with Stage(Conversing(ScriptedLLM(["It is noon."]))) as stage:
        stage.session.create_item(user("what time is it"))
        stage.session.create_response(ResponseOptions(request_id="mine", metadata={"a": "b"}))
        await elapse(1)
    created = stage.of(ev.ResponseCreated)[0]
    assert (created.request_id, created.metadata) == ("mine", {"a": "b"})
    assert [e.delta for e in stage.of(ev.TranscriptDelta)] == ["It", " is", " noon."]
    assert stage.times(ev.TranscriptDelta) == [100, 120, 140]
    done = stage.of(ev.ResponseDone)[0]
    assert (done.status, done.usage) == ("completed", Usage(10, 5))
    assert stage.said == [("user", "what time is it"), ("assistant", "It is noon.")]


@virtual_time
async def test_it_prewarms_with_what_will_not_change() -> None:
    llm = ScriptedLLM()
    async with Stage(Conversing(llm), instructions="Be brief."):
        await elapse(0)
    assert llm.prewarmed[0] is not None
    assert llm.prewarmed[0].instructions == "Be brief."


@virtual_time
async def test_new_instructions_are_read_before_the_first_question() -> None:
    llm = ScriptedLLM()
    async with Stage(Conversing(llm), instructions="Be brief.") as stage:
        await elapse(0)
        for text in ("Be kind.", "Be kind and brief."):  # the first is out of date before it began
            stage.session.update(replace(stage.session.options, instructions=text))
        stage.session.update(replace(stage.session.options, voice="echo"))  # which changes nothing to read
        await elapse(0)
    assert [each.instructions for each in llm.prewarmed if each] == ["Be brief.", "Be kind and brief."]


@virtual_time
async def test_the_sessions_options_and_the_responses_own() -> None:
    @function_tool
    def look() -> str:
        """Look."""
        return "seen"

    llm = ScriptedLLM({"*": "Yes."})
    async with Stage(Conversing(llm), instructions="Be brief.", tools=(look,), max_output_tokens=50) as stage:
        for options in (
            ResponseOptions(),
            ResponseOptions(instructions="Sing.", tools=(), tool_choice="none", max_output_tokens=5),
        ):
            stage.session.create_response(options)
            await elapse(1)
        stage.session.update(stage._options)
    got = [(r.instructions, len(r.tools), r.tool_choice, r.max_output_tokens) for r in llm.requests]
    assert got == [("Be brief.", 1, "auto", 50), ("Sing.", 0, "none", 5)]


@virtual_time
async def test_the_conversation_is_that_of_the_moment_of_asking() -> None:
    llm = ScriptedLLM({"*": "Yes."})
    async with Stage(Conversing(llm)) as stage:
        stage.session.create_item(user("one"))
        stage.session.create_response(ResponseOptions())
        stage.session.create_item(user("two"))
        await elapse(1)
    assert [m.text for m in llm.requests[0].context.messages] == ["one"]
    assert [text for _, text in stage.said] == ["one", "two", "Yes."]


@virtual_time
async def test_a_second_response_at_once_is_refused() -> None:
    async with Stage(Conversing(ScriptedLLM(["Yes."]))) as stage:
        stage.session.create_response(ResponseOptions(request_id="a"))
        stage.session.create_response(ResponseOptions(request_id="b"))
        await elapse(1)
    assert [(e.status, e.reason) for e in stage.of(ev.ResponseDone)] == [
        ("failed", "conversation_already_has_active_response"),
        ("completed", ""),
    ]
    assert stage.of(ev.ErrorOccurred) == []


@virtual_time
async def test_what_can_not_be_asked_is_refused() -> None:
    same = user("one", id="item_same")
    async with Stage(Conversing(ScriptedLLM())) as stage:
        stage.session.create_response(ResponseOptions(input=(same, same)))
    done = stage.of(ev.ResponseDone)[0]
    assert (done.status, done.reason) == ("failed", "invalid_request")
    assert "ids are unique" in str(done.error)


@virtual_time
async def test_the_result_of_a_function_stands_behind_the_whole_response() -> None:
    calls = (call_function("a", "call_a"), call_function("b", "call_b"))
    async with Stage(Conversing(ScriptedLLM([Reply("Look.", calls)]))) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(0.17)  # the first call is complete
        assert len(stage.of(ev.OutputItemDone)) == 1
        stage.session.create_item(FunctionCallOutput("call_a", "1"))
        await elapse(1)
    kinds = [type(item).__name__ for item in stage.history]
    assert kinds == ["Message", "FunctionCall", "FunctionCall", "FunctionCallOutput"]
    arguments = [e.delta for e in stage.of(ev.CallArgumentsDelta, call_id="call_a")]
    assert "".join(arguments) == "{}"
    done = stage.of(ev.OutputItemDone)[0].item
    assert isinstance(done, FunctionCall)
    assert stage.of(ev.CallArgumentsDelta)[0].item_id == done.id


@virtual_time
async def test_a_cancelled_answer_keeps_what_was_written_as_incomplete() -> None:
    llm = ScriptedLLM(["one two three"])
    async with Stage(Conversing(llm)) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(0.13)
        stage.session.cancel_response(reason="enough")
        await elapse(0)
        assert llm.records[0].outcome == "cancelled"
        stage.session.cancel_response()
        await elapse(1)
    assert stage.said == [("assistant", "one two")]
    assert stage.history.messages[0].status == "incomplete"
    assert [(e.status, e.reason) for e in stage.of(ev.ResponseDone)] == [("cancelled", "enough")]


@virtual_time
async def test_truncating() -> None:
    async with Stage(Conversing(ScriptedLLM(["one two three"]))) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(1)
        item_id = stage.history.items[0].id
        stage.session.truncate_item(item_id, audio_end_ms=400, text="one two")
        stage.session.truncate_item("item_x", audio_end_ms=400, text="one two")
        stage.session.create_item(user("go on"))
        stage.session.truncate_item(item_id, audio_end_ms=0)
    assert [(e.audio_end_ms, e.text) for e in stage.of(ev.ItemTruncated)] == [(400, "one two")]
    assert stage.of(ev.ItemDeleted) == [ev.ItemDeleted(item_id)]
    assert stage.said == [("user", "go on")]
    assert "no assistant message 'item_x'" in str(stage.of(ev.ErrorOccurred)[0].error)


@virtual_time
async def test_a_response_may_be_cancelled_in_the_moment_in_which_it_is_told() -> None:
    llm = ScriptedLLM(["one two three"])
    async with Stage(Conversing(llm)) as stage:
        take = stage._take

        def cancel(event: ev.RealtimeEvent) -> None:
            take(event)
            if isinstance(event, ev.ResponseCreated):
                stage.session.cancel_response(event.response_id)

        stage.session.emit = cancel
        stage.session.create_response(ResponseOptions())
        await elapse(1)
    assert stage.kinds == ["ResponseCreated", "ResponseDone"]
    assert llm.records == []


# -- drafts ----------------------------------------------------------------------------------------------------


async def _drafted(stage: Stage, text: str = "book a table") -> Message:
    message = user(text)
    stage.session.create_response(ResponseOptions(request_id="draft", draft=message))
    return message


@virtual_time
async def test_a_draft_that_is_released_while_it_is_written() -> None:
    llm = ScriptedLLM(["one two three"])
    async with Stage(Conversing(llm)) as stage:
        message = await _drafted(stage)
        await elapse(0.13)
        stage.session.create_item(message)
        stage.session.release_response("draft")
        await elapse(1)
        stage.session.create_item(user("next"))
    assert llm.requests[0].speculative
    assert stage.said == [("user", "book a table"), ("assistant", "one two three"), ("user", "next")]


@virtual_time
async def test_a_draft_that_is_released_when_it_is_done() -> None:
    async with Stage(Conversing(ScriptedLLM(["one two three", "ok"]))) as stage:
        message = await _drafted(stage)
        await elapse(1)
        stage.session.create_item(message)
        stage.session.release_response("draft")
        stage.session.release_response("draft")
        stage.session.create_response(ResponseOptions())
        await elapse(1)
    assert [text for _, text in stage.said] == ["book a table", "one two three", "ok"]


@pytest.mark.parametrize("after_s", [0.13, 1.0])
@virtual_time
async def test_a_draft_that_is_cancelled_leaves_no_trace(after_s: float) -> None:
    llm = ScriptedLLM({"book a table": "one two three", "*": "ok"})
    async with Stage(Conversing(llm)) as stage:
        await _drafted(stage)
        await elapse(after_s)
        stage.session.cancel_response()  # that is for the live one; a draft is none
        stage.session.cancel_response(stage.of(ev.ResponseCreated)[0].response_id)
        stage.session.release_response("draft")
        stage.session.create_item(user("hello"))
        stage.session.create_response(ResponseOptions())
        await elapse(1)
    assert [m.text for m in llm.requests[-1].context.messages] == ["hello"]


@virtual_time
async def test_a_draft_that_fails_is_told_of_only_when_it_is_released() -> None:
    async with Stage(Conversing(ScriptedLLM(["one two"], faults=[fail(after=2)]))) as stage:
        message = await _drafted(stage)
        await elapse(1)
        assert stage.of(ev.ErrorOccurred) == []
        assert stage.of(ev.ResponseDone)[0].status == "failed"
        stage.session.create_item(message)
        stage.session.release_response("draft")
    assert [e.stage for e in stage.of(ev.ErrorOccurred)] == ["llm"]
    assert [text for _, text in stage.said] == ["book a table", "one two"]


@virtual_time
async def test_only_so_many_finished_drafts_are_remembered() -> None:
    async with Stage(Conversing(ScriptedLLM({"*": "ok"}))) as stage:
        for index in range(12):
            stage.session.create_response(ResponseOptions(request_id=f"d{index}", draft=user("x")))
            await elapse(1)
        assert len(stage.session._finished_drafts) == 8  # type: ignore[attr-defined]


# -- faults ----------------------------------------------------------------------------------------------------


@virtual_time
async def test_an_llm_that_says_nothing_or_stops() -> None:
    llm = ScriptedLLM({"*": "one two"}, faults=[stall(1), stall(2, after=1)])
    async with Stage(Conversing(llm, first_token_timeout_s=3.0, stall_timeout_s=2.0)) as stage:
        for _ in range(3):
            stage.session.create_response(ResponseOptions())
            await elapse(5)
    assert stage.times(ev.ResponseDone) == [3000, 7100, 10120]
    assert [e.status for e in stage.of(ev.ResponseDone)] == ["failed", "failed", "completed"]
    assert len(stage.of(ev.ErrorOccurred)) == 2


@virtual_time
async def test_closing_ends_what_is_live() -> None:
    llm = ScriptedLLM({"*": "one two three"})
    async with Stage(Conversing(llm)) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(0.13)
        await stage.session.aclose()
        stage.session.create_response(ResponseOptions(request_id="late"))
    assert [(e.status, e.reason) for e in stage.of(ev.ResponseDone)] == [
        ("cancelled", "session closed"),
        ("failed", "session_closed"),
    ]
    assert llm.records[0].outcome == "cancelled"
