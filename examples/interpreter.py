"""An interpreter that shows its work: what it hears while it is said, and the translation as it comes.

    OPENAI_API_KEY=… python examples/interpreter.py                 # microphone and loudspeaker; Ctrl-C ends
    OPENAI_API_KEY=… python examples/interpreter.py question.wav    # sound files in place of a voice

Any server that speaks the protocol will do: name it in OPENAI_BASE_URL.
"""

from __future__ import annotations

import asyncio
import os
import sys

from repartee import AgentSession, AudioInput, AudioOutput
from repartee.models.events import (
    AgentStateChanged,
    InterimTranscript,
    ItemDone,
    TranscriptCompleted,
    TranscriptDelta,
)
from repartee.plugins import openai
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
        llm=openai.realtime.RealtimeModel(
            voice="alloy",
            instructions="You are an interpreter. Say again in Korean whatever is said to you, and nothing else.",
            input_audio_transcription={"model": "gpt-realtime-whisper"},
        )
    )
    async with session:
        events = session.events()
        microphone, loudspeaker = ears_and_voice(paths)
        await session.start(audio_input=microphone, audio_output=loudspeaker)
        answers, translation = 0, ""
        async for event in events:
            if isinstance(event, InterimTranscript):
                print(f"hearing      {event.text} …")
            elif isinstance(event, TranscriptCompleted):
                print(f"heard        {event.transcript}")
            elif isinstance(event, TranscriptDelta):
                translation += event.delta
                print(f"translating  {translation} …")
            elif isinstance(event, ItemDone) and event.response_id is not None:
                print(f"translated   {translation}")
                translation = ""
            elif (
                isinstance(event, AgentStateChanged) and event.new == "listening" and event.old == "speaking"
            ):
                answers += 1
                if answers == len(paths):
                    break


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
