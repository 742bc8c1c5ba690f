"""Where a connection to a Realtime server goes, and how it is allowed: a `LinkRequest` from a `Server`."""

from __future__ import annotations

from collections.abc import Awaitable
from urllib.parse import quote

from repartee.errors import ModelConnectionError
from repartee.plugins.openai.realtime.link import LinkRequest
from repartee.plugins.openai.server import Server

__all__ = ["link_request"]


async def link_request(
    server: Server,
    *,
    model: str | None,
    timeout_s: float,
    heartbeat_s: float,
) -> LinkRequest:
    """Where to connect, and how.

    Args:
        server: whose protocol it is. A token that is a function is asked for anew.
        model: of a speech-to-speech session. ``None``: a transcription session, whose model is part of its
            configuration (OpenAI refuses both in the address).
        timeout_s: of the handshake.
        heartbeat_s: as in `LinkRequest`.

    Raises:
        ModelError: the function that gets the token failed. What it said is left out: it may hold a secret.
    """
    base = "ws" + server.base_url.removeprefix("http")
    name = quote(model or "", safe="")
    if server.kind == "azure":
        what = "intent=transcription" if model is None else f"deployment={name}"
        version = quote(server.api_version or "", safe="")
        url = f"{base}/openai/realtime?api-version={version}&{what}"
    else:
        what = "intent=transcription" if model is None else f"model={name}"
        url = f"{base}/realtime?{what}"
    headers: dict[str, str] = {}
    token = server.entra_token
    if callable(token):
        try:
            made = token()
            token = await made if isinstance(made, Awaitable) else made
        except Exception as error:
            text = f"there is no Entra token: entra_token's function failed with {type(error).__name__}"
            raise ModelConnectionError(text, stage="realtime", provider="openai", code="no_token") from None
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    elif server.sends_key and server.key is not None:
        azure = server.kind.startswith("azure")
        headers["api-key" if azure else "Authorization"] = server.key if azure else f"Bearer {server.key}"
    if server.organization is not None:
        headers["OpenAI-Organization"] = server.organization
    if server.project is not None:
        headers["OpenAI-Project"] = server.project
    return LinkRequest(url, headers, timeout_s, heartbeat_s)
