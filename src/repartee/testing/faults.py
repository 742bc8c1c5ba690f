"""What a scripted model does wrong, and when.

A *call* is what its model counts: an answer of an `LLM`, a synthesis of a `TTS`, a question to a `TurnDetector`, a
segment of an `STT`, a stream of a `VAD`. ``after`` counts the results that the call gives before the fault::

    ScriptedLLM(["Sure.", "It is noon."], faults=[fail(call=2, after=1), slow(3.0, call=1)])
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from repartee.errors import ModelError, Stage
from repartee.testing.virtual_time import elapse

__all__ = ["Fault", "FaultPlan", "fail", "slow", "stall"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. Made by `fail`, `stall` and `slow`."""

    kind: Literal["fail", "stall", "slow"]
    call: int | None
    after: int = 0
    delay_s: float = 0.0
    error: Exception | None = None


def fail(call: int | None = 1, *, after: int = 0, error: Exception | None = None) -> Fault:
    """Fail at a call.

    Args:
        call: which, from 1. ``None``: every one. Default: the first.
        after: results that come before it. Default: none.
        error: what is raised or reported. Default: a `ModelError` of the model's stage.
    """
    return Fault("fail", call, after, error=error)


def stall(call: int | None = 1, *, after: int = 0) -> Fault:
    """Give no more results at a call (arguments as in `fail`), and never end."""
    return Fault("stall", call, after)


def slow(delay_s: float, call: int | None = 1, *, after: int = 0) -> Fault:
    """Take ``delay_s`` longer, once, before the result behind the first ``after``."""
    return Fault("slow", call, after, delay_s)


class FaultPlan:
    """The faults of one model, and how they are carried out."""

    def __init__(self, faults: Sequence[Fault], stage: Stage) -> None:
        self._faults = tuple(faults)
        self._stage = stage

    def at(self, call: int, given: int) -> Fault | None:
        """The fault that is due at this call after that many results."""
        for fault in self._faults:
            if fault.call in (None, call) and fault.after == given:
                return fault
        return None

    def error(self, fault: Fault, call: int) -> Exception:
        """What a failing fault raises."""
        if fault.error is not None:
            return fault.error
        return ModelError(
            f"scripted {self._stage} fault at call {call} after {fault.after} results", stage=self._stage
        )

    def model_error(self, fault: Fault, call: int) -> ModelError:
        """The same for models that report through a callback, which takes a `ModelError` only."""
        error = self.error(fault, call)
        return error if isinstance(error, ModelError) else ModelError(str(error), stage=self._stage)

    async def meet(self, call: int, given: int) -> None:
        """Carry out what is due now, if anything: raise, wait, or wait until cancelled."""
        fault = self.at(call, given)
        if fault is None:
            return
        if fault.kind == "slow":
            await elapse(fault.delay_s)
        elif fault.kind == "fail":
            raise self.error(fault, call)
        else:
            await asyncio.get_running_loop().create_future()
