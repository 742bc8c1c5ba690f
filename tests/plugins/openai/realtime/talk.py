"""A session of a `RealtimeModel` on virtual time, joined in memory to a scripted server."""

from __future__ import annotations

from typing import Any

from repartee.chat import Item
from repartee.models import RealtimeModel as AnyRealtimeModel
from repartee.models import SessionOptions
from repartee.plugins.openai.realtime import RealtimeModel
from repartee.protocol import items as wire_items
from repartee.protocol.items import id_of
from repartee.testing.realtime_connection import ServedConnection
from repartee.testing.realtime_server import ScriptedRealtimeServer
from repartee.testing.realtime_talk import RATE, RealtimeTalk, frames_of

__all__ = ["KEY", "RATE", "Talk", "frames_of", "kinds_of", "model_at", "words_of"]

KEY = "sk-proj-of-a-test-0123456789"


def model_at(server: ScriptedRealtimeServer, **options: Any) -> RealtimeModel:
    """A model whose connections go to that server."""
    options = {"api_key": KEY, "connector": server.connect, **options}
    return RealtimeModel(**options)


class Talk(RealtimeTalk):
    """A talk with a scripted server, which is closed with it."""

    def __init__(
        self, server: ScriptedRealtimeServer, *, model: AnyRealtimeModel | None = None, **options: Any
    ):
        session_options = options.pop("session", SessionOptions())
        self.server = server
        super().__init__(model if model is not None else model_at(server, **options), session_options)

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        await self.server.aclose()

    @property
    def served(self) -> ServedConnection:
        """The newest connection, as the server sees it."""
        return self.server.connections[-1]

    def at_server(self) -> list[str]:
        """The ids of the conversation at the server."""
        return [str(id_of(item)) for item in self.served.protocol.conversation]

    def as_the_server_has_them(self) -> list[str]:
        """The ids of the consumer's mirror, by the server's names for those that it named."""
        ids = self.session._ids  # type: ignore[attr-defined]  # nothing public tells
        return [ids.remote(item.id) for item in self.history]


def words_of(item: wire_items.Item) -> str:
    """The words of a message at the server."""
    assert isinstance(item, wire_items.Message)
    return " ".join(
        getattr(part, "text", None) or getattr(part, "transcript", None) or "" for part in item.content
    )


def kinds_of(items: list[Item]) -> list[str]:
    """The types of items."""
    return [type(item).__name__ for item in items]
