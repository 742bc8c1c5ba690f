"""Connections opened ahead: each for one session, for nothing but what it was opened for, and none left behind."""

from __future__ import annotations

import asyncio

import pytest

from repartee.errors import ConfigurationError, ModelConnectionError
from repartee.plugins.openai.realtime.keeper import Wire
from repartee.plugins.openai.realtime.spares import Spares
from repartee.testing import check_nothing_left, elapse, virtual_time
from repartee.testing.realtime_faults import drop, refuse
from repartee.testing.realtime_server import ScriptedRealtimeServer
from tests.plugins.openai.realtime.talk import Talk, model_at


class _Link:
    """A link that says whether it is open."""

    unsent_bytes = 0

    def __init__(self) -> None:
        self.open = True

    def send(self, frame: bytes) -> None:
        """Nobody listens."""

    async def aclose(self) -> None:
        self.open = False


class Opener:
    """Opens wires, and knows them all."""

    def __init__(self, delay_s: float = 0.1) -> None:
        self.delay_s = delay_s
        self.links: list[_Link] = []

    async def __call__(self) -> Wire:
        await elapse(self.delay_s)
        wire = Wire()
        link = _Link()
        self.links.append(link)
        wire.link = link
        return wire

    @property
    def open(self) -> int:
        return sum(link.open for link in self.links)


@virtual_time
async def test_as_many_as_wanted_and_each_taken_once() -> None:
    opener, spares = Opener(), Spares(3)
    await spares.fill("a", opener)
    await spares.fill("a", opener)
    assert len(opener.links) == 3
    taken = [await spares.take("a") for _ in range(4)]
    assert taken[3] is None
    assert len({id(wire) for wire in taken}) == 4
    assert opener.open == 3
    for wire in taken[:3]:
        assert wire is not None
        await wire.aclose()
    await spares.aclose()
    assert check_nothing_left() == []


@virtual_time
async def test_never_for_something_else() -> None:
    opener, spares = Opener(), Spares()
    await spares.fill("a", opener)
    assert await spares.take("b") is None
    await spares.fill("b", opener)
    await elapse(0.01)
    assert opener.open == 1
    wire = await spares.take("b")
    assert wire is not None
    assert await spares.take("a") is None
    await wire.aclose()
    await spares.aclose()
    assert opener.open == 0


@virtual_time
async def test_one_that_is_on_its_way_is_waited_for() -> None:
    opener, spares = Opener(delay_s=2.0), Spares()
    filling = asyncio.ensure_future(spares.fill("a", opener))
    await elapse(1.5)
    wire = await spares.take("a")
    assert asyncio.get_running_loop().time() == pytest.approx(2.0, abs=0.1)
    assert wire is not None
    await filling
    assert len(opener.links) == 1
    await wire.aclose()
    await spares.aclose()


@virtual_time
async def test_whoever_stops_waiting_for_one_leaves_nothing() -> None:
    opener, spares = Opener(delay_s=2.0), Spares()
    filling = asyncio.ensure_future(spares.fill("a", opener))
    await elapse(1.0)
    taking = asyncio.ensure_future(spares.take("a"))
    await elapse(0.5)
    taking.cancel()
    filling.cancel()
    await asyncio.wait([taking, filling])
    await spares.aclose()
    assert opener.open == 0
    assert check_nothing_left() == []


@virtual_time
async def test_after_a_minute_it_is_closed() -> None:
    opener, spares = Opener(), Spares()
    await spares.fill("a", opener)
    await elapse(61.0)
    assert opener.open == 0
    assert await spares.take("a") is None
    await spares.aclose()


@virtual_time
async def test_one_that_the_server_has_closed_is_not_given() -> None:
    opener, spares = Opener(), Spares(2)
    await spares.fill("a", opener)
    first = await spares.take("a")
    assert first is not None
    await spares.fill("a", opener)
    second = await spares.take("a")
    assert second is not None
    await spares.fill("a", opener)
    ended = [each.opening.result() for each in spares._spares]
    ended[0].end(1001, "bye")
    assert await spares.take("a") is ended[1]
    for wire in (first, second, ended[1]):
        await wire.aclose()
    await spares.aclose()
    assert opener.open == 0


@virtual_time
async def test_closing_while_it_opens() -> None:
    opener, spares = Opener(delay_s=5.0), Spares(2)
    filling = asyncio.ensure_future(spares.fill("a", opener))
    await elapse(1.0)
    await spares.aclose()
    await asyncio.wait([filling])
    assert opener.links == []
    assert check_nothing_left() == []


def test_how_many() -> None:
    for count in (0, 17):
        with pytest.raises(ConfigurationError, match=f"prewarm_connections is {count}"):
            Spares(count)


def test_one_of_another_event_loop_is_not_given() -> None:
    opener, spares = Opener(delay_s=0.0), Spares()
    asyncio.run(spares.fill("a", opener))
    assert asyncio.run(spares.take("a")) is None
    asyncio.run(spares.aclose())


# -- with sessions ---------------------------------------------------------------------------------------------------


@virtual_time
async def test_sessions_take_what_was_opened_ahead() -> None:
    server = ScriptedRealtimeServer(lambda question: f"You said {question.text}")
    model = model_at(server, prewarm_connections=2, voice="cedar")
    await model.prewarm()
    assert len(server.requests) == 2
    talks = [Talk(server, model=model) for _ in range(3)]
    for talk in talks:
        await talk.session.start()
    assert len(server.requests) == 3
    for index, talk in enumerate(talks):
        await talk.answer(f"number {index}")
        assert talk.said()[-1] == ("assistant", f"You said number {index}")
    assert [connection.count("response.create") for connection in server.connections] == [1, 1, 1]
    for talk in talks:
        await talk.session.aclose()
    await model.aclose()
    await server.aclose()
    assert check_nothing_left() == []


@virtual_time
async def test_a_spare_that_breaks_as_it_is_taken_costs_nothing() -> None:
    server = ScriptedRealtimeServer(["Yes."], faults=[drop(on="session.update")])
    model = model_at(server)
    await model.prewarm()
    async with Talk(server, model=model) as talk:
        assert (await talk.answer("Hello?")).status == "completed"
    assert len(server.requests) == 2


@virtual_time
async def test_what_prewarm_can_not_have_it_says() -> None:
    server = ScriptedRealtimeServer(["Yes."], faults=[refuse(503)])
    model = model_at(server)
    with pytest.raises(ModelConnectionError, match="503"):
        await model.prewarm()
    async with Talk(server, model=model) as talk:
        assert (await talk.answer("Hello?")).status == "completed"
