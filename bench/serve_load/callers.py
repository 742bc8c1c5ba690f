"""Many callers against a server, from one process that measures what they see; prints one line of figures (JSON).

    python -m bench.serve_load.callers talk|echo --port PORT [--sessions 150] [--seconds 4] [--core 1]

Each has a microphone that gives 20 ms every 20 ms: real speech (bench/audio), a pause, the next. The event_id of each
frame is the moment at which it was due. In ``talk`` a caller reads what is told of turns and of the voice; in ``echo``
it only counts what comes back.
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
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import picows

from bench.realtime_load.pace import (
    FRAME_MS,
    SAMPLE_RATE,
    STAMP_BYTES,
    Carousel,
    percentile,
    pin,
    stamped,
    waited_s,
)
from bench.serve_load.server import due_at
from repartee.audio import AudioFrame, Resampler
from repartee.clock import cpu_seconds

if TYPE_CHECKING:
    from picows import WSFrame, WSTransport

AUDIO = Path(__file__).resolve().parent.parent / "audio"
CONNECTING_AT_ONCE = 25
UTTERANCES = 10
PAUSE_MS = 4600
"""From the end of an utterance to the next: the silence that ends a turn, a reply of 3.6 s, a moment of rest."""
BARGE_IN_MS = 2400
"""The same before one that interrupts the reply."""
BARGE_IN_EVERY = 5
NOW = time.monotonic  # which all processes of a machine share
DELTA = b'{"type":"response.output_audio.delta"'


def frame(due_s: float, audio: bytes) -> bytes:
    """A microphone's frame as it is sent: ``audio`` is in base64."""
    return b'{"type":"input_audio_buffer.append","event_id":"%016x","audio":"%b"}' % (
        round(due_s * 1e6),
        audio,
    )


def conversation() -> list[bytes]:
    """A microphone's frames in base64, to be given over and over: utterances and pauses."""
    import soundfile

    pcm = bytearray()
    for number in range(1, UTTERANCES + 1):
        data, rate = soundfile.read(AUDIO / f"{number:02d}.flac", dtype="int16")
        resampler = Resampler(rate, SAMPLE_RATE)
        pcm += resampler.push(AudioFrame(data.tobytes(), rate)).data + resampler.flush().data
        pause_ms = BARGE_IN_MS if number % BARGE_IN_EVERY == 0 else PAUSE_MS
        pcm += hiss(SAMPLE_RATE * pause_ms // 1000, number)
    size = 2 * SAMPLE_RATE * FRAME_MS // 1000
    return [base64.b64encode(pcm[at : at + size]) for at in range(0, len(pcm) - size + 1, size)]


def hiss(samples: int, seed: int) -> bytes:
    """What a microphone gives when nobody speaks: noise at about -66 dBFS."""
    noise = random.Random(seed)
    return array("h", [round(noise.gauss(0, 16)) for _ in range(samples)]).tobytes()


class Tally:
    """What the callers have seen, while it counts."""

    def __init__(self) -> None:
        self.counting = False
        self.turn_s = array("d")
        self.voice_s = array("d")
        self.echo_s = array("d")
        self.late_s = array("d")
        self.events: dict[str, int] = {}
        self.errors: list[str] = []
        self.gone = 0


class Caller(picows.WSListener):
    """One conversation.

    Args:
        tally: where it notes what it sees.
        frames: what its microphone hears, over and over.
        at: the frame to begin with.
    """

    def __init__(self, tally: Tally, frames: list[bytes], at: int) -> None:
        super().__init__()
        self.tally = tally
        self.frames = frames
        self.at = at
        self.first_s = 0.0
        self.answered_s = float("inf")
        self.transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """It is there."""
        self.transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """It is gone."""
        self.transport = None
        self.tally.gone += 1

    def push(self, due_s: float) -> None:
        """20 ms have gone by."""
        if self.transport is None:
            return
        self.first_s = self.first_s or due_s
        self.transport.send(picows.WSMsgType.TEXT, frame(due_s, self.frames[self.at]))
        self.at = (self.at + 1) % len(self.frames)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """The server says something."""
        if frame.msg_type == picows.WSMsgType.TEXT:
            self.take(frame.get_payload_as_bytes())
        elif frame.msg_type == picows.WSMsgType.CLOSE:
            self.tally.errors.append(f"closed: {frame.get_close_code()} {frame.get_close_message()!r}")
            transport.disconnect()

    def take(self, data: bytes) -> None:
        """Note it."""
        tally = self.tally
        if data.startswith(DELTA):
            at = data.rindex(b'"delta":"') + 9
            sent_s = stamped(base64.b64decode(data[at : at + STAMP_BYTES * 4 // 3]))
            if tally.counting and sent_s is not None and sent_s >= self.answered_s:
                tally.voice_s.append(NOW() - sent_s)
            return
        event = json.loads(data)
        kind = event["type"]
        tally.events[kind] = tally.events.get(kind, 0) + 1
        if kind == "response.created":
            self.answered_s = NOW()  # what was due before was prepared ahead, and held back until now
        elif kind == "input_audio_buffer.speech_stopped":
            if tally.counting:
                tally.turn_s.append(NOW() - due_at(self.first_s, event["audio_end_ms"]))
        elif kind == "error":
            tally.errors.append(str(event["error"]["message"]))
        elif kind == "response.done" and event["response"]["status"] not in ("completed", "cancelled"):
            tally.errors.append(
                f"a response {event['response']['status']}: {event['response']['status_details']}"
            )


class Echoed(Caller):
    """One client of an echo server."""

    def take(self, data: bytes) -> None:
        """It comes back."""
        if self.tally.counting:
            self.tally.echo_s.append(NOW() - int(data[48:64], 16) / 1e6)


async def connect(caller: Caller, port: int) -> None:
    """Connect one."""
    url = f"ws://127.0.0.1:{port}/v1/realtime?model=bench"
    await picows.ws_connect(lambda: caller, url, websocket_handshake_timeout=20)


async def come_and_go(caller: Caller, port: int) -> None:
    """What is loaded and made once is no session's."""
    await connect(caller, port)
    for _ in range(250):
        caller.push(NOW())
    await asyncio.sleep(0.7)
    assert caller.transport is not None
    caller.transport.send_close()
    caller.transport.disconnect()
    await asyncio.sleep(0.2)
    caller.tally.gone = 0


async def run(kind: str, port: int, sessions: int, seconds: float, warm_s: float) -> dict[str, Any]:
    """Connect, let it warm up, measure."""
    frames = conversation()
    tally = Tally()
    made = {"talk": Caller, "echo": Echoed}[kind]
    await come_and_go(made(tally, frames, 0), port)
    print("one", flush=True)
    await asyncio.sleep(0.3)
    callers = [made(tally, frames, number * len(frames) // sessions) for number in range(sessions)]
    for at in range(0, sessions, CONNECTING_AT_ONCE):
        await asyncio.gather(*(connect(each, port) for each in callers[at : at + CONNECTING_AT_ONCE]))

    def turn(caller: Caller, due_s: float) -> None:
        if tally.counting:
            tally.late_s.append(NOW() - due_s)
        caller.push(due_s)

    gc.collect()
    gc.freeze()
    carousel: Carousel[Caller] = Carousel(turn, FRAME_MS / 1000)
    start_s = NOW() + 0.05
    for number, caller in enumerate(callers):
        carousel.add(caller, start_s + number / sessions * FRAME_MS / 1000)
    await carousel.run(start_s + warm_s)
    print("warm", flush=True)
    cpu, waited, began_s, tally.counting = cpu_seconds(), waited_s(), NOW(), True
    await carousel.run(began_s + seconds)
    cpu, waited, wall_s, tally.counting = cpu_seconds() - cpu, waited_s() - waited, NOW() - began_s, False
    return {
        "wall_s": wall_s,
        "caller_busy": cpu / wall_s,
        "caller_waited": waited / wall_s,
        "caller_late_p99_ms": 1e3 * percentile(tally.late_s, 99),
        **{f"turn_p{p}_ms": 1e3 * percentile(tally.turn_s, p) for p in (50, 99)},
        **{f"voice_p{p}_ms": 1e3 * percentile(tally.voice_s, p) for p in (50, 99)},
        **{f"echo_p{p}_ms": 1e3 * percentile(tally.echo_s, p) for p in (50, 99)},
        "turns": len(tally.turn_s),
        "deltas": len(tally.voice_s),
        "events": tally.events,
        "gone": tally.gone,
        "errors": tally.errors[:3],
        "error_count": len(tally.errors) + tally.gone,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("talk", "echo"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sessions", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--warm-s", type=float, default=2.5)
    parser.add_argument("--core", type=int, default=1)
    options = parser.parse_args()
    pin(options.core)
    logging.disable(logging.WARNING)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as running:
        found = running.run(
            run(options.kind, options.port, options.sessions, options.seconds, options.warm_s)
        )
    print(json.dumps(found), flush=True)
    os._exit(0)  # hundreds of sockets need not be torn down one by one


if __name__ == "__main__":
    main()
