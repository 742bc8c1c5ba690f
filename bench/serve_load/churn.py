"""Callers that come, talk and go, in every way; prints how many did (JSON) when its standard input ends.

    python -m bench.serve_load.churn --port PORT [--callers 24] [--core 1]

``polite`` ones talk for some seconds and close. ``vanishing`` ones reset the connection in the middle of a reply,
``slow`` ones stop reading while they go on talking, ``mute`` ones stop reading and say nothing any more, and
``half-open`` ones send half of a handshake: those three stay until the server ends it, or ``--stay-s``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import sys
from collections import Counter
from typing import Any

from bench.realtime_load.pace import FRAME_MS, pin
from bench.serve_load.callers import DELTA, NOW, Caller, Tally, connect, conversation

WAYS = {"polite": 10, "vanishing": 4, "slow": 2, "mute": 2, "half-open": 2}
REPLY_S = 12.0
"""How long a vanishing caller waits for a reply."""


class Guest(Caller):
    """A caller that knows whether it is being answered."""

    def __init__(self, tally: Tally, frames: list[bytes], at: int) -> None:
        super().__init__(tally, frames, at)
        self.answered = asyncio.Event()
        self.left = asyncio.Event()

    def on_ws_disconnected(self, transport: Any) -> None:
        """It is gone."""
        super().on_ws_disconnected(transport)
        self.left.set()

    def take(self, data: bytes) -> None:
        """See whether it is the voice."""
        if data.startswith(DELTA):
            self.answered.set()

    async def talk(self, seconds: float) -> None:
        """Send the microphone, until then or the end of the connection."""
        begun_s = due_s = NOW()
        while due_s < begun_s + seconds and self.transport is not None:
            self.push(due_s)
            due_s += FRAME_MS / 1000
            await asyncio.sleep(due_s - NOW())


class Churn:
    """All of them.

    Args:
        port: of the server.
        stay_s: how long those stay who wait for the server to end it.
    """

    def __init__(self, port: int, stay_s: float) -> None:
        self.port = port
        self.stay_s = stay_s
        self.frames = conversation()
        self.tally = Tally()
        self.tally.counting = True
        self.done: Counter[str] = Counter()
        self.stopping = False
        self._random = random.Random(7)

    async def come_and_go(self) -> None:
        """One after another."""
        while not self.stopping:
            way = self._random.choices(list(WAYS), list(WAYS.values()))[0]
            try:
                if way == "half-open":
                    await self._half_open()
                else:
                    await self._visit(way)
            except OSError as error:
                self.tally.errors.append(f"{way}: {type(error).__name__}: {error}")
                await asyncio.sleep(0.5)
            self.done[way] += 1

    async def _visit(self, way: str) -> None:
        guest = Guest(self.tally, self.frames, self._random.randrange(len(self.frames)))
        await connect(guest, self.port)
        transport = guest.transport
        assert transport is not None
        raw = transport.underlying_transport
        if way == "vanishing":
            talking = asyncio.ensure_future(guest.talk(REPLY_S))
            answered = asyncio.ensure_future(guest.answered.wait())
            await asyncio.wait((talking, answered), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(self._random.random())
            raw.abort()
            answered.cancel()
            await talking
        elif way == "polite":
            await guest.talk(2 + 4 * self._random.random())
            if guest.transport is not None:
                transport.send_close()
                transport.disconnect()
        else:
            await guest.talk(1.0)
            raw.pause_reading()
            await guest.talk(self.stay_s if way == "slow" else 0.0)
            for _ in range(int(self.stay_s) if way == "mute" else 0):
                if guest.left.is_set():
                    break
                await asyncio.sleep(1.0)
            raw.abort()
        async with asyncio.timeout(5):
            await guest.left.wait()

    async def _half_open(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /v1/realtime?model=bench HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: webs")
        try:
            async with asyncio.timeout(self.stay_s):
                await reader.read()
            self.done["half-open, ended by the server"] += 1
        except (TimeoutError, ConnectionError):
            pass
        writer.close()


async def run(port: int, callers: int, stay_s: float) -> dict[str, Any]:
    """Until standard input ends; then all leave in their own way."""
    churn, loop = Churn(port, stay_s), asyncio.get_running_loop()
    ended = asyncio.Event()

    def read() -> None:
        if sys.stdin.readline():
            print(json.dumps({"gone": sum(churn.done.values())}), flush=True)
        else:
            ended.set()

    loop.add_reader(sys.stdin.fileno(), read)
    coming = []
    for _ in range(callers):
        coming.append(loop.create_task(churn.come_and_go()))
        await asyncio.sleep(0.1)
    await ended.wait()
    loop.remove_reader(sys.stdin.fileno())
    churn.stopping = True
    await asyncio.wait(coming, timeout=stay_s + REPLY_S + 10)
    return {"done": churn.done, "errors": churn.tally.errors[:5], "error_count": len(churn.tally.errors)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--callers", type=int, default=24)
    parser.add_argument("--stay-s", type=float, default=15.0)
    parser.add_argument("--core", type=int, default=1)
    options = parser.parse_args()
    pin(options.core)
    logging.disable(logging.WARNING)
    print(json.dumps(asyncio.run(run(options.port, options.callers, options.stay_s))), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
