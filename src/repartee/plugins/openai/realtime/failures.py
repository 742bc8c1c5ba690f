"""The server's errors as ours: what happened, what would help, whether a later try can; never with a secret."""

from __future__ import annotations

from repartee.errors import ModelConnectionError, ModelError, ModelTimeoutError
from repartee.plugins.openai.server import Server
from repartee.protocol import events as wire
from repartee.protocol.model import given

__all__ = ["advise", "error_of", "is_final", "is_harmless"]

_FINAL_CODES = frozenset(
    {
        "account_deactivated",
        "beta_api_shape_disabled",
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "insufficient_quota",
        "invalid_api_key",
        "invalid_model",
        "model_not_found",
    }
)
# The server and we have passed each other: what was asked for has happened already, or is about to.
_HARMLESS_CODES = frozenset(
    {
        "item_create_duplicate_item_id",
        "item_delete_invalid_item_id",
        "item_truncate_invalid_item_id",
        "response_cancel_not_active",
    }
)
_ADVICE = {
    "account_deactivated": "the account is not active: see the provider's console",
    "beta_api_shape_disabled": "this server no longer speaks the beta's protocol: leave api_version out",
    "billing_hard_limit_reached": "the account's limit is reached: raise it in the provider's console",
    "cannot_update_voice": "a voice is fixed once it has spoken: choose it before, or start a new session",
    "credit_balance_exhausted": "the account has no credit: add some in the provider's console",
    "insufficient_quota": "the account has no quota: see its billing in the provider's console",
    "invalid_model": "check model=",
    "model_not_found": "check model=",
}

_NAMELESS = "the server"
_KEY_HINT = ": check api_key"  # all that a link can say, which does not know the server


def is_final(error: ModelError) -> bool:
    """Whether no later try can help."""
    return error.code in _FINAL_CODES


def is_harmless(event: wire.Error) -> bool:
    """Whether what was asked for has happened all the same."""
    details = event.error
    code, about = given(details.code, ""), given(details.event_id, "")
    if code in _HARMLESS_CODES or code == "session_expired":
        return True  # the latter is followed by the close that is acted upon
    return about.startswith("truncate:") and "already shorter" in details.message


def error_of(event: wire.Error, server: Server) -> ModelError:
    """The error that an event tells."""
    details = event.error
    code = given(details.code, None) or given(details.type, None)
    if given(details.type, "") in _FINAL_CODES and code not in _FINAL_CODES:
        code = given(details.type, None)
    param = given(details.param, None)
    text = server.redact(details.message)
    if param and param not in text:
        text = f"{text} (in {param})"
    error = ModelError(text, stage="realtime", provider="openai", code=code)
    error.recoverable = not is_final(error)
    return advise(error, server)


def advise(error: ModelError, server: Server) -> ModelError:
    """The same error, with the server's name and what would help."""
    advice = _ADVICE.get(error.code or "")
    if error.code == "invalid_api_key":
        advice = server.key_advice
    text = told = server.redact(str(error)).removesuffix(_KEY_HINT)
    if isinstance(error, ModelConnectionError | ModelTimeoutError) and text.startswith(_NAMELESS):
        text = server.host + text.removeprefix(_NAMELESS)
    if advice is not None and advice not in text:
        text = f"{text.rstrip('.')}: {advice}"
    if text == told == str(error):
        return error
    return type(error)(
        text,
        stage=error.stage,
        provider=error.provider or "openai",
        recoverable=error.recoverable and not is_final(error),
        code=error.code,
    )
