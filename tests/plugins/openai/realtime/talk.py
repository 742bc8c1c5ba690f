"""A session of a `RealtimeModel` on virtual time, joined in memory to a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar, cast

from repartee.audio import AudioFrame
from repartee.chat import ChatContext, FunctionCall, FunctionCallOutput, Item, Message
from repartee.clock import Clock
from repartee.models import RealtimeModel as AnyRealtimeModel
from repartee.models import ResponseOptions, SessionOptions
from repartee.models import events as ev
from repartee.models.history import apply_event
from repartee.plugins.openai.realtime import RealtimeModel
from repartee.protocol import items as wire_items
from repartee.protocol.items import id_of
from repartee.testing import elapse, speech
from repartee.testing.realtime_connection import ServedConnection
from repartee.testing.realtime_server import ScriptedRealtimeServer

E = TypeVar("E")
RATE = 24_000
KEY = "sk-proj-of-a-test-0123456789"


def model_at(server: ScriptedRealtimeServer, **options: Any) -> RealtimeModel:
    """A model whose connections go to that server."""
    options = {"api_key": KEY, "connector": server.connect, **options}
    return RealtimeModel(**options)


class Talk:
    """One session, its events with their times, and its consumer's mirror of the conversation."""

    def __init__(
        self, server: ScriptedRealtimeServer, *, model: AnyRealtimeModel | None = None, **options: Any
    ):
        session_options = options.pop("session", SessionOptions())
        self.server = server
        self.model: AnyRealtimeModel = model if model is not None else model_at(server, **options)
        self.clock = Clock(asyncio.get_running_loop().time)
        self.log: list[tuple[float, ev.RealtimeEvent]] = []
        self.history = ChatContext()
        self._changed = asyncio.Event()
        self.session = self.model.session(session_options, on_event=self._take, clock=self.clock)

    async def __aenter__(self) -> Talk:
        await self.session.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.aclose()
        await self.model.aclose()
        await self.server.aclose()

    def _take(self, event: ev.RealtimeEvent) -> None:
        self.log.append((self.clock.now(), event))
        apply_event(self.history, event)
        self._changed.set()

    # -- what happened -----------------------------------------------------------------------------------------

    def of(self, kind: type[E]) -> list[E]:
        """The events of a type."""
        return [cast(E, event) for _, event in self.log if isinstance(event, kind)]

    def said(self) -> list[tuple[str, str]]:
        """The messages of the consumer's mirror."""
        return [(message.role, message.text) for message in self.history.messages]

    @property
    def served(self) -> ServedConnection:
        """The newest connection, as the server sees it."""
        return self.server.connections[-1]

    def at_server(self) -> list[str]:
        """The ids of the conversation at the server."""
        return [str(id_of(item)) for item in self.served.protocol.conversation]

    def heard(self, response_id: str) -> str:
        """What the audio of a response says."""
        pcm = b"".join(e.audio.data for e in self.of(ev.AudioDelta) if e.response_id == response_id)
        decoder = speech.SpeechDecoder(RATE)
        words = [word.text for word in decoder.feed(pcm)]
        last = decoder.finish()
        return " ".join(words + ([last.text] if last is not None else []))

    async def until(self, holds: Callable[[], object], what: str = "what was waited for") -> None:
        """Wait for something to hold."""
        try:
            async with asyncio.timeout(120.0):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"{what} did not happen: {[type(e).__name__ for _, e in self.log]}"
            ) from None

    def as_the_server_has_them(self) -> list[str]:
        """The ids of the consumer's mirror, by the server's names for those that it named."""
        ids = self.session._ids  # type: ignore[attr-defined]  # nothing public tells
        return [ids.remote(item.id) for item in self.history]

    # -- what is done ------------------------------------------------------------------------------------------

    def type(self, text: str) -> Message:
        """A typed message of the user's."""
        message = Message.of("user", text)
        self.session.create_item(message)
        return message

    def ask(self, **options: Any) -> str:
        """Ask for a response; the request's id."""
        request = ResponseOptions(**options)
        self.session.create_response(request)
        return request.request_id

    def response_of(self, request_id: str) -> str | None:
        """The response to a request."""
        found = [e.response_id for e in self.of(ev.ResponseCreated) if e.request_id == request_id]
        assert len(found) <= 1, f"a request was answered {len(found)} times"
        return found[0] if found else None

    def end_of(self, request_id: str) -> ev.ResponseDone | None:
        """How the response to a request ended."""
        response_id = self.response_of(request_id)
        found = [e for e in self.of(ev.ResponseDone) if e.response_id == response_id]
        assert len(found) <= 1, "a response ended twice"
        return found[0] if found and response_id is not None else None

    async def answer(self, text: str | None = None, **options: Any) -> ev.ResponseDone:
        """Type something, ask, and wait for the end."""
        if text is not None:
            self.type(text)
        request_id = self.ask(**options)
        await self.until(lambda: self.end_of(request_id), f"the answer to {text!r}")
        done = self.end_of(request_id)
        assert done is not None
        return done

    async def say(self, text: str, *, quiet_ms: int = 700, ms_per_word: int = 250) -> None:
        """Say something into the microphone, at the pace of life."""
        for frame in frames_of(text, quiet_ms=quiet_ms, ms_per_word=ms_per_word):
            self.session.append_audio(frame)
            await elapse(0.02)

    def return_output(self, call: FunctionCall, output: str) -> None:
        """A function's result."""
        self.session.create_item(FunctionCallOutput(call.call_id, output))


def frames_of(text: str, *, quiet_ms: int = 0, ms_per_word: int = 250) -> list[AudioFrame]:
    """Frames of 20 ms of someone who says that, and of the silence behind it."""
    words = text.split()
    step = ms_per_word * RATE // 1000
    pcm = speech.encode(words, [step * (at + 1) for at in range(len(words))]) if words else b""
    pcm += bytes(2 * RATE * quiet_ms // 1000)
    size = 2 * RATE // 50
    pcm += bytes(-len(pcm) % size)
    return [AudioFrame(pcm[at : at + size], RATE, 1, at // 2) for at in range(0, len(pcm), size)]


def words_of(item: wire_items.Item) -> str:
    """The words of a message at the server."""
    assert isinstance(item, wire_items.Message)
    return " ".join(
        getattr(part, "text", None) or getattr(part, "transcript", None) or "" for part in item.content
    )


def kinds_of(items: list[Item]) -> list[str]:
    """The types of items."""
    return [type(item).__name__ for item in items]
