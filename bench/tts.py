"""How soon, how fast and how evenly the local voice speaks.

Prints, for eSpeak NG on this machine: time from `synthesize` to the first chunk on the event loop (alone, and with
others speaking), how much faster than it is heard it speaks, and how long the event loop was held up meanwhile.
"""

from __future__ import annotations

import asyncio
import statistics

import numpy as np

from repartee.clock import Clock
from repartee.plugins.local.tts import TTS

CLAUSES = (
    "Sure, I can book a table for you.",
    "The capital of France is Paris.",
    "I am sorry, I did not understand that.",
    "It is a quarter past seven, and the sun has just gone down.",
)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def line(name: str, values_ms: list[float]) -> None:
    print(
        f"{name:<46} p50 {statistics.median(values_ms):6.2f}   p95 {percentile(values_ms, 0.95):6.2f}   "
        f"max {max(values_ms):6.2f} ms"
    )


async def first_chunk_ms(voice: TTS, clock: Clock, text: str) -> tuple[float, float]:
    """Milliseconds to the first chunk, and of silence at its front."""
    begun = clock.now()
    stream = voice.synthesize(text)
    chunk = await anext(stream)
    took_ms = (clock.now() - begun) * 1000
    await stream.aclose()
    loud = np.abs(chunk.audio.as_array().astype(int)) > 32
    return took_ms, float(loud.argmax()) * 1000 / chunk.audio.sample_rate


async def main() -> None:
    clock = Clock()
    begun = clock.now()
    voice = TTS()
    await voice.prewarm()
    print(f"{voice.name}: ready after {(clock.now() - begun) * 1000:.0f} ms")

    alone = [await first_chunk_ms(voice, clock, CLAUSES[i % len(CLAUSES)]) for i in range(400)]
    line("first chunk, alone", [took for took, _ in alone])
    line("silence before its first audible sample", [silence for _, silence in alone])

    async def one(text: str) -> float:
        return (await first_chunk_ms(voice, clock, text))[0]

    crowd: list[float] = []
    for _ in range(40):
        crowd += await asyncio.gather(*(one(CLAUSES[i % len(CLAUSES)]) for i in range(20)))
    line("first chunk, 20 sessions in the same moment", crowd)

    lecture = asyncio.create_task(speak_on(voice))
    line("first chunk, while another speaks on and on", [await one(CLAUSES[i % 4]) for i in range(200)])
    lecture.cancel()
    await asyncio.wait([lecture])

    spoken_s, chunks, begun = 0.0, 0, clock.now()
    for text in CLAUSES * 10:
        async for chunk in voice.synthesize(text):
            spoken_s += chunk.audio.duration_s
            chunks += 1
    took_s = clock.now() - begun
    print(
        f"speed: {spoken_s / took_s:.0f} times as fast as it is heard; chunks of {spoken_s / chunks * 1000:.0f} ms"
    )

    gaps: list[float] = []
    watch = asyncio.create_task(watch_loop(clock, gaps))
    for _ in range(10):
        async for _ in voice.synthesize(" ".join(CLAUSES)):
            pass
    watch.cancel()
    await asyncio.wait([watch])
    line("event loop held up while it speaks", gaps)
    await voice.aclose()


async def speak_on(voice: TTS) -> None:
    while True:
        async for _ in voice.synthesize(" ".join(CLAUSES * 5)):
            pass


async def watch_loop(clock: Clock, gaps: list[float]) -> None:
    before = clock.now()
    while True:
        await asyncio.sleep(0)
        now = clock.now()
        gaps.append((now - before) * 1000)
        before = now


if __name__ == "__main__":
    asyncio.run(main())
