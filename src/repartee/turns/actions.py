"""What the turn engine decides. The shell carries each action out, in order; each says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Action",
    "AskPrediction",
    "Cancel",
    "ClearInput",
    "CommitInput",
    "Discard",
    "Duck",
    "OpenTurn",
    "Pause",
    "Prepare",
    "Reject",
    "Resume",
    "SetAgentState",
    "SetUserState",
    "Settle",
    "SpeechStarts",
    "SpeechStops",
    "Start",
    "TimedOut",
]


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """The caller's audio belongs to a new turn from here on."""

    turn: int


@dataclass(frozen=True, slots=True)
class SpeechStarts:
    """Tell the consumer that the caller speaks."""

    turn: int
    at_s: float


@dataclass(frozen=True, slots=True)
class SpeechStops:
    """Tell the consumer that the caller is quiet."""

    turn: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Settle:
    """Get the words so far as final as can be."""

    turn: int


@dataclass(frozen=True, slots=True)
class AskPrediction:
    """Ask the end-of-turn model; answer with `Prediction` under this number."""

    question: int
    text: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """Begin to answer this text, unseen, in case the turn is over."""

    draft: int
    text: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Throw a prepared answer away."""

    draft: int
    reason: str


@dataclass(frozen=True, slots=True)
class CommitInput:
    """Close the caller's turn."""

    turn: int
    """Its number; 0 where a program commits and no turn is open (push-to-talk without a detector)."""
    reason: str
    """``"silence"``, ``"end of turn"`` (a model thought so), ``"recogniser"``, ``"ceiling"``, ``"manual"``, or
    ``"model"``: the conversational model has closed it already, and nothing is to be done but to forget it."""
    decided_s: float
    """When."""
    speech_end_s: float | None
    """When the caller's speech ended; ``None`` where they speak still."""


@dataclass(frozen=True, slots=True)
class ClearInput:
    """Drop the caller's turn: nothing was said that counts."""

    turn: int
    """Its number; 0 where a program clears and no turn is open."""
    reason: str
    """``"no words"``, ``"too short"``, ``"backchannel"``, ``"too few words"`` or ``"client_cleared"``."""


@dataclass(frozen=True, slots=True)
class Start:
    """Begin a response now: one that was asked for, or the answer to a turn.

    ``draft`` names the prepared answer to release instead of asking anew.
    """

    request_id: str
    turn: int | None = None
    draft: int | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A request can't be served."""

    request_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Duck:
    """Play at this volume (0 dB: full). Back at full when the floor is free, whatever came between."""

    db: float
    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop playing; keep the rest."""

    reason: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on playing. Each `Pause` has one, even where the response ended meanwhile: then nothing is left to play."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the floor holder's response, drop its unplayed audio, truncate its item at what was heard."""

    reason: str
    response_id: str | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A part did not answer in time; the engine went on without it."""

    stage: Literal["stt", "response", "playback", "tool"]
    after_s: float


@dataclass(frozen=True, slots=True)
class SetUserState:
    """The caller's state changed."""

    state: Literal["listening", "speaking", "away"]


@dataclass(frozen=True, slots=True)
class SetAgentState:
    """The agent's state changed."""

    state: Literal["listening", "thinking", "speaking"]


Action = (
    OpenTurn
    | SpeechStarts
    | SpeechStops
    | Settle
    | AskPrediction
    | Prepare
    | Discard
    | CommitInput
    | ClearInput
    | Start
    | Reject
    | Duck
    | Pause
    | Resume
    | Cancel
    | TimedOut
    | SetUserState
    | SetAgentState
)
