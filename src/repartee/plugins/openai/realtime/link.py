"""`Link`: one WebSocket to a Realtime server. What it carries is nobody's business here.

The network is an argument (`Connector`), so that sessions are tested on a wire in memory and on virtual time.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from repartee.errors import MissingDependencyError, ModelConnectionError, ModelError, ModelTimeoutError

if TYPE_CHECKING:
    from picows import WSFrame, WSTransport

__all__ = ["Connector", "Link", "LinkRequest", "connect"]

_LOG = logging.getLogger("repartee.openai.link")
_LOG.setLevel(logging.WARNING)  # below it picows writes the whole handshake, key and all

OnMessage = Callable[[bytes], None]
OnClose = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """Where to connect, and how. ``headers`` hold the key, so they are in no representation.

    Args:
        url: ``ws://`` or ``wss://``, with its query.
        headers: of the handshake.
        timeout_s: how long the handshake may take.
        heartbeat_s: a ping goes out after so long without anything from the server, and the link counts as dead
            when nothing has come after as long again. So a half-open link is found within twice that.
        max_frame_bytes: a larger frame ends the link.
    """

    url: str
    headers: dict[str, str] = field(repr=False)
    timeout_s: float = 10.0
    heartbeat_s: float = 5.0
    max_frame_bytes: int = 16 * 1024 * 1024


class Link(Protocol):
    """An open connection."""

    def send(self, frame: bytes) -> None:
        """Send one text frame. Never blocks; on a link that is closed nothing happens."""

    @property
    def unsent_bytes(self) -> int:
        """How much waits for the network."""

    async def aclose(self) -> None:
        """Close it (code 1000); ``on_close`` is not called. Idempotent."""


class Connector(Protocol):
    """Opens links."""

    def __call__(self, request: LinkRequest, *, on_message: OnMessage, on_close: OnClose) -> Awaitable[Link]:
        """Connect.

        Args:
            request: where to.
            on_message: called for each text frame, in order.
            on_close: called once with close code and reason when the link ends by itself (1006: it broke).

        Raises:
            ModelError: it can't be had; ``recoverable`` says whether a later try may succeed.
        """
        ...


async def connect(request: LinkRequest, *, on_message: OnMessage, on_close: OnClose) -> Link:
    """Connect over TCP, with TLS for ``wss://``.

    Raises:
        MissingDependencyError: the package ``picows`` is not installed.
        ModelConnectionError: the server can't be reached, or refuses.
        ModelTimeoutError: it does not answer the handshake in time.
    """
    try:
        import picows
    except ImportError:
        raise MissingDependencyError(
            "a connection to a Realtime server", package="picows", extra="openai"
        ) from None

    kinds = picows.WSMsgType
    close, text_frame, continuation = kinds.CLOSE, kinds.TEXT, kinds.CONTINUATION

    class Listener(picows.WSListener):
        """Hands text frames on, joined where they came in pieces."""

        def __init__(self) -> None:
            super().__init__()
            self.closing = False
            self.parts: list[bytes] = []

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            """A frame has come."""
            kind = frame.msg_type
            if kind is text_frame and frame.fin and not self.parts:  # nearly all
                if not self.closing:
                    on_message(frame.get_payload_as_bytes())
            elif kind is close:
                code, reason = frame.get_close_code(), frame.get_close_message()
                transport.send_close(code if code is not None else picows.WSCloseCode.OK)
                transport.disconnect()
                text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason or "")
                self.end(int(str(getattr(code, "value", code))) if code is not None else 1005, text)
            elif kind is text_frame or kind is continuation:
                self.parts.append(frame.get_payload_as_bytes())
                if frame.fin:
                    message, self.parts = b"".join(self.parts), []
                    if not self.closing:
                        on_message(message)

        def on_ws_disconnected(self, transport: WSTransport) -> None:
            """The connection is gone."""
            self.end(1006, "")

        def end(self, code: int, reason: str) -> None:
            """Say so, once."""
            if not self.closing:
                self.closing = True
                on_close(code, reason)

    context = ssl.create_default_context() if request.url.startswith("wss:") else None
    try:
        async with asyncio.timeout(request.timeout_s):
            transport, listener = await picows.ws_connect(
                Listener,
                request.url,
                ssl_context=context,
                extra_headers=request.headers,
                websocket_handshake_timeout=_handshake_s(request.timeout_s),
                enable_auto_ping=True,
                auto_ping_idle_timeout=request.heartbeat_s,
                auto_ping_reply_timeout=request.heartbeat_s,
                max_frame_size=request.max_frame_bytes,
                logger_name=_LOG,
            )
    except TimeoutError:
        raise ModelTimeoutError(
            f"the server did not answer within {request.timeout_s:g} s; is base_url right?", stage="realtime"
        ) from None
    except (OSError, picows.WSError) as error:
        raise _refused(error, secure=context is not None) from None
    return _PicowsLink(transport, listener)


def _handshake_s(timeout_s: float) -> float:
    """A little sooner than our own deadline: picows then closes its socket, which it leaves open if it is cancelled."""
    return max(0.75 * timeout_s, timeout_s - 0.5)


class _PicowsLink:
    """A link over picows."""

    def __init__(self, transport: WSTransport, listener: object) -> None:
        import picows

        if listener is None:  # what came in answer was no HTTP: TLS, for example
            raise ModelConnectionError(
                "the server broke off in the handshake: check base_url (does it want https?)",
                stage="realtime",
            )
        self._transport = transport
        self._listener = listener
        self._text = picows.WSMsgType.TEXT

    def send(self, frame: bytes) -> None:
        """Send one text frame."""
        if not self._listener.closing:  # type: ignore[attr-defined]
            self._transport.send(self._text, frame)

    @property
    def unsent_bytes(self) -> int:
        """How much waits for the network."""
        return int(self._transport.underlying_transport.get_write_buffer_size())

    async def aclose(self) -> None:
        """Close it."""
        self._listener.closing = True  # type: ignore[attr-defined]
        self._transport.send_close()
        self._transport.disconnect()
        try:
            await self._transport.wait_disconnected()
        except asyncio.CancelledError:
            self._transport.underlying_transport.abort()  # nobody waits for what is still to be sent
            raise


def _refused(error: Exception, *, secure: bool) -> ModelError:
    """What went wrong, in words that help; never with the request, which holds the key."""
    status = getattr(getattr(error, "response", None), "status", None)
    status = int(status) if status is not None else None
    if status in (401, 403):
        return ModelConnectionError(
            f"the server refused the key (HTTP {status}): check api_key",
            stage="realtime",
            recoverable=False,
            code="invalid_api_key",
        )
    if status == 404:
        return ModelConnectionError(
            "the server knows no such address (HTTP 404): check base_url and model",
            stage="realtime",
            recoverable=False,
        )
    if status is not None and status < 400:
        return ModelConnectionError(
            f"the server answered with a page instead of a WebSocket (HTTP {status}): check base_url, which ends in "
            "/v1 at most servers",
            stage="realtime",
            recoverable=False,
        )
    if status is not None:
        later = status == 429 or status >= 500
        text = f"the server refused the connection (HTTP {status})"
        return ModelConnectionError(text, stage="realtime", recoverable=later)
    if isinstance(error, ssl.SSLCertVerificationError):
        return ModelConnectionError(
            f"the server's certificate is not one that this machine trusts ({error.verify_message}): check base_url; "
            "for an authority of your own set the environment variable SSL_CERT_FILE to its certificate",
            stage="realtime",
            recoverable=False,
        )
    if isinstance(error, ssl.SSLError):
        return ModelConnectionError(
            f"TLS failed ({error.reason or type(error).__name__}): is base_url https, and its certificate valid?",
            stage="realtime",
            recoverable=False,
        )
    detail = getattr(error, "strerror", None) or type(error).__name__
    hint = ", and whether the server speaks TLS" if secure and isinstance(error, ConnectionError) else ""
    return ModelConnectionError(
        f"the server can't be reached ({detail}): check base_url{hint}", stage="realtime"
    )
