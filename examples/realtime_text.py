"""A realtime model without any audio: typed turns, answers as they are written, and a reply outside of the session.

    OPENAI_API_KEY=… python examples/realtime_text.py
    OPENAI_API_KEY=… python examples/realtime_text.py "what is the tallest mountain" "and the second"

Any server that speaks the protocol will do: name it in OPENAI_BASE_URL.
"""

from __future__ import annotations

import asyncio
import sys

from _conversation import has_key

from repartee import Agent, AgentSession
from repartee.models.events import TranscriptDelta
from repartee.plugins import openai

ASKED = ("what is the tallest mountain", "and how high is it")


async def main(asked: tuple[str, ...]) -> None:
    if not has_key():
        return
    model = openai.realtime.RealtimeModel(modalities=["text"])
    session = AgentSession(llm=model)
    session.on(TranscriptDelta, lambda event: print(event.delta, end="", flush=True))
    async with session:
        await session.start(Agent("Answer in one short sentence."))
        for text in asked:
            print(f"you    {text}\nagent  ", end="")
            await session.send_text(text)
            await session.wait_for_idle()
            print()
        context = session.history
    # One reply, without a session of one's own.
    print("again  ", end="")
    async for text in model.generate_reply("Say all that in three words.", chat_context=context):
        print(text, end="", flush=True)
    print()


if __name__ == "__main__":
    asyncio.run(main(tuple(sys.argv[1:]) or ASKED))
