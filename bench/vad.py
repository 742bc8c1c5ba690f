"""What speech detection costs: all streams in one batch, against a call for each stream.

    python -m bench.vad [--sessions 32] [--seconds 10] [--rate 16000]

*Paced* is life: every session pushes 20 ms every 20 ms, each at its own moment, and a window is due every 32 ms.
*Hot* pushes as fast as results come, so the model's weights never leave the cache. CPU time is that of the whole
process; what the pacing itself costs is measured in the same run and taken off. The floor is 60 µs for a stream's
window with 32 paced sessions.
"""

from __future__ import annotations

import argparse
import asyncio
import math
from array import array
from collections.abc import Callable
from typing import Any

from repartee.audio import AudioFrame
from repartee.clock import Clock, cpu_seconds
from repartee.plugins.local.vad import CONTEXT, DATA, MODEL_RATE, VAD, WINDOW, _load

FLOOR_US = 60.0
FRAME_MS = 20


def voice(rate: int, seconds: float) -> bytes:
    """Something like speech: a buzz of 120 Hz that comes and goes."""
    samples = array("h")
    for n in range(round(rate * seconds)):
        loud = max(0.0, math.sin(2 * math.pi * 0.7 * n / rate)) * 6000
        samples.append(round(loud * ((n * 120 / rate) % 1.0 - 0.5)))
    return samples.tobytes()


async def pace(sessions: int, seconds: float, push: Callable[[int, int], None]) -> float:
    """Call ``push(session, frame)`` as devices would, each session at its own moment. Returns CPU seconds."""
    clock, before = Clock(), cpu_seconds()
    for frame in range(round(seconds * 1000 / FRAME_MS)):
        for session in range(sessions):
            due = (frame + session / sessions) * FRAME_MS / 1000
            if due > clock.now():
                await asyncio.sleep(due - clock.now())
            push(session, frame)
    return cpu_seconds() - before


class OneByOne:
    """The obvious way: each stream has its state and calls the model in a thread when it has a window."""

    def __init__(self, sessions: int) -> None:
        import numpy as np

        self._np = np
        self._session = _load(DATA / "silero_vad_16k.onnx")
        self._states = [np.zeros((2, 1, 128), np.float32) for _ in range(sessions)]
        self._inputs = [np.zeros((1, CONTEXT + WINDOW), np.float32) for _ in range(sessions)]
        self._rests = [b""] * sessions
        self._calls: set[asyncio.Future[Any]] = set()
        self.windows = 0

    def push(self, session: int, pcm: bytes) -> None:
        data = self._rests[session] + pcm
        if len(data) < 2 * WINDOW:
            self._rests[session] = data
            return
        self._rests[session] = data[2 * WINDOW :]
        call = asyncio.get_running_loop().run_in_executor(None, self.run, session, data[: 2 * WINDOW])
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    def run(self, session: int, pcm: bytes) -> float:
        samples, np = self._inputs[session], self._np
        samples[0, :CONTEXT] = samples[0, WINDOW:]
        samples[0, CONTEXT:] = np.frombuffer(pcm, "<i2")
        samples[0, CONTEXT:] *= 1 / 32768
        state = {"input": samples, "state": self._states[session]}
        probability, self._states[session] = self._session.run(None, state)
        self.windows += 1
        return float(probability[0, 0])

    async def done(self) -> None:
        while self._calls:
            await asyncio.wait(self._calls)


async def drained(vad: VAD, depth: int) -> None:
    """Wait until no more windows than that wait."""
    while vad.statistics().queue_depth > depth:  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(0.0005)


async def bench(sessions: int, seconds: float, rate: int) -> dict[str, float]:
    size = 2 * rate * FRAME_MS // 1000
    data = voice(rate, seconds)
    frames = [data[at : at + size] for at in range(0, len(data), size)]
    data_16k = voice(MODEL_RATE, seconds)
    step = 2 * MODEL_RATE * FRAME_MS // 1000
    frames_16k = [data_16k[at : at + step] for at in range(0, len(data_16k), step)]
    found: dict[str, float] = {}

    idle = await pace(sessions, seconds, lambda session, frame: None)
    found["pacing itself, CPU s"] = idle

    vad, windows = VAD(), 0
    await vad.prewarm()

    def count(_: object) -> None:
        nonlocal windows
        windows += 1

    streams = [vad.stream(sample_rate=rate, on_result=count, on_error=print) for _ in range(sessions)]
    start = vad.statistics()
    used = await pace(sessions, seconds, lambda s, f: streams[s].push(AudioFrame(frames[f], rate)))
    await drained(vad, 0)
    end = vad.statistics()
    found["batched, paced: µs per window"] = 1e6 * (used - idle) / windows
    found["batched, paced: windows per batch"] = (end.items - start.items) / (end.batches - start.batches)

    single = OneByOne(sessions)
    used = await pace(sessions, seconds, lambda s, f: single.push(s, frames_16k[f]))
    await single.done()
    found["one by one, paced: µs per window"] = 1e6 * (used - idle) / single.windows

    before, windows = cpu_seconds(), 0
    for frame in frames[: round(1000 * seconds / FRAME_MS)]:
        for stream in streams:
            stream.push(AudioFrame(frame, rate))
        await drained(vad, 2 * sessions)
    await drained(vad, 0)
    found["batched, hot: µs per window"] = 1e6 * (cpu_seconds() - before) / windows
    for stream in streams:
        await stream.aclose()

    before, calls = cpu_seconds(), 3000
    for number in range(calls):
        single.run(number % sessions, data_16k[: 2 * WINDOW])
    found["one by one, hot: µs per window"] = 1e6 * (cpu_seconds() - before) / calls
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=MODEL_RATE)
    options = parser.parse_args()
    found = asyncio.run(bench(options.sessions, options.seconds, options.rate))
    print(f"{options.sessions} sessions, {options.rate} Hz, {options.seconds:g} s")
    for name, value in found.items():
        print(f"  {name:40s} {value:9.2f}")
    paced = found["batched, paced: µs per window"]
    print(f"  floor of {FLOOR_US:g} µs: {'kept' if paced <= FLOOR_US else 'MISSED'}")


if __name__ == "__main__":
    main()
