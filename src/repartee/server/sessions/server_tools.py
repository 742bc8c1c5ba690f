"""Functions that run on the server: their calls are the model's affair and ours, the client only sees them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from repartee.chat import FunctionCall, FunctionTool, RunContext
from repartee.chat.tools import result_text
from repartee.compose.tasks import TaskOwner
from repartee.errors import ModelTimeoutError, ReparteeError, ToolError

__all__ = ["ServerTools"]


class ServerTools:
    """Runs functions beside the conversation.

    Args:
        tools: which there are.
        session: what a function's `RunContext` holds.
        userdata: likewise. Default: nothing.
        timeout_s: how long a function may take that doesn't say so itself.
        on_failure: told of what went wrong in a function; the model is told less.
    """

    def __init__(
        self,
        tools: Sequence[FunctionTool],
        *,
        session: Any,
        userdata: Any = None,
        timeout_s: float,
        on_failure: Callable[[ReparteeError], None],
    ) -> None:
        self.tools = tuple(tools)
        self._by_name = {tool.name: tool for tool in tools}
        self._session = session
        self._userdata = userdata
        self._timeout_s = timeout_s
        self._on_failure = on_failure
        self._tasks = TaskOwner(self._crashed)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    async def aclose(self) -> None:
        """Cancel what runs."""
        await self._tasks.aclose()

    def run(self, call: FunctionCall, on_result: Callable[[str, bool], None]) -> None:
        """Run a function.

        Args:
            call: of one of the tools.
            on_result: called once with its result as text and whether that is an error; never after `aclose`.
        """
        self._tasks.spawn(self._run(call, on_result), name=f"server.tool.{call.name}")

    async def _run(self, call: FunctionCall, on_result: Callable[[str, bool], None]) -> None:
        on_result(*await self._result(call))

    async def _result(self, call: FunctionCall) -> tuple[str, bool]:
        tool = self._by_name[call.name]
        limit_s = tool.timeout_s if tool.timeout_s is not None else self._timeout_s
        context = RunContext(self._session, call.call_id, call.name, self._userdata)
        try:
            async with asyncio.timeout(limit_s):
                return result_text(await _invoke(tool, call.arguments, context)), False
        except ToolError as error:
            return str(error), True
        except TimeoutError:
            message = f"the function {call.name!r} did not finish within {limit_s:g} s"
            self._on_failure(ModelTimeoutError(message, stage="tool"))
            return message, True
        except (
            Exception
        ) as error:  # whatever a user's function raises must reach the model, not end the session
            failure = ToolError(f"the function {call.name!r} raised {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._on_failure(failure)
            return f"the function {call.name!r} failed", True

    def _crashed(self, error: Exception) -> None:
        self._on_failure(ToolError(f"a function's result was not taken: {type(error).__name__}: {error}"))


async def _invoke(tool: FunctionTool, arguments: str, context: RunContext) -> Any:
    bound = tool.bind(arguments, context)
    if tool.is_async:
        return await tool.function(**bound)
    result = await asyncio.to_thread(tool.function, **bound)
    return await result if inspect.isawaitable(result) else result
