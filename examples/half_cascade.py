"""Half a cascade: the realtime model hears and answers in text, and a voice of your own speaks it.

    OPENAI_API_KEY=… python examples/half_cascade.py                 # microphone and loudspeaker; Ctrl-C ends
    OPENAI_API_KEY=… python examples/half_cascade.py question.wav    # sound files in place of a voice

Any server that speaks the protocol will do: name it in OPENAI_BASE_URL.
"""

from __future__ import annotations

import asyncio
import sys

from _conversation import converse, has_key

from repartee import AgentSession
from repartee.plugins import local, openai


async def main(paths: list[str]) -> None:
    if not has_key():
        return
    session = AgentSession(
        llm=openai.realtime.RealtimeModel(modalities=["text"]),
        tts=local.TTS(),
    )
    await converse(session, paths)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
