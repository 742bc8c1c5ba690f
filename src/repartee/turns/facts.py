"""What the turn engine is told. A fact is something that happened; the engine decides what to do about it.

Requests and responses are known by opaque ids that the shell chooses; turns are numbered by the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Began",
    "Clear",
    "Commit",
    "Fact",
    "Heard",
    "Interrupt",
    "Onset",
    "OnsetDropped",
    "PlaybackEnded",
    "PlaybackStarted",
    "Prediction",
    "Request",
    "ResponseEnded",
    "ResponseStarted",
    "SpeechBegan",
    "SpeechEnded",
    "ToolsDone",
    "Withdraw",
]


@dataclass(frozen=True, slots=True)
class Onset:
    """Something that may be speech began."""

    at_s: float


@dataclass(frozen=True, slots=True)
class OnsetDropped:
    """It did not last."""


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """The caller speaks, since ``at_s``."""

    at_s: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The caller has been quiet since ``at_s``."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """How the open turn reads: the whole of it."""

    text: str
    settled: bool = False
    """The words of what was said so far won't change any more."""
    endpoint: bool = False
    """The recogniser itself says that the turn is over (mode ``"stt"``)."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The end-of-turn model's answer; ``None`` where it has none."""

    question: int
    probability: float | None


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks for a response: a program, or a typed message."""

    request_id: str
    interruptible: bool = True
    follow_up: bool = False
    """Whether it carries on after functions have run; then it goes before everything that waits."""


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """The model began a response; ``request_id`` is ``None`` where it did so by itself."""

    response_id: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseEnded:
    """The model's part of a response is over."""

    response_id: str
    status: Literal["completed", "cancelled", "incomplete", "failed"] = "completed"
    audio: bool = True
    """Whether it gave any audio that is to be played."""
    calls: int = 0
    """How many functions it asks for."""


@dataclass(frozen=True, slots=True)
class PlaybackStarted:
    """A response is heard for the first time."""

    response_id: str


@dataclass(frozen=True, slots=True)
class PlaybackEnded:
    """Nothing more of a response will be heard."""

    response_id: str


@dataclass(frozen=True, slots=True)
class ToolsDone:
    """Functions have run, and no further response follows from them."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A program stops the agent."""

    reason: str = "client_cancelled"
    queue: bool = True
    """Whether what waits for the floor is dropped too."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """A request that waits for the floor is taken back."""

    request_id: str
    reason: str = "client_cancelled"


@dataclass(frozen=True, slots=True)
class Commit:
    """A program closes the caller's turn (push-to-talk). The model answers only if asked to."""


@dataclass(frozen=True, slots=True)
class Clear:
    """A program drops what the caller has said since the last turn."""


@dataclass(frozen=True, slots=True)
class Began:
    """The session runs from here on."""


Fact = (
    Began
    | Onset
    | OnsetDropped
    | SpeechBegan
    | SpeechEnded
    | Heard
    | Prediction
    | Request
    | ResponseStarted
    | ResponseEnded
    | PlaybackStarted
    | PlaybackEnded
    | ToolsDone
    | Interrupt
    | Withdraw
    | Commit
    | Clear
)
