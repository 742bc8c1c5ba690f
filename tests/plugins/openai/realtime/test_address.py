"""Where connections go, by kind of server and of session."""

from __future__ import annotations

import asyncio

import pytest

from repartee.errors import ModelConnectionError
from repartee.plugins.openai.realtime.address import link_request
from repartee.plugins.openai.server import Server

KEY = "sk-proj-abcdefghij0123456789"
AZURE = "https://me.openai.azure.com"


@pytest.mark.parametrize(
    ("server", "model", "url"),
    [
        (Server("openai", "https://api.openai.com/v1", KEY), "m", "wss://api.openai.com/v1/realtime?model=m"),
        (
            Server("openai", "https://api.openai.com/v1", KEY),
            None,
            "wss://api.openai.com/v1/realtime?intent=transcription",
        ),
        (
            Server("compatible", "http://localhost:1/v1", "none"),
            "a/b",
            "ws://localhost:1/v1/realtime?model=a%2Fb",
        ),
        (
            Server("azure_v1", f"{AZURE}/openai/v1", KEY),
            None,
            "wss://me.openai.azure.com/openai/v1/realtime?intent=transcription",
        ),
        (
            Server("azure", AZURE, KEY, api_version="2025-04-01"),
            "d",
            "wss://me.openai.azure.com/openai/realtime?api-version=2025-04-01&deployment=d",
        ),
        (
            Server("azure", AZURE, KEY, api_version="2025-04-01"),
            None,
            "wss://me.openai.azure.com/openai/realtime?api-version=2025-04-01&intent=transcription",
        ),
    ],
)
def test_where(server: Server, model: str | None, url: str) -> None:
    request = asyncio.run(link_request(server, model=model, timeout_s=7.0, heartbeat_s=3.0))
    assert request.url == url
    assert (request.timeout_s, request.heartbeat_s) == (7.0, 3.0)
    expected = {"api-key": KEY} if server.kind.startswith("azure") else {"Authorization": f"Bearer {KEY}"}
    assert request.headers == ({} if server.kind == "compatible" else expected)
    assert KEY not in repr(request)


def test_a_token_is_asked_for_each_time() -> None:
    given = iter(["first", "second"])
    server = Server("azure_v1", f"{AZURE}/openai/v1", entra_token=lambda: next(given))
    for token in ("first", "second"):
        request = asyncio.run(link_request(server, model="m", timeout_s=1.0, heartbeat_s=1.0))
        assert request.headers == {"Authorization": f"Bearer {token}"}


def test_a_token_that_can_not_be_had() -> None:
    def fail() -> str:
        raise RuntimeError("the secret is hunter2")

    server = Server("azure_v1", f"{AZURE}/openai/v1", entra_token=fail)
    with pytest.raises(ModelConnectionError, match="failed with RuntimeError") as caught:
        asyncio.run(link_request(server, model="m", timeout_s=1.0, heartbeat_s=1.0))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
