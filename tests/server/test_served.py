"""What is served."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.compose import TurnTaking, WrapperModel
from repartee.errors import ConfigurationError
from repartee.models import RealtimeCapabilities, RealtimeSession
from repartee.server.served import Served
from repartee.testing import ScriptedTurnDetector, ScriptedVAD, virtual_time
from tests.server.talk import model_of


class Closing(WrapperModel):
    """Counts how often it is closed and warmed."""

    closed = 0
    warmed = 0

    def session(self, options: Any, *, on_event: Any, clock: Any) -> RealtimeSession:
        return self.model.session(options, on_event=on_event, clock=clock)

    async def aclose(self) -> None:
        self.closed += 1
        await super().aclose()

    async def prewarm(self, request: object = None) -> None:
        self.warmed += 1


@virtual_time
async def test_turn_taking_is_taken_over() -> None:
    model, vad, detector = Closing(model_of()), ScriptedVAD(), ScriptedTurnDetector()
    local = Closing(TurnTaking(model, vad, detector))
    served = Served.of(local, name="local", voices=["one"])
    assert served.model is model
    assert (served.vad, served.turn_detector, served.voices) == (vad, detector, ("one",))
    await served.prewarm()
    assert model.warmed + local.warmed == 1
    await served.aclose()
    assert (local.closed, model.closed) == (1, 1)
    other = ScriptedVAD()
    assert Served.of(local, vad=other).vad is other


@virtual_time
async def test_a_plain_model_is_served_as_it_is() -> None:
    model = Closing(model_of())
    served = Served.of(model)
    assert served.model is model
    assert served.vad is None
    await served.aclose()
    assert model.closed == 1


def test_a_model_that_takes_turns_otherwise_is_refused() -> None:
    model = model_of()
    model.capabilities = RealtimeCapabilities(turn_detection=True)
    with pytest.raises(ConfigurationError, match="turn_detection=None"):
        Served.of(model)
