"""What ``--model tests.server.agent_for_tests:…`` may name."""

from __future__ import annotations

from repartee import Agent, function_tool
from repartee.server.served import Served
from repartee.testing import ScriptedRealtimeModel

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
