"""The protocol's configuration as the model's options."""

from __future__ import annotations

from repartee.chat import function_tool
from repartee.compose import Conversing, Spoken
from repartee.models.wire import declared_tools
from repartee.protocol.config import (
    AudioOutputConfig,
    RealtimeSession,
    SessionAudio,
    TranscriptionSession,
    VoiceId,
)
from repartee.protocol.tools import FunctionTool, ToolChoice
from repartee.server.served import Served
from repartee.server.sessions.requests import offered_tools, session_options, speed_of
from repartee.testing import ScriptedLLM, ScriptedTTS


@function_tool
async def clock() -> str:
    """The time."""
    return "noon"


@function_tool
async def weather() -> str:
    """The weather."""
    return "fine"


def served(*, voices: tuple[str, ...] = (), default: bool = False, own: bool = False) -> Served:
    """A text model."""
    llm = ScriptedLLM()
    llm.default_tools = (clock,) if default else ()
    return Served.of(Conversing(llm), voices=voices, tools=[weather] if own else [])


def voiced(voice: str | VoiceId) -> RealtimeSession:
    """A session with that voice."""
    return RealtimeSession(audio=SessionAudio(output=AudioOutputConfig(voice=voice, speed=1.2)))


def test_a_session_as_options() -> None:
    session = RealtimeSession(
        instructions="Be kind.",
        tools=[FunctionTool(name="f")],
        tool_choice=ToolChoice(type="function", name="f"),
        output_modalities=["text"],
        max_output_tokens=100,
    )
    options = session_options(session, served())
    assert (options.instructions, options.tool_choice, options.modalities) == ("Be kind.", "f", ("text",))
    assert [tool.name for tool in options.tools] == ["f"]
    assert options.max_output_tokens == 100
    plain = session_options(RealtimeSession(max_output_tokens="inf"), served())
    assert (plain.max_output_tokens, plain.tool_choice, plain.modalities) == (None, "auto", ("audio",))
    assert session_options(TranscriptionSession(), served()).modalities == ("text",)


def test_only_voices_that_the_model_knows() -> None:
    assert session_options(voiced("alloy"), served()).voice == "alloy"
    assert session_options(voiced(VoiceId(id="mine")), served()).voice == "mine"
    assert session_options(voiced("alloy"), served(voices=("en-us",))).voice is None
    one, two = (Spoken(Conversing(ScriptedLLM()), ScriptedTTS(voices=names)) for names in ([], ["ada"]))
    assert session_options(voiced("alloy"), Served.of(one)).voice is None  # it has nothing to choose from
    assert session_options(voiced("alloy"), Served.of(two)).voice == "alloy"  # it may know more than it lists
    assert session_options(voiced("en-us"), served(voices=("en-us",))).voice == "en-us"
    assert speed_of(voiced("x")) == 1.2
    assert speed_of(None) == 1.0


def test_whose_functions_are_offered() -> None:
    declared = declared_tools([FunctionTool(name="weather"), FunctionTool(name="f")])
    assert [tool.name for tool in offered_tools((), served(default=True))] == ["clock"]
    assert [tool.name for tool in offered_tools((), served(default=True, own=True))] == ["weather"]
    assert [tool.name for tool in offered_tools(declared, served(default=True))] == ["weather", "f"]
    mixed = offered_tools(declared, served(own=True))
    assert [tool.name for tool in mixed] == ["weather", "f"]
    assert mixed[0] is declared[0]
