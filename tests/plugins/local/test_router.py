from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.usefulness import requests, run
from repartee.chat import (
    ChatContext,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    ToolChoice,
    function_tool,
)
from repartee.models.llm import CallDone, ChatChunk, ChatRequest, TextDelta, Usage
from repartee.plugins.local.functions import BUILTIN_TOOLS
from repartee.plugins.local.router import Call, Decision, Reply, Router, route

ROUTER = Router()


def request(
    *said: str,
    tools: tuple[FunctionTool, ...] = BUILTIN_TOOLS,
    tool_choice: ToolChoice = "auto",
    instructions: str = "",
) -> ChatRequest:
    """Turns by the user and the assistant in alternation, the user's last."""
    context = ChatContext()
    for at, text in enumerate(said):
        context.add_message("assistant" if at % 2 else "user", text)
    return ChatRequest(context, instructions, tools, tool_choice)


def decide(*said: str, **options: Any) -> Decision:
    return ROUTER.decide(request(*said, **options))


def called(decision: Decision) -> list[tuple[str, dict[str, Any]]]:
    assert isinstance(decision, Call), decision
    return [(call.name, json.loads(call.arguments)) for call in decision.calls]


# -- the everyday requests, without the engine ---------------------------------------------------------------------


async def _model(request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
    yield TextDelta("(the model answers)")


@pytest.mark.parametrize("split", ["tune", "test"])
def test_every_request_for_a_function_finds_it(split: str) -> None:
    outcomes = asyncio.run(run(lambda request: route(request) or _model(request), split))
    misses = [
        (outcome.row["text"], outcome.problem)
        for outcome in outcomes
        if outcome.problem and ("call" in outcome.row or outcome.calls)
    ]
    asked = sum("call" in row for row in requests(split))
    assert len(misses) <= 0.1 * asked, misses


# -- what is no request for a function -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "what time does the train leave",
        "i have no time",
        "he set the table for ten minutes",
        "they say money can buy happiness",
        "tell me about the date palm",
        "how do i write a letter",
        "what do you call a baby cat",
        "who won world war two",
        "what year did world war two end",
        "what day is christmas",
        "how much time do i need to boil an egg",
        "what is love",
        "what is two",
        "ten minutes",
        "cancel my subscription",
        "what is the best way to cook rice",
        "i like to play football",
        "why is the sky blue",
        "",
        "...",
    ],
)
def test_other_subjects_go_to_the_model(text: str) -> None:
    assert decide(text) is None


@pytest.mark.parametrize(
    "text, source",
    [
        ("hello", "greeting"),
        ("good morning how are you", "greeting"),
        ("thank you so much", "thanks"),
        ("what's the wether like", "weather"),
        ("can you call my mother", "call"),
        ("turn on the kitchen light", "home"),
        ("what time is it in tokyo", "elsewhere"),
        ("set an alarm for seven am", "alarm"),
        ("never mind", "stop"),
    ],
)
def test_what_is_answered_by_heart(text: str, source: str) -> None:
    decision = decide(text)
    assert isinstance(decision, Reply)
    assert decision.source == source


def test_a_joke_is_not_told_twice_in_a_row() -> None:
    first = decide("tell me a joke")
    assert isinstance(first, Reply)
    second = decide("tell me a joke", first.text, "tell me another joke")
    assert isinstance(second, Reply)
    assert first.text != second.text


def test_it_is_who_its_instructions_say() -> None:
    named = decide("who are you", instructions="You are Ann, the receptionist of a hotel. Be brief.")
    assert named == Reply("I am Ann.", "who")
    assert decide("who are you") == Reply("I am a voice assistant.", "who")


def test_skills_are_those_of_the_session() -> None:
    assert decide("what can you do", tools=()) == Reply(
        "I can answer simple questions and talk a little.", "skills"
    )
    ours = decide("what can you do")
    assert isinstance(ours, Reply)
    assert "set timers" in ours.text


# -- missing arguments ---------------------------------------------------------------------------------------------


def test_what_is_missing_is_asked_for_and_completes_the_call() -> None:
    assert decide("set a timer") == Reply("For how long?", "question")
    assert called(decide("set a timer", "For how long?", "ten minutes")) == [
        ("set_timer", {"duration_s": 600})
    ]
    assert called(decide("set a timer", "For how long?", "oh make it an hour please")) == [
        ("set_timer", {"duration_s": 3600})
    ]
    assert called(decide("spell it", "Which word?", "banana")) == [("spell", {"word": "banana"})]


def test_the_user_may_think_of_something_else() -> None:
    assert called(decide("set a timer", "For how long?", "what time is it")) == [("tell_time", {})]
    stopped = decide("set a timer", "For how long?", "never mind")
    assert isinstance(stopped, Reply)
    assert stopped.source == "stop"


def test_only_our_own_question_is_completed() -> None:
    assert decide("set a timer", "How old are you?", "ten minutes") is None
    assert decide("i like cooking", "For how long?", "ten minutes") is None


@function_tool(examples=["book a table", "book a table for {guests} {day}", "reserve a table"])
def book_table(guests: int, day: Literal["today", "tomorrow"], name: str) -> str:
    """Book a table."""
    return ""


def test_several_arguments_are_asked_for_in_turn() -> None:
    tools = (book_table,)
    dialogue = ["please book a table tomorrow"]
    asked: list[str] = []
    for answer in ("we are four", "the name is Tom"):
        decision = decide(*dialogue, tools=tools)
        assert isinstance(decision, Reply)
        asked.append(decision.text)
        dialogue += [decision.text, answer]
    assert asked == ["How many guests?", "Which name?"]
    assert called(decide(*dialogue, tools=tools)) == [
        ("book_table", {"day": "tomorrow", "guests": 4, "name": "Tom"})
    ]


# -- several requests ----------------------------------------------------------------------------------------------


def test_two_requests_in_one_breath() -> None:
    assert called(decide("tell me the time and set a timer for five minutes")) == [
        ("tell_time", {}),
        ("set_timer", {"duration_s": 300}),
    ]
    assert called(decide("set a timer for an hour and five minutes")) == [("set_timer", {"duration_s": 3900})]


# -- the user's own tools ------------------------------------------------------------------------------------------


@function_tool
def get_weather(city: str) -> str:
    """Get the current weather for a city."""
    return ""


@function_tool
def set_light(room: Literal["kitchen", "living_room"], is_on: bool = True) -> str:
    """Turn the light in a room on or off."""
    return ""


@function_tool
def order_status(order_number: Annotated[int, "the number"]) -> str:
    """Tell the status of an order."""
    return ""


OWN = (get_weather, set_light, order_status, book_table)


@pytest.mark.parametrize(
    "text, name, arguments",
    [
        ("what's the weather in paris", "get_weather", {"city": "paris"}),
        ("get the weather for New York please", "get_weather", {"city": "New York"}),
        ("turn the light in the kitchen on", "set_light", {"room": "kitchen"}),
        (
            "please turn off the light in the living room",
            "set_light",
            {"room": "living_room", "is_on": False},
        ),
        ("what is the status of order number forty two", "order_status", {"order_number": 42}),
    ],
)
def test_tools_without_examples_are_found_by_their_descriptions(
    text: str, name: str, arguments: dict[str, Any]
) -> None:
    [(found, given_arguments)] = called(decide(text, tools=OWN))
    assert found == name
    assert {key: given_arguments.get(key) for key in arguments} == arguments


def test_nothing_is_refused_that_the_users_tools_are_about() -> None:
    # "I can't look up the weather" would be a lie in a session that has a function for it.
    for text in ("what about the weather", "will the weather be good"):
        decision = decide(text, tools=OWN)
        assert not (isinstance(decision, Reply) and decision.source == "weather")


def test_choices_survive_recognition_errors() -> None:
    tools = (function_tool(examples=["turn on the light in the {room}"])(set_light.function),)
    assert called(decide("turn on the light in the kitchin", tools=tools)) == [
        ("set_light", {"room": "kitchen", "is_on": True})
    ]
    assert decide("turn on the light", tools=tools) == Reply(
        "Which room: kitchen or living room?", "question"
    )


# -- tool choice ---------------------------------------------------------------------------------------------------


def test_none_means_none() -> None:
    assert decide("what is two plus two", tool_choice="none") is None
    greeting = decide("hello", tool_choice="none")
    assert isinstance(greeting, Reply)


def test_required_takes_the_likest() -> None:
    [(name, _)] = called(decide("well the time i guess", tool_choice="required"))
    assert name == "tell_time"


def test_a_named_tool_is_called() -> None:
    assert called(decide("hello", tool_choice="tell_date")) == [("tell_date", {})]
    assert called(decide("ten minutes", tool_choice="set_timer")) == [("set_timer", {"duration_s": 600})]
    assert decide("hello", tool_choice="set_timer") == Reply("For how long?", "question")
    assert decide("frobnicate", tool_choice="unknown_tool") is None


# -- outputs -------------------------------------------------------------------------------------------------------


def test_an_output_is_spoken() -> None:
    context = ChatContext()
    context.add_message("user", "what time is it")
    context.insert(FunctionCall("tell_time", "{}", "k1"))
    context.insert(FunctionCall("tell_date", "{}", "k2"))
    context.insert(FunctionCallOutput("k1", "It is 3 PM."))
    context.insert(FunctionCallOutput("k2", '{"day": "Monday"}'))
    spoken = ROUTER.decide(ChatRequest(context, tools=BUILTIN_TOOLS))
    assert spoken == Reply("It is 3 PM. The day is Monday.", "output")
    context.add_message("user", "frobnicate")
    assert ROUTER.decide(ChatRequest(context, tools=BUILTIN_TOOLS)) is None  # spoken about already


def test_without_the_users_words_there_is_nothing_to_match() -> None:
    context = ChatContext()
    assert ROUTER.decide(ChatRequest(context)) is None
    context.add_message("system", "hello")
    assert ROUTER.decide(ChatRequest(context)) is None
    context.add_message("assistant", "hello")
    assert ROUTER.decide(ChatRequest(context)) is None


def test_a_model_that_talks_well_is_left_to_talk() -> None:
    router = Router(functions_only=True)
    assert called(router.decide(request("what time is it"))) == [("tell_time", {})]
    assert router.decide(request("hello")) is None
    context = ChatContext([FunctionCall("f", "{}", "k"), FunctionCallOutput("k", "x")])
    assert router.decide(ChatRequest(context)) is None


# -- as chunks -----------------------------------------------------------------------------------------------------


async def _collect(chunks: AsyncGenerator[ChatChunk, None]) -> list[ChatChunk]:
    return [chunk async for chunk in chunks]


def test_chunks() -> None:
    reply = route(request("set a timer"))
    assert reply is not None
    assert asyncio.run(_collect(reply)) == [TextDelta("For how long?"), Usage()]
    call = route(request("what time is it"))
    assert call is not None
    [done, usage] = asyncio.run(_collect(call))
    assert isinstance(done, CallDone)
    assert (done.call.name, done.call.arguments, usage) == ("tell_time", "{}", Usage())
    assert route(request("frobnicate the widget")) is None


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_any_conversation_is_decided(said: list[str]) -> None:
    decision = decide(*said)
    if isinstance(decision, Call):
        tools = {tool.name: tool for tool in BUILTIN_TOOLS}
        for call in decision.calls:
            assert set(tools[call.name].parameters["required"]) <= set(json.loads(call.arguments))


def test_catalogs_are_bounded() -> None:
    router = Router()
    for _ in range(40):
        tool = function_tool(examples=["do {it}"], name="do")(lambda_it)
        router.decide(request("do this", tools=(tool,)))
    assert len(router._catalogs) == 16


def lambda_it(it: str) -> str:
    return it
