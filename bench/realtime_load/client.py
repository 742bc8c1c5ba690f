"""One kind of client against the load server, which measures itself and prints one line of figures (JSON).

    python -m bench.realtime_load.client KIND --port PORT [--sessions 100] [--seconds 4] [--core 1]

``websockets``: a bare client, that sends the microphone's frames and decodes what comes (json, base64).
``picows``: the same, over a WebSocket with a native core. ``session``: a `RealtimeSession` and a sink.
``agent``: an `AgentSession` with a sound card in memory. ``idle``: none; what keeping the time costs.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import logging
import os
import random
import resource
from abc import ABC, abstractmethod
from array import array
from collections.abc import Awaitable
from typing import Any

from bench.realtime_load.devices import Loudspeaker, Microphone
from bench.realtime_load.pace import (
    FRAME_MS,
    SAMPLE_RATE,
    STAMP_BYTES,
    Carousel,
    percentile,
    pin,
    stamp,
    stamped,
    waited_s,
)
from repartee import Agent, AgentSession, AudioFrame
from repartee.clock import Clock, cpu_seconds
from repartee.models import SessionOptions
from repartee.models import events as ev
from repartee.plugins.openai.realtime import RealtimeModel, ServerVad

WARM_S = 1.5
CONNECTING_AT_ONCE = 25
CLOCK = Clock()


class Tally:
    """What the clients of a process have seen, while it counts."""

    def __init__(self) -> None:
        self.counting = False
        self.sound_s = array("d")
        self.stop_s = array("d")
        self.late_s = array("d")
        self.pieces = 0
        self.errors: list[str] = []

    def heard(self, age_s: float) -> None:
        """A piece of sound has come to its sink."""
        if self.counting:
            self.pieces += 1
            self.sound_s.append(age_s)

    def piece(self, pcm: bytes) -> None:
        """The same, of its bytes."""
        sent_s = stamped(pcm)
        if sent_s is not None:
            self.heard(asyncio.get_running_loop().time() - sent_s)

    def stopped(self, turn_id: str, at_s: float) -> None:
        """Playback was stopped for the turn whose id is the moment of its beginning."""
        sent_us = int(turn_id.removeprefix("item_") or "0", 16)
        if self.counting and sent_us:
            self.stop_s.append(at_s - sent_us / 1e6)


class Pauses:
    """How long the garbage collector has stopped everything."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.all_s = 0.0
        self._begun_s = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        now = CLOCK.now()
        if phase == "start":
            self._begun_s = now
        else:
            self.all_s += now - self._begun_s
            self.longest_s = max(self.longest_s, now - self._begun_s)


class Client(ABC):
    """One conversation."""

    def __init__(self, port: int, tally: Tally) -> None:
        self.port = port
        self.tally = tally

    @abstractmethod
    async def start(self) -> None:
        """Connect."""

    @abstractmethod
    def push(self, pcm: bytes) -> Awaitable[None] | None:
        """20 ms have gone by, and the microphone has heard that."""

    @abstractmethod
    async def aclose(self) -> None:
        """Leave."""


def append_frame(pcm: bytes) -> str:
    """What a bare client sends."""
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()})


def read_frame(tally: Tally, data: str | bytes) -> None:
    """What a bare client does with what comes."""
    event = json.loads(data)
    if event["type"] == "response.output_audio.delta":
        tally.piece(base64.b64decode(event["delta"]))
    elif event["type"] == "input_audio_buffer.speech_started":
        tally.stopped(event["item_id"], asyncio.get_running_loop().time())


class BareWebsockets(Client):
    """The yardstick."""

    async def start(self) -> None:
        from websockets.asyncio.client import connect

        self._socket = await connect(f"ws://127.0.0.1:{self.port}/v1/realtime?model=bench", compression=None)
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        async for data in self._socket:
            read_frame(self.tally, data)

    def push(self, pcm: bytes) -> Awaitable[None]:
        return self._socket.send(append_frame(pcm))

    async def aclose(self) -> None:
        self._task.cancel()
        await self._socket.close()


class BarePicows(Client):
    """The same over picows."""

    async def start(self) -> None:
        import picows

        tally = self.tally

        class Listener(picows.WSListener):
            def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
                if frame.msg_type == picows.WSMsgType.TEXT:
                    read_frame(tally, frame.get_payload_as_bytes())

        self._text = picows.WSMsgType.TEXT
        self._transport, _ = await picows.ws_connect(
            Listener, f"ws://127.0.0.1:{self.port}/v1/realtime?model=bench"
        )

    def push(self, pcm: bytes) -> None:
        self._transport.send(self._text, append_frame(pcm).encode())

    async def aclose(self) -> None:
        self._transport.disconnect()


def model_of(port: int) -> RealtimeModel:
    """The model under test."""
    return RealtimeModel(
        base_url=f"http://127.0.0.1:{port}/v1", api_key="bench", turn_detection=ServerVad(), model="bench"
    )


class BareSession(Client):
    """Our session, and somebody who looks at what it tells."""

    async def start(self) -> None:
        self._session = model_of(self.port).session(
            SessionOptions(), on_event=self._sink, clock=Clock(asyncio.get_running_loop().time)
        )
        await self._session.start()

    def _sink(self, event: ev.RealtimeEvent) -> None:
        match event:
            case ev.AudioDelta(audio=frame):
                self.tally.piece(frame.data)
            case ev.SpeechStarted(item_id=item_id):
                self.tally.stopped(item_id, asyncio.get_running_loop().time())
            case ev.ErrorOccurred(error=error):
                self.tally.errors.append(str(error))
            case _:
                pass

    def push(self, pcm: bytes) -> None:
        self._session.append_audio(AudioFrame(pcm, SAMPLE_RATE))

    async def aclose(self) -> None:
        await self._session.aclose()


class Whole(Client):
    """A whole `AgentSession`."""

    async def start(self) -> None:
        self._turn: str | None = None  # told, but the loudspeaker plays on
        self._silenced_s: float | None = None  # silent, but not told why
        self._microphone = Microphone()
        self._loudspeaker = Loudspeaker(self.tally.heard, self._silenced)
        self._session = AgentSession(llm=model_of(self.port))
        self._session.on(ev.SpeechStarted, self._speaking)
        self._session.on(ev.ErrorOccurred, lambda event: self.tally.errors.append(str(event.error)))
        await self._session.start(
            Agent("Be brief."), audio_input=self._microphone, audio_output=self._loudspeaker
        )

    def _speaking(self, event: ev.SpeechStarted) -> None:
        self._turn = event.item_id
        self._pair()

    def _silenced(self, at_s: float) -> None:
        self._silenced_s = at_s
        self._pair()

    def _pair(self) -> None:
        """The loudspeaker is silenced before the program is told that the user speaks, or afterwards."""
        if self._turn is not None and self._silenced_s is not None:
            self.tally.stopped(self._turn, self._silenced_s)
            self._turn = self._silenced_s = None

    def push(self, pcm: bytes) -> None:
        self._microphone.push(pcm)
        self._loudspeaker.tick(len(pcm) // 2)

    async def aclose(self) -> None:
        await self._session.aclose()


class Idle(Client):
    """Nobody."""

    async def start(self) -> None:
        pass

    def push(self, pcm: bytes) -> None:
        pass

    async def aclose(self) -> None:
        pass


KINDS: dict[str, type[Client]] = {
    "websockets": BareWebsockets,
    "picows": BarePicows,
    "session": BareSession,
    "agent": Whole,
    "idle": Idle,
}


def resident_bytes() -> int:
    """The memory of this process that is in use."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


async def run(kind: str, port: int, sessions: int, seconds: float) -> dict[str, Any]:
    """Connect, let it warm up, measure, leave."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    first = KINDS[kind](port, tally)  # what is loaded and made once is no session's
    await first.start()
    await first.aclose()
    gc.collect()
    empty = resident_bytes()
    clients = [KINDS[kind](port, tally) for _ in range(sessions)]
    for at in range(0, sessions, CONNECTING_AT_ONCE):
        await asyncio.gather(*(client.start() for client in clients[at : at + CONNECTING_AT_ONCE]))

    noise = random.Random(5).randbytes(2 * SAMPLE_RATE * FRAME_MS // 1000 - STAMP_BYTES)

    def turn(client: Client, due_s: float) -> Awaitable[None] | None:
        if tally.counting:
            tally.late_s.append(loop.time() - due_s)
        return client.push(stamp(due_s) + noise)

    # As a server does once it runs: what is there stays, and the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    carousel: Carousel[Client] = Carousel(turn, FRAME_MS / 1000)
    start_s = loop.time() + 0.05
    for number, client in enumerate(clients):
        carousel.add(client, start_s + number / sessions * FRAME_MS / 1000)
    await carousel.run(start_s + WARM_S)
    print("warm", flush=True)
    pauses = Pauses()
    waited = waited_s()
    cpu, began_s, tally.counting = cpu_seconds(), loop.time(), True
    await carousel.run(began_s + seconds)
    cpu, wall_s, tally.counting = cpu_seconds() - cpu, loop.time() - began_s, False
    waited, full = waited_s() - waited, resident_bytes()
    leave_s = loop.time()
    if kind != "idle":
        await asyncio.wait([asyncio.ensure_future(client.aclose()) for client in clients], timeout=5)
    return {
        "cpu_ms": 1e3 * cpu / wall_s / sessions,
        "busy": cpu / wall_s,
        "waited": waited / wall_s,
        "sound_p50_ms": 1e3 * percentile(tally.sound_s, 50),
        "sound_p99_ms": 1e3 * percentile(tally.sound_s, 99),
        "stop_p50_ms": 1e3 * percentile(tally.stop_s, 50),
        "stop_p99_ms": 1e3 * percentile(tally.stop_s, 99),
        "stops": len(tally.stop_s),
        "late_p99_ms": 1e3 * percentile(tally.late_s, 99),
        "gc_longest_ms": 1e3 * pauses.longest_s,
        "gc_share": pauses.all_s / wall_s,
        "pieces_per_s": tally.pieces / wall_s / sessions,
        "memory_kb": (full - empty) / 1024 / sessions,
        "leaving_s": loop.time() - leave_s,
        "errors": tally.errors[:3],
        "error_count": len(tally.errors),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--core", type=int, default=1)
    parser.add_argument("--profile", help="write a cProfile there")
    options = parser.parse_args()
    pin(options.core)
    logging.disable(logging.WARNING)  # who leaves in the middle of a sentence is no news
    work = run(options.kind, options.port, options.sessions, options.seconds)
    if options.profile:
        import cProfile

        with cProfile.Profile() as profile:
            found = asyncio.run(work)
        profile.dump_stats(options.profile)
    else:
        found = asyncio.run(work)
    print(json.dumps(found), flush=True)
    os._exit(0)  # hundreds of sockets need not be torn down one by one


if __name__ == "__main__":
    main()
