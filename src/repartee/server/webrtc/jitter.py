"""RTP packets in the order in which they were sent, without waiting longer than that takes.

Theory of operation. What is *played* needs an even flow, and pays for it with a delay; what only listens does not.
So a packet that follows the one before it is handed on at once. If one is missing, those after it wait for it: at most
60 ms since the first of them came, or until 16 wait. Then it is given up, the gap shows in the timestamps, and should
it come after all, it is dropped. Since packets come every 20 ms, "at most" is checked when one comes; no timer is
needed. Sequence numbers and timestamps are unwrapped (RFC 3550, A.1); a jump of more than 3000 packets either way, or
another source (SSRC), begins a new stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["JitterBuffer", "VoicePacket"]

WAIT_S: Final = 0.06
HELD_MAX: Final = 16
MISORDER_MAX: Final = 3000


@dataclass(frozen=True, slots=True)
class VoicePacket:
    """One packet's sound.

    Args:
        payload_type: its codec, as negotiated.
        timestamp: of its first sample in units of the codec's RTP clock, unwrapped; only differences mean something.
        payload: as it came.
        fresh: whether a new stream begins: its timestamp has nothing to do with the last one's.
    """

    payload_type: int
    timestamp: int
    payload: bytes
    fresh: bool = False


class JitterBuffer:
    """Puts one source's packets in order."""

    def __init__(self) -> None:
        self._source: int | None = None
        self._next = 0  # the sequence number that is handed on next, unwrapped
        self._timestamp = 0  # the newest one handed in, unwrapped
        self._held: dict[int, VoicePacket] = {}  # bounded by HELD_MAX: then the gap is given up
        self._held_since = 0.0
        self.lost = 0
        """Packets given up."""
        self.late = 0
        """Packets dropped because they came too late, or twice."""

    def push(
        self, source: int, sequence: int, timestamp: int, payload_type: int, payload: bytes, *, now: float
    ) -> list[VoicePacket]:
        """Take a packet in.

        Args:
            source: its SSRC.
            sequence: its 16-bit sequence number.
            timestamp: its 32-bit timestamp.
            payload_type: of its codec.
            payload: its sound.
            now: when it came, in seconds.

        Returns:
            the packets that can be handed on, in order.
        """
        fresh = source != self._source
        ahead = _signed(sequence - self._next, 16)
        if not fresh and abs(ahead) > MISORDER_MAX:
            fresh = True
        if fresh:
            self._source, self._next, self._timestamp = source, sequence, timestamp
            self._held.clear()
            ahead = 0
        number = self._next + ahead
        if ahead < 0 or number in self._held:
            self.late += 1
            return []
        unwrapped = self._timestamp + _signed(timestamp - self._timestamp, 32)
        self._timestamp = max(self._timestamp, unwrapped)
        if ahead and not self._held:
            self._held_since = now
        self._held[number] = VoicePacket(payload_type, unwrapped, payload, fresh)
        return self._release(now)

    def _release(self, now: float) -> list[VoicePacket]:
        ready: list[VoicePacket] = []
        while self._held:
            packet = self._held.pop(self._next, None)
            if packet is not None:
                ready.append(packet)
                self._next += 1
                if self._held and self._next not in self._held:
                    self._held_since = now  # another gap: it gets its own time
            elif len(self._held) >= HELD_MAX or now - self._held_since >= WAIT_S:
                first = min(self._held)
                self.lost += first - self._next
                self._next = first
            else:
                break
        return ready


def _signed(difference: int, bits: int) -> int:
    """A difference of two numbers that wrap around, as the nearest signed one."""
    half = 1 << (bits - 1)
    return ((difference + half) & ((1 << bits) - 1)) - half
