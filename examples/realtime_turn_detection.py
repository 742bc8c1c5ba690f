"""The tutorial's second session: our end-of-turn model decides, the server's turn detection is off.

    OPENAI_API_KEY=… python examples/realtime_turn_detection.py                # microphone and loudspeaker; Ctrl-C ends
    OPENAI_API_KEY=… python examples/realtime_turn_detection.py question.wav   # sound files in place of a voice

Any server that speaks the protocol will do: name it in OPENAI_BASE_URL.
"""

from __future__ import annotations

import asyncio
import sys

from _conversation import converse, has_key

from repartee import AgentSession
from repartee.plugins import openai
from repartee.plugins.turn_detector.english import EnglishModel


async def main(paths: list[str]) -> None:
    if not has_key():
        return
    # AgentSession 초기화 (Initializing AgentSession)
    session = AgentSession(
        turn_detection=EnglishModel(),  # 영어 턴 감지 모델 사용
        llm=openai.realtime.RealtimeModel(
            voice="alloy",
            turn_detection=None,  # OpenAI 턴 감지 기능 비활성화
        ),
    )
    await converse(session, paths)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
