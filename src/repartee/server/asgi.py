"""The ASGI application: which address leads where.

It mounts in any Starlette or FastAPI application, under any prefix::

    api = FastAPI()
    api.mount("/voice", repartee.server.app(model))       # WebSocket at /voice/v1/realtime

Nobody runs the lifespan of a mounted application. So it starts with its first request; to have it load its models
before, and end its sessions when the parent stops, enter it in the parent's own: ``async with lifespan(mounted): …``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from repartee.models import RealtimeModel
from repartee.server.access.guard import Guard
from repartee.server.endpoints.call_routes import CallRoutes
from repartee.server.endpoints.page_files import page_file, page_index
from repartee.server.endpoints.rest import Rest
from repartee.server.endpoints.websocket import WebSocketEndpoint
from repartee.server.options import ServerOptions
from repartee.server.replies import ErrorReply, error_response, on_http_exception
from repartee.server.served import Served
from repartee.server.service import Service
from repartee.server.sessions.running import SessionFactory
from repartee.server.sessions.served_session import ServedSession

__all__ = ["app", "lifespan", "service_of"]


class _PrefixConvertor(Convertor[str]):
    """Any number of folders: clients put the address that their user gave them before the endpoint's own."""

    regex = "(?:[^/]+/)*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("prefix", _PrefixConvertor())


def app(
    model: Served | RealtimeModel | str | Sequence[Served] = "local",
    *,
    options: ServerOptions | None = None,
    api_keys: Iterable[str] = (),
    session_factory: SessionFactory = ServedSession,
) -> Starlette:
    """The server, as an ASGI application.

    Args:
        model: what is served: a model, one by name (``"local"``, ``"module:attribute"``), or several with names of
            their own. Default: the embedded default.
        options: every limit and switch. Default: `ServerOptions()`.
        api_keys: that let in. Default: none; then only this machine's own programs may come in.
        session_factory: makes sessions. Default: `ServedSession`.

    Raises:
        ConfigurationError: nothing, or something unusable, is served; a key is not usable.
        MissingDependencyError: a named model needs a package that is not installed.
    """
    options = options or ServerOptions()
    service = Service(_all_served(model), options, api_keys, session_factory=session_factory)
    made = Starlette(
        routes=_routes(service),
        middleware=[Middleware(Guard, options, service.gatekeeper)],
        exception_handlers={
            ErrorReply: on_http_exception,
            HTTPException: on_http_exception,
            Exception: on_http_exception,
        },
        lifespan=_lifespan,
    )
    made.state.service = service
    return made


def service_of(application: Starlette) -> Service:
    """What the endpoints of an `app` share."""
    service: Service = application.state.service
    return service


@asynccontextmanager
async def lifespan(application: Starlette) -> AsyncIterator[None]:
    """Load the models of an `app` on entering, end its sessions on leaving. For who mounts it."""
    service = service_of(application)
    await service.start()
    try:
        yield
    finally:
        await service.aclose()


@asynccontextmanager
async def _lifespan(application: Starlette) -> AsyncIterator[None]:
    async with lifespan(application):
        yield


def _all_served(model: Served | RealtimeModel | str | Sequence[Served]) -> Sequence[Served]:
    if isinstance(model, str):
        from repartee.server.source import served_from

        return [served_from(model)]
    if isinstance(model, RealtimeModel):
        return [Served.of(model)]
    return [model] if isinstance(model, Served) else model


def _routes(service: Service) -> list[BaseRoute]:
    rest, calls = Rest(service), CallRoutes(service)
    at = "/{prefix:prefix}realtime"
    routes: list[BaseRoute] = [
        WebSocketRoute(at, WebSocketEndpoint(service)),
        WebSocketRoute(f"{at}/translations", WebSocketEndpoint(service, "translation")),
        Route(at, _not_a_websocket, methods=["GET"]),
        Route(f"{at}/translations", _not_a_websocket, methods=["GET"]),
        Route(f"{at}/client_secrets", rest.create_secret, methods=["POST"]),
        Route(f"{at}/client_secrets/{{value}}", rest.delete_secret, methods=["DELETE"]),
        Route(f"{at}/translations/client_secrets", rest.create_translation_secret, methods=["POST"]),
        Route(f"{at}/sessions", rest.create_beta_session, methods=["POST"]),
        Route(f"{at}/transcription_sessions", rest.create_beta_transcription_session, methods=["POST"]),
        Route(at, calls.create_beta, methods=["POST"]),
        Route(f"{at}/calls", calls.create, methods=["POST"]),
        Route(f"{at}/calls/{{call_id}}/hangup", calls.hang_up, methods=["POST"]),
        Route(f"{at}/calls/{{call_id}}/{{verb}}", calls.no_telephone, methods=["POST"]),
        Route("/{prefix:prefix}models", rest.models, methods=["GET"]),
        Route("/{prefix:prefix}models/{name}", rest.model, methods=["GET"]),
        Route("/{prefix:prefix}healthz", rest.health, methods=["GET"]),
        Route("/{prefix:prefix}readyz", rest.readiness, methods=["GET"]),
        WebSocketRoute("/{path:path}", _no_such_websocket),
    ]
    if service.options.page:
        routes += [
            Route("/", page_index, methods=["GET"]),
            Route("/page/{path:path}", page_file, methods=["GET"]),
        ]
    return routes


async def _not_a_websocket(request: Request) -> Response:
    return error_response(
        426,
        "upgrade_required",
        "This address is a WebSocket's. Connect to it with a client of the Realtime API.",
        headers={"Upgrade": "websocket", "Connection": "Upgrade"},
    )


class _NoSuchWebSocket:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply: Any = error_response(404, "unknown_url", f"Unknown request URL: {scope['path']}.")
        await reply(scope, receive, send)


_no_such_websocket = _NoSuchWebSocket()
