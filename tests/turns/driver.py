"""Drives a `TurnEngine` by hand: facts at times, its timer in between, and rules that always hold."""

from __future__ import annotations

from repartee.turns import FloorState, TurnEngine, TurnOptions, TurnState, facts, normalise
from repartee.turns import actions as do

STEPS_MAX = 2_000
"""More timeouts in a row than any conversation here has: the engine would be going round in circles."""


class Talk:
    """An engine, its timer, and what it decided when.

    Every step is checked against the rules at the end of this class; they know the engine only from outside, by
    facts and actions.
    """

    def __init__(self, options: TurnOptions | None = None, *, onset_lasts_s: float = 1.0) -> None:
        self.engine = TurnEngine(options)
        self.options = self.engine.options
        self.now = 0.0
        self.log: list[tuple[float, do.Action]] = []
        self._told = 0
        self._onset_lasts_s = onset_lasts_s
        self._onset_s: float | None = None
        self._words = ""
        self._turns: set[int] = set()
        self.drafts: set[int] = set()
        self._gain_db = 0.0
        self._paused = False
        self._user = self._agent = "listening"
        self._holder: str | None = None
        """The request or response that has the floor, as far as can be told from outside."""

    # -- time and facts ----------------------------------------------------------------------------------------

    def at(self, now: float, *told: facts.Fact) -> list[do.Action]:
        """Let time go on to ``now``, tell facts, and return what was decided since the last look."""
        self.run(now)
        for fact in told:
            self.tell(fact)
        return self.look()

    def tell(self, fact: facts.Fact) -> None:
        """Tell one fact, now."""
        self._before(fact)
        self.engine.receive(fact, self.now)
        self._drain()

    def run(self, until_s: float) -> None:
        """Let time go on, with a timer that is punctual."""
        for _ in range(STEPS_MAX):
            deadline = self.engine.deadline()
            if deadline is None or deadline > until_s:
                self.now = max(self.now, until_s)
                return
            self.now = max(self.now, deadline)
            if self._onset_s is not None and self.now >= self._onset_s + self._onset_lasts_s:
                self._onset_s = None
            self.engine.timeout(self.now)
            self._drain()
            after = self.engine.deadline()
            assert after is None or after > self.now, f"the deadline {after} is due still at {self.now}"
        raise AssertionError(f"{STEPS_MAX} timeouts before {until_s} s")

    def look(self) -> list[do.Action]:
        """What was decided since the last look."""
        new = [action for _, action in self.log[self._told :]]
        self._told = len(self.log)
        return new

    def timed(self, since_s: float = 0.0) -> list[tuple[float, do.Action]]:
        """What was decided since a time, and when, to the microsecond."""
        return [(round(at_s, 6), action) for at_s, action in self.log if at_s >= since_s]

    def times(self, kind: type[do.Action]) -> list[float]:
        """When actions of a kind were decided, over the whole talk."""
        return [round(at_s, 6) for at_s, action in self.log if isinstance(action, kind)]

    def all(self, kind: type[do.Action]) -> list[do.Action]:
        """The actions of a kind, over the whole talk."""
        return [action for _, action in self.log if isinstance(action, kind)]

    def settle_down(self) -> None:
        """Tell nothing more except that what is heard ends, and see that everything has ended."""
        for _ in range(STEPS_MAX):
            while self.engine.deadline() is not None:
                self.run(self.engine.deadline() or 0.0)
            floor = self.engine.state[1]
            if floor is FloorState.IDLE:
                break
            assert floor is FloorState.SPEAKING, f"{floor} has no deadline"
            assert self.engine.holder_response_id is not None
            self.tell(facts.PlaybackEnded(self.engine.holder_response_id))
        assert floor is FloorState.IDLE
        assert self._gain_db == 0.0
        assert not self._paused
        if self.options.mode == "manual":
            self.tell(facts.Clear())  # there, only a program closes a turn
            self.run(self.now + 1_000.0)
        assert self.engine.state == (TurnState.IDLE, FloorState.IDLE)
        assert self.engine.waiting == 0
        assert not self.drafts, f"drafts {self.drafts} are neither used nor discarded"
        assert not self._turns, f"turns {self._turns} are neither committed nor cleared"

    # -- rules -------------------------------------------------------------------------------------------------

    def _before(self, fact: facts.Fact) -> None:
        match fact:
            case facts.Onset(at_s=at_s):
                self._onset_s = min(at_s, self.now)
            case facts.OnsetDropped() | facts.SpeechBegan():
                self._onset_s = None
            case facts.Heard(text=text) if self.engine.turn_open:
                self._words = text
            case facts.ResponseStarted(response_id=response_id, request_id=None):
                self._holder = response_id
            case _:
                pass

    def _drain(self) -> None:
        started = False
        while (action := self.engine.next_action()) is not None:
            self.log.append((self.now, action))
            self._check(action)
            if isinstance(action, do.Start):
                assert not started, "two responses were started at once"
                started = True
        turn, floor = self.engine.state
        may_speak = turn is not TurnState.IDLE or self._onset_s is not None
        if started:
            assert floor is FloorState.THINKING
            assert self.options.mode == "manual" or not may_speak, "it starts while the caller has the floor"
        if floor in (FloorState.DUCKED, FloorState.PAUSED):
            assert may_speak, f"{floor}, and nobody speaks"
        if floor is FloorState.IDLE:
            assert self._gain_db == 0.0, "it stays ducked"
            assert not self._paused, "it stays paused"
            self._holder = None
        assert self.engine.waiting <= self.options.queue_max

    def _check(self, action: do.Action) -> None:
        match action:
            case do.Start(request_id=request_id, draft=draft):
                assert self._gain_db == 0.0
                assert not self._paused
                self._holder = request_id
                if draft is not None:
                    self.drafts.remove(draft)
            case do.Cancel(response_id=response_id, request_id=request_id):
                assert response_id is not None or request_id is not None
                assert self._holder in (response_id, request_id) or self._holder is not None
                self._holder = None
            case do.Prepare(draft=draft, text=text):
                assert normalise(text)
                assert draft not in self.drafts
                self.drafts.add(draft)
            case do.Discard(draft=draft):
                self.drafts.remove(draft)
            case do.Duck(db=db):
                assert (db < 0.0) == (self._gain_db == 0.0), f"{db} dB after {self._gain_db} dB"
                self._gain_db = db
            case do.Pause():
                assert not self._paused
                self._paused = True
            case do.Resume():
                assert self._paused
                self._paused = False
            case _:
                self._check_turn(action)

    def _check_turn(self, action: do.Action) -> None:
        match action:
            case do.OpenTurn(turn=turn):
                assert not self._turns, "a turn opens while another is open"
                self._turns.add(turn)
                self._words = ""
            case do.CommitInput(turn=turn, reason=reason):
                if turn:
                    self._turns.remove(turn)
                else:
                    assert reason == "manual"
                if self.options.transcribes and reason not in ("manual", "model"):
                    assert normalise(self._words), "a turn without words was committed"
            case do.ClearInput(turn=turn, reason=reason):
                if turn:
                    self._turns.remove(turn)
                else:
                    assert reason == "client_cleared"
            case do.SetUserState(state=user):
                assert user != self._user
                self._user = user
            case do.SetAgentState(state=agent):
                assert agent != self._agent
                self._agent = agent
            case _:
                pass
