"""A client's session: events in the recorded order, and what they do to the model."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from repartee.audio import AudioFrame, g711, resample
from repartee.chat import ImageContent
from repartee.compose.wrapper import WrapperModel, WrapperSession
from repartee.errors import ModelConnectionError
from repartee.models import LLMCapabilities
from repartee.models import events as inner
from repartee.protocol.beta import BetaDialect
from repartee.protocol.faults import SESSION_EXPIRED
from repartee.testing import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD, elapse, fail, virtual_time
from tests.server.talk import Client, Talk, model_of, sound

MESSAGE = [
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
]
TEXT_RESPONSE = [
    "response.created",
    *MESSAGE,
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]
SPOKEN_TAIL = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]
ADDED = ["conversation.item.added", "conversation.item.done"]


@virtual_time
async def test_g1_g3_a_text_turn_in_order() -> None:
    async with Talk(replies=["Hello there."], session={"output_modalities": ["text"]}) as talk:
        done = await talk.answer("hi")
        assert talk.client.types == ["session.created", "session.updated", *ADDED, *TEXT_RESPONSE]
        assert done["status"] == "completed"
        assert done["output"][0]["content"] == [{"type": "output_text", "text": "Hello there."}]
        assert talk.asked == [[("user", "hi")]]


@virtual_time
async def test_g4_a_spoken_turn_with_manual_commit() -> None:
    async with Talk(replies=["Sure, done."], session={"audio": {"input": {"turn_detection": None}}}) as talk:
        talk.hear("book a table")
        talk.send("input_audio_buffer.commit")
        await elapse(0.5)
        done = await talk.answer()
        kinds = talk.client.types
        assert kinds[:6] == [
            "session.created",
            "session.updated",
            "input_audio_buffer.committed",
            *ADDED,
            "response.created",
        ]
        assert kinds[6:9] == MESSAGE
        assert kinds[-7:] == SPOKEN_TAIL
        assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": "Sure, done."}]
        audio = talk.client.all("response.output_audio.delta")
        assert sum(len(each["delta"]) for each in audio) * 3 // 4 == 500 * 48
        assert talk.asked == [[("user", "book a table")]]


@virtual_time
async def test_g2_a_voice_turn_in_order() -> None:
    async with Talk(replies=["Sure."]) as talk:
        talk.hear(0.5, "book a table", 1.5)
        await talk.done()
        assert talk.client.types == [
            "session.created",
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            *ADDED,
            "response.created",
            *MESSAGE,
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            *SPOKEN_TAIL,
        ]
        assert talk.asked[-1] == [("user", "book a table")]


# -- the caller's words ----------------------------------------------------------------------------------------

TRANSCRIBE = {"audio": {"input": {"transcription": {"model": "any"}}}}
PUSH_TO_TALK = {"audio": {"input": {"turn_detection": None, "transcription": {"model": "any"}}}}


@virtual_time
async def test_words_are_told_only_where_they_are_wanted() -> None:
    async with Talk(replies=["a", "b"]) as talk:
        talk.hear(0.3, "book a table", 1.0)
        await talk.done()
        assert not [kind for kind in talk.client.types if "transcription" in kind]
        talk.update(**TRANSCRIBE)
        talk.hear("for two please", 1.0)
        await talk.done()
        completed = talk.client.last("conversation.item.input_audio_transcription.completed")
        assert completed["transcript"] == "for two please"
        assert completed["usage"]["type"] == "duration"
        assert completed["usage"]["seconds"] > 1
        deltas = talk.client.all("conversation.item.input_audio_transcription.delta")
        assert "".join(each["delta"] for each in deltas) == "for two please"
        item_id = talk.client.last("input_audio_buffer.committed")["item_id"]
        assert {each["item_id"] for each in [completed, *deltas]} == {item_id}
        talk.send("conversation.item.retrieve", item_id=item_id)
        part = talk.client.last("conversation.item.retrieved")["item"]["content"][0]
        assert part["transcript"] == "for two please"
        assert len(part["audio"]) > 1000


@virtual_time
async def test_a_stretch_without_words_is_committed_and_not_answered() -> None:
    async with Talk(replies=["never"], session=TRANSCRIBE, vad=ScriptedVAD([(0.3, 1.0)])) as talk:
        talk.hear(3.0)
        await elapse(4)
        assert len(talk.client.all("input_audio_buffer.committed")) == 1
        assert talk.client.last("conversation.item.input_audio_transcription.completed")["transcript"] == ""
        assert not talk.client.all("response.created")


@virtual_time
@pytest.mark.parametrize("session", [TRANSCRIBE, {}], ids=["words wanted", "not wanted"])
async def test_a_turn_with_which_the_recogniser_failed_has_an_answer_that_says_so(
    session: dict[str, Any],
) -> None:
    stt = ScriptedSTT(interim_lag_s=0.5, faults=[fail(1)])
    async with Talk(model_of(["Roger."], stt=stt), session=session) as talk:
        talk.hear(0.3, "book", 1.5)
        done = await talk.done()
        assert done["status"] == "failed"
        assert done["status_details"]["error"]["code"] == "transcription_failed"
        item_id = talk.client.last("input_audio_buffer.committed")["item_id"]
        failed = talk.client.all("conversation.item.input_audio_transcription.failed")
        assert [each["item_id"] for each in failed] == ([item_id] if session else [])
        assert not talk.client.all("conversation.item.input_audio_transcription.completed")
        talk.hear("for two please", 1.5)
        assert (await talk.done())["status"] == "completed"


@virtual_time
async def test_what_is_said_behind_a_lost_turn_is_answered() -> None:
    stt = ScriptedSTT(interim_lag_s=None, faults=[fail(1)])
    async with Talk(model_of(["Roger.", "Wilco."], stt=stt), session=PUSH_TO_TALK) as talk:
        talk.hear("book a table")
        talk.send("input_audio_buffer.commit")
        assert (await talk.answer())["status"] == "failed"
        assert (await talk.answer("a table, I said"))["status"] == "completed"
        own = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]
        assert (await talk.answer(conversation="none", input=own))["status"] == "completed"


@virtual_time
async def test_items_around_a_turn_without_words_find_their_place() -> None:
    async with Talk(replies=["ok"], session=PUSH_TO_TALK) as talk:
        talk.say("before", item_id="item_a")
        talk.hear(0.5)
        talk.send("input_audio_buffer.commit")
        empty = talk.client.last("input_audio_buffer.committed")["item_id"]
        talk.say("behind", previous_item_id=empty)
        talk.say("front", previous_item_id="root")
        talk.send("conversation.item.delete", item_id=empty)
        await talk.answer(output_modalities=["text"])
        assert talk.asked[-1] == [("user", "front"), ("user", "before"), ("user", "behind")]


@virtual_time
async def test_a_turn_deleted_before_its_words_came_is_not_in_the_models_memory() -> None:
    async with Talk(replies=["ok"], session=PUSH_TO_TALK) as talk:
        talk.hear("forget this")
        talk.send("input_audio_buffer.commit")
        talk.send(
            "conversation.item.delete", item_id=talk.client.last("input_audio_buffer.committed")["item_id"]
        )


@virtual_time
async def test_g8_a_transcription_session() -> None:
    async with Talk(kind="transcription", session=TRANSCRIBE) as talk:
        talk.hear(0.3, "book a table", 1.5)
        await elapse(3)
        kinds = talk.client.types
        assert [kind for kind in kinds if "transcription" not in kind] == [
            "session.created",
            "session.updated",
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            *ADDED,
        ]
        assert (
            talk.client.last("conversation.item.input_audio_transcription.completed")["transcript"]
            == "book a table"
        )
        assert not talk.session.conversation.items.items
        assert not talk.llm.requests
        talk.send("response.create", event_id="mine")
        assert talk.client.last("error")["error"]["event_id"] == "mine"


@virtual_time
async def test_a_manual_transcription_streams_before_the_commit() -> None:
    async with Talk(kind="transcription", session=PUSH_TO_TALK) as talk:
        pieces = ["book", "a", "table", "for", "two"]
        for piece in pieces:
            talk.hear(piece)
            await elapse(0.4)
        await elapse(0.3)
        early = talk.client.all("conversation.item.input_audio_transcription.delta")
        talk.send("input_audio_buffer.commit")
        await elapse(1)
        completed = talk.client.last("conversation.item.input_audio_transcription.completed")
        deltas = talk.client.all("conversation.item.input_audio_transcription.delta")
        assert completed["transcript"] == "".join(each["delta"] for each in deltas) == "book a table for two"
        assert len({each["item_id"] for each in deltas}) == 1
        assert early


# -- the conversation ------------------------------------------------------------------------------------------


@virtual_time
async def test_truncation_cuts_at_the_word_heard_twice_and_while_it_is_said() -> None:
    async with Talk(replies=["One two three four five six seven eight.", "ok", "ok"]) as talk:
        talk.say("count")
        talk.respond()
        while len(talk.client.all("response.output_audio.delta")) < 8:
            await elapse(0.005)
        item = talk.client.last("response.output_item.added")["item"]["id"]
        talk.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=600)
        assert talk.client.last("conversation.item.truncated")["audio_end_ms"] == 600
        await talk.done()
        await talk.answer("and?", output_modalities=["text"])
        assert talk.asked[-1][1] == ("assistant", "One two")
        talk.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=300)
        talk.send(
            "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=900, event_id="past"
        )
        error = talk.client.last("error")["error"]
        assert error["event_id"] == "past"
        assert "already shorter" in error["message"]
        talk.send("conversation.item.retrieve", item_id=item)
        part = talk.client.last("conversation.item.retrieved")["item"]["content"][0]
        assert "transcript" not in part
        assert len(part["audio"]) == 300 * 48 * 4 // 3
        await talk.answer("and?", output_modalities=["text"])
        assert talk.asked[-1][1] == ("assistant", "One")


@virtual_time
async def test_a_cut_stays_when_the_response_is_cancelled_behind_it() -> None:
    async with Talk(replies=["One two three four five six seven eight " * 10, "ok"]) as talk:
        talk.say("count")
        talk.respond()
        while len(talk.client.all("response.output_audio.delta")) < 12:
            await elapse(0.005)
        item = talk.client.last("response.output_item.added")["item"]["id"]
        talk.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=600)
        talk.send("response.cancel")
        await talk.answer("and?", output_modalities=["text"])
        assert talk.asked[-1][1] == ("assistant", "One two")


@virtual_time
async def test_nothing_heard_is_nothing_said() -> None:
    async with Talk(replies=["One two three four.", "ok"]) as talk:
        done = await talk.answer("count")
        talk.send(
            "conversation.item.truncate", item_id=done["output"][0]["id"], content_index=0, audio_end_ms=0
        )
        await talk.answer("and?", output_modalities=["text"])
        assert talk.asked[-1] == [("user", "count"), ("user", "and?")]


@virtual_time
async def test_items_are_created_deleted_and_retrieved_in_both_conversations() -> None:
    async with Talk(replies=["ok"], session={"output_modalities": ["text"]}) as talk:
        talk.say("one", item_id="item_1")
        talk.say("three", item_id="item_3")
        talk.say("two", item_id="item_2", previous_item_id="item_1")
        talk.say("zero", item_id="item_0", previous_item_id="root")
        talk.send("conversation.item.delete", item_id="item_3")
        talk.send("conversation.item.retrieve", item_id="item_2")
        assert talk.client.last("conversation.item.retrieved")["item"]["content"][0]["text"] == "two"
        await talk.answer()
        assert [text for _, text in talk.asked[-1]] == ["zero", "one", "two"]


@virtual_time
async def test_images_only_for_models_that_see() -> None:
    image = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}],
    }
    async with Talk(replies=["ok"]) as talk:
        talk.send("conversation.item.create", item=image, event_id="mine")
        error = talk.client.last("error")["error"]
        assert error["event_id"] == "mine"
        assert "no images" in error["message"]
        assert error["param"] == "item.content[0].type"
    llm = ScriptedLLM(["A cat."], capabilities=LLMCapabilities(images=True))
    async with Talk(model_of(llm=llm), session={"output_modalities": ["text"]}) as talk:
        talk.send("conversation.item.create", item=image)
        await talk.answer()
        assert llm.requests[-1].context.messages[0].content == (ImageContent("data:image/png;base64,AA=="),)


# -- the session -----------------------------------------------------------------------------------------------


@virtual_time
async def test_updates_reach_the_model_and_come_back_narrow() -> None:
    async with Talk(replies=["a", "b"]) as talk:
        talk.update(
            instructions="Be brief.",
            tools=[{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}],
            tool_choice={"type": "function", "name": "f"},
            max_output_tokens=500,
            output_modalities=["text"],
            tracing=None,
            audio={
                "input": {"noise_reduction": None, "transcription": {"model": "x"}},
                "output": {"voice": {"id": "nova"}, "speed": 1.0},
            },
        )
        session = talk.client.last("session.updated")["session"]
        assert session["audio"]["output"]["voice"] == "nova"
        assert session["audio"]["input"]["transcription"] == {"model": "x", "language": None, "prompt": None}
        assert session["audio"]["input"]["noise_reduction"] is None
        await talk.answer("hi")
        request = talk.llm.requests[-1]
        assert request.instructions == "Be brief."
        assert request.tool_choice == "f"
        assert request.max_output_tokens == 500
        assert [tool.name for tool in request.tools] == ["f"]
        talk.update(instructions="", tools=[], tool_choice="auto")
        await talk.answer("hi")
        request = talk.llm.requests[-1]
        assert request.instructions == "Be kind."
        assert request.tools == ()
        assert request.tool_choice == "auto"


@virtual_time
async def test_who_names_no_model_may_name_any_once() -> None:
    async with Talk() as talk:
        talk.session.served = replace(
            talk.served, any_name=True
        )  # as the service does where it serves one model
        talk.update(model="gpt-realtime", audio={"output": {"speed": 9.0}})
        talk.update(model="gpt-realtime")
        talk.update(model="gpt-realtime", instructions="Be brief.")
        talk.update(model="gpt-other")
        talk.update(model="scripted")
        told = [each["session"]["model"] for each in talk.client.all("session.updated")]
        assert told == ["gpt-realtime", "gpt-realtime"]
        wrong = [each["error"]["param"] for each in talk.client.all("error")]
        assert wrong == ["session.audio.output.speed", "session.model", "session.model"]
    async with Talk() as talk:
        talk.session.served = replace(talk.served, any_name=True)
        talk.update(model="gpt-realtime", audio={"output": {"speed": 9.0}})
        talk.update(instructions="Be brief.")
        assert talk.client.last("session.updated")["session"]["model"] == "scripted"
    async with Talk() as talk:
        talk.update(model="gpt-realtime")
        [error] = talk.client.all("error")
        assert error["error"]["param"] == "session.model"


@virtual_time
async def test_the_voice_stays_once_it_has_spoken() -> None:
    tts = ScriptedTTS(ms_per_word=250, voices=("alloy", "echo"))
    async with Talk(model_of(["Hello."], tts=tts)) as talk:
        talk.update(audio={"output": {"voice": "alloy"}})
        await talk.answer("hi")
        talk.update(instructions="New.", audio={"output": {"voice": "echo"}})
        assert talk.client.last("error")["error"]["code"] == "cannot_update_voice"
        assert talk.session.inner.options.voice == "alloy"
        assert talk.session.inner.options.instructions == "Be kind."


@virtual_time
async def test_mcp_servers_of_a_client_are_listed_as_failed() -> None:
    async with Talk() as talk:
        talk.update(tools=[{"type": "mcp", "server_label": "far", "server_url": "https://mcp.test"}])
        assert talk.client.types[-5:] == [
            "session.updated",
            "conversation.item.added",
            "mcp_list_tools.in_progress",
            "mcp_list_tools.failed",
            "conversation.item.done",
        ]


ERRORS = [
    ({"type": "scooby.dooby.doo"}, "invalid_value"),
    ({"event_id": "mine"}, "invalid_event"),
    ({"type": "response.cancel"}, "response_cancel_not_active"),
    ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty"),
    (
        {"type": "conversation.item.truncate", "item_id": "no", "content_index": 0, "audio_end_ms": 1},
        "item_truncate_invalid_item_id",
    ),
    ({"type": "conversation.item.delete", "item_id": "no"}, "item_delete_invalid_item_id"),
    ({"type": "conversation.item.retrieve", "item_id": "no"}, "item_retrieve_invalid_item_id"),
    ({"type": "session.update", "session": {"type": "realtime", "foo": 1}}, "unknown_parameter"),
    (
        {
            "type": "conversation.item.create",
            "previous_item_id": "no",
            "item": {"type": "message", "role": "user", "content": []},
        },
        "item_create_invalid_previous_item_id",
    ),
]


@pytest.mark.parametrize(("event", "code"), ERRORS, ids=[code for _, code in ERRORS])
def test_errors_have_their_codes_and_the_session_goes_on(event: dict[str, Any], code: str) -> None:
    @virtual_time
    async def run() -> None:
        async with Talk(replies=["ok"], session={"output_modalities": ["text"]}) as talk:
            talk.session.receive(json.dumps({**event, "event_id": "mine"}), talk.client)
            error = talk.client.last("error")["error"]
            assert (error["code"], error["event_id"]) == (code, "mine")
            assert (await talk.answer("hi"))["status"] == "completed"

    run()


@virtual_time
async def test_a_second_response_is_refused_while_one_is_live() -> None:
    async with Talk(replies=["One two three four."]) as talk:
        talk.say("hi")
        talk.respond()
        talk.respond()
        assert talk.client.last("error")["error"]["code"] == "conversation_already_has_active_response"
        assert (await talk.done())["status"] == "completed"


@virtual_time
async def test_what_is_no_json_is_an_error() -> None:
    async with Talk() as talk:
        talk.session.receive(b"{nope", talk.client)
        assert talk.client.last("error")["error"]["code"] == "invalid_event"


@virtual_time
async def test_g711_both_ways() -> None:
    for name, law in (("audio/pcmu", "ulaw"), ("audio/pcma", "alaw")):
        session = {"audio": {"input": {"turn_detection": None}, "output": {"format": {"type": name}}}}
        async with Talk(replies=["One two."], session=session) as talk:
            await talk.answer("hi")
            deltas = [
                base64.b64decode(each["delta"]) for each in talk.client.all("response.output_audio.delta")
            ]
            assert sum(map(len, deltas)) == 500 * 8
            pcm = resample(AudioFrame(g711.decode(b"".join(deltas), law), 8000), 24_000)  # type: ignore[arg-type]
            [spoken] = talk.tts.utterances
            heard = np.frombuffer(pcm.data, "<i2").astype(float)
            said = np.frombuffer(
                resample(resample(AudioFrame(spoken.audio, 24_000), 8000), 24_000).data, "<i2"
            )
            length = min(len(heard), len(said))
            assert np.corrcoef(heard[:length], said[:length])[0, 1] > 0.98


@virtual_time
async def test_a_model_that_can_not_be_had_ends_the_session() -> None:
    class Unreachable(WrapperModel):
        def session(self, options: Any, *, on_event: Any, clock: Any) -> Any:
            return Broken(self.model, options, on_event=on_event, clock=clock)

    class Broken(WrapperSession):
        async def start(self) -> None:
            raise ModelConnectionError("there is no {route} to the model", stage="realtime")

    async with Talk(Unreachable(model_of())) as talk:
        error = talk.client.last("error")["error"]
        assert error["type"] == "server_error"
        assert "no {route} to" in error["message"]
        assert talk.client.closed is not None
        assert talk.client.closed[0] == 1011
        assert talk.session.ended.is_set()
        talk.say("hello?")
        assert talk.client.types == ["session.created", "error"]


@virtual_time
async def test_a_model_that_is_lost_for_good_ends_the_session() -> None:
    async with Talk(replies=["One two three four five."]) as talk:
        talk.say("hi")
        talk.respond()
        await elapse(0.3)
        lost = ModelConnectionError("gone", stage="realtime")
        talk.session.inner.emit(inner.ErrorOccurred(lost, "realtime", fatal=True))
        assert talk.client.closed is not None
        assert talk.client.closed[0] == 1011
        count = len(talk.events)
        await elapse(5)
        assert len(talk.events) == count


@virtual_time
async def test_the_end_is_told_once_and_leaves_nothing() -> None:
    async with Talk(replies=["One two three four five six."]) as talk:
        talk.say("hi")
        talk.respond()
        await elapse(0.3)
        talk.session.end(SESSION_EXPIRED)
        talk.session.end(SESSION_EXPIRED)
        assert talk.client.last("error")["error"]["code"] == "session_expired"
        assert talk.client.closed == (1001, "Your session hit the maximum duration of 60 minutes.")
        await elapse(3)
        talk.hear("hello", 1.0)
        await elapse(1)
        assert talk.client.types[-1] == "error"


@virtual_time
async def test_an_update_may_come_before_the_start() -> None:
    talk = Talk(replies=["ok"])
    talk.update(output_modalities=["text"])
    async with talk:
        assert talk.client.types[:2] == ["session.created", "session.updated"]
        assert len(talk.client.all("session.created")) == 1


@virtual_time
async def test_g9_a_sideband_sees_all_but_the_start_and_the_audio() -> None:
    async with Talk(replies=["One two."]) as talk:
        side = Client(attached=True)
        talk.session.attach(side, sideband=True)
        talk.session.receive(
            json.dumps({"type": "session.update", "session": {"type": "realtime", "instructions": "Shout."}}),
            side,
        )
        await talk.answer("hi")
        assert side.types[0] == "session.updated"
        assert not side.all("response.output_audio.delta")
        assert side.all("response.output_audio_transcript.delta")
        assert talk.client.all("response.output_audio.delta")
        talk.session.detach(side)
        count = len(side.events)
        talk.say("more")
        assert len(side.events) == count


@virtual_time
async def test_only_observers_see_more_than_the_protocol() -> None:
    async with Talk(replies=["One two."], observe=True) as talk:
        plain = Client(attached=True)
        talk.session.attach(plain, sideband=True)
        talk.hear(0.3, "book a table", 1.5)
        await talk.done()
        await elapse(2)
        seen = {kind for kind in talk.client.types if kind.startswith("repartee.")}
        assert {"repartee.state", "repartee.interim", "repartee.words", "repartee.stage"} <= seen
        assert not [kind for kind in plain.types if kind.startswith("repartee.")]
        states = [(each["user"], each["agent"]) for each in talk.client.all("repartee.state")]
        assert states == [
            ("speaking", "listening"),
            ("listening", "listening"),
            ("listening", "thinking"),
            ("listening", "speaking"),
            ("listening", "listening"),
        ]
        assert all(isinstance(each["event_id"], str) for each in talk.events)


@virtual_time
async def test_observers_get_the_turns_times_with_its_answer() -> None:
    async with Talk(replies={"*": "One two."}, observe=True) as talk:
        talk.hear(0.3, "book a table", 1.5)
        await talk.done()
        order = [each["type"] for each in talk.events]
        [turn] = talk.client.all("repartee.turn")
        [created] = talk.client.all("response.created")
        assert turn["reason"] == "silence"
        assert turn["item_id"] == talk.client.all("input_audio_buffer.committed")[0]["item_id"]
        assert order.index("input_audio_buffer.speech_stopped") < order.index("repartee.turn")
        assert order.index("response.created") < order.index("repartee.stage")
        stages = {each["stage"]: each["at_ms"] for each in talk.client.all("repartee.stage")}
        assert {each["response_id"] for each in talk.client.all("repartee.stage")} == {
            created["response"]["id"]
        }
        assert stages["speech_end"] == turn["speech_end_ms"]
        assert stages["decision"] == turn["at_ms"]
        assert {"first_token", "first_audio"} <= stages.keys()


@virtual_time
async def test_a_beta_client_is_spoken_to_in_its_names() -> None:
    async with Talk(replies=["Hello."], dialect=BetaDialect()) as talk:
        talk.send("session.update", session={"modalities": ["text"], "instructions": "x"})
        talk.send(
            "conversation.item.create",
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        )
        talk.send("response.create")
        await talk.done()
        assert "response.text.delta" in talk.client.types
        assert "conversation.item.created" in talk.client.types
        assert "conversation.item.done" not in talk.client.types


@virtual_time
async def test_an_idle_caller_is_spoken_to() -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 6000}
    async with Talk(
        replies=["Hello.", "Still there?"], session={"audio": {"input": {"turn_detection": detection}}}
    ) as talk:
        talk.hear(0.3, "hello", 1.5)
        await talk.done()
        await elapse(6.5)
        kinds = [kind for kind in talk.client.types if kind.startswith("input_audio_buffer")]
        assert kinds[-2:] == ["input_audio_buffer.timeout_triggered", "input_audio_buffer.committed"]
        assert len(talk.client.all("response.created")) == 2
        await talk.done(2)
        assert "still" in talk.llm.requests[-1].instructions
        assert talk.asked[-1] == [("user", "hello"), ("assistant", "Hello.")]


@virtual_time
async def test_a_message_created_with_its_sound_is_heard() -> None:
    async with Talk(replies=["ok"], session={"output_modalities": ["text"]}) as talk:
        audio = base64.b64encode(sound("book a table")).decode()
        item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]}
        talk.send("conversation.item.create", item=item)
        talk.say("and quickly")
        await talk.answer()
        assert talk.asked[-1] == [("user", "book a table"), ("user", "and quickly")]
        item["content"] = [{"type": "input_audio", "transcript": "for two"}]
        talk.send("conversation.item.create", item=item)
        await talk.answer()
        assert talk.asked[-1][-1] == ("user", "for two")
