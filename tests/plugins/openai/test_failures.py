"""What each failure of a server means, read from the exceptions that the official package makes of it."""

from __future__ import annotations

import email.utils
import json
from typing import Any

import httpx2
import openai
import pytest

from repartee.clock import wall_time
from repartee.errors import ModelConnectionError, ModelError, ModelTimeoutError, StateError
from repartee.plugins.openai.failures import Failure, failure_of
from repartee.plugins.openai.server import Server, find_server

KEY = "sk-proj-0123456789abcdef"
SERVER = Server("compatible", "http://example.test/v1", KEY, "OPENAI_API_KEY")
REQUEST = httpx2.Request("POST", "http://example.test/v1/x", headers={"authorization": f"Bearer {KEY}"})


def read(error: Exception, server: Server = SERVER) -> Failure:
    failure = failure_of(error, server, "llm", "m", 10.0)
    assert failure is not None
    assert KEY not in str(failure.error)
    return failure


def status(code: int, body: Any = None, **headers: str) -> openai.APIStatusError:
    response = httpx2.Response(code, request=REQUEST, headers=headers)
    return openai.APIStatusError(f"status {code} for {KEY}", response=response, body=body)


def test_timeouts_and_broken_connections() -> None:
    for error in (TimeoutError(), openai.APITimeoutError(REQUEST), httpx2.ReadTimeout("slow")):
        failure = read(error)
        assert isinstance(failure.error, ModelTimeoutError)
        assert (failure.retry, failure.error.recoverable) == (True, True)
    broken = openai.APIConnectionError(request=REQUEST)
    broken.__cause__ = OSError(111, "Connection refused")
    failure = read(broken)
    assert isinstance(failure.error, ModelConnectionError)
    assert "Connection refused" in str(failure.error)
    assert failure.retry
    broken.__cause__ = OSError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    assert "not one that this machine trusts" in str(read(broken).error)


@pytest.mark.parametrize(
    "code, retry, recoverable", [(400, False, False), (403, False, False), (404, False, False), (408, True, True),
                                 (409, True, True), (422, False, False), (429, True, True), (500, True, True)],
)  # fmt: skip
def test_statuses(code: int, retry: bool, recoverable: bool) -> None:
    failure = read(status(code))
    assert (failure.retry, failure.error.recoverable) == (retry, recoverable)
    assert str(code) in str(failure.error)


def test_the_servers_words_are_kept_short_and_without_keys() -> None:
    told = read(status(500, {"message": f"{KEY} is " + "very " * 200 + "bad"})).error
    assert str(told).startswith("example.test failed (500): [secret] is very very")
    assert len(str(told)) < 400
    assert "no such thing" in str(read(status(500, {"error": "no such thing"})).error)
    # A key that lies across the cut is not left in half.
    assert "0123" not in str(read(status(500, {"message": "x" * 290 + " " + KEY})).error)


def test_a_missing_key_is_told_apart_from_a_wrong_one() -> None:
    assert "refused the key from OPENAI_API_KEY" in str(read(status(401)).error)
    nobody = Server("compatible", "http://example.test/v1", "none")
    assert "wants a key (401), and there is none: pass api_key=" in str(read(status(401), nobody).error)
    local = find_server(base_url="http://example.test/v1", environment={"OPENAI_API_KEY": KEY})
    for code in (401, 403):
        told = str(read(status(code), local).error)
        assert "pass api_key=os.environ['OPENAI_API_KEY']" in told
        assert KEY not in told


@pytest.mark.parametrize(
    "headers, seconds",
    [({"retry-after-ms": "1500"}, 1.5), ({"retry-after": "2"}, 2.0), ({"retry-after": "soon"}, None), ({}, None),
     ({"retry-after-ms": "x", "retry-after": "-3"}, 0.0)],
)  # fmt: skip
def test_when_to_ask_again(headers: dict[str, str], seconds: float | None) -> None:
    assert read(status(429, None, **headers)).retry_after_s == seconds


def test_when_to_ask_again_as_a_date() -> None:
    soon = email.utils.formatdate(wall_time() + 60, usegmt=True)
    after_s = read(status(503, None, **{"retry-after": soon})).retry_after_s
    assert after_s is not None
    assert 50 < after_s < 61


def test_errors_within_a_stream() -> None:
    failure = read(openai.APIError("bad", REQUEST, body={"message": "overloaded", "code": "server_error"}))
    assert failure.retry
    assert "overloaded" in str(failure.error)
    assert not read(openai.APIError("bad", REQUEST, body={"message": "no", "code": "content_policy"})).retry


def test_nonsense_is_told_with_the_address() -> None:
    nonsense = json.JSONDecodeError("what", "<html>", 0)
    assert "http://example.test/v1" in str(read(nonsense).error)


def test_what_is_not_the_servers() -> None:
    for error in (KeyError("x"), ValueError("x"), StateError("closed")):
        assert failure_of(error, SERVER, "llm", "m", 10.0) is None
    own = ModelError("own", stage="llm")
    assert read(own) == Failure(own)
    assert not read(openai.OpenAIError("odd")).error.recoverable
