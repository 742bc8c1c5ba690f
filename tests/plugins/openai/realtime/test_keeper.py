"""Continuity: the planned end, lost connections, and those that can't be had."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from repartee.chat import FunctionCall, Message
from repartee.errors import ModelConnectionError, ModelError, ModelTimeoutError
from repartee.models import SessionOptions
from repartee.models import events as ev
from repartee.plugins.openai.realtime import ServerVad
from repartee.plugins.openai.realtime.keeper import Wire
from repartee.protocol import events as wire
from repartee.testing import call_function, elapse, virtual_time
from repartee.testing.realtime_connection import ServerManner
from repartee.testing.realtime_faults import drop, freeze, refuse
from repartee.testing.realtime_server import ScriptedRealtimeServer
from repartee.testing.scripted_llm import Reply
from tests.plugins.openai.realtime.talk import KEY, Talk, frames_of, model_at, words_of
from tests.plugins.openai.realtime.test_session import get_time

VAD = ServerVad(silence_duration_ms=400)
SLOW = ServerManner(chunk_s=0.1)


def test_a_wire_keeps_what_comes_before_somebody_listens() -> None:
    line = Wire()
    told: list[object] = []
    line.receive(b"one")
    assert line.first_frame() == b"one"
    line.end(1001, "bye")
    line.attach(told.append, lambda code, reason: told.append((code, reason)))
    assert told == [b"one", (1001, "bye")]
    line.detach()
    line.receive(b"two")
    assert told == [b"one", (1001, "bye")]


@virtual_time
async def test_the_planned_end_waits_for_a_quiet_moment() -> None:
    server = ScriptedRealtimeServer(["one two three four", "Yes."], manner=ServerManner(chunk_s=1.0))
    async with Talk(server, max_session_duration_s=5.0) as talk:
        done = await talk.answer("Count.")
        assert done.status == "completed"
        assert talk.of(ev.SessionReconnected) == []
        await talk.until(lambda: talk.of(ev.SessionReconnected))
        [reconnected] = talk.of(ev.SessionReconnected)
        assert (reconnected.reason, reconnected.gap_s) == ("planned", 0.0)
        assert (await talk.answer("Still there?")).status == "completed"
        assert [words_of(item) for item in talk.served.protocol.conversation] == [
            "Count.",
            "one two three four",
            "Still there?",
            "Yes.",
        ]
        assert server.connections[0].ended.is_set()
        assert talk.of(ev.ErrorOccurred) == []


@virtual_time
async def test_the_planned_end_waits_for_a_caller_who_speaks() -> None:
    server = ScriptedRealtimeServer(["A."])
    options: dict[str, Any] = {"turn_detection": VAD, "input_audio_transcription": {"model": "whisper-1"}}
    async with Talk(server, max_session_duration_s=1.0, **options) as talk:
        await talk.say("one two three four five six seven eight")
        await talk.until(lambda: talk.of(ev.SessionReconnected))
        await talk.until(lambda: talk.of(ev.ResponseDone))
        reconnected_s = next(at for at, e in talk.log if isinstance(e, ev.SessionReconnected))
        done_s = next(at for at, e in talk.log if isinstance(e, ev.ResponseDone))
        assert done_s <= reconnected_s
        assert talk.said()[0] == ("user", "one two three four five six seven eight")


@virtual_time
async def test_the_planned_end_comes_in_time_all_the_same() -> None:
    server = ScriptedRealtimeServer([" ".join(["word"] * 40), "Yes."], manner=ServerManner(chunk_s=0.5))
    async with Talk(server, max_session_duration_s=5.0, handover_grace_s=3.0) as talk:
        done = await talk.answer("Talk.")
        assert (done.status, done.reason) == ("incomplete", "connection_lost")
        await talk.until(lambda: talk.of(ev.SessionReconnected))
        assert talk.of(ev.SessionReconnected)[0].reason == "planned"
        assert 8.0 <= talk.log[-1][0] < 9.0
        assert (await talk.answer("And?")).status == "completed"
        assert [item.id for item in talk.history] == talk.at_server()


@virtual_time
async def test_the_session_expires_at_the_server() -> None:
    async with Talk(ScriptedRealtimeServer(["One.", "Two."], session_s=5.0)) as talk:
        await talk.answer("Count.")
        await talk.until(lambda: talk.of(ev.SessionReconnected))
        assert (await talk.answer("On.")).status == "completed"
        assert talk.said() == [
            ("user", "Count."),
            ("assistant", "One."),
            ("user", "On."),
            ("assistant", "Two."),
        ]
        assert [item.id for item in talk.history] == talk.at_server()
        assert talk.of(ev.ErrorOccurred) == []


@virtual_time
async def test_a_new_connection_has_calls_outputs_and_what_was_cut() -> None:
    server = ScriptedRealtimeServer(
        [Reply("Let me see.", calls=(call_function("get_time", zone="UTC"),)), "Noon."]
    )
    async with Talk(server, session=SessionOptions(instructions="Be kind.", tools=(get_time,))) as talk:
        await talk.answer("What time is it?")
        call = talk.history.items[-1]
        assert isinstance(call, FunctionCall)
        talk.session.truncate_item(talk.history.messages[-1].id, audio_end_ms=400, text="Let me")
        talk.return_output(call, "noon")
        await elapse(0.1)
        talk.served.break_off()
        await talk.until(lambda: talk.of(ev.SessionReconnected))
        conversation = list(talk.served.protocol.conversation)
        assert [type(item).__name__ for item in conversation] == [
            "Message",
            "Message",
            "FunctionCall",
            "FunctionCallOutput",
        ]
        assert words_of(conversation[1]) == "Let me"
        assert talk.served.protocol.session.instructions == "Be kind."  # type: ignore[union-attr]
        assert [tool.name for tool in talk.served.protocol.session.tools] == ["get_time"]  # type: ignore[union-attr]
        assert (await talk.answer()).status == "completed"
        # What the server has as text is cut as text.
        talk.session.truncate_item(talk.history.messages[1].id, audio_end_ms=200, text="Let")
        await elapse(0.1)
        assert words_of(list(talk.served.protocol.conversation)[1]) == "Let"
        assert [item.id for item in talk.history] == talk.at_server()
        assert talk.of(ev.ErrorOccurred) == []


@virtual_time
async def test_a_turn_is_heard_whole_though_the_connection_was_lost_in_it() -> None:
    server = ScriptedRealtimeServer(["Sure."])
    options: dict[str, Any] = {"turn_detection": VAD, "input_audio_transcription": {"model": "whisper-1"}}
    async with Talk(server, **options) as talk:
        frames = frames_of("one two three four five six", quiet_ms=800)
        for at, frame in enumerate(frames):
            if at == 40:
                talk.served.break_off()
            talk.session.append_audio(frame)
            await elapse(0.02)
        await talk.until(lambda: talk.of(ev.ResponseDone) and talk.of(ev.TranscriptCompleted))
        assert talk.said() == [("user", "one two three four five six"), ("assistant", "Sure.")]
        assert len(talk.of(ev.SpeechStarted)) == len(talk.of(ev.SpeechStopped)) == 1
        assert talk.of(ev.SpeechStarted)[0].item_id == talk.history.items[0].id
        stopped_ms = talk.of(ev.SpeechStopped)[0].audio_end_ms
        assert stopped_ms == pytest.approx(6 * 250 + 400, abs=150)


@virtual_time
async def test_a_turn_without_words_is_heard_again_on_the_next_connection() -> None:
    heard: list[str] = []

    def answer(question: object) -> str:
        heard.append(question.text)  # type: ignore[attr-defined]
        return "Sure."

    async with Talk(ScriptedRealtimeServer(answer), turn_detection=None) as talk:
        for frame in frames_of("remember the milk", quiet_ms=100):
            talk.session.append_audio(frame)
        talk.session.commit_audio()
        await talk.answer()
        talk.served.break_off()
        await talk.until(lambda: talk.of(ev.SessionReconnected))
        [turn, *_] = list(talk.served.protocol.conversation)
        assert turn.content[0].__class__.__name__ == "InputAudio"  # type: ignore[attr-defined]
        assert [item.id for item in talk.history] == talk.at_server()


@virtual_time
async def test_a_commit_that_was_on_its_way_is_made_again() -> None:
    server = ScriptedRealtimeServer(["Sure."], faults=[drop(on="input_audio_buffer.commit")])
    options: dict[str, Any] = {"turn_detection": None, "input_audio_transcription": {"model": "whisper-1"}}
    async with Talk(server, **options) as talk:
        talk.session.begin_input("item_mine")
        for frame in frames_of("buy milk", quiet_ms=100):
            talk.session.append_audio(frame)
        talk.session.commit_audio()
        done = await talk.answer()
        assert done.status == "completed"
        await talk.until(lambda: talk.of(ev.TranscriptCompleted))
        assert talk.said() == [("user", "buy milk"), ("assistant", "Sure.")]
        assert len(talk.of(ev.InputCommitted)) == 1
        assert talk.history.items[0].id == "item_mine"


@virtual_time
async def test_a_reply_asked_for_meanwhile_is_asked_for_once() -> None:
    server = ScriptedRealtimeServer(["Sure."], faults=[refuse(503, connection=2), refuse(503, connection=3)])
    async with Talk(server) as talk:
        talk.served.break_off()
        await elapse(0.01)
        talk.type("Milk?")
        request = talk.ask()
        await talk.until(lambda: talk.end_of(request))
        assert talk.said() == [("user", "Milk?"), ("assistant", "Sure.")]
        assert sum(connection.count("response.create") for connection in server.connections) == 1
        assert len(server.requests) == 4
        assert talk.of(ev.SessionReconnected)[0].gap_s > 0.3


@virtual_time
async def test_a_reply_that_is_half_said_is_not_said_again() -> None:
    async with Talk(ScriptedRealtimeServer(["one two three four", "five"], manner=SLOW)) as talk:
        talk.type("Count.")
        request = talk.ask()
        await talk.until(lambda: len(talk.of(ev.AudioDelta)) == 3)
        talk.served.break_off()
        await talk.until(lambda: talk.of(ev.SessionReconnected))
        done = talk.end_of(request)
        assert done is not None
        assert (done.status, done.reason) == ("incomplete", "connection_lost")
        assert (await talk.answer("Go on.")).status == "completed"
        assert talk.said() == [
            ("user", "Count."),
            ("assistant", "one two"),
            ("user", "Go on."),
            ("assistant", "five"),
        ]
        assert [item.id for item in talk.history] == talk.at_server()


@pytest.mark.parametrize("code", [1001, 1005, 1006, 1011, 1012, 1013])
@virtual_time
async def test_closes_after_which_another_try_helps(code: int) -> None:
    async with Talk(ScriptedRealtimeServer()) as talk:
        talk.served.close(code, "server_restart")
        await talk.until(lambda: talk.of(ev.SessionReconnected))
        assert str(code) in talk.of(ev.SessionReconnected)[0].reason
        assert (await talk.answer("Hello?")).status == "completed"


@pytest.mark.parametrize(
    ("code", "reason", "says"),
    [
        (3000, "invalid_request_error.invalid_api_key", "check api_key="),
        (4000, "invalid_request_error.invalid_model", "check model="),
        (1008, "policy", "1008: policy"),
    ],
)
@virtual_time
async def test_closes_that_are_final(code: int, reason: str, says: str) -> None:
    async with Talk(ScriptedRealtimeServer(manner=SLOW)) as talk:
        talk.type("Hello?")
        first, second = talk.ask(), talk.ask()
        await talk.until(lambda: talk.of(ev.AudioDelta))
        talk.served.close(code, reason)
        await talk.until(lambda: talk.of(ev.ErrorOccurred))
        [error] = talk.of(ev.ErrorOccurred)
        assert error.fatal
        assert says in str(error.error)
        assert [talk.end_of(request).status for request in (first, second)] == ["failed", "failed"]  # type: ignore[union-attr]
        done = await talk.answer("And now?")
        assert done.status == "failed"
        assert done.error is error.error
        await elapse(100.0)
        assert len(talk.server.requests) == 1


@pytest.mark.parametrize(
    "code", ["insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"]
)
@virtual_time
async def test_errors_that_are_final(code: str) -> None:
    async with Talk(ScriptedRealtimeServer()) as talk:
        talk.served.fail(code, "You exceeded your current quota.")
        await talk.until(lambda: talk.of(ev.ErrorOccurred))
        await elapse(100.0)
        [error] = talk.of(ev.ErrorOccurred)
        assert error.fatal
        assert isinstance(error.error, ModelError)
        assert error.error.code == code
        assert len(talk.server.requests) == 1


@virtual_time
async def test_a_server_that_does_not_come_back() -> None:
    server = ScriptedRealtimeServer(faults=[refuse(503, connection=n) for n in range(2, 99)])
    async with Talk(server, reconnect_timeout_s=10.0) as talk:
        talk.served.break_off()
        await talk.until(lambda: talk.of(ev.ErrorOccurred))
        [error] = talk.of(ev.ErrorOccurred)
        assert error.fatal
        assert "within 10 s" in str(error.error)
        assert 5.0 < talk.log[-1][0] <= 10.0
        assert 4 < len(server.requests) < 12, "the pauses grow"


@virtual_time
async def test_the_server_never_answers_the_configuration() -> None:
    server = ScriptedRealtimeServer(faults=[freeze(on="session.update")])
    talk = Talk(server, connect_timeout_s=4.0)
    with pytest.raises(ModelTimeoutError, match="did not accept the session within 4 s"):
        await talk.session.start()
    assert asyncio.get_running_loop().time() == 4.0
    await talk.session.aclose()
    await server.aclose()


@virtual_time
async def test_a_handover_to_a_server_that_does_not_greet_is_tried_again() -> None:
    server = ScriptedRealtimeServer(faults=[refuse(503, connection=2)])
    async with Talk(server, max_session_duration_s=5.0) as talk:
        await talk.until(lambda: talk.of(ev.SessionReconnected))
        assert len(server.requests) == 3
        assert talk.of(ev.ErrorOccurred) == []


@virtual_time
async def test_a_connection_made_ahead_is_taken() -> None:
    server = ScriptedRealtimeServer()
    model = model_at(server)
    await model.prewarm()
    await model.prewarm()
    assert len(server.requests) == 1
    async with Talk(server, model=model) as talk:
        assert (await talk.answer("Hello?")).status == "completed"
        assert len(server.requests) == 1


@virtual_time
async def test_a_connection_made_ahead_grows_stale() -> None:
    server = ScriptedRealtimeServer()
    model = model_at(server)
    await model.prewarm()
    await elapse(100.0)
    async with Talk(server, model=model) as talk:
        assert (await talk.answer("Hello?")).status == "completed"
        assert len(server.requests) == 2
    await model.prewarm()
    await model.aclose()
    await server.aclose()


@virtual_time
async def test_wrong_key_and_wrong_model_are_one_error_each() -> None:
    for options, fault, says in (
        ({"api_key": "right"}, "invalid_api_key", "check api_key="),
        ({"models": ["other"]}, "invalid_model", "check model="),
    ):
        server = ScriptedRealtimeServer(**options)
        talk = Talk(server)
        with pytest.raises(ModelError, match=says) as caught:
            await talk.session.start()
        assert caught.value.code == fault
        assert not caught.value.recoverable
        assert KEY not in str(caught.value) + repr(caught.value)
        assert talk.log == []
        await talk.session.aclose()
        await server.aclose()


@virtual_time
async def test_a_configuration_that_is_refused() -> None:
    server = ScriptedRealtimeServer()
    talk = Talk(server, voice="nobody's voice " * 20, turn_detection={"type": "server_vad", "threshold": 7.0})
    with pytest.raises(ModelError, match="threshold") as caught:
        await talk.session.start()
    assert not caught.value.recoverable
    await talk.session.aclose()
    await server.aclose()


@virtual_time
async def test_an_update_that_is_refused_is_one_error_and_undone() -> None:
    async with Talk(ScriptedRealtimeServer()) as talk:
        talk.session.update(SessionOptions(max_output_tokens=999_999))
        await talk.until(lambda: talk.of(ev.ErrorOccurred))
        assert talk.session.options.max_output_tokens is None
        talk.served.break_off()
        await talk.until(lambda: talk.of(ev.SessionReconnected))
        assert len(talk.of(ev.ErrorOccurred)) == 1


@virtual_time
async def test_an_item_that_is_refused_is_in_nobodys_conversation() -> None:
    async with Talk(ScriptedRealtimeServer()) as talk:
        talk.type("Hello.")
        await elapse(0.1)
        bad = Message.of("user", "Hm.", id="item bad")
        talk.session.create_item(bad)
        await elapse(0.1)
        talk.served.inject(
            {
                "type": "error",
                "event_id": "event_1",
                "error": {
                    "type": "invalid_request_error",
                    "code": "invalid_value",
                    "message": "No.",
                    "param": None,
                    "event_id": f"create:{bad.id}",
                },
            }
        )
        await talk.until(lambda: talk.of(ev.ErrorOccurred))
        assert bad.id not in talk.history
        assert len(talk.of(ev.ItemDeleted)) == 1


@virtual_time
async def test_rubbish_from_the_server_is_told_and_survived() -> None:
    async with Talk(ScriptedRealtimeServer()) as talk:
        talk.served.inject({"type": "response.done", "response": 7, "event_id": "event_1"})
        talk.served.inject({"type": "something.new", "event_id": "event_2"})
        await elapse(0.1)
        assert len(talk.of(ev.ErrorOccurred)) == 1
        assert (await talk.answer("Hello?")).status == "completed"


@virtual_time
async def test_audio_of_another_rate_is_refused_once() -> None:
    from repartee.audio import AudioFrame

    async with Talk(ScriptedRealtimeServer()) as talk:
        for _ in range(3):
            talk.session.append_audio(AudioFrame(bytes(320), 16_000, 1, 0))
        [error] = talk.of(ev.ErrorOccurred)
        assert "must be mono of 24000 Hz" in str(error.error)
        assert not [e for e in talk.served.received if isinstance(e, wire.InputAudioBufferAppend)]


@virtual_time
async def test_a_slow_network_is_told_once_and_the_turn_is_kept() -> None:
    class Clogged:
        """A link that takes nothing for a while."""

        def __init__(self, link: object) -> None:
            self.link = link
            self.unsent_bytes = 3 << 20

        def send(self, frame: bytes) -> None:
            self.link.send(frame)  # type: ignore[attr-defined]

        async def aclose(self) -> None:
            await self.link.aclose()  # type: ignore[attr-defined]

    server = ScriptedRealtimeServer()
    links: list[Clogged] = []

    async def connect(request: object, **calls: object) -> Clogged:
        links.append(Clogged(await server.connect(request, **calls)))  # type: ignore[arg-type]
        return links[-1]

    async with Talk(server, connector=connect, turn_detection=None) as talk:
        for frame in frames_of("one two"):
            talk.session.append_audio(frame)
        await elapse(0.1)
        [error] = talk.of(ev.ErrorOccurred)
        assert isinstance(error.error, ModelConnectionError)
        assert talk.served.count("input_audio_buffer.append") == 0
        links[0].unsent_bytes = 0
        for frame in frames_of("three"):
            talk.session.append_audio(frame)
        await elapse(0.1)
        appends = [e for e in talk.served.received if isinstance(e, wire.InputAudioBufferAppend)]
        assert b"".join(e.audio for e in appends) == b"".join(frame.data for frame in frames_of("three"))
