"""A caller, a recogniser, models and a player around an engine, all by the numbers of one seed."""

from __future__ import annotations

import heapq
from random import Random

from repartee.turns import actions as do
from repartee.turns import facts
from tests.turns.driver import Talk

SAYINGS = ("hello", "what time is it", "yeah", "uh-huh", "no wait", "stop", "", "I'd like a table for two")


class Shell:
    """Carries out what the engine decides as the real shell would, and feeds what comes of it."""

    def __init__(self, talk: Talk, random: Random) -> None:
        self._talk = talk
        self._random = random
        self._due: list[tuple[float, int, facts.Fact]] = []
        self._count = 0
        self._seen = 0
        self._words: list[str] = []
        self._responses = 0
        self._gone: set[str] = set()

    def converse(self, seconds: float) -> None:
        """Talk for so long, then hang up: no speech begins after that."""
        self._plan_speech(seconds)
        while self._due:
            at_s, _, fact = heapq.heappop(self._due)
            self._talk.run(at_s)
            self._carry_out()
            if self._happens(fact):
                self._talk.tell(fact)
                self._carry_out()

    def _plan_speech(self, seconds: float) -> None:
        at_s = 0.0
        self._later(0.0, facts.Began())
        while at_s < seconds:
            at_s += self._random.choice([0.15, 0.4, 1.0, 3.0])
            if self._talk.options.mode != "model":
                self._later(at_s + 0.032, facts.Onset(at_s))
                if self._random.random() < 0.2:
                    self._later(at_s + 0.064, facts.OnsetDropped())
                    continue
            length_s = self._random.choice([0.12, 0.3, 0.8, 2.0])
            self._later(at_s + 0.096, facts.SpeechBegan(at_s))
            words = self._random.choice(SAYINGS)
            if words:
                self._later(at_s + 0.1 + length_s / 2, facts.Heard(words))
            at_s += length_s
            self._later(at_s + 0.064, facts.SpeechEnded(at_s))
            if self._talk.options.mode == "stt":
                self._later(at_s + 0.3, facts.Heard(words, settled=True, endpoint=True))

    def _later(self, at_s: float, fact: facts.Fact) -> None:
        self._count += 1
        heapq.heappush(self._due, (at_s, self._count, fact))

    def _happens(self, fact: facts.Fact) -> bool:
        """Whether it still does: a response that was cancelled plays no further."""
        match fact:
            case facts.ResponseStarted(request_id=request_id):
                return request_id not in self._gone
            case (
                facts.PlaybackStarted(response_id=response_id) | facts.ResponseEnded(response_id=response_id)
            ):
                return response_id not in self._gone
            case facts.PlaybackEnded(response_id=response_id):
                ended = f"ended {response_id}"
                if ended in self._gone:
                    return False
                self._gone.add(ended)
        return True

    def _carry_out(self) -> None:
        for at_s, action in self._talk.log[self._seen :]:
            self._seen += 1
            match action:
                case do.Settle():
                    if self._random.random() < 0.9:
                        words = self._random.choice(SAYINGS)
                        self._later(at_s + self._slow(0.1, 2.0), facts.Heard(words, settled=True))
                case do.AskPrediction(question=question):
                    probability = self._random.choice([None, 0.0, 0.3, 0.9, 1.0])
                    self._later(at_s + self._slow(0.03, 0.5), facts.Prediction(question, probability))
                case do.Start(request_id=request_id):
                    self._respond(request_id, at_s)
                case do.CommitInput(reason="model"):
                    pass
                case do.SpeechStops() if self._talk.options.mode == "model" and self._random.random() < 0.8:
                    self._respond(None, at_s)
                case do.Cancel(response_id=None, request_id=request_id):
                    self._gone.add(request_id or "")
                case do.Cancel(response_id=str() as response_id):
                    self._gone.add(response_id)
                    self._later(at_s + self._slow(0.01, 0.6), facts.PlaybackEnded(response_id))

    def _respond(self, request_id: str | None, at_s: float) -> None:
        self._responses += 1
        response_id = f"response {self._responses}"
        at_s += self._slow(0.05, 2.0)
        if self._random.random() < 0.05:
            return  # the model is gone
        self._later(at_s, facts.ResponseStarted(response_id, request_id))
        calls = int(self._random.random() < 0.1)
        if self._random.random() < 0.1:
            self._later(at_s + 0.2, facts.ResponseEnded(response_id, "failed", audio=False))
            return
        at_s += self._slow(0.1, 1.0)
        self._later(at_s, facts.PlaybackStarted(response_id))
        self._later(at_s + 0.5, facts.ResponseEnded(response_id, calls=calls))
        self._later(at_s + self._random.choice([0.6, 2.0, 6.0]), facts.PlaybackEnded(response_id))
        if calls:
            self._later(at_s + 1.0, facts.Request(f"follow-up {self._responses}", follow_up=True))

    def _slow(self, usual_s: float, worst_s: float) -> float:
        return usual_s if self._random.random() < 0.8 else self._random.uniform(usual_s, worst_s)
