"""The local parts joined: what is chosen, what can be replaced, and a conversation in text."""

from __future__ import annotations

import asyncio

import pytest

from repartee import AgentSession, ChatContext
from repartee.errors import ConfigurationError
from repartee.plugins import local
from repartee.plugins.turn_detector.english import EnglishModel
from repartee.testing import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedTurnDetector, ScriptedVAD


def _scripted(**given: object) -> local.RealtimeModel:
    parts = {
        "llm": ScriptedLLM(["Good morning."]),
        "stt": ScriptedSTT(),
        "tts": ScriptedTTS(),
        "vad": ScriptedVAD(),
    }
    return local.RealtimeModel(**(parts | given))  # type: ignore[arg-type]


def test_by_default_it_takes_turns_by_itself() -> None:
    able = local.RealtimeModel().capabilities
    assert able.floor
    assert able.turn_detection
    assert able.audio_input
    assert able.audio_output
    assert able.verbatim


def test_without_turn_detection_the_session_takes_turns_as_in_the_tutorial() -> None:
    model = _scripted(turn_detection=None)
    assert not model.capabilities.turn_detection
    session = AgentSession(turn_detection=EnglishModel(), llm=model, vad=ScriptedVAD())
    assert session.model.capabilities.floor


def test_two_turn_detections_contradict_each_other() -> None:
    with pytest.raises(ConfigurationError, match="turn_detection=None"):
        AgentSession(turn_detection=ScriptedTurnDetector(), llm=_scripted())


def test_each_part_can_be_replaced_and_it_answers_in_text() -> None:
    async def answer() -> str:
        model = _scripted(turn_detection=ScriptedTurnDetector())
        context = ChatContext()
        context.add_message("user", "hello")
        words = [piece async for piece in model.generate_reply("good morning", chat_context=context)]
        await model.aclose()
        return "".join(words)

    assert asyncio.run(answer()) == "Good morning."
