"""A session with functions of your own, on the embedded model: typed text in, printed text out.

    python examples/tools.py
    python examples/tools.py "put oat milk on my list" "what is on my list"

The embedded model can't choose functions by itself. It finds them by likeness with their ``examples`` and asks for what
is missing; a larger model would read the descriptions. The functions are the same for both.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Literal

from repartee import Agent, AgentSession, RunContext, function_tool
from repartee.plugins import local

ASKED = (
    "hello",
    "put oat milk on my list",
    "put coffee on the list please",
    "what is on my list",
    "turn on the light",
    "in the living room",
    "what is twelve times twelve",
    "what is the capital of france",
)


@function_tool(
    examples=["put {thing} on my list", "add {thing} to the list", "what is on my list", "read the list"]
)
async def shopping_list(context: RunContext, thing: str | None = None) -> str:
    """Keep a shopping list.

    Args:
        thing: what to put on it. Without it, the list is read.
    """
    things: list[str] = context.userdata
    if thing is not None:
        things.append(thing)
        return f"I put {thing} on your list."
    return f"On your list: {', '.join(things)}." if things else "Your list is empty."


@function_tool(
    examples=[
        "turn on the light in the {room}",
        "turn the light {state} in the {room}",
        "turn {state} the light",
    ]
)
def set_light(
    room: Literal["kitchen", "living_room"],
    state: Annotated[Literal["on", "off"], "whether it shall shine"] = "on",
) -> dict[str, str]:
    """Turn the light in a room on or off."""
    return {"light in the " + room.replace("_", " "): state}


async def main(asked: tuple[str, ...] = ASKED) -> None:
    session = AgentSession(
        llm=local.LLM(), tools=[shopping_list, set_light, *local.BUILTIN_TOOLS], userdata=[]
    )
    await session.start(Agent(instructions="You are a helpful voice assistant at home."))
    try:
        for text in asked:
            print(f"you    {text}")
            await session.generate_reply(user_input=text)
            await session.wait_for_idle()
            print(f"agent  {session.history.messages[-1].text}")
    finally:
        await session.aclose()


if __name__ == "__main__":
    asyncio.run(main(tuple(sys.argv[1:]) or ASKED))
