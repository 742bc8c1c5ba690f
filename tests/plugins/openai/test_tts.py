"""`openai.TTS` against a server that speaks."""

from __future__ import annotations

import array
import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from repartee.errors import (
    AudioFormatError,
    ConfigurationError,
    ModelConnectionError,
    ModelError,
    ModelTimeoutError,
)
from repartee.models import SpeechChunk
from repartee.plugins.openai import TTS, client
from repartee.plugins.openai.tts import INPUT_CHARS_MAX
from repartee.testing.conformance_tts import TTS_CHECKS, TTSCheck
from tests.plugins.openai.http_server import Exchange, Handler, HttpServer, drop, refuse


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(client, "BACKOFF_S", 0.001)


def tone(text: str, rate: int = 24_000) -> bytes:
    """As much of a tone as the text would take to say."""
    period = array.array("h", [round(9000 * math.sin(at * math.pi / 30)) for at in range(60)]).tobytes()
    return (period * (len(text) * rate // 15 // 60 + 1))[: len(text) * rate // 15 * 2]


async def speak(exchange: Exchange) -> None:
    """Gives the tone in pieces of odd lengths, so that samples are torn."""
    audio = tone(exchange.json["input"])
    exchange.begin("application/octet-stream")
    for at in range(0, len(audio), 9_999):
        await exchange.send(audio[at : at + 9_999])
    await exchange.end()


async def beep(exchange: Exchange) -> None:
    """Gives the same for any text."""
    await exchange.answer(200, tone("x"))


def with_server(
    body: Callable[[HttpServer, TTS], Coroutine[Any, Any, None]], *handlers: Handler, **options: Any
) -> HttpServer:
    server = HttpServer(*handlers)

    async def main() -> None:
        async with server:
            voice = TTS("m", base_url=server.url, **options)
            try:
                await body(server, voice)
            finally:
                await voice.aclose()

    asyncio.run(main())
    return server


async def say(voice: TTS, text: str = "Hello there.") -> list[SpeechChunk]:
    return [chunk async for chunk in voice.synthesize(text)]


@pytest.mark.parametrize("check", TTS_CHECKS, ids=lambda check: check.__name__)
def test_conformance(check: TTSCheck) -> None:
    async def main() -> None:
        async with HttpServer(speak) as server:
            await check(lambda: TTS("m", base_url=server.url))

    asyncio.run(main())


def test_what_is_asked_and_what_comes() -> None:
    async def body(server: HttpServer, voice: TTS) -> None:
        chunks = await say(voice)
        assert b"".join(chunk.audio.data for chunk in chunks) == tone("Hello there.")

    server = with_server(body, speak, voice="nova", speed=1.25, instructions="Whisper.")
    (asked,) = server.requests
    assert asked.path == "/v1/audio/speech"
    assert asked.json == {
        "input": "Hello there.",
        "model": "m",
        "voice": "nova",
        "response_format": "pcm",
        "speed": 1.25,
        "instructions": "Whisper.",
    }


def test_the_first_audio_does_not_wait_for_the_rest() -> None:
    async def begin(exchange: Exchange) -> None:
        exchange.begin("audio/pcm")
        await exchange.send(bytes(range(200)))
        await exchange.stall()

    async def body(server: HttpServer, voice: TTS) -> None:
        chunks = voice.synthesize("Hello there.")
        first = await anext(chunks)
        assert first.audio.data == bytes(range(200))
        await chunks.aclose()
        async with asyncio.timeout(5):
            await server.requests[0].gone.wait()

    with_server(body, begin)


def test_a_long_text_is_several_requests_and_one_stream() -> None:
    text = "word " * 2000

    async def body(server: HttpServer, voice: TTS) -> None:
        position = 0
        for chunk in await say(voice, text):
            assert chunk.audio.position_samples == position
            position = chunk.audio.end_samples
        asked = [each.json["input"] for each in server.requests]
        assert len(asked) == 3
        assert all(len(each) <= INPUT_CHARS_MAX for each in asked)
        assert " ".join(asked) == text.strip()
        assert [len(each.json["input"]) for each in server.requests] == [4094, 4094, 1809]

    with_server(body, beep)
    with_server(_one_word, beep)


async def _one_word(server: HttpServer, voice: TTS) -> None:
    await say(voice, "x" * (INPUT_CHARS_MAX + 1))
    assert [len(each.json["input"]) for each in server.requests] == [INPUT_CHARS_MAX, 1]


def test_a_failure_before_the_audio_is_tried_again() -> None:
    async def body(server: HttpServer, voice: TTS) -> None:
        assert await say(voice)
        assert len(server.requests) == 3

    with_server(body, drop, refuse(503, None, "busy"), speak)


def test_a_failure_in_the_middle_is_not() -> None:
    async def half(exchange: Exchange) -> None:
        exchange.begin("audio/pcm")
        await exchange.send(bytes(2000))
        exchange.drop()

    async def body(server: HttpServer, voice: TTS) -> None:
        chunks = voice.synthesize("Hello there.")
        assert (await anext(chunks)).audio.samples == 1000
        with pytest.raises(ModelConnectionError) as caught:
            await anext(chunks)
        assert caught.value.stage == "tts"
        assert caught.value.__context__ is None
        assert len(server.requests) == 1

    with_server(body, half)


def test_a_voice_that_stalls() -> None:
    async def half(exchange: Exchange) -> None:
        exchange.begin("audio/pcm")
        await exchange.send(bytes(2000))
        await exchange.stall()

    async def body(server: HttpServer, voice: TTS) -> None:
        chunks = voice.synthesize("Hello there.")
        await anext(chunks)
        with pytest.raises(ModelTimeoutError):
            await anext(chunks)

    with_server(body, half, timeout_s=0.2)


@pytest.mark.parametrize(
    "data, kind", [(b"RIFF....WAVEfmt ", "WAV"), (b"ID3\x03...", "MP3"), (b"OggS....", "Ogg")]
)
def test_a_file_is_not_played_as_noise(data: bytes, kind: str) -> None:
    async def give_file(exchange: Exchange) -> None:
        await exchange.answer(200, data)

    async def body(server: HttpServer, voice: TTS) -> None:
        with pytest.raises(ModelError, match=f"gave {kind} instead of raw PCM") as caught:
            await say(voice)
        assert not caught.value.recoverable

    with_server(body, give_file)


def test_words_about_the_audio_are_not_played_either() -> None:
    async def tell(exchange: Exchange) -> None:
        await exchange.answer(200, {"status": "queued"})

    async def body(server: HttpServer, voice: TTS) -> None:
        with pytest.raises(ModelError, match="gave application/json instead"):
            await say(voice)

    with_server(body, tell)


def test_no_audio_is_an_error() -> None:
    async def nothing(exchange: Exchange) -> None:
        await exchange.answer(200, b"")

    async def body(server: HttpServer, voice: TTS) -> None:
        with pytest.raises(ModelError, match="no audio for 12 characters"):
            await say(voice)

    with_server(body, nothing)


def test_an_unknown_voice_is_told_in_the_servers_words() -> None:
    async def body(server: HttpServer, voice: TTS) -> None:
        with pytest.raises(ModelError, match="voice must be one of alloy, ash"):
            await say(voice)
        assert len(server.requests) == 1

    with_server(body, refuse(400, "invalid_value", "voice must be one of alloy, ash"))


def test_another_rate() -> None:
    async def body(server: HttpServer, voice: TTS) -> None:
        assert {chunk.audio.sample_rate for chunk in await say(voice)} == {16_000}

    with_server(body, speak, sample_rate=16_000)


def test_bad_arguments() -> None:
    for wrong, kind in (
        ({"speed": 9.0}, ConfigurationError),
        ({"voice": ""}, ConfigurationError),
        ({"sample_rate": 1}, AudioFormatError),
    ):
        with pytest.raises(kind, match=next(iter(wrong)).replace("_", " ")):
            TTS(base_url="http://localhost:1/v1", **wrong)
    assert (
        repr(TTS(base_url="http://localhost:1/v1"))
        == "openai.TTS('gpt-4o-mini-tts', voice='marin' at localhost:1)"
    )


def test_sessions_may_have_other_voices() -> None:
    async def body(server: HttpServer, voice: TTS) -> None:
        assert voice.capabilities.voices == ("ada", "bob")
        bob = voice.with_voice("bob")
        await say(bob)
        await bob.aclose()
        await say(voice)
        with pytest.raises(ConfigurationError, match="no voice 'marin'; it has ada, bob; pass voices="):
            voice.with_voice("marin")
        with pytest.raises(ConfigurationError, match="no voice"):
            voice.with_voice("voice_1234")

    server = with_server(body, speak, voice="ada", voices=["bob", "ada"])
    assert [asked.json["voice"] for asked in server.requests] == ["bob", "ada"]


def test_openais_voices() -> None:
    voice = TTS(api_key="sk-test", voice="cedar")
    assert voice.capabilities.voices[:3] == ("cedar", "marin", "alloy")
    assert voice.with_voice("nova").voice == "nova"
    assert voice.with_voice("voice_1234").voice == "voice_1234"
    assert voice.voice == "cedar"
