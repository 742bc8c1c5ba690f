"""A small HTTP/1.1 server on this machine that answers as a test says, byte by byte."""

from __future__ import annotations

import asyncio
import email.parser
import email.policy
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any


@dataclass(slots=True)
class Exchange:
    """One request, and the way to answer it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client closes the connection before the answer's end."""

    @property
    def json(self) -> Any:
        """The request's body."""
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, bytes]:
        """The fields of a multipart body."""
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + self.body)
        fields: dict[str, Any] = {}
        for part in message.iter_parts():
            fields[str(part.get_param("name", header="content-disposition"))] = part.get_payload(decode=True)
        return fields

    async def answer(self, status: int, body: Any, **headers: str) -> None:
        """A whole answer: JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        head = {"content-type": kind, "content-length": str(len(data)), **headers}
        self._head(status, head)
        self.writer.write(data)
        await self.writer.drain()

    def begin(self, content_type: str = "text/event-stream; charset=utf-8") -> None:
        """An answer that comes in pieces."""
        self._head(200, {"content-type": content_type, "transfer-encoding": "chunked"})

    async def send(self, data: bytes) -> None:
        """A piece."""
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self.writer.drain()

    async def event(self, event: Any) -> None:
        """A piece that is a server-sent event."""
        data = event if isinstance(event, str) else json.dumps(event)
        await self.send(f"data: {data}\n\n".encode())

    async def end(self) -> None:
        """The end of an answer in pieces."""
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def stall(self) -> None:
        """Nothing more, until the client has enough."""
        await self.gone.wait()

    def drop(self) -> None:
        """Break the connection."""
        self.writer.transport.abort()

    def _head(self, status: int, headers: dict[str, str]) -> None:
        lines = [
            f"HTTP/1.1 {status} X",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())


Handler = Callable[[Exchange], Awaitable[None]]


class HttpServer:
    """Serves while entered.

    Args:
        handlers: what to do with the first request, the second, …; the last one serves all that follow. Requests
            for the list of models are answered beside them.
    """

    def __init__(self, *handlers: Handler) -> None:
        self._handlers: Sequence[Handler] = handlers
        self.requests: list[Exchange] = []
        """All but those for the list of models."""
        self.listings: list[Exchange] = []
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The base_url for clients."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> HttpServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = b""
        try:
            while True:
                head = first + await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                method, path, _ = lines[0].split(" ", 2)
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
                # Values as they were: tokens and boundaries have capitals.
                headers |= {
                    line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in lines[1:] if line
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                exchange = Exchange(method, path, headers, body, writer)
                first = await self._handle(exchange, reader)
                if not first:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _handle(self, exchange: Exchange, reader: asyncio.StreamReader) -> bytes:
        """Answer a request; the first byte of the next one, or none if the client has gone."""
        loop = asyncio.get_running_loop()
        next_byte = loop.create_task(reader.read(1))
        next_byte.add_done_callback(lambda _: exchange.gone.set())
        try:
            await self._handler(exchange)(exchange)
            return await next_byte
        finally:
            next_byte.cancel()

    def _handler(self, exchange: Exchange) -> Handler:
        if exchange.path.split("?")[0].endswith("/models"):
            self.listings.append(exchange)
            return _list_models
        self.requests.append(exchange)
        return self._handlers[min(len(self.requests), len(self._handlers)) - 1]


async def _list_models(exchange: Exchange) -> None:
    if exchange.headers.get("authorization") == "Bearer sk-wrong-key-0123456789":
        await refuse(401, "invalid_api_key", "Incorrect API key provided: sk-wrong-key-0123456789.")(exchange)
        return
    await exchange.answer(200, {"object": "list", "data": []})


def refuse(status: int, code: str | None, message: str, **headers: str) -> Handler:
    """A handler that answers with one of the API's errors."""

    async def handler(exchange: Exchange) -> None:
        body = {"error": {"message": message, "type": "error", "code": code, "param": None}}
        await exchange.answer(status, body, **headers)

    return handler


async def drop(exchange: Exchange) -> None:
    """A handler that breaks the connection at once."""
    exchange.drop()


async def stall(exchange: Exchange) -> None:
    """A handler that never answers."""
    await exchange.stall()
