"""`ToolRunner`: runs the functions that a model asks for, beside the conversation."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from repartee.chat import FunctionCall, FunctionCallOutput, FunctionTool, RunContext
from repartee.chat.tools import result_text
from repartee.compose.tasks import TaskOwner
from repartee.errors import ModelTimeoutError, ReparteeError, ToolError
from repartee.models.events import ErrorOccurred, RealtimeEvent

__all__ = ["Round", "ToolOwner", "ToolRunner"]


class ToolOwner(Protocol):
    """What the runner needs of the session that it serves."""

    userdata: Any

    def tool_result(self, output: FunctionCallOutput) -> None:
        """A function has given its result."""

    def round_finished(self, finished: Round) -> None:
        """Every function of a response has given its result, and the response has ended."""

    def tell(self, event: RealtimeEvent) -> None:
        """Something for the session's consumers."""


@dataclass(slots=True)
class Round:
    """The calls of one response."""

    response_id: str
    running: int = 0
    calls: int = 0
    response_done: bool = False
    completed: bool = False
    """Whether the response ended as it should, so that the model is to be asked again."""
    names: list[str] = field(default_factory=list)


class ToolRunner:
    """Runs functions as child tasks: the conversation, and its interruption, go on meanwhile.

    Args:
        owner: the session.
        timeout_s: how long a function may take that does not say so itself.
    """

    def __init__(self, owner: ToolOwner, *, timeout_s: float) -> None:
        self._owner = owner
        self._timeout_s = timeout_s
        self._tasks = TaskOwner(self._crashed)
        self._rounds: dict[str, Round] = {}

    async def aclose(self) -> None:
        """Cancel what runs."""
        await self._tasks.aclose()

    def call(self, response_id: str, call: FunctionCall, tools: Sequence[FunctionTool]) -> None:
        """Run a function; exactly one result follows."""
        this = self._rounds.setdefault(response_id, Round(response_id))
        this.running += 1
        this.calls += 1
        this.names.append(call.name)
        self._tasks.spawn(self._run(this, call, tools), name=f"tool.{call.name}")

    def response_done(self, response_id: str, *, completed: bool) -> None:
        """The response that asked has ended."""
        this = self._rounds.get(response_id)
        if this is not None:
            this.response_done, this.completed = True, completed
            self._finish(this)

    async def _run(self, this: Round, call: FunctionCall, tools: Sequence[FunctionTool]) -> None:
        output, is_error = "the call was cancelled: the session has ended", True
        try:
            output, is_error = await self._result(call, tools)
        finally:
            self._owner.tool_result(FunctionCallOutput(call.call_id, output, is_error))
            this.running -= 1
            self._finish(this)

    async def _result(self, call: FunctionCall, tools: Sequence[FunctionTool]) -> tuple[str, bool]:
        """The function's result as text, and whether it is an error: the model is told either way."""
        tool = next((tool for tool in tools if tool.name == call.name), None)
        if tool is None:
            known = ", ".join(tool.name for tool in tools) or "none"
            return f"there is no function {call.name!r}; there are: {known}", True
        limit_s = tool.timeout_s if tool.timeout_s is not None else self._timeout_s
        context = RunContext(self._owner, call.call_id, call.name, self._owner.userdata)
        try:
            async with asyncio.timeout(limit_s):
                return result_text(await self._invoke(tool, call.arguments, context)), False
        except ToolError as error:
            return str(error), True
        except TimeoutError:
            message = f"the function {call.name!r} did not finish within {limit_s:g} s"
            self._owner.tell(ErrorOccurred(ModelTimeoutError(message, stage="tool"), "tool"))
            return message, True
        except Exception as error:  # whatever a user's function raises must reach the model, not end the call
            failure = error if isinstance(error, ReparteeError) else _failure(call.name, error)
            self._owner.tell(ErrorOccurred(failure, "tool"))
            return f"the function {call.name!r} failed", True

    async def _invoke(self, tool: FunctionTool, arguments: str, context: RunContext) -> Any:
        bound = tool.bind(arguments, context)
        if tool.is_async:
            return await tool.function(**bound)
        result = await asyncio.to_thread(tool.function, **bound)
        return await result if inspect.isawaitable(result) else result

    def _finish(self, this: Round) -> None:
        if this.response_done and not this.running and self._rounds.pop(this.response_id, None) is not None:
            self._owner.round_finished(this)

    def _crashed(self, error: Exception) -> None:
        self._owner.tell(ErrorOccurred(_failure("?", error), "tool"))


def _failure(name: str, error: Exception) -> ToolError:
    failure = ToolError(f"the function {name!r} raised {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
