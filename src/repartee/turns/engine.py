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
        "_floor",
        "_now",
        "_options",
        "_quiet_since_s",
        "_tools_deadline_s",
        "_turn",
        "_user_state",
    )

    def __init__(self, options: TurnOptions | None = None) -> None:
        self._options = options if options is not None else TurnOptions()
        self._actions: deque[do.Action] = deque()  # drained by the shell after every step
        self._turn = Turn(self._options, self._actions)
        self._floor = Floor(self._options, self._actions)
        self._now = 0.0
        self._tools_deadline_s: float | None = None
        self._quiet_since_s: float | None = None
        self._user_state: Literal["listening", "speaking", "away"] = "listening"
        self._agent_state: Literal["listening", "thinking", "speaking"] = "listening"

    # -- what it shows -----------------------------------------------------------------------------------------

    @property
    def options(self) -> TurnOptions:
        """Its configuration."""
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
        while self._actions:
            action = self._actions.popleft()
            if isinstance(action, do.SetUserState):
                if action.state == self._user_state:
                    continue
                self._user_state = action.state
            return action
        return None

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
        rung = self._rung_s()
        if rung is not None and now >= rung:
            self._contest(now)
        onset = self._turn.onset_deadline_s()
        if onset is not None and now >= onset:
            self._dispatch(facts.OnsetDropped(), now)
        endpoint = self._turn.endpoint_s()
        if endpoint is not None and now >= endpoint:
            self._end_of_turn(now)
        self._floor.timeout(now)
        if self._tools_deadline_s is not None and now >= self._tools_deadline_s:
            self._tools_deadline_s = None
            self._actions.append(do.TimedOut("tool", self._options.tool_deadline_s))
        away = self._away_s()
        if away is not None and now >= away:
            self._actions.append(do.SetUserState("away"))
            self._quiet_since_s = None
        self._settle(now)

    def _dispatch(self, fact: facts.Fact, now: float) -> None:
        match fact:
            case facts.Heard():
                self._heard(fact, now)
            case facts.Onset(at_s=at_s):
                self._turn.onset_s = at_s
                self._floor.onset(at_s)
            case facts.OnsetDropped():
                self._turn.onset_s = None
                self._floor.onset_dropped()
            case facts.SpeechBegan(at_s=at_s):
                self._speech(at_s, now)
            case facts.SpeechEnded(at_s=at_s):
                self._turn.silence(at_s, now)
            case facts.Prediction(question=question, probability=probability):
                self._turn.predicted(question, probability)
            case facts.ResponseStarted():
                self._floor.response_started(fact, now)
            case facts.ResponseEnded():
                self._response_ended(fact, now)
            case facts.PlaybackStarted(response_id=response_id):
                self._floor.playback_started(response_id)
            case facts.PlaybackEnded(response_id=response_id):
                self._floor.playback_ended(response_id)
            case _:
                self._program(fact, now)

    def _program(self, fact: facts.Fact, now: float) -> None:
        """What a program asks for."""
        match fact:
            case facts.Request(request_id=request_id, interruptible=interruptible, follow_up=follow_up):
                if follow_up:
                    self._tools_deadline_s = None
                self._floor.enqueue(Waiting(request_id, interruptible=interruptible), first=follow_up)
            case facts.Interrupt(reason=reason, queue=queue):
                if queue:
                    self._floor.drop_queue(reason)
                self._floor.cancel(reason, now)
            case facts.Withdraw(request_id=request_id, reason=reason):
                self._floor.withdraw(request_id, reason)
            case facts.Commit():
                self._turn.discard("committed by the program")
                self._turn.commit("manual", now)
            case facts.Clear():
                self._turn.clear("client_cleared")
            case facts.ToolsDone():
                self._tools_deadline_s = None
            case facts.Began():
                self._quiet_since_s = now
            case _:
                raise AssertionError(f"unknown fact {fact!r}")

    # -- rule 1: speech over a reply ---------------------------------------------------------------------------

    def _speech(self, at_s: float, now: float) -> None:
        self._turn.speech(at_s, now)
        if self._options.mode == "model":
            # The model hears the caller itself and has stopped already.
            if self._options.interruption.enabled:
                self._interrupted("turn_detected", now)
            return
        self._floor.speech(at_s)
        self._contest(now)

    def _heard(self, fact: facts.Heard, now: float) -> None:
        self._turn.heard(fact.text, settled=fact.settled, now=now)
        self._contest(now)
        if fact.endpoint and self._turn.open:
            self._end_of_turn(now)

    def _contest(self, now: float) -> None:
        """Let the floor judge what was said over it."""
        turn = self._turn
        if not self._floor.contested or not turn.open:
            return
        stopped = turn.stopped_s
        ended = stopped is not None and now >= stopped + self._floor.profile.resume_after_ms / 1000.0
        if ended and turn.late_words and now < (turn.endpoint_s() or now):
            ended = False  # the words may be here in a moment, and they decide
        self._judge(now, ended=ended)

    def _judge(self, now: float, *, ended: bool) -> Verdict | None:
        turn = self._turn
        since = turn.started_s if turn.started_s is not None else now
        until = turn.stopped_s if turn.stopped_s is not None else now
        judgement = self._floor.judge(
            turn.text, (until - since) * 1000.0, ended=ended, settled=turn.settled, now=now
        )
        if judgement is None:
            return None
        if judgement.verdict is Verdict.RESUME:
            turn.clear(judgement.reason)
        else:
            self._floor.drop_queue("turn_detected")
            turn.prepare()
        return judgement.verdict

    def _rung_s(self) -> float | None:
        """When the caller's speech over the reply has to be judged again."""
        turn = self._turn
        if not self._floor.contested or not turn.open:
            return None
        if turn.stopped_s is None:
            return self._floor.next_rung_s(turn.text)
        due = turn.stopped_s + self._floor.profile.resume_after_ms / 1000.0
        return max(due, turn.endpoint_s() or due) if turn.late_words else due

    def _interrupted(self, reason: str, now: float) -> None:
        holder = self._floor.holder
        if holder is not None and holder.interruptible:
            self._floor.drop_queue(reason)
            self._floor.cancel(reason, now)

    # -- rule 2: a turn that is over ---------------------------------------------------------------------------

    def _end_of_turn(self, now: float) -> None:
        turn = self._turn
        if turn.late_words:
            self._actions.append(do.TimedOut("stt", self._options.transcript_deadline_s))
        if self._floor.contested and self._judge(now, ended=True) is Verdict.RESUME:
            return
        if not turn.worth_answering:
            turn.clear("no words")
            return
        reason = "ceiling" if turn.state is TurnState.SPEAKING else self._reason()
        number = turn.number
        draft = turn.commit(reason, now)
        answer = Waiting(f"turn:{number}", number, draft.number if draft is not None else None)
        self._floor.enqueue(answer)

    def _reason(self) -> str:
        if self._options.mode == "stt":
            return "recogniser"
        return "silence" if self._turn.probability is None else "end of turn"

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
        self._say_agent_state()
        quiet = not self._turn.open and self._floor.state is FloorState.IDLE
        if not quiet:
            self._quiet_since_s = None
            if self._user_state == "away" and not self._turn.open:
                self._actions.append(do.SetUserState("listening"))
        elif self._quiet_since_s is None and self._user_state != "away":
            self._quiet_since_s = now

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
        if after is None or self._quiet_since_s is None or self._tools_deadline_s is not None:
            return None
        return self._quiet_since_s + after
