"""The turn engine's configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from repartee.errors import ConfigurationError
from repartee.turns.endpointing import Endpointing, FixedEndpointing
from repartee.turns.interruption import InterruptionOptions

__all__ = ["SpeculationOptions", "TurnMode", "TurnOptions"]

TurnMode = Literal["vad", "stt", "model", "manual"]
"""Who says that a turn is over: silence after speech (with or without an end-of-turn model), the recogniser's own
endpointing, the conversational model itself, or a program (push-to-talk)."""


@dataclass(frozen=True, slots=True)
class SpeculationOptions:
    """Whether an answer is prepared while the caller may still go on.

    Args:
        enabled: Default ``True``.
        min_probability: below this probability that the turn is over, none is prepared. Default 0.1.
        max_per_turn: how many may be begun for one turn. Default 3.
    """

    enabled: bool = True
    min_probability: float = 0.1
    max_per_turn: int = 3

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_probability <= 1.0:
            raise ConfigurationError(f"min_probability is {self.min_probability}; it must be between 0 and 1")
        if self.max_per_turn < 1:
            raise ConfigurationError(f"max_per_turn is {self.max_per_turn}; it must be 1 or more")


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """How a conversation takes turns.

    Args:
        mode: who says that a turn is over. Default ``"vad"``.
        endpointing: how long silence must last. Default: 500 ms.
        interruption: whether and how the caller may interrupt.
        speculation: whether answers are prepared before the turn is over.
        predicts: there is an end-of-turn model to ask.
        transcribes: the caller's words arrive as `Heard`.
        needs_words: speech in which the recogniser found none is no turn. Default: yes; not where it only listens
            beside a model that hears by itself.
        prepares: the model can prepare an answer that may be thrown away.
        prediction_deadline_s: how long to wait for the end-of-turn model. Default 0.3.
        transcript_deadline_s: how long to wait for the words of a turn that is over; in mode ``"model"``, for the
            model to begin its answer. Default 2.5.
        response_deadline_s: how long an answer may take until it is heard. Default 30.
        tool_deadline_s: how long functions may run before the agent counts as idle again. Default 120.
        clear_deadline_s: how long the output may take to say where it stopped. Default 0.5.
        max_turn_s: when a caller who never stops is answered all the same. Default 120.
        min_turn_ms: speech shorter than this is no turn where there are no words to go by. Default 200.
        away_after_s: silence of both after which the caller counts as away; ``None`` for never. Default 15.
        queue_max: how many requests may wait for the floor; one more is rejected. Default 16.
    """

    mode: TurnMode = "vad"
    endpointing: Endpointing = field(default_factory=FixedEndpointing)
    interruption: InterruptionOptions = field(default_factory=InterruptionOptions)
    speculation: SpeculationOptions = field(default_factory=SpeculationOptions)
    predicts: bool = False
    transcribes: bool = True
    needs_words: bool = True
    prepares: bool = False
    prediction_deadline_s: float = 0.3
    transcript_deadline_s: float = 1.5
    response_deadline_s: float = 30.0
    tool_deadline_s: float = 120.0
    clear_deadline_s: float = 0.5
    max_turn_s: float = 120.0
    min_turn_ms: float = 200.0
    away_after_s: float | None = 15.0
    queue_max: int = 16

    def __post_init__(self) -> None:
        for name in (
            "prediction_deadline_s",
            "transcript_deadline_s",
            "response_deadline_s",
            "tool_deadline_s",
            "clear_deadline_s",
            "max_turn_s",
        ):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.away_after_s is not None and not self.away_after_s > 0:
            raise ConfigurationError(
                f"away_after_s is {self.away_after_s}; it must be above 0, or None for never"
            )
        if self.min_turn_ms < 0:
            raise ConfigurationError(f"min_turn_ms is {self.min_turn_ms}; it must be 0 or more")
        if self.queue_max < 1:
            raise ConfigurationError("queue_max must be 1 or more")
