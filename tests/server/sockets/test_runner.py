"""Listening, and ending."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

import pytest

from repartee.errors import ConfigurationError, ModelError
from repartee.server.asgi import service_of
from repartee.server.sockets.runner import RealtimeServer, bind, check_host
from tests.server.serving import FakeSession, closing, http, make_app, open_socket, over_sockets, serving


def test_others_are_let_in_only_with_keys() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        check_host(host, has_keys=False)
    check_host("0.0.0.0", has_keys=True)
    for host in ("0.0.0.0", "::", "", "192.168.1.5", "example.test"):
        with pytest.raises(ConfigurationError, match="api-key-file"):
            check_host(host, has_keys=False)


def test_a_port_that_is_taken_and_an_address_that_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} is taken"):
            bind("127.0.0.1", port)

    with pytest.raises(ConfigurationError, match="65535"):
        bind("127.0.0.1", 80_000)

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ConfigurationError, match="no address of this machine"):
        bind("nowhere.test", 0)


@over_sockets
async def test_a_model_that_can_not_be_had_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    application = make_app()

    async def fails() -> None:
        raise ModelError("the weights are missing", stage="llm")

    monkeypatch.setattr(service_of(application), "_prewarm", fails)
    server = RealtimeServer(application, bind("127.0.0.1", 0), tune=False)
    with pytest.raises(ModelError, match="weights"):
        await server.run_until_stopped()
    assert not server.started


@over_sockets
async def test_stopping_without_waiting() -> None:
    async with serving(make_app(drain_s=60)) as server, open_socket(server) as opened:
        await opened.recv()
        server.stop(drain=False)
        events, code, _ = await closing(opened)
        assert (events[-1]["error"]["code"], code) == ("server_shutdown", 1012)
    assert FakeSession.made[0].closed


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@over_sockets
async def test_signals_begin_the_end_and_hurry_it() -> None:
    server = RealtimeServer(make_app(drain_s=60), bind("127.0.0.1", 0))
    task = asyncio.get_running_loop().create_task(server.run_until_stopped())
    await server.serving.wait()
    async with open_socket(server) as opened, http(server) as client:
        await opened.recv()
        os.kill(os.getpid(), signal.SIGTERM)
        while (await client.get("/readyz")).status_code != 503:
            pass
        assert not task.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert (await closing(opened))[1] == 1012
    await task
    assert server.signal == signal.SIGTERM
