"""What observers are told besides the protocol."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from repartee.clock import Clock
from repartee.server.sessions.listeners import Listeners
from repartee.server.sessions.observing import Observing
from repartee.testing import elapse, virtual_time


class Page:
    """An observer."""

    def __init__(self, *, observe: bool = True) -> None:
        self.observe = observe
        self.events: list[dict[str, Any]] = []

    def send(self, frame: bytes, *, audio: bool = False) -> None:
        self.events.append(json.loads(frame))

    def close(self, code: int, reason: str) -> None:
        pass


def observing(page: Page) -> Observing:
    """With that page."""
    listeners = Listeners(sends_audio=True)
    listeners.add(page, sideband=False, dialect=None)
    ids = iter(range(1000))
    clock = Clock(asyncio.get_running_loop().time)
    return Observing(listeners, clock=clock, new_id=lambda prefix: f"{prefix}_{next(ids)}")


@virtual_time
async def test_states_change_once_and_speaking_ends_with_its_audio() -> None:
    page = Page()
    told = observing(page)
    told.user("speaking")
    told.user("speaking")
    told.user("listening")
    told.agent("thinking")
    told.agent("speaking")
    told.agent_until(1.5)
    await elapse(2)
    states = [(event["at_ms"], event["user"], event["agent"]) for event in page.events]
    assert states == [
        (0, "speaking", "listening"),
        (0, "listening", "listening"),
        (0, "listening", "thinking"),
        (0, "listening", "speaking"),
        (1500, "listening", "listening"),
    ]
    told.agent("speaking")
    told.agent_until(9.0)
    told.agent("thinking")
    await elapse(10)
    assert page.events[-1]["agent"] == "thinking"
    told.agent_until(0.0)
    assert page.events[-1]["agent"] == "listening"
    told.close()


@virtual_time
async def test_each_event_has_its_fields() -> None:
    page = Page()
    told = observing(page)
    await elapse(0.25)
    told.end_of_turn("item_1", 0.123456, "book a")
    told.interim("item_1", "book a", 4)
    told.words("item_2", "One ", 0.0)
    told.words("item_2", "two ", 250.04)
    told.words("item_2", "", 500.0)
    told.sound("item_2", 500.0)
    told.sound("item_9", 500.0)
    told.heard("item_2", 300)
    told.heard("item_9", 300)
    told.stage("resp_1", "first_token", 0.2)
    told.tool("call_1", "roll", "running")
    told.error("llm", "oh")
    plain = [{k: v for k, v in event.items() if k != "event_id"} for event in page.events]
    assert plain == [
        {
            "type": "repartee.end_of_turn",
            "at_ms": 250,
            "item_id": "item_1",
            "probability": 0.1235,
            "text": "book a",
        },
        {"type": "repartee.interim", "item_id": "item_1", "text": "book a", "stable_chars": 4},
        {"type": "repartee.words", "item_id": "item_2", "delta": "One ", "start_ms": 0.0},
        {"type": "repartee.words", "item_id": "item_2", "delta": "two ", "start_ms": 250.0},
        {"type": "repartee.heard", "item_id": "item_2", "text": "One", "audio_ms": 300},
        {"type": "repartee.stage", "at_ms": 200, "response_id": "resp_1", "stage": "first_token"},
        {
            "type": "repartee.tool",
            "at_ms": 250,
            "call_id": "call_1",
            "name": "roll",
            "state": "running",
        },
        {"type": "repartee.error", "at_ms": 250, "stage": "llm", "message": "oh"},
    ]
    told.output("call_1")
    told.output("call_1")
    told.output("call_9")
    assert [event.get("state") for event in page.events[len(plain) :]] == ["done"]
    assert len({event["event_id"] for event in page.events}) == len(page.events)


@virtual_time
async def test_the_first_answer_to_a_turn_has_the_turns_times() -> None:
    page = Page()
    told = observing(page)
    told.answered("resp_0")  # nobody has spoken
    await elapse(2.0)
    told.turn("item_1", "silence", 1.25)
    told.answered("resp_1")
    told.answered("resp_2")
    told.turn("item_2", "silence", 1.5)
    told.unanswered()
    told.answered("resp_3")
    seen = [{key: value for key, value in event.items() if key != "event_id"} for event in page.events]
    turn = {"type": "repartee.turn", "at_ms": 2000, "reason": "silence"}
    stage = {"type": "repartee.stage", "response_id": "resp_1"}
    assert seen == [
        {**turn, "item_id": "item_1", "speech_end_ms": 1250},
        {**stage, "at_ms": 1250, "stage": "speech_end"},
        {**stage, "at_ms": 2000, "stage": "decision"},
        {**turn, "item_id": "item_2", "speech_end_ms": 1500},
    ]


@virtual_time
async def test_without_observers_nothing_is_made() -> None:
    page = Page(observe=False)
    told = observing(page)
    told.user("speaking")
    told.words("item_1", "One ", 0.0)
    told.agent_until(5.0)
    told.heard("item_1", 100)
    assert page.events == []
