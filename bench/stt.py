"""How well and how dearly local speech recognition hears: ``python -m bench.stt [--model PATH] [DIRECTORY]``.

The directory holds ``NAME.flac`` or ``NAME.wav`` and a README.md with a table ``| `NAME.flac` | text |``; by default
tests/data/speech (8 sentences of four synthesized voices, so a check more than a measurement). Each sentence gets
0.3 s of silence on both sides and is pushed in 20 ms frames, as fast as it is decoded.

Printed: word error rate by voice (what follows the last ``_`` of a name); CPU seconds for a second of audio; the time
from the flush to the final; how far into the speech the first interim came, in audio; and how much faster two
speakers are decoded at once than one after the other (2.0 with two free cores).
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

from repartee.audio import AudioFrame, read_audio, resample
from repartee.clock import Clock, cpu_seconds
from repartee.models import Final, STTEvent
from repartee.plugins.local import STT
from repartee.testing.conformance_stt import word_errors

RATE = 16_000
PAD_S = 0.3
SPEECH = Path(__file__).parents[1] / "tests" / "data" / "speech"


@dataclass
class Heard:
    """A sentence's outcome."""

    text: str
    flush_ms: float
    first_ms: float | None


def sentences(directory: Path) -> dict[str, tuple[str, AudioFrame]]:
    rows = re.findall(
        r"^\| `([^`]+)` \| (.+?) \|$", (directory / "README.md").read_text("utf-8"), re.MULTILINE
    )
    found = {}
    for name, text in rows:
        audio = read_audio(directory / name).to_mono()
        pad = bytes(2 * round(PAD_S * RATE))
        found[name] = text, AudioFrame(pad + resample(audio, RATE).data + pad, RATE)
    return found


async def hear(stt: STT, audio: AudioFrame) -> Heard:
    """One sentence, frame by frame, each when the one before it has been decoded."""
    clock, first_ms, pushed = Clock(), None, 0
    final: asyncio.Future[Final] = asyncio.get_running_loop().create_future()

    def on_event(event: STTEvent) -> None:
        nonlocal first_ms
        if isinstance(event, Final):
            final.set_result(event)
        elif event.text and first_ms is None:
            first_ms = 1000 * (pushed / RATE - PAD_S)

    stream = stt.stream(sample_rate=RATE, on_event=on_event, on_error=final.set_exception)
    for start in range(0, audio.samples, RATE // 50):
        piece = audio.slice(start, start + RATE // 50)
        stream.push(piece)
        pushed += piece.samples
        while stream.pending_samples:  # type: ignore[attr-defined]  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.0005)
    began = clock.now()
    stream.flush()
    found = await final
    flush_ms = 1000 * (clock.now() - began)
    await stream.aclose()
    return Heard(found.text, flush_ms, first_ms)


async def speakers_at_once(stt: STT, audio: list[AudioFrame], count: int) -> float:
    """Seconds for all sentences by so many speakers at once."""
    clock, queue = Clock(), list(audio)

    async def speaker() -> None:
        while queue:
            await hear(stt, queue.pop())

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(speaker())
    return clock.now()


async def bench(model: str | None, directory: Path) -> None:
    clock = Clock()
    stt = STT(model)
    await stt.prewarm()
    print(f"loaded in {clock.now():.2f} s")
    given = sentences(directory)
    before, results = cpu_seconds(), {}
    for name, (_, audio) in given.items():
        results[name] = await hear(stt, audio)
    used = cpu_seconds() - before
    by_voice: dict[str, list[tuple[float, int]]] = {}
    for name, heard in results.items():
        text = given[name][0]
        errors = word_errors(text, heard.text)
        by_voice.setdefault(Path(name).stem.rpartition("_")[2], []).append((errors, len(text.split())))
        if errors:
            print(f"  {name}: {heard.text!r}, not {text!r}")
    for voice, scores in sorted(by_voice.items()):
        print(f"  WER {voice:8s} {sum(e * n for e, n in scores) / sum(n for _, n in scores):.3f}")
    everything = [pair for scores in by_voice.values() for pair in scores]
    print(f"WER {sum(e * n for e, n in everything) / sum(n for _, n in everything):.3f}")
    seconds = sum(audio.duration_s for _, audio in given.values())
    flushes = sorted(heard.flush_ms for heard in results.values())
    print(f"CPU {used / seconds:.3f} s for a second of audio")
    print(f"flush to final {statistics.median(flushes):.0f} ms, at most {flushes[-1]:.0f} ms")
    firsts = [heard.first_ms for heard in results.values() if heard.first_ms is not None]
    print(f"first interim {statistics.median(firsts):.0f} ms into the speech" if firsts else "no interims")
    everyone = [audio for _, audio in given.values()]
    await speakers_at_once(stt, everyone[:2], 2)  # a second language model may have to be loaded
    one, two = await speakers_at_once(stt, everyone, 1), await speakers_at_once(stt, everyone, 2)
    print(f"two speakers at once: {one / two:.2f} times as fast as one after the other")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", nargs="?", type=Path, default=SPEECH)
    parser.add_argument("--model", help="as for local.STT")
    options = parser.parse_args()
    asyncio.run(bench(options.model, options.directory))


if __name__ == "__main__":
    main()
