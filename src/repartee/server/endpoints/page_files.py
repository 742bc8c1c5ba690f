"""The page to talk to: plain files that come with the package, and nothing from anywhere else."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from repartee.server.replies import ErrorReply

__all__ = ["page_file", "page_index"]

INDEX: Final = "index.html"
TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "wav": "audio/wav",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}
"""What may be in the page's folder. Files of other kinds are not served."""

STEP: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:\d+)?\Z|\[[0-9A-Fa-f:.]+\](:\d+)?\Z")


async def page_index(request: Request) -> Response:
    """``GET /``."""
    return _served(request, INDEX)


async def page_file(request: Request) -> Response:
    """``GET /page/…``."""
    path = str(request.path_params["path"])
    return _served(request, "" if path == INDEX else path)  # what it names is relative to the address above


def _served(request: Request, path: str) -> Response:
    content = _content(path)
    kind = TYPES.get(path.rpartition(".")[2].lower())
    if content is None or kind is None:
        raise ErrorReply(404, "unknown_url", f"Unknown request URL: {request.method} {request.url.path}.")
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _policy(request.headers.get("host", "")),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    }
    return Response(content, media_type=kind, headers=headers)


def _policy(host: str) -> str:
    # 'self' covers our WebSocket only where the browser has learnt that; the address covers the others.
    sockets = f" ws://{host} wss://{host}" if HOST.match(host) else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
        f"media-src 'self' blob:; worker-src 'self'; connect-src 'self'{sockets}; manifest-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@lru_cache(maxsize=256)  # they are part of the package, and don't change
def _content(path: str) -> bytes | None:
    found: Traversable = files("repartee.server").joinpath("page")
    for step in path.split("/"):
        if not STEP.match(step):  # no empty one, no dots, nothing hidden
            return None
        found = found.joinpath(step)
    try:
        return found.read_bytes() if found.is_file() else None
    except OSError:
        return None
