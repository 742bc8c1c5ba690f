"""`CallTape`: where the sound of a served session lies on its recording's time axis.

Theory of operation. The axis is session time. The caller's audio ends when it comes, and follows what came before as
long as the two differ by no more than a network's jitter; a client that sends faster than it could speak is taken to
speak on from where it began. The agent's audio is, over WebRTC, where the server itself played it. Over a WebSocket the
client plays, so an item is taken to be heard from when its first delta was sent, one item after the other; and what the
caller's voice stops, or the client truncates, was not heard. A truncation comes when the sound is over, so the recorder
keeps the newest `LAG_S` off the disk.

Time is an argument: nothing here runs by itself. Audio that is not due yet waits, bounded by `AHEAD_MAX_S`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from repartee.audio import AudioFrame
from repartee.transports.recorder import CallRecorder

__all__ = ["LAG_S", "CallTape"]

LAG_S: Final = 8.0
JITTER_S: Final = 0.25
"""Audio that comes so much later than what came before ended follows it all the same."""
AHEAD_MAX_S: Final = 600.0
"""Most audio of each side that waits until it is due; more is left out."""
SEGMENTS_MAX: Final = 64


@dataclass(slots=True)
class _Segment:
    """A stretch of an item's audio that was played without a gap."""

    item_id: str
    offset_s: float
    """Where it begins in the item."""
    at_s: float
    length_s: float


@dataclass(slots=True)
class _Waiting:
    """Audio that is not due yet."""

    at_s: float
    frame: AudioFrame
    segment: _Segment | None = None


class CallTape:
    """Places the sound of a session.

    Args:
        recorder: that takes it, begun at time 0 with a ``lag_s`` of `LAG_S`.
    """

    def __init__(self, recorder: CallRecorder) -> None:
        self._recorder = recorder
        self._caller_end_s = 0.0
        self._agent_end_s = 0.0
        self._caller: deque[_Waiting] = deque()  # bounded by AHEAD_MAX_S
        self._agent: deque[_Waiting] = deque()  # likewise
        self._segments: deque[_Segment] = deque(maxlen=SEGMENTS_MAX)
        self.left_out_s = 0.0
        """Audio that was too far ahead of time to be kept."""

    def caller(self, frame: AudioFrame, now_s: float) -> None:
        """The caller's audio has come."""
        self._advance(now_s)
        begin_s = max(0.0, now_s - frame.duration_s)
        if begin_s <= self._caller_end_s + JITTER_S:
            begin_s = self._caller_end_s if self._caller_end_s else begin_s
        if begin_s - now_s > AHEAD_MAX_S:
            self.left_out_s += frame.duration_s
            return
        self._caller_end_s = begin_s + frame.duration_s
        self._caller.append(_Waiting(begin_s, frame))
        self._advance(now_s)

    def sent(self, item_id: str, frame: AudioFrame, now_s: float) -> None:
        """The agent's audio was sent to a client that plays it."""
        self._advance(now_s)
        begin_s = max(now_s, self._agent_end_s)
        if begin_s - now_s > AHEAD_MAX_S:
            self.left_out_s += frame.duration_s
            return
        last = self._segments[-1] if self._segments else None
        if last is not None and last.item_id == item_id and self._agent_end_s >= now_s:
            segment = last
        else:
            offset_s = last.offset_s + last.length_s if last is not None and last.item_id == item_id else 0.0
            segment = _Segment(item_id, offset_s, begin_s, 0.0)
            self._segments.append(segment)
        segment.length_s += frame.duration_s
        self._agent_end_s = begin_s + frame.duration_s
        self._agent.append(_Waiting(begin_s, frame, segment))

    def played(self, frame: AudioFrame, at_s: float) -> None:
        """The server itself played this, from then on."""
        self._advance(at_s)
        self._recorder.agent(frame, at_s)

    def stopped(self, now_s: float) -> None:
        """Playback stops: the caller speaks."""
        self._advance(now_s)
        self._unheard_from(now_s, now_s)

    def truncated(self, item_id: str, audio_end_ms: float, now_s: float) -> None:
        """Of an item only so much was heard."""
        self._advance(now_s)
        end_s = audio_end_ms / 1000.0
        for segment in self._segments:
            if segment.item_id != item_id or segment.offset_s + segment.length_s <= end_s:
                continue
            from_s = segment.at_s + max(0.0, end_s - segment.offset_s)
            self._unheard_from(from_s, now_s, item_id)
            return

    def close(self, now_s: float) -> None:
        """The session ends: what is not due yet is not heard, what the caller has said is kept."""
        self._advance(now_s)
        self._agent.clear()
        for waiting in self._caller:
            self._recorder.caller(waiting.frame, waiting.at_s)
        self._caller.clear()
        self._recorder.close(now_s)

    def _unheard_from(self, from_s: float, now_s: float, item_id: str = "") -> None:
        """From then on nothing (or nothing of an item) was heard; what comes after it in the queue moves up."""
        kept = [each for each in self._agent if item_id and each.segment and each.segment.item_id != item_id]
        for segment in self._segments:
            end_s = segment.at_s + segment.length_s
            if end_s > from_s and item_id in ("", segment.item_id):
                self._recorder.agent_unheard(max(from_s, segment.at_s), end_s)
                segment.length_s = max(0.0, from_s - segment.at_s)
        self._agent.clear()
        self._agent_end_s = max(from_s, now_s)
        for waiting in kept:
            assert waiting.segment is not None
            if waiting.segment.at_s > self._agent_end_s:
                waiting.segment.at_s = self._agent_end_s
            waiting.at_s = self._agent_end_s
            self._agent_end_s += waiting.frame.duration_s
            self._agent.append(waiting)

    def _advance(self, now_s: float) -> None:
        """Give the recorder what is due."""
        while self._caller and self._caller[0].at_s <= now_s:
            waiting = self._caller[0]
            frame, rest = _split(waiting.frame, now_s - waiting.at_s)
            self._recorder.caller(frame, waiting.at_s)
            if rest is None:
                self._caller.popleft()
            else:
                self._caller[0] = _Waiting(waiting.at_s + frame.duration_s, rest)
                break
        while self._agent and self._agent[0].at_s < now_s:
            waiting = self._agent[0]
            frame, rest = _split(waiting.frame, now_s - waiting.at_s)
            if frame.samples:
                self._recorder.agent(frame, waiting.at_s)
            if rest is None:
                self._agent.popleft()
            else:
                self._agent[0] = _Waiting(waiting.at_s + frame.duration_s, rest, waiting.segment)
                break


def _split(frame: AudioFrame, seconds: float) -> tuple[AudioFrame, AudioFrame | None]:
    """What of a frame lies before a time, and the rest of it."""
    samples = round(seconds * frame.sample_rate)
    if samples >= frame.samples:
        return frame, None
    return frame.slice(0, samples), frame.slice(samples)
