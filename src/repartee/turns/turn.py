"""`Turn`: what the caller is saying, and whether they have finished.

Theory of operation. A turn opens with speech and may have several stretches of it. In each silence two questions
run side by side: what exactly was said (*settle*), and is that all (*prediction*)? The answers move one deadline,
`endpoint_s`: speech end plus the delay that the endpointing policy gives for the probability, but not before the words
are settled (or late), and not before the end-of-turn model has answered (or is late). More speech cancels the
deadline; reaching it closes the turn.

Where the conversational model takes turns itself (mode ``"model"``), none of this is asked: the turn is closed when the
model begins to answer, or has not for ``transcript_deadline_s``.

While it waits, an answer may be prepared (*draft*). A draft is keyed on the normalised words it answers: it stays
good while they stay the same, through a cough as well as through a pause, and is thrown away when they change.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from repartee.turns import actions as do
from repartee.turns.interruption import normalise, reached
from repartee.turns.options import TurnOptions
from repartee.turns.tables import TURN_TABLE, TurnState, step

__all__ = ["Draft", "Turn"]


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer being prepared."""

    number: int
    key: str


class Turn:
    """The caller's open turn. Decisions are appended to ``out``."""

    __slots__ = (
        "_asked_key",
        "_asked_s",
        "_drafted",
        "_options",
        "_out",
        "_questions",
        "_settle_s",
        "_stretch_s",
        "draft",
        "number",
        "onset_s",
        "probability",
        "settled",
        "shelved_s",
        "spoken_s",
        "started_s",
        "state",
        "stopped_s",
        "text",
        "total_drafts",
    )

    def __init__(self, options: TurnOptions, out: deque[do.Action]) -> None:
        self._options = options
        self._out = out
        self._questions = 0
        self.total_drafts = 0
        self.number = 0
        self.state = TurnState.IDLE
        self.onset_s: float | None = None
        self._reset()

    def _reset(self) -> None:
        self.text = ""
        self.settled = False
        self.probability: float | None = None
        self.draft: Draft | None = None
        self.started_s: float | None = None
        self.stopped_s: float | None = None
        self.spoken_s = 0.0
        self._asked_key: str | None = None
        self._asked_s: float | None = None
        self._settle_s: float | None = None
        self._stretch_s = 0.0
        self.shelved_s: float | None = None
        """Until when it is kept although it did not take the floor: it may be an answer to the reply's end."""
        self._drafted = 0

    def configure(self, options: TurnOptions) -> None:
        """Go by other options from the next fact on."""
        self._options = options

    @property
    def open(self) -> bool:
        """Whether the caller has said something that is not answered for yet."""
        return self.state is not TurnState.IDLE

    # -- speech ------------------------------------------------------------------------------------------------

    def speech(self, at_s: float, now: float) -> None:
        """The caller speaks, for the first time or again."""
        self.onset_s = None
        if self.state is TurnState.SPEAKING:
            return
        first = self.state is TurnState.IDLE
        if self.stopped_s is not None:
            self._options.endpointing.learn(max(0.0, at_s - self.stopped_s))
        self.state = step(TURN_TABLE, self.state, "speech")
        if first:
            self.number += 1
            self.started_s = at_s
            self._out.append(do.OpenTurn(self.number))
        self.stopped_s, self.settled, self._settle_s, self.shelved_s = None, False, None, None
        self.probability, self._asked_s, self._asked_key = None, None, None
        self._stretch_s = at_s
        self._out.append(do.SpeechStarts(self.number, at_s))

    def silence(self, at_s: float, now: float) -> None:
        """The caller is quiet since ``at_s``."""
        if self.state is not TurnState.SPEAKING:
            return
        self.state = step(TURN_TABLE, self.state, "silence")
        self.stopped_s = at_s = max(at_s, self._stretch_s)
        self.spoken_s += at_s - self._stretch_s
        self._out.append(do.SpeechStops(self.number, at_s))
        if self._options.transcribes and self._options.mode != "model":
            self._settle_s = now
            self._out.append(do.Settle(self.number))
        else:
            self._ask(now)

    # -- words and probability ---------------------------------------------------------------------------------

    def heard(self, text: str, *, settled: bool, now: float) -> None:
        """The words so far, anew."""
        if not self.open:
            return
        self.text = text
        if self.draft is not None and normalise(text) != self.draft.key:
            self.discard("the words changed")
        if settled and self.state is TurnState.ENDPOINTING:
            self.settled = True
            if normalise(text) != self._asked_key:  # the same words twice are no new question
                self._ask(now)

    def _ask(self, now: float) -> None:
        """What do the words mean for the end of the turn? Ask, where there is somebody to ask."""
        self._asked_key = normalise(self.text)
        if self._options.predicts and (normalise(self.text) or not self._options.transcribes):
            self._questions += 1
            self._asked_s = now
            self._out.append(do.AskPrediction(self._questions, self.text))
        else:
            self.prepare()

    def predicted(self, question: int, probability: float | None) -> None:
        """The end-of-turn model's answer. One to an older question is ignored."""
        if question != self._questions or self._asked_s is None:
            return
        self._asked_s = None
        if self.state is TurnState.ENDPOINTING:
            self.probability = probability
            if probability is None or probability >= self._options.speculation.min_probability:
                self.prepare()

    # -- drafts ------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Begin to answer the words so far, if that is wanted and worth it."""
        speculation = self._options.speculation
        key = normalise(self.text)
        if (
            not (self._options.prepares and speculation.enabled and key)
            or self.state is not TurnState.ENDPOINTING
            or self.draft is not None
            or self._drafted >= speculation.max_per_turn
            or self._options.mode in ("manual", "model")
        ):
            return
        self._drafted += 1
        self.total_drafts += 1
        self.draft = Draft(self.total_drafts, key)
        self._out.append(do.Prepare(self.total_drafts, self.text))

    def discard(self, reason: str) -> None:
        """Throw the prepared answer away, if there is one."""
        if self.draft is not None:
            self._out.append(do.Discard(self.draft.number, reason))
            self.draft = None

    # -- the end -----------------------------------------------------------------------------------------------

    def endpoint_s(self) -> float | None:
        """When the turn closes if nothing more happens."""
        options = self._options
        if self.state is TurnState.SPEAKING:
            return (self.started_s or 0.0) + options.max_turn_s
        if self.stopped_s is None or options.mode == "manual":
            return None
        if options.mode == "model":
            return self.stopped_s + options.transcript_deadline_s
        if self.shelved_s is not None:
            return self.shelved_s
        at = self.stopped_s + options.endpointing.delay_s(self.probability)
        if self._asked_s is not None:
            at = max(at, self._asked_s + options.prediction_deadline_s)
        if self._settle_s is not None and not self.settled:
            at = max(at, self._settle_s + options.transcript_deadline_s)
        onset = self.onset_deadline_s()
        return at if onset is None else max(at, onset)

    def onset_deadline_s(self) -> float | None:
        """When an onset that was neither confirmed nor dropped counts as dropped: the audio has stopped."""
        return self.onset_s + _ONSET_LASTS_S if self.onset_s is not None else None

    def worth_answering(self, now: float) -> bool:
        """Whether something was said: words, or where there are none to go by, speech that lasted."""
        if normalise(self.text):
            return True
        if self._options.transcribes and self._options.needs_words:
            return False
        going_on_s = now - self._stretch_s if self.state is TurnState.SPEAKING else 0.0
        return reached((self.spoken_s + going_on_s) * 1000.0, self._options.min_turn_ms)

    @property
    def late_words(self) -> bool:
        """Whether the recogniser owes the words of this turn."""
        return self._settle_s is not None and not self.settled

    def commit(self, reason: str, now: float) -> Draft | None:
        """Close it; the prepared answer, if there is one. Where no turn is open, what is closed is number 0."""
        draft = self.draft  # still good: `heard` throws it away as soon as the words change
        self._out.append(do.CommitInput(self.number if self.open else 0, reason, now, self.stopped_s))
        self.state = step(TURN_TABLE, self.state, "commit")
        self._reset()
        return draft

    def clear(self, reason: str) -> None:
        """Drop it: nothing was said that counts. Where no turn is open, what is dropped is number 0."""
        self.discard(reason)
        self._out.append(do.ClearInput(self.number if self.open else 0, reason))
        self.state = step(TURN_TABLE, self.state, "clear")
        self._reset()


# An onset is confirmed or dropped within a few windows, unless the audio stops in between.
_ONSET_LASTS_S = 1.0
