"""A real socket: what comes, how it ends, and what can't be reached."""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

import pytest

from repartee.clock import Clock
from repartee.errors import ModelConnectionError, ModelError, ModelTimeoutError
from repartee.plugins.openai.realtime.link import LinkRequest, connect
from repartee.protocol import events as wire
from repartee.protocol.codec import decode_server_event, encode
from repartee.protocol.config import RealtimeSession
from repartee.testing.realtime_faults import freeze, refuse
from repartee.testing.realtime_server import ScriptedRealtimeServer
from tests.plugins.openai.realtime.talk import KEY, Talk

P = ParamSpec("P")


def real(body: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on an event loop of real time: sockets take some."""

    @functools.wraps(body)
    def test(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(body(*args, **kwargs))

    return test


class Line:
    """What a link was told."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    def on_close(self, code: int, reason: str) -> None:
        self.closed.set_result((code, reason))

    async def event(self) -> wire.ServerEvent:
        return decode_server_event(await asyncio.wait_for(self.frames.get(), 10))


def request_to(url: str, **options: float) -> LinkRequest:
    return LinkRequest(f"{url}?model=m", {"Authorization": f"Bearer {KEY}"}, **options)  # type: ignore[arg-type]


@real
async def test_frames_there_and_back() -> None:
    async with ScriptedRealtimeServer(api_key=KEY) as server:
        line = Line()
        link = await connect(
            request_to(server.url), on_message=line.frames.put_nowait, on_close=line.on_close
        )
        assert isinstance(await line.event(), wire.SessionCreated)
        link.send(encode(wire.SessionUpdate(session=RealtimeSession(instructions="x" * 200_000))))
        assert isinstance(await line.event(), wire.SessionUpdated)
        assert link.unsent_bytes == 0
        await link.aclose()
        await link.aclose()
        link.send(b"{}")
        assert not line.closed.done()


@real
async def test_how_it_ends() -> None:
    async with ScriptedRealtimeServer() as server:
        for expected in ((1001, "bye"), (1006, "")):
            line = Line()
            link = await connect(
                request_to(server.url), on_message=line.frames.put_nowait, on_close=line.on_close
            )
            await line.event()
            if expected[1]:
                server.connection.close(*expected)
            else:
                server.connection.break_off()
            assert await asyncio.wait_for(line.closed, 10) == expected
            await link.aclose()


@real
async def test_a_half_open_connection_is_found() -> None:
    async with ScriptedRealtimeServer(faults=[freeze(after=1)]) as server:
        line = Line()
        link = await connect(
            request_to(server.url, heartbeat_s=0.2), on_message=line.frames.put_nowait, on_close=line.on_close
        )
        clock = Clock()
        await line.event()
        assert (await asyncio.wait_for(line.closed, 10))[0] == 1006
        assert clock.now() < 3.0
        await link.aclose()


@real
async def test_a_session_over_a_real_socket() -> None:
    server = ScriptedRealtimeServer(["It is noon."], api_key=KEY)
    async with server, Talk(server, connector=connect, base_url=server.base_url) as talk:
        done = await talk.answer("What time is it?")
        assert talk.heard(done.response_id) == "It is noon."
        talk.served.break_off()
        assert (await talk.answer()).status == "failed"  # the script has no more
        assert len(server.connections) == 2


@pytest.mark.parametrize(
    ("status", "recoverable", "says"),
    [
        (401, False, "api_key"),
        (404, False, "base_url and model"),
        (429, True, "HTTP 429"),
        (503, True, "HTTP 503"),
        (400, False, "HTTP 400"),
    ],
)
@real
async def test_a_handshake_that_is_refused(status: int, recoverable: bool, says: str) -> None:
    async with ScriptedRealtimeServer(faults=[refuse(status)]) as server:
        error = await failure_of(request_to(server.url))
    assert error.recoverable is recoverable
    assert says in str(error)


async def failure_of(request: LinkRequest) -> ModelError:
    line = Line()
    with pytest.raises(ModelError) as caught:
        await connect(request, on_message=line.frames.put_nowait, on_close=line.on_close)
    assert KEY not in str(caught.value) + repr(caught.value) + repr(request)
    assert caught.value.__cause__ is None
    return caught.value


@real
async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await failure_of(request_to(f"ws://127.0.0.1:{taken.getsockname()[1]}/v1/realtime"))
    assert isinstance(error, ModelConnectionError)
    assert "check base_url" in str(error)


@real
async def test_tls_where_there_is_none() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1")
    port = plain.sockets[0].getsockname()[1]
    error = await failure_of(request_to(f"wss://127.0.0.1:{port}/v1/realtime"))
    plain.close()
    assert "TLS failed" in str(error)
    assert not error.recoverable


@real
async def test_a_server_that_says_nothing() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"ws://127.0.0.1:{mute.getsockname()[1]}/v1/realtime"
        error = await failure_of(request_to(url, timeout_s=0.2))
    assert isinstance(error, ModelTimeoutError)
    assert "0.2 s" in str(error)


@real
async def _log_everything(said: list[str]) -> None:
    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not record.name.startswith("websockets"):  # the server's own
                said.append(record.getMessage())

    root = logging.getLogger()
    keep, level = Keep(level=1), root.level
    root.addHandler(keep)
    root.setLevel(1)
    try:
        server = ScriptedRealtimeServer(api_key=KEY)
        async with server, Talk(server, connector=connect, base_url=server.base_url) as talk:
            logging.getLogger("repartee").info("between")
            await talk.answer("Hello.")
    finally:
        root.removeHandler(keep)
        root.setLevel(level)


def test_no_log_has_the_key_at_any_level() -> None:
    said: list[str] = []
    _log_everything(said)
    assert "between" in said
    assert not [line for line in said if KEY in line]
