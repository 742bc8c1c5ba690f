"""Functions beside the conversation: one result for each call, and nothing spoken stale."""

from __future__ import annotations

import pytest

from repartee.chat import FunctionCall, FunctionCallOutput, RunContext, function_tool
from repartee.errors import ToolError
from repartee.models import ChatRequest, LLMCapabilities
from repartee.models import events as ev
from repartee.session import Agent
from repartee.testing import Reply, ScriptedLLM, call_function, elapse, virtual_time
from tests.session.scene import Scene

BOOK = "book a table"


@function_tool
def weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: where.
    """
    return f"sunny in {city}"


@function_tool
async def slow_weather(city: str) -> str:
    """Tell the weather, after a while.

    Args:
        city: where.
    """
    await elapse(1.0)
    return f"sunny in {city}"


@function_tool
def broken() -> str:
    """Fail."""
    raise OSError("no network")


@function_tool
def refuses() -> str:
    """Refuse."""
    raise ToolError("there is no table left")


@function_tool(timeout_s=2.0)
async def endless() -> str:
    """Never end."""
    await elapse(1000.0)
    return "done"


def kinds(scene: Scene) -> list[str]:
    """The history, a word or two an item."""
    return [
        f"{item.name}()"
        if isinstance(item, FunctionCall)
        else f"= {item.output}"
        if isinstance(item, FunctionCallOutput)
        else f"{item.role}: {item.text}" + ("–" if item.interrupted else "")
        for item in scene.session.history
    ]


def scene_of(*replies: object, tools: tuple[object, ...] = (), **options: object) -> Scene:
    return Scene(*replies, agent=Agent(tools=tools), **options)  # type: ignore[arg-type]


@virtual_time
async def test_a_sync_function() -> None:
    async with scene_of(call_function("weather", city="Rome"), "Sunny.", tools=(weather,)) as scene:
        handle = await scene.session.send_text("weather in rome")
        # 140 ms until the call is complete; the thread takes no time; then 100 + 50 ms and a word.
        assert scene.session.now == pytest.approx(0.49)
    assert kinds(scene) == [
        "user: weather in rome",
        "weather()",
        "= sunny in Rome",
        "assistant: Sunny.",
    ]
    assert len(handle.response_ids) == 2
    assert [type(item).__name__ for item in handle.items] == ["FunctionCall", "Message"]
    assert [state for _, state in scene.agent_states] == [
        "listening",
        "thinking",
        "speaking",
        "listening",
        "idle",
    ]


@virtual_time
async def test_an_async_function_after_a_voice_turn() -> None:
    async with scene_of(call_function("slow_weather", city="Rome"), "Sunny.", tools=(slow_weather,)) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(6)
    # The call was in the draft; it is made at the decision (2484), and takes a second.
    assert scene.spans_ms == [(3634, 3834)]
    assert kinds(scene)[1:3] == ["slow_weather()", "= sunny in Rome"]


@virtual_time
async def test_a_draft_calls_nothing_before_the_turn_is_committed() -> None:
    called: list[float] = []

    @function_tool
    async def order(dish: str) -> str:
        """Order.

        Args:
            dish: what.
        """
        called.append(scene.session.now)
        return "ordered"

    llm = ScriptedLLM(
        {
            BOOK: call_function("order", "call_a", dish="one"),
            BOOK + " for two": call_function("order", "call_b", dish="two"),
        }
    )
    llm2 = ScriptedLLM(lambda request: _once(llm, request))
    scene = Scene(model=llm2, agent=Agent(tools=(order,)))
    async with scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.speak(
            "for two", 2.34
        )  # 380 ms later: the draft of the first words has made its call by then
        await scene.until(8)
    assert llm2.records[0].outcome == "completed"
    assert called == [pytest.approx(3.508)]
    calls = [item.call_id for item in scene.session.history if isinstance(item, FunctionCall)]
    assert calls == ["call_b"]


def _once(llm: ScriptedLLM, request: ChatRequest) -> str | Reply | FunctionCall:
    """Call a function for the user's words, and end with a word once there is a result."""
    if isinstance(request.context.items[-1], FunctionCallOutput):
        return "Ordered."
    return llm._choose(request)


@virtual_time
async def test_parallel_functions_have_one_answer() -> None:
    calls = (call_function("slow_weather", city="Rome"), call_function("weather", city="Oslo"))
    async with scene_of(Reply("One moment.", calls), "Sunny.", tools=(weather, slow_weather)) as scene:
        await scene.session.send_text("weather")
    assert kinds(scene) == [
        "user: weather",
        "assistant: One moment.",
        "slow_weather()",
        "weather()",
        "= sunny in Oslo",
        "= sunny in Rome",
        "assistant: Sunny.",
    ]
    assert scene.heard == "One moment. Sunny."


@virtual_time
async def test_the_answer_does_not_speak_over_what_was_said_before_the_call() -> None:
    reply = Reply("Let me have a look at it for you now.", (call_function("weather", city="Rome"),))
    async with scene_of(reply, "Sunny.", tools=(weather,)) as scene:
        handle = scene.session.send_text("weather")
        await handle
    first, second = scene.spans_ms
    assert first[1] - first[0] == 2000
    assert second[0] - first[1] == pytest.approx(150.0)


@pytest.mark.parametrize(
    "call, output, told",
    [
        (call_function("broken"), "the function 'broken' failed", "ToolError"),
        (call_function("refuses"), "there is no table left", None),
        (call_function("endless"), "the function 'endless' did not finish within 2 s", "ModelTimeoutError"),
        (
            call_function("nothing"),
            "there is no function 'nothing'; there are: weather, broken, refuses, endless",
            None,
        ),
        (call_function("weather", town="Rome"), None, None),
        (FunctionCall("weather", "{not json"), None, None),
    ],
    ids=["raises", "refuses", "times out", "unknown", "wrong arguments", "no JSON"],
)
@virtual_time
async def test_a_call_that_fails_is_told_to_the_model(
    call: FunctionCall, output: str | None, told: str | None
) -> None:
    async with scene_of(call, "Sorry.", tools=(weather, broken, refuses, endless)) as scene:
        await scene.session.send_text("go")
    result = scene.session.history.items[2]
    assert isinstance(result, FunctionCallOutput)
    assert result.is_error
    assert result.output == output or (output is None and "weather was not called" in result.output)
    assert scene.errors == ([("tool", told)] if told else [])
    assert scene.heard == "Sorry."
    assert "no network" not in result.output  # what a function raises may hold secrets


@virtual_time
async def test_the_user_interrupts_while_a_function_runs() -> None:
    llm = ScriptedLLM(
        {"weather": call_function("slow_weather", city="Rome"), "no stop it": "Fine."}, ttft_s=0.1
    )
    async with Scene(model=llm, agent=Agent(tools=(slow_weather,))) as scene:
        scene.mic.speak("weather", 0.96)  # committed at 1824; the function runs until 2824
        scene.mic.speak("no stop it", 1.92, words_per_s=6.0)
        await scene.until(8)
    assert scene.heard == "Fine."
    # The result is kept, behind its call, and the model knows it.
    assert kinds(scene) == [
        "user: weather",
        "slow_weather()",
        "= sunny in Rome",
        "user: no stop it",
        "assistant: Fine.",
    ] or kinds(scene) == [
        "user: weather",
        "slow_weather()",
        "user: no stop it",
        "= sunny in Rome",
        "assistant: Fine.",
    ]


@virtual_time
async def test_a_result_that_comes_after_the_next_turn_is_kept_and_not_spoken() -> None:
    llm = ScriptedLLM({"weather": call_function("slow_weather", city="Rome"), "*": "Fine."})
    async with Scene(model=llm, agent=Agent(tools=(slow_weather,))) as scene:
        await scene.until(1)
        first = scene.session.send_text("weather")
        await scene.until(1.5)
        second = scene.session.send_text("never mind")
        await second
        await scene.until(6)
        assert first.done
    assert first.interrupted
    assert scene.heard == "Fine."
    assert "= sunny in Rome" in kinds(scene)


@virtual_time
async def test_interrupting_what_is_said_before_the_result_ends_the_round() -> None:
    reply = Reply("Let me have a look at it for you now.", (call_function("slow_weather", city="Rome"),))
    llm = ScriptedLLM({"weather": reply, "*": "Fine."})
    async with Scene(model=llm, agent=Agent(tools=(slow_weather,))) as scene:
        await scene.until(1)
        handle = scene.session.send_text("weather")  # said from 1170 to 3170
        scene.mic.speak("stop stop", 1.6)
        await scene.until(8)
    assert handle.interrupted
    assert scene.heard.endswith("Fine.")
    assert kinds(scene)[-1] == "assistant: Fine."
    assert kinds(scene).count("= sunny in Rome") == 1


@virtual_time
async def test_max_tool_steps() -> None:
    def reply(request: ChatRequest) -> str | Reply | FunctionCall:
        return "Enough." if request.tool_choice == "none" else call_function("weather", city="Rome")

    async with Scene(
        model=ScriptedLLM(reply),
        agent=Agent(tools=(weather,)),
        max_tool_steps=2,
    ) as scene:
        await scene.session.send_text("weather")
    assert [request.tool_choice for request in scene.llm.requests] == ["auto", "auto", "none"]
    assert scene.heard == "Enough."


@virtual_time
async def test_a_function_may_speak_meanwhile() -> None:
    @function_tool
    async def look(context: RunContext) -> str:
        """Look."""
        context.session.say("One moment.")
        await elapse(3.0)
        return str(context.userdata["answer"])

    async with scene_of(call_function("look"), "Sunny.", tools=(look,), userdata={"answer": "42"}) as scene:
        await scene.session.send_text("weather")
    assert scene.heard == "One moment. Sunny."
    assert "= 42" in kinds(scene)


@virtual_time
async def test_closing_while_a_function_runs_leaves_a_result() -> None:
    async with scene_of(call_function("endless"), tools=(endless,)) as scene:
        handle = scene.session.send_text("go")
        await scene.until(1)
    assert handle.done
    assert kinds(scene)[-1] == "= the call was cancelled: the session has ended"


@virtual_time
async def test_a_cancelled_response_keeps_the_result_of_its_call() -> None:
    # The first call is complete, the second still being written, when the answer is interrupted.
    calls = (call_function("slow_weather", city="Rome"), call_function("weather", city="Oslo"))
    async with scene_of(
        Reply("", calls, inter_token_s=0.3), tools=(weather, slow_weather), loudspeaker=None
    ) as scene:
        scene.session.send_text("weather")
        await scene.until(1.2)
        scene.session.interrupt()
        await scene.until(4)
    assert kinds(scene) == ["user: weather", "slow_weather()", "= sunny in Rome"]


@virtual_time
async def test_a_model_without_tools_is_not_offered_any() -> None:
    llm = ScriptedLLM(["Yes."], capabilities=LLMCapabilities(tools=False))
    async with Scene(model=llm, agent=Agent(tools=(weather,))) as scene:
        await scene.session.send_text("weather")
    assert scene.heard == "Yes."


@virtual_time
async def test_tools_for_one_reply_alone() -> None:
    async with Scene(call_function("weather", city="Rome"), "Sunny.") as scene:
        await scene.session.generate_reply(user_input="weather", tools=(weather,))
    assert "= sunny in Rome" in kinds(scene)


@virtual_time
async def test_the_session_shows_thinking_while_a_function_runs() -> None:
    async with scene_of(call_function("slow_weather", city="Rome"), "Sunny.", tools=(slow_weather,)) as scene:
        scene.session.send_text("weather")
        await scene.until(0.8)
        assert scene.session.agent_state == "thinking"
        await scene.session.wait_for_idle()
        assert scene.session.now == pytest.approx(1.49)
    assert len(scene.events(ev.ResponseCreated)) == 2
