"""A session of one model, without anything that plays or listens: its events, with the loop's times."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar, cast

from repartee.audio import AudioFrame
from repartee.chat import ChatContext
from repartee.clock import Clock
from repartee.models import RealtimeModel, RealtimeSession, SessionOptions
from repartee.models import events as ev
from repartee.models.history import apply_event
from repartee.testing import Speech, elapse, speech

E = TypeVar("E")
RATE = 24_000


class Stage:
    """Opens a session on entering, and closes it on leaving."""

    def __init__(self, model: RealtimeModel, **options: Any) -> None:
        self.log: list[tuple[float, ev.RealtimeEvent]] = []
        self.history = ChatContext()
        self._model = model
        self._options = SessionOptions(**options)
        self.session: RealtimeSession

    async def __aenter__(self) -> Stage:
        loop = asyncio.get_running_loop()
        self.session = self._model.session(self._options, on_event=self._take, clock=Clock(loop.time))
        await self.session.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.aclose()

    def _take(self, event: ev.RealtimeEvent) -> None:
        self.log.append((asyncio.get_running_loop().time(), event))
        apply_event(self.history, event)

    def of(self, kind: type[E], **fields: Any) -> list[E]:
        """The events of a type with these field values."""
        return [
            cast(E, event)
            for _, event in self.log
            if isinstance(event, kind) and all(getattr(event, k) == v for k, v in fields.items())
        ]

    def times(self, kind: type[Any], **fields: Any) -> list[float]:
        """When they came, in ms."""
        found = self.of(kind, **fields)
        return [round(s * 1000, 3) for s, event in self.log if any(event is each for each in found)]

    @property
    def said(self) -> list[tuple[str, str]]:
        """The conversation as the events tell it."""
        return [(m.role, m.text) for m in self.history.messages]

    @property
    def kinds(self) -> list[str]:
        """The types of the events, in order."""
        return [type(event).__name__ for _, event in self.log]

    async def speak(self, text: str, *, silence_s: float = 0.0) -> None:
        """Append speech (3 words a second) and then silence, paced, in frames of 20 ms."""
        words = Speech(text).words
        ends = [round(word.end_s * RATE) for word in words]
        audio = speech.encode([word.text for word in words], ends) + bytes(2 * round(silence_s * RATE))
        size = 2 * RATE // 50
        for start in range(0, len(audio), size):
            await elapse(0.02)
            self.session.append_audio(
                AudioFrame(audio[start : start + size], RATE, position_samples=start // 2)
            )
