"""Who is tried, in which order, and what is told of it."""

from __future__ import annotations

import asyncio

from repartee.clock import Clock
from repartee.compose import Fallback
from repartee.compose.fallback_lines import Lines
from repartee.errors import ModelConnectionError
from repartee.models import RealtimeCapabilities, RealtimeSession, SessionOptions
from repartee.models.events import RealtimeEvent
from repartee.testing import ScriptedRealtimeModel, virtual_time

ERROR = ModelConnectionError("refused", stage="realtime")
OPTIONS = SessionOptions(voice="mine")


class Opened:
    """Lines to models of which some can't be reached."""

    def __init__(self, *errors: ModelConnectionError | None) -> None:
        self.models = [ScriptedRealtimeModel(start_error=error, strict=False) for error in errors]
        self.events: list[RealtimeEvent] = []
        self.closed: list[RealtimeSession] = []
        desk = Fallback(self.models).desk.bound(self.events.append)
        self.lines = Lines(
            desk,
            RealtimeCapabilities(),
            hear=lambda line, event: None,
            close=self.closed.append,
            clock=Clock(asyncio.get_running_loop().time),
            deadline_s=5.0,
        )


@virtual_time
async def test_the_first_that_can_be_had() -> None:
    opened = Opened(ERROR, None)
    line = await opened.lines.open(OPTIONS)
    assert line is not None
    assert (line.index, line.session) == (1, opened.models[1].sessions[0])
    assert list(opened.lines.tried) == [0]
    assert opened.closed == [opened.models[0].sessions[0]]
    assert opened.lines.options_for(1, OPTIONS) is OPTIONS  # of the same kind: the voice is known there


@virtual_time
async def test_none_can_be_had() -> None:
    opened = Opened(ERROR, ERROR)
    assert await opened.lines.open(OPTIONS) is None
    assert list(opened.lines.tried) == [0, 1]
    assert await opened.lines.open_again(OPTIONS) is None  # none of them was reached
    opened.lines.answered()
    assert opened.lines.tried == {}


@virtual_time
async def test_who_was_reached_and_failed_later_has_a_last_chance() -> None:
    opened = Opened(None, ERROR)
    assert await opened.lines.open(OPTIONS) is not None
    opened.lines.tried[0] = ERROR  # in the middle of the conversation
    assert await opened.lines.open(OPTIONS) is None
    line = await opened.lines.open_again(OPTIONS)
    assert line is not None
    assert line.index == 0
    assert sorted(opened.lines.tried) == [0, 1]
    assert await opened.lines.open_again(OPTIONS) is None  # once, until a response is completed


@virtual_time
async def test_the_preferred_one_is_looked_at_alone() -> None:
    opened = Opened(ERROR, None)
    told = len(opened.events)
    assert await opened.lines.open_only(0, OPTIONS) is None
    assert len(opened.events) == told
    assert opened.lines.tried == {}
    line = await opened.lines.open_only(1, OPTIONS)
    assert line is not None
    assert line.index == 1
