"""What ``--model tests.server.agent_for_tests:…`` may name."""

from __future__ import annotations

from typing import Any

from repartee import Agent, AgentSession, ChatContext, Message, RunContext, function_tool
from repartee.server.served import Served
from repartee.testing import ScriptedLLM, ScriptedRealtimeModel

model = ScriptedRealtimeModel([])
served = Served.of(ScriptedRealtimeModel([]), name="under-its-own-name")
number = 7
nothing = None


@function_tool
def check_stock(item: str) -> str:
    """Say whether an item is in stock."""
    return f"Yes, {item}."


class Shop:
    """An agent-like object with a model of its own."""

    instructions = "You help in a shop."
    tools = (check_stock,)
    llm = ScriptedRealtimeModel([])


shop = Shop()
agent = Agent("You help in a shop.", tools=[check_stock])


class Till:
    """What one session's functions share."""

    def __init__(self) -> None:
        self.sold: list[str] = []


@function_tool
def sell(item: str, context: RunContext) -> str:
    """Sell an item."""
    context.userdata.sold.append(item)
    return f"Sold: {', '.join(context.userdata.sold)}."


class Stall(Shop):
    """An agent that remembers, with a till for each session."""

    tools = (sell,)
    chat_context = ChatContext([Message.of("user", "I am Ann."), Message.of("assistant", "Hello, Ann.")])
    userdata = Till


def stall_for(config: Any) -> Stall:
    """An agent for each session."""
    stall = Stall()
    stall.instructions = f"You serve {config.model}."
    return stall


def other_model_for(config: Any) -> Shop:
    """An agent that has a model for itself each time."""
    made = Shop()
    made.llm = ScriptedRealtimeModel([])
    return made


def session() -> AgentSession:
    """The parts of a session."""
    return AgentSession(
        llm=Shop.llm, tools=[check_stock], turn_detection="manual", userdata={"shop": "north"}
    )


def text_model() -> ScriptedLLM:
    """A text model."""
    return ScriptedLLM(["Hello."])


async def make_later() -> Shop:
    """A factory that has to be awaited."""
    return Shop()


class MuteShop(Shop):
    """Its voice is none."""

    tts = "alba"


class BrokenShop(Shop):
    """Its tools are none."""

    tools = ("check_stock",)  # type: ignore[assignment]


def make_model() -> ScriptedRealtimeModel:
    """A factory."""
    return ScriptedRealtimeModel([])


def needs_more(what: str) -> ScriptedRealtimeModel:
    """A factory that can't be called without arguments."""
    return ScriptedRealtimeModel([what])


def fails() -> ScriptedRealtimeModel:
    """A factory with a fault of its own."""
    raise TypeError("a fault within")
