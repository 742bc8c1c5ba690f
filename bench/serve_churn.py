"""Whether `repartee serve` stays as it is while callers come, talk and go, in every way.

    python -m bench.serve_churn [--minutes 0.6] [--callers 24] [--quick]

Half of the callers are polite. The others reset the connection in the middle of a reply, stop reading while they go on
talking, fall silent without a close, or never finish their handshake (`bench.serve_load.churn`). The server
(`bench.serve_load.server`, with its real speech detector) is asked every two seconds for its memory, tasks, sockets and
objects. The first third is left out: caches and pools fill. *Slope*: of the straight line through the rest. When all
have left, tasks and sockets must be what they were before anybody came.

The issue's ten minutes: ``python -m bench.serve_churn --minutes 10``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.serve import ROOT, Server, verdict

SAMPLE_S = 2.0
LEAVE_S = 60.0
MEMORY_MAX_KB = 100.0
"""For each caller that was served: what may stay while pools fill. A session has about half a megabyte."""
MEMORY_MAX_MB = 0.5
"""A minute, where that can be told: the second half of at least five minutes."""
OBJECTS_MAX = 20.0
FLAGS = ("--handshake-s", "5", "--ping-s", "4")
"""So that the server is not patient for longer than this takes."""

Sample = dict[str, Any]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line through the points (least squares); 0 for one."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def churn(server: Server, minutes: float, callers: int, stay_s: float) -> tuple[list[Sample], dict[str, Any]]:
    """What was seen while they came and went, and what they did."""
    command = [sys.executable, "-m", "bench.serve_load.churn", "--port", server.port]
    command += ["--callers", str(callers), "--stay-s", str(stay_s)]
    coming = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert coming.stdin is not None
    assert coming.stdout is not None
    samples: list[Sample] = []
    begun_s = time.monotonic()
    while (at_s := time.monotonic() - begun_s) < 60 * minutes:
        coming.stdin.write("how many\n")
        coming.stdin.flush()
        gone = json.loads(coming.stdout.readline())["gone"]
        samples.append({**server.report("objects"), "at_min": at_s / 60, "gone": gone})
        time.sleep(SAMPLE_S)
    told, _ = coming.communicate(timeout=60)
    return samples, json.loads(told.splitlines()[-1])


def settled(server: Server, before: Sample) -> Sample:
    """The server when all have left, as soon as it is as before, or after a while."""
    until_s = time.monotonic() + LEAVE_S
    while True:
        now = server.report("objects")
        as_before = all(now[name] <= before[name] for name in ("tasks", "sockets"))
        if as_before or time.monotonic() > until_s:
            return now
        time.sleep(1.0)


def show(samples: list[Sample], before: Sample, after: Sample, did: dict[str, Any]) -> bool:
    """Print it; whether everything is flat."""
    print("callers: " + ", ".join(f"{count} {way}" for way, count in sorted(did["done"].items())))
    for error in did["errors"]:
        print(f"  error: {error}")
    print(
        f"  {'minute':>8} {'callers gone':>13} {'memory MB':>10} {'tasks':>7} {'sockets':>8} {'objects':>9}"
    )
    step = max(1, len(samples) // 12)
    for row in [before, *samples[::step], after]:
        place = f"{row['at_min']:8.2f} {row['gone']:13d}" if "at_min" in row else f"{'alone':>8} {'':13}"
        print(f"  {place} {row['rss'] / 1e6:10.1f} {row['tasks']:7d} {row['sockets']:8d} {row['objects']:9d}")
    rest = samples[len(samples) // 3 :]
    for name, unit, scale in (
        ("rss", "MB", 1e-6),
        ("tasks", "", 1.0),
        ("sockets", "", 1.0),
        ("objects", "", 1.0),
    ):
        found = slope([(row["at_min"], row[name] * scale) for row in rest])
        print(f"  slope of {name}: {found:+.2f} {unit} a minute")
    growth_kb = slope([(row["gone"], row["rss"] / 1024) for row in rest])
    kept = verdict("memory kept of a caller, KB", growth_kb, MEMORY_MAX_KB, "KB")
    if rest[-1]["at_min"] > 4.5:
        growth_mb = slope([(row["at_min"], row["rss"] / 1e6) for row in samples[len(samples) // 2 :]])
        kept &= verdict("memory, MB a minute", growth_mb, MEMORY_MAX_MB, "MB")
    gone = max(1, samples[-1]["gone"])
    objects = (after["objects"] - before["objects"]) / gone
    kept &= verdict("objects kept of a caller", objects, OBJECTS_MAX, "")
    kept &= verdict("tasks more than before", after["tasks"] - before["tasks"], 1, "")
    kept &= verdict("sockets more than before", after["sockets"] - before["sockets"], 1, "")
    return verdict("errors of the callers", did["error_count"], 1, "") and kept


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=0.6)
    parser.add_argument("--callers", type=int, default=24, help="at the same time")
    parser.add_argument("--quick", action="store_true", help="only show that it works")
    options = parser.parse_args()
    if options.quick:
        options.minutes, options.callers = 0.15, 6
    with Server("repartee", FLAGS) as server:
        before = server.report("objects")
        samples, did = churn(server, options.minutes, options.callers, 3.0 if options.quick else 15.0)
        after = settled(server, before)
    kept = show(samples, before, after, did)
    print("\neverything stays as it is" if kept else "\nfloors were MISSED, see above")


if __name__ == "__main__":
    main()
