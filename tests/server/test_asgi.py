"""The application in others, under any prefix, and by plain ASGI."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import repartee.server
from repartee.errors import ConfigurationError
from repartee.server.asgi import app, lifespan, service_of
from repartee.server.served import Served
from repartee.testing import ScriptedRealtimeModel
from tests.server.serving import FakeSession, make_app, over_sockets


def _client(application: Starlette) -> TestClient:
    return TestClient(application, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000))


def _mounted(prefix: str) -> Starlette:
    return Starlette(routes=[Mount(prefix, make_app())])


def _mounted_in_fastapi(prefix: str) -> Starlette:
    api = FastAPI()
    api.mount(prefix, make_app())
    return api


@pytest.mark.parametrize("mounted", [_mounted, _mounted_in_fastapi])
@pytest.mark.parametrize("prefix", ["/voice", "/a/b"])
def test_every_route_works_under_a_prefix_and_starts_by_itself(
    prefix: str, mounted: Callable[[str], Starlette]
) -> None:
    with _client(mounted(prefix)) as client:
        with client.websocket_connect(
            f"ws://127.0.0.1{prefix}/v1/realtime?model=m", subprotocols=["realtime"]
        ) as socket:
            assert str(socket.accepted_subprotocol) == "realtime"
            assert socket.receive_json()["session"]["model"] == "m"
            socket.send_text('{"type":"one"}')
            assert socket.receive_json()["event"] == {"type": "one"}
            socket.send_bytes(b"\0")
            assert socket.receive_json()["error"]["code"] == "invalid_event"
        assert FakeSession.made[0].closed
        assert client.get(f"{prefix}/v1/models").json()["data"][0]["id"] == "fake"
        assert client.post(f"{prefix}/v1/realtime/client_secrets").json()["value"].startswith("ek_")
        assert client.get(f"{prefix}/healthz").status_code == 200
        assert client.get(f"{prefix}/").headers["content-type"].startswith("text/html")
        missing = client.get(f"{prefix}/nothing")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "unknown_url")


def test_a_fastapi_application_runs_the_lifespan_and_has_addresses_of_its_own() -> None:
    voice = make_app()

    @asynccontextmanager
    async def running(api: FastAPI) -> AsyncIterator[None]:
        async with lifespan(voice):
            yield

    api = FastAPI(lifespan=running)

    @api.get("/hello")
    async def hello() -> dict[str, str]:
        return {"say": "hello"}

    api.mount("/voice", voice)
    with _client(api) as client:
        assert client.get("/voice/readyz").json() == {"status": "ready"}
        assert client.get("/hello").json() == {"say": "hello"}
        assert "/hello" in client.get("/openapi.json").json()["paths"]


def test_there_is_no_telephone() -> None:
    with _client(_mounted("/voice")) as client:
        answer = client.post("/voice/v1/realtime/calls/rtc_1/accept")
        assert client.post("/voice/v1/realtime/calls/rtc_1/sing").status_code == 404
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "sip_not_supported")


def test_readiness_where_nobody_runs_the_lifespan() -> None:
    with _client(_mounted("/voice")) as client:
        states = [client.get("/voice/readyz").json()["status"] for _ in range(3)]
    assert states[0] == "starting"
    assert states[-1] == "ready"


def test_closing_by_plain_asgi() -> None:
    application = make_app(("sk-test-key-1",))
    with _client(application) as client, client.websocket_connect("ws://127.0.0.1/v1/realtime") as socket:
        assert json.loads(socket.receive_text())["error"]["code"] == "invalid_api_key"
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
        assert closed.value.code == 3000


@over_sockets
async def test_the_lifespan_for_who_mounts_it() -> None:
    application = make_app()
    async with lifespan(application):
        assert service_of(application).ready
    assert service_of(application).ready is False


def test_several_models_by_name() -> None:
    both = [Served.of(ScriptedRealtimeModel([]), name=name) for name in ("one", "two")]
    service = service_of(app(both))
    assert [each.name for each in (service.served_for(""), service.served_for("two")) if each] == [
        "one",
        "two",
    ]
    assert service.served_for("three") is None
    with pytest.raises(ConfigurationError, match="name of its own"):
        app([both[0], both[0]])


def test_a_model_by_itself_and_the_public_names() -> None:
    model = ScriptedRealtimeModel([])
    assert service_of(repartee.server.app(model)).served[0].model is model
    assert {"app", "lifespan", "Served", "ServerOptions"} == set(repartee.server.__all__)
    for name in repartee.server.__all__:
        assert getattr(repartee.server, name).__name__ == name
    with pytest.raises(AttributeError):
        repartee.server.nothing  # noqa: B018
