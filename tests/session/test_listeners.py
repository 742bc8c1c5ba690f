"""Who listens to a session: callbacks, iterators, and the agent that takes over."""

from __future__ import annotations

import asyncio
import logging

import pytest

from repartee.errors import ConfigurationError
from repartee.models import events as ev
from repartee.session import Agent
from repartee.session.listeners import Listeners
from repartee.testing import elapse, virtual_time
from tests.session.scene import Scene
from tests.session.test_tool_runner import weather

BOOK = "book a table"


@virtual_time
async def test_callbacks_by_type_until_they_are_ended() -> None:
    seen: list[str] = []
    async with Scene("One.", "Two.") as scene:
        off = scene.session.on(ev.TranscriptDelta, lambda event: seen.append(event.delta))
        await scene.session.send_text("a")
        off()
        off()
        await scene.session.send_text("b")
    assert seen == ["One."]


@virtual_time
async def test_a_callback_that_raises_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def broken(event: ev.TranscriptDelta) -> None:
        raise ValueError("oops")

    async with Scene("One.") as scene:
        scene.session.on(ev.TranscriptDelta, broken)
        scene.session.on(ev.TranscriptDelta, lambda event: seen.append(event.delta))
        with caplog.at_level(logging.ERROR, "repartee.session"):
            await scene.session.send_text("a")
    assert seen == ["One."]
    assert "a callback for TranscriptDelta raised" in caplog.text
    assert "oops" in caplog.text
    assert scene.heard == "One."


@virtual_time
async def test_a_callback_may_use_the_session() -> None:
    async with Scene("One.") as scene:

        def greet(event: ev.AgentStateChanged) -> None:
            if event.new == "listening" and not said:
                said.append(scene.session.say("Anything else?"))

        said: list[object] = []
        scene.session.on(ev.AgentStateChanged, greet)
        await scene.session.send_text("a")
        await scene.session.wait_for_idle()
    assert scene.heard == "One. Anything else?"


@virtual_time
async def test_the_iterator_gives_every_event_but_audio_and_ends_with_the_session() -> None:
    async with Scene("One.") as scene:
        events: list[ev.RealtimeEvent] = []

        async def read() -> None:
            async for event in scene.session.events():
                events.append(event)

        reading = asyncio.create_task(read())
        await elapse(0)
        await scene.session.send_text("a")
        await scene.session.aclose()
        await reading
    logged = [event for _, event in scene.session.log if type(event).__name__ != "AudioLogged"]
    assert events == logged[1:]  # the first was before it listened
    assert not any(isinstance(event, ev.AudioDelta) for event in events)


@virtual_time
async def test_an_iterator_listens_from_the_call_on_not_from_the_first_step() -> None:
    async with Scene("One.") as scene:
        await elapse(0)
        events = scene.session.events()
        await scene.session.send_text("a")
        first = await anext(events)
        assert isinstance(first, ev.ItemAdded)
        await scene.session.aclose()
        rest = [event async for event in events]
    assert isinstance(rest[-1], ev.AgentStateChanged)


@virtual_time
async def test_a_slow_reader_loses_the_oldest_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    listeners = Listeners()
    events = listeners.events(3)
    told: list[ev.RealtimeEvent] = [ev.ItemDeleted(str(index)) for index in range(5)]
    with caplog.at_level(logging.WARNING, "repartee.session"):
        for event in told:
            listeners.tell(event)
    listeners.close()
    assert [event async for event in events] == told[2:]
    assert events.dropped == 2
    assert caplog.text.count("an event iterator is too slow: beyond 3 events the oldest are dropped") == 1


@virtual_time
async def test_a_reader_that_leaves_is_forgotten() -> None:
    listeners = Listeners()
    first, second = listeners.events(10), listeners.events(10)
    listeners.tell(ev.ItemDeleted("1"))
    assert await anext(first) == ev.ItemDeleted("1")
    del first
    await second.aclose()
    listeners.tell(ev.ItemDeleted("2"))
    assert listeners._readers() == [second]
    assert [event async for event in second] == [ev.ItemDeleted("1")]


@virtual_time
async def test_after_the_end_there_is_nothing_to_read() -> None:
    listeners = Listeners()
    listeners.close()
    assert [event async for event in listeners.events(10)] == []


@virtual_time
async def test_another_agent_takes_over() -> None:
    async with Scene("One.", "Two.", agent=Agent("Be first.")) as scene:
        await scene.session.send_text("a")
        scene.session.update_agent(Agent("Be second.", tools=[weather]))
        await scene.session.send_text("b")
    assert [r.instructions for r in scene.llm.requests] == ["Be first.", "Be second."]
    assert [[tool.name for tool in r.tools] for r in scene.llm.requests] == [[], ["weather"]]
    assert [m.text for m in scene.llm.requests[1].context.messages] == ["a", "One.", "b"]
    assert scene.session.agent is not None
    assert scene.session.agent.instructions == "Be second."


@virtual_time
async def test_an_agent_whose_functions_clash_is_refused() -> None:
    async with Scene("One.", agent=Agent("Be first.")) as scene:
        with pytest.raises(ConfigurationError, match="two tools are called 'weather'"):
            scene.session.update_agent(Agent(tools=[weather, weather]))
        await scene.session.send_text("a")
    assert scene.llm.requests[0].instructions == "Be first."


@virtual_time
async def test_call_later_ends_with_the_session() -> None:
    called: list[float] = []
    async with Scene() as scene:
        scene.session.call_later(1.0, lambda: called.append(scene.session.now))
        scene.session.call_later(9.0, lambda: called.append(scene.session.now))
        await scene.until(2)
    assert called == [1.0]
