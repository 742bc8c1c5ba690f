"""A client of the scripted server, in memory. Every frame is checked against the official types."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from repartee.protocol import events as ev
from repartee.protocol.codec import decode_server_event, encode
from repartee.protocol.config import AudioInputConfig, RealtimeSession, SessionAudio
from repartee.protocol.connection import CLIENT, Connection
from repartee.protocol.items import InputText, Message
from repartee.testing.realtime_server import MemoryLink, ScriptedRealtimeServer
from repartee.testing.realtime_voice import speak
from tests.protocol import official

SILENCE_S = 0.7


@dataclass
class Request:
    url: str = "ws://scripted.test/v1/realtime?model=gpt-realtime"
    headers: dict[str, str] = field(default_factory=dict)


class Peer:
    """One connection, and what came over it."""

    def __init__(self, *, strict: bool = True, kind: Any = "realtime") -> None:
        self.protocol = Connection(CLIENT, strict=strict, kind=kind)
        self.events: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self._kind = kind
        self._changed = asyncio.Event()
        self._link: MemoryLink | None = None

    @classmethod
    async def connect(
        cls, server: ScriptedRealtimeServer, request: Request | None = None, **options: Any
    ) -> Peer:
        peer = cls(**options)
        peer._link = await server.connect(
            request or Request(), on_message=peer._on_message, on_close=peer._on_close
        )
        return peer

    async def aclose(self) -> None:
        assert self._link is not None
        await self._link.aclose()

    def _on_message(self, frame: bytes) -> None:
        assert official.problems(frame, kind=self._kind, from_client=False) == []
        event = decode_server_event(frame)
        self.protocol.receive(event)
        self.events.append(event)
        self._changed.set()

    def _on_close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self._changed.set()

    # -- saying ----------------------------------------------------------------------------------------------

    def send(self, *events: Any) -> None:
        for event in events:
            self.send_frame(encode(self.protocol.send(event)))

    def force(self, event: Any) -> None:
        """Without asking one's own side whether it may be said."""
        self.send_frame(encode(event))

    def send_frame(self, frame: bytes) -> None:
        assert self._link is not None
        self._link.send(frame)

    def configure(self, *, turn_detection: Any = ..., transcription: Any = ..., **session: Any) -> None:
        given = {"turn_detection": turn_detection, "transcription": transcription}
        heard = AudioInputConfig(**{name: value for name, value in given.items() if value is not ...})
        self.send(ev.SessionUpdate(session=RealtimeSession(audio=SessionAudio(input=heard), **session)))

    def type_text(self, text: str) -> None:
        self.send(ev.ConversationItemCreate(item=Message(role="user", content=[InputText(text=text)])))

    def speak(self, text: str, *, silence_s: float = SILENCE_S) -> None:
        for chunk in speak(text):
            self.send(ev.InputAudioBufferAppend(audio=chunk.audio))
        if silence_s:
            self.send(ev.InputAudioBufferAppend(audio=bytes(2 * round(24_000 * silence_s))))

    # -- hearing ---------------------------------------------------------------------------------------------

    async def until(self, kind: type[Any], count: int = 1) -> Any:
        """The ``count``-th event of a kind, once it is there."""
        while len(found := self.all(kind)) < count:
            self._changed.clear()
            await self._changed.wait()
        return found[count - 1]

    async def until_closed(self) -> tuple[int, str]:
        while self.closed is None:
            self._changed.clear()
            await self._changed.wait()
        return self.closed

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def types(self) -> list[str]:
        return [event.__struct_config__.tag for event in self.events]

    @property
    def transcript(self) -> str:
        return "".join(event.delta for event in self.all(ev.ResponseOutputAudioTranscriptDelta))

    @property
    def audio(self) -> bytes:
        return b"".join(event.delta for event in self.all(ev.ResponseOutputAudioDelta))
