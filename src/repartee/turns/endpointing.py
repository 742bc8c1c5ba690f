"""Endpointing: how long to wait in silence before the caller's turn counts as over.

Theory of operation. Waiting costs the caller time, and not waiting risks cutting them off. Let ``p`` be the
probability that they have finished, let pauses inside a turn last exponentially long with mean ``pause_s``, and let a
cut-off be worth ``patience_s`` seconds of waiting. After ``t`` seconds of silence, an unfinished caller is still silent
with probability ``exp(-t / pause_s)``, so one more moment of waiting is worth it while

    patience_s · (1 - p) / pause_s · exp(-t / pause_s) > 1,
    that is, t < pause_s · ln(patience_s · (1 - p) / pause_s).

The best delay is that bound, held between a minimum and a maximum: a continuous function of the probability, long for
an unsure detector and short for a sure one. `SemanticEndpointing` is this formula; `DynamicEndpointing` also learns
``pause_s`` from the pauses after which this caller went on; `FixedEndpointing` ignores the probability.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from repartee.errors import ConfigurationError

__all__ = ["DynamicEndpointing", "Endpointing", "FixedEndpointing", "SemanticEndpointing"]


class Endpointing(Protocol):
    """Decides how long to wait. All times are seconds since the caller's speech ended.

    Each conversation works on its own copy (`copy.copy`), since what a policy learns belongs to one caller.
    """

    def delay_s(self, probability: float | None) -> float:
        """How long to wait, given the probability that the turn is over (``None``: nobody knows)."""
        ...

    def learn(self, pause_s: float) -> None:
        """The caller went on after a pause of that length."""
        ...

    @property
    def ceiling_s(self) -> float:
        """The longest it ever waits."""
        ...


@dataclass(frozen=True, slots=True)
class FixedEndpointing:
    """The same silence always.

    Args:
        silence_ms: how long. Default 500.

    Raises:
        ConfigurationError: it is negative.
    """

    silence_ms: float = 500.0

    def __post_init__(self) -> None:
        if self.silence_ms < 0:
            raise ConfigurationError(f"silence_ms is {self.silence_ms}; it must be 0 or more")

    def delay_s(self, probability: float | None) -> float:
        """``silence_ms``, whatever the probability."""
        return self.silence_ms / 1000.0

    def learn(self, pause_s: float) -> None:
        """Nothing to learn."""

    @property
    def ceiling_s(self) -> float:
        """``silence_ms``."""
        return self.silence_ms / 1000.0


@dataclass(frozen=True, slots=True)
class SemanticEndpointing:
    """Waits by the probability (see the module's text).

    Args:
        min_ms: never less. Default 250.
        max_ms: never more, whatever the detector says: it may have been misled by a misheard word. Default 1600.
        fallback_ms: where there is no probability. Default 500.
        pause_s: mean length of a pause inside a turn. Default 0.6.
        patience_s: how many seconds of waiting one cut-off is worth. Default 8.

    Raises:
        ConfigurationError: ``min_ms`` is above ``max_ms``, or a value is not positive.
    """

    min_ms: float = 250.0
    max_ms: float = 1600.0
    fallback_ms: float = 500.0
    pause_s: float = 0.6
    patience_s: float = 8.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_ms <= self.max_ms:
            raise ConfigurationError(
                f"min_ms ({self.min_ms}) must be 0 or more and not above max_ms ({self.max_ms})"
            )
        if self.pause_s <= 0 or self.patience_s <= 0 or self.fallback_ms < 0:
            raise ConfigurationError("pause_s and patience_s must be above 0, fallback_ms not below 0")

    def delay_s(self, probability: float | None) -> float:
        """The best time to wait for this probability."""
        return self._best(probability, self.pause_s)

    def learn(self, pause_s: float) -> None:
        """Nothing to learn."""

    @property
    def ceiling_s(self) -> float:
        """``max_ms``."""
        return self.max_ms / 1000.0

    def _best(self, probability: float | None, pause_s: float) -> float:
        if probability is None or math.isnan(probability):
            wanted = self.fallback_ms / 1000.0
        else:
            doubt = self.patience_s * (1.0 - min(max(probability, 0.0), 1.0)) / pause_s
            wanted = pause_s * math.log(doubt) if doubt > 0.0 else 0.0
        return min(max(wanted, self.min_ms / 1000.0), self.max_ms / 1000.0)


class DynamicEndpointing:
    """`SemanticEndpointing` with this caller's own mean pause.

    Args:
        base: where to start, and the bounds.
        weight: of each new pause in the running mean. Default 0.2.
    """

    __slots__ = ("_base", "_pause_s", "_weight")

    def __init__(self, base: SemanticEndpointing | None = None, *, weight: float = 0.2) -> None:
        if not 0.0 < weight <= 1.0:
            raise ConfigurationError(f"weight is {weight}; it must be above 0 and not above 1")
        self._base = base if base is not None else SemanticEndpointing()
        self._pause_s = self._base.pause_s
        self._weight = weight

    @property
    def pause_s(self) -> float:
        """The mean pause learned so far."""
        return self._pause_s

    def delay_s(self, probability: float | None) -> float:
        """The best time to wait for this probability and this caller."""
        return self._base._best(probability, self._pause_s)

    def learn(self, pause_s: float) -> None:
        """Move the mean towards this pause."""
        self._pause_s += self._weight * (min(max(pause_s, 0.1), 3.0) - self._pause_s)

    @property
    def ceiling_s(self) -> float:
        """The base's ``max_ms``."""
        return self._base.ceiling_s
