"""`SessionLog`: every event of a session, in order, with session time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from repartee.models.events import AudioDelta, RealtimeEvent

__all__ = ["LogEntry", "SessionLog"]


class LogEntry(NamedTuple):
    """An event, and when it happened in seconds since the session began."""

    at_s: float
    event: RealtimeEvent


class SessionLog:
    """The newest events of a session. Audio is not kept here; a recorder keeps that.

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
        if isinstance(event, AudioDelta):
            return
        if len(self._entries) == self._entries.maxlen:
            self.dropped += 1
        self._entries.append(LogEntry(at_s, event))

    def __iter__(self) -> Iterator[LogEntry]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
