"""`SessionLog`: every event of a session, in order, with session time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from repartee.models.events import AudioDelta, RealtimeEvent

__all__ = ["AudioLogged", "LogEntry", "SessionLog"]


@dataclass(frozen=True, slots=True)
class AudioLogged:
    """An `AudioDelta` without its sound."""

    response_id: str
    item_id: str
    sample_rate: int
    position_samples: int
    samples: int


class LogEntry(NamedTuple):
    """An event, and when it happened in seconds since the session began."""

    at_s: float
    event: RealtimeEvent | AudioLogged


class SessionLog(Sequence[LogEntry]):
    """The newest events of a session. Of audio only its place and length are kept; a recorder keeps the sound.

    Args:
        max_entries: how many to keep; the oldest are dropped, and counted in `dropped`. Default 50,000, which is
            about an hour of talk.
    """

    __slots__ = ("_entries", "dropped")

    def __init__(self, max_entries: int = 50_000) -> None:
        self._entries: deque[LogEntry] = deque(maxlen=max_entries)
        self.dropped = 0

    def record(self, at_s: float, event: RealtimeEvent) -> None:
        """Add an event."""
        kept: RealtimeEvent | AudioLogged = event
        if isinstance(event, AudioDelta):
            audio = event.audio
            kept = AudioLogged(
                event.response_id, event.item_id, audio.sample_rate, audio.position_samples, audio.samples
            )
        if len(self._entries) == self._entries.maxlen:
            self.dropped += 1
        self._entries.append(LogEntry(at_s, kept))

    @overload
    def __getitem__(self, index: int) -> LogEntry: ...
    @overload
    def __getitem__(self, index: slice) -> list[LogEntry]: ...
    def __getitem__(self, index: int | slice) -> LogEntry | list[LogEntry]:
        return list(self._entries)[index] if isinstance(index, slice) else self._entries[index]

    def __iter__(self) -> Iterator[LogEntry]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
