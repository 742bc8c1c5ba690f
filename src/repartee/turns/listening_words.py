"""What the listening engine is told, and what it decides; all positions are seconds of the session's audio."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from repartee.turns import actions as do
from repartee.turns import facts
from repartee.turns.options import TurnOptions
from repartee.turns.speech import SpeechGateOptions

__all__ = [
    "Audio",
    "Clear",
    "Commit",
    "ListeningAction",
    "ListeningFact",
    "ListeningOptions",
    "Pass",
    "Quiet",
    "TurnBegan",
    "TurnDropped",
    "TurnOver",
    "Window",
]


@dataclass(frozen=True, slots=True)
class ListeningOptions:
    """How to listen.

    Args:
        detects: whether turns are detected; otherwise a program commits (push-to-talk). Default ``True``.
        turn: the turn's options; of these, its deadlines are session time and ``max_turn_s`` is audio time.
        gate: how sure to be that it is speech.
        padding_s: audio from before the speech that goes along with it. Default 0.3.
        tail_s: how long the detector's probability stays high after speech has ended. Default 0.
    """

    detects: bool = True
    turn: TurnOptions = field(default_factory=TurnOptions)
    gate: SpeechGateOptions = field(default_factory=SpeechGateOptions)
    padding_s: float = 0.3
    tail_s: float = 0.0


# -- facts -----------------------------------------------------------------------------------------------------
# Those that come or go with every piece of audio are Structs: making one costs a seventh of a frozen dataclass.


class Window(msgspec.Struct, frozen=True, gc=False):
    """The detector's result for the audio up to ``end_s``."""

    probability: float
    end_s: float


class Audio(msgspec.Struct, frozen=True, gc=False):
    """There is audio up to there; where turns are not detected."""

    end_s: float


@dataclass(frozen=True, slots=True)
class Quiet:
    """No audio has come for a while, and all windows of what came were told."""

    end_s: float
    """Where the audio ends."""
    since_s: float
    """Session time at which the last of it came."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A program closes the turn: all audio up to there belongs to it."""

    end_s: float


@dataclass(frozen=True, slots=True)
class Clear:
    """A program drops all audio up to there."""

    end_s: float


ListeningFact = Window | Audio | Quiet | Commit | Clear | facts.Heard | facts.Prediction


# -- actions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TurnBegan:
    """The caller speaks: a turn begins."""

    turn: int
    start_s: float
    """Where its audio begins, padding included."""


class Pass(msgspec.Struct, frozen=True, gc=False):
    """This audio goes to the model. One begins where the one before ended, or later."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class TurnOver:
    """The turn is to be committed."""

    turn: int
    """Its number; 0 where a program commits and nobody has spoken."""
    reason: str
    """As in `CommitInput`: ``"silence"``, ``"end of turn"``, ``"ceiling"`` or ``"manual"``."""
    start_s: float
    end_s: float
    """Its audio, the silence at its end included."""
    speech_end_s: float | None
    """Where the speech ended; ``None``: the caller speaks still, or has not spoken."""
    answerable: bool
    """Whether something was said."""
    draft: int | None
    """The prepared answer, if it is still good."""


@dataclass(frozen=True, slots=True)
class TurnDropped:
    """The audio since the last turn is to be forgotten."""

    turn: int
    """Its number; 0 where nobody has spoken."""
    reason: str


ListeningAction = (
    TurnBegan
    | Pass
    | TurnOver
    | TurnDropped
    | do.SpeechStarts
    | do.SpeechStops
    | do.Settle
    | do.AskPrediction
    | do.Prepare
    | do.Discard
    | do.TimedOut
)
