"""A session of any `RealtimeModel` under test: what it told, when, and a person at the microphone.

::

    async with RealtimeTalk(model) as talk:
        await talk.say("what time is it")           # or talk.type("what time is it")
        await talk.answer()
        assert talk.said()[-1] == ("assistant", "It is noon.")

Meant for virtual time (`virtual_time`), where the pace of life costs nothing; it works on a real clock too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self, TypeVar, cast

from repartee.audio import AudioFrame
from repartee.chat import ChatContext, FunctionCall, FunctionCallOutput, Message
from repartee.clock import Clock
from repartee.models import RealtimeModel, RealtimeSession, ResponseOptions, SessionOptions
from repartee.models import events as ev
from repartee.models.history import apply_event
from repartee.testing import speech
from repartee.testing.virtual_time import elapse

__all__ = ["RealtimeTalk", "frames_of"]

E = TypeVar("E")
RATE = 24_000


class RealtimeTalk:
    """One session, its events with their times, and its consumer's mirror of the conversation.

    Args:
        model: what to talk with. Closed with the session.
        options: of the session. Default: `SessionOptions`.
        timeout_s: how long `until` waits. Default: two minutes.
    """

    def __init__(
        self, model: RealtimeModel, options: SessionOptions | None = None, *, timeout_s: float = 120.0
    ) -> None:
        self.model = model
        self.clock = Clock(asyncio.get_running_loop().time)
        self.log: list[tuple[float, ev.RealtimeEvent]] = []
        """Every event, with the seconds since the session was made."""
        self.history = ChatContext()
        """The conversation as the events tell it."""
        self.session: RealtimeSession = model.session(
            options or SessionOptions(), on_event=self._take, clock=self.clock
        )
        self._timeout_s = timeout_s
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.session.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.aclose()
        await self.model.aclose()

    def _take(self, event: ev.RealtimeEvent) -> None:
        self.log.append((self.clock.now(), event))
        apply_event(self.history, event)
        self._changed.set()

    # -- what happened -----------------------------------------------------------------------------------------

    def of(self, kind: type[E]) -> list[E]:
        """The events of a type, in order."""
        return [cast(E, event) for _, event in self.log if isinstance(event, kind)]

    def said(self) -> list[tuple[str, str]]:
        """Role and text of the messages of the mirror."""
        return [(message.role, message.text) for message in self.history.messages]

    def heard(self, response_id: str) -> str:
        """What the audio of a response says, if it is in the voice of this test kit."""
        pcm = b"".join(e.audio.data for e in self.of(ev.AudioDelta) if e.response_id == response_id)
        decoder = speech.SpeechDecoder(RATE)
        words = [word.text for word in decoder.feed(pcm)]
        last = decoder.finish()
        return " ".join(words + ([last.text] if last is not None else []))

    async def until(self, holds: Callable[[], object], what: str = "what was waited for") -> None:
        """Wait for something to hold; asked again after each event.

        Raises:
            AssertionError: it doesn't in time; says what did happen.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            happened = [type(event).__name__ for _, event in self.log]
            raise AssertionError(f"{what} did not happen: {happened}") from None

    # -- what is done ------------------------------------------------------------------------------------------

    def type(self, text: str) -> Message:
        """A typed message of the user's."""
        message = Message.of("user", text)
        self.session.create_item(message)
        return message

    def ask(self, **options: object) -> str:
        """Ask for a response.

        Args:
            options: of `ResponseOptions`.

        Returns:
            The request's id.
        """
        request = ResponseOptions(**options)  # type: ignore[arg-type]
        self.session.create_response(request)
        return request.request_id

    def response_of(self, request_id: str) -> str | None:
        """The id of the response to a request; ``None``: there is none yet."""
        found = [e.response_id for e in self.of(ev.ResponseCreated) if e.request_id == request_id]
        assert len(found) <= 1, f"a request was answered {len(found)} times"
        return found[0] if found else None

    def end_of(self, request_id: str) -> ev.ResponseDone | None:
        """How the response to a request ended; ``None``: it has not."""
        response_id = self.response_of(request_id)
        found = [e for e in self.of(ev.ResponseDone) if e.response_id == response_id]
        assert len(found) <= 1, "a response ended twice"
        return found[0] if found and response_id is not None else None

    async def answer(self, text: str | None = None, **options: object) -> ev.ResponseDone:
        """Type something, if given, ask for a response, and wait for its end."""
        if text is not None:
            self.type(text)
        request_id = self.ask(**options)
        await self.until(lambda: self.end_of(request_id), f"the answer to {text!r}")
        done = self.end_of(request_id)
        assert done is not None
        return done

    async def say(self, text: str, *, quiet_ms: int = 700, ms_per_word: int = 250) -> None:
        """Say something into the microphone, at the pace of life, and be quiet for a while."""
        for frame in frames_of(text, quiet_ms=quiet_ms, ms_per_word=ms_per_word):
            self.session.append_audio(frame)
            await elapse(0.02)

    def return_output(self, call: FunctionCall, output: str) -> None:
        """A function's result."""
        self.session.create_item(FunctionCallOutput(call.call_id, output))


def frames_of(text: str, *, quiet_ms: int = 0, ms_per_word: int = 250) -> list[AudioFrame]:
    """Frames of 20 ms at 24 kHz of someone who says that, and of the silence behind it."""
    words = text.split()
    step = ms_per_word * RATE // 1000
    pcm = speech.encode(words, [step * (at + 1) for at in range(len(words))]) if words else b""
    pcm += bytes(2 * RATE * quiet_ms // 1000)
    size = 2 * RATE // 50
    pcm += bytes(-len(pcm) % size)
    return [AudioFrame(pcm[at : at + size], RATE, 1, at // 2) for at in range(0, len(pcm), size)]
