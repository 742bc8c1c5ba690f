"""The server's errors as ours, without secrets."""

from __future__ import annotations

import pytest

from repartee.errors import ModelConnectionError, ModelError, ModelTimeoutError
from repartee.plugins.openai.realtime.failures import advise, error_of, is_final, is_harmless
from repartee.plugins.openai.server import find_server
from repartee.protocol import events as wire

KEY = "sk-proj-abcdefghij0123456789"
SERVER = find_server(api_key=KEY)


def event(message: str, **fields: str) -> wire.Error:
    return wire.Error(error=wire.ErrorDetails(message=message, **fields))


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("invalid_api_key", "check api_key="),
        ("invalid_model", "check model="),
        ("insufficient_quota", "billing"),
        ("beta_api_shape_disabled", "leave api_version out"),
    ],
)
def test_what_no_retry_helps_says_what_does(code: str, advice: str) -> None:
    error = error_of(event("No.", code=code), SERVER)
    assert is_final(error)
    assert not error.recoverable
    assert advice in str(error)


def test_a_class_of_error_counts_as_its_code() -> None:
    assert is_final(error_of(event("No.", type="insufficient_quota", code="no_money"), SERVER))


def test_no_secret_is_repeated() -> None:
    error = error_of(event(f"Incorrect API key provided: {KEY}.", code="invalid_api_key"), SERVER)
    assert KEY not in str(error) + repr(error)
    assert "[secret]" in str(error)


def test_the_field_is_named() -> None:
    error = error_of(event("Invalid value.", code="invalid_value", param="session.voice"), SERVER)
    assert str(error) == "Invalid value. (in session.voice)"
    assert error.recoverable


def test_what_has_happened_all_the_same() -> None:
    assert is_harmless(event("Cancellation failed", code="response_cancel_not_active"))
    assert is_harmless(event("Your session hit its end", code="session_expired"))
    shorter = "Audio content of 1100ms is already shorter than 1300ms"
    assert is_harmless(event(shorter, code="invalid_value", event_id="truncate:item_1"))
    assert not is_harmless(event(shorter, code="invalid_value", event_id="create:item_1"))


def test_advice_is_given_once_and_keeps_the_kind() -> None:
    closed = ModelConnectionError("closed (3000)", stage="realtime", code="invalid_api_key")
    advised = advise(closed, SERVER)
    assert isinstance(advised, ModelConnectionError)
    assert not advised.recoverable
    assert advise(advised, SERVER) is advised
    other = ModelError("x", stage="realtime")
    assert advise(other, SERVER) is other


def test_the_servers_name_and_what_to_do_about_the_key() -> None:
    local = find_server(base_url="http://box:8000/v1", environment={"OPENAI_API_KEY": "sk-of-somebody-else"})
    refused = ModelConnectionError(
        "the server refused the key (HTTP 401): check api_key",
        stage="realtime",
        recoverable=False,
        code="invalid_api_key",
    )
    told = advise(refused, local)
    assert str(told).startswith("box:8000 refused the key (HTTP 401): ")
    assert "pass api_key=os.environ['OPENAI_API_KEY']" in str(told)
    assert not told.recoverable
    late = advise(ModelTimeoutError("the server did not answer within 1 s", stage="realtime"), local)
    assert isinstance(late, ModelTimeoutError)
    assert str(late) == "box:8000 did not answer within 1 s"
    other = ModelError("Invalid value.", stage="realtime")
    assert advise(other, local) is other
