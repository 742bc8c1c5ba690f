"""CPU time of resampling one 20 ms mono frame, for the usual pairs of rates: ``python bench/resample.py``.

Prints microseconds of this process's CPU (the least of many rounds, since others may share the machine) and
the delay, beside python-soxr's ``ResampleStream`` at its HQ and LQ settings if that package can be imported.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from repartee.audio import AudioFrame, Resampler

PAIRS = [
    (8000, 16000),
    (16000, 8000),
    (8000, 24000),
    (24000, 8000),
    (16000, 24000),
    (24000, 16000),
    (48000, 16000),
    (16000, 48000),
    (24000, 48000),
    (48000, 24000),
    (22050, 16000),
    (22050, 24000),
    (44100, 16000),
    (44100, 48000),
    (96000, 48000),
]


def cpu_us(call: Callable[[], object], calls: int = 200, rounds: int = 60) -> float:
    """Microseconds of CPU for one call: the least over ``rounds`` of the mean over ``calls``."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(calls):
            call()
        best = min(best, time.process_time() - began)
    return best / calls * 1e6


def main() -> None:
    try:
        import soxr
    except ImportError:
        soxr = None
    print(
        f"{'from':>6} {'to':>6} {'us':>6} {'delay ms':>9}"
        + ("  soxr LQ   HQ us" if soxr else "  (soxr: not installed)")
    )
    for source, target in PAIRS:
        rng = np.random.default_rng(1)
        samples = rng.integers(-9000, 9000, source // 50).astype(np.int16)
        frame = AudioFrame.from_array(samples, source)
        resampler = Resampler(source, target)
        ours_us = cpu_us(partial(resampler.push, frame))
        line = f"{source:6} {target:6} {ours_us:6.1f} {resampler.delay_s * 1e3:9.2f}"
        for quality in ("LQ", "HQ") if soxr else ():
            stream = soxr.ResampleStream(source, target, 1, dtype="int16", quality=quality)
            line += f" {cpu_us(partial(stream.resample_chunk, samples)):6.1f}"
        print(line)


if __name__ == "__main__":
    main()
