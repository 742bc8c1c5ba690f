"""A test kit for voice agents: virtual time, scripted models, a microphone and a loudspeaker in memory, checkers.

A test of a whole conversation takes milliseconds, never sleeps, and asserts to the millisecond::

    @virtual_time
    async def test_it_answers() -> None:
        microphone, loudspeaker = MemoryInput(), MemoryOutput()
        session = AgentSession(
            vad=ScriptedVAD(), stt=ScriptedSTT(), llm=ScriptedLLM(["Sure."]), tts=ScriptedTTS()
        )
        await session.start(Agent(instructions=""), audio_input=microphone, audio_output=loudspeaker)
        await microphone.say("book a table")
        await elapse(2.0)
        await session.aclose()
        assert loudspeaker.heard_text() == "Sure."

Nothing here needs a test runner. The models and devices are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

# Not when first used, as the rest: a function and its module have one name, and the function must be bound last.
from repartee.testing.virtual_time import (
    DeadlockError,
    LeakError,
    SwallowedError,
    TimeLimitError,
    VirtualTimeError,
    VirtualTimeLoop,
    elapse,
    hold_time,
    run,
    seeded_ids,
    sleep_until,
    virtual_time,
)

if TYPE_CHECKING:
    from repartee.testing.checkers import Violation, check_all, check_nothing_left
    from repartee.testing.faults import Fault, fail, slow, stall
    from repartee.testing.io import Heard, MemoryInput, MemoryOutput, MemoryTextOutput
    from repartee.testing.realtime_connection import ServerManner
    from repartee.testing.realtime_faults import WireFault, drop, freeze, lag, refuse
    from repartee.testing.realtime_replies import FailedReply, Question
    from repartee.testing.realtime_server import ScriptedRealtimeServer
    from repartee.testing.realtime_talk import RealtimeTalk
    from repartee.testing.scripted_llm import Reply, ScriptedLLM, ScriptError, call_function
    from repartee.testing.scripted_realtime import Disconnect, Emit, ScriptedRealtimeModel, UserTurn
    from repartee.testing.scripted_stt import ScriptedSTT
    from repartee.testing.scripted_tts import ScriptedTTS
    from repartee.testing.scripted_turn_detector import ScriptedTurnDetector
    from repartee.testing.scripted_vad import ScriptedVAD
    from repartee.testing.speech import Speech, TimedText

__all__ = [
    "DeadlockError",
    "Disconnect",
    "Emit",
    "FailedReply",
    "Fault",
    "Heard",
    "LeakError",
    "MemoryInput",
    "MemoryOutput",
    "MemoryTextOutput",
    "Question",
    "RealtimeTalk",
    "Reply",
    "ScriptError",
    "ScriptedLLM",
    "ScriptedRealtimeModel",
    "ScriptedRealtimeServer",
    "ScriptedSTT",
    "ScriptedTTS",
    "ScriptedTurnDetector",
    "ScriptedVAD",
    "ServerManner",
    "Speech",
    "SwallowedError",
    "TimeLimitError",
    "TimedText",
    "UserTurn",
    "Violation",
    "VirtualTimeError",
    "VirtualTimeLoop",
    "WireFault",
    "call_function",
    "check_all",
    "check_nothing_left",
    "drop",
    "elapse",
    "fail",
    "freeze",
    "hold_time",
    "lag",
    "refuse",
    "run",
    "seeded_ids",
    "sleep_until",
    "slow",
    "stall",
    "virtual_time",
]

_HOMES = {
    "checkers": ("Violation", "check_all", "check_nothing_left"),
    "faults": ("Fault", "fail", "slow", "stall"),
    "io": ("Heard", "MemoryInput", "MemoryOutput", "MemoryTextOutput"),
    "realtime_connection": ("ServerManner",),
    "realtime_faults": ("WireFault", "drop", "freeze", "lag", "refuse"),
    "realtime_replies": ("FailedReply", "Question"),
    "realtime_server": ("ScriptedRealtimeServer",),
    "realtime_talk": ("RealtimeTalk",),
    "scripted_llm": ("Reply", "ScriptError", "ScriptedLLM", "call_function"),
    "scripted_realtime": ("Disconnect", "Emit", "ScriptedRealtimeModel", "UserTurn"),
    "scripted_stt": ("ScriptedSTT",),
    "scripted_tts": ("ScriptedTTS",),
    "scripted_turn_detector": ("ScriptedTurnDetector",),
    "scripted_vad": ("ScriptedVAD",),
    "speech": ("Speech", "TimedText"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
