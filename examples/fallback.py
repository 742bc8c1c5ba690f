"""A remote language model, and the embedded one when that fails: the conversation goes on.

    python examples/fallback.py
    OPENAI_API_KEY=… python examples/fallback.py
    OPENAI_BASE_URL=http://localhost:11434/v1 OPENAI_MODEL=qwen3:4b python examples/fallback.py

Without a key or an address it asks a server that is not there, so that you see what an outage looks like. Recognisers,
voices and realtime models can stand in for each other in the same way.
"""

from __future__ import annotations

import asyncio
import logging
import os

from repartee import Agent, AgentSession, Fallback
from repartee.models.events import ErrorOccurred, ProviderSwitched, RealtimeEvent
from repartee.plugins import local, openai

NOBODY = "http://127.0.0.1:9/v1"
ASKED = ("hello", "what is the capital of france")


def remote() -> openai.LLM:
    """OpenAI's model, or whoever the environment names."""
    if not (os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL")):
        print(
            "there is neither OPENAI_API_KEY nor OPENAI_BASE_URL, so the remote model will not be reached\n"
        )
        return openai.LLM("nobody", base_url=NOBODY, max_retries=0)
    name = os.environ.get("OPENAI_MODEL")
    return openai.LLM(name) if name else openai.LLM()


def show(event: RealtimeEvent) -> None:
    """Print what happened to the providers."""
    if isinstance(event, ErrorOccurred):
        print(f"error  {event.error}")
    elif isinstance(event, ProviderSwitched):
        print(f"switch {event.old} → {event.new}")


async def main() -> None:
    logging.basicConfig(level=logging.ERROR)  # what is printed here is logged too, as warnings
    session = AgentSession(llm=Fallback([remote(), local.LLM()], deadline_s=8.0))
    await session.start(Agent(instructions="You are a friendly assistant. Answer in one short sentence."))
    shown = 0
    try:
        for text in ASKED:
            print(f"you    {text}")
            await session.generate_reply(user_input=text)
            await session.wait_for_idle()
            for entry in session.log[shown:]:
                show(entry.event)  # type: ignore[arg-type]  # audio is logged in another form
            shown = len(session.log)
            print(f"agent  {session.history.messages[-1].text}")
    finally:
        await session.aclose()


if __name__ == "__main__":
    asyncio.run(main())
