"""Which pages reach the server, and by which name."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.server.access.guard import Guard, is_loopback
from repartee.server.asgi import service_of
from repartee.server.options import ServerOptions
from repartee.server.replies import ErrorReply
from tests.server.serving import http, make_app, over_sockets, serving

KEY = "sk-test-key-1"


def _code(
    headers: dict[str, str], *, keys: tuple[str, ...] = (), client: str = "127.0.0.1", **options: Any
) -> str:
    from starlette.datastructures import Headers

    gatekeeper = service_of(make_app(keys)).gatekeeper
    guard = Guard(lambda *_: None, ServerOptions(**options), gatekeeper)  # type: ignore[arg-type]
    try:
        guard.check({"client": (client, 1)}, Headers(headers))
    except ErrorReply as refusal:
        return refusal.code if refusal.status == 403 else str(refusal.status)
    return ""


@pytest.mark.parametrize(
    "host, ours",
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("page.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost.evil.test", False),
        ("127.0.0.1.evil.test", False),
        ("", False),
    ],
)
def test_the_names_of_this_machine(host: str, ours: bool) -> None:
    assert is_loopback(host) is ours


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LocalHost"])
def test_without_keys_we_are_called_by_our_own_names(host: str) -> None:
    assert _code({"host": host}) == ""


@pytest.mark.parametrize("host", ["rebound.test:8080", "", "localhost.rebound.test", "10.1.2.3"])
def test_without_keys_a_foreign_name_is_refused(host: str) -> None:
    assert _code({"host": host}) == "host_not_allowed"
    assert _code({"host": host}, keys=(KEY,)) == ""


def test_allowed_names() -> None:
    assert _code({"host": "voice.test:1"}, allow_hosts=("Voice.test",)) == ""
    assert _code({"host": "other.test"}, keys=(KEY,), allow_hosts=("voice.test",)) == "host_not_allowed"
    assert _code({"host": "other.test"}, allow_hosts=("*",)) == ""


def test_without_keys_nobody_comes_from_elsewhere() -> None:
    assert _code({"host": "localhost"}, client="10.1.2.3") == "keys_required"
    for header in ("x-forwarded-for", "forwarded", "via"):
        assert _code({"host": "localhost", header: "10.1.2.3"}) == "keys_required"
    assert _code({"host": "localhost"}, client="10.1.2.3", keys=(KEY,)) == ""


@pytest.mark.parametrize(
    "origin, host, allowed",
    [
        ("http://localhost:8080", "localhost:8080", True),
        ("https://voice.test", "voice.test", True),
        ("https://voice.test:443", "voice.test", True),
        ("http://voice.test", "voice.test:80", True),
        ("https://voice.test", "voice.test:443", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://localhost:8081", "localhost:8080", False),
        ("http://127.0.0.1:8080", "localhost:8080", False),
        ("https://evil.test", "voice.test", False),
        ("null", "voice.test", False),
        ("file://", "voice.test", False),
        ("chrome-extension://voice.test", "voice.test", False),
    ],
)
def test_the_same_origin_and_no_other(origin: str, host: str, allowed: bool) -> None:
    assert (_code({"host": host, "origin": origin}, keys=(KEY,)) == "") is allowed
    assert _code({"host": host, "origin": origin}, keys=(KEY,), allow_origins=("*",)) == ""
    if origin.startswith("http"):
        assert _code({"host": host, "origin": origin}, keys=(KEY,), allow_origins=(origin,)) == ""


@over_sockets
async def test_what_browsers_are_told() -> None:
    page = "https://page.test"
    async with serving(make_app((KEY,), allow_origins=(page,))) as server, http(server, KEY) as client:
        asked = {
            "Origin": page,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-openai-agents-sdk",
            "Access-Control-Request-Private-Network": "true",
        }
        flight = await client.options("/v1/realtime/calls", headers=asked)
        assert flight.status_code == 204
        assert flight.headers["Access-Control-Allow-Origin"] == page
        assert "x-openai-agents-sdk" in flight.headers["Access-Control-Allow-Headers"]
        assert flight.headers["Access-Control-Allow-Private-Network"] == "true"
        answer = await client.get("/v1/models", headers={"Origin": page})
        assert answer.headers["Access-Control-Allow-Origin"] == page
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]
        assert "Origin" in answer.headers["Vary"]
        foreign = await client.options("/v1/realtime/calls", headers={**asked, "Origin": "https://evil.test"})
        assert foreign.status_code == 403
        assert "Access-Control-Allow-Origin" not in foreign.headers
        plain = await client.get("/v1/models")
        assert "Access-Control-Allow-Origin" not in plain.headers
