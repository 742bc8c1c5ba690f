"""Conversations by chance: whatever is said, typed, stopped and broken, whenever, every invariant holds."""

from __future__ import annotations

import random
from typing import Any

import pytest

from repartee.chat import Message, function_tool
from repartee.models import ChatRequest
from repartee.session import Agent
from repartee.testing import (
    Fault,
    MemoryOutput,
    Reply,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedTurnDetector,
    ScriptedVAD,
    call_function,
    elapse,
    fail,
    run,
    slow,
    stall,
)
from repartee.turns import SpeculationOptions
from tests.session.scene import Scene

WORDS = "book a table for two people stop now please what is the weather in rome uh mhm yes".split()  # noqa: SIM905
ANSWERS = ["sure,", "well", "then.", "it", "goes", "on", "and", "so?"]
SETTLED_S = 30.0
"""Longer than any deadline: by then nothing is under way any more."""


@function_tool
async def weather() -> str:
    """Tell the weather."""
    await elapse(0.7)
    return "sunny"


def scene_of(dice: random.Random) -> Scene:
    """Models of some speed, one in four of each with a fault."""

    def reply(request: ChatRequest) -> Any:
        last = request.context.items[-1] if len(request.context) else None
        if isinstance(last, Message) and last.role == "user" and "weather" in last.text:
            return call_function("weather")
        text = " ".join(dice.choice(ANSWERS) for _ in range(dice.choice([1, 2, 4, 9, 14])))
        return Reply(text, ttft_s=dice.choice([0.05, 0.1, 0.8]), inter_token_s=dice.choice([0, 0.02, 0.2]))

    def faults(results: int) -> list[Fault]:
        call, after = dice.randint(1, 4), dice.randint(0, results)
        late = slow(dice.choice([0.3, 1.5]), call, after=after)
        fault = dice.choice([fail(call, after=after), stall(call, after=after), late])
        return [fault] if dice.random() < 0.25 else []

    word_times = dice.random() < 0.8
    return Scene(
        model=ScriptedLLM(reply, faults=faults(5)),
        stt=ScriptedSTT(faults=faults(4), final_lag_s=dice.choice([0.02, 0.05, 0.4])),
        tts=ScriptedTTS(
            ms_per_word=200.0, chunk_s=dice.choice([0.01, 0.15]), word_times=word_times, faults=faults(6)
        ),
        vad=ScriptedVAD(faults=faults(200), lag_s=dice.choice([0.0, 0.06])),
        loudspeaker=MemoryOutput(
            ack_lag_s=dice.choice([0.0, 0.0, 0.1]), device_buffer_ms=dice.choice([0, 0, 60])
        ),
        turn_detection=dice.choice([None, ScriptedTurnDetector(lambda _: dice.random(), faults=faults(0))]),
        speculation=SpeculationOptions(enabled=dice.random() < 0.8),
        agent=Agent(tools=[weather]),
        user_away_timeout_s=dice.choice([None, 3.0]),
        # Without word times the words that were heard are an estimate, which may be off by more than one.
        skip=() if word_times else (9, 10),
    )


def speak(scene: Scene, dice: random.Random) -> float:
    """Have the user say and mumble things; when the last of them ends, in seconds."""
    at_s = 0.5
    for _ in range(dice.randint(3, 7)):
        at_s += dice.choice([0.1, 0.35, 0.7, 1.5, 3.0])
        if dice.random() < 0.75:
            text = " ".join(dice.choice(WORDS) for _ in range(dice.randint(1, 5)))
            at_s = scene.mic.speak(text, at_s, words_per_s=dice.choice([2.5, 4.0])).end_s
        else:
            length_s = dice.choice([0.04, 0.2, 0.8])
            scene.mic.noise(at_s, length_s)
            at_s += length_s
    return at_s


def meddle(scene: Scene, dice: random.Random) -> None:
    """Now and then the program does something, too."""
    session, chance = scene.session, dice.random()
    if chance < 0.06:
        session.interrupt()
    elif chance < 0.14:
        text = " ".join(dice.choice(WORDS) for _ in range(dice.randint(1, 6)))
        session.say(text, allow_interruptions=dice.random() < 0.8)
    elif chance < 0.18:
        session.send_text("what is the weather")
    elif chance < 0.21 and session.user_state != "speaking":
        session.commit_user_turn()
    elif chance < 0.23:
        session.clear_user_turn()


async def converse(dice: random.Random) -> None:
    scene = scene_of(dice)
    async with scene:
        said_s = speak(scene, dice)
        end_s, now_s = said_s + dice.choice([0.5, 3.0, SETTLED_S]), 0.0
        while now_s < end_s:
            now_s = min(end_s, now_s + dice.uniform(0.2, 3.0))
            await scene.until(now_s)
            if now_s < said_s + 3.0:
                meddle(scene, dice)
        if end_s - said_s >= SETTLED_S:
            assert scene.session.agent_state == "listening"
            assert scene.session.user_state != "speaking"
            await scene.session.wait_for_idle()


@pytest.mark.parametrize("seed", range(80))
def test_a_conversation_by_chance(seed: int) -> None:
    run(converse(random.Random(seed)), seed=seed, max_virtual_s=600.0)
