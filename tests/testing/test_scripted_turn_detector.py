"""The scripted end-of-turn model."""

from __future__ import annotations

import asyncio

import pytest

from repartee.chat import ChatContext
from repartee.errors import ModelError
from repartee.models import TurnContext
from repartee.testing import ScriptedTurnDetector, ScriptError, fail, slow, stall, virtual_time


def asked(text: str) -> TurnContext:
    return TurnContext(text, ChatContext())


@virtual_time
async def test_the_ways_to_answer() -> None:
    loop = asyncio.get_running_loop()
    assert await ScriptedTurnDetector().predict(asked("yes")) == 0.9
    assert loop.time() == 0.02
    by_words = ScriptedTurnDetector({"well": 0.1, "*": 0.8}, delay_s=0.0)
    assert [await by_words.predict(asked(text)) for text in ("well", "yes")] == [0.1, 0.8]
    in_order = ScriptedTurnDetector([0.2, 0.7], delay_s=0.0)
    assert [await in_order.predict(asked(text)) for text in ("a", "b")] == [0.2, 0.7]
    rule = ScriptedTurnDetector(lambda context: len(context.text) / 10, delay_s=0.0)
    assert await rule.predict(asked("three")) == 0.5
    assert [record.context.text for record in by_words.records] == ["well", "yes"]
    assert [record.probability for record in in_order.records] == [0.2, 0.7]
    for detector in (in_order, ScriptedTurnDetector({"well": 0.1})):
        with pytest.raises(ScriptError, match="no answer"):
            await detector.predict(asked("c"))


@virtual_time
async def test_faults() -> None:
    detector = ScriptedTurnDetector(
        0.5, threshold=0.4, deadline_s=1.0, faults=[fail(1), slow(2.0, 2), stall(3)]
    )
    assert (detector.capabilities.threshold, detector.capabilities.deadline_s) == (0.4, 1.0)
    with pytest.raises(ModelError) as caught:
        await detector.predict(asked("a"))
    assert caught.value.stage == "turn_detector"
    assert await detector.predict(asked("b")) == 0.5
    assert asyncio.get_running_loop().time() == pytest.approx(2.02)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5.0):
            await detector.predict(asked("c"))
    assert [record.outcome for record in detector.records] == ["failed", "answered", "cancelled"]
