"""Functions that run on the server."""

from __future__ import annotations

import asyncio

from repartee.chat import FunctionCall, RunContext, function_tool
from repartee.errors import ReparteeError, ToolError
from repartee.server.sessions.server_tools import ServerTools
from repartee.testing import elapse, virtual_time


@function_tool
async def slow(context: RunContext, wait_s: float) -> str:
    """Wait."""
    await elapse(wait_s)
    return f"{context.session} {context.call_id}"


@function_tool
def plain(x: int) -> dict[str, int]:
    """Not a coroutine."""
    return {"x": x}


@function_tool
async def crash() -> str:
    """Fail in an unforeseen way."""
    raise ZeroDivisionError("oh")


@function_tool
async def refuse() -> str:
    """Fail in words."""
    raise ToolError("not today")


class Kit:
    """Tools, and what came of them."""

    def __init__(self) -> None:
        self.failures: list[ReparteeError] = []
        self.results: list[tuple[str, bool]] = []
        self.tools = ServerTools(
            [slow, plain, crash, refuse], session="here", timeout_s=5.0, on_failure=self.failures.append
        )

    async def run(self, name: str, arguments: str = "{}") -> tuple[str, bool]:
        """The result of a call."""
        done: asyncio.Future[tuple[str, bool]] = asyncio.get_running_loop().create_future()
        call = FunctionCall(name, arguments, "call_1")
        self.tools.run(call, lambda output, is_error: done.set_result((output, is_error)))
        return await done


@virtual_time
async def test_results_as_text_and_who_asked() -> None:
    kit = Kit()
    assert "slow" in kit.tools
    assert "other" not in kit.tools
    assert await kit.run("slow", '{"wait_s": 1}') == ("here call_1", False)
    assert await kit.run("plain", '{"x": 3}') == ('{"x": 3}', False)
    await kit.tools.aclose()


@virtual_time
async def test_failures_are_results() -> None:
    kit = Kit()
    assert await kit.run("refuse") == ("not today", True)
    assert kit.failures == []
    assert await kit.run("crash") == ("the function 'crash' failed", True)
    assert await kit.run("slow", '{"wait_s": 9}') == ("the function 'slow' did not finish within 5 s", True)
    output, is_error = await kit.run("plain", '{"x": "y"}')
    assert is_error
    assert "was not called" in output
    assert ["raised" in str(each) or "finish" in str(each) for each in kit.failures] == [True, True]
    await kit.tools.aclose()


@virtual_time
async def test_the_end_cancels_what_runs() -> None:
    kit = Kit()
    kit.tools.run(FunctionCall("slow", '{"wait_s": 3}'), lambda *result: kit.results.append(result))
    await elapse(0.1)
    await kit.tools.aclose()
    await elapse(5)
    assert kit.results == []


@virtual_time
async def test_a_result_that_nobody_can_take_is_a_failure() -> None:
    kit = Kit()

    def refuses(output: str, is_error: bool) -> None:
        raise RuntimeError("no")

    kit.tools.run(FunctionCall("plain", '{"x": 1}'), refuses)
    await elapse(0.1)
    assert "RuntimeError" in str(kit.failures[0])
    await kit.tools.aclose()
