"""Errors in the shape that clients read."""

from __future__ import annotations

import asyncio
import json

from starlette.exceptions import HTTPException
from starlette.requests import Request

from repartee.server.replies import ErrorReply, json_response, on_http_exception

REQUEST = Request({"type": "http", "method": "GET", "path": "/x", "headers": [], "query_string": b"key=sk-1"})


def _told(error: Exception) -> tuple[int, dict[str, object]]:
    response = asyncio.run(on_http_exception(REQUEST, error))
    return response.status_code, json.loads(bytes(response.body))["error"]


def test_every_error_has_the_same_four_fields() -> None:
    reply = ErrorReply(429, "too_many", "Wait.", param="p", type="server_error", headers={"Retry-After": "5"})
    assert _told(reply) == (
        429,
        {"message": "Wait.", "type": "server_error", "param": "p", "code": "too_many"},
    )
    assert reply.response().headers["Retry-After"] == "5"
    assert _told(HTTPException(404))[1]["code"] == "unknown_url"
    assert _told(HTTPException(405))[1]["code"] == "method_not_allowed"
    assert _told(HTTPException(400, "No."))[1]["message"] == "No."


def test_a_failure_of_ours_says_nothing_of_its_inside() -> None:
    status, told = _told(ValueError("the secret inside"))
    assert (status, told["code"]) == (500, "server_error")
    assert "secret" not in str(told)


def test_answers_are_not_cached() -> None:
    assert json_response({"a": 1}).headers["Cache-Control"] == "no-store"
