"""A `TurnDetector` that knows beforehand who has finished."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from repartee.models import TurnContext, TurnDetector, TurnDetectorCapabilities
from repartee.testing.faults import Fault, FaultPlan
from repartee.testing.scripted_llm import ScriptError
from repartee.testing.virtual_time import elapse

__all__ = ["ScriptedTurnDetector"]


@dataclass(slots=True)
class PredictionRecord:
    """One question to a `ScriptedTurnDetector`, and what became of it."""

    context: TurnContext
    asked_s: float
    """Loop time."""
    outcome: Literal["running", "answered", "cancelled", "failed"] = "running"
    probability: float | None = None


class ScriptedTurnDetector(TurnDetector):
    """Answers what was scripted.

    Args:
        probability: one for every question; or by the turn's words (``"*"`` for any others); or one for each question
            in order; or a function of the context. Default: 0.9.
        delay_s: how long an answer takes. Default: 0.02.
        threshold: as in `TurnDetectorCapabilities`. Default: 0.5.
        deadline_s: as in `TurnDetectorCapabilities`. Default: 0.3.
        faults: a call is a question (from 1).
    """

    def __init__(
        self,
        probability: float | Mapping[str, float] | Sequence[float] | Callable[[TurnContext], float] = 0.9,
        *,
        delay_s: float = 0.02,
        threshold: float = 0.5,
        deadline_s: float = 0.3,
        faults: Sequence[Fault] = (),
    ) -> None:
        self.capabilities = TurnDetectorCapabilities(threshold=threshold, deadline_s=deadline_s)
        self.delay_s = delay_s
        self.plan = FaultPlan(faults, "turn_detector")
        self.records: list[PredictionRecord] = []
        """Every question, in order."""
        self._script = probability

    async def predict(self, context: TurnContext) -> float:
        record = PredictionRecord(
            replace(context, history=context.history.copy()), asyncio.get_running_loop().time()
        )
        self.records.append(record)
        call = len(self.records)
        try:
            await self.plan.meet(call, 0)
            if self.delay_s:
                await elapse(self.delay_s)
            record.probability = self._choose(context, call)
            record.outcome = "answered"
            return record.probability
        except asyncio.CancelledError:
            record.outcome = "cancelled"
            raise
        except Exception:
            record.outcome = "failed"
            raise

    def _choose(self, context: TurnContext, call: int) -> float:
        script = self._script
        if isinstance(script, (int, float)):
            return script
        if callable(script):
            return script(context)
        if isinstance(script, Mapping):
            if context.text in script or "*" in script:
                return script.get(context.text, script.get("*", 0.0))
        elif call <= len(script):
            return script[call - 1]
        raise ScriptError(f"ScriptedTurnDetector has no answer to question {call}: {context.text!r}")
