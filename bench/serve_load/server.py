"""`repartee serve` itself, on one core, watched; or a bare echo server.

    python -m bench.serve_load.server repartee|uvicorn|websockets|picows [--core 0] [--delta-ms 100]

``repartee`` is what the command line runs, ``uvicorn`` the same with uvicorn's WebSocket instead of ours.
``websockets`` and ``picows`` are bare: they decode each frame (JSON, base64), encode it again and send it back.

It prints its port, then for each line on its standard input one line of figures (JSON) since the last. A line
``objects`` adds what is alive: tasks, sockets and objects, after a collection.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import gc
import itertools
import json
import logging
import os
import sys
import threading
import time
from array import array
from typing import Any

from bench.realtime_load.client import resident_bytes
from bench.realtime_load.pace import FRAME_MS, percentile, pin, waited_s
from bench.serve_load import parts
from repartee.clock import cpu_seconds

NOW = time.monotonic  # which all processes of a machine share
EVENT_ID_AT = 49
"""Where in a frame the moment stands at which it was due (`bench.serve_load.callers.frame`)."""
EVENT_ID_CHARS = 16
NOTED_EVERY = 4


def due_of(data: bytes) -> float | None:
    """The moment at which a microphone's frame was due; ``None``: it is none."""
    if not data.startswith(b'{"type":"input_audio_buffer.append","event_id":"'):
        return None
    return int(data[EVENT_ID_AT - 1 : EVENT_ID_AT - 1 + EVENT_ID_CHARS], 16) / 1e6


def fixed_work_s() -> float:
    """CPU of a fixed piece of work: how fast this core is just now, with what others do on it."""
    best_s, counts = float("inf"), dict.fromkeys(range(256), 0)
    for _ in range(3):
        begun_s = time.process_time()
        for number in range(40_000):
            counts[number & 255] += number
        best_s = min(best_s, time.process_time() - begun_s)
    return best_s


class Watch:
    """What is known of a server since the last report."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.noted_every = 1
        self.frames = array("d")
        self.windows = array("d")
        self.loop: asyncio.AbstractEventLoop | None = None
        self._core_ms = 1e3 * fixed_work_s()
        self._cpu, self._at_s, self._waited_s = cpu_seconds(), NOW(), waited_s()

    def report(self, *, objects: bool = False) -> str:
        """The figures: seconds as ms, shares of the time, memory as bytes."""
        frames, self.frames = self.frames, array("d")
        windows, self.windows = self.windows, array("d")
        cpu, now, waited = cpu_seconds(), NOW(), waited_s()
        wall_s = max(1e-9, now - self._at_s)
        found: dict[str, Any] = {
            "frames": len(frames) * self.noted_every,
            "windows": len(windows) * self.noted_every,
            "cpu_s": cpu - self._cpu,
            "busy": (cpu - self._cpu) / wall_s,
            "waited": (waited - self._waited_s) / wall_s,
            "rss": resident_bytes(),
            **{f"frame_p{p}_ms": 1e3 * percentile(frames, p) for p in (50, 99)},
            **{f"window_p{p}_ms": 1e3 * percentile(windows, p) for p in (50, 99)},
            "core_ms": self._core_ms,
            "kind": self.kind,
        }
        if objects:
            found |= self._alive()
        self._cpu, self._at_s, self._waited_s = cpu_seconds(), NOW(), waited_s()
        return json.dumps(found)

    def _alive(self) -> dict[str, int]:
        gc.collect()
        tasks = -1
        for _ in range(5):
            with contextlib.suppress(RuntimeError):  # the loop made one meanwhile
                tasks = len(asyncio.all_tasks(self.loop))
                break
        sockets = 0
        for each in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                sockets += os.readlink(f"/proc/self/fd/{each}").startswith("socket:")
        return {"tasks": tasks, "sockets": sockets, "objects": len(gc.get_objects())}

    def answer(self, port: int) -> None:
        """Print the port, and from now on answer what comes on standard input, until it ends."""
        print(port, flush=True)

        def ask() -> None:
            for line in sys.stdin:
                print(self.report(objects="objects" in line), flush=True)
            os._exit(0)  # hundreds of sockets need not be torn down one by one

        threading.Thread(target=ask, daemon=True).start()


def watch_sessions(watch: Watch) -> None:
    """Have every session note how late it is with every fourth frame and window of the detector.

    Noting all of them would cost a tenth of what is measured.
    """
    from repartee.server.hearing.listening import Listening
    from repartee.server.sessions.served_session import ServedSession

    receive, on_window = ServedSession.receive, Listening._on_window
    watch.noted_every = NOTED_EVERY
    frames, windows = itertools.cycle(range(NOTED_EVERY)), itertools.cycle(range(NOTED_EVERY))

    def received(self: Any, frame: bytes | str, listener: Any) -> None:
        receive(self, frame, listener)
        if self.bench_first_s is not None and next(frames):
            return
        due_s = due_of(frame) if isinstance(frame, bytes) else due_of(frame.encode())
        if due_s is not None:
            watch.frames.append(NOW() - due_s)
            if self.bench_first_s is None:
                self.bench_first_s = due_s

    def window(self: Any, probability: float, end_s: float) -> None:
        on_window(self, probability, end_s)
        if next(windows):
            return
        first_s = self._owner.bench_first_s
        if first_s is not None:
            watch.windows.append(NOW() - due_at(first_s, end_s * 1000))

    ServedSession.bench_first_s = None  # type: ignore[attr-defined]
    ServedSession.receive = received  # type: ignore[method-assign]
    Listening._on_window = window  # type: ignore[method-assign]


def due_at(first_s: float, end_ms: float) -> float:
    """When the frame was due that completes the audio up to a place, given when the first was."""
    return first_s + (-(-round(end_ms * 1000) // (1000 * FRAME_MS)) - 1) * FRAME_MS / 1000


# -- repartee ------------------------------------------------------------------------------------------------------


def serve(watch: Watch, kind: str, flags: list[str]) -> None:
    """Run the command line's server in this process."""
    from repartee.cli import serve as command
    from repartee.server.sockets import runner

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    # One machine is all clients here, which a rate of sessions or of events per key would not expect.
    arguments = [
        "--model",
        "bench.serve_load.parts:served",
        "--port",
        "0",
        "--no-open",
        "--log-level",
        "error",
    ]
    arguments += ["--json", "--sessions", "2000", "--connections", "4000", *flags]
    if kind == "uvicorn":
        vars(runner)["websocket_protocol"] = lambda options: "websockets-sansio"
    watch_sessions(watch)

    async def greet(server: Any, *_: Any, **__: Any) -> None:
        await server.serving.wait()
        watch.loop = asyncio.get_running_loop()
        watch.answer(server.port)

    command._greet = greet
    command.run(parser.parse_args(arguments))


# -- bare ----------------------------------------------------------------------------------------------------------


def echo(data: bytes | str) -> bytes:
    """Decode a frame and make it anew."""
    event = json.loads(data)
    event["audio"] = base64.b64encode(base64.b64decode(event["audio"])).decode()
    return json.dumps(event, separators=(",", ":")).encode()


async def echo_websockets(watch: Watch) -> None:
    """By the package most people write such a server with."""
    from websockets.asyncio.server import ServerConnection, serve

    async def handler(connection: ServerConnection) -> None:
        async for data in connection:
            made = echo(data)
            await connection.send(made, text=True)
            watch.frames.append(NOW() - (due_of(made) or 0.0))

    async with serve(handler, "127.0.0.1", 0, compression=None, backlog=1024) as server:
        watch.answer(next(iter(server.sockets)).getsockname()[1])
        await server.serve_forever()


async def echo_picows(watch: Watch) -> None:
    """By a native core."""
    import picows

    class Echo(picows.WSListener):
        """One client."""

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            """Send it back."""
            if frame.msg_type == picows.WSMsgType.TEXT:
                made = echo(frame.get_payload_as_bytes())
                transport.send(picows.WSMsgType.TEXT, made)
                watch.frames.append(NOW() - (due_of(made) or 0.0))
            elif frame.msg_type == picows.WSMsgType.CLOSE:
                transport.disconnect()

    server = await picows.ws_create_server(lambda _: Echo(), "127.0.0.1", 0, backlog=1024)
    watch.answer(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("repartee", "uvicorn", "websockets", "picows"))
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--delta-ms", type=int, default=parts.DELTA_MS)
    parser.add_argument("--profile", help="write a cProfile of the loop's thread there (repartee)")
    options, flags = parser.parse_known_args()
    pin(options.core)  # before any thread is there: all inherit it
    parts.DELTA_MS = options.delta_ms
    watch = Watch(options.kind)
    if options.kind in ("repartee", "uvicorn"):
        if options.profile:
            profiled(options.profile, watch, options.kind, flags)
        else:
            serve(watch, options.kind, flags)
        return
    logging.disable(logging.WARNING)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as running:
        running.run((echo_websockets if options.kind == "websockets" else echo_picows)(watch))


def profiled(path: str, watch: Watch, kind: str, flags: list[str]) -> None:
    """The same under a profiler, which makes it slower."""
    import cProfile

    profile = cProfile.Profile()
    leave = os._exit

    def write_first(code: int) -> Any:
        profile.dump_stats(path)
        leave(code)

    os._exit = write_first  # type: ignore[assignment]
    profile.runcall(serve, watch, kind, flags)


if __name__ == "__main__":
    main()
