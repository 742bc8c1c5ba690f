"""What a server's failures mean: one `ModelError` each, that says what would help and holds no secret.

Only texts are taken over. The exceptions of the ``openai`` package carry the request with its headers, hence the key;
none of them becomes the cause or the context of an error of ours.
"""

from __future__ import annotations

import email.utils
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from repartee.clock import wall_time
from repartee.errors import ModelConnectionError, ModelError, ModelTimeoutError, ReparteeError, Stage
from repartee.plugins.openai.server import Server

__all__ = ["Failure", "failure_of"]

_MESSAGE_CHARS_MAX = 300


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that failed."""

    error: ModelError
    retry: bool = False
    """Whether asking again soon may help."""
    retry_after_s: float | None = None
    """When the server wants to be asked again."""


def failure_of(
    error: Exception, server: Server, stage: Stage, model: str, timeout_s: float
) -> Failure | None:
    """What an exception of a request means.

    Args:
        error: what was raised.
        server: who was asked.
        stage: of the conversation.
        model: which model was asked for.
        timeout_s: what the deadline was.

    Returns:
        ``None`` for an exception that has nothing to do with the server: a mistake in the program.
    """
    import httpx2
    import openai

    def fail(text: str, kind: type[ModelError] = ModelError, *, retry: bool = False, **more: Any) -> Failure:
        after_s = more.pop("retry_after_s", None)
        return Failure(kind(text, stage=stage, provider="openai", **more), retry, after_s)

    if isinstance(error, ReparteeError):
        return Failure(error) if isinstance(error, ModelError) else None
    if isinstance(error, TimeoutError | openai.APITimeoutError | httpx2.TimeoutException):
        text = (
            f"{server.host} gave nothing for {timeout_s:g} s: the server is slow or the network is; raise timeout_s= "
            f"if that is usual for {model!r}"
        )
        return fail(text, ModelTimeoutError, retry=True, code="timeout")
    if isinstance(error, openai.APIStatusError):
        return _refused(error, server, model, fail)
    if isinstance(error, openai.APIConnectionError | httpx2.HTTPError):
        text = f"the connection to {server.host} failed: {server.redact(_root(error))}"
        return fail(text, ModelConnectionError, retry=True, code="connection_error")
    if isinstance(error, openai.APIResponseValidationError | json.JSONDecodeError | UnicodeDecodeError):
        return fail(
            f"{server.host} answered in a way that is not the API's: check that base_url= is right "
            f"(it is {server.base_url})",
            code="invalid_response",
        )
    if isinstance(error, openai.APIError):  # sent within a stream
        text = f"{server.host} reported an error: {_told(error, server)}"
        return fail(text, retry=error.code in (None, "server_error"), code=error.code)
    if isinstance(error, openai.OpenAIError):
        return fail(f"the openai package failed: {server.redact(str(error))}", recoverable=False)
    return None


def _refused(error: Any, server: Server, model: str, fail: Callable[..., Failure]) -> Failure:
    """A response whose status says no."""
    status, code, told = error.status_code, error.code, _told(error, server)
    if status == 401:
        # What the server says of it is left out: it quotes a part of the key.
        if not server.sends_key:
            text = f"{server.host} wants a key (401), and there is none: {server.key_advice}"
        else:
            text = (
                f"{server.host} refused the key from {server.key_source} (401): it is mistyped, expired or of "
                "another server; put a valid one there"
            )
        return fail(text, recoverable=False, code="invalid_api_key")
    if status == 403:
        text = f"{_whose(server)} may not use {model!r} at {server.host} (403): {told}"
        return fail(text, recoverable=False, code=code)
    if status == 404:
        text = (
            f"{server.host} has no model {model!r}, or not at {server.base_url} (404): check model= and base_url=; "
            f"it said: {told}"
        )
        return fail(text, recoverable=False, code=code or "model_not_found")
    if status == 429:
        if code == "insufficient_quota":
            text = f"the account of the key from {server.key_source} has no credit left at {server.host} (429): {told}"
            return fail(text, recoverable=False, code=code)
        after_s = _retry_after_s(error.response.headers)
        when = f"; it asks to wait {after_s:.1f} s" if after_s is not None else ""
        text = f"{server.host} gets too many requests (429): {told}{when}"
        return fail(text, retry=True, code=code or "rate_limit_exceeded", retry_after_s=after_s)
    if status >= 500 or status in (408, 409):
        after_s = _retry_after_s(error.response.headers)
        text = f"{server.host} failed ({status}): {told}"
        return fail(text, retry=True, code=code or "server_error", retry_after_s=after_s)
    text = f"{server.host} refused the request ({status}): {told}"
    return fail(text, recoverable=False, code=code or "invalid_request")


def _whose(server: Server) -> str:
    return (
        f"the key from {server.key_source}"
        if server.sends_key
        else f"nobody without a key ({server.key_advice})"
    )


def _told(error: Any, server: Server) -> str:
    """The server's own words, or what can be said for it."""
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    if message is None and isinstance(body, dict) and isinstance(body.get("error"), str):
        message = body["error"]  # Ollama's and llama.cpp's older form
    text = " ".join(str(message or getattr(error, "message", "") or "it gave no reason").split())
    # Redacted before it is cut, or half a key would be left.
    text = server.redact(text)
    return text if len(text) <= _MESSAGE_CHARS_MAX else text[: _MESSAGE_CHARS_MAX - 1] + "…"


def _root(error: BaseException) -> str:
    """What the operating system or TLS said, which the wrappers around it don't."""
    seen: BaseException = error
    while (inner := seen.__cause__ or seen.__context__) is not None:
        seen = inner
    text = str(seen) or str(error) or type(seen).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"{text}; its certificate is not one that this machine trusts"
    return text


def _retry_after_s(headers: Any) -> float | None:
    """``retry-after-ms``, or ``Retry-After`` in seconds or as a date (RFC 9110, 10.2.3)."""
    try:
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        pass
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - wall_time())
    except ValueError:
        return None
