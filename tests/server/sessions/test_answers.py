"""Responses from their beginning to their one end."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from repartee.chat import FunctionCallOutput, Message, function_tool
from repartee.errors import ToolError
from repartee.models import Usage
from repartee.server.options import ServerOptions
from repartee.server.sessions.usage import TokenBudget
from repartee.testing import Reply, ScriptedLLM, ScriptedTTS, call_function, elapse, fail, stall, virtual_time
from tests.server.talk import Talk, model_of

TEXT = {"output_modalities": ["text"]}
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
}


@virtual_time
async def test_g5_a_call_in_order_and_its_output_and_the_follow_up_only_on_request() -> None:
    replies = [call_function("weather", "call_1", place="Rome"), "Sunny."]
    async with Talk(replies=replies, session={**TEXT, "tools": [WEATHER]}) as talk:
        talk.client.clear()
        done = await talk.answer("weather in Rome?")
        assert talk.client.types[2:] == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]
        [call] = done["output"]
        assert (call["type"], call["status"], call["call_id"]) == ("function_call", "completed", "call_1")
        assert json.loads(call["arguments"]) == {"place": "Rome"}
        await elapse(1)
        assert len(talk.client.all("response.created")) == 1
        talk.send(
            "conversation.item.create",
            item={"type": "function_call_output", "call_id": "call_1", "output": "28 C"},
        )
        assert (await talk.answer())["output"][0]["content"][0]["text"] == "Sunny."
        assert [type(item).__name__ for item in talk.llm.requests[-1].context] == [
            "Message",
            "FunctionCall",
            "FunctionCallOutput",
        ]


@virtual_time
async def test_an_output_that_comes_before_the_end_joins_behind_the_response() -> None:
    reply = Reply(
        "One moment please.", (call_function("weather", "call_1", place="Rome"),), inter_token_s=0.1
    )
    async with Talk(replies=[reply, "Sunny."], session={"tools": [WEATHER]}) as talk:
        talk.say("weather?")
        talk.respond()
        while not talk.client.all("response.function_call_arguments.done"):
            await elapse(0.01)
        talk.send(
            "conversation.item.create",
            item={"type": "function_call_output", "call_id": "call_1", "output": "28 C"},
        )
        done = await talk.done()
        assert [item["type"] for item in done["output"]] == ["message", "function_call"]
        added = [event["item"]["type"] for event in talk.client.all("conversation.item.added")]
        assert added == ["message", "message", "function_call", "function_call_output"]
        place = talk.client.types.index("response.done")
        assert talk.client.events[-1]["item"]["type"] == "function_call_output"
        assert place < len(talk.client.types) - 1
        await talk.answer()
        assert [type(item) for item in talk.llm.requests[-1].context][-1] is FunctionCallOutput


@virtual_time
async def test_parallel_calls_and_only_one_where_asked() -> None:
    calls = (
        call_function("weather", "call_1", place="Rome"),
        call_function("weather", "call_2", place="Oslo"),
    )
    async with Talk(
        replies=[Reply(calls=calls), Reply(calls=calls)], session={**TEXT, "tools": [WEATHER]}
    ) as talk:
        done = await talk.answer("both?")
        assert [item["call_id"] for item in done["output"]] == ["call_1", "call_2"]
        for call in ("call_1", "call_2"):
            talk.send(
                "conversation.item.create",
                item={"type": "function_call_output", "call_id": call, "output": ""},
            )
        done = await talk.answer("again", parallel_tool_calls=False)
        assert len(done["output"]) == 1
        names = [type(item).__name__ for item in talk.session.conversation.items]
        assert names.count("FunctionCall") == 3


@virtual_time
async def test_long_call_ids_are_short_for_the_client_and_long_for_the_model() -> None:
    long = "chatcmpl-tool-0123456789abcdef0123456789abcdef"
    async with Talk(
        replies=[call_function("weather", long), "Fine."], session={**TEXT, "tools": [WEATHER]}
    ) as talk:
        done = await talk.answer("?")
        short = done["output"][0]["call_id"]
        assert len(short) <= 32
        talk.send(
            "conversation.item.create", item={"type": "function_call_output", "call_id": short, "output": "x"}
        )
        await talk.answer()
        assert talk.llm.requests[-1].context.items[-1].call_id == long  # type: ignore[union-attr]


@virtual_time
async def test_g6_a_cancelled_response_ends_once_and_the_model_keeps_what_was_said() -> None:
    async with Talk(replies=["One two three four five six seven eight.", "Yes."]) as talk:
        talk.say("count")
        talk.respond()
        while len(talk.client.all("response.output_audio_transcript.delta")) < 3:
            await elapse(0.01)
        talk.send("response.cancel")
        assert talk.client.types[-7:] == [
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]
        done = talk.client.last("response.done")["response"]
        assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        assert done["usage"]["output_tokens"] > 0
        said = talk.client.last("response.output_audio_transcript.done")["transcript"]
        count = len(talk.events)
        await elapse(3)
        assert len(talk.events) == count
        await talk.answer("go on")
        assert talk.asked[-1] == [("user", "count"), ("assistant", said.strip()), ("user", "go on")]


@virtual_time
async def test_speech_cancels_and_a_response_cancelled_before_the_model_began_never_speaks() -> None:
    async with Talk(replies=["One two three four five six " * 20, "Yes?", "Never."]) as talk:
        talk.say("count")
        talk.respond()
        await elapse(0.4)
        talk.hear(0.3, "stop it", 1.5)
        await talk.done(2)
        first, second = (each["response"] for each in talk.client.all("response.done"))
        assert first["status_details"]["reason"] == "turn_detected"
        assert second["status"] == "completed"
        talk.say("more")
        talk.respond()
        talk.send("response.cancel")
        await elapse(2)
        assert talk.client.last("response.done")["response"]["status"] == "cancelled"
        assert len(talk.client.all("response.done")) == 3


@virtual_time
async def test_g7_out_of_band_in_parallel_leaves_no_trace_and_echoes_metadata() -> None:
    replies = {"count": "One two three four five six.", "classify this": "sports"}
    async with Talk(replies=replies) as talk:
        talk.say("count", item_id="item_count")
        talk.respond()
        await elapse(0.3)
        raw = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "classify this"}],
        }
        talk.respond(
            conversation="none",
            output_modalities=["text"],
            metadata={"topic": "x"},
            instructions="Classify.",
            input=[{"type": "item_reference", "id": "item_count"}, raw],
            tools=[WEATHER],
            tool_choice={"type": "function", "name": "weather"},
        )
        aside = await talk.done()
        assert aside["metadata"] == {"topic": "x"}
        assert aside["conversation_id"] is None
        assert aside["output"][0]["content"][0]["text"] == "sports"
        asked = talk.llm.requests[-1]
        assert asked.instructions == "Classify."
        assert asked.tool_choice == "weather"
        assert [item.text for item in asked.context.messages] == ["count", "classify this"]
        main = await talk.done()
        assert main["status"] == "completed"
        assert len(talk.client.all("conversation.item.added")) == 2
        talk.respond(conversation="none", output_modalities=["text"], input=[])
        await talk.done()
        assert talk.llm.requests[-1].context.items == ()


@virtual_time
async def test_per_response_modality_tools_and_limits_and_a_choice_of_none() -> None:
    async with Talk(replies=["Hello you.", "Bye."], session={"tools": [WEATHER]}) as talk:
        done = await talk.answer(
            "hi", output_modalities=["text"], tools=[], tool_choice="none", max_output_tokens=77
        )
        assert done["output_modalities"] == ["text"]
        assert done["max_output_tokens"] == 77
        request = talk.llm.requests[-1]
        assert (tuple(request.tools), request.tool_choice, request.max_output_tokens) == ((), "none", 77)
        await talk.answer("bye")
        assert [tool.name for tool in talk.llm.requests[-1].tools] == ["weather"]
        assert talk.client.all("response.output_audio.delta")


@virtual_time
async def test_too_much_output_is_incomplete() -> None:
    async with Talk(replies=["word " * 200, Reply("All of it.", usage=Usage(5, 3))]) as talk:
        done = await talk.answer("talk", output_modalities=["text"], max_output_tokens=20)
        assert done["status"] == "incomplete"
        assert done["status_details"]["reason"] == "max_output_tokens"
        text = done["output"][0]["content"][0]["text"]
        assert 60 <= len(text) <= 110
        done = await talk.answer(
            "x", output_modalities=["text"], max_output_tokens=3
        )  # the model itself stopped there
        assert done["status_details"]["reason"] == "max_output_tokens"


@virtual_time
async def test_a_failing_model_fails_the_response_and_the_session_goes_on() -> None:
    llm = ScriptedLLM(["never", "Back again."], faults=[fail(call=1)])
    async with Talk(model_of(llm=llm), observe=True, session=TEXT) as talk:
        done = await talk.answer("hi")
        assert done["status"] == "failed"
        assert done["status_details"]["error"]["code"]
        assert done["status_details"]["error"]["message"]
        assert not talk.client.all("error")
        assert talk.client.last("repartee.error")["stage"] == "llm"
        done = await talk.answer("again")
        assert done["status"] == "completed"


@virtual_time
async def test_a_failing_voice_fails_the_response() -> None:
    tts = ScriptedTTS(ms_per_word=250, faults=[fail(call=1, after=2)])
    async with Talk(model_of(["One two three four.", "Fine."], tts=tts)) as talk:
        assert (await talk.answer("hi"))["status"] == "failed"
        assert (await talk.answer("again"))["status"] == "completed"


@virtual_time
async def test_a_stalled_model_fails_by_a_deadline() -> None:
    llm = ScriptedLLM(["Hi.", "Back."], faults=[stall(call=1)])
    model = model_of(llm=llm)
    model.model.model.first_token_timeout_s = 1e6  # type: ignore[attr-defined]
    async with Talk(model, session=TEXT) as talk:
        talk.say("hi")
        talk.respond()
        await elapse(29)
        assert not talk.client.all("response.done")
        await elapse(2)
        done = talk.client.last("response.done")["response"]
        assert done["status"] == "failed"
        assert done["status_details"]["error"]["code"] == "model_timeout"
        assert (await talk.answer("again"))["status"] == "completed"


@virtual_time
async def test_how_long_a_model_and_a_function_may_take_is_an_option() -> None:
    @function_tool
    async def forever() -> str:
        """Never ends."""
        await elapse(1e6)
        return ""

    options = ServerOptions(response_stall_s=3.0, tool_s=2.0)
    llm = ScriptedLLM([call_function("forever"), "It did not work.", "Hi."], faults=[stall(call=3)])
    async with Talk(model_of(llm=llm), session=TEXT, tools=[forever], options=options) as talk:
        talk.say("hi")
        talk.respond()
        await elapse(2.5)
        assert talk.client.last("response.done")["response"]["status"] == "completed"
        talk.say("hi")
        talk.respond()
        await elapse(2.9)
        assert len(talk.client.all("response.done")) == 1
        await elapse(0.3)
        assert talk.client.last("response.done")["response"]["status"] == "failed"


# -- functions on the server -----------------------------------------------------------------------------------


@function_tool
async def roll(sides: int) -> str:
    """Roll a die."""
    await elapse(0.2)
    return f"rolled {sides}"


@function_tool
async def broken() -> str:
    """Fail."""
    raise ToolError("the die is lost")


@virtual_time
async def test_functions_of_the_server_run_and_the_answer_carries_on() -> None:
    replies = [Reply("Rolling.", (call_function("roll", "call_1", sides=6),)), "A six."]
    async with Talk(replies=replies, tools=[roll], session=TEXT, observe=True) as talk:
        done = await talk.answer("roll")
        await elapse(2)
        _message, call, words = done["output"]
        assert call["type"] == "mcp_call"
        assert call["output"] == "rolled 6"
        assert call["name"] == "roll"
        assert words["content"][0]["text"] == "A six."
        order = [kind for kind in talk.client.types if "mcp" in kind]
        assert order == [
            "response.mcp_call_arguments.delta",
            "response.mcp_call_arguments.done",
            "response.mcp_call.in_progress",
            "response.mcp_call.completed",
        ]
        assert [each["state"] for each in talk.client.all("repartee.tool")] == ["running", "done"]
        assert "FunctionCallOutput" in [type(item).__name__ for item in talk.llm.requests[-1].context]
        # Who waits for the response's end has it all.
        assert len(talk.client.all("response.created")) == len(talk.client.all("response.done")) == 1
        states = [each["agent"] for each in talk.client.all("repartee.state")]
        assert states == ["thinking", "speaking", "thinking", "speaking", "listening"]


@virtual_time
async def test_a_response_costs_what_all_its_rounds_cost() -> None:
    replies = [
        Reply(calls=(call_function("roll", sides=6),), usage=Usage(10, 3, 2)),
        Reply("A six.", usage=Usage(20, 4, 10)),
    ]
    async with Talk(replies=replies, tools=[roll], session=TEXT) as talk:
        usage = (await talk.answer("roll"))["usage"]
        assert (usage["input_tokens"], usage["output_tokens"]) == (30, 7)
        assert usage["input_token_details"]["cached_tokens"] == 12


@virtual_time
async def test_one_call_at_a_time_is_one_of_each_round() -> None:
    replies = [
        Reply(calls=(call_function("roll", "call_1", sides=6), call_function("roll", "call_2", sides=8))),
        call_function("roll", "call_3", sides=4),
        "Both.",
    ]
    async with Talk(replies=replies, tools=[roll], session=TEXT) as talk:
        done = await talk.answer("roll", parallel_tool_calls=False)
        assert [item.get("output") for item in done["output"]] == ["rolled 6", "rolled 4", None]


@virtual_time
async def test_a_response_with_its_own_input_sees_its_calls_and_results_too() -> None:
    async with Talk(replies=[call_function("roll", sides=6), "Six."], tools=[roll], session=TEXT) as talk:
        talk.say("not this")
        await talk.answer(
            input=[{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "this"}]}]
        )
        context = talk.llm.requests[-1].context
        assert [type(item).__name__ for item in context] == ["Message", "FunctionCall", "FunctionCallOutput"]
        assert context.messages[0].text == "this"


@virtual_time
async def test_the_caller_cuts_off_a_response_between_its_call_and_its_words() -> None:
    replies = [call_function("roll", sides=4), "Four, and so on and so on.", "Yes?"]
    async with Talk(replies=replies, tools=[roll]) as talk:
        talk.say("roll")
        talk.respond()
        while not talk.client.all("response.mcp_call.completed"):
            await elapse(0.01)
        talk.hear(0.2, "wait", 1.5)
        await talk.done(2)
        first, second = (each["response"] for each in talk.client.all("response.done"))
        assert (first["status"], first["status_details"]["reason"]) == ("cancelled", "turn_detected")
        assert second["status"] == "completed"
        await elapse(3)
        assert len(talk.client.all("response.done")) == 2
        outputs = [item for item in talk.llm.requests[-1].context if isinstance(item, FunctionCallOutput)]
        assert [output.output for output in outputs] == ["rolled 4"]


@virtual_time
async def test_a_function_that_fails_tells_the_model() -> None:
    async with Talk(replies=[call_function("broken"), "Sorry."], tools=[broken], session=TEXT) as talk:
        done = await talk.answer("go")
        call = done["output"][0]
        assert call["error"]["message"] == "the die is lost"
        output = talk.llm.requests[-1].context.items[-1]
        assert isinstance(output, FunctionCallOutput)
        assert output.is_error
        assert output.output == "the die is lost"


@virtual_time
async def test_a_cut_off_call_still_has_its_result_in_the_models_memory() -> None:
    async with Talk(replies=[call_function("roll", sides=4), "Four."], tools=[roll], session=TEXT) as talk:
        talk.say("roll")
        talk.respond()
        while not talk.client.all("response.mcp_call.in_progress"):
            await elapse(0.01)
        talk.send("response.cancel")
        await elapse(1)
        done = talk.client.last("response.done")["response"]
        assert done["status"] == "cancelled"
        assert "cut off" in done["output"][0]["error"]["message"]
        assert len(talk.client.all("response.created")) == 1
        await talk.answer("and?")
        outputs = [item for item in talk.llm.requests[-1].context if isinstance(item, FunctionCallOutput)]
        assert [output.output for output in outputs] == ["rolled 4"]


@virtual_time
async def test_a_function_that_was_not_offered_does_not_run() -> None:
    async with Talk(
        replies=lambda request: call_function("roll", sides=6), tools=[roll], session=TEXT
    ) as talk:
        wanted: list[dict[str, Any]] = [{"conversation": "none"}, {"tools": []}]
        for response in wanted:
            done = await talk.answer("roll", **response)
            assert [item["type"] for item in done["output"]] == ["function_call"]
        await elapse(1)
        assert len(talk.client.all("response.created")) == 2


@virtual_time
async def test_endless_rounds_end() -> None:
    llm = ScriptedLLM(
        lambda request: "Enough." if request.tool_choice == "none" else call_function("roll", sides=2)
    )
    async with Talk(model_of(llm=llm), tools=[roll], session={**TEXT, "tool_choice": "required"}) as talk:
        done = await talk.answer("go")
        await elapse(5)
        assert [item["type"] for item in done["output"]] == [*["mcp_call"] * 7, "message"]
        assert len(talk.client.all("response.done")) == 1
        assert [request.tool_choice for request in llm.requests] == ["required", *["auto"] * 6, "none"]


@virtual_time
async def test_the_clients_functions_beside_the_servers_need_the_client_to_go_on() -> None:
    calls = (call_function("roll", "call_1", sides=6), call_function("weather", "call_2", place="x"))
    async with Talk(replies=[Reply(calls=calls)], tools=[roll], session={**TEXT, "tools": [WEATHER]}) as talk:
        done = await talk.answer("both")
        assert [item["type"] for item in done["output"]] == ["mcp_call", "function_call"]
        await elapse(2)
        assert len(talk.client.all("response.created")) == 1


# -- what a response may take in -------------------------------------------------------------------------------


@virtual_time
async def test_the_oldest_items_are_left_out_and_system_messages_stay() -> None:
    options = ServerOptions(context_tokens=256)
    async with Talk(replies=["a", "b"], session=TEXT, options=options) as talk:
        rule = {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Rule."}]}
        talk.send("conversation.item.create", item=rule)
        for n in range(6):
            talk.say(f"{n} " + "x" * 300)
        await talk.answer()
        texts = [item.text for item in talk.llm.requests[-1].context.messages]
        assert (texts[0] == "Rule." and [text[0] for text in texts[1:]] == ["4", "5"]) or texts[-1][0] == "5"
        assert len(texts) < 7
        assert not talk.client.all("conversation.item.deleted")
        assert len(talk.client.connection.conversation) == 8


@virtual_time
async def test_retention_drops_more_at_once() -> None:
    truncation = {
        "type": "retention_ratio",
        "retention_ratio": 0.5,
        "token_limits": {"post_instructions": 400},
    }
    async with Talk(replies=["a"], session={**TEXT, "truncation": truncation}) as talk:
        for n in range(6):
            talk.say(f"{n} " + "x" * 318)  # 84 tokens each
        await talk.answer()
        assert [item.text[0] for item in talk.llm.requests[-1].context.messages] == ["4", "5"]


@virtual_time
async def test_too_long_a_conversation_fails_where_truncation_is_off() -> None:
    options = ServerOptions(context_tokens=256)
    async with Talk(replies=["a"], session={**TEXT, "truncation": "disabled"}, options=options) as talk:
        for _ in range(6):
            talk.say("x" * 300)
        done = await talk.answer()
        assert done["status_details"]["error"]["code"] == "conversation_too_long"
        assert not talk.llm.requests


@virtual_time
async def test_a_keys_tokens_are_told_and_end() -> None:
    budget = TokenBudget(60, 0.0)
    replies = [Reply("Fine.", usage=Usage(50, 20)), "ok"]
    async with Talk(replies=replies, session=TEXT, budget=budget) as talk:
        assert (await talk.answer("hi"))["status"] == "completed"
        [told] = talk.client.last("rate_limits.updated")["rate_limits"]
        assert told["limit"] == 60
        assert told["remaining"] == 0
        assert told["reset_seconds"] > 60
        done = await talk.answer("hi")
        assert done["status_details"]["error"]["code"] == "rate_limit_exceeded"
        await elapse(60)
        assert (await talk.answer("hi"))["status"] == "completed"


@virtual_time
async def test_usage_is_the_models_and_counted_where_it_says_nothing() -> None:
    replies = [Reply("Two words.", usage=Usage(100, 7, 40)), Reply("Two words.", usage=Usage())]
    async with Talk(replies=replies) as talk:
        usage = (await talk.answer("hi"))["usage"]
        assert usage["input_tokens"] == 100
        assert usage["input_token_details"]["cached_tokens"] == 40
        assert usage["output_token_details"] == {"text_tokens": 7, "audio_tokens": 10}
        assert usage["total_tokens"] == 117
        usage = (await talk.answer("hi", output_modalities=["text"]))["usage"]
        assert usage["output_token_details"] == {"text_tokens": 3, "audio_tokens": 0}
        assert usage["input_token_details"]["audio_tokens"] == 10  # what it has said before
        assert usage["input_token_details"]["text_tokens"] > 0


@pytest.mark.parametrize("speed", [0.5, 1.5])
def test_speed_changes_the_length_and_where_words_are(speed: float) -> None:
    @virtual_time
    async def run() -> None:
        session = {"audio": {"output": {"speed": speed}}}
        async with Talk(replies=["One two three four.", "Ok."], session=session, observe=True) as talk:
            done = await talk.answer("count")
            audio = talk.client.all("response.output_audio.delta")
            length_ms = sum(len(each["delta"]) * 3 // 4 for each in audio) / 48
            assert abs(length_ms - 1000 / speed) < 2
            words = {each["delta"].strip(): each["start_ms"] for each in talk.client.all("repartee.words")}
            assert abs(words["three"] - 500 / speed) < 1
            item = done["output"][0]["id"]
            talk.send(
                "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=round(600 / speed)
            )
            await talk.answer("and?")
            assert talk.asked[-1][1] == ("assistant", "One two")

    run()


@virtual_time
async def test_a_conversation_of_messages_alone_keeps_its_roles() -> None:
    async with Talk(replies=["ok"], session=TEXT) as talk:
        for role, kind in (("system", "input_text"), ("assistant", "output_text"), ("user", "input_text")):
            item = {"type": "message", "role": role, "content": [{"type": kind, "text": role}]}
            talk.send("conversation.item.create", item=item)
        await talk.answer()
        assert talk.asked[-1] == [("system", "system"), ("assistant", "assistant"), ("user", "user")]
        assert isinstance(talk.llm.requests[-1].context.items[0], Message)


@virtual_time
async def test_a_response_may_sound_in_a_format_of_its_own() -> None:
    async with Talk(replies=["One two.", "Three."]) as talk:
        item_id = (await talk.answer("hi", audio={"output": {"format": {"type": "audio/pcmu"}}}))["output"][
            0
        ]["id"]
        audio = [base64.b64decode(each["delta"]) for each in talk.client.all("response.output_audio.delta")]
        assert sum(map(len, audio)) == 500 * 8
        talk.send(
            "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=501, event_id="x"
        )
        assert "500ms is already shorter" in talk.client.last("error")["error"]["message"]
        talk.client.clear()
        await talk.answer("hi")
        audio = [base64.b64decode(each["delta"]) for each in talk.client.all("response.output_audio.delta")]
        assert sum(map(len, audio)) == 250 * 48
