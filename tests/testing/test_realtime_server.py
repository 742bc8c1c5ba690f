"""The scripted server over a real socket: handshakes, keys, closes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from repartee.errors import MissingDependencyError, ModelConnectionError, UsageError
from repartee.testing import virtual_time
from repartee.testing.realtime_faults import drop, freeze, refuse
from repartee.testing.realtime_server import ScriptedRealtimeServer
from tests.testing.realtime_peer import Peer, Request

KEY = {"Authorization": "Bearer right"}


def on_a_socket(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run in real time, and not for long."""

    @wraps(test)
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 20))

    return run


async def closed(socket: Any) -> tuple[int, str, list[str]]:
    """How a connection is closed, and the codes of the errors before."""
    codes = []
    try:
        while True:
            event = json.loads(await socket.recv())
            if event["type"] == "error":
                codes.append(event["error"]["code"])
    except ConnectionClosed as end:
        received = end.rcvd
    assert received is not None
    return received.code, received.reason, codes


@on_a_socket
async def test_a_session_over_a_socket() -> None:
    async with (
        ScriptedRealtimeServer(["Good day."]) as server,
        connect(f"{server.url}?model=gpt-realtime", additional_headers=KEY) as socket,
    ):
        created = json.loads(await socket.recv())
        assert created["type"] == "session.created"
        assert created["session"]["model"] == "gpt-realtime"
        assert created["session"]["expires_at"] > 1_700_000_000
        await socket.send('{"type":"response.create","response":{"output_modalities":["text"]}}')
        text = ""
        while (event := json.loads(await socket.recv()))["type"] != "rate_limits.updated":
            text += event.get("delta", "")
        assert text == "Good day."
        await socket.send(b"binary")
        assert json.loads(await socket.recv())["error"]["code"] == "invalid_event"
    assert server.requests[0][0] == "/v1/realtime?model=gpt-realtime"
    assert server.requests[0][1]["authorization"] == "Bearer right"


@pytest.mark.parametrize(
    "path, headers, close, code",
    [
        ("?model=m", {"Authorization": "Bearer wrong"}, 3000, "invalid_api_key"),
        ("?model=m", {}, 3000, "invalid_api_key"),
        ("?model=other", KEY, 4000, "invalid_model"),
        ("?model=m", {**KEY, "OpenAI-Beta": "realtime=v1"}, 4000, "beta_api_shape_disabled"),
    ],
)
def test_a_bad_handshake_succeeds_and_says_what_was_wrong(
    path: str, headers: dict[str, str], close: int, code: str
) -> None:
    @on_a_socket
    async def test() -> None:
        async with (
            ScriptedRealtimeServer(api_key="right", models={"m"}) as server,
            connect(server.url + path, additional_headers=headers) as socket,
        ):
            assert await closed(socket) == (close, f"invalid_request_error.{code}", [code])

    test()


@on_a_socket
async def test_browsers_and_azure_have_their_own_ways_to_give_a_key() -> None:
    async with ScriptedRealtimeServer(api_key="right") as server:
        async with connect(server.url, subprotocols=["realtime", "openai-insecure-api-key.right"]) as socket:  # type: ignore[list-item]
            assert json.loads(await socket.recv())["type"] == "session.created"
            assert socket.subprotocol == "realtime"
        async with connect(server.url, additional_headers={"api-key": "right"}) as socket:
            assert json.loads(await socket.recv())["type"] == "session.created"
            assert socket.subprotocol is None


@on_a_socket
async def test_a_handshake_may_be_refused() -> None:
    async with ScriptedRealtimeServer(faults=[refuse(429)]) as server:
        with pytest.raises(InvalidStatus, match="429"):
            await connect(server.url)
        with pytest.raises(InvalidStatus, match="404"):
            await connect(server.url.replace("realtime", "chat"))
        async with connect(server.url) as socket:
            assert json.loads(await socket.recv())["type"] == "session.created"
    assert [connection.number for connection in server.connections] == [3]


@on_a_socket
async def test_a_broken_socket_has_no_close_frame() -> None:
    async with ScriptedRealtimeServer(faults=[drop()]) as server, connect(server.url) as socket:
        await socket.recv()
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
        assert caught.value.rcvd is None


@on_a_socket
async def test_a_frozen_socket_answers_no_ping() -> None:
    async with ScriptedRealtimeServer(faults=[freeze()]) as server:
        async with connect(server.url, ping_interval=None, close_timeout=0.05) as socket:
            await socket.recv()
            pong = await socket.ping()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(pong), 0.1)
        with pytest.raises(ConnectionClosed):
            await pong


@on_a_socket
async def test_a_session_over_a_socket_expires() -> None:
    async with ScriptedRealtimeServer(session_s=0.05) as server, connect(server.url) as socket:
        code, reason, errors = await closed(socket)
        assert (code, errors) == (1001, ["session_expired"])
        assert "maximum duration" in reason


@on_a_socket
async def test_it_ends_with_connections_open() -> None:
    server = ScriptedRealtimeServer()
    await server.start()
    socket = await connect(server.url)
    await socket.recv()
    await server.aclose()
    await server.aclose()
    with pytest.raises(ConnectionClosed):
        await socket.recv()
    assert server.connection.ended.is_set()


def test_it_runs_in_a_thread_of_its_own() -> None:
    from websockets.sync.client import connect as connect_now

    with ScriptedRealtimeServer(["Here."]).in_thread() as server, connect_now(server.url) as socket:
        assert json.loads(socket.recv(timeout=10))["type"] == "session.created"
    assert server.connection.ended.is_set()
    with pytest.raises(ConnectionRefusedError):
        connect_now(server.url, open_timeout=1)


def test_what_hinders_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.asyncio.server", None)
    with pytest.raises(MissingDependencyError, match="websockets"), ScriptedRealtimeServer().in_thread():
        pass


def test_nobody_has_connected_yet() -> None:
    with pytest.raises(UsageError, match="nobody"):
        _ = ScriptedRealtimeServer().connection


@virtual_time
async def test_in_memory_a_handshake_may_be_refused_too() -> None:
    server = ScriptedRealtimeServer(api_key="right", faults=[refuse(503), refuse(403, connection=2)])
    for recoverable in (True, False):
        with pytest.raises(ModelConnectionError) as caught:
            await Peer.connect(server)
        assert caught.value.recoverable is recoverable
    peer = await Peer.connect(server, strict=False)
    assert await peer.until_closed() == (3000, "invalid_request_error.invalid_api_key")
    await peer.aclose()
    peer = await Peer.connect(server, Request(headers=KEY))
    await peer.aclose()


def test_it_runs_by_itself() -> None:
    from websockets.sync.client import connect as connect_now

    command = [sys.executable, "-m", "repartee.testing.realtime_server", "--api-key", "right", "Yes.", "No."]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            base_url = process.stdout.readline().strip()
            said = []
            url = f"ws{base_url.removeprefix('http')}/realtime"
            with connect_now(url, additional_headers=KEY) as socket:
                for _ in range(3):
                    socket.send('{"type":"response.create","response":{"output_modalities":["text"]}}')
                    while (event := json.loads(socket.recv(timeout=20)))["type"] != "response.done":
                        pass
                    said.append(event["response"]["output"][0]["content"][0]["text"])
            assert said == ["Yes.", "No.", "Yes."]
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0
