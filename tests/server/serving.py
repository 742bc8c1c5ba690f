"""For the tests of the server: a session that needs no model, and the application on a real socket."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx2
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from repartee.protocol.model import to_raw
from repartee.server.asgi import app
from repartee.server.options import ServerOptions
from repartee.server.served import Served
from repartee.server.sockets.runner import RealtimeServer, bind
from repartee.testing import ScriptedRealtimeModel


class FakeSession:
    """Says ``session.created``, and echoes each frame as ``fake.echo``; some frames have it do other things."""

    made: ClassVar[list[FakeSession]] = []
    start_error: ClassVar[Exception | None] = None
    start_delay: ClassVar[asyncio.Event | None] = None

    def __init__(
        self, served: Any, *, config: Any, clock: Any, options: Any, output: Any = None, budget: Any = None
    ) -> None:
        self.config = config
        self.id = config.id
        self.ended = asyncio.Event()
        self.listeners: list[tuple[Any, bool]] = []
        self.frames: list[bytes | str] = []
        self.closed = False
        self.faults: list[Any] = []
        self.dialect: Any = None
        FakeSession.made.append(self)

    def attach(self, listener: Any, *, sideband: bool = False, dialect: Any = None) -> None:
        self.listeners.append((listener, sideband))
        self.dialect = self.dialect or dialect

    def detach(self, listener: Any) -> None:
        self.listeners = [each for each in self.listeners if each[0] is not listener]

    def say(self, raw: dict[str, Any], *, audio: bool = False) -> None:
        for listener, _ in self.listeners:
            listener.send(json.dumps(raw).encode(), audio=audio)

    async def start(self) -> None:
        if FakeSession.start_error is not None:
            raise FakeSession.start_error
        if FakeSession.start_delay is not None:
            await FakeSession.start_delay.wait()
        self.say({"type": "session.created", "session": to_raw(self.config)})

    def receive(self, frame: bytes | str, listener: Any) -> None:
        self.frames.append(frame)
        raw = json.loads(frame)
        if raw["type"] == "fake.fail":
            raise ValueError("a fault of ours")
        if raw["type"] == "fake.flood":
            for _ in range(raw["frames"]):
                self.say(
                    {"type": "response.output_audio.delta", "delta": "A" * raw["bytes"]}, audio=raw["audio"]
                )
        self.say({"type": "fake.echo", "event": raw})

    def end(self, fault: Any) -> None:
        self.faults.append(fault)
        error = to_raw(fault.event())["error"]
        self.say({"type": "error", "error": error})
        for listener, _ in list(self.listeners):
            listener.close(fault.close.code, fault.close.reason)

    async def aclose(self) -> None:
        self.closed = True
        self.ended.set()


def over_sockets(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test in real time."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 30))

    return run


def http(server: RealtimeServer, key: str | None = None, **headers: str) -> httpx2.AsyncClient:
    """A client of the server's HTTP endpoints."""
    given = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", headers={**given, **headers})


def open_socket(
    server: RealtimeServer, path: str = "/v1/realtime", key: str | None = None, **more: Any
) -> Any:
    """A WebSocket to the server."""
    headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **more.pop("headers", {})}
    return connect(
        f"ws://127.0.0.1:{server.port}{path}",
        additional_headers=headers,
        compression=None,
        proxy=None,
        **more,
    )


async def closing(socket: Any) -> tuple[list[dict[str, Any]], int, str]:
    """All that still comes, and how the server closes."""
    events = []
    try:
        while True:
            events.append(json.loads(await socket.recv()))
    except ConnectionClosed as closed:
        return events, closed.rcvd.code if closed.rcvd else 1006, closed.rcvd.reason if closed.rcvd else ""


def make_app(api_keys: tuple[str, ...] = (), **options: Any) -> Starlette:
    """An application with fake sessions."""
    FakeSession.made = []
    FakeSession.start_delay = FakeSession.start_error = None
    served = Served.of(ScriptedRealtimeModel([]), name="fake")
    return app(
        served,
        options=ServerOptions(**options),
        api_keys=api_keys,
        session_factory=FakeSession,  # type: ignore[arg-type]
    )


@asynccontextmanager
async def serving(
    application: Starlette, websockets: str = "native", port: int = 0
) -> AsyncIterator[RealtimeServer]:
    """The application on a socket of this machine, in this loop."""
    server = RealtimeServer(application, bind("127.0.0.1", port), tune=False, websockets=websockets)
    server.capture_signals = _no_signals  # type: ignore[method-assign, assignment]
    task = asyncio.get_running_loop().create_task(server.run_until_stopped())
    try:
        serving = asyncio.ensure_future(server.serving.wait())
        await asyncio.wait((task, serving), return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        if task.done():
            task.result()
        yield server
    finally:
        server.stop(drain=False)
        await task


class _no_signals:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None
