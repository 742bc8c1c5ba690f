"""`Playback`: plays what the model says, and knows what was heard.

It feeds one `AudioOutput` with a little more than has been played, so that clearing it loses little; it keeps the
`HeardLedger`; and it carries out what the model's turn-taking decides: duck, pause, resume, clear. It decides nothing
itself, except that an output which stops reporting has failed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from repartee.audio import Resampler
from repartee.chat import Message
from repartee.clock import Clock
from repartee.errors import DeviceError, ReparteeError
from repartee.io import AudioOutput, PlaybackPosition
from repartee.models import PlaybackFinished, PlaybackReport, PlaybackStarted
from repartee.models.events import (
    AudioDelta,
    ErrorOccurred,
    ItemAdded,
    OutputClear,
    OutputGain,
    OutputHeard,
    OutputItemDone,
    OutputPause,
    OutputResume,
    RealtimeEvent,
    ResponseDone,
    TranscriptDelta,
)
from repartee.turns.ledger import HeardLedger, ItemAccount

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["Playback", "PlaybackOwner"]

_STALL_S = 5.0
_CLEAR_S = 0.4
_PENDING_MAX_S = 600.0
_CUT_OFF = (
    "connection_lost",
    "timeout",
)  # reasons for which a response ends with its words ahead of its sound


class PlaybackOwner(Protocol):
    """What playback needs of the session that it serves."""

    def playback_report(self, report: PlaybackReport) -> None:
        """Something was heard for the first, or the last, time."""

    def truncate(self, item_id: str, audio_end_ms: int, text: str) -> None:
        """Only that much of an item was heard."""

    def tell(self, event: RealtimeEvent) -> None:
        """Something for the session's consumers."""


@dataclass(slots=True)
class _Playing:
    """A response on its way to the loudspeaker."""

    response_id: str
    items: dict[str, bool] = field(default_factory=dict)
    """Its spoken items, and whether the model finished them."""
    pending: deque[tuple[ItemAccount, AudioFrame]] = field(default_factory=deque)  # bounded by _PENDING_MAX_S
    pending_samples: int = 0
    started: bool = False
    done: bool = False
    clearing: bool = False
    cut_off: bool = False
    """It broke off, with words whose sound never came: only what is heard of it counts as said."""


class Playback:
    """Plays responses on one output.

    Args:
        output: where.
        owner: the session.
        clock: session time.
    """

    def __init__(self, output: AudioOutput, owner: PlaybackOwner, clock: Clock) -> None:
        self._output = output
        self._owner = owner
        self._clock = clock
        self._playing: dict[str, _Playing] = {}
        self._resampler: Resampler | None = None
        self._resampled_item = ""
        self._paused = False
        self._clears = 0  # that the output has not answered yet
        self._late_clears = 0  # that it had not answered when they were given up
        self._said: tuple[str, str] = ("", "")
        self._timer: asyncio.TimerHandle | None = None
        self._drained: asyncio.Event | None = None
        self._progress_s = 0.0
        lead_ms = output.capabilities.max_lead_ms
        self._lead_samples = None if lead_ms is None else round(lead_ms * output.sample_rate / 1000)
        self._pending_max_samples = int(_PENDING_MAX_S * output.sample_rate)
        self.ledger = HeardLedger(output.sample_rate)
        output.open(on_position=self._on_position, on_error=self._on_error)

    async def aclose(self) -> None:
        """Stop, and release the output."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._output.aclose()

    async def drain(self) -> None:
        """Wait until the output has said where it stopped; not long, even if it never does."""
        if self._clears:
            self._drained = asyncio.Event()
            await self._drained.wait()

    @property
    def idle(self) -> bool:
        """Whether nothing is being played or cleared."""
        return not self._playing

    # -- events of the model -----------------------------------------------------------------------------------

    def receive(self, event: RealtimeEvent) -> None:
        """Take an event of the session's model."""
        if type(event) is AudioDelta:
            self._audio(event)
            return
        match event:
            case TranscriptDelta(item_id=item_id, response_id=response_id):
                account = self.ledger.open(item_id, response_id)
                account.alignment.add_text(event.delta, event.start_ms)
            case ItemAdded(item=Message(role="assistant") as item, response_id=str() as response_id):
                if item.is_audio:
                    self._of(response_id).items[item.id] = False
            case OutputItemDone(response_id=response_id, item=Message() as item):
                self._item_done(response_id, item)
            case ResponseDone(response_id=response_id):
                playing = self._playing.get(response_id)
                if playing is not None:
                    playing.done = True
                    if event.status == "cancelled":
                        self._clear(response_id)  # even if all there was has been heard: its item says more
                    elif event.reason in _CUT_OFF:
                        self._cut_off(playing)
                    else:
                        self._close_items(playing)
            case OutputGain(db=db):
                self._output.set_gain(db)
            case OutputPause():
                self._paused = True
                self._output.pause()
            case OutputResume():
                self._paused = False
                self._progress_s = self._clock.now()
                self._output.resume()
                self._pump()
            case OutputClear(response_id=response_id):
                self._clear(response_id)
            case _:
                pass

    def _of(self, response_id: str) -> _Playing:
        playing = self._playing.get(response_id)
        if playing is None:
            playing = self._playing[response_id] = _Playing(response_id)
        return playing

    def _item_done(self, response_id: str, item: Message) -> None:
        playing = self._playing.get(response_id)
        account = self.ledger.account(item.id)
        if playing is not None and item.id in playing.items:
            playing.items[item.id] = item.status == "completed"
            if account is not None and self._resampler is not None and self._resampled_item == item.id:
                self._append(playing, account, self._resampler.flush())
                self._resampler = None
        if account is not None and item.status == "completed":
            self.ledger.close(account)
            self._notice()  # all of it may have been heard before that was known to be all

    def _cut_off(self, playing: _Playing) -> None:
        """A response broke off: what its audio says is all that counts, once it has been heard."""
        playing.cut_off = True
        for item_id, complete in playing.items.items():
            account = self.ledger.account(item_id)
            if account is not None and not complete:
                self.ledger.cut_off(account)
        self._notice()

    def _close_items(self, playing: _Playing) -> None:
        """A response that was not cut short has ended: its words and sound are all there are, even if it failed."""
        for item_id in playing.items:
            account = self.ledger.account(item_id)
            if account is not None:
                self.ledger.close(account)
        self._notice()

    def _audio(self, event: AudioDelta) -> None:
        playing = self._of(event.response_id)
        if playing.clearing:
            return  # a straggler of a cancelled response never plays
        item_id, frame = event.item_id, event.audio
        if item_id not in playing.items:
            playing.items[item_id] = False
        account = self.ledger.open(item_id, event.response_id)
        if frame.sample_rate != self._output.sample_rate:
            frame = self._fit(item_id, frame)
        self._append(playing, account, frame)

    def _append(self, playing: _Playing, account: ItemAccount, frame: AudioFrame) -> None:
        samples = frame.samples
        if not samples or playing.clearing:
            return
        if playing.pending_samples + samples > self._pending_max_samples:
            self._owner.tell(
                ErrorOccurred(DeviceError("the reply is longer than playback can hold"), "output")
            )
            return
        self.ledger.generated(account, samples)
        playing.pending.append((account, frame))
        playing.pending_samples += samples
        self._pump()

    def _fit(self, item_id: str, frame: AudioFrame) -> AudioFrame:
        """The audio at the output's rate."""
        if (
            self._resampler is None
            or self._resampled_item != item_id
            or self._resampler.source_rate != frame.sample_rate
        ):
            self._resampler = Resampler(frame.sample_rate, self._output.sample_rate)
            self._resampled_item = item_id
        return self._resampler.push(frame)

    # -- the output --------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Write as much as the output wants to hold."""
        if self._paused or self._clears:
            return
        for playing in self._playing.values():
            while playing.pending:
                unplayed = self.ledger.unplayed_samples
                if self._lead_samples is not None and unplayed >= self._lead_samples:
                    break
                account, frame = playing.pending.popleft()
                samples = frame.samples
                if self._lead_samples is not None and samples > self._lead_samples - unplayed:
                    room = self._lead_samples - unplayed
                    playing.pending.appendleft((account, frame.slice(room, samples)))
                    frame, samples = frame.slice(0, room), room
                playing.pending_samples -= samples
                if not unplayed:
                    self._progress_s = self._clock.now()
                self.ledger.sent(account, samples)
                self._output.write(frame)
            if playing.pending or not playing.done:
                break  # the next response waits until this one is written to its end
        self._watch()

    def _on_position(self, position: PlaybackPosition) -> None:
        before = self.ledger.played_samples
        if position.cleared and self._late_clears:
            self._late_clears -= 1  # of a clear that is over: what was written since is not concerned
            self.ledger.played(position.position_samples)
        elif position.cleared:
            self._clears = max(0, self._clears - 1)
            self.ledger.cleared(position.position_samples)
            self._notice()
            self._cleared()
        else:
            self.ledger.played(position.position_samples)
            if self.ledger.played_samples > before:
                self._progress_s = self._clock.now()
                self._notice()
        self._pump()

    def _notice(self) -> None:
        """What has been heard since the last report: beginnings, words, ends."""
        for playing in tuple(self._playing.values()):
            heard = None
            for item_id in playing.items:
                account = self.ledger.account(item_id)
                if account is not None and account.played_samples:
                    heard = account
            if heard is not None:
                if not playing.started:
                    playing.started = True
                    self._owner.playback_report(PlaybackStarted(playing.response_id))
                self._say_heard(playing, heard)
            if playing.done:
                self._finish_if_played(playing)

    def _say_heard(self, playing: _Playing, account: ItemAccount) -> None:
        text = self.ledger.heard_text(account.item_id)
        if text and (account.item_id, text) != self._said:
            self._said = (account.item_id, text)
            heard_ms = self.ledger.heard_ms(account.item_id)
            self._owner.tell(OutputHeard(playing.response_id, account.item_id, text, heard_ms))

    def _finish_if_played(self, playing: _Playing) -> None:
        if playing.pending or playing.clearing:
            return
        accounts = [self.ledger.account(item_id) for item_id in playing.items]
        if all(a is None or a.played_samples >= a.generated_samples for a in accounts):
            if playing.cut_off:
                self._truncate(playing)
            self._end(playing, interrupted=playing.cut_off)

    def _end(self, playing: _Playing, *, interrupted: bool) -> None:
        if self._playing.pop(playing.response_id, None) is None:
            return
        if any(self.ledger.account(item_id) for item_id in playing.items):
            self._owner.playback_report(PlaybackFinished(playing.response_id, interrupted))
        self._watch()

    # -- clearing ----------------------------------------------------------------------------------------------

    def _clear(self, response_id: str) -> None:
        playing = self._playing.get(response_id)
        if playing is not None and playing.clearing:
            return  # its end is on its way
        paused, self._paused = self._paused, False
        if playing is None:
            if paused:
                self._output.resume()  # there is nothing to clear, which would have ended the pause
            self._owner.playback_report(PlaybackFinished(response_id, interrupted=True))
            return
        self._drop(playing)
        self._clear_output()

    def _drop(self, playing: _Playing) -> None:
        playing.clearing = True
        playing.pending.clear()
        playing.pending_samples = 0

    def _clear_output(self) -> None:
        self._paused = False
        self._clears += 1
        self._output.clear()
        if self._clears:
            self._rearm(_CLEAR_S)

    def _cleared(self) -> None:
        """The output has said where it stopped: everything that was being cleared is over."""
        for playing in [p for p in self._playing.values() if p.clearing]:
            self._truncate(playing)
            self._playing.pop(playing.response_id, None)
            self._owner.playback_report(PlaybackFinished(playing.response_id, interrupted=True))
        if self._drained is not None and not self._clears:
            self._drained.set()

    def _truncate(self, playing: _Playing) -> None:
        """Cut its items to what was heard of them."""
        for item_id, complete in playing.items.items():
            account = self.ledger.account(item_id)
            whole = (
                account is not None and account.closed and account.played_samples >= account.generated_samples
            )
            if not (complete and whole):
                heard_ms = int(self.ledger.heard_ms(item_id))
                self._owner.truncate(item_id, heard_ms, self.ledger.heard_text(item_id))

    # -- faults ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Keep one timer for as long as an answer of the output is awaited."""
        if self._timer is None and (self._clears or (self.ledger.unplayed_samples > 0 and not self._paused)):
            self._rearm(_STALL_S)

    def _rearm(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._check)

    def _check(self) -> None:
        self._timer = None
        quiet_s = self._clock.now() - self._progress_s
        if self._clears:
            self._late_clears += self._clears
            self._clears = 0
            self.ledger.cleared(self.ledger.played_samples)
            self._cleared()
            self._pump()
        elif not self.ledger.unplayed_samples or self._paused:
            return  # nothing is awaited: whoever writes or resumes begins to watch again
        elif quiet_s >= _STALL_S - 1e-6:
            self._stalled()
        else:
            self._rearm(_STALL_S - quiet_s)

    def _stalled(self) -> None:
        message = (
            f"the audio output has reported no progress for {_STALL_S:g} s; what it held counts as not heard"
        )
        self._on_error(DeviceError(message))

    def _on_error(self, error: ReparteeError) -> None:
        """The output failed: what it holds must not be heard, should it go on."""
        self._owner.tell(ErrorOccurred(error, "output"))
        for playing in self._playing.values():
            self._drop(playing)
        self._clear_output()
