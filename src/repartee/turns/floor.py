"""`Floor`: the agent's hold on the floor, and who waits for it.

Theory of operation. At most one response holds the floor, from the moment it is asked for until nothing more of it
will be heard; everything else waits in a bounded queue. While it holds the floor, speech of the caller moves it up
and down the interruption ladder (`repartee.turns.interruption`). Every state but IDLE has a deadline of its own or is
left by an event that a deadline elsewhere guarantees: THINKING by ``response_deadline_s``, CLEARING by
``clear_deadline_s``, PAUSED and DUCKED by the end of the caller's speech (which ``max_turn_s`` bounds), SPEAKING by the
player, which reports an end or a stall.

What is lowered is raised again and what is paused goes on, whichever way the floor becomes free: the next response
finds the output as if nothing had been. And whoever is sent away from the queue takes along the answer prepared for it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from repartee.turns import actions as do
from repartee.turns import facts
from repartee.turns.interruption import InterruptionProfile, Judgement, Verdict, judge, normalise, reached
from repartee.turns.options import TurnOptions
from repartee.turns.tables import FLOOR_TABLE, FloorState, step

__all__ = ["Floor", "Holder", "Waiting"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A response that waits for the floor."""

    request_id: str
    turn: int | None = None
    draft: int | None = None
    interruptible: bool = True
    follow_up: bool = False
    """Whether it carries on after functions have run; the caller's next turn makes that stale."""


@dataclass(slots=True)
class Holder:
    """The response that holds the floor."""

    request_id: str | None
    interruptible: bool
    since_s: float
    response_id: str | None = None
    audible: bool = False
    paused: bool = False


class Floor:
    """Who has the floor. Decisions are appended to ``out``."""

    __slots__ = ("_deadline_s", "_ducked", "_onset_s", "_options", "_out", "holder", "queue", "state")

    def __init__(self, options: TurnOptions, out: deque[do.Action]) -> None:
        self._options = options
        self._out = out
        self._onset_s: float | None = None
        self._deadline_s: float | None = None
        self._ducked = False  # also while PAUSED, if it was lowered before
        self.state = FloorState.IDLE
        self.holder: Holder | None = None
        self.queue: deque[Waiting] = deque(maxlen=options.queue_max)

    # -- the queue ---------------------------------------------------------------------------------------------

    def enqueue(self, waiting: Waiting, *, first: bool = False) -> None:
        """Let a response wait for the floor; one too many is rejected, never one that waits already."""
        if len(self.queue) == self._options.queue_max:
            self._reject(waiting, f"{self._options.queue_max} responses wait already")
        elif first:
            self.queue.appendleft(waiting)
        else:
            self.queue.append(waiting)

    def start_next(self, now: float) -> None:
        """Give the free floor to the next in the queue, if any."""
        if self.state is FloorState.IDLE and self.queue:
            waiting = self.queue.popleft()
            self._step("start")
            self.holder = Holder(waiting.request_id, waiting.interruptible, now)
            self._deadline_s = now + self._options.response_deadline_s
            self._out.append(do.Start(waiting.request_id, waiting.turn, waiting.draft))

    def drop_queue(self, reason: str) -> None:
        """Send everybody away who waits."""
        while self.queue:
            self._reject(self.queue.popleft(), reason)

    def drop_follow_ups(self, reason: str) -> None:
        """Send those away who were to carry on after functions: the caller has said something new meanwhile."""
        for waiting in tuple(self.queue):
            if waiting.follow_up:
                self.withdraw(waiting.request_id, reason)

    def withdraw(self, request_id: str, reason: str) -> None:
        """Send one away who waits."""
        for waiting in self.queue:
            if waiting.request_id == request_id:
                self.queue.remove(waiting)
                self._reject(waiting, reason)
                return

    def _reject(self, waiting: Waiting, reason: str) -> None:
        if waiting.draft is not None:
            self._out.append(do.Discard(waiting.draft, reason))
        self._out.append(do.Reject(waiting.request_id, reason))

    # -- the response ------------------------------------------------------------------------------------------

    def response_started(self, fact: facts.ResponseStarted, now: float) -> None:
        """The model began the response that was asked for, or one by itself."""
        holder = self.holder
        if holder is not None and holder.request_id == fact.request_id and holder.response_id is None:
            holder.response_id = fact.response_id
        elif fact.request_id is None:
            if holder is not None and holder.response_id is None:
                self.cancel("displaced", now)  # else it would speak, too, once the model comes to it
            elif holder is not None:
                self._finish()
            self._step("start")
            self.holder = Holder(None, True, now, fact.response_id)
            self._deadline_s = now + self._options.response_deadline_s

    def response_ended(self, fact: facts.ResponseEnded) -> None:
        """The model's part is over; without audio nothing more will be heard."""
        if self._holds(fact.response_id) and not fact.audio and self.state is not FloorState.CLEARING:
            self._finish()

    def playback_started(self, response_id: str) -> None:
        """The first sample was heard."""
        holder, waiting = self.holder, self.state is FloorState.THINKING
        if holder is None or not self._holds(response_id) or holder.audible:
            return
        if waiting or self.state is FloorState.PAUSED:
            holder.audible, self._deadline_s = True, None
            self._step("heard")
            if waiting and self.contested:
                self._duck()

    def playback_ended(self, response_id: str) -> None:
        """Nothing more will be heard."""
        if self._holds(response_id):
            self._finish()

    def _holds(self, response_id: str) -> bool:
        return self.holder is not None and self.holder.response_id == response_id

    def _finish(self, trigger: str = "finish") -> None:
        self._unduck("finished")
        if self.holder is not None and self.holder.paused:
            self._out.append(do.Resume("finished"))
        self._step(trigger)
        self.holder, self._onset_s, self._deadline_s = None, None, None

    # -- the ladder --------------------------------------------------------------------------------------------

    @property
    def profile(self) -> InterruptionProfile:
        """The profile that applies: for thinking until something was heard, then for speaking."""
        audible = self.holder is not None and self.holder.audible
        interruption = self._options.interruption
        return interruption.speaking if audible else interruption.thinking

    @property
    def contested(self) -> bool:
        """Whether the caller speaks over a response that can be interrupted, and nothing is decided yet."""
        return self._onset_s is not None

    @property
    def _interruptible(self) -> bool:
        return (
            self.holder is not None
            and self.holder.interruptible
            and self._options.interruption.enabled
            and self.state in (FloorState.THINKING, FloorState.SPEAKING, FloorState.DUCKED, FloorState.PAUSED)
        )

    def onset(self, at_s: float) -> None:
        """Somebody may be speaking: lower the voice."""
        if not self._interruptible:
            return
        if self._onset_s is None:
            self._onset_s = at_s
        if self.state is FloorState.SPEAKING:
            self._duck()

    def onset_dropped(self) -> None:
        """It was nothing: raise it again."""
        if self.state is FloorState.DUCKED:
            self._step("unduck")
        self._unduck("onset dropped")
        self._onset_s = None

    def _duck(self) -> None:
        if self.profile.duck_db < 0.0:
            self._step("duck")
            self._ducked = True
            self._out.append(do.Duck(self.profile.duck_db, "onset"))

    def _unduck(self, reason: str) -> None:
        if self._ducked:
            self._ducked = False
            self._out.append(do.Duck(0.0, reason))

    def judge(self, text: str, until_s: float, *, ended: bool, settled: bool, now: float) -> Judgement | None:
        """Take the step that the caller's words and speech, which has lasted until ``until_s``, call for.

        The verdict when it is final.
        """
        if self._onset_s is None:
            return None
        profile = self.profile
        # Reckoned from where `next_rung_s` reckons, or the two would disagree on whether a rung is reached.
        speech_ms = (until_s - self._onset_s) * 1000.0
        judgement = judge(
            self._options.interruption, profile, text=text, speech_ms=speech_ms, ended=ended, settled=settled
        )
        if judgement.verdict is Verdict.CANCEL:
            self.cancel(judgement.reason, now)
            return judgement
        if judgement.verdict is Verdict.RESUME:
            self.resume(judgement.reason)
            return judgement
        if not ended and reached(speech_ms, profile.pause_after_ms) and self.state is not FloorState.PAUSED:
            self._pause()
        return None

    def next_rung_s(self, text: str) -> float | None:
        """When `judge` has to be asked again while the caller goes on speaking."""
        if self._onset_s is None:
            return None
        profile = self.profile
        if self.state is not FloorState.PAUSED:
            return self._onset_s + profile.pause_after_ms / 1000.0
        if profile.cancel_after_ms is None:
            return None
        limit = profile.backchannel_max_ms if normalise(text) else profile.cancel_after_ms
        return self._onset_s + limit / 1000.0

    def _pause(self) -> None:
        assert self.holder is not None
        self._step("pause")
        self.holder.paused = True
        self._out.append(do.Pause("speech"))

    def resume(self, reason: str) -> None:
        """The response keeps the floor: undo what was done to it."""
        self._onset_s = None
        holder = self.holder
        if self.state is FloorState.DUCKED:
            self._step("unduck")
        self._unduck(reason)
        if self.state is FloorState.PAUSED and holder is not None:
            self._step("resume" if holder.audible else "think on")
            holder.paused = False
            self._out.append(do.Resume(reason))

    # -- the end -----------------------------------------------------------------------------------------------

    def cancel(self, reason: str, now: float) -> None:
        """End the response that holds the floor, if one does."""
        holder = self.holder
        if holder is None or self.state in (FloorState.IDLE, FloorState.CLEARING):
            return
        self._onset_s = None
        self._out.append(do.Cancel(reason, holder.response_id, holder.request_id))
        if holder.response_id is None:
            self._finish("drop")
        else:
            self._step("cancel")
            self._deadline_s = now + self._options.clear_deadline_s

    def deadline(self) -> float | None:
        """When `timeout` is due."""
        return self._deadline_s

    def timeout(self, now: float) -> None:
        """A deadline has passed: go on without what was waited for."""
        if self._deadline_s is None or now < self._deadline_s:
            return
        self._deadline_s = None
        if self.state is FloorState.CLEARING:
            self._out.append(do.TimedOut("playback", self._options.clear_deadline_s))
            self._finish()
        elif self.state in (FloorState.THINKING, FloorState.PAUSED):
            self._out.append(do.TimedOut("response", self._options.response_deadline_s))
            self.cancel("response_timeout", now)

    def _step(self, trigger: str) -> None:
        self.state = step(FLOOR_TABLE, self.state, trigger)
