"""A client and a served session with nothing between them: the client's end is strict about the order of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from repartee.chat import FunctionTool
from repartee.clock import Clock
from repartee.compose import Conversing, Spoken, Transcribed
from repartee.models import RealtimeModel
from repartee.observe.log import SessionLog
from repartee.protocol.beta import BetaDialect
from repartee.protocol.codec import decode_server_event, encode_object
from repartee.protocol.connection import CLIENT, Connection
from repartee.protocol.sessions import SessionKind, default_session
from repartee.server.options import ServerOptions
from repartee.server.recordings.recording import Recordings
from repartee.server.served import Served
from repartee.server.sessions.served_session import OutputSink, ServedSession
from repartee.server.sessions.usage import TokenBudget
from repartee.testing import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD, elapse
from tests.server.ears import sound

__all__ = ["Client", "Talk", "model_of", "sound"]


def model_of(
    replies: Any = (),
    *,
    llm: ScriptedLLM | None = None,
    tts: ScriptedTTS | None = None,
    stt: ScriptedSTT | None = None,
) -> RealtimeModel:
    """A scripted model that hears and speaks."""
    llm = llm or ScriptedLLM(replies)
    return Spoken(Transcribed(Conversing(llm), stt or ScriptedSTT()), tts or ScriptedTTS(ms_per_word=250))


class Client:
    """What one client got."""

    def __init__(
        self, *, observe: bool = False, kind: SessionKind = "realtime", attached: bool = False
    ) -> None:
        self.observe = observe
        self.events: list[dict[str, Any]] = []
        self.frames: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.connection = Connection(CLIENT, kind=kind, strict=True, attached=attached)
        self.checks = True

    def send(self, frame: bytes, *, audio: bool = False) -> None:
        assert self.closed is None, f"said after the close: {frame[:200]!r}"
        event = json.loads(frame)
        assert event["type"] == "response.output_audio.delta" or not audio
        self.events.append(event)
        self.frames.append(frame)
        if self.checks and not event["type"].startswith("repartee."):
            self.connection.receive(decode_server_event(frame))

    def close(self, code: int, reason: str) -> None:
        assert self.closed is None
        self.closed = (code, reason)

    @property
    def types(self) -> list[str]:
        """Of all events, runs of one type as one."""
        kinds = [event["type"] for event in self.events]
        return [kind for at, kind in enumerate(kinds) if at == 0 or kinds[at - 1] != kind]

    def all(self, event_type: str) -> list[dict[str, Any]]:
        """Events of a type."""
        return [event for event in self.events if event["type"] == event_type]

    def last(self, event_type: str) -> dict[str, Any]:
        """The last event of a type."""
        return self.all(event_type)[-1]

    def clear(self) -> None:
        """Forget what came so far."""
        self.events.clear()
        self.frames.clear()


class Talk:
    """A session and its main client.

    Args:
        model: what is served. Default: a scripted one with these replies.
        replies: of the default model's LLM.
        vad: default: a scripted one.
    """

    def __init__(
        self,
        model: RealtimeModel | None = None,
        *,
        replies: Any = (),
        kind: SessionKind = "realtime",
        session: Mapping[str, Any] | None = None,
        tools: Sequence[FunctionTool] = (),
        options: ServerOptions | None = None,
        output: OutputSink | None = None,
        observe: bool = False,
        budget: TokenBudget | None = None,
        dialect: BetaDialect | None = None,
        recordings: Recordings | None = None,
        **served: Any,
    ) -> None:
        self.llm = ScriptedLLM(replies)
        self.tts = ScriptedTTS(ms_per_word=250)
        self.stt = ScriptedSTT()
        model = model or model_of(llm=self.llm, tts=self.tts, stt=self.stt)
        self.served = Served.of(
            model, name="scripted", vad=served.pop("vad", ScriptedVAD()), tools=tools, **served
        )
        self.log = SessionLog()
        self.client = Client(observe=observe, kind=kind)
        self.client.checks = dialect is None and output is None  # over RTP it counts no audio
        clock = Clock(asyncio.get_running_loop().time)
        recording = (
            recordings.open("sess_1", clock, plays=output is not None, about={"model": "scripted"})
            if recordings is not None
            else None
        )
        self.session = ServedSession(
            self.served,
            config=default_session(kind, id="sess_1", model="scripted", instructions="Be kind."),
            clock=clock,
            options=options or ServerOptions(),
            output=output,
            log=self.log if recording is None else None,
            recording=recording,
            budget=budget,
        )
        self._first = dict(session or {})
        self._kind = kind
        self.session.attach(self.client, dialect=dialect)

    async def __aenter__(self) -> Talk:
        await self.session.start()
        if self._first:
            self.update(**self._first)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.aclose()
        await self.served.aclose()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the client got."""
        return self.client.events

    def send(self, event_type: str, **fields: Any) -> None:
        """Send an event."""
        self.session.receive(encode_object({"type": event_type, **fields}), self.client)

    def update(self, **session: Any) -> None:
        """Change the session."""
        self.send("session.update", session={"type": self._kind, **session})

    def say(self, text: str, *, item_id: str | None = None, **fields: Any) -> None:
        """Create a user message of text."""
        item: dict[str, Any] = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": text}],
        }
        if item_id is not None:
            item["id"] = item_id
        self.send("conversation.item.create", item=item, **fields)

    def respond(self, **response: Any) -> None:
        """Ask for a response."""
        self.send("response.create", **({"response": response} if response else {}))

    async def answer(self, text: str = "", **response: Any) -> dict[str, Any]:
        """Say something, and wait for the end of the response to it."""
        if text:
            self.say(text)
        self.respond(**response)
        return await self.done()

    async def done(self, count: int | None = None) -> dict[str, Any]:
        """Wait until one more response is over (or ``count`` of all): the last of them."""
        wanted = len(self.client.all("response.done")) + 1 if count is None else count
        for _ in range(6000):
            if len(self.client.all("response.done")) >= wanted:
                break
            await elapse(0.01)
        return self.client.last("response.done")["response"]  # type: ignore[no-any-return]

    def hear(self, *parts: str | float, item: bool = True) -> None:
        """Push audio all at once: words, and lengths of silence in seconds."""
        import base64

        pcm = sound(*parts)
        for at in range(0, len(pcm), 48_000):
            self.send("input_audio_buffer.append", audio=base64.b64encode(pcm[at : at + 48_000]).decode())

    @property
    def asked(self) -> list[list[tuple[str, str]]]:
        """What the LLM was asked, as role and words."""
        found = []
        for request in self.llm.requests:
            found.append(
                [
                    (getattr(item, "role", type(item).__name__), getattr(item, "text", ""))
                    for item in request.context
                ]
            )
        return found
