"""Half a cascade: the realtime model hears and answers in text, and a voice of your own speaks it.

    OPENAI_API_KEY=… python examples/half_cascade.py                 # microphone and loudspeaker; Ctrl-C ends
    OPENAI_API_KEY=… python examples/half_cascade.py question.wav    # sound files in place of a voice

Any server that speaks the protocol will do: name it in OPENAI_BASE_URL.
"""

from __future__ import annotations

import asyncio
import os
import sys

from repartee import AgentSession, AudioInput, AudioOutput, Message
from repartee.models.events import AgentStateChanged, ItemDone
from repartee.plugins import local, openai
from repartee.transports.console import open_console
from repartee.transports.file import FileInput, RecordingOutput


def ears_and_voice(paths: list[str]) -> tuple[AudioInput, AudioOutput]:
    """Where the caller is heard and the agent speaks: this machine's devices, or files and nobody."""
    return (FileInput(paths, gap_ms=5000), RecordingOutput()) if paths else open_console()


async def main(paths: list[str]) -> None:
    if not os.environ.get("OPENAI_API_KEY"):
        print("This needs a key: set OPENAI_API_KEY (and OPENAI_BASE_URL for a server of your own).")
        return
    session = AgentSession(
        llm=openai.realtime.RealtimeModel(modalities=["text"]),
        tts=local.TTS(),
    )
    async with session:
        events = session.events()
        microphone, loudspeaker = ears_and_voice(paths)
        await session.start(audio_input=microphone, audio_output=loudspeaker)
        answers = 0
        async for event in events:
            if isinstance(event, ItemDone) and isinstance(event.item, Message):
                print(f"{event.item.role:9}  {event.item.text or '(speech)'}")
            elif (
                isinstance(event, AgentStateChanged) and event.new == "listening" and event.old == "speaking"
            ):
                answers += 1
                if answers == len(paths):
                    break


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
