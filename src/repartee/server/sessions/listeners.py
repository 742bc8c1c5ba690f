"""Who listens to a session: every event goes to each of them, encoded once.

The main client gets everything. A sideband gets no audio (it is on RTP). Where the server plays the sound itself,
nobody gets audio as events. Only who asked to observe gets ``repartee.*`` events.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from repartee.protocol.beta import BetaDialect
from repartee.protocol.codec import encode, encode_object
from repartee.protocol.events import ResponseOutputAudioDelta, ServerEvent

__all__ = ["Listener", "Listeners"]


class Listener(Protocol):
    """One attached client: the main one, or a sideband."""

    observe: bool
    """Whether it gets ``repartee.*`` events."""

    def send(self, frame: bytes, *, audio: bool = False) -> None:
        """Send one text frame of JSON; never blocks. ``audio``: it may be dropped when the client is slow."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection behind what was sent."""


@dataclass(frozen=True, slots=True)
class _Attached:
    listener: Listener
    sideband: bool
    dialect: BetaDialect | None


class Listeners:
    """The clients of one session.

    Args:
        sends_audio: whether the main client gets audio as events.
    """

    def __init__(self, *, sends_audio: bool) -> None:
        self._sends_audio = sends_audio
        self._attached: list[_Attached] = []
        self._audio: list[_Attached] = []
        self.observed = False
        """Whether any of them observes."""
        self.translates = False
        """Whether any of them speaks something else than GA."""

    def __len__(self) -> int:
        return len(self._attached)

    def add(self, listener: Listener, *, sideband: bool, dialect: BetaDialect | None) -> None:
        """One more, from now on."""
        self._attached.append(_Attached(listener, sideband, dialect))
        self._sort()

    def remove(self, listener: Listener) -> None:
        """One less; nothing happens if it is none of them."""
        self._attached = [each for each in self._attached if each.listener is not listener]
        self._sort()

    def _sort(self) -> None:
        self._audio = [each for each in self._attached if self._sends_audio and not each.sideband]
        self.observed = any(each.listener.observe for each in self._attached)
        self.translates = any(each.dialect is not None for each in self._attached)

    def dialect_of(self, listener: Listener) -> BetaDialect | None:
        """What a client speaks, if not GA."""
        return next((each.dialect for each in self._attached if each.listener is listener), None)

    def tell(self, events: Iterable[ServerEvent]) -> None:
        """Send events to all, in order."""
        for event in events:
            is_audio = type(event) is ResponseOutputAudioDelta
            frame = b""
            for each in self._audio if is_audio else self._attached:
                if each.dialect is not None:
                    for translated in each.dialect.encode(event):
                        each.listener.send(translated, audio=is_audio)
                    continue
                frame = frame or encode(event)
                each.listener.send(frame, audio=is_audio)

    def tell_observers(self, event: dict[str, Any]) -> None:
        """Send an event of our own to those who observe."""
        frame = encode_object(event)
        for each in self._attached:
            if each.listener.observe:
                each.listener.send(frame)

    def close(self, code: int, reason: str) -> None:
        """Close every connection."""
        for each in self._attached:
            each.listener.close(code, reason)
