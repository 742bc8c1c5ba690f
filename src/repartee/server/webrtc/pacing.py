"""What a WebRTC caller hears, frame by frame: 20 ms of a response's audio when it is due, silence in between.

Theory of operation. Over WebRTC the server has the loudspeaker: it is given audio as fast as the voice makes it, and
hands it out in real time. So it alone knows how far each item was played, which is what a truncation goes by. Two pure
machines, with time as an argument:

`FrameClock` says when the next frame is due: every 20 ms since the first, whatever each took. A loop that was busy for
a little while sends what it owes at once (the caller's jitter buffer takes that in); after a long stall the frames
in between are skipped, in the RTP timestamps too, since a burst of old sound helps nobody.

`Playout` holds the audio that waits and makes the frames. It plays one response after the other, in the order in which
they were written, and tells with each frame what began, how far it was heard, and what ended. A response ends when it
was ended (nothing more will be written) *and* its last frame has had its 20 ms. `Playout.clear` stops it: what goes out
next is 5 ms of fade, instead of a click, and then silence. What is still written of a response that was cut is dropped,
since nobody wants the rest of a sentence without its middle.

**Heard.** A position counts samples that were handed to RTP. Nothing acknowledges them: the network and the caller's
jitter buffer still hold some (usually 50 to 150 ms), so it is an estimate from above.
"""

from __future__ import annotations

import array
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from repartee.errors import AudioFormatError

__all__ = [
    "FRAME_BYTES",
    "FRAME_S",
    "SAMPLE_RATE",
    "Cut",
    "FrameClock",
    "Heard",
    "PlayedFrame",
    "Playout",
    "PlayoutEvent",
    "Started",
    "Stopped",
]

SAMPLE_RATE: Final = 24000
"""Of the audio that is written, in Hz."""
FRAME_S: Final = 0.020
FRAME_SAMPLES: Final = 480
FRAME_BYTES: Final = 2 * FRAME_SAMPLES
FADE_SAMPLES: Final = 120
"""5 ms."""
LATE_MAX_S: Final = 0.2
"""Frames later than this are skipped instead of sent in a burst."""
CUT_MAX: Final = 64
"""Responses remembered as cut; the oldest is forgotten first."""
PENDING_MAX_S: Final = 600.0
"""Audio that may wait to be played (29 MB); more is refused."""


class FrameClock:
    """When each frame is due.

    Args:
        now: when the first one is.
    """

    __slots__ = ("_index", "_origin")

    def __init__(self, now: float) -> None:
        self._origin = now
        self._index = 0

    @property
    def index(self) -> int:
        """Number of the next frame, skipped ones counted; its RTP timestamp is this many frames."""
        return self._index

    def deadline(self) -> float:
        """When the next frame is due."""
        return self._origin + self._index * FRAME_S

    def sent(self, now: float) -> int:
        """A frame was sent.

        Returns:
            how many of the next ones are skipped, as the clock is so late. Usually 0.
        """
        self._index += 1
        late_s = now - self.deadline()
        if late_s <= LATE_MAX_S:
            return 0
        skipped = int(late_s / FRAME_S)
        self._index += skipped
        return skipped


@dataclass(frozen=True, slots=True)
class Started:
    """The first frame of a response goes out."""

    response_id: str


@dataclass(frozen=True, slots=True)
class Heard:
    """So much of an item has been played, by the end of this frame."""

    item_id: str
    samples: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """A response has been played to its end."""

    response_id: str


PlayoutEvent: TypeAlias = Started | Heard | Stopped


@dataclass(frozen=True, slots=True)
class PlayedFrame:
    """What goes out for 20 ms."""

    data: bytes
    """PCM16 mono, `FRAME_BYTES` long."""
    silent: bool
    """Whether it is nothing but zeros because nothing is played."""
    events: Sequence[PlayoutEvent]


@dataclass(frozen=True, slots=True)
class Cut:
    """What `Playout.clear` cut off."""

    response_id: str
    item_id: str
    """The item that was being played, or would have been next."""
    samples: int
    """How much of it went out."""
    started: bool
    """Whether any of the response did."""


@dataclass(slots=True)
class _Piece:
    """Audio of one item, of which `offset` bytes have been played."""

    item_id: str
    data: bytes
    offset: int = 0


@dataclass(slots=True)
class _Response:
    """What waits of one response."""

    id: str
    pieces: deque[_Piece] = field(default_factory=deque)  # bounded by `pending_max_s` of the playout
    started: bool = False
    ended: bool = False


_SILENCE: Final = PlayedFrame(bytes(FRAME_BYTES), True, ())


class Playout:
    """The audio that waits to be heard.

    Args:
        pending_max_s: how much may wait. Default: 600 s.
    """

    def __init__(self, pending_max_s: float = PENDING_MAX_S) -> None:
        self._responses: dict[str, _Response] = {}  # in the order in which they are played
        self._cut: dict[str, None] = {}  # responses that were cut and not ended; bounded by CUT_MAX
        self._pending_max_bytes = int(pending_max_s * SAMPLE_RATE) * 2
        self._pending_bytes = 0
        self._item_id = ""
        self._sent_samples = 0
        self._tail = b""
        self.underruns = 0
        """Frames with silence in them within a response, as its audio was not made in time."""
        self.refused_bytes = 0
        """Audio that was not taken, as too much was waiting."""

    @property
    def response_id(self) -> str | None:
        """The response that is being played."""
        first = next(iter(self._responses.values()), None)
        return first.id if first is not None and first.started else None

    @property
    def item_id(self) -> str:
        """The item that was played last; ``""`` before the first."""
        return self._item_id

    @property
    def position_samples(self) -> int:
        """How much of `item_id` has gone out."""
        return self._sent_samples

    @property
    def pending_s(self) -> float:
        """How much waits."""
        return self._pending_bytes / (2 * SAMPLE_RATE)

    def write(self, response_id: str, item_id: str, data: bytes) -> bool:
        """More audio of an item.

        Args:
            response_id: that it belongs to.
            item_id: likewise.
            data: PCM16 mono at 24 kHz.

        Returns:
            whether it was taken; not, if too much is waiting, or the response was cut.

        Raises:
            AudioFormatError: an odd number of bytes.
        """
        if len(data) % 2:
            raise AudioFormatError(f"{len(data)} bytes are not whole PCM16 samples: the length must be even")
        if response_id in self._cut:
            return False
        if self._pending_bytes + len(data) > self._pending_max_bytes:
            self.refused_bytes += len(data)
            return False
        if data:
            response = self._responses.get(response_id)
            if response is None:
                response = self._responses[response_id] = _Response(response_id)
            response.pieces.append(_Piece(item_id, data))
            self._pending_bytes += len(data)
        return True

    def end(self, response_id: str) -> None:
        """All audio of a response was written. Of one without any: nothing happens."""
        self._cut.pop(response_id, None)
        response = self._responses.get(response_id)
        if response is not None:
            response.ended = True

    def clear(self) -> Cut | None:
        """Drop all that waits, and fade what is being played out within the next frame.

        Returns:
            what was cut off; ``None``: nothing was playing, and nothing waited.
        """
        first = next(iter(self._responses.values()), None)
        self._cut.update(dict.fromkeys(each.id for each in self._responses.values() if not each.ended))
        while len(self._cut) > CUT_MAX:
            del self._cut[next(iter(self._cut))]
        self._responses.clear()
        self._pending_bytes = 0
        if first is None:
            return None
        if not first.started:
            return Cut(first.id, first.pieces[0].item_id, 0, False)
        if first.pieces:
            piece = first.pieces[0]
            self._tail = _faded(piece.data[piece.offset : piece.offset + 2 * FADE_SAMPLES])
        return Cut(first.id, self._item_id, self._sent_samples, True)

    def next_frame(self) -> PlayedFrame:
        """The next 20 ms."""
        if self._tail:
            data, self._tail = self._tail, b""
            return PlayedFrame(data.ljust(FRAME_BYTES, b"\0"), False, ())
        events: list[PlayoutEvent] = []
        response = next(iter(self._responses.values()), None)
        if response is not None and response.ended and not response.pieces:
            del self._responses[response.id]
            events.append(Stopped(response.id))
            response = next(iter(self._responses.values()), None)
        if response is None or not response.pieces:
            if response is not None:
                self.underruns += 1
            return PlayedFrame(_SILENCE.data, True, events) if events else _SILENCE
        if not response.started:
            response.started = True
            self._item_id, self._sent_samples = "", 0
            events.append(Started(response.id))
        return PlayedFrame(self._take(response, events), False, events)

    def _take(self, response: _Response, events: list[PlayoutEvent]) -> bytes:
        parts: list[bytes] = []
        missing = FRAME_BYTES
        while missing and response.pieces:
            piece = response.pieces[0]
            if piece.item_id != self._item_id:
                if self._item_id:
                    events.append(Heard(self._item_id, self._sent_samples))
                self._item_id, self._sent_samples = piece.item_id, 0
            part = piece.data[piece.offset : piece.offset + missing]
            parts.append(part)
            piece.offset += len(part)
            missing -= len(part)
            self._sent_samples += len(part) // 2
            if piece.offset == len(piece.data):
                response.pieces.popleft()
        self._pending_bytes -= FRAME_BYTES - missing
        if missing and not response.ended:
            self.underruns += 1
        events.append(Heard(self._item_id, self._sent_samples))
        return b"".join(parts).ljust(FRAME_BYTES, b"\0")


def _faded(pcm: bytes) -> bytes:
    """PCM16 that falls evenly to nothing."""
    samples = array.array("h", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    count = len(samples)
    for at in range(count):
        samples[at] = samples[at] * (count - at) // (count + 1)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()
