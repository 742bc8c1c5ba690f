"""`TurnEngine`: decides who has the floor. It has no clock, no task and no randomness.

Theory of operation. Two machines change side by side: the caller's `Turn` and the agent's hold on the `Floor` (their
transitions are in `repartee.turns.tables`). The engine joins them by four rules:

1. *Speech over a reply* moves the floor up the interruption ladder; words or length decide. A verdict that it was
   only a backchannel or a noise clears the caller's turn and lets the reply go on.
2. *A turn that is over* is committed, and its answer queues for the floor. Words that were never said are not a turn.
3. *The floor is given away* only while the caller neither speaks nor may be speaking nor has an open turn.
4. *Every wait ends*: `deadline` is the earliest of all.

Feed facts to `receive`, carry out `next_action` until it is ``None``, and call `timeout` at `deadline`. The same facts
at the same times give the same actions.
"""

from __future__ import annotations

from collections import deque
from copy import copy
from dataclasses import replace
from typing import Literal

from repartee.turns import actions as do
from repartee.turns import facts
from repartee.turns.floor import Floor, Waiting
from repartee.turns.interruption import Verdict
from repartee.turns.options import TurnOptions
from repartee.turns.tables import FloorState, TurnState
from repartee.turns.turn import Turn

__all__ = ["TurnEngine"]


class TurnEngine:
    """Facts in, actions out.

    Args:
        options: how to take turns.
    """

    __slots__ = (
        "_actions",
        "_agent_state",
        "_away",
        "_floor",
        "_now",
        "_options",
        "_quiet_since_s",
        "_tools_deadline_s",
        "_turn",
        "_user_state",
    )

    def __init__(self, options: TurnOptions | None = None) -> None:
        options = options if options is not None else TurnOptions()
        # An endpointing policy may learn; what it learns of this caller is not for the next one.
        self._options = replace(options, endpointing=copy(options.endpointing))
        self._actions: deque[do.Action] = deque()  # bounded by one step: the shell drains it after each
        self._turn = Turn(self._options, self._actions)
        self._floor = Floor(self._options, self._actions)
        self._now = 0.0
        self._tools_deadline_s: float | None = None
        self._away = False
        self._quiet_since_s: float | None = None
        self._user_state: Literal["listening", "speaking", "away"] = "listening"
        self._agent_state: Literal["listening", "thinking", "speaking"] = "listening"

    # -- what it shows -----------------------------------------------------------------------------------------

    @property
    def options(self) -> TurnOptions:
        """Its configuration, with an endpointing policy of its own."""
        return self._options

    @property
    def state(self) -> tuple[TurnState, FloorState]:
        """The states of the caller's turn and of the floor."""
        return self._turn.state, self._floor.state

    @property
    def turn_open(self) -> bool:
        """Whether the caller's turn is open."""
        return self._turn.open

    @property
    def waiting(self) -> int:
        """How many responses wait for the floor."""
        return len(self._floor.queue)

    @property
    def holder_response_id(self) -> str | None:
        """The response that holds the floor, once the model has named it."""
        holder = self._floor.holder
        return holder.response_id if holder is not None else None

    def next_action(self) -> do.Action | None:
        """The next decision to carry out; ``None`` when there is none."""
        return self._actions.popleft() if self._actions else None

    def deadline(self) -> float | None:
        """When `timeout` is due, in session seconds; ``None``: only an event can change anything."""
        times = (
            self._turn.endpoint_s(),
            self._turn.onset_deadline_s(),
            self._rung_s(),
            self._floor.deadline(),
            self._tools_deadline_s,
            self._away_s(),
        )
        return min((at for at in times if at is not None), default=None)

    # -- facts -------------------------------------------------------------------------------------------------

    def receive(self, fact: facts.Fact, now: float) -> None:
        """Take a fact. Times never go back: an earlier ``now`` counts as the latest one."""
        self._now = now = max(now, self._now)
        self._dispatch(fact, now)
        self._settle(now)

    def timeout(self, now: float) -> None:
        """The deadline has come."""
        self._now = now = max(now, self._now)
        onset = self._turn.onset_deadline_s()
        if onset is not None and now >= onset:
            self._onset_dropped()
        endpoint = self._turn.endpoint_s()
        if endpoint is not None and now >= endpoint:
            self._late(now)
        rung = self._rung_s()
        if rung is not None and now >= rung:
            self._contest(now)
        self._floor.timeout(now)
        if self._tools_deadline_s is not None and now >= self._tools_deadline_s:
            self._tools_deadline_s = None
            self._actions.append(do.TimedOut("tool", self._options.tool_deadline_s))
        away = self._away_s()
        if away is not None and now >= away:
            self._away, self._quiet_since_s = True, None
        self._settle(now)

    def _dispatch(self, fact: facts.Fact, now: float) -> None:
        match fact:
            case facts.Heard():
                self._heard(fact, now)
            case facts.Onset(at_s=at_s):
                self._turn.onset_s = min(at_s, now)
                self._floor.onset(min(at_s, now))
            case facts.OnsetDropped():
                self._onset_dropped()
            case facts.SpeechBegan(at_s=at_s):
                self._speech(min(at_s, now), now)
            case facts.SpeechEnded(at_s=at_s):
                self._turn.silence(min(at_s, now), now)
            case facts.Prediction(question=question, probability=probability):
                self._turn.predicted(question, probability)
            case facts.ResponseStarted():
                if fact.request_id is None and self._options.mode == "model" and self._turn.open:
                    self._end_of_turn("model", now)
                self._floor.response_started(fact, now)
            case facts.ResponseEnded():
                self._response_ended(fact, now)
            case facts.PlaybackStarted(response_id=response_id):
                self._floor.playback_started(response_id)
            case facts.PlaybackEnded(response_id=response_id):
                self._floor.playback_ended(response_id)
                if self._floor.state is FloorState.IDLE:
                    self._turn.shelved_s = None  # it was said into the reply's end: an answer
            case _:
                self._program(fact, now)

    def _program(self, fact: facts.Fact, now: float) -> None:
        """What a program asks for."""
        match fact:
            case facts.Request(request_id=request_id, interruptible=interruptible, follow_up=follow_up):
                if follow_up:
                    self._tools_deadline_s = None
                waiting = Waiting(request_id, interruptible=interruptible, follow_up=follow_up)
                self._floor.enqueue(waiting, first=follow_up)
            case facts.Interrupt(reason=reason, queue=queue):
                if queue:
                    self._floor.drop_queue(reason)
                self._floor.cancel(reason, now)
            case facts.Withdraw(request_id=request_id, reason=reason):
                self._floor.withdraw(request_id, reason)
            case facts.Commit():
                self._floor.resume("committed")
                self._turn.discard("committed by the program")
                self._turn.commit("manual", now)
            case facts.Clear():
                self._floor.resume("cleared")
                self._turn.clear("client_cleared")
            case facts.ToolsDone():
                self._tools_deadline_s = None
            case facts.Began():
                self._quiet_since_s = now
            case _:
                raise AssertionError(f"unknown fact {fact!r}")

    # -- rule 1: speech over a reply ---------------------------------------------------------------------------

    def _onset_dropped(self) -> None:
        self._turn.onset_s = None
        if not self._turn.open:  # else speech is confirmed, and will be judged whatever follows it
            self._floor.onset_dropped()

    def _speech(self, at_s: float, now: float) -> None:
        self._turn.speech(at_s, now)
        if self._options.mode == "model":
            # The model hears the caller itself and has stopped already.
            if self._options.interruption.enabled:
                self._interrupted("turn_detected", now)
            return
        self._floor.onset(at_s)
        self._contest(now)

    def _heard(self, fact: facts.Heard, now: float) -> None:
        self._turn.heard(fact.text, settled=fact.settled, now=now)
        self._contest(now)
        if fact.endpoint and self._turn.open and self._options.mode == "stt":
            self._end_of_turn("recogniser", now)

    def _contest(self, now: float) -> None:
        """Let the floor judge what was said over it."""
        if self._floor.contested and self._turn.open:
            resume_s = self._resume_s()
            self._judge(now, ended=resume_s is not None and now >= resume_s)

    def _judge(self, now: float, *, ended: bool) -> Verdict | None:
        turn = self._turn
        heard = self._floor.holder is not None and self._floor.holder.audible
        until_s = turn.stopped_s if turn.stopped_s is not None else now
        judgement = self._floor.judge(turn.text, until_s, ended=ended, settled=turn.settled, now=now)
        if judgement is None:
            return None
        if judgement.verdict is Verdict.CANCEL:
            self._floor.drop_queue("turn_detected")
            turn.prepare()
        elif judgement.reason == "backchannel" and heard:
            turn.shelved_s = now + self._options.interruption.answer_window_ms / 1000.0
        else:
            turn.clear(judgement.reason)
        return judgement.verdict

    def _rung_s(self) -> float | None:
        """When the caller's speech over the reply has to be judged again."""
        if not self._floor.contested or not self._turn.open:
            return None
        if self._turn.stopped_s is None:
            return self._floor.next_rung_s(self._turn.text)
        return self._resume_s()

    def _resume_s(self) -> float | None:
        """When the caller has been quiet for long enough that the reply may go on.

        Not while their words, which decide, may yet come; nor while they may be speaking again.
        """
        turn = self._turn
        if turn.stopped_s is None:
            return None
        due = turn.stopped_s + self._floor.profile.resume_after_ms / 1000.0
        if turn.late_words:
            due = max(due, turn.endpoint_s() or due)
        return max(due, turn.onset_deadline_s() or due)

    def _interrupted(self, reason: str, now: float) -> None:
        holder = self._floor.holder
        if holder is not None and holder.interruptible:
            self._floor.drop_queue(reason)
            self._floor.cancel(reason, now)

    # -- rule 2: a turn that is over ---------------------------------------------------------------------------

    def _end_of_turn(self, reason: str, now: float) -> None:
        turn = self._turn
        if self._floor.contested and self._judge(now, ended=True) is Verdict.RESUME:
            return
        if turn.shelved_s is not None:
            turn.clear("backchannel")
            return
        if reason == "model":
            turn.commit(reason, now)
            return
        if not turn.worth_answering(now):
            turn.clear("no words" if self._options.transcribes else "too short")
            return
        number = turn.number
        draft = turn.commit(reason, now)
        self._floor.drop_follow_ups("turn_detected")
        self._floor.enqueue(Waiting(f"turn:{number}", number, draft.number if draft is not None else None))

    def _late(self, now: float) -> None:
        """The turn has waited for as long as it may."""
        turn = self._turn
        if turn.late_words:
            self._actions.append(do.TimedOut("stt", self._options.transcript_deadline_s))
        if self._options.mode == "model":
            reason = "model"
        elif turn.state is TurnState.SPEAKING:
            reason = "ceiling"
        else:
            reason = "silence" if turn.probability is None else "end of turn"
        self._end_of_turn(reason, now)

    # -- rule 3: who is next -----------------------------------------------------------------------------------

    def _response_ended(self, fact: facts.ResponseEnded, now: float) -> None:
        if fact.calls and fact.status == "completed":
            self._tools_deadline_s = now + self._options.tool_deadline_s
        self._floor.response_ended(fact)

    def _settle(self, now: float) -> None:
        """After every step: give the floor away if it is free, and say how things stand."""
        caller_has_it = self._turn.open or self._turn.onset_s is not None
        if not caller_has_it or self._options.mode == "manual":
            self._floor.start_next(now)
        quiet = (
            not self._turn.open and self._floor.state is FloorState.IDLE and self._tools_deadline_s is None
        )
        if not quiet:
            self._away, self._quiet_since_s = False, None
        elif self._quiet_since_s is None and not self._away:
            self._quiet_since_s = now
        self._say_user_state()
        self._say_agent_state()

    def _say_user_state(self) -> None:
        state: Literal["listening", "speaking", "away"] = "away" if self._away else "listening"
        if self._turn.state is TurnState.SPEAKING:
            state = "speaking"
        if state != self._user_state:
            self._user_state = state
            self._actions.append(do.SetUserState(state))

    def _say_agent_state(self) -> None:
        floor = self._floor.state
        state: Literal["listening", "thinking", "speaking"] = "listening"
        if floor in (FloorState.SPEAKING, FloorState.DUCKED):
            state = "speaking"
        elif floor is FloorState.THINKING or (
            floor is FloorState.IDLE and self._tools_deadline_s is not None
        ):
            state = "thinking"
        if state != self._agent_state:
            self._agent_state = state
            self._actions.append(do.SetAgentState(state))

    def _away_s(self) -> float | None:
        after = self._options.away_after_s
        if after is None or self._quiet_since_s is None:
            return None
        return self._quiet_since_s + after
