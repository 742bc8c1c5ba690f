"""`ListeningEngine`: whose audio is it, and is the caller's turn over, reckoned in audio time.

Theory of operation. `TurnEngine` sits where the agent's voice is played, so its time is the session's. A server has
no loudspeaker: all that it has is the audio that was sent to it, and a client may send a minute of that at once. So
here the place in the audio *is* the time: the same audio gives the same turns, however fast and in whatever pieces it
came. The detector's windows come in order; each moves `position_s` on.

*Holding.* What the audio alone does not say is what was said, and whether that is all: a recogniser and an end-of-turn
model answer in real time. When the silence has lasted as long as the policy waits for the surest turn, and an answer is
owed, the engine holds: later windows queue up until the answer comes, or its real deadline has passed. So an answer
that is late by the clock is never late in the audio.

*No audio* for a while counts as silence where a turn is open (`Quiet`): some clients send nothing when nobody speaks.
Then, and only then, real time stands in for audio time.

*What is passed on.* Audio goes to the model while a turn is open and the caller speaks, with a little from before
(`Pass`); what follows the end of speech goes along if they go on. Where nobody detects turns, all of it does.

All positions are seconds of the session's audio; ``now`` is session time, for deadlines alone.
"""

from __future__ import annotations

from collections import deque

from repartee.turns import actions as do
from repartee.turns import facts
from repartee.turns.backlog import Backlog
from repartee.turns.interruption import reached
from repartee.turns.listening_words import (
    Audio,
    Clear,
    Commit,
    ListeningAction,
    ListeningFact,
    ListeningOptions,
    Pass,
    Quiet,
    TurnBegan,
    TurnDropped,
    TurnOver,
    Window,
)
from repartee.turns.speech import EdgeKind, GateState, SpeechGate
from repartee.turns.tables import TurnState
from repartee.turns.turn import Turn

__all__ = ["ListeningEngine"]

CONFIRMATION_S = 0.4
"""Onsets are confirmed this much later at most (besides ``min_speech_ms``); what came before must still be there."""
PASSED_MIN_S = 0.06
"""Audio is passed on two windows at a time while the caller speaks, which costs half; when they stop, what is left."""
KEPT_S = 3.0
"""What is kept of audio in which no speech was found: a program may still commit it."""


class ListeningEngine:
    """Finds the caller's turns in audio. Actions are taken with `next_action` after each fact."""

    __slots__ = (
        "_backlog",
        "_floor_s",
        "_gate",
        "_holds",
        "_made",
        "_options",
        "_out",
        "_passed_s",
        "_question",
        "_quiet",
        "_settle_s",
        "_start_s",
        "_turn",
        "_windows",
        "position_s",
    )

    def __init__(self, options: ListeningOptions | None = None) -> None:
        self._options = options = options if options is not None else ListeningOptions()
        self._made: deque[do.Action] = deque()  # bounded by one fact's, of the turn
        self._out: deque[ListeningAction] = deque()  # bounded by one fact's: the shell takes them
        self._turn = Turn(options.turn, self._made)
        self._gate = SpeechGate(options.gate)
        self._windows: deque[Window] = deque()  # bounded by the audio that the shell takes in
        self._holds = False
        self._question: tuple[int, float] | None = None  # that is open, and when it was asked
        self._settle_s: float | None = None  # when the words could be there at the earliest
        self._backlog = Backlog()  # of what was passed on
        self._quiet: Quiet | None = None
        self._start_s = 0.0
        self._floor_s = 0.0
        self._passed_s = 0.0
        self.position_s = 0.0
        """How far the audio has been heard."""

    @property
    def turn_open(self) -> bool:
        """Whether the caller has said something that is not committed yet."""
        return self._turn.open

    @property
    def speaking(self) -> bool:
        """Whether the caller speaks."""
        return self._turn.state is TurnState.SPEAKING

    @property
    def waiting_windows(self) -> int:
        """Windows that queue up while it holds."""
        return len(self._windows)

    @property
    def keep_from_s(self) -> float:
        """What lies before this in the audio is not needed any more."""
        if self._turn.open:
            return self._start_s
        if not self._options.detects:
            return self._floor_s
        options = self._options
        before_s = options.padding_s + CONFIRMATION_S + options.gate.min_speech_ms / 1000.0
        return max(self._floor_s, self.position_s - max(before_s, KEPT_S))

    def passes(self, probability: float, end_s: float) -> bool:
        """Take a `Window` from which nothing follows: nobody has spoken, and nobody does. Most are such: a short cut.

        Returns:
            Whether it was one; otherwise it was not taken, and `receive` is to be told.
        """
        if self._windows or self._turn.open or not self._options.detects or end_s <= self._floor_s:
            return False
        if not self._gate.rests(probability):
            return False
        self._quiet = None
        self.position_s = max(self.position_s, end_s)
        return True

    def next_action(self) -> ListeningAction | None:
        """What is to be done next, in order; ``None``: nothing more."""
        return self._out.popleft() if self._out else None

    def configure(self, options: ListeningOptions, end_s: float, now: float) -> None:
        """Listen otherwise from now on.

        Args:
            options: how.
            end_s: where the audio ends.
            now: session time.
        """
        old, self._options = self._options, options
        if options == old:
            return
        self._turn.configure(options.turn)
        if options.gate != old.gate or not options.detects:
            self._new_gate()
        if old.detects and not options.detects:
            self._windows.clear()
            self._turn.discard("turns are not detected any more")
            self._question, self._quiet, self._holds = None, None, False
            self._forward(now)
            self._pass_all(end_s, now)
        elif options.detects and not old.detects:
            self._pass_all(end_s, now)
        self._run(now)

    def receive(self, fact: ListeningFact, now: float) -> None:
        """Take a fact.

        Args:
            fact: what happened.
            now: session time.
        """
        match fact:
            case Window():
                if self._options.detects and fact.end_s > self._floor_s:
                    self._quiet = None
                    if self._windows or self._turn.open:
                        self._windows.append(fact)
                    else:
                        self._hear(fact, now)  # nobody has spoken: nothing is to be decided before it
                    self._run(now)
            case Audio(end_s=end_s):
                if not self._options.detects:
                    self._pass_all(end_s, now)
            case facts.Heard(text=text, settled=settled):
                self._turn.heard(text, settled=settled, now=self.position_s)
                self._forward(now)
                self._run(now)
            case facts.Prediction(question=question, probability=probability):
                if self._question is not None and self._question[0] == question:
                    self._question = None
                    self._turn.predicted(question, probability)
                    self._forward(now)
                    self._run(now)
            case Quiet():
                self._be_quiet(fact, now)
            case Commit(end_s=end_s):
                self._commit(end_s, now)
            case Clear(end_s=end_s):
                self._windows.clear()
                number = self._turn.number if self._turn.open else 0
                self._turn.clear("client_cleared")
                self._forward(now)
                self._out.append(TurnDropped(number, "client_cleared"))
                self._begin_anew(end_s)

    def deadline(self) -> float | None:
        """Session time at which `timeout` is to be called; ``None``: only audio or words lead on."""
        if self._turn.state is not TurnState.ENDPOINTING or not self._options.detects:
            return None
        if self._holds:
            return self._owed_until_s()
        if self._quiet is None:
            return None
        return self._quiet.since_s + self._decision_s() - self._quiet.end_s

    def timeout(self, now: float) -> None:
        """Session time has come so far."""
        self._run(now)

    # -- audio -------------------------------------------------------------------------------------------------

    def _run(self, now: float) -> None:
        """Go through what waits, as far as is known how to."""
        while self._decide(now) and self._windows:
            self._hear(self._windows.popleft(), now)

    def _hear(self, window: Window, now: float) -> None:
        turn = self._turn
        edge = self._gate.receive(window.probability, self.position_s, window.end_s)
        self.position_s = max(self.position_s, window.end_s)
        if edge is None:
            if turn.state is TurnState.SPEAKING and self.position_s - self._passed_s >= PASSED_MIN_S:
                self._pass(self.position_s, now)
            return
        at_s = max(edge.at_s, self._floor_s)
        if edge.kind is EdgeKind.START and turn.state is not TurnState.SPEAKING:
            begins_s = max(self._floor_s, at_s - self._options.padding_s)
            if not turn.open:
                self._start_s = begins_s
            self._passed_s = max(self._passed_s, begins_s)
            self._settle_s, self._question = None, None
            turn.speech(at_s, self.position_s)
            self._forward(now)
            self._pass(self.position_s, now)
        elif edge.kind is EdgeKind.STOP:
            if turn.state is TurnState.SPEAKING:
                self._pass(self.position_s, now)
            turn.silence(max(at_s - self._options.tail_s, self._floor_s), self.position_s)
            self._forward(now)

    def _pass(self, end_s: float, now: float) -> None:
        if end_s > self._passed_s:
            self._out.append(Pass(self._passed_s, end_s))
            self._backlog.add(end_s - self._passed_s, now)
            self._passed_s = end_s

    def _pass_all(self, end_s: float, now: float) -> None:
        """Everything that is there and was not passed on yet."""
        self._passed_s = max(self._passed_s, self.keep_from_s)
        self._pass(end_s, now)
        self.position_s = max(self.position_s, end_s)

    def _be_quiet(self, fact: Quiet, now: float) -> None:
        turn = self._turn
        if not self._options.detects or self._windows:
            return
        if not turn.open:
            self._new_gate()  # an onset that nothing followed
            return
        if turn.state is TurnState.SPEAKING:
            self.position_s = max(self.position_s, fact.end_s)
            self._pass(self.position_s, now)
            turn.silence(self.position_s, self.position_s)
            self._forward(now)
        self._new_gate()
        self._quiet = fact
        self._run(now)

    def _new_gate(self) -> None:
        self._gate = SpeechGate(self._options.gate)
        if self._turn.state is TurnState.SPEAKING:
            self._gate.state = GateState.SPEAKING  # so that it finds the end

    # -- the end of the turn -----------------------------------------------------------------------------------

    def _decide(self, now: float) -> bool:
        """Close the turn if it is over; whether there is no answer to wait for before more is heard."""
        self._holds = False
        turn = self._turn
        if not turn.open or not self._options.detects:
            return True
        if turn.state is TurnState.SPEAKING:
            if reached((self.position_s - (turn.started_s or 0.0)) * 1000.0, self._longest_ms()):
                self._pass(self.position_s, now)
                self._close("ceiling", self.position_s, now)
            return True
        if self._gate.state is GateState.RISING:
            return True  # perhaps they go on: the next windows tell
        while True:
            at_s = self.position_s
            if self._quiet is not None:
                at_s = max(at_s, self._quiet.end_s + now - self._quiet.since_s)
            if not reached((at_s - self._decision_s()) * 1000.0, 0.0):
                return True
            until_s = self._owed_until_s()
            if until_s is None:
                predicted = turn.probability is not None
                self._close("end of turn" if predicted else "silence", self.position_s, now)
                return True
            if not reached((now - until_s) * 1000.0, 0.0):
                self._holds = True
                return False
            self._give_up(now)

    def _longest_ms(self) -> float:
        return self._options.turn.max_turn_s * 1000.0

    def _decision_s(self) -> float:
        """Where in the audio the silence has lasted long enough, for all that is known."""
        policy, turn = self._options.turn.endpointing, self._turn
        owed = self._owed_until_s() is not None
        return (turn.stopped_s or 0.0) + policy.delay_s(1.0 if owed else turn.probability)

    def _owed_until_s(self) -> float | None:
        """Until when an answer may still come that is worth waiting for; ``None``: all answers are there."""
        options = self._options.turn
        if self._question is not None:
            return self._question[1] + options.prediction_deadline_s
        if options.transcribes and self._turn.late_words and self._settle_s is not None:
            return self._settle_s + options.transcript_deadline_s
        return None

    def _give_up(self, now: float) -> None:
        """Whoever owes an answer is late: go on with what is known."""
        if self._question is not None:
            number, self._question = self._question[0], None
            self._turn.predicted(number, None)
        else:
            self._settle_s = None
            self._out.append(do.TimedOut("stt", self._options.turn.transcript_deadline_s))
            self._turn.heard(self._turn.text, settled=True, now=self.position_s)
        self._forward(now)

    def _close(self, reason: str, end_s: float, now: float) -> None:
        turn = self._turn
        number, stopped_s = turn.number, turn.stopped_s
        answerable = turn.worth_answering(self.position_s)
        draft = turn.commit(reason, end_s)
        self._forward(now)
        self._out.append(
            TurnOver(
                number,
                reason,
                self._start_s,
                end_s,
                stopped_s,
                answerable,
                draft.number if draft is not None else None,
            )
        )
        self._begin_anew(end_s)

    def _commit(self, end_s: float, now: float) -> None:
        turn = self._turn
        self._windows.clear()
        start_s = self.keep_from_s
        self._pass_all(end_s, now)
        turn.discard("client_committed")  # a commit by the client asks for no answer
        number, stopped_s = (turn.number, turn.stopped_s) if turn.open else (0, None)
        answerable = turn.worth_answering(self.position_s)
        turn.commit("manual", end_s)
        self._forward(now)
        self._out.append(TurnOver(number, "manual", min(start_s, end_s), end_s, stopped_s, answerable, None))
        self._begin_anew(end_s)

    def _begin_anew(self, end_s: float) -> None:
        """What is heard from there on belongs to another turn."""
        self._new_gate()
        self._settle_s, self._question, self._quiet, self._holds = None, None, None, False
        self._floor_s = max(self._floor_s, end_s)
        self._passed_s = max(self._passed_s, self._floor_s)
        self.position_s = max(self.position_s, self._floor_s)

    def _forward(self, now: float) -> None:
        """Say what the turn has decided."""
        while self._made:
            action = self._made.popleft()
            match action:
                case do.OpenTurn(turn=turn):
                    self._out.append(TurnBegan(turn, self._start_s))
                case do.AskPrediction(question=question):
                    self._question = (question, now)
                    self._out.append(action)
                case do.Settle():
                    self._settle_s = now + self._backlog.allowance_s(now)
                    self._out.append(action)
                case do.SpeechStarts() | do.SpeechStops() | do.Prepare() | do.Discard():
                    self._out.append(action)
                case _:
                    pass  # its commit or clear: told with all that belongs to it
