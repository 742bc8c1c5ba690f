"""The WebRTC calls that run, by their ids, so that others can attach to them, and hang up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from repartee.server.access.admission import RETRY_AFTER_S
from repartee.server.options import LoadOptions
from repartee.server.replies import ErrorReply
from repartee.server.sessions.running import RunningSession

__all__ = ["Call", "CallMedia", "Calls", "Sideband"]


class CallMedia(Protocol):
    """What carries a call's sound and events: `repartee.server.webrtc.call.WebRtcCall`."""

    id: str
    """``rtc_…``."""

    async def hangup(self, reason: str = ...) -> None:
        """End the call and its session, and wait until it is over. Idempotent."""


class Sideband(Protocol):
    """A connection that is attached to a call."""

    def close(self, code: int, reason: str) -> None:
        """Close it."""


class Call:
    """One call.

    Args:
        media: what carries it.
        running: its session.
    """

    def __init__(self, media: CallMedia, running: RunningSession) -> None:
        self.media = media
        self.running = running
        self.sidebands: set[Sideband] = set()  # bounded by the options' connections


class Calls:
    """All calls.

    Args:
        options: says how many there may be.
    """

    def __init__(self, options: LoadOptions) -> None:
        self._options = options
        self._calls: dict[str, Call] = {}  # bounded by the options' calls
        self._opening = 0

    def __len__(self) -> int:
        return len(self._calls) + self._opening

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Count a call while it is set up.

        Raises:
            ErrorReply: 503, there is no room.
        """
        if len(self) >= self._options.calls:
            raise ErrorReply(
                503,
                "server_full",
                f"All {self._options.calls} calls of this server are taken. Try again later.",
                type="server_error",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1

    def add(self, call: Call) -> None:
        """A call runs."""
        self._calls[call.media.id] = call

    def ended(self, media: CallMedia) -> None:
        """A call is over: forget it, and close what is attached to it."""
        call = self._calls.pop(media.id, None)
        for sideband in list(call.sidebands) if call is not None else ():
            sideband.close(1000, "The call is over.")

    def find(self, call_id: str, owner: str) -> Call | None:
        """A call of one key's; ``None``: it has none of that id."""
        call = self._calls.get(call_id)
        return call if call is not None and call.running.owner == owner else None

    async def aclose(self) -> None:
        """Hang up all calls."""
        await asyncio.gather(*(call.media.hangup("the server stops") for call in list(self._calls.values())))
