"""Azure's dated API speaks the beta's names: a session does not notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from repartee.models import events as ev
from repartee.plugins.openai.realtime.dialect import speaking_beta
from repartee.plugins.openai.realtime.link import Link, LinkRequest
from repartee.protocol.beta import BetaDialect
from repartee.protocol.codec import decode_object, encode_object
from repartee.testing import elapse, virtual_time
from repartee.testing.realtime_server import ScriptedRealtimeServer
from tests.plugins.openai.realtime.talk import KEY, Talk


class BetaServer:
    """A scripted server behind a translator, as an old one would speak; keeps the types that went over the wire."""

    def __init__(self, server: ScriptedRealtimeServer) -> None:
        self.server = server
        self.types: set[str] = set()

    async def connect(
        self,
        request: LinkRequest,
        *,
        on_message: Callable[[bytes], None],
        on_close: Callable[[int, str], None],
    ) -> Link:
        dialect = BetaDialect()

        def out(frame: bytes) -> None:
            for event in dialect.to_beta(decode_object(frame)):
                self.types.add(event["type"])
                on_message(encode_object(event))

        # The scripted server knows one path for all.
        plain = LinkRequest("ws://server/v1/realtime?model=m", request.headers)
        link = await self.server.connect(plain, on_message=out, on_close=on_close)
        send: Any = link.send

        def translate(frame: bytes) -> None:
            raw = decode_object(frame)
            if "session" in raw:
                assert "audio" not in raw["session"]
            for event in dialect.from_beta(raw):
                send(encode_object(event))

        link.send = translate  # type: ignore[method-assign]
        return link


@virtual_time
async def test_a_conversation_in_the_betas_words() -> None:
    beta = BetaServer(ScriptedRealtimeServer(["It is noon."]))
    talk = Talk(
        beta.server,
        connector=beta.connect,
        base_url="https://me.openai.azure.com",
        azure_deployment="voice",
        api_version="2025-04-01-preview",
    )
    async with talk:
        done = await talk.answer("What time is it?")
        assert done.status == "completed"
        assert talk.heard(done.response_id) == "It is noon."
        assert {"response.audio.delta", "conversation.item.created"} <= beta.types
        assert talk.said() == [("user", "What time is it?"), ("assistant", "It is noon.")]
        assert talk.of(ev.ErrorOccurred) == []


@virtual_time
async def test_what_cannot_be_read_goes_on_to_who_says_so() -> None:
    got: list[bytes] = []
    inward: list[Callable[[bytes], None]] = []
    server = ScriptedRealtimeServer()

    async def connect(request: LinkRequest, *, on_message: Callable[[bytes], None], on_close: Any) -> Link:
        inward.append(on_message)
        return await server.connect(request, on_message=on_message, on_close=on_close)

    request = LinkRequest("ws://server/v1/realtime?model=m", {"Authorization": f"Bearer {KEY}"})
    link = await speaking_beta(connect)(request, on_message=got.append, on_close=lambda *_: None)
    await elapse(0.1)
    inward[0](b"not json")
    assert got[-1] == b"not json"
    assert link.unsent_bytes == 0
    await link.aclose()
    await server.aclose()
