"""HTTP answers in the shape that OpenAI's clients read: ``{"error": {message, type, param, code}}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["ErrorReply", "error_response", "json_response", "on_http_exception"]


class ErrorReply(Exception):
    """An HTTP answer that refuses a request.

    Args:
        status: of HTTP.
        code: machine-readable, such as ``invalid_api_key``.
        message: what was wrong and what would be right.
        param: the field at fault.
        type: the class of error.
        headers: more of the answer's.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        type: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.type = type
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer itself."""
        return error_response(
            self.status, self.code, str(self), param=self.param, type=self.type, headers=self.headers
        )


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON."""
    made = {"Cache-Control": "no-store", **(headers or {})}
    return Response(msgspec.json.encode(value), status, headers=made, media_type="application/json")


def error_response(
    status: int,
    code: str,
    message: str,
    *,
    param: str | None = None,
    type: str = "invalid_request_error",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as OpenAI's API tells it. Arguments as of `ErrorReply`."""
    error = {"message": message, "type": type, "param": param, "code": code}
    return json_response({"error": error}, status=status, headers=headers)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """What Starlette refuses (no such route, another method), in the same shape."""
    if isinstance(error, ErrorReply):
        return error.response()
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    if status == 404:
        message = f"Unknown request URL: {request.method} {request.url.path}."
        return error_response(404, "unknown_url", message)
    if status == 405:
        message = f"Not allowed to {request.method} on {request.url.path}."
        return error_response(405, "method_not_allowed", message, headers=headers)
    if status >= 500:
        message = "The server failed; the operator's log says how."
        return error_response(status, "server_error", message, type="server_error")
    detail = error.detail if isinstance(error, HTTPException) else ""
    return error_response(status, "invalid_request", detail or "The request is wrong.", headers=headers)
