"""An agent behind the OpenAI Realtime protocol: its two functions run on the server, the client needs none.

    repartee serve --model serve_agent:agent --app-dir examples     # and talk to it at the page
    python examples/serve_agent.py                                   # does that, and asks it with the openai client

Each session has a basket of its own: `Shop.userdata` is called when one begins.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from repartee import Agent, RunContext, function_tool

PRICES = {"apples": 2, "pears": 3, "plums": 4}
ASKED = ("what do pears cost", "put pears in my basket", "put plums in my basket")


class Basket:
    """What one caller wants to buy."""

    def __init__(self) -> None:
        self.fruit: list[str] = []


@function_tool(examples=["what do {fruit} cost", "what is the price of {fruit}"])
def price(fruit: str) -> str:
    """Say what a kind of fruit costs."""
    return f"{fruit} cost {PRICES[fruit]} euros a kilo." if fruit in PRICES else f"We have no {fruit}."


@function_tool(examples=["put {fruit} in my basket", "i want {fruit}"])
def put(fruit: str, context: RunContext) -> str:
    """Put a kind of fruit into the caller's basket."""
    basket: Basket = context.userdata
    basket.fruit.append(fruit)
    return f"In your basket: {', '.join(basket.fruit)}."


class Shop(Agent):
    """Sells fruit."""

    userdata = Basket


agent = Shop("You sell fruit. Answer in one short sentence.", tools=[price, put])


async def converse(base_url: str) -> None:
    """What a client does, in any language that has one."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=base_url, api_key="none-is-needed-on-this-machine")
    async with client.realtime.connect(model="agent") as connection:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        for asked in ASKED:
            print(f"user       {asked}")
            content: Any = [{"type": "input_text", "text": asked}]
            await connection.conversation.item.create(
                item={"type": "message", "role": "user", "content": content}
            )
            await connection.response.create()
            async for event in connection:
                if event.type == "response.output_item.done" and event.item.type == "mcp_call":
                    print(f"  ran      {event.item.name}({event.item.arguments})")
                elif event.type == "response.output_text.done":
                    print(f"assistant  {event.text}")
                    break
                elif event.type == "error":
                    raise SystemExit(event.error.message)
    await client.close()


def main() -> None:
    """Serve it on a free port, and converse with it."""
    here = Path(__file__)
    run = "import sys, repartee.cli; sys.exit(repartee.cli.main())"  # what the command `repartee` does
    command = [sys.executable, "-c", run, "serve", "--model", f"{here.stem}:agent"]
    options = ["--app-dir", str(here.parent), "--port", "0", "--json", "--no-open", "--log-level", "error"]
    server = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        if not line:
            raise SystemExit("the server did not start; run it by hand to see why")
        asyncio.run(converse(json.loads(line)["base_url"]))
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


if __name__ == "__main__":
    main()
