"""What a session, and one response, ask of the model: the protocol's configuration as the model's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from repartee.chat import FunctionTool, ToolChoice
from repartee.models import Modality, ResponseOptions, SessionOptions
from repartee.models.wire import choice_of, declared_tools
from repartee.protocol.config import (
    AudioOutputConfig,
    RealtimeSession,
    SessionConfig,
    Transcription,
    VoiceId,
)
from repartee.protocol.model import given, to_raw
from repartee.protocol.response_writer import ResponseWriter
from repartee.protocol.responses import ResponseParams
from repartee.protocol.sessions import input_of, output_of
from repartee.server.served import Served
from repartee.server.sessions.inner_conversation import InnerConversation

__all__ = ["Asked", "asked_of", "offered_tools", "session_options", "speed_of"]


def session_options(session: SessionConfig | None, served: Served) -> SessionOptions:
    """The standing configuration of the model's session."""
    if not isinstance(session, RealtimeSession):
        return SessionOptions(modalities=("text",))
    modalities: tuple[Modality, ...] = (
        ("text",) if given(session.output_modalities, ["audio"]) == ["text"] else ("audio",)
    )
    return SessionOptions(
        instructions=served.policy.before(given(session.instructions, "") or ""),
        tools=offered_tools(declared_tools(given(session.tools, []) or ()), served),
        tool_choice=choice_of(given(session.tool_choice, None) or "auto"),
        modalities=modalities,
        voice=_voice(output_of(session), served),
        max_output_tokens=served.policy.limit(_limit(session)),
        transcription=_transcription(session),
    )


def offered_tools(declared: tuple[FunctionTool, ...], served: Served) -> tuple[FunctionTool, ...]:
    """The client's functions and the server's; of one name, the client's.

    The functions that a model brings along are offered where nobody else has any.
    """
    names = {tool.name for tool in declared}
    own = served.tools or (() if declared else served.model.default_tools)
    return declared + tuple(tool for tool in own if tool.name not in names)


def speed_of(session: SessionConfig | None) -> float:
    """How fast the session speaks."""
    return given(output_of(session).speed, 1.0) or 1.0


def _voice(output: AudioOutputConfig, served: Served) -> str | None:
    voice = given(output.voice, None)
    name = voice.id if isinstance(voice, VoiceId) else voice
    if served.voices:
        return name if name in served.voices else None
    return name if name and served.model.capabilities.voices != () else None


def _transcription(session: RealtimeSession) -> dict[str, Any] | None:
    asked = input_of(session).transcription
    return to_raw(asked) if isinstance(asked, Transcription) else None


def _limit(of: RealtimeSession | ResponseParams) -> int | None:
    limit = given(of.max_output_tokens, None)
    return limit if isinstance(limit, int) else None


@dataclass(frozen=True, slots=True)
class Asked:
    """One response, as it is asked of the model."""

    options: ResponseOptions
    server_tools: frozenset[str]
    """Names of the functions that it is offered and that run here."""
    limit: int | None
    """The most output tokens."""
    parallel: bool
    """Whether it may hold several calls."""


def asked_of(
    writer: ResponseWriter,
    session: SessionConfig | None,
    served: Served,
    conversation: InnerConversation,
    *,
    follow_up: ToolChoice | None = None,
    hint: str = "",
) -> Asked:
    """What a response asks of the model.

    Args:
        writer: of the response, with what the client wants of it.
        session: as it is now.
        served: what is served.
        conversation: for what its input refers to.
        follow_up: it carries on after functions have run on the server, with this choice of tools.
        hint: goes behind the instructions.
    """
    params = writer.params
    assert isinstance(session, RealtimeSession)
    own_tools = isinstance(params.tools, list)
    declared = declared_tools(given(params.tools if own_tools else session.tools, []) or ())
    tools: tuple[FunctionTool, ...] | None = None
    if not writer.in_conversation or (own_tools and not declared):
        tools = declared  # the server's functions have their effect in the conversation: not beside it
    elif own_tools:
        tools = offered_tools(declared, served)
    choice = params.tool_choice
    instructions = given(params.instructions, None)
    if hint:
        instructions = f"{instructions or given(session.instructions, '') or ''}\n\n{hint}"
    if instructions is not None:
        instructions = served.policy.before(instructions)
    limit = served.policy.limit(_limit(params) if params.max_output_tokens else _limit(session))
    parallel = given(params.parallel_tool_calls, given(session.parallel_tool_calls, True))
    items = params.input
    options = ResponseOptions(
        request_id=writer.id,
        instructions=instructions,
        input=conversation.input_of(items) if isinstance(items, list) else None,
        conversation="auto" if writer.in_conversation else "none",
        tools=tools,
        tool_choice=follow_up or (choice_of(choice) if choice else None),
        modalities=("text",) if writer.modality == "text" else ("audio",),
        voice=_voice(output_of(params), served),
        max_output_tokens=limit,
        metadata=given(params.metadata, {}) or {},
        follow_up=follow_up is not None,
    )
    offered = offered_tools(declared, served) if tools is None else tools
    here = frozenset(tool.name for tool in offered) - {tool.name for tool in declared}
    return Asked(options, here, limit, parallel is not False)
