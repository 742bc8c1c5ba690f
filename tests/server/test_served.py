"""What is served."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.compose import TurnTaking, WrapperModel
from repartee.errors import ConfigurationError
from repartee.models import RealtimeCapabilities, RealtimeSession
from repartee.protocol.sessions import default_session
from repartee.server.served import Served
from repartee.server.source import served_from
from repartee.testing import ScriptedTurnDetector, ScriptedVAD, call_function, virtual_time
from tests.server.talk import Talk, model_of


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


@virtual_time
async def test_each_session_has_its_past_and_its_own_data() -> None:
    shop = served_from("tests.server.agent_for_tests:Stall")
    kept: dict[str, Any] = {"history": shop.history, "userdata": shop.userdata, "tools": shop.tools}
    session = {"output_modalities": ["text"]}
    for number in (1, 2):
        replies = [call_function("sell", f"call_{number}", item=f"fig {number}"), "Sold."]
        async with Talk(replies=replies, session=session, **kept) as talk:
            talk.say("A fig, please.")
            talk.respond()
            await talk.done(2)
            assert talk.client.last("response.output_text.done")["text"] == "Sold."
            [call] = [
                event["item"]
                for event in talk.client.all("response.output_item.done")
                if event["item"]["type"] == "mcp_call"
            ]
            assert call["output"] == f"Sold: fig {number}."  # nothing of the other session's
            assert talk.asked[0] == [
                ("user", "I am Ann."),
                ("assistant", "Hello, Ann."),
                ("user", "A fig, please."),
            ]
            assert not any(b"Ann" in frame for frame in talk.client.frames)


def test_data_made_of_the_sessions_configuration() -> None:
    config = default_session("realtime", id="sess_1", model="m")
    for userdata in (lambda given: given.id, lambda: "sess_1", "sess_1"):
        assert Served.of(model_of(), userdata=userdata).userdata_for(config) == "sess_1"
