"""The transition tables of the two machines that take turns, and the check that nothing else ever happens.

The caller's *turn* and the agent's hold on the *floor* change independently, so each has its own table; what joins
them (the caller's words end the agent's reply) is in `repartee.turns.engine`. A transition that is not in a table
raises: the state diagrams in the docs are generated from these dicts, so they can't be wrong either.
"""

from __future__ import annotations

import enum
from typing import Final, TypeVar

from repartee.errors import StateError

__all__ = ["FLOOR_TABLE", "TURN_TABLE", "FloorState", "TurnState", "step"]


class TurnState(enum.Enum):
    """The caller's turn."""

    IDLE = "idle"
    """Nothing said since the last turn."""
    SPEAKING = "speaking"
    """Speech is confirmed."""
    ENDPOINTING = "endpointing"
    """Quiet; the turn is open until it is decided whether it is over."""


class FloorState(enum.Enum):
    """The agent's hold on the floor."""

    IDLE = "idle"
    """Nobody answers."""
    THINKING = "thinking"
    """A response is on its way; none of it has been heard."""
    SPEAKING = "speaking"
    """It is heard."""
    DUCKED = "ducked"
    """It is heard, at low volume: somebody may be speaking."""
    PAUSED = "paused"
    """It waits: somebody speaks, and it is not clear yet whether they want the floor."""
    CLEARING = "clearing"
    """It was cancelled; the output has not said yet where it stopped."""


TURN_TABLE: Final[dict[tuple[TurnState, str], TurnState]] = {
    (TurnState.IDLE, "speech"): TurnState.SPEAKING,
    (TurnState.IDLE, "commit"): TurnState.IDLE,
    (TurnState.IDLE, "clear"): TurnState.IDLE,
    (TurnState.SPEAKING, "silence"): TurnState.ENDPOINTING,
    (TurnState.SPEAKING, "commit"): TurnState.IDLE,
    (TurnState.SPEAKING, "clear"): TurnState.IDLE,
    (TurnState.ENDPOINTING, "speech"): TurnState.SPEAKING,
    (TurnState.ENDPOINTING, "commit"): TurnState.IDLE,
    (TurnState.ENDPOINTING, "clear"): TurnState.IDLE,
}

FLOOR_TABLE: Final[dict[tuple[FloorState, str], FloorState]] = {
    (FloorState.IDLE, "start"): FloorState.THINKING,
    (FloorState.THINKING, "heard"): FloorState.SPEAKING,
    (FloorState.THINKING, "pause"): FloorState.PAUSED,
    (FloorState.THINKING, "finish"): FloorState.IDLE,
    (FloorState.THINKING, "cancel"): FloorState.CLEARING,
    (FloorState.THINKING, "drop"): FloorState.IDLE,
    (FloorState.SPEAKING, "duck"): FloorState.DUCKED,
    (FloorState.SPEAKING, "pause"): FloorState.PAUSED,
    (FloorState.SPEAKING, "finish"): FloorState.IDLE,
    (FloorState.SPEAKING, "cancel"): FloorState.CLEARING,
    (FloorState.DUCKED, "unduck"): FloorState.SPEAKING,
    (FloorState.DUCKED, "pause"): FloorState.PAUSED,
    (FloorState.DUCKED, "finish"): FloorState.IDLE,
    (FloorState.DUCKED, "cancel"): FloorState.CLEARING,
    (FloorState.PAUSED, "resume"): FloorState.SPEAKING,
    (FloorState.PAUSED, "think on"): FloorState.THINKING,
    (FloorState.PAUSED, "heard"): FloorState.PAUSED,
    (FloorState.PAUSED, "finish"): FloorState.IDLE,
    (FloorState.PAUSED, "cancel"): FloorState.CLEARING,
    (FloorState.PAUSED, "drop"): FloorState.IDLE,
    (FloorState.CLEARING, "finish"): FloorState.IDLE,
}

S = TypeVar("S", bound=enum.Enum)


def step(table: dict[tuple[S, str], S], state: S, trigger: str) -> S:
    """The state that follows.

    Raises:
        StateError: the table has no such transition, which is a fault of the engine's.
    """
    try:
        return table[state, trigger]
    except KeyError:
        raise StateError(f"no transition {trigger!r} from {type(state).__name__}.{state.name}") from None
