"""The same again is the same, to the byte; and what befalls one session befalls no other."""

from __future__ import annotations

import asyncio
import re
from functools import cache

import pytest

from repartee.chat import FunctionCall, Message, function_tool
from repartee.models import ChatRequest
from repartee.models import events as ev
from repartee.session import Agent
from repartee.testing import (
    Fault,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedTurnDetector,
    ScriptedVAD,
    call_function,
    check_nothing_left,
    elapse,
    fail,
    run,
    slow,
    stall,
)
from tests.session.scene import Scene

ANSWER = "Sure, for how many people shall it be on Friday?"


# -- the same again --------------------------------------------------------------------------------------------


@function_tool
async def weather() -> str:
    """Tell the weather."""
    await elapse(0.5)
    return "sunny"


async def _eventful() -> list[str]:
    """A conversation with a bit of everything."""

    def reply(request: ChatRequest) -> str | FunctionCall:
        last = request.context.items[-1]
        if isinstance(last, Message) and last.text == "the weather":
            return call_function("weather")
        return ANSWER if isinstance(last, Message) and last.text == "book a table" else "Fine."

    llm = ScriptedLLM(reply)
    async with Scene(
        model=llm, turn_detection=ScriptedTurnDetector([0.2, 0.9, 0.95, 0.95]), agent=Agent(tools=[weather])
    ) as scene:
        scene.mic.speak("book a", 0.96)
        scene.mic.speak("table", 2.0)
        scene.mic.noise(3.52, 0.4)
        scene.mic.speak("no stop it", 4.48)
        scene.mic.speak("the weather", 8.0)
        await scene.until(9.4)
        scene.session.say("One moment.")
        await scene.until(14)
    return scene.lines()


def test_two_runs_are_the_same_to_the_byte() -> None:
    first, second = "\n".join(run(_eventful(), seed=7)), "\n".join(run(_eventful(), seed=7))
    assert len(first) > 20_000
    assert first.encode() == second.encode()


def test_another_seed_changes_nothing_but_the_ids() -> None:
    first, second = run(_eventful(), seed=7), run(_eventful(), seed=8)
    assert first != second
    assert numbered(first) == numbered(second)


def numbered(lines: list[str]) -> list[str]:
    """Log lines with ids replaced by the order of their first appearance, and times to the microsecond.

    (A time is a sum of others, and which of them is known by the last bit only.)
    """
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return names.setdefault(match.group(), f"{match.group(1)}#{len(names)}")

    short = [re.sub(r"\d+\.\d+", lambda time: f"{float(time.group()):.6f}", line) for line in lines]
    return [re.sub(r"\b(item|resp|req|call)_\w{21}\b", name, line) for line in short]


# -- twenty at once --------------------------------------------------------------------------------------------

SESSIONS = 20
FAULTY = 7


async def _twenty(stage: str, fault: Fault | None) -> list[list[str]]:
    """Twenty sessions on the same models, each a little later than the last; one model has a fault at one of them."""

    def faults(of: str) -> list[Fault]:
        return [fault] if fault is not None and of == stage else []

    vad = ScriptedVAD(faults=faults("vad"))
    stt = ScriptedSTT(faults=faults("stt"))
    llm = ScriptedLLM({"stop": "Fine.", "*": "Well for how many?"}, faults=faults("llm"))
    tts = ScriptedTTS(ms_per_word=200.0, faults=faults("tts"))
    detector = ScriptedTurnDetector(0.95, faults=faults("turn_detector"))
    scenes = [
        Scene(model=llm, stt=stt, tts=tts, vad=vad, turn_detection=detector, shared=True)
        for _ in range(SESSIONS)
    ]
    tasks = [
        asyncio.create_task(_talk(scene, index), name=f"talk-{index}") for index, scene in enumerate(scenes)
    ]
    await asyncio.gather(*tasks)
    assert check_nothing_left() == []
    assert (vad.open_streams, stt.open_streams, llm.count("running")) == (0, 0, 0)
    assert all(utterance.outcome != "running" for utterance in tts.utterances)
    if fault is not None:
        told = [index for index, scene in enumerate(scenes) if scene.errors]
        # A draft that fails is made anew without a word; a slow one is only slow.
        assert told in ([FAULTY], [])
    return [numbered(scene.lines()) for scene in scenes]


async def _talk(scene: Scene, index: int) -> None:
    await elapse(0.16 * index)
    async with scene:
        scene.mic.speak(f"book a table for {index}", 0.96)
        scene.mic.speak("stop", 4.16)
        scene.mic.speak("so what now", 6.4)
        await scene.until(22)


@cache
def _undisturbed() -> list[list[str]]:
    return run(_twenty("", None))


@pytest.mark.parametrize("stage", ["vad", "stt", "turn_detector", "llm", "tts"])
@pytest.mark.parametrize("kind", ["fails", "stalls", "is slow"])
def test_a_fault_of_one_session_is_no_others(stage: str, kind: str) -> None:
    # All begin in the same order at each stage, so the eighth call is the eighth session's.
    call = FAULTY + 1
    after = {"vad": 40, "stt": 1, "turn_detector": 0, "llm": 2, "tts": 1}[stage]
    fault = {
        "fails": fail(call, after=after),
        "stalls": stall(call, after=after),
        "is slow": slow(2.0, call, after=after),
    }
    logs = run(_twenty(stage, fault[kind]))
    for index, (log, undisturbed) in enumerate(zip(logs, _undisturbed(), strict=True)):
        if index == FAULTY:
            assert log != undisturbed
        else:
            assert log == undisturbed


def test_one_session_that_is_closed_midway_disturbs_no_other() -> None:
    async def main() -> list[list[str]]:
        llm, tts = ScriptedLLM({"*": ANSWER}), ScriptedTTS(ms_per_word=200.0)
        scenes = [Scene(model=llm, tts=tts, shared=True) for _ in range(3)]

        async def talk(scene: Scene, until_s: float) -> None:
            async with scene:
                scene.mic.speak("book a table", 0.96)
                await scene.until(until_s)

        await asyncio.gather(talk(scenes[0], 6), talk(scenes[1], 3), talk(scenes[2], 6))
        assert [scene.said[-1][1] for scene in scenes] == [ANSWER, "Sure, for–", ANSWER]
        assert scenes[1].times(ev.AgentStateChanged, new="idle") == [3000]
        return [numbered(scene.lines()) for scene in scenes]

    first, _, third = run(main())
    assert first == third
