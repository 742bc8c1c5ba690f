"""The tutorial's first session: a speech-to-speech model that hears, takes turns and speaks by itself.

    OPENAI_API_KEY=… python examples/realtime.py                 # microphone and loudspeaker; Ctrl-C ends
    OPENAI_API_KEY=… python examples/realtime.py question.wav    # sound files in place of a voice

Any server that speaks the protocol will do: name it in OPENAI_BASE_URL.
"""

from __future__ import annotations

import asyncio
import sys

from _conversation import converse, has_key

from repartee import AgentSession
from repartee.plugins import openai


async def main(paths: list[str]) -> None:
    if not has_key():
        return
    # AgentSession 초기화 (Initializing AgentSession)
    session = AgentSession(
        llm=openai.realtime.RealtimeModel(voice="alloy")  # OpenAI 실시간 모델 사용
    )
    await converse(session, paths)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
