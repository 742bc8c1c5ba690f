"""Runs the application in a server of its own: uvicorn, with our WebSocket, and an end without broken sessions."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import socket
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette

from repartee.errors import ConfigurationError
from repartee.server.access.guard import is_loopback
from repartee.server.asgi import service_of
from repartee.server.service import Service
from repartee.server.sockets.socket_protocols import http_protocol, websocket_protocol
from repartee.server.sockets.watchdog import Watchdog

__all__ = ["RealtimeServer", "bind", "check_host"]

log = logging.getLogger("repartee.server")

BACKLOG: Final = 512
STOP_S: Final = 5


def check_host(host: str, *, has_keys: bool) -> None:
    """See that a server which others reach has keys.

    Raises:
        ConfigurationError: it has none.
    """
    if not has_keys and not is_loopback(host):
        raise ConfigurationError(
            f"--host {host} lets other machines in, which needs keys: give --api-key-file FILE (one a line), or set "
            "REPARTEE_API_KEYS"
        )


def bind(host: str, port: int) -> socket.socket:
    """A socket to listen on.

    Args:
        host: a name or an address.
        port: 0 takes a free one.

    Raises:
        ConfigurationError: it can't be had; says why, and what to do.
    """
    if not 0 <= port <= 65535:  # getaddrinfo would take another one in its place
        raise ConfigurationError(f"--port {port} is no port; right are 1 to 65535, and 0 for any free one")
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind)
    except OSError as error:
        raise ConfigurationError(f"--host {host} is no address of this machine: {error}") from None
    try:
        if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"port {port} is taken by another program; choose another with --port (0: any free one)"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise ConfigurationError(
                f"port {port} needs more rights than we have; choose one above 1023"
            ) from None
        raise ConfigurationError(f"can't listen on {host}:{port}: {error.strerror}") from None
    return made


class RealtimeServer(uvicorn.Server):
    """Serves an application on one socket until it is told to stop.

    Args:
        application: made by `app`.
        sock: that it listens on (`bind`).
        tune: whether the process is the server's: garbage collection is then set up for many sessions, and the
            loop is watched. Default: yes.
        tls: ``ssl_certfile``, ``ssl_keyfile``: of uvicorn. Default: none.
        websockets: the WebSocket implementation: ``native`` (ours, if it can be had), or one of uvicorn's.
    """

    def __init__(
        self,
        application: Starlette,
        sock: socket.socket,
        *,
        tune: bool = True,
        tls: dict[str, Any] | None = None,
        websockets: str = "native",
    ) -> None:
        self.application = application
        self.serving = asyncio.Event()
        """Set once it takes connections."""
        self._sock = sock
        self._tune = tune
        self._stopping: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.signal: int | None = None
        """That stopped it."""
        options = self._service.options
        super().__init__(
            uvicorn.Config(
                application,
                # Nothing is logged by uvicorn itself but its failures: its lines hold queries, and at the level of
                # debugging headers, in which clients put their keys.
                log_config=None,
                log_level="error",
                access_log=False,
                lifespan="off",
                http=http_protocol(options),
                ws=websocket_protocol(options) if websockets == "native" else websockets,
                ws_max_size=options.frame_bytes,
                ws_per_message_deflate=False,
                ws_ping_interval=options.ping_s or None,
                ws_ping_timeout=options.ping_s or None,
                backlog=BACKLOG,
                server_header=False,
                timeout_graceful_shutdown=STOP_S,
                **(tls or {}),
            )
        )

    @property
    def _service(self) -> Service:
        return service_of(self.application)

    @property
    def shows_page(self) -> bool:
        """Whether there is a page to open."""
        return self._service.options.page

    @property
    def port(self) -> int:
        """That it listens on."""
        return int(self._sock.getsockname()[1])

    async def run_until_stopped(self) -> None:
        """Load the models, serve, and end in order: on SIGTERM sessions may finish, on SIGINT they are ended.

        Raises:
            ReparteeError: a model can't be had.
        """
        self._loop = asyncio.get_running_loop()
        watchdog = Watchdog(self._service.options.watchdog_ms)
        try:
            await self._service.start()
            if self._tune:
                # What is there now stays. Else every collection of the oldest generation would look at all of it,
                # and all sessions would wait.
                gc.collect()
                gc.freeze()
                if self._service.options.watchdog_ms:
                    watchdog.start()
            await self.serve(sockets=[self._sock])
        finally:
            watchdog.stop()
            if self._tune:
                gc.unfreeze()
            await self._service.aclose()
            self._sock.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        await super().startup(sockets)
        self.serving.set()

    def stop(self, *, drain: bool = True) -> None:
        """Begin to end: no new sessions; running ones are waited for, or (``drain=False``) ended at once."""
        assert self._loop is not None
        if self._stopping is None:
            self._service.begin_drain()
            self._stopping = self._loop.create_task(self._stop(drain), name="repartee.server.stop")
        elif not drain:
            self.should_exit = True

    async def _stop(self, drain: bool) -> None:
        try:
            if drain:
                await self._service.drain()
            await self._service.calls.aclose()
            await self._service.sessions.drain(drain_s=0)
        finally:
            self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came: the first begins the end, another one hurries it."""
        again, self.signal = self.signal is not None, sig
        if again or self._loop is None:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(lambda: self.stop(drain=sig != signal.SIGINT))
