"""`openai.STT` while one speaks: through a transcription session, and what goes wrong with one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from repartee.audio import AudioFrame, Resampler
from repartee.errors import (
    AudioFormatError,
    ConfigurationError,
    ModelConnectionError,
    ModelError,
    ModelTimeoutError,
)
from repartee.models import Final, Interim, STTEvent, STTStream
from repartee.plugins.openai import STT
from repartee.plugins.openai.realtime import NoiseReduction, ServerVad
from repartee.plugins.openai.realtime.link import LinkRequest
from repartee.protocol import events as wire
from repartee.testing import check_nothing_left, elapse, speech, virtual_time
from repartee.testing.conformance_stt import STT_CHECKS, STTCheck
from repartee.testing.conformance_vad import SpeechSample
from repartee.testing.realtime_connection import ServedConnection, ServerManner
from repartee.testing.realtime_faults import drop, freeze, lag, refuse
from repartee.testing.realtime_server import ScriptedRealtimeServer
from tests.plugins.openai.realtime.talk import KEY
from tests.session.scene import Scene

RATE = 24_000
WORDS = "turn on the light in the kitchen"
PREFIX = "conversation.item.input_audio_transcription."


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def stt_at(server: ScriptedRealtimeServer, model: str | None = None, **options: Any) -> STT:
    return STT(model, **{"api_key": KEY, "connector": server.connect, **options})


def spoken(text: str, *, quiet_ms: int = 0, rate: int = RATE) -> AudioFrame:
    words = text.split()
    step = 250 * rate // 1000
    pcm = speech.encode(words, [step * (at + 1) for at in range(len(words))]) if words else b""
    return AudioFrame(pcm + bytes(2 * rate * quiet_ms // 1000), rate)


def sample() -> SpeechSample:
    """Half a second of silence on either side of the words."""
    quiet = bytes(RATE)
    said = spoken(WORDS)
    return SpeechSample(
        AudioFrame(quiet + said.data + quiet, RATE), RATE // 2, RATE // 2 + said.samples, WORDS
    )


class Listener:
    """A stream and what it told."""

    def __init__(self, stt: STT, rate: int = RATE) -> None:
        self.rate = rate
        self.events: list[STTEvent] = []
        self.errors: list[ModelError] = []
        self.news = asyncio.Event()
        self.stream: STTStream = stt.stream(sample_rate=rate, on_event=self._event, on_error=self._error)

    def _event(self, event: STTEvent) -> None:
        assert not self.errors
        self.events.append(event)
        self.news.set()

    def _error(self, error: ModelError) -> None:
        assert not self.errors
        self.errors.append(error)
        self.news.set()

    async def say(self, text: str, *, quiet_ms: int = 100) -> None:
        """At the pace of life."""
        audio = spoken(text, quiet_ms=quiet_ms, rate=self.rate)
        step = self.rate // 50
        for at in range(0, audio.samples, step):
            self.stream.push(audio.slice(at, at + step))
            await elapse(0.02)

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(300):
            while not holds():
                self.news.clear()
                await self.news.wait()

    async def final(self) -> Final:
        """Flush, and wait for what answers it."""
        flush_id = self.stream.flush()
        await self.until(lambda: any(each.flush_id == flush_id for each in self.finals) or self.errors)
        assert self.errors == []
        return next(each for each in self.finals if each.flush_id == flush_id)

    @property
    def finals(self) -> list[Final]:
        return [event for event in self.events if isinstance(event, Final)]

    @property
    def interims(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Interim)]


async def end(listener: Listener, stt: STT, server: ScriptedRealtimeServer) -> None:
    await listener.stream.aclose()
    await stt.aclose()
    await server.aclose()
    assert check_nothing_left() == []


@pytest.mark.parametrize("model", [None, "gpt-realtime-whisper", "gpt-4o-transcribe", "whisper-1"])
@pytest.mark.parametrize("check", STT_CHECKS, ids=lambda check: check.__name__)
def test_conformance(check: STTCheck, model: str | None) -> None:
    """Over a real socket."""

    async def main() -> None:
        async with ScriptedRealtimeServer(api_key=KEY) as server:
            await check(lambda: STT(model, api_key=KEY, base_url=server.base_url, realtime=True), sample())

    asyncio.run(main())


@virtual_time
async def test_words_come_while_one_speaks_and_the_rest_behind_the_end() -> None:
    server = ScriptedRealtimeServer()
    stt = stt_at(server, language="en", delay="low", noise_reduction={"type": "near_field"})
    listener = Listener(stt)
    await listener.say(WORDS)
    before = list(listener.interims)
    assert before[:3] == ["turn", "turn on", "turn on the"]
    assert len(before) >= 6
    assert await listener.final() == Final(WORDS, flush_id=1)
    assert await listener.final() == Final("", flush_id=2)
    (served,) = server.connections
    assert server.requests[0][0].endswith("/realtime?intent=transcription")
    update = next(event for event in served.received if isinstance(event, wire.SessionUpdate))
    told = update.session.audio.input  # type: ignore[attr-defined]
    assert (told.transcription.model, told.transcription.languages) == ("gpt-live-transcribe", ["en"])
    assert (told.transcription.delay, told.turn_detection) == ("low", None)
    assert told.noise_reduction == NoiseReduction(type="near_field")
    assert served.count("input_audio_buffer.commit") == 1
    await end(listener, stt, server)


@virtual_time
async def test_other_models_write_behind_the_commit() -> None:
    server = ScriptedRealtimeServer()
    stt = stt_at(server, "gpt-4o-transcribe", realtime=True, prompt="A kitchen.", language="en")
    assert not stt.capabilities.interim
    listener = Listener(stt)
    await listener.say(WORDS)
    assert listener.events == []
    assert (await listener.final()).text == WORDS
    update = next(e for e in server.connection.received if isinstance(e, wire.SessionUpdate))
    told = update.session.audio.input.transcription  # type: ignore[attr-defined]
    assert (told.language, told.prompt) == ("en", "A kitchen.")
    await end(listener, stt, server)


@virtual_time
async def test_what_is_thrown_away_is_not_heard_though_its_words_are_on_their_way() -> None:
    server = ScriptedRealtimeServer(faults=[lag(0.15)])
    stt = stt_at(server)
    listener = Listener(stt)
    await elapse(1.0)
    await listener.say("never mind this")
    listener.stream.cancel()
    count = len(listener.events)
    await listener.say("buy milk")
    final = await listener.final()
    assert final.text == "buy milk"
    assert not any("mind" in text or "this" in text for text in [e.text for e in listener.events[count:]])
    await end(listener, stt, server)


@virtual_time
async def test_finals_come_in_the_order_of_their_flushes() -> None:
    server = ScriptedRealtimeServer(manner=ServerManner(transcripts_reordered=True))
    stt = stt_at(server, "whisper-1", realtime=True)
    listener = Listener(stt)
    for text in ("one two", "three four"):
        await listener.say(text)
        listener.stream.flush()
    await listener.until(lambda: len(listener.finals) == 2)
    assert [(each.text, each.flush_id) for each in listener.finals] == [("one two", 1), ("three four", 2)]
    await end(listener, stt, server)


@virtual_time
async def test_silence_and_clicks_are_not_committed() -> None:
    server = ScriptedRealtimeServer()
    stt = stt_at(server)
    listener = Listener(stt)
    await listener.say("", quiet_ms=2000)
    assert (await listener.final()).text == ""
    listener.stream.push(AudioFrame(speech.noise(RATE // 20), RATE))
    assert (await listener.final()).text == ""
    await listener.say("buy milk")
    assert (await listener.final()).text == "buy milk"
    assert server.connection.count("input_audio_buffer.commit") == 1
    assert server.connection.count("input_audio_buffer.clear") == 2
    await end(listener, stt, server)


# -- the server's turn detection -----------------------------------------------------------------------------------


@virtual_time
async def test_the_server_may_end_segments() -> None:
    server = ScriptedRealtimeServer()
    stt = stt_at(
        server, "gpt-4o-transcribe", realtime=True, turn_detection=ServerVad(silence_duration_ms=300)
    )
    assert stt.capabilities.endpointing
    listener = Listener(stt)
    await listener.say("buy milk", quiet_ms=1500)
    await listener.say("and bread", quiet_ms=1500)
    assert [(each.text, each.flush_id) for each in listener.finals] == [
        ("buy milk", None),
        ("and bread", None),
    ]
    assert (await listener.final()).text == ""
    await listener.say("and eggs", quiet_ms=0)
    assert (await listener.final()).text == "and eggs"
    await listener.say("and eggs", quiet_ms=60_000)
    assert len(listener.finals) == 5
    assert listener.errors == []
    await end(listener, stt, server)


@virtual_time
async def test_a_session_goes_by_the_servers_ends_of_speech() -> None:
    server = ScriptedRealtimeServer()
    detection = {"type": "server_vad", "silence_duration_ms": 300}
    stt = stt_at(server, "gpt-4o-transcribe", realtime=True, turn_detection=detection)
    async with Scene("Sure.", stt=stt, vad=None, turn_detection="stt", comparable=False) as scene:
        scene.mic.speak("buy some milk", 1.0)
        await scene.until(6.0)
        assert scene.said == [("user", "buy some milk"), ("assistant", "Sure.")]
    await stt.aclose()
    await server.aclose()


@virtual_time
async def test_a_flush_and_the_servers_own_end_at_the_same_moment() -> None:
    """The words are told once, and the flush is answered once."""
    server = ScriptedRealtimeServer(faults=[lag(0.1)])
    stt = stt_at(
        server, "gpt-4o-transcribe", realtime=True, turn_detection=ServerVad(silence_duration_ms=300)
    )
    listener = Listener(stt)
    await elapse(1.0)
    await listener.say("buy milk", quiet_ms=340)
    final = await listener.final()
    await elapse(2.0)
    assert [each.text for each in listener.finals if each.text] == ["buy milk"]
    assert [each.flush_id for each in listener.finals].count(final.flush_id) == 1
    assert listener.errors == []
    await end(listener, stt, server)


# -- in a session --------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_cascade_hears_with_it() -> None:
    server = ScriptedRealtimeServer()
    stt = stt_at(server)
    async with Scene("Sure.", "Bye.", stt=stt, comparable=False) as scene:
        scene.mic.speak("buy some milk", 1.0)
        await scene.until(6.0)
        scene.mic.speak("that is all", 7.0)
        await scene.until(12.0)
        assert scene.said == [
            ("user", "buy some milk"),
            ("assistant", "Sure."),
            ("user", "that is all"),
            ("assistant", "Bye."),
        ]
        assert scene.errors == []
    assert len(server.connections) == 1
    await stt.aclose()
    await server.aclose()


# -- connections ---------------------------------------------------------------------------------------------------

FAULTS = (
    "session.created",
    "session.update",
    "session.updated",
    "input_audio_buffer.append",
    f"{PREFIX}delta",
    "input_audio_buffer.commit",
    "input_audio_buffer.committed",
    "conversation.item.added",
    f"{PREFIX}completed",
)


@pytest.mark.parametrize("model", ["gpt-live-transcribe", "whisper-1"])
@pytest.mark.parametrize("event", FAULTS)
@virtual_time
async def test_lost_at_any_event_and_every_word_is_heard_once(event: str, model: str) -> None:
    server = ScriptedRealtimeServer(faults=[drop(on=event)])
    stt = stt_at(server, model, realtime=True)
    listener = Listener(stt)
    await listener.say(WORDS)
    assert (await listener.final()).text == WORDS
    await elapse(2.0)
    await listener.say("and again")
    assert (await listener.final()).text == "and again"
    assert len(listener.finals) == 2
    assert len(server.requests) == 2
    shown = [text for text in listener.interims if WORDS.startswith(text)]
    assert shown == sorted(set(shown), key=len), "a word was taken back, or told twice"
    await end(listener, stt, server)


@virtual_time
async def test_lost_in_the_middle_of_speech() -> None:
    server = ScriptedRealtimeServer()
    stt = stt_at(server)
    listener = Listener(stt)
    await listener.say("turn on the", quiet_ms=0)
    server.connections[0].break_off()
    await listener.say("light in the kitchen")
    assert (await listener.final()).text == WORDS
    assert len(server.connections) == 2
    await end(listener, stt, server)


@virtual_time
async def test_the_planned_end_is_between_segments() -> None:
    server = ScriptedRealtimeServer()
    stt = stt_at(server, max_session_duration_s=4.0)
    listener = Listener(stt)
    await listener.say(" ".join(["word"] * 24))
    assert len(server.connections) == 1
    assert (await listener.final()).text == " ".join(["word"] * 24)
    await elapse(1.0)
    assert len(server.connections) == 2
    await listener.say("buy milk")
    assert (await listener.final()).text == "buy milk"
    await end(listener, stt, server)


@virtual_time
async def test_what_is_said_while_it_connects_is_heard() -> None:
    server = ScriptedRealtimeServer(faults=[refuse(503), refuse(503, connection=2)])
    stt = stt_at(server)
    listener = Listener(stt)
    await listener.say(WORDS, quiet_ms=0)
    assert (await listener.final()).text == WORDS
    assert len(server.requests) == 3
    await end(listener, stt, server)


@virtual_time
async def test_a_connection_opened_ahead_is_taken_once() -> None:
    server = ScriptedRealtimeServer()
    stt = stt_at(server)
    await stt.prewarm()
    assert len(server.requests) == 1
    listeners = [Listener(stt) for _ in range(2)]
    for listener in listeners:
        await listener.say("buy milk")
    for listener in listeners:
        assert (await listener.final()).text == "buy milk"
        await listener.stream.aclose()
    assert len(server.requests) == 2
    await end(listeners[0], stt, server)


async def failure(
    server: ScriptedRealtimeServer, stt: STT, *, flush: bool = True
) -> tuple[ModelError, float]:
    """How recognition fails, once, and when."""
    listener = Listener(stt)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for _ in range(50):
        listener.stream.push(spoken(WORDS).slice(0, RATE // 50))
    if flush:
        listener.stream.flush()
    await listener.until(lambda: listener.errors)
    took_s = loop.time() - began_s
    count = len(listener.events)
    listener.stream.push(spoken(WORDS))
    listener.stream.flush()
    listener.stream.cancel()
    await elapse(90.0)
    assert len(listener.events) == count
    await end(listener, stt, server)
    [error] = listener.errors
    assert error.stage == "stt"
    assert KEY not in str(error) + repr(error)
    return error, took_s


@virtual_time
async def test_a_server_that_falls_silent() -> None:
    server = ScriptedRealtimeServer(faults=[freeze(on="input_audio_buffer.commit")])
    error, took_s = await failure(server, stt_at(server, timeout_s=3.0))
    assert isinstance(error, ModelTimeoutError)
    assert took_s == pytest.approx(3.0, abs=0.2)
    assert "raise timeout_s=" in str(error)


@virtual_time
async def test_a_server_that_does_not_take_the_configuration() -> None:
    server = ScriptedRealtimeServer(faults=[freeze(on="session.update")])
    error, took_s = await failure(server, stt_at(server, connect_timeout_s=2.0))
    assert isinstance(error, ModelTimeoutError)
    assert took_s == pytest.approx(2.0, abs=0.1)


@virtual_time
async def test_a_server_that_can_not_be_had_again() -> None:
    server = ScriptedRealtimeServer(
        faults=[drop(after=4), *(refuse(503, connection=n) for n in range(2, 99))]
    )
    error, took_s = await failure(server, stt_at(server, reconnect_timeout_s=5.0))
    assert isinstance(error, ModelConnectionError)
    assert "within 5 s" in str(error)
    assert took_s < 5.5


@virtual_time
async def test_a_wrong_key() -> None:
    server = ScriptedRealtimeServer(api_key="another")
    error, took_s = await failure(server, stt_at(server))
    assert (error.code, error.recoverable) == ("invalid_api_key", False)
    assert "check api_key=" in str(error)
    assert took_s < 1.0


@virtual_time
async def test_words_that_could_not_be_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ScriptedRealtimeServer()
    whole = ServedConnection.say

    def say(self: ServedConnection, events: Any, *, made: bool = True) -> None:
        for event in events:
            if isinstance(event, wire.TranscriptionCompleted):
                self.inject(
                    {
                        "type": f"{PREFIX}failed",
                        "event_id": "e",
                        "item_id": event.item_id,
                        "content_index": 0,
                        "error": {"code": "audio_unintelligible", "message": f"not with {KEY}"},
                    }
                )
            else:
                whole(self, [event], made=made)

    monkeypatch.setattr(ServedConnection, "say", say)
    error, _ = await failure(server, stt_at(server))
    assert error.code == "audio_unintelligible"


@virtual_time
async def test_what_can_not_be_read() -> None:
    server = ScriptedRealtimeServer()
    stt = stt_at(server)
    listener = Listener(stt)
    await listener.say("buy")
    server.connection.inject({"type": f"{PREFIX}delta", "item_id": 7})
    await listener.until(lambda: listener.errors)
    assert "can't be read" in str(listener.errors[0])
    await end(listener, stt, server)


@virtual_time
async def test_a_segment_without_end() -> None:
    server = ScriptedRealtimeServer()
    error, _ = await failure(server, stt_at(server, max_segment_s=0.5), flush=False)
    assert error.code == "segment_too_long"
    assert "longer than 0.5 s" in str(error)


@virtual_time
async def test_closing_at_any_moment() -> None:
    for wait_s in (0.0, 0.01, 0.5):
        server = ScriptedRealtimeServer(faults=[lag(0.02)])
        stt = stt_at(server)
        listener = Listener(stt)
        listener.stream.push(spoken(WORDS))
        listener.stream.flush()
        await elapse(wait_s)
        count = len(listener.events)
        await listener.stream.aclose()
        await end(listener, stt, server)
        assert len(listener.events) == count


@virtual_time
async def test_rates() -> None:
    server = ScriptedRealtimeServer()
    stt = stt_at(server)
    listener = Listener(stt, rate=16_000)
    await listener.say(WORDS)
    assert (await listener.final()).text == WORDS
    with pytest.raises(AudioFormatError, match="opened for 16000 Hz"):
        listener.stream.push(AudioFrame.silence(20, 8000))
    with pytest.raises(AudioFormatError):
        Listener(stt, rate=1)
    assert Resampler(16_000, RATE).delay_s < 0.01
    await end(listener, stt, server)


# -- which way -----------------------------------------------------------------------------------------------------

AZURE: dict[str, Any] = {"base_url": "https://me.openai.azure.com", "api_key": KEY}


@pytest.mark.parametrize(
    ("options", "model", "live"),
    [
        ({"api_key": KEY}, "gpt-live-transcribe", True),
        ({"api_key": KEY, "model": "gpt-realtime-whisper"}, "gpt-realtime-whisper", True),
        ({"api_key": KEY, "model": "gpt-4o-transcribe"}, "gpt-4o-transcribe", False),
        ({"api_key": KEY, "realtime": False}, "gpt-transcribe", False),
        ({"api_key": KEY, "model": "whisper-1", "realtime": True}, "whisper-1", True),
        ({"base_url": "http://localhost:1/v1"}, "gpt-transcribe", False),
        ({"base_url": "http://localhost:1/v1", "realtime": True}, "gpt-live-transcribe", True),
        ({**AZURE, "azure_deployment": "mine"}, "mine", False),
        ({**AZURE, "azure_deployment": "my-live"}, "my-live", True),
        ({**AZURE, "azure_deployment": "mine", "realtime": True}, "mine", True),
    ],
)
def test_which_way_by_default(options: dict[str, Any], model: str, live: bool) -> None:
    stt = STT(**options)
    assert (stt.model, stt.realtime) == (model, live)
    assert KEY not in repr(stt)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"temperature": 0.2}, "temperature has no effect, since the default model is heard live"),
        ({"stream": True}, "pass realtime=False"),
        ({"realtime": False, "delay": "low"}, "pass realtime=True"),
        ({"model": "whisper-1", "turn_detection": {}}, "'whisper-1' is heard by the segment"),
        ({"model": "gpt-realtime-whisper", "prompt": "x"}, "takes no prompt"),
        ({"turn_detection": "vad"}, "turn_detection is a str"),
        ({"noise_reduction": {"type": 7}}, "noise_reduction is not right"),
        ({"timeout_s": 0}, "timeout_s is 0"),
        ({"heartbeat_s": 0}, "heartbeat_s is 0"),
        ({"connect_timeout_s": -1}, "connect_timeout_s is -1"),
        ({"prewarm_connections": 0}, "prewarm_connections is 0"),
        ({"max_segment_s": 0}, "max_segment_s is 0"),
    ],
)
def test_bad_arguments(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        STT(**{"api_key": KEY, **options})


@virtual_time
async def test_azures_dated_api() -> None:
    asked: list[LinkRequest] = []

    async def refuse_all(request: LinkRequest, **_: Any) -> Any:
        asked.append(request)
        raise ModelConnectionError("no", stage="realtime", recoverable=False)

    stt = STT(**AZURE, azure_deployment="my-live", api_version="2025-04-01", connector=refuse_all)
    listener = Listener(stt)
    await listener.until(lambda: listener.errors)
    assert "intent=transcription" in asked[0].url
    await listener.stream.aclose()
