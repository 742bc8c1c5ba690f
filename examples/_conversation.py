"""What the realtime examples share: the key, the caller's microphone or sound files, and printing what is said."""

from __future__ import annotations

import os
from collections.abc import Callable

from repartee import AgentSession, AudioInput, AudioOutput, Message
from repartee.models.events import AgentStateChanged, ItemDone, RealtimeEvent
from repartee.transports.console import open_console
from repartee.transports.file import FileInput, RecordingOutput


def has_key() -> bool:
    """Whether there is a key, or a server of one's own, which may want none; says what to do if there is neither."""
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"):
        return True
    print("This needs a key: set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own.")
    return False


def ears_and_voice(paths: list[str]) -> tuple[AudioInput, AudioOutput]:
    """Where the caller is heard and the agent speaks: this machine's devices, or files and nobody."""
    return (FileInput(paths, gap_ms=5000), RecordingOutput()) if paths else open_console()


def show_messages(event: RealtimeEvent) -> None:
    """Print a message once it is complete."""
    if isinstance(event, ItemDone) and isinstance(event.item, Message):
        print(f"{event.item.role:9}  {event.item.text or '(speech)'}")


async def converse(
    session: AgentSession, paths: list[str], show: Callable[[RealtimeEvent], None] = show_messages
) -> None:
    """Talk until Ctrl-C, or until as many answers were spoken as there are files, and show every event."""
    async with session:
        events = session.events()
        microphone, loudspeaker = ears_and_voice(paths)
        await session.start(audio_input=microphone, audio_output=loudspeaker)
        answers = 0
        async for event in events:
            show(event)
            if isinstance(event, AgentStateChanged) and (event.old, event.new) == ("speaking", "listening"):
                answers += 1
                if answers == len(paths):
                    break
