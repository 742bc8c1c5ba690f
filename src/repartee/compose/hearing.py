"""`Hearing`: a recogniser's stream, followed through the turns of a caller.

*Theory of operation.* A turn is heard in segments. A flush (asked for when the caller is quiet, or at the commit) ends
one; until its final words come, its reading so far stands, and more audio may already open the next. Finals come in the
order in which they were asked for, so what the recogniser says next is of the oldest turn that waits for one. A
committed turn is done when it waits for no final any more, and turns are done in order. What was flushed and then
cleared still gets its final, and is of no turn. A recogniser that fails, or is
late with a final, is given up: its readings stand, and the next audio opens a new stream.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from repartee.chat import new_id
from repartee.compose.tasks import TaskOwner
from repartee.errors import ModelError, ModelTimeoutError
from repartee.models import STT, Final, Interim, STTEvent, STTStream
from repartee.turns.backlog import Backlog

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["Hearing", "HearingSink", "Segment", "Turn"]


@dataclass(slots=True)
class Segment:
    """A stretch of a turn that was flushed: its reading so far, then its final words."""

    text: str
    stable_chars: int
    flush_id: int | None
    """Which final it waits for; ``None``: it is final."""


@dataclass(slots=True)
class Turn:
    """What is known of one turn of the caller's."""

    item_id: str | None = None
    segments: list[Segment] = field(default_factory=list)
    interim: Interim = field(default_factory=lambda: Interim(""))
    confidences: list[float] = field(default_factory=list)
    unsettled: bool = False
    """Whether there is audio behind the last flush."""
    samples: int = 0
    rate: int = 0
    committed: bool = False
    lost: ModelError | None = None
    """Why words of it are missing: the recogniser failed with its audio."""

    def pending(self, flush_id: int | None = None) -> Segment | None:
        """The segment that waits for that final, or the first that waits for any."""
        return next(
            (
                each
                for each in self.segments
                if each.flush_id is not None and flush_id in (None, each.flush_id)
            ),
            None,
        )

    def flushed(self, flush_id: int) -> None:
        """A final was asked for; until it comes, the reading so far stands."""
        self.unsettled = False
        self.segments.append(Segment(self.interim.text, self.interim.stable_chars, flush_id))
        self.interim = Interim("")

    def read(self, interim: Interim) -> None:
        """A new reading: of the segment whose final is awaited, unless it contradicts what was stable in that."""
        segment = self.pending()
        if segment is not None and interim.text.startswith(segment.text[: segment.stable_chars]):
            segment.text, segment.stable_chars = interim.text, interim.stable_chars
        else:
            self.interim = interim

    def give_up(self, error: ModelError) -> bool:
        """No final comes any more, and the readings stand; whether one was awaited."""
        waited = self.pending() is not None
        if waited or self.unsettled:
            self.lost = error
        if self.interim.text:
            self.segments.append(Segment(self.interim.text, 0, None))
            self.interim = Interim("")
        for segment in self.segments:
            segment.flush_id = None
        self.unsettled = False
        return waited

    @property
    def text(self) -> str:
        """Its words so far."""
        parts = (*(segment.text for segment in self.segments), self.interim.text)
        return " ".join(part for part in parts if part)

    @property
    def settled(self) -> bool:
        """Whether these are final."""
        return self.pending() is None and not self.unsettled and not self.interim.text

    @property
    def stable_chars(self) -> int:
        """How many of their characters will not change any more."""
        sure: list[str] = []
        for segment in self.segments:
            if segment.flush_id is not None:
                sure.append(segment.text[: segment.stable_chars])
                break
            sure.append(segment.text)
        else:
            sure.append(self.interim.text[: self.interim.stable_chars])
        return len(" ".join(part for part in sure if part))

    @property
    def confidence(self) -> float | None:
        """The lowest of its segments, 0 to 1; ``None``: the recogniser gives none."""
        return min(self.confidences, default=None)


class HearingSink(Protocol):
    """Who is told what is heard. Called on the event loop, in order."""

    def on_reading(self, turn: Turn, *, endpoint: bool) -> None:
        """The words of a turn, open or committed, changed or settled; it has an ``item_id``.

        ``endpoint``: the recogniser itself thinks that the turn is over.
        """

    def on_turn_done(self, turn: Turn) -> None:
        """A committed turn's words are final, or all that will ever be known."""

    def on_turn_lost(self, turn: Turn, error: ModelError) -> None:
        """The recogniser failed with the audio of a turn that is committed now, and no word of it is known.

        `on_turn_done` follows.
        """

    def on_hearing_error(self, error: ModelError) -> None:
        """The recogniser failed; the turns go on with what is known of them."""


class Hearing:
    """Follows one caller.

    Args:
        stt: the recogniser.
        sink: is told.
        final_timeout_s: how long a final may take once it is asked for, and the audio could have been heard: what was
            pushed faster than it was spoken takes its time.
    """

    def __init__(self, stt: STT, sink: HearingSink, *, final_timeout_s: float) -> None:
        self._stt = stt
        self._sink = sink
        self._final_timeout_s = final_timeout_s
        self._stream: STTStream | None = None
        self._streams = 0
        self._committing: deque[Turn] = deque()  # bounded by final_timeout_s, in which it empties
        self._cleared: list[
            int
        ] = []  # finals that are still to come and of no use; bounded by final_timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self._backlog = Backlog()
        self._tasks = TaskOwner(self._crashed)
        self._closed = False
        self.turn = Turn()
        """The one that is open."""

    @property
    def is_committing(self) -> bool:
        """Whether a committed turn still waits for its words."""
        return bool(self._committing)

    async def aclose(self) -> None:
        """Release the stream; nothing is told any more. Idempotent."""
        self._closed = True
        self._committing.clear()
        self._stop_timer()
        self._drop_stream()
        await self._tasks.aclose()

    # -- what the caller does ----------------------------------------------------------------------------------

    def push(self, frame: AudioFrame) -> None:
        """More audio of the open turn."""
        if self._closed:
            return
        if self._stream is None:
            self._streams += 1
            number = self._streams
            self._stream = self._stt.stream(
                sample_rate=frame.sample_rate,
                on_event=lambda event: self._on_stt(event, number),
                on_error=lambda error: self._on_stt_error(error, number),
            )
        self.turn.unsettled = True
        self.turn.samples += frame.samples
        self.turn.rate = frame.sample_rate
        self._backlog.add(frame.duration_s, asyncio.get_running_loop().time())
        self._stream.push(frame)

    def settle(self) -> None:
        """The caller is quiet: ask for the final words; the turn goes on. Where they are known, they are told again."""
        turn = self.turn
        if self._stream is not None and turn.unsettled:
            turn.flushed(self._stream.flush())
            self._stop_timer()
            loop = asyncio.get_running_loop()
            timeout_s = self._final_timeout_s + self._backlog.allowance_s(loop.time())
            self._timer = loop.call_later(timeout_s, self._timed_out)
        elif turn.pending() is None:
            self._tell(turn, endpoint=False)

    def clear(self) -> None:
        """Forget the open turn; committed ones still get their words."""
        if self._stream is not None:
            self._stream.cancel()
        self._cleared += [each.flush_id for each in self.turn.segments if each.flush_id is not None]
        self.turn = Turn()

    def commit(self) -> Turn:
        """The turn is over; `HearingSink.on_turn_done` follows, at once if nothing is awaited.

        Returns:
            The turn.
        """
        turn = self.turn
        if self._stream is not None and turn.unsettled:
            self.settle()
        turn.committed = True
        self._committing.append(turn)
        self.turn = Turn()
        self._finish_turns()
        return turn

    # -- what the recogniser says ------------------------------------------------------------------------------

    @property
    def _turns(self) -> tuple[Turn, ...]:
        """Every turn, oldest first."""
        return (*self._committing, self.turn)

    def _awaiting(self) -> Turn | None:
        """The oldest turn that waits for a final."""
        return next((turn for turn in self._turns if turn.pending() is not None), None)

    def _heard_now(self) -> Turn | None:
        """The turn that the recogniser speaks of: its finals come in the order in which they were asked for.

        ``None``: of what was cleared.
        """
        turn = self._awaiting()
        segment = turn.pending() if turn is not None else None
        if self._cleared and (
            segment is None or segment.flush_id is None or self._cleared[0] < segment.flush_id
        ):
            return None
        return turn or self.turn

    def _on_stt(self, event: STTEvent, stream: int) -> None:
        if self._closed or self._stream is None or stream != self._streams:
            return  # of a stream that was given up
        if isinstance(event, Interim):
            heard = self._heard_now()
            if heard is not None:
                heard.read(event)
                self._tell(heard, endpoint=False)
        elif event.flush_id is None:
            turn = self.turn
            turn.unsettled, turn.interim = False, Interim("")
            turn.segments.append(Segment(event.text.strip(), 0, None))
            self._final(turn, event)
        else:
            self._cleared = [flush_id for flush_id in self._cleared if flush_id > event.flush_id]
            for turn in self._turns:
                segment = turn.pending(event.flush_id)
                if segment is not None:
                    segment.text, segment.flush_id = event.text.strip(), None
                    self._final(turn, event)
                    return

    def _final(self, turn: Turn, event: Final) -> None:
        if event.confidence is not None and event.text.strip():
            turn.confidences.append(event.confidence)
        if self._awaiting() is None:
            self._stop_timer()
        self._tell(turn, endpoint=event.flush_id is None)
        self._finish_turns()

    def _tell(self, turn: Turn, *, endpoint: bool) -> None:
        if turn.item_id is None:
            turn.item_id = new_id("item")
        self._sink.on_reading(turn, endpoint=endpoint)

    def _finish_turns(self) -> None:
        while self._committing and self._committing[0].pending() is None:
            turn = self._committing.popleft()
            if turn.lost is not None and not turn.text:
                self._sink.on_turn_lost(turn, turn.lost)
            self._sink.on_turn_done(turn)

    # -- when it fails -----------------------------------------------------------------------------------------

    def _timed_out(self) -> None:
        self._timer = None
        self._cleared.clear()
        turn = self._awaiting()
        if turn is None:
            return  # what was late was cleared
        error = ModelTimeoutError(
            f"the recogniser gave no final words within {self._final_timeout_s:g} s; going on with "
            f"what is known of the turn ({len(turn.text.split())} words)",
            stage="stt",
        )
        self._give_up(error)

    def _on_stt_error(self, error: ModelError, stream: int) -> None:
        if not self._closed and self._stream is not None and stream == self._streams:
            self._give_up(error)

    def _give_up(self, error: ModelError) -> None:
        """Go on without the stream; the next audio opens a new one."""
        self._drop_stream()
        self._stop_timer()
        self._sink.on_hearing_error(error)
        for turn in self._turns:
            waited = turn.give_up(error)
            if waited and not turn.committed:
                self._tell(turn, endpoint=False)
        self._finish_turns()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop_stream(self) -> None:
        if self._stream is not None:
            self._cleared.clear()
            self._tasks.finish(self._stream.aclose(), name="hearing.close_stream")
            self._stream = None

    def _crashed(self, error: Exception) -> None:
        failure = ModelError(
            f"closing an STT stream failed with {type(error).__name__}: {error}", stage="stt"
        )
        self._sink.on_hearing_error(failure)
