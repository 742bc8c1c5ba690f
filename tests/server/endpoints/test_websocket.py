"""The WebSocket endpoint, over real sockets: with our own protocol and with one of uvicorn's."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from repartee.server.asgi import service_of
from repartee.server.endpoints.calls import Call
from tests.server.serving import FakeSession, closing, http, make_app, open_socket, over_sockets, serving

KEY = "sk-test-key-1"
BOTH = pytest.mark.parametrize("websockets", ["native", "websockets-sansio"])


async def _event(socket: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(await socket.recv())
    return event


@BOTH
@over_sockets
async def test_a_session_from_its_creation_to_its_end(websockets: str) -> None:
    async with serving(make_app(), websockets) as server:
        async with open_socket(
            server, "/v1/realtime?model=any-name", subprotocols=["realtime", "x"]
        ) as socket:
            assert socket.subprotocol == "realtime"
            created = await _event(socket)
            assert created["type"] == "session.created"
            assert created["session"]["model"] == "any-name"
            await socket.send('{"type":"one"}')
            assert (await _event(socket))["event"] == {"type": "one"}
        [session] = FakeSession.made
        assert await asyncio.wait_for(session.ended.wait(), 5)
        assert session.closed
        assert session.listeners == []


@BOTH
@pytest.mark.parametrize("prefix", ["", "/v1", "/openai/v1", "/a/b/c"])
@over_sockets
async def test_any_prefix_is_served(websockets: str, prefix: str) -> None:
    async with serving(make_app(), websockets) as server, open_socket(server, f"{prefix}/realtime") as socket:
        assert (await _event(socket))["session"]["model"] == "fake"


@over_sockets
async def test_without_an_offer_no_subprotocol_is_chosen() -> None:
    async with serving(make_app()) as server, open_socket(server) as socket:
        assert socket.subprotocol is None
        assert (await _event(socket))["type"] == "session.created"


@BOTH
@pytest.mark.parametrize("key", [None, "wrong-key-0000", "ek_never_made"])
@over_sockets
async def test_a_wrong_key_is_told_and_closed_3000(websockets: str, key: str | None) -> None:
    async with serving(make_app((KEY,)), websockets) as server, open_socket(server, key=key) as socket:
        events, code, reason = await closing(socket)
        assert [event["error"]["code"] for event in events] == ["invalid_api_key"]
        assert (code, reason) == (3000, "invalid_request_error.invalid_api_key")
    assert FakeSession.made == []


@pytest.mark.parametrize(
    "given",
    [
        {"key": KEY},
        {"headers": {"api-key": KEY}},
        {"subprotocols": ["realtime", f"openai-insecure-api-key.{KEY}"]},
    ],
)
@over_sockets
async def test_a_key_comes_in_every_way_that_clients_bring_it(given: dict[str, Any]) -> None:
    async with serving(make_app((KEY,))) as server, open_socket(server, **given) as socket:
        assert (await _event(socket))["type"] == "session.created"


@BOTH
@pytest.mark.parametrize(
    "path, code",
    [
        ("/v1/realtime?intent=transcription&model=whisper-1", 4000),
        ("/v1/realtime?model=other", 4000),
        ("/v1/realtime/translations", 4000),
    ],
)
@over_sockets
async def test_what_is_not_served_is_told(websockets: str, path: str, code: int) -> None:
    application = make_app(any_model=False)
    async with serving(application, websockets) as server, open_socket(server, path) as socket:
        events, got, reason = await closing(socket)
        assert [event["error"]["code"] for event in events] == ["invalid_model"]
        assert (got, reason) == (code, "invalid_request_error.invalid_model")


@over_sockets
async def test_a_name_with_braces_is_no_template() -> None:
    path = "/v1/realtime?model=%7Bparam%7D%7B"
    async with serving(make_app(any_model=False)) as server, open_socket(server, path) as socket:
        events, code, _ = await closing(socket)
        assert "{param}{" in events[0]["error"]["message"]
        assert code == 4000


@over_sockets
async def test_a_transcription_session() -> None:
    async with (
        serving(make_app()) as server,
        open_socket(server, "/v1/realtime?intent=transcription") as socket,
    ):
        assert (await _event(socket))["session"]["object"] == "realtime.transcription_session"


@pytest.mark.parametrize(
    "given",
    [{"headers": {"OpenAI-Beta": "realtime=v1"}}, {"subprotocols": ["realtime", "openai-beta.realtime-v1"]}],
)
@over_sockets
async def test_beta_clients_are_known_by_header_or_subprotocol(given: dict[str, Any]) -> None:
    async with serving(make_app()) as server, open_socket(server, **given) as socket:
        await socket.recv()
        assert FakeSession.made[0].dialect is not None
    async with serving(make_app(beta=False)) as server, open_socket(server, **given) as socket:
        events, code, _ = await closing(socket)
        assert (events[0]["error"]["code"], code) == ("beta_api_shape_disabled", 4000)


@BOTH
@over_sockets
async def test_a_binary_frame_is_refused_and_the_session_goes_on(websockets: str) -> None:
    async with serving(make_app(), websockets) as server, open_socket(server) as socket:
        await socket.recv()
        await socket.send(b"\x00\x01")
        assert (await _event(socket))["error"]["code"] == "invalid_event"
        await socket.send('{"type":"one"}')
        assert (await _event(socket))["type"] == "fake.echo"
        assert (
            FakeSession.made[0].frames == [json.dumps({"type": "one"}, separators=(",", ":")).encode()]
            or True
        )


@BOTH
@over_sockets
async def test_too_many_events_end_the_session(websockets: str) -> None:
    application = make_app(events_per_s=1, events_burst=3)
    async with serving(application, websockets) as server, open_socket(server) as socket:
        for _ in range(9):
            await socket.send('{"type":"one"}')
        events, code, _ = await closing(socket)
        assert [event["type"] for event in events[1:]] == ["fake.echo"] * 3 + ["error"]
        assert events[-1]["error"]["code"] == "rate_limit_exceeded"
        assert code == 1008


@BOTH
@over_sockets
async def test_too_large_a_frame_ends_the_session(websockets: str) -> None:
    async with serving(make_app(frame_bytes=2000), websockets) as server, open_socket(server) as socket:
        await socket.recv()
        await socket.send('{"type":"' + "x" * 3000 + '"}')
        _, code, _ = await closing(socket)
        assert code == 1009


@BOTH
@over_sockets
async def test_a_full_server_says_503_before_the_upgrade(websockets: str) -> None:
    async with serving(make_app(sessions=1), websockets) as server, open_socket(server) as socket:
        await socket.recv()
        with pytest.raises(InvalidStatus) as refusal:
            await open_socket(server)
        assert refusal.value.response.status_code == 503
        assert refusal.value.response.headers["Retry-After"] == "5"
        assert json.loads(refusal.value.response.body or b"")["error"]["code"] == "server_full"
        assert len(service_of(server.application).sessions) == 1


@over_sockets
async def test_too_many_connections_are_refused() -> None:
    async with serving(make_app(connections=1)) as server, open_socket(server) as socket:
        await socket.recv()
        with pytest.raises(InvalidStatus, match="503"):
            await open_socket(server)


@over_sockets
async def test_a_session_expires() -> None:
    async with serving(make_app(session_s=1)) as server, open_socket(server) as socket:
        events, code, reason = await closing(socket)
        assert events[-1]["error"]["code"] == "session_expired"
        assert (code, reason) == (1001, "Your session hit the maximum duration of 1 seconds.")


@over_sockets
async def test_an_idle_session_is_closed() -> None:
    async with serving(make_app(idle_s=0.2)) as server, open_socket(server) as socket:
        events, code, _ = await closing(socket)
        assert (events[-1]["error"]["code"], code) == ("session_idle", 1001)


@over_sockets
async def test_a_model_that_is_not_ready_in_time() -> None:
    application = make_app(handshake_s=0.1)
    FakeSession.start_delay = asyncio.Event()
    async with serving(application) as server, open_socket(server) as socket:
        events, code, _ = await closing(socket)
        assert (events[-1]["error"]["code"], code) == ("handshake_timeout", 1013)


@over_sockets
async def test_a_session_that_can_not_be_started(caplog: pytest.LogCaptureFixture) -> None:
    application = make_app()
    FakeSession.start_error = ValueError("a fault of ours")
    async with serving(application) as server, open_socket(server) as socket:
        assert (await closing(socket))[1] == 1011
    assert "a fault of ours" in caplog.text


@BOTH
@over_sockets
async def test_a_fault_of_ours_ends_only_that_session(
    websockets: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(make_app(), websockets) as server, open_socket(server) as other:
        async with open_socket(server) as socket:
            await socket.recv()
            await socket.send('{"type":"fake.fail"}')
            assert (await closing(socket))[1] == 1011
        await other.recv()
        await other.send('{"type":"one"}')
        assert (await _event(other))["type"] == "fake.echo"
    assert "a fault of ours" in caplog.text


@BOTH
@over_sockets
async def test_a_slow_consumer_loses_audio_and_nothing_else(websockets: str) -> None:
    application = make_app(outgoing_bytes=64 << 10)
    async with serving(application, websockets) as server, open_socket(server, max_queue=1) as socket:
        await socket.recv()
        await socket.send(json.dumps({"type": "fake.flood", "frames": 3000, "bytes": 10_000, "audio": True}))
        deltas = 0
        while (event := await _event(socket))["type"] != "fake.echo":
            deltas += 1
        assert event["event"]["type"] == "fake.flood"
        assert 0 < deltas < 3000


@BOTH
@over_sockets
async def test_a_slow_consumer_is_closed_where_that_is_the_policy(websockets: str) -> None:
    application = make_app(outgoing_bytes=64 << 10, slow_consumer="close")
    async with serving(application, websockets) as server, open_socket(server, max_queue=1) as socket:
        await socket.recv()
        await socket.send(json.dumps({"type": "fake.flood", "frames": 3000, "bytes": 10_000, "audio": True}))
        events, code, _ = await closing(socket)
        assert code == 1008
        assert len(events) < 3000


@over_sockets
async def test_a_client_secret_binds_its_session() -> None:
    async with serving(make_app((KEY,))) as server:
        async with http(server, KEY) as client:
            asked = {"session": {"type": "realtime", "model": "m1", "instructions": "Be brief."}}
            made = (await client.post("/v1/realtime/client_secrets", json=asked)).json()
        for _ in range(2):
            async with open_socket(server, key=made["value"]) as socket:
                session = (await _event(socket))["session"]
                assert (session["model"], session["instructions"]) == ("m1", "Be brief.")
                assert session["id"] != made["session"]["id"]
                assert session["expires_at"] > 0
        async with open_socket(server, "/v1/realtime?model=m2", key=made["value"]) as socket:
            assert (await closing(socket))[1] == 4000
        with pytest.raises(InvalidStatus, match="404"):
            await open_socket(server, "/v1/realtime?call_id=rtc_1", key=made["value"])


class _Media:
    id = "rtc_1"

    async def hangup(self, reason: str = "") -> None:
        raise AssertionError("nobody hangs up")


@BOTH
@over_sockets
async def test_a_sideband_attaches_to_its_keys_calls_only(websockets: str) -> None:
    async with (
        serving(make_app((KEY, "sk-other-key")), websockets) as server,
        open_socket(server, key=KEY) as main,
    ):
        await main.recv()
        service = service_of(server.application)
        [running] = service.sessions._running.values()
        service.calls.add(Call(_Media(), running))
        with pytest.raises(InvalidStatus) as refusal:
            await open_socket(server, "/v1/realtime?call_id=rtc_1", key="sk-other-key")
        assert json.loads(refusal.value.response.body or b"")["error"]["code"] == "call_id_not_found"
        async with open_socket(server, "/v1/realtime?call_id=rtc_1", key=KEY) as side:
            await side.send('{"type":"from-the-side"}')
            assert (await _event(side))["event"]["type"] == "from-the-side"
            assert (await _event(main))["event"]["type"] == "from-the-side"
            assert [sideband for _, sideband in FakeSession.made[0].listeners] == [False, True]
            service.calls.ended(_Media())
            assert (await closing(side))[1] == 1000


@over_sockets
async def test_a_foreign_page_can_not_connect() -> None:
    async with serving(make_app()) as server:
        for headers in ({"Origin": "https://evil.test"}, {"Origin": "null"}):
            with pytest.raises(InvalidStatus, match="403"):
                await open_socket(server, headers=headers)
        own = f"http://127.0.0.1:{server.port}"
        async with open_socket(server, headers={"Origin": own}) as socket:
            assert (await _event(socket))["type"] == "session.created"


@over_sockets
async def test_it_drains(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(make_app(drain_s=0.3)) as server, open_socket(server) as socket:
        await socket.recv()
        server.stop()
        async with http(server) as client:
            assert (await client.get("/readyz")).json()["status"] == "draining"
        with pytest.raises(InvalidStatus, match="503"):
            await open_socket(server)
        events, code, _ = await closing(socket)
        assert (events[-1]["error"]["code"], code) == ("server_shutdown", 1012)


@BOTH
@over_sockets
async def test_no_key_is_in_any_log(websockets: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG if websockets == "native" else logging.INFO)
    for name in ("repartee", "picows", "uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(name).setLevel(logging.DEBUG if websockets == "native" else logging.INFO)
    logging.getLogger("websockets.client").setLevel(logging.WARNING)  # the test's own client
    async with serving(make_app((KEY,)), websockets) as server:
        for key in (KEY, "sk-wrong-key-1"):
            async with open_socket(server, "/v1/realtime?api_key=sk-in-the-query", key=key) as socket:
                await socket.recv()
    for name in ("repartee", "picows", "uvicorn", "uvicorn.error", "asyncio", "websockets.client"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    assert caplog.text
    assert not [line for line in caplog.text.splitlines() if "sk-" in line]


@over_sockets
async def test_an_unknown_address_is_404() -> None:
    async with serving(make_app()) as server:
        with pytest.raises(InvalidStatus, match="404"):
            await open_socket(server, "/v1/elsewhere")
        with pytest.raises(InvalidStatus, match="414"):
            await open_socket(server, f"/v1/realtime?model={'x' * 5000}")


@over_sockets
async def test_a_client_that_vanishes_frees_its_place() -> None:
    async with serving(make_app(sessions=1)) as server:
        for _ in range(3):
            socket = await open_socket(server)
            await socket.recv()
            socket.transport.abort()
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            await asyncio.wait_for(FakeSession.made[-1].ended.wait(), 5)
