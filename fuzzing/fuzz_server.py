"""Random bytes, frames and spoilt events against the socket of a running server, beside a neighbour who mustn't notice.

The server runs in this process with a model of scripted parts. Each attack opens a connection (a WebSocket, or bare
bytes in the place of one), sends what comes to mind, and leaves, politely or not. Meanwhile a healthy session asks and
must be answered, by the answer that belongs to its question, in time. A crash, a log entry of an unforeseen error, or a
silent neighbour is a bug, and is shown with the seed.

Run it with ``python -m fuzzing.fuzz_server [--seconds N] [--seed N]``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from fuzzing.fuzz_protocol import SEEDS, Fuzzer
from repartee.compose import Conversing, Spoken, Transcribed
from repartee.server import ServerOptions, app
from repartee.server.served import Served
from repartee.server.sockets.runner import RealtimeServer, bind
from repartee.testing import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD

ANSWER_S = 5.0
"""In which the neighbour has its answer, however busy the machine."""
PATHS = [
    "/v1/realtime",
    "/v1/realtime?model=x",
    "/v1/realtime?intent=transcription",
    "/v1/realtime?call_id=rtc_x",
    "/v1/realtime/translations",
    "/a/b/realtime?observe=1",
    "/nowhere",
]
LINES = [
    b"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
    b"Sec-WebSocket-Protocol: realtime\r\n",
    b"POST /v1/realtime/calls HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: 9\r\n",
    b"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"\r\n",
    b"v=0\r\no=-",
    b"ffffffff\r\n",
    b"\x81\x85\x00\x00\x00\x00hello",
    b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x88\x02\x03\xe8",
    b"\xf1\x80",
]


class Complaints(logging.Handler):
    """Keeps what the server's log says of unforeseen errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """One more."""
        self.found.append(self.format(record))


class ServerFuzzer:
    """Attacks a server, and asks its neighbour how it is.

    Args:
        port: of the server, on this machine.
        dice: chance.
    """

    def __init__(self, port: int, dice: random.Random) -> None:
        self._port = port
        self._dice = dice
        self._spoil = Fuzzer(dice)
        self.attacks = 0
        self.frames = 0
        self.answers = 0

    async def attack(self) -> None:
        """Open one connection, do harm, leave."""
        self.attacks += 1
        with contextlib.suppress(OSError, WebSocketException, asyncio.IncompleteReadError):
            if self._dice.random() < 0.3:
                await self._bytes()
            else:
                await self._websocket()

    async def _bytes(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            for _ in range(self._dice.randrange(1, 8)):
                line = self._dice.choice(LINES)
                if self._dice.random() < 0.3:
                    line = self._dice.randbytes(self._dice.randrange(200))
                writer.write(line)
                await writer.drain()
            if self._dice.random() < 0.5:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1000), 0.05)
        finally:
            writer.transport.abort()

    async def _websocket(self) -> None:
        path = self._dice.choice(PATHS)
        url = f"ws://127.0.0.1:{self._port}{path}"
        socket = await connect(url, compression=None, proxy=None, close_timeout=0.2, max_size=None)
        try:
            for _ in range(self._dice.randrange(40)):
                await socket.send(self._frame())
                self.frames += 1
            if self._dice.random() < 0.3:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(socket.recv(), 0.05)
        finally:
            if self._dice.random() < 0.5:
                await socket.close(self._dice.choice([1000, 1001, 3000, 4999]))
            else:
                socket.transport.abort()

    def _frame(self) -> str | bytes:
        dice = self._dice
        kind = dice.random()
        if kind < 0.1:
            return dice.randbytes(dice.randrange(300))
        frame = dice.choice(SEEDS)
        for _ in range(dice.randrange(3)):
            frame = self._spoil._spoilt(frame)
        if kind < 0.2:
            return json.dumps(
                {"type": "input_audio_buffer.append", "audio": "A" * dice.choice([1, 4, 4000, 400_000])}
            )
        return frame.decode("utf-8", "replace")

    async def ask(self, neighbour: ClientConnection) -> None:
        """See that the neighbour is answered, and answered what it asked.

        Raises:
            AssertionError: it isn't.
        """
        words = f"question {self.answers}"
        response = {"conversation": "none", "input": [_said(words)], "output_modalities": ["text"]}
        await neighbour.send(json.dumps({"type": "response.create", "response": response}))
        try:
            async with asyncio.timeout(ANSWER_S):
                while (event := json.loads(await neighbour.recv()))["type"] != "response.done":
                    assert event["type"] != "error", event
        except (TimeoutError, WebSocketException) as error:
            raise AssertionError(f"the neighbour was not answered: {type(error).__name__} {error}") from error
        [item] = event["response"]["output"]
        assert item["content"][0]["text"] == f"You said: {words}.", item
        self.answers += 1

    async def run(self, *, seconds: float | None = None, rounds: int | None = None) -> None:
        """Attack, several at a time, and ask in between, for so long or so often.

        Raises:
            AssertionError: the neighbour noticed.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds if seconds is not None else float("inf")
        url = f"ws://127.0.0.1:{self._port}/v1/realtime?model=x"
        async with connect(url, compression=None, proxy=None) as neighbour:
            await neighbour.recv()
            done = 0
            while loop.time() < end_s and (rounds is None or done < rounds):
                async with asyncio.TaskGroup() as group:
                    for _ in range(8):
                        group.create_task(self.attack())
                    group.create_task(self.ask(neighbour))
                done += 1


def _said(words: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}]}


def _reply(request: Any) -> str:
    said = request.context.messages
    return f"You said: {said[-1].text if said else 'nothing'}."


@asynccontextmanager
async def running() -> AsyncIterator[int]:
    """A server of scripted parts on a socket of this machine: its port."""
    model = Spoken(Transcribed(Conversing(ScriptedLLM(_reply)), ScriptedSTT()), ScriptedTTS(chunk_s=0.001))
    served = Served.of(model, name="scripted", vad=ScriptedVAD())
    options = ServerOptions(handshake_s=2.0, events_burst=10_000, frame_bytes=1 << 20, append_bytes=200_000)
    server = RealtimeServer(app(served, options=options), bind("127.0.0.1", 0), tune=False)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run_until_stopped())
        try:
            await server.serving.wait()
            yield server.port
        finally:
            server.stop(drain=False)
            await task


async def fuzz(seed: int, *, seconds: float | None = None, rounds: int | None = None) -> ServerFuzzer:
    """Fuzz a server of our own.

    Raises:
        AssertionError: the neighbour noticed, or the log holds an unforeseen error.
    """
    complaints = Complaints()
    logger = logging.getLogger("repartee")
    unhandled: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    logger.addHandler(complaints)
    try:
        async with running() as port:
            fuzzer = ServerFuzzer(port, random.Random(seed))
            await fuzzer.run(seconds=seconds, rounds=rounds)
    finally:
        logger.removeHandler(complaints)
    assert complaints.found == [], complaints.found[0]
    assert unhandled == [], unhandled[0]
    return fuzzer


def main() -> None:
    """Run for some seconds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    found = asyncio.run(fuzz(options.seed, seconds=options.seconds))
    print(f"{found.attacks} attacks, {found.frames} frames; the neighbour had {found.answers} answers")


if __name__ == "__main__":
    main()
