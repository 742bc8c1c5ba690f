"""A Realtime server that says its part by heart, so that a load test measures the client.

    python -m bench.realtime_load.server [--core 0] [--delta-ms 20]

It prints its port, then for each line on its standard input one line of figures (JSON) since the last. To each client
that sends audio it holds this conversation, over and over: the caller begins to speak, which cuts the agent short;
300 ms later their turn is over and transcribed; the agent answers until the caller speaks again, 5 s after the last
time. All frames are made ahead, from those of our own server role; a sound begins with the moment at which it is sent,
and the id of a turn is the moment at which its beginning is told.
"""

from __future__ import annotations

import argparse
import asyncio
import binascii
import json
import logging
import random
import sys
from typing import TYPE_CHECKING, Any

import picows

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
from repartee.clock import cpu_seconds
from repartee.protocol import events as ev
from repartee.protocol.codec import encode
from repartee.protocol.connection import SERVER, Connection
from repartee.protocol.sessions import default_session

if TYPE_CHECKING:
    from picows import WSFrame, WSTransport

CYCLE_MS = 5000
TURN_OVER_MS = 300
WORD_MS = 200
FRAME_CHARS = 2 * SAMPLE_RATE * FRAME_MS // 1000 * 4 // 3

_SERIAL = b"TEMPLATE"
_TURN = b"STAMPSTAMPSTAMPS"
_START_MS, _END_MS = 777777777, 888888888
_DELTA = (
    b'{"type":"response.output_audio.delta","event_id":"event_%08x","response_id":"resp_TEMPLATE","item_id":'
    b'"item_TEMPLATE","output_index":0,"content_index":0,"delta":"%b%b"}'
)


class Script:
    """The frames of one turn of the conversation, with gaps for what differs.

    Args:
        delta_ms: length of a piece of sound.
    """

    def __init__(self, delta_ms: int) -> None:
        made = 0

        def new_id(prefix: str) -> str:
            nonlocal made
            made += 1
            return f"{prefix}_TEMPLATE" if prefix in ("resp", "item") else f"{prefix}_TEMPLATE{made:04d}"

        session = default_session(id="sess_bench", model="bench")
        server = Connection(SERVER, session=session, new_id=new_id).server
        item = f"item_{_TURN.decode()}"
        self.greeting = [encode(event) for event in server.start()]
        self.updated = encode(ev.SessionUpdated(session=session, event_id="event_updated"))
        turn = server.user_item(item)
        turn.speech_started(_START_MS)
        told = [*turn.speech_stopped(_END_MS), *turn.commit(bytes(48_000), respond=False)]
        told += turn.transcript_completed("what is the weather like today")
        writer, begun = server.respond()
        told += begun
        told += writer.begin_message()
        self.begin = [encode(event) for event in told]
        self.word = encode(writer.transcript("word ")[0])
        writer.audio(bytes(48_000))
        self.interrupt = [
            encode(e) for e in server.user_item(item.replace("S", "T")).speech_started(_START_MS)
        ]
        self.interrupt = [frame.replace(_TURN.replace(b"S", b"T"), _TURN) for frame in self.interrupt]
        size = 2 * SAMPLE_RATE * delta_ms // 1000 - STAMP_BYTES
        self.sound = binascii.b2a_base64(random.Random(3).randbytes(size), newline=False)


class Served(picows.WSListener):
    """One client.

    Args:
        server: whose it is.
    """

    def __init__(self, server: LoadServer) -> None:
        super().__init__()
        self.server = server
        self.heard = 0
        self.serial = b""
        self.turn = b""
        self.frame = b""
        self.step = 0
        self.skip = 0
        self.delta = 0
        self.begun_s = 0.0

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Greet it."""
        self.transport = transport
        for frame in self.server.script.greeting:
            transport.send(picows.WSMsgType.TEXT, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """It is gone."""
        if self.heard:
            self.server.carousel.remove(self)
            self.server.live -= 1

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """It says something."""
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close()
            transport.disconnect()
            return
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        data = frame.get_payload_as_bytes()
        at = data.find(b'"audio"', 0, 200)
        if at >= 0 and data.find(b"append", 0, 60) > 0:
            at = data.index(b'"', at + 7) + 1
            self.server.take(self, data, at)
        else:
            self.answer(json.loads(data))

    def answer(self, event: dict[str, Any]) -> None:
        """Answer what is not audio."""
        match event["type"]:
            case "session.update":
                self.say(self.server.script.updated)
            case "conversation.item.truncate":
                given = {name: event[name] for name in ("item_id", "content_index", "audio_end_ms")}
                told = {"type": "conversation.item.truncated", "event_id": "event_truncated", **given}
                self.say(json.dumps(told).encode())

    def say(self, frame: bytes) -> None:
        """Send it."""
        self.transport.send(picows.WSMsgType.TEXT, frame)

    # -- the conversation --------------------------------------------------------------------------------------

    def proceed(self, due_s: float) -> None:
        """The next step."""
        server = self.server
        if self.step == server.steps_over:
            server.responses += 1
            self.serial = b"%08x" % server.responses
            self.frame = _DELTA.replace(_SERIAL, self.serial)
            self.say_turn(server.script.begin)
            self.step, self.skip = self.step + self.skip, 0
        elif self.step > server.steps_over:
            if self.delta % server.steps_a_word == 0:
                self.say(server.script.word.replace(_SERIAL, self.serial))
            self.delta += 1
            moment = binascii.b2a_base64(stamp(asyncio.get_running_loop().time()), newline=False)
            self.say(self.frame % (self.delta, moment, server.script.sound))
        self.step += 1
        if self.step == server.steps:
            self.step = 0
            self.turn = b"%016x" % round(asyncio.get_running_loop().time() * 1e6)
            self.say_turn(server.script.interrupt)

    def begin(self, number: int) -> None:
        """From now on it is a conversation. All begin, and speak, at other times: each's first answer is shorter."""
        self.begun_s = asyncio.get_running_loop().time()
        self.turn = b"%016x" % 0
        self.step = number * 29 % self.server.steps_over
        self.skip = number * 37 % (self.server.steps - self.server.steps_over - 1)

    def say_turn(self, frames: list[bytes]) -> None:
        """The frames of a turn, their gaps filled."""
        now_ms = b"%d" % (1000 * (asyncio.get_running_loop().time() - self.begun_s))
        for frame in frames:
            told = frame.replace(_SERIAL, self.serial).replace(_TURN, self.turn)
            self.say(told.replace(b"%d" % _START_MS, now_ms).replace(b"%d" % _END_MS, now_ms))


class LoadServer:
    """Serves them all, from one timer.

    Args:
        delta_ms: length of a piece of sound.
    """

    def __init__(self, delta_ms: int) -> None:
        self.script = Script(delta_ms)
        self.steps = CYCLE_MS // delta_ms
        self.steps_over = TURN_OVER_MS // delta_ms
        self.steps_a_word = max(1, WORD_MS // delta_ms)
        self.carousel: Carousel[Served] = Carousel(self.proceed, delta_ms / 1000)
        self.responses = 0
        self.live = 0
        self.uplink: list[float] = []
        self.late: list[float] = []
        self.begun = cpu_seconds()
        self.begun_s = 0.0
        self.begun_waited_s = waited_s()

    def proceed(self, client: Served, due_s: float) -> None:
        """A client's turn."""
        self.late.append(asyncio.get_running_loop().time() - due_s)
        client.proceed(due_s)

    def take(self, client: Served, data: bytes, at: int) -> None:
        """A piece of a client's sound has come, perhaps several frames in one."""
        if client.heard == 0:
            self.live += 1
            client.begin(self.live)
            self.carousel.add(client)
        now = asyncio.get_running_loop().time()
        end = len(data) - 2
        while at < end:
            sent_s = stamped(binascii.a2b_base64(data[at : at + STAMP_BYTES * 4 // 3]))
            if sent_s is None:
                raise SystemExit("a microphone frame came without its stamp")
            self.uplink.append(now - sent_s)
            client.heard += 1
            at += FRAME_CHARS

    def report(self) -> str:
        """Figures since the last time, in ms."""
        now, cpu, waited = asyncio.get_running_loop().time(), cpu_seconds(), waited_s()
        found = {
            "frames": len(self.uplink),
            "uplink_p50_ms": 1e3 * percentile(self.uplink, 50),
            "uplink_p99_ms": 1e3 * percentile(self.uplink, 99),
            "late_p99_ms": 1e3 * percentile(self.late, 99),
            "cpu": (cpu - self.begun) / max(1e-9, now - self.begun_s),
            "waited": (waited - self.begun_waited_s) / max(1e-9, now - self.begun_s),
        }
        self.uplink.clear()
        self.late.clear()
        self.begun, self.begun_s, self.begun_waited_s = cpu, now, waited
        return json.dumps(found)

    async def serve(self) -> None:
        """Until standard input ends."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        server = await picows.ws_create_server(lambda _: Served(self), "127.0.0.1", 0, backlog=1024)
        self.begun_s = loop.time()

        def asked() -> None:
            if sys.stdin.readline():
                print(self.report(), flush=True)
            else:
                ended.set()

        loop.add_reader(sys.stdin.fileno(), asked)
        print(server.sockets[0].getsockname()[1], flush=True)
        turning = loop.create_task(self.carousel.run())
        await ended.wait()
        turning.cancel()
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--delta-ms", type=int, default=20)
    options = parser.parse_args()
    pin(options.core)
    logging.disable(logging.WARNING)  # who leaves in the middle of a sentence is no news
    asyncio.run(LoadServer(options.delta_ms).serve())


if __name__ == "__main__":
    main()
