"""`Agent`: who converses: instructions, tools, and what to do at certain moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from repartee.chat import ChatContext, FunctionTool

if TYPE_CHECKING:
    from repartee.session.agent_session import AgentSession

__all__ = ["Agent"]


class Agent:
    """Who converses.

    Args:
        instructions: what the model is told about its part. Default: nothing.
        tools: functions that it may call, besides the session's.
        chat_context: what was said before. Default: nothing.
    """

    def __init__(
        self,
        instructions: str = "",
        *,
        tools: Sequence[FunctionTool] = (),
        chat_context: ChatContext | None = None,
    ) -> None:
        self.instructions = instructions
        self.tools = tuple(tools)
        self.chat_context = chat_context.copy() if chat_context is not None else ChatContext()

    async def on_enter(self, session: AgentSession) -> None:
        """The session runs. Override to greet, for example. Default: nothing."""

    async def on_exit(self, session: AgentSession) -> None:
        """The session is about to end. Default: nothing."""
