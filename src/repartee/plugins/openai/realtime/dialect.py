"""The beta's names, for servers that still speak them (Azure's API with a date): a connector around another."""

from __future__ import annotations

from collections.abc import Callable

from repartee.errors import ProtocolError
from repartee.plugins.openai.realtime.link import Connector, Link, LinkRequest
from repartee.protocol.beta import BetaDialect
from repartee.protocol.codec import decode_object, encode_object

__all__ = ["speaking_beta"]


def speaking_beta(connector: Connector, *, transcription: bool = False) -> Connector:
    """A connector whose links take and give today's events, and carry the beta's.

    Args:
        connector: opens them.
        transcription: whether the sessions are transcription sessions. Default: speech-to-speech.
    """

    async def connect(
        request: LinkRequest, *, on_message: Callable[[bytes], None], on_close: Callable[[int, str], None]
    ) -> Link:
        dialect = BetaDialect(transcription=transcription)

        def translate(frame: bytes) -> None:
            try:
                made = dialect.from_beta(decode_object(frame))
            except ProtocolError:
                on_message(frame)  # whoever reads it says what is wrong with it
                return
            for event in made:
                on_message(encode_object(event))

        return _BetaLink(await connector(request, on_message=translate, on_close=on_close), dialect)

    return connect


class _BetaLink:
    def __init__(self, link: Link, dialect: BetaDialect) -> None:
        self._link = link
        self._dialect = dialect

    def send(self, frame: bytes) -> None:
        """Send an event in the beta's words."""
        for event in self._dialect.to_beta(decode_object(frame)):
            self._link.send(encode_object(event))

    @property
    def unsent_bytes(self) -> int:
        """How much waits for the network."""
        return self._link.unsent_bytes

    async def aclose(self) -> None:
        """Close it."""
        await self._link.aclose()
