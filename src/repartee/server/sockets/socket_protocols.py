"""What uvicorn reads sockets with."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from typing import Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from repartee.errors import MissingDependencyError
from repartee.server.options import LoadOptions

__all__ = ["http_protocol", "websocket_protocol"]

log = logging.getLogger("repartee.server")

SPARE: Final = 100
"""Connections that are for HTTP alone, so that whoever asks how the server is gets an answer when it is full."""
FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


def http_protocol(options: LoadOptions) -> type[asyncio.Protocol]:
    """HTTP as uvicorn's, which leaves a connection open for ever that asks for nothing; this one does not.

    Args:
        options: says how long a request's head may take.
    """
    base: Any = AutoHTTPProtocol

    class PatientHttp(base):  # type: ignore[misc]
        """HTTP with a deadline for the head of the first request, and a bound on the number of connections."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._refused = len(self.connections) > options.connections + SPARE
            self._deadline = asyncio.get_running_loop().call_later(options.handshake_s, self._too_late)

        def data_received(self, data: bytes) -> None:
            if not self._refused:
                super().data_received(data)
            elif not self.transport.is_closing():
                self.transport.write(FULL)  # now that it has asked: an answer before would be lost
                self.transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            self._deadline.cancel()
            super().connection_lost(exc)

        def handle_websocket_upgrade(self, *args: Any) -> None:
            self._deadline.cancel()
            super().handle_websocket_upgrade(*args)

        def _too_late(self) -> None:
            if self.cycle is None and not self.transport.is_closing():
                self.transport.abort()

    return PatientHttp


def websocket_protocol(options: LoadOptions) -> Any:
    """Our WebSocket (`native`), or uvicorn's where it can't be had.

    Raises:
        MissingDependencyError: neither can.
    """
    try:
        from repartee.server.sockets.native import native_protocol
    except ImportError:
        if not _has("websockets"):
            raise MissingDependencyError("the server's WebSocket", package="picows", extra="server") from None
        log.warning("picows is not installed, so WebSockets are uvicorn's, which cost twice as much")
        return "websockets-sansio"
    return native_protocol(options)


def _has(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # it is there without a spec, as something that stands for it
        return False
