"""The end-of-turn model: has the caller finished, going by the words so far and what came before them?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from repartee.chat import ChatContext

__all__ = ["TurnContext", "TurnDetector", "TurnDetectorCapabilities"]


@dataclass(frozen=True, slots=True)
class TurnContext:
    """What is known when the question is asked."""

    text: str
    """The open turn's words so far, as the recogniser gives them."""
    history: ChatContext
    """The conversation before it."""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class TurnDetectorCapabilities:
    """What a detector does."""

    languages: tuple[str, ...] = ("en",)
    threshold: float = 0.5
    """The probability at which its two kinds of mistake balance."""
    deadline_s: float = 0.3
    """When an answer is no longer waited for. A late answer never holds up a turn."""


class TurnDetector(ABC):
    """An end-of-turn model, shared by any number of sessions."""

    capabilities: TurnDetectorCapabilities = TurnDetectorCapabilities()

    @abstractmethod
    async def predict(self, context: TurnContext) -> float:
        """The probability, 0 to 1, that the caller has finished. Never blocks the event loop.

        Raises:
            ModelError: there is no answer.
        """

    async def prewarm(self) -> None:
        """Load what is needed, so the first answer is not late. Default: nothing."""

    async def aclose(self) -> None:
        """Release shared resources. Default: nothing."""
