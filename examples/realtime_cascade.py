"""The tutorial's diagram: speech → STT → text → realtime model → text → TTS → speech.

The model only ever sees text; turns are taken here, by voice activity and the end-of-turn model.

    OPENAI_API_KEY=… python examples/realtime_cascade.py                 # microphone and loudspeaker; Ctrl-C ends
    OPENAI_API_KEY=… python examples/realtime_cascade.py question.wav    # sound files in place of a voice

Any server that speaks the protocol will do: name it in OPENAI_BASE_URL.
"""

from __future__ import annotations

import asyncio
import sys

from _conversation import converse, has_key

from repartee import AgentSession
from repartee.plugins import local, openai
from repartee.plugins.turn_detector.english import EnglishModel


async def main(paths: list[str]) -> None:
    if not has_key():
        return
    session = AgentSession(
        stt=local.STT(),
        llm=openai.realtime.RealtimeModel(modalities=["text"], turn_detection=None),
        tts=local.TTS(),
        turn_detection=EnglishModel(),
    )
    await converse(session, paths)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
