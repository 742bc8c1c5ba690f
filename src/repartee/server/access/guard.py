"""Which web pages may reach the server, and by which name: checks of Host and Origin, and CORS.

A browser lets any page open a WebSocket to any address, and send simple requests to it, also to this machine. What it
can't do is lie about the page's origin. So a request with an origin that is neither ours nor allowed is refused, and,
where there are no keys, one that calls us by a name which isn't this machine's own (a foreign name may be made to
point here: DNS rebinding), one from another machine, and one that a proxy has passed on.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from repartee.server.access.auth import Gatekeeper
from repartee.server.options import AccessOptions
from repartee.server.replies import ErrorReply

__all__ = ["Guard", "is_loopback"]

PASSED_ON: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
EXPOSED: Final = "Location, X-Request-Id, Retry-After"
PREFLIGHT_S: Final = 600
DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Guard:
    """Stands before the routes.

    Args:
        app: the routes.
        options: which origins and hosts are allowed.
        gatekeeper: says whether there are keys.
    """

    def __init__(self, app: ASGIApp, options: AccessOptions, gatekeeper: Gatekeeper) -> None:
        self._app = app
        self._options = options
        self._gatekeeper = gatekeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        try:
            self.check(scope, headers)
        except ErrorReply as refusal:
            await refusal.response()(scope, receive, send)  # for a WebSocket: instead of the upgrade
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and origin and "access-control-request-method" in headers:
            await self._preflight(headers)(scope, receive, _with_headers(send, origin))
        else:
            await self._app(scope, receive, _with_headers(send, origin))

    def check(self, scope: Scope, headers: Headers) -> None:
        """See whether a request may come in at all.

        Raises:
            ErrorReply: 403, it may not.
        """
        host = headers.get("host", "")
        if not self._host_allowed(host):
            raise _forbidden(
                "host_not_allowed",
                "This server is not called by that name. Use the name of this machine, or start it with "
                "--allow-host (and with keys, if others than this machine are to reach it).",
            )
        if self._gatekeeper.open:
            client = scope.get("client")
            if (client is not None and not is_loopback(client[0])) or any(
                each in headers for each in PASSED_ON
            ):
                raise _forbidden(
                    "keys_required", "Without API keys this server answers only programs on its own machine."
                )
        origin = headers.get("origin")
        if origin is not None and not self._origin_allowed(origin, host):
            raise _forbidden(
                "origin_not_allowed",
                "Pages of this origin may not use this server. Start it with --allow-origin to let them.",
            )

    def _host_allowed(self, host: str) -> bool:
        name = _host_name(host)
        if self._options.allow_hosts:
            allowed = self._options.allow_hosts
            return "*" in allowed or name in {each.lower() for each in allowed} or is_loopback(name)
        return not self._gatekeeper.open or is_loopback(name)

    def _origin_allowed(self, origin: str, host: str) -> bool:
        allowed: Sequence[str] = self._options.allow_origins
        if "*" in allowed or origin in allowed:
            return True
        parts = urlsplit(origin)
        default = DEFAULT_PORTS.get(parts.scheme)
        # Behind a proxy that ends TLS our own scheme is not what the browser sees, so only name and port count.
        return default is not None and _with_port(parts.netloc, default) == _with_port(host, default)

    @staticmethod
    def _preflight(headers: Mapping[str, str]) -> Response:
        made = {
            "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
            "Access-Control-Allow-Headers": headers.get(
                "access-control-request-headers", "authorization, content-type, x-openai-agents-sdk"
            ),
            "Access-Control-Max-Age": str(PREFLIGHT_S),
        }
        if headers.get("access-control-request-private-network") == "true":
            made["Access-Control-Allow-Private-Network"] = "true"
        return Response(status_code=204, headers=made)


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own: ``localhost``, ``127.0.0.0/8``, ``::1``."""
    name = host.strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0][1:].lower()
    return host.partition(":")[0].lower()


def _with_port(netloc: str, default: int) -> tuple[str, str]:
    name = _host_name(netloc)
    port = netloc.rpartition("]")[2].rpartition(":")[2] if ":" in netloc.rpartition("]")[2] else ""
    return name, port or str(default)


def _forbidden(code: str, message: str) -> ErrorReply:
    return ErrorReply(403, code, message)


def _with_headers(send: Send, origin: str | None) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Content-Type-Options"] = "nosniff"
            headers.setdefault("Referrer-Policy", "no-referrer")
            headers.add_vary_header("Origin")
            if origin is not None:  # it was allowed, or we would not be here
                headers["Access-Control-Allow-Origin"] = origin
                headers["Access-Control-Expose-Headers"] = EXPOSED
        await send(message)

    return with_headers
