"""`SessionLog`: every event of a session, in order, with session time."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

from repartee.models.events import AudioDelta, OutputHeard, RealtimeEvent, TranscriptDelta

__all__ = ["AudioLogged", "LogEntry", "SessionLog"]


_PACKED = struct.Struct("<dqII")  # when, position, samples, whose voice


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


_Kept = LogEntry | bytes | tuple[Any, ...]


class SessionLog(Sequence[LogEntry]):
    """The newest events of a session. Of audio only its place and length are kept; a recorder keeps the sound.

    Most events are audio, fifty a second in each session, and words. So those are kept packed: audio in a fifth of the
    memory, and both as nothing that the garbage collector has to look at, whose pauses would else grow with every
    session's past.

    Args:
        max_entries: how many to keep; the oldest are dropped, and counted in `dropped`. Default 50,000, which is
            about an hour of talk.
    """

    __slots__ = ("_entries", "_heard", "_voice_of", "_voices", "dropped")

    def __init__(self, max_entries: int = 50_000) -> None:
        self._entries: deque[_Kept] = deque(maxlen=max_entries)
        self._heard: dict[str, str] = {}  # all that was heard of each item
        self._voices: list[tuple[str, str, int]] = []  # response, item and rate; one for each that has spoken
        self._voice_of: dict[tuple[str, str, int], int] = {}
        self.dropped = 0

    def record(self, at_s: float, event: RealtimeEvent) -> None:
        """Add an event."""
        if len(self._entries) == self._entries.maxlen:
            self.dropped += 1
        if type(event) is not AudioDelta:
            self._entries.append(self._packed(at_s, event))
            return
        audio = event.audio
        voice = (event.response_id, event.item_id, audio.sample_rate)
        number = self._voice_of.get(voice)
        if number is None:
            number = self._voice_of[voice] = len(self._voices)
            self._voices.append(voice)
        self._entries.append(_PACKED.pack(at_s, audio.position_samples, audio.samples, number))

    def _packed(self, at_s: float, event: RealtimeEvent) -> _Kept:
        if type(event) is TranscriptDelta:
            return (at_s, event.response_id, event.item_id, event.delta, event.start_ms)
        if type(event) is OutputHeard and event.text.startswith(self._heard.get(event.item_id, "")):
            self._heard[event.item_id] = event.text  # each tells all the words again; they are kept once
            return (at_s, event.response_id, event.item_id, len(event.text), event.audio_ms)
        return LogEntry(at_s, event)

    def _unpacked(self, entry: _Kept) -> LogEntry:
        if isinstance(entry, LogEntry):
            return entry
        if isinstance(entry, tuple):
            at_s, response_id, item_id, what, ms = entry
            if isinstance(what, str):
                return LogEntry(at_s, TranscriptDelta(response_id, item_id, what, ms))
            return LogEntry(at_s, OutputHeard(response_id, item_id, self._heard[item_id][:what], ms))
        at_s, position, samples, voice = _PACKED.unpack(entry)
        response_id, item_id, sample_rate = self._voices[voice]
        return LogEntry(at_s, AudioLogged(response_id, item_id, sample_rate, position, samples))

    @overload
    def __getitem__(self, index: int) -> LogEntry: ...
    @overload
    def __getitem__(self, index: slice) -> list[LogEntry]: ...
    def __getitem__(self, index: int | slice) -> LogEntry | list[LogEntry]:
        if isinstance(index, slice):
            return [self._unpacked(entry) for entry in list(self._entries)[index]]
        return self._unpacked(self._entries[index])

    def __iter__(self) -> Iterator[LogEntry]:
        return map(self._unpacked, tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
