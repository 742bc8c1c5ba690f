"""What waits to be sent to one client, bounded; and what happens when it reads too slowly."""

from __future__ import annotations

import enum
from collections import deque

from repartee.server.options import SlowConsumer

__all__ = ["Outgoing", "Taken"]


class Taken(enum.Enum):
    """What became of a frame."""

    QUEUED = "queued"
    DROPPED = "dropped"
    """It was audio, and the client reads too slowly."""
    OVERFLOW = "overflow"
    """It was not taken, nor may anything be: the connection is to be closed."""


class Outgoing:
    """A queue of frames.

    Args:
        bytes_max: of all frames in it together. When a frame finds no room: with ``drop_audio``, audio is dropped,
            what comes new as well as what waits, until it fits; with ``close``, or if there is no audio left to
            drop, it overflows.
        policy: what happens then.
    """

    __slots__ = ("_bytes_max", "_frames", "_policy", "dropped", "size")

    def __init__(self, bytes_max: int, policy: SlowConsumer) -> None:
        self._bytes_max = bytes_max
        self._policy = policy
        self._frames: deque[tuple[bytes, bool]] = deque()  # bounded by bytes_max
        self.size = 0
        """In bytes."""
        self.dropped = 0
        """Frames of audio that were dropped."""

    def __bool__(self) -> bool:
        return bool(self._frames)

    def put(self, frame: bytes, *, audio: bool) -> Taken:
        """Take a frame in.

        Args:
            frame: to send.
            audio: whether it may be dropped.
        """
        if self.size + len(frame) > self._bytes_max:
            if self._policy == "close":
                return Taken.OVERFLOW
            if audio:
                self.dropped += 1
                return Taken.DROPPED
            self._drop_audio()
            if self.size + len(frame) > self._bytes_max:
                return Taken.OVERFLOW
        self._frames.append((frame, audio))
        self.size += len(frame)
        return Taken.QUEUED

    def pop(self) -> bytes:
        """The next frame to send."""
        frame, _ = self._frames.popleft()
        self.size -= len(frame)
        return frame

    def clear(self) -> None:
        """Drop everything."""
        self._frames.clear()
        self.size = 0

    def _drop_audio(self) -> None:
        kept = [each for each in self._frames if not each[1]]
        self.dropped += len(self._frames) - len(kept)
        self._frames.clear()
        self._frames.extend(kept)
        self.size = sum(len(frame) for frame, _ in kept)
