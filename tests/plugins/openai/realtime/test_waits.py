"""Every deadline fires, by itself and in a session: one error, and nobody waits on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from repartee.clock import Clock
from repartee.errors import ModelError, ModelTimeoutError
from repartee.models import events as ev
from repartee.plugins.openai.realtime.keeper import Wire
from repartee.plugins.openai.realtime.waits import TurnWaits, Wait, Waits
from repartee.protocol import events as wire
from repartee.testing import elapse, virtual_time
from repartee.testing.realtime_connection import ServedConnection, ServerManner
from repartee.testing.realtime_faults import drop, freeze
from repartee.testing.realtime_server import ScriptedRealtimeServer
from tests.plugins.openai.realtime.talk import Talk, frames_of, model_at

WORDS: dict[str, Any] = {"input_audio_transcription": {"model": "whisper-1"}}


@virtual_time
async def test_the_one_that_is_due_first() -> None:
    since: dict[str, float | None] = {"a": None, "b": None}
    told: list[tuple[str, float]] = []
    clock = Clock(asyncio.get_running_loop().time)

    def wait(name: str, limit_s: float) -> Wait:
        def over(before_s: float, limit_s: float) -> None:
            assert before_s == pytest.approx(clock.now() - limit_s, abs=1e-3)
            told.append((name, round(clock.now(), 3)))
            since[name] = None

        return Wait(lambda: since[name], limit_s, over)

    waits = Waits(clock, [wait("a", 5.0), wait("b", 1.0)])
    waits.arm()
    since["a"] = 0.0
    waits.arm()
    await elapse(2.0)
    since["b"] = 2.0
    waits.arm()
    await elapse(1.5)
    assert told == [("b", 3.0)]
    await elapse(3.0)
    assert told == [("b", 3.0), ("a", 5.0)]
    since["a"] = clock.now()
    waits.arm()
    waits.close()
    waits.arm()
    await elapse(9.0)
    assert len(told) == 2


def test_turns() -> None:
    now = [0.0]
    turns = TurnWaits(lambda: now[0], lambda remote: f"own_{remote}", transcribes=True)
    assert turns.oldest_commit_s() is turns.oldest_words_s() is None
    turns.committed_here()
    now[0] = 1.0
    turns.note(wire.InputAudioBufferCommitted(item_id="x"))
    assert (turns.oldest_commit_s(), turns.oldest_words_s()) == (None, 1.0)
    now[0] = 2.0
    turns.note(wire.TranscriptionDelta(item_id="x", delta="on"))
    assert turns.oldest_words_s() == 2.0
    assert turns.overdue_words(1.5) == []
    assert turns.overdue_words(2.0) == ["own_x"]
    turns.note(wire.InputAudioBufferCommitted(item_id="y"))
    turns.note(wire.TranscriptionCompleted(item_id="y", transcript="on"))
    assert turns.oldest_words_s() is None
    turns.committed_here()
    turns.connection_lost()
    assert turns.oldest_commit_s() is None
    for number in range(100):
        turns.note(wire.InputAudioBufferCommitted(item_id=str(number)))
    assert len(turns.overdue_words(2.0)) == 64


# -- in a session: a server that leaves something out ---------------------------------------------------------------


def mute(monkeypatch: pytest.MonkeyPatch, *event_types: str) -> None:
    """Servers don't send these any more."""
    whole = ServedConnection.say

    def say(self: ServedConnection, events: Any, *, made: bool = True) -> None:
        tagged = [event for event in events if event.__struct_config__.tag not in event_types]
        whole(self, tagged, made=made)

    monkeypatch.setattr(ServedConnection, "say", say)


async def failed_start(server: ScriptedRealtimeServer, **options: Any) -> tuple[ModelError, float]:
    talk = Talk(server, **options)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    with pytest.raises(ModelError) as caught:
        await talk.session.start()
    took_s = loop.time() - began_s
    await talk.session.aclose()
    await talk.model.aclose()
    await server.aclose()
    return caught.value, took_s


@virtual_time
async def test_the_consent_to_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    mute(monkeypatch, "session.updated")
    error, took_s = await failed_start(ScriptedRealtimeServer(), connect_timeout_s=3.0)
    assert isinstance(error, ModelTimeoutError)
    assert "raise connect_timeout_s" in str(error)
    assert took_s == pytest.approx(3.0, abs=0.1)


@virtual_time
async def test_a_server_that_does_not_greet() -> None:
    error, took_s = await failed_start(
        ScriptedRealtimeServer(faults=[freeze(after=1)]), connect_timeout_s=2.0
    )
    assert isinstance(error, ModelTimeoutError)
    assert took_s == pytest.approx(2.0, abs=0.1)


@virtual_time
async def test_trying_again_ends() -> None:
    server = ScriptedRealtimeServer()
    async with Talk(server, reconnect_timeout_s=7.0) as talk:
        talk.server._faults = (drop(after=1, connection=None),)
        lost_s = talk.clock.now()
        talk.served.break_off()
        await talk.until(lambda: talk.of(ev.ErrorOccurred))
        [failure] = talk.of(ev.ErrorOccurred)
        assert failure.fatal
        assert "within 7 s" in str(failure.error)
        assert talk.clock.now() - lost_s <= 7.5


@virtual_time
async def test_a_response_that_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    mute(monkeypatch, "response.created")
    async with Talk(ScriptedRealtimeServer(["Never."]), response_timeout_s=4.0) as talk:
        done = await talk.answer("Hello?")
        assert (done.status, done.reason) == ("failed", "timeout")
        assert talk.clock.now() == pytest.approx(4.0, abs=0.2)
        [failure] = talk.of(ev.ErrorOccurred)
        assert "raise response_timeout_s" in str(failure.error)


@virtual_time
async def test_a_response_that_stops_in_its_middle() -> None:
    server = ScriptedRealtimeServer(["one two three"], faults=[freeze(on="response.output_audio.delta")])
    async with Talk(server, response_timeout_s=4.0) as talk:
        done = await talk.answer("Hello?")
        assert (done.status, done.reason) == ("failed", "timeout")
        assert len(talk.of(ev.ErrorOccurred)) == 1


@virtual_time
async def test_a_response_without_end() -> None:
    server = ScriptedRealtimeServer([" ".join(["word"] * 200), "Yes."], manner=ServerManner(chunk_s=1.0))
    async with Talk(server, response_duration_s=20.0) as talk:
        done = await talk.answer("Talk.")
        assert (done.status, done.reason) == ("failed", "timeout")
        assert talk.clock.now() == pytest.approx(20.0, abs=0.5)
        [failure] = talk.of(ev.ErrorOccurred)
        assert "raise response_duration_s" in str(failure.error)
        assert (await talk.answer("Still there?")).status == "completed"


def speak(talk: Talk, text: str) -> None:
    talk.session.begin_input("item_mine")
    for frame in frames_of(text, quiet_ms=100):
        talk.session.append_audio(frame)
    talk.session.commit_audio()


@virtual_time
async def test_a_commit_that_is_not_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    mute(monkeypatch, "input_audio_buffer.committed", "conversation.item.added", "conversation.item.done")
    async with Talk(ScriptedRealtimeServer(), turn_detection=None, commit_timeout_s=3.0) as talk:
        speak(talk, "buy milk")
        await talk.until(lambda: talk.of(ev.InputCleared))
        assert talk.clock.now() == pytest.approx(3.0, abs=0.1)
        [failure] = talk.of(ev.ErrorOccurred)
        assert "raise commit_timeout_s" in str(failure.error)
        assert [e.reason for e in talk.of(ev.InputCleared)] == ["timeout"]
        await elapse(30.0)
        assert len(talk.of(ev.ErrorOccurred)) == 1


@virtual_time
async def test_words_that_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = "conversation.item.input_audio_transcription."
    mute(monkeypatch, f"{prefix}delta", f"{prefix}completed")
    server = ScriptedRealtimeServer()
    async with Talk(server, turn_detection=None, transcription_timeout_s=5.0, **WORDS) as talk:
        speak(talk, "buy milk")
        await talk.until(lambda: talk.of(ev.TranscriptFailed))
        assert talk.clock.now() == pytest.approx(5.0, abs=0.1)
        [failed] = talk.of(ev.TranscriptFailed)
        assert failed.item_id == talk.history.items[0].id == "item_mine"
        assert "raise transcription_timeout_s" in str(failed.error)
        await elapse(30.0)
        assert len(talk.of(ev.TranscriptFailed)) == 1


@virtual_time
async def test_a_connection_that_does_not_end() -> None:
    class Stuck:
        unsent_bytes = 0

        def send(self, frame: bytes) -> None: ...

        async def aclose(self) -> None:
            await asyncio.Event().wait()

    line = Wire(close_s=1.5)
    line.link = Stuck()
    await line.aclose()
    assert asyncio.get_running_loop().time() == pytest.approx(1.5, abs=0.1)
    model = model_at(ScriptedRealtimeServer(), close_timeout_s=1.5)
    assert model.deadlines.close_s == 1.5
