"""`ServedSession`: one client's session with a model (skeleton: signatures only)."""

# Fields of `ServerOptions` that are used here: session_s, context_tokens, kept_audio_bytes, append_bytes, frame_bytes.

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from repartee.clock import Clock
from repartee.models.events import RealtimeEvent
from repartee.protocol.beta import BetaDialect
from repartee.protocol.config import SessionConfig
from repartee.protocol.connection import SERVER, Connection
from repartee.protocol.faults import Fault
from repartee.server.options import ServerOptions
from repartee.server.served import Served

if TYPE_CHECKING:
    from repartee.audio import AudioFrame
    from repartee.observe.log import SessionLog

__all__ = ["Listener", "OutputSink", "ServedSession"]


class Listener(Protocol):
    """One attached client: the main one, or a sideband."""

    observe: bool
    """Whether it gets ``repartee.*`` events."""

    def send(self, frame: bytes, *, audio: bool = False) -> None:
        """Send one text frame of JSON; never blocks. ``audio``: it may be dropped when the client is slow."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection behind what was sent."""


class OutputSink(Protocol):
    """Where the server plays what is said (WebRTC). It calls back `ServedSession.playback_started` and the like."""

    def write(self, response_id: str, item_id: str, pcm: AudioFrame) -> None:
        """More audio of an item: mono, positions counted from the item's start."""

    def end(self, response_id: str) -> None:
        """All audio of a response was written."""

    def clear(self) -> tuple[str, str, int] | None:
        """Drop what was not played: (response id, item id, how much of the item was heard in ms) of what was cut."""


class ServedSession:
    """One client's session with a model.

    Args:
        served: what is served.
        config: the session as it begins (`repartee.protocol.sessions.default_session`).
        clock: session time.
        options: limits.
        output: what plays on the server (WebRTC). Default: nothing, audio goes to the client as events.
        log: where every event is recorded. Default: nowhere.
    """

    def __init__(
        self,
        served: Served,
        *,
        config: SessionConfig,
        clock: Clock,
        options: ServerOptions,
        output: OutputSink | None = None,
        log: SessionLog | None = None,
    ) -> None:
        self.served = served
        self.connection = Connection(SERVER, session=config)
        self.id = str(getattr(config, "id", ""))
        self.ended = asyncio.Event()

    def attach(
        self, listener: Listener, *, sideband: bool = False, dialect: BetaDialect | None = None
    ) -> None:
        """Add a client. The main one is attached before `start`."""

    def detach(self, listener: Listener) -> None:
        """Remove a client that has gone."""

    async def start(self) -> None:
        """Say ``session.created`` (at once), then get the model ready. Never raises: a failure is told, and ends it."""

    def receive(self, frame: bytes | str, listener: Listener) -> None:
        """Take one frame of a client's."""

    def hear(self, audio: bytes) -> None:
        """Take audio from a microphone that the server hears itself (WebRTC): PCM16 at 24 kHz."""

    def end(self, fault: Fault) -> None:
        """End the session: an error, then the connection is closed."""

    async def aclose(self) -> None:
        """Release everything. Idempotent; says nothing."""

    # -- for an OutputSink -------------------------------------------------------------------------------------

    def playback_started(self, response_id: str) -> None:
        """The first audio of a response is heard."""

    def playback_stopped(self, response_id: str) -> None:
        """A response was heard to its end."""

    def heard(self, item_id: str, ms: int) -> None:
        """So much of an item's audio was heard."""

    # -- for Listening (`ListeningOwner`) ----------------------------------------------------------------------

    def speech_started(self, item_id: str, audio_start_ms: int) -> None:
        """The caller began to speak."""

    def speech_stopped(self, item_id: str, audio_end_ms: int) -> None:
        """The caller's turn is over; `turn_over` follows."""

    def turn_over(self, item_id: str, audio: bytes, *, respond: bool | None, draft: str | None) -> None:
        """The caller's turn becomes an item. Listening has called ``inner.commit_audio`` itself, just before."""

    def idle_timeout(self, item_id: str, audio_start_ms: int, audio_end_ms: int) -> None:
        """Nobody has said anything for the idle timeout."""

    def observe(self, event: RealtimeEvent) -> None:
        """Something for observers and the log."""
