"""`/v1/realtime` over WebSocket and WebRTC: any OpenAI Realtime client can use what is served here.

::

    application = repartee.server.app(model)      # an ASGI application; `repartee serve` runs one by itself
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repartee.server.asgi import app as app
    from repartee.server.asgi import lifespan as lifespan
    from repartee.server.options import ServerOptions as ServerOptions
    from repartee.server.served import Served as Served

__all__ = ["Served", "ServerOptions", "app", "lifespan"]

_WHERE = {"Served": "served", "ServerOptions": "options", "app": "asgi", "lifespan": "asgi"}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    try:
        module = importlib.import_module(f"{__name__}.{_WHERE[name]}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        from repartee.errors import MissingDependencyError

        raise MissingDependencyError("the server", package=str(error.name), extra="server") from None
    value = getattr(module, name)
    globals()[name] = value
    return value
