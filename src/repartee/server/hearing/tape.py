"""`Tape`: the session's latest audio, found again by its place in seconds. `Tapes`: as it came, and as it is heard."""

from __future__ import annotations

import logging
from collections.abc import Callable

from repartee.errors import MissingDependencyError
from repartee.server.hearing.wire_audio import WireFormat, transcode
from repartee.transports.noise import NoiseField, NoiseSuppressor

__all__ = ["Tape", "Tapes"]

log = logging.getLogger("repartee.server")


class Tape:
    """Audio of one encoding, without a gap. What is not needed any more is forgotten from its beginning.

    Args:
        rate: samples a second.
        sample_bytes: bytes a sample.
        base_s: where its first sample lies in the session's audio, in seconds. Default: at the beginning.
    """

    __slots__ = ("_data", "_width", "base_s", "end", "rate", "start")

    def __init__(self, rate: int, sample_bytes: int, *, base_s: float = 0.0) -> None:
        self.rate = rate
        self.base_s = base_s
        self._width = sample_bytes
        self._data = bytearray()  # bounded by whoever calls `forget`
        self.start = 0
        """The oldest sample that is there."""
        self.end = 0
        """Behind the newest one."""

    @property
    def start_s(self) -> float:
        """Where it begins now."""
        return self.base_s + self.start / self.rate

    @property
    def end_s(self) -> float:
        """Where it ends."""
        return self.base_s + self.end / self.rate

    def to_s(self, sample: int) -> float:
        """Where a sample lies, in seconds."""
        return self.base_s + sample / self.rate

    def to_sample(self, at_s: float) -> int:
        """The sample that lies there."""
        return round((at_s - self.base_s) * self.rate)

    def append(self, data: bytes) -> None:
        """More audio: whole samples."""
        self._data += data
        self.end += len(data) // self._width

    def copy(self, other: Tape, decode: Callable[[bytes], bytes]) -> None:
        """Take over what is on another tape of the same rate, decoded."""
        self.start, self.end = other.start, other.end
        self._data = bytearray(decode(other.cut(other.start, other.end)))

    def cut(self, start: int, stop: int) -> bytes:
        """The samples from ``start`` to ``stop``, as far as they are there."""
        begin = max(0, start - self.start) * self._width
        return bytes(self._data[begin : max(0, stop - self.start) * self._width])

    def cut_s(self, start_s: float, stop_s: float) -> bytes:
        """The audio between two places, as far as it is there."""
        return self.cut(self.to_sample(start_s), self.to_sample(stop_s))

    def forget(self, before_s: float) -> None:
        """Drop what lies before that."""
        until = min(self.to_sample(before_s), self.end)
        if until > self.start:
            del self._data[: (until - self.start) * self._width]
            self.start = until


class Tapes:
    """A session's audio as it came (`wire`), and decoded and cleaned (`pcm`). They are one where that is the same.

    Args:
        format: of the wire.
    """

    __slots__ = ("_format", "_noise", "full", "pcm", "room_until", "trim_at", "wire")

    def __init__(self, format: WireFormat) -> None:
        self._format = format
        self._noise: NoiseSuppressor | None = None
        self.wire = Tape(format.rate, format.sample_bytes)
        self.pcm = self.wire
        self.trim_at = format.rate
        """At which sample of `pcm` it is worth while to forget."""
        self.room_until = 0
        """Up to which sample of `pcm` there is surely room; behind it one has to look."""
        self.full = False
        """Whether audio is refused, since too much of it waits."""
        self._split()

    def append(self, audio: bytes) -> None:
        """More audio from the wire."""
        wire = self.wire
        wire.append(audio)
        if self.pcm is not wire:
            pcm = self._format.decode(audio)
            self.pcm.append(pcm if self._noise is None else self._noise.push(pcm))

    def finish(self) -> None:
        """All that came counts now: what the noise reduction holds back (less than 10 ms) goes as it is."""
        if self._noise is not None:
            self.pcm.append(self._noise.flush())

    def forget(self, before_s: float) -> None:
        """Drop what lies before that."""
        self.wire.forget(before_s)
        if self.pcm is not self.wire:
            self.pcm.forget(before_s)
        self.trim_at = self.pcm.end + self.pcm.rate

    def change(self, format: WireFormat, noise: NoiseField | None) -> None:
        """What comes from now on is encoded and cleaned otherwise; what is kept is converted.

        Args:
            format: of the wire.
            noise: the kind of noise reduction; ``None``: none. Where it can't be had, the log says so.
        """
        self.finish()
        old_format, old = self._format, self.pcm
        if format != old_format:
            self._format = format
            kept = transcode(old.cut(old.start, old.end), old.rate, format.rate)
            self.wire = Tape(format.rate, format.sample_bytes, base_s=old.start_s)
            self.wire.append(format.encode(kept))
            self.pcm = Tape(format.rate, 2, base_s=old.start_s)
            self.pcm.append(kept)
            self.trim_at = self.pcm.end + format.rate
            self.room_until = 0
        self._noise = None
        if noise is not None:
            try:
                self._noise = NoiseSuppressor(format.rate, field=noise)
            except MissingDependencyError as error:
                log.warning("%s; the session goes on without", error)
        self._split()

    def _split(self) -> None:
        """One tape where both say the same, otherwise two."""
        same = self._format.law is None and self._noise is None
        if same and self.pcm is not self.wire:
            # The next turn hears what is on the wire; what was cleaned before is heard as it came.
            self.pcm = self.wire
        elif not same and self.pcm is self.wire:
            self.pcm = Tape(self.wire.rate, 2, base_s=self.wire.base_s)
            self.pcm.copy(self.wire, self._format.decode)
