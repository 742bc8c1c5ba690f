"""The HTTP endpoints, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from repartee.clock import wall_time
from repartee.compose import Conversing, Spoken
from repartee.server.asgi import app, service_of
from repartee.server.endpoints.rest import read_json
from repartee.server.policy import Policy
from repartee.server.replies import ErrorReply
from repartee.server.served import Served
from repartee.testing import ScriptedLLM, ScriptedTTS
from tests.server.serving import FakeSession, closing, http, make_app, open_socket, over_sockets, serving

KEY, OTHER = "sk-test-key-1", "sk-test-key-2"
SECRETS = "/v1/realtime/client_secrets"


@over_sockets
async def test_a_client_secret_is_told_with_its_effective_session() -> None:
    async with serving(make_app((KEY,))) as server, http(server, KEY) as client:
        asked = {
            "expires_after": {"anchor": "created_at", "seconds": 60},
            "session": {"type": "realtime", "audio": {"input": {"turn_detection": None}}},
        }
        made = (await client.post(SECRETS, json=asked)).json()
        assert made["value"].startswith("ek_")
        assert 50 < made["expires_at"] - wall_time() <= 60
        session = made["session"]
        assert session["object"] == "realtime.session"
        assert session["id"].startswith("sess_")
        assert (session["expires_at"], session["truncation"], session["include"]) == (0, "auto", None)
        assert session["audio"]["input"]["turn_detection"] is None
        empty = (await client.post(SECRETS)).json()
        assert 590 < empty["expires_at"] - wall_time() <= 600


@pytest.mark.parametrize(
    "body, param",
    [
        ({"session": {"type": "realtime", "output_modalities": 7}}, "session.output_modalities"),
        ({"session": {"type": "opera"}}, "session.type"),
        ({"session": {"type": "translation"}}, "session.type"),
        ({"session": []}, "session"),
        ({"expires_after": {"anchor": "tomorrow"}}, "expires_after"),
        ({"expires_after": {"seconds": 9}}, "expires_after.seconds"),
        ({"expires_after": {"seconds": 7201}}, "expires_after.seconds"),
        ({"expires_after": {"seconds": True}}, "expires_after.seconds"),
    ],
)
@over_sockets
async def test_a_wrong_request_for_a_secret_names_the_field(body: dict[str, Any], param: str) -> None:
    async with serving(make_app()) as server, http(server) as client:
        answer = await client.post(SECRETS, json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == param


@over_sockets
async def test_only_a_key_makes_and_revokes_secrets() -> None:
    async with serving(make_app((KEY, OTHER))) as server, http(server) as client:
        mine, others = {"Authorization": f"Bearer {KEY}"}, {"Authorization": f"Bearer {OTHER}"}
        assert (await client.post(SECRETS)).status_code == 401
        value = (await client.post(SECRETS, headers=mine)).json()["value"]
        secret = {"Authorization": f"Bearer {value}"}
        refused = await client.post(SECRETS, headers=secret)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert (await client.get("/v1/models", headers=secret)).status_code == 200
        assert (await client.delete(f"{SECRETS}/{value}", headers=others)).status_code == 404
        assert (await client.delete(f"{SECRETS}/{value}", headers=mine)).json()["deleted"] is True
        assert (await client.get("/v1/models", headers=secret)).status_code == 401
        async with open_socket(server, key=value) as socket:
            assert (await closing(socket))[1] == 3000


@over_sockets
async def test_secrets_are_bounded() -> None:
    async with serving(make_app(secrets=1)) as server, http(server) as client:
        await client.post(SECRETS)
        answer = await client.post(SECRETS)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_client_secrets")


@over_sockets
async def test_the_betas_way_to_a_secret() -> None:
    async with serving(make_app()) as server, http(server) as client:
        made = (await client.post("/v1/realtime/sessions", json={"model": "m", "voice": "sage"})).json()
        assert (made["model"], made["voice"], made["input_audio_format"]) == ("m", "sage", "pcm16")
        assert 50 < made["client_secret"]["expires_at"] - wall_time() <= 60
        async with open_socket(server, "/v1/realtime?model=m", key=made["client_secret"]["value"]) as socket:
            assert '"sage"' in await socket.recv()
        other = await client.post(
            "/v1/realtime/transcription_sessions", json={"input_audio_format": "g711_ulaw"}
        )
        assert other.json()["input_audio_format"] == "g711_ulaw"
    async with serving(make_app(beta=False)) as server, http(server) as client:
        assert (await client.post("/v1/realtime/sessions")).status_code == 404


@over_sockets
async def test_bodies_are_bounded_in_size_and_time() -> None:
    async with serving(make_app(body_bytes=1024, handshake_s=0.2)) as server, http(server) as client:
        assert (await client.post(SECRETS, content=b"{" + b" " * 2000)).status_code == 413

        async def unknown_length() -> Any:
            for _ in range(100):
                yield b" " * 100

        assert (await client.post(SECRETS, content=unknown_length())).status_code == 413
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
        )
        assert b" 408 " in await reader.readline()
        writer.close()


@over_sockets
async def test_a_connection_that_asks_for_nothing_is_dropped() -> None:
    async with serving(make_app(handshake_s=0.1)) as server:
        for part in (b"", b"GET / HTTP/1.1\r\nHost: loc"):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(part)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()


@pytest.mark.parametrize(
    "told, voices",
    [
        ({}, ["ada", "bob", "eve"]),
        ({"voices": ["bob", "eve"]}, ["bob", "eve"]),
        ({"voices": ["bob", "eve"], "policy": Policy(voices=("eve",))}, ["eve"]),
    ],
)
@over_sockets
async def test_a_model_has_its_voices_with_it(told: dict[str, Any], voices: list[str]) -> None:
    model = Spoken(Conversing(ScriptedLLM()), ScriptedTTS(voices=["ada", "bob", "eve"]))
    application = app(Served.of(model, name="m", **told), session_factory=FakeSession)  # type: ignore[arg-type]
    async with serving(application) as server, http(server) as client:
        assert (await client.get("/v1/models/m")).json()["voices"] == voices


@over_sockets
async def test_models_health_and_readiness() -> None:
    async with serving(make_app((KEY,))) as server, http(server) as client:
        key = {"Authorization": f"Bearer {KEY}"}
        listed = (await client.get("/v1/models", headers=key)).json()
        assert [model["id"] for model in listed["data"]] == ["fake"]
        assert (await client.get("/v1/models/fake", headers=key)).json()["object"] == "model"
        assert (await client.get("/v1/models/other", headers=key)).json()["error"][
            "code"
        ] == "model_not_found"
        assert "voices" not in listed["data"][0]
        assert (await client.get("/v1/models")).status_code == 401
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ready"}
        service = service_of(server.application)
        places = [service.admission.enter("one") for _ in range(service.options.sessions)]
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "full"})
        places[0].release()
        assert (await client.get("/readyz")).status_code == 200
        service.begin_drain()
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "draining"})
        service.admission.draining = False
        service.failure = "no weights"
        answer = await client.get("/readyz")  # begins again
        assert (answer.status_code, answer.json()["status"]) == (503, "starting")


@over_sockets
async def test_the_rest_is_refused_in_the_shape_that_clients_read() -> None:
    async with serving(make_app()) as server, http(server) as client:
        for method, path, status, code in (
            ("GET", "/v1/chat/completions", 404, "unknown_url"),
            ("PUT", "/v1/models", 405, "method_not_allowed"),
            ("GET", "/v1/realtime", 426, "upgrade_required"),
            ("POST", SECRETS, 400, "invalid_json"),
        ):
            answer = await client.request(method, path, content=b"[]" if method == "POST" else None)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (status, code)
            assert set(error) == {"message", "type", "param", "code"}
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_body_is_one_object_or_nothing() -> None:
    assert read_json(b" \n") == {}
    assert read_json(b'{"a":1}') == {"a": 1}
    for wrong in (b"[", b"3", b"\xff\xfe", b"[" * 100_000):
        with pytest.raises(ErrorReply, match="JSON"):
            read_json(wrong)
