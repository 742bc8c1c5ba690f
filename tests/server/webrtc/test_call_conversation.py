"""Whole conversations over WebRTC, through the application and its real sockets."""

from __future__ import annotations

import array
import asyncio
import http.client
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.client import HTTPMessage
from typing import Any

import pytest

pytest.importorskip("aiortc", reason="WebRTC is not installed: pip install 'repartee[webrtc]'")

import numpy as np
import websockets

from repartee.audio import resample
from repartee.chat import Message
from repartee.compose import Conversing, Spoken, Transcribed
from repartee.models import TimedWord, VADStream
from repartee.server.asgi import app
from repartee.server.options import ServerOptions
from repartee.server.served import Served
from repartee.testing import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD, speech
from repartee.testing.conformance_stt import word_errors
from repartee.testing.scripted_vad import ScriptedVADStream
from tests.plugins.local.speech_data import TEXTS, sample
from tests.server.rtc_peer import LOOPBACK, PATIENCE_S, RtcPeer, loud_s
from tests.server.serving import serving

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
MS_PER_WORD = 250


class ToneTTS(ScriptedTTS):
    """Speaks in a tone, which Opus leaves audible; its words begin when they do."""

    def speak(self, text: str) -> tuple[bytes, tuple[TimedWord, ...]]:
        audio, words = super().speak(text)
        count = len(audio) // 2
        tone = (int(8000 * math.sin(400 * math.tau * at / 24000)) for at in range(count))
        return array.array("h", tone).tobytes(), words


class LoudVAD(ScriptedVAD):
    """Takes what is loud for speech."""

    def stream(self, *, sample_rate: int, on_result: Any, on_error: Any) -> VADStream:
        return _LoudStream(self, 1, sample_rate, on_result, on_error)


class _LoudStream(ScriptedVADStream):
    def _judge(self, window: bytes) -> float:
        return 0.98 if speech.level_dbfs(window) > -40 else 0.01


def scripted(*replies: str, llm: ScriptedLLM | None = None, chunk_s: float = 0.01) -> Served:
    model = Conversing(llm or ScriptedLLM(list(replies)))
    tts = ToneTTS(ms_per_word=MS_PER_WORD, chunk_s=chunk_s)
    return Served.of(Spoken(Transcribed(model, ScriptedSTT()), tts), name="scripted", vad=LoudVAD())


class Called:
    """A server, and a peer that talks to it."""

    def __init__(self, peer: RtcPeer, port: int) -> None:
        self.peer = peer
        self.port = port
        self.location = ""

    @property
    def call_id(self) -> str:
        return self.location.rpartition("/")[2]

    async def post(self, path: str, body: str = "", kind: str = "") -> tuple[int, HTTPMessage, str]:
        """POST something: status, headers, body."""

        def blocking() -> tuple[int, HTTPMessage, str]:
            connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=PATIENCE_S)
            connection.request("POST", f"/v1/realtime{path}", body.encode(), {"Content-Type": kind})
            response = connection.getresponse()
            found = response.status, response.headers, response.read().decode()
            connection.close()
            return found

        return await asyncio.to_thread(blocking)

    async def answer(self, sdp: str) -> str:
        session = {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
        parts = {"sdp": ("application/sdp", sdp), "session": ("application/json", json.dumps(session))}
        body = "".join(
            f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\nContent-Type: {kind}\r\n\r\n{text}\r\n'
            for name, (kind, text) in parts.items()
        )
        status, headers, answer = await self.post(
            "/calls?observe=1", body + "--edge--\r\n", "multipart/form-data; boundary=edge"
        )
        assert status == 201, answer
        assert headers["content-type"] == "text/plain; charset=utf-8"
        self.location = headers["location"]
        return answer

    async def ask(self, text: str) -> None:
        """Type something, and have it answered."""
        part = {"type": "input_text", "text": text}
        self.peer.send(
            type="conversation.item.create",
            item={"type": "message", "role": "user", "content": [part]},
        )
        self.peer.send(type="response.create")

    def heard_words(self) -> list[str]:
        return [event["text"] for event in self.peer.of("repartee.heard")]


@asynccontextmanager
async def call(served: Served, **options: Any) -> AsyncIterator[Called]:
    """A connected call; afterwards the server has nothing left."""
    application = app(served, options=ServerOptions(ice_hosts=(LOOPBACK,), **options))
    async with serving(application) as server:
        async with RtcPeer() as peer:
            made = Called(peer, server.port)
            await peer.connect(made.answer)
            await peer.event("session.created")
            yield made
        async with asyncio.timeout(PATIENCE_S):
            while len(application.state.service.sessions) or len(application.state.service.calls):
                await asyncio.get_running_loop().run_in_executor(None, lambda: None)


def run(test: Callable[[], Any]) -> Callable[[], None]:
    def on_real_time() -> None:
        asyncio.run(test())

    on_real_time.__name__, on_real_time.__doc__ = test.__name__, test.__doc__
    return on_real_time


def kinds(peer: RtcPeer, *left_out: str) -> list[str]:
    """The types of the events so far, without observers' and those left out, and runs as one."""
    found = [event["type"] for event in peer.events if not event["type"].startswith(("repartee.", *left_out))]
    return [kind for at, kind in enumerate(found) if at == 0 or found[at - 1] != kind]


@run
async def test_a_typed_question_is_answered_aloud_in_the_recorded_order() -> None:
    async with call(scripted("Four words are enough.")) as called:
        peer = called.peer
        await called.ask("say something")
        await peer.event("output_audio_buffer.stopped")
        deltas = [at for at, each in enumerate(peer.events) if each["type"].endswith("transcript.delta")]
        [started] = [
            at for at, each in enumerate(peer.events) if each["type"] == "output_audio_buffer.started"
        ]
        assert deltas[0] < started
        assert kinds(peer, "response.output_audio_transcript.delta") == [
            "session.created",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "output_audio_buffer.started",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
            "output_audio_buffer.stopped",
        ]
        done = peer.of("response.done")[0]["response"]
        assert done["status"] == "completed"
        assert {
            each["response_id"] for each in peer.events if each["type"].startswith("output_audio_buffer")
        } == {done["id"]}
        await peer.listen(0.3)
        assert loud_s(peer.heard) == pytest.approx(4 * MS_PER_WORD / 1000, abs=0.06)
        assert called.heard_words()[-1] == "Four words are enough."


@run
async def test_a_caller_who_interrupts_is_heard_at_once_and_the_rest_forgotten() -> None:
    llm = ScriptedLLM([LONG, "Sorry."])
    async with call(scripted(llm=llm)) as called:
        peer = called.peer
        await called.ask("count")
        await peer.until(lambda: loud_s(peer.heard) >= 1.0)
        peer.say(array.array("h", [int(9000 * math.sin(at / 20)) for at in range(24000)]).tobytes())
        await peer.event("input_audio_buffer.speech_started")
        before_s = peer.heard_s
        truncated = await peer.event("conversation.item.truncated")
        assert kinds(peer)[-2:] == ["output_audio_buffer.cleared", "conversation.item.truncated"]
        await peer.listen(0.8)
        after = peer.heard[int(before_s * 24000) :]
        assert loud_s(after) <= 0.2  # the peer's own jitter buffer, and what was on its way
        assert truncated["audio_end_ms"] == pytest.approx(loud_s(peer.heard) * 1000, abs=60)
        await peer.event("input_audio_buffer.committed")
        words = LONG.split()[: truncated["audio_end_ms"] // MS_PER_WORD]
        assert len(words) >= 4
        shown = [text.split() for text in called.heard_words() if text][-1]
        assert shown in (words, words[:-1])  # it is told every 100 ms
        peer.send(type="conversation.item.retrieve", item_id=truncated["item_id"])
        item = (await peer.event("conversation.item.retrieved"))["item"]
        assert not item["content"][0].get("transcript")
        # What the model remembers ends with the word that was heard.
        await called.ask("where were you")
        await peer.event("response.done", 2)
        context = llm.requests[-1].context
        said = [each.text for each in context if isinstance(each, Message) and each.role == "assistant"]
        assert said == [" ".join(words)]


@run
async def test_what_is_played_after_the_response_is_done_can_be_cleared() -> None:
    async with call(scripted(LONG)) as called:
        peer = called.peer
        await called.ask("count")
        await peer.event("response.done")
        await peer.until(lambda: loud_s(peer.heard) >= 0.5)
        peer.send(type="output_audio_buffer.clear")
        truncated = await peer.event("conversation.item.truncated")
        assert [each["type"] for each in peer.events if not each["type"].startswith("repartee.")][-2:] == [
            "output_audio_buffer.cleared",
            "conversation.item.truncated",
        ]
        await peer.listen(0.5)
        assert truncated["audio_end_ms"] == pytest.approx(loud_s(peer.heard) * 1000, abs=60)
        assert not peer.of("output_audio_buffer.stopped")


@run
async def test_a_cancelled_response_is_played_as_far_as_it_came() -> None:
    async with call(scripted(LONG, chunk_s=0.08)) as called:
        peer = called.peer
        await called.ask("count")
        await peer.until(lambda: loud_s(peer.heard) >= 0.5)
        peer.send(type="response.cancel")
        done = (await peer.event("response.done"))["response"]
        assert done["status"] == "cancelled"
        await peer.event("output_audio_buffer.stopped")
        await peer.listen(0.3)
        assert 0.5 < loud_s(peer.heard) < 3.0
        assert not peer.of("conversation.item.truncated")


@run
async def test_a_response_that_is_cleared_while_it_is_made_stays_silent() -> None:
    async with call(scripted(LONG, chunk_s=0.08)) as called:
        peer = called.peer
        await called.ask("count")
        await peer.until(lambda: loud_s(peer.heard) >= 0.5)
        peer.send(type="output_audio_buffer.clear")
        truncated = await peer.event("conversation.item.truncated")
        done = (await peer.event("response.done"))["response"]
        assert done["status"] == "completed"
        await peer.listen(0.3)
        assert truncated["audio_end_ms"] == pytest.approx(loud_s(peer.heard) * 1000, abs=60)
        assert len(peer.of("output_audio_buffer.started")) == 1


@run
async def test_a_second_answer_waits_until_the_first_was_heard() -> None:
    async with call(scripted("one two three four", "five six")) as called:
        peer = called.peer
        await called.ask("count")
        await peer.event("response.done")
        await called.ask("go on")
        await peer.event("output_audio_buffer.stopped", 2)
        played = [each for each in peer.events if each["type"].startswith("output_audio_buffer")]
        first, second = (each["response"]["id"] for each in peer.of("response.done"))
        assert [(each["type"].rpartition(".")[2], each["response_id"]) for each in played] == [
            ("started", first),
            ("stopped", first),
            ("started", second),
            ("stopped", second),
        ]


@run
async def test_a_sideband_sees_and_says_what_the_caller_does() -> None:
    async with call(scripted("Hello there.")) as called:
        url = f"ws://{LOOPBACK}:{called.port}/v1/realtime?call_id={called.call_id}"
        async with websockets.connect(url, proxy=None) as sideband, asyncio.timeout(PATIENCE_S):
            await sideband.send(
                json.dumps(
                    {"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief."}}
                )
            )
            first = json.loads(await sideband.recv())
            assert first["type"] == "session.updated"
            assert (await called.peer.event("session.updated"))["session"]["instructions"] == "Be brief."
            await called.ask("hello")
            seen: list[str] = []
            while not seen or seen[-1] != "output_audio_buffer.stopped":
                seen.append(json.loads(await sideband.recv())["type"])
        assert "response.output_audio_transcript.delta" in seen
        assert "output_audio_buffer.started" in seen
        assert not {"session.created", "response.output_audio.delta"} & set(seen)
        assert not called.peer.of("response.output_audio.delta")


@run
async def test_hanging_up_by_request_ends_everything() -> None:
    async with call(scripted("Hello.")) as called:
        closed = asyncio.Event()
        called.peer.channel.on("close", closed.set)
        url = f"ws://{LOOPBACK}:{called.port}/v1/realtime?call_id={called.call_id}"
        async with websockets.connect(url, proxy=None) as sideband, asyncio.timeout(PATIENCE_S):
            assert (await called.post(f"/calls/{called.call_id}/hangup"))[0] == 200
            await closed.wait()
            await sideband.wait_closed()
        assert (await called.post(f"/calls/{called.call_id}/hangup"))[0] == 404


@run
async def test_a_session_that_expires_says_so_on_the_channel() -> None:
    async with call(scripted("Hello."), session_s=1.0) as called:
        error = await called.peer.event("error")
        assert error["error"]["code"] == "session_expired"


@run
async def test_an_offer_that_is_none_is_answered_with_its_reason() -> None:
    async with call(scripted("Hello.")) as called:
        status, _, body = await called.post("/calls", "v=0\r\n", "application/sdp")
        assert status == 400
        assert json.loads(body)["error"]["code"] == "invalid_offer"


@pytest.mark.local
def test_a_spoken_question_is_understood_and_answered() -> None:
    pytest.importorskip("pocketsphinx", reason="the extra 'local' is not installed")
    from repartee.plugins.local import STT, TTS, VAD

    async def main() -> None:
        model = Conversing(ScriptedLLM(["The lights are on now."]))
        served = Served.of(Spoken(Transcribed(model, STT()), TTS()), name="local", vad=VAD())
        await served.prewarm()
        async with call(served, handshake_s=30.0) as called:
            peer = called.peer
            peer.send(
                type="session.update",
                session={"type": "realtime", "audio": {"input": {"transcription": {"model": "local"}}}},
            )
            await peer.event("session.updated")
            peer.say(resample(sample("lights_slt").audio, 24000).data)
            await peer.event("input_audio_buffer.speech_stopped")
            transcript = (await peer.event("conversation.item.input_audio_transcription.completed"))[
                "transcript"
            ]
            assert word_errors(TEXTS["lights_slt"], transcript) <= 0.4, transcript
            await peer.event("output_audio_buffer.stopped")
            await peer.listen(0.3)
            assert (
                peer.of("response.output_audio_transcript.done")[0]["transcript"] == "The lights are on now."
            )
            assert 0.7 < loud_s(peer.heard) < 4.0
            assert np.abs(peer.heard.astype(int)).max() > 1000

    asyncio.run(main())
