"""A talk tells what happened, and what did not."""

from __future__ import annotations

import pytest

from repartee.chat import FunctionCall
from repartee.compose import Conversing, Spoken, Transcribed
from repartee.models import SessionOptions
from repartee.models.events import ResponseDone
from repartee.testing import ScriptedLLM, ScriptedSTT, ScriptedTTS, call_function, virtual_time
from repartee.testing.realtime_talk import RATE, RealtimeTalk, frames_of


@virtual_time
async def test_a_typed_turn_is_answered_and_mirrored() -> None:
    async with RealtimeTalk(Conversing(ScriptedLLM(["It is noon."])), SessionOptions()) as talk:
        done = await talk.answer("What time is it?")
        assert talk.said() == [("user", "What time is it?"), ("assistant", "It is noon.")]
        assert talk.of(ResponseDone) == [done]
        assert talk.response_of("never asked") is None
        assert talk.end_of("never asked") is None
        assert all(0.0 <= at <= talk.clock.now() for at, _ in talk.log)


@virtual_time
async def test_a_call_is_given_its_output() -> None:
    async with RealtimeTalk(Conversing(ScriptedLLM([call_function("get_time"), "Noon."]))) as talk:
        await talk.answer("What time is it?")
        [call] = [item for item in talk.history if isinstance(item, FunctionCall)]
        talk.return_output(call, "12:00")
        await talk.answer()
        assert talk.said()[-1] == ("assistant", "Noon.")


@virtual_time
async def test_what_does_not_happen_is_said_with_what_did() -> None:
    async with RealtimeTalk(Conversing(ScriptedLLM(["Hi."])), timeout_s=5.0) as talk:
        await talk.answer("Hello")
        before = talk.clock.now()
        with pytest.raises(AssertionError, match=r"a miracle did not happen: .*'ResponseDone'"):
            await talk.until(lambda: False, "a miracle")
        assert talk.clock.now() - before == pytest.approx(5.0)


@virtual_time
async def test_what_is_said_takes_its_time_and_what_is_heard_can_be_read() -> None:
    stt, tts = ScriptedSTT(), ScriptedTTS(sample_rate=RATE)
    async with RealtimeTalk(Spoken(Transcribed(Conversing(ScriptedLLM(["Sure thing."])), stt), tts)) as talk:
        before = talk.clock.now()
        await talk.say("book a table", quiet_ms=250)
        assert talk.clock.now() - before == pytest.approx(1.0)
        talk.session.commit_audio()
        done = await talk.answer()
        assert talk.said() == [("user", "book a table"), ("assistant", "Sure thing.")]
        assert talk.heard(done.response_id) == "Sure thing."


def test_frames_are_whole_and_follow_each_other() -> None:
    frames = frames_of("one two", quiet_ms=50, ms_per_word=200)
    assert {frame.samples for frame in frames} == {RATE // 50}
    assert len(frames) == 23  # 450 ms, the last one padded
    assert any(frames[0].data)
    assert not any(frames[-1].data)
    assert [frame.data for frame in frames_of("", quiet_ms=20)] == [bytes(RATE // 25)]
