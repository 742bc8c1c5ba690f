"""`openai.STT` against a server that hears: whoever is loud says the sample's words."""

from __future__ import annotations

import array
import asyncio
import io
import math
import wave
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from repartee.audio import AudioFrame
from repartee.errors import AudioFormatError, ConfigurationError, ModelError
from repartee.models import Final, Interim, STTEvent, STTStream
from repartee.plugins.openai import STT, client
from repartee.testing.conformance_stt import STT_CHECKS, STTCheck
from repartee.testing.conformance_vad import SpeechSample
from tests.plugins.openai.http_server import Exchange, Handler, HttpServer, drop, refuse, stall

RATE = 16_000
WORDS = "turn on the light in the kitchen"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(client, "BACKOFF_S", 0.001)


def loud(seconds: float, rate: int = RATE) -> AudioFrame:
    samples = array.array("h", [round(8000 * math.sin(at * 0.15)) for at in range(round(seconds * rate))])
    return AudioFrame(samples.tobytes(), rate)


def sample() -> SpeechSample:
    quiet = bytes(RATE)
    audio = AudioFrame(quiet + loud(1.0).data + quiet, RATE)
    return SpeechSample(audio, RATE // 2, RATE // 2 + RATE, WORDS)


def heard(exchange: Exchange) -> str:
    """What a request's file says."""
    with wave.open(io.BytesIO(exchange.form["file"])) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        assert file.getnframes() >= file.getframerate() // 10, "the API refuses less than 100 ms"
        samples = array.array("h", file.readframes(file.getnframes()))
        return (
            WORDS if sum(abs(each) > 1000 for each in samples) > 0.4 * file.getframerate() else "Thank you."
        )


async def transcribe(exchange: Exchange) -> None:
    """Answers at once, or in words where that is wanted."""
    text = heard(exchange)
    if "stream" not in exchange.form:
        await exchange.answer(200, {"text": f" {text} "})
        return
    exchange.begin()
    for at, word in enumerate(text.split()):
        await exchange.event({"type": "transcript.text.delta", "delta": f" {word}" if at else word})
    await exchange.event({"type": "transcript.text.done", "text": text})
    await exchange.end()


class Listener:
    """A stream and what it told."""

    def __init__(self, stt: STT, rate: int = RATE) -> None:
        self.events: list[STTEvent] = []
        self.errors: list[ModelError] = []
        self.news = asyncio.Event()
        self.stream: STTStream = stt.stream(sample_rate=rate, on_event=self._event, on_error=self._error)

    def _event(self, event: STTEvent) -> None:
        self.events.append(event)
        self.news.set()

    def _error(self, error: ModelError) -> None:
        self.errors.append(error)
        self.news.set()

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not done():
                self.news.clear()
                await self.news.wait()

    @property
    def finals(self) -> list[tuple[str, int | None]]:
        return [(event.text, event.flush_id) for event in self.events if isinstance(event, Final)]


def with_server(
    body: Callable[[HttpServer, STT], Coroutine[Any, Any, None]],
    *handlers: Handler,
    model: str = "m",
    **options: Any,
) -> HttpServer:
    server = HttpServer(*handlers)

    async def main() -> None:
        async with server:
            stt = STT(model, base_url=server.url, **options)
            try:
                await body(server, stt)
            finally:
                await stt.aclose()

    asyncio.run(main())
    return server


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "at once"])
@pytest.mark.parametrize("check", STT_CHECKS, ids=lambda check: check.__name__)
def test_conformance(check: STTCheck, streams: bool) -> None:
    async def main() -> None:
        async with HttpServer(transcribe) as server:
            await check(lambda: STT("m", base_url=server.url, stream=streams), sample())

    asyncio.run(main())


def test_words_come_as_they_are_found() -> None:
    async def body(server: HttpServer, stt: STT) -> None:
        listener = Listener(stt)
        listener.stream.push(loud(1.0))
        listener.stream.flush()
        await listener.until(lambda: bool(listener.finals))
        await listener.stream.aclose()
        *interims, final = listener.events
        assert [event.text for event in interims][:3] == ["turn", "turn on", "turn on the"]
        assert all(isinstance(event, Interim) for event in interims)
        assert final == Final(WORDS, flush_id=1)

    server = with_server(
        body, transcribe, model="gpt-transcribe", language="en", prompt="kitchen", temperature=0.0
    )
    (asked,) = server.requests
    assert asked.path == "/v1/audio/transcriptions"
    assert {name: value for name, value in asked.form.items() if name != "file"} == {
        "model": b"gpt-transcribe",
        "response_format": b"json",
        "stream": b"true",
        "languages[]": b"en",
        "prompt": b"kitchen",
        "temperature": b"0.0",
    }


def test_older_models_take_one_language_and_do_not_stream() -> None:
    async def body(server: HttpServer, stt: STT) -> None:
        listener = Listener(stt)
        listener.stream.push(loud(1.0))
        listener.stream.flush()
        await listener.until(lambda: bool(listener.finals))
        await listener.stream.aclose()
        assert listener.events == [Final(WORDS, flush_id=1)]

    server = with_server(body, transcribe, model="whisper-1", language="en")
    form = server.requests[0].form
    assert form["language"] == b"en"
    assert "stream" not in form


def test_a_server_that_does_not_stream_is_heard_all_the_same() -> None:
    async def at_once(exchange: Exchange) -> None:
        await exchange.answer(200, {"text": heard(exchange)})

    async def body(server: HttpServer, stt: STT) -> None:
        listener = Listener(stt)
        listener.stream.push(loud(1.0))
        listener.stream.flush()
        await listener.until(lambda: bool(listener.finals))
        await listener.stream.aclose()
        assert listener.finals == [(WORDS, 1)]

    with_server(body, at_once, stream=True)


def test_finals_come_in_the_order_of_their_flushes() -> None:
    async def slow(exchange: Exchange) -> None:
        # The first is answered once the second was asked.
        while len(server.requests) < 2:
            await asyncio.wait({asyncio.ensure_future(exchange.gone.wait())}, timeout=0.01)
        await transcribe(exchange)

    server = HttpServer(slow, transcribe)

    async def main() -> None:
        async with server:
            stt = STT("m", base_url=server.url)
            listener = Listener(stt)
            listener.stream.push(loud(1.0))
            listener.stream.flush()
            listener.stream.flush()
            listener.stream.push(loud(0.2))
            listener.stream.flush()
            await listener.until(lambda: len(listener.finals) == 3)
            assert listener.finals == [(WORDS, 1), ("", 2), ("Thank you.", 3)]
            await listener.stream.aclose()
            await stt.aclose()

    asyncio.run(main())


def test_silence_and_clicks_are_not_sent() -> None:
    async def body(server: HttpServer, stt: STT) -> None:
        listener = Listener(stt)
        listener.stream.push(AudioFrame(bytes(RATE * 4), RATE))
        listener.stream.flush()
        listener.stream.push(loud(0.05))
        listener.stream.flush()
        await listener.until(lambda: len(listener.finals) == 2)
        await listener.stream.aclose()
        assert listener.finals == [("", 1), ("", 2)]
        assert server.requests == []

    with_server(body, transcribe)


def test_a_failure_that_passes_and_one_that_stays() -> None:
    async def body(server: HttpServer, stt: STT) -> None:
        listener = Listener(stt)
        listener.stream.push(loud(1.0))
        listener.stream.flush()
        await listener.until(lambda: bool(listener.finals))
        listener.stream.push(loud(1.0))
        listener.stream.flush()
        listener.stream.push(loud(1.0))
        listener.stream.flush()
        await listener.until(lambda: bool(listener.errors))
        listener.stream.push(loud(1.0))
        listener.stream.flush()
        await listener.stream.aclose()
        assert listener.finals == [(WORDS, 1)]
        (error,) = listener.errors
        assert (error.stage, error.recoverable, error.code) == ("stt", False, "model_not_found")

    with_server(
        body, drop, refuse(500, None, "oops"), transcribe, refuse(404, "model_not_found", "no such model")
    )


@pytest.mark.parametrize(
    "handler, code",
    [(stall, "timeout"), (refuse(401, None, "no"), "invalid_api_key")],
)
def test_errors_are_told_once(handler: Handler, code: str) -> None:
    async def body(server: HttpServer, stt: STT) -> None:
        listener = Listener(stt)
        listener.stream.push(loud(0.5))
        listener.stream.flush()
        await listener.until(lambda: bool(listener.errors))
        await listener.stream.aclose()
        assert [error.code for error in listener.errors] == [code]
        assert listener.events == []

    with_server(body, handler, timeout_s=0.3, max_retries=0)


def test_half_a_transcript_is_no_final() -> None:
    async def half(exchange: Exchange) -> None:
        exchange.begin()
        await exchange.event({"type": "transcript.text.delta", "delta": "turn"})
        await exchange.end()

    async def no_text(exchange: Exchange) -> None:
        await exchange.answer(200, {"words": []})

    for handler in (half, no_text):

        async def body(server: HttpServer, stt: STT) -> None:
            listener = Listener(stt)
            listener.stream.push(loud(0.5))
            listener.stream.flush()
            await listener.until(lambda: bool(listener.errors))
            await listener.stream.aclose()
            assert listener.finals == []

        with_server(body, handler, stream=True)


def test_a_segment_without_end_is_an_error() -> None:
    async def body(server: HttpServer, stt: STT) -> None:
        listener = Listener(stt)
        for _ in range(5):
            listener.stream.push(loud(0.5))
        assert [error.code for error in listener.errors] == ["segment_too_long"]
        assert "longer than 2 s" in str(listener.errors[0])
        await listener.stream.aclose()

    with_server(body, transcribe, max_segment_s=2.0)


def test_closing_in_the_middle_of_a_request() -> None:
    async def body(server: HttpServer, stt: STT) -> None:
        listener = Listener(stt)
        listener.stream.push(loud(0.5))
        listener.stream.flush()
        await listener.until(lambda: True)
        await listener.stream.aclose()
        await listener.stream.aclose()
        assert listener.events == []

    with_server(body, stall)


def test_bad_arguments() -> None:
    with pytest.raises(ConfigurationError, match="max_segment_s"):
        STT(base_url="http://localhost:1/v1", max_segment_s=0)
    stt = STT(base_url="http://localhost:1/v1")
    assert repr(stt) == "openai.STT('gpt-transcribe' at localhost:1)"

    async def main() -> None:
        with pytest.raises(AudioFormatError):
            Listener(stt, rate=1)
        listener = Listener(stt)
        with pytest.raises(AudioFormatError, match="8000 Hz"):
            listener.stream.push(AudioFrame.silence(20, 8000))
        await listener.stream.aclose()

    asyncio.run(main())
