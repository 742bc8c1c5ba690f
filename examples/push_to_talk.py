"""Push to talk: nobody detects turns; a key press ends them.

    OPENAI_API_KEY=… python examples/push_to_talk.py                 # Enter begins and ends a turn; Ctrl-D ends
    OPENAI_API_KEY=… python examples/push_to_talk.py question.wav    # with sound files in place of a voice

Any server that speaks the protocol will do: name it in OPENAI_BASE_URL.
"""

from __future__ import annotations

import asyncio
import sys

from _conversation import has_key, show_messages

from repartee import AgentSession
from repartee.models.events import ItemDone
from repartee.plugins import openai
from repartee.transports.console import open_console
from repartee.transports.file import FileInput, RecordingOutput


async def with_files(session: AgentSession, paths: list[str]) -> None:
    """Each file is a turn."""
    microphone = FileInput()
    await session.start(audio_input=microphone, audio_output=RecordingOutput())
    for path in paths:
        session.clear_user_turn()
        await microphone.play(path).finished()
        await session.commit_user_turn()


async def with_a_key(session: AgentSession) -> None:
    """Enter begins a turn, and the next Enter ends it."""
    microphone, loudspeaker = open_console()
    await session.start(audio_input=microphone, audio_output=loudspeaker)
    loop = asyncio.get_running_loop()
    while True:
        print("Enter: speak")
        if not await loop.run_in_executor(None, sys.stdin.readline):
            return
        session.interrupt()
        session.clear_user_turn()
        print("Enter: done")
        if not await loop.run_in_executor(None, sys.stdin.readline):
            return
        session.commit_user_turn()


async def main(paths: list[str]) -> None:
    if not has_key():
        return
    session = AgentSession(
        llm=openai.realtime.RealtimeModel(voice="alloy", turn_detection=None),
        turn_detection="manual",
    )
    session.on(ItemDone, show_messages)
    async with session:
        await (with_files(session, paths) if paths else with_a_key(session))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
