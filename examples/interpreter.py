"""An interpreter that shows its work: what it hears while it is said, and the translation as it comes.

    OPENAI_API_KEY=… python examples/interpreter.py                 # microphone and loudspeaker; Ctrl-C ends
    OPENAI_API_KEY=… python examples/interpreter.py question.wav    # sound files in place of a voice

Any server that speaks the protocol will do: name it in OPENAI_BASE_URL.
"""

from __future__ import annotations

import asyncio
import sys

from _conversation import converse, has_key

from repartee import AgentSession
from repartee.models.events import (
    InterimTranscript,
    ItemDone,
    RealtimeEvent,
    TranscriptCompleted,
    TranscriptDelta,
)
from repartee.plugins import openai


class Interpretation:
    """Prints both sides as they come."""

    def __init__(self) -> None:
        self.translation = ""

    def show(self, event: RealtimeEvent) -> None:
        """Print more of either side."""
        if isinstance(event, InterimTranscript):
            print(f"hearing      {event.text} …")
        elif isinstance(event, TranscriptCompleted):
            print(f"heard        {event.transcript}")
        elif isinstance(event, TranscriptDelta):
            self.translation += event.delta
            print(f"translating  {self.translation} …")
        elif isinstance(event, ItemDone) and event.response_id is not None:
            print(f"translated   {self.translation}")
            self.translation = ""


async def main(paths: list[str]) -> None:
    if not has_key():
        return
    session = AgentSession(
        llm=openai.realtime.RealtimeModel(
            voice="alloy",
            instructions="You are an interpreter. Say again in Korean whatever is said to you, and nothing else.",
            input_audio_transcription={"model": "gpt-realtime-whisper"},
        )
    )
    await converse(session, paths, Interpretation().show)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
