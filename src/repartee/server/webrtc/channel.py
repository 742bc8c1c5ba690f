"""The data channel of a call as a listener: the session's events to the client, one text message each.

Events that come before the channel is open are held. Audio deltas never go here: the sound is on RTP. A message can't
be longer than the client takes (256 KiB in browsers; RFC 8841), and the protocol knows no pieces of an event: instead
of a longer one (an item retrieved with minutes of audio) an ``error`` event says so. A client that doesn't read holds
up at most `ServerOptions.outgoing_bytes`; then the call ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from repartee.protocol.codec import encode
from repartee.protocol.faults import Fault
from repartee.protocol.model import replace
from repartee.server.ids import random_id

if TYPE_CHECKING:
    from aiortc import RTCDataChannel

__all__ = ["CallListener"]

log = logging.getLogger("repartee.server")

EVENT_TOO_LARGE: Final = Fault(
    "event_too_large",
    "An event of {size} bytes is longer than this data channel's longest message, {maximum} bytes; attach a "
    "WebSocket to the call (?call_id=) to get it.",
    type="server_error",
)


class CallListener:
    """The main client of a call.

    Args:
        message_bytes_max: the longest message it takes; 0: any.
        outgoing_bytes: what may wait for it.
        on_close: called once, with the reason, when the call is to end: the session closed it, or it reads too slowly.
        observe: whether it gets ``repartee.*`` events. Default: no.
    """

    def __init__(
        self,
        *,
        message_bytes_max: int,
        outgoing_bytes: int,
        on_close: Callable[[str], None],
        observe: bool = False,
    ) -> None:
        self.observe = observe
        self._message_bytes_max = message_bytes_max
        self._outgoing_bytes = outgoing_bytes
        self._on_close = on_close
        self._channel: RTCDataChannel | None = None
        self._held: list[bytes] = []  # bounded by outgoing_bytes; beyond, the call ends
        self._held_bytes = 0
        self._closed = False

    def open(self, channel: RTCDataChannel) -> None:
        """The channel is open: what was held is sent."""
        self._channel = channel
        held, self._held = self._held, []
        for frame in held:
            self._write(channel, frame)

    def send(self, frame: bytes, *, audio: bool = False) -> None:
        """Send an event; when the call is over, nothing happens."""
        if audio or self._closed:
            return
        waiting = self._held_bytes if self._channel is None else self._channel.bufferedAmount
        if waiting + len(frame) > self._outgoing_bytes:
            self.close(1008, "The client reads too slowly.")
        elif self._channel is None:
            self._held.append(frame)
            self._held_bytes += len(frame)
        else:
            self._write(self._channel, frame)

    def close(self, code: int, reason: str) -> None:
        """End the call behind what was sent. A data channel knows no codes: it is only told by what came before."""
        if not self._closed:
            self._closed = True
            self._on_close(f"closed with {code}: {reason}")

    def _write(self, channel: RTCDataChannel, frame: bytes) -> None:
        if channel.readyState != "open":
            return
        if self._message_bytes_max and len(frame) > self._message_bytes_max:
            log.warning("an event of %d bytes is too long for the data channel", len(frame))
            told = EVENT_TOO_LARGE.event(size=len(frame), maximum=self._message_bytes_max)
            frame = encode(replace(told, event_id=random_id("event")))
        channel.send(frame.decode())
