"""How many callers one core of `repartee serve` carries, beside bare echo servers in the same run.

    python -m bench.serve [--sessions 150] [--seconds 4] [--rounds 3] [--search-seconds 3] [--trials 5] [--quick]

The server is the command line's, in a process of its own with all its threads on one core. It serves a composed model
whose parts cost next to nothing and the real speech detector. The callers, one process on the other core, each send 20
ms of microphone every 20 ms: real speech, a pause, the next; some interrupt. So turns are found, written down,
committed and answered with 3.6 s of voice, 100 ms at a time, at the pace of real time. The echo servers get the same
frames, decode each (JSON, base64), encode it again and send it back, and do nothing else.

All lateness is counted from the moment at which something was *due*, so it contains that of the callers' process:

* *frame*: a microphone's frame was due (its event_id says when) → the server is done with it, on its event loop;
* *detected*: the frame was due that completes a window of the detector (32 ms) → its probability was acted upon. A
  window waits up to 16 ms for those of other callers on purpose, since one by one they cost several times as much;
* *turn*: the frame was due at which the turn was over by the audio (``audio_end_ms``) → the caller reads
  ``speech_stopped``;
* *voice*: a piece of the voice was due → the caller has it (without those that were prepared before the turn was over,
  and held back);
* *echo*: the frame was due → the caller has it back.

CPU is the server process's, all threads, for a second of a session. On a shared machine it varies as well (twofold,
where others use the other half of the core): *this core* is the CPU of a fixed piece of work, just before. A server
*keeps up* when 99 of 100 frames, and pieces of voice, are late by less than 20 ms (detected: 20 ms and what it waits).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

LATE_MAX_MS = 20.0
GATHER_MS = 16.0
SESSIONS_MIN = 150
BUSY_MAX = 0.1
OURS = "repartee"
ECHOES = ("websockets", "picows")
ROOT = Path(__file__).resolve().parent.parent

Figures = dict[str, Any]


class Server:
    """A server of one kind, from its start to its end.

    Args:
        kind: of `bench.serve_load.server`.
        flags: more of its flags.
    """

    def __init__(self, kind: str, flags: Iterable[str] = ()) -> None:
        self.kind = kind
        command = [sys.executable, "-m", "bench.serve_load.server", kind, *flags]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            assert self._process.stderr is not None
            raise SystemExit(f"the {self.kind} server is gone:\n{self._process.stderr.read()[-2000:]}")
        return line

    def report(self, what: str = "report") -> Figures:
        """Its figures since the last report."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return dict(json.loads(self._line()))

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=20)  # which closes its standard input: it ends


def measure(kind: str, sessions: int, seconds: float, warm_s: float = 2.5) -> Figures:
    """So many callers at a new server of a kind: the server's figures and theirs."""
    with Server(kind) as server:
        command = [sys.executable, "-m", "bench.serve_load.callers", "talk" if kind == OURS else "echo"]
        command += ["--port", server.port, "--sessions", str(sessions), "--seconds", str(seconds)]
        command += ["--warm-s", str(warm_s)]
        callers = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert callers.stdout is not None
        callers.stdout.readline()  # one has come and gone
        empty = server.report()["rss"]
        callers.stdout.readline()  # all are there, and warm
        server.report()
        told = callers.stdout.readline()
        found = server.report()
        if callers.wait(30) or not told:
            raise SystemExit("the callers failed; their error is above")
    seen: Figures = json.loads(told)
    return {
        **seen,
        **found,
        "cpu_ms": 1e3 * found["cpu_s"] / seen["wall_s"] / sessions,
        "cpu_for": sessions * seen["wall_s"] / max(1e-9, found["cpu_s"]),
        "memory_kb": (found["rss"] - empty) / 1024 / sessions,
        "frames_per_s": found["frames"] / seen["wall_s"] / sessions,
        "turns_per_min": 60 * seen["turns"] / seen["wall_s"] / sessions,
        "deltas_per_s": seen["deltas"] / seen["wall_s"] / sessions,
    }


def typical(rows: list[Figures], name: str) -> float:
    """The median of the rounds."""
    return float(statistics.median(row[name] for row in rows))


def keeps_up(row: Figures) -> bool:
    """Whether a server was in time with what it took and with what it gave."""
    in_time = row["frame_p99_ms"] < LATE_MAX_MS
    if row["kind"] == OURS:
        in_time = in_time and row["voice_p99_ms"] < LATE_MAX_MS
        in_time = in_time and row["window_p99_ms"] < LATE_MAX_MS + GATHER_MS
    return in_time and not row["error_count"]


def disturbed(row: Figures) -> bool:
    """Whether other programs kept the callers from their core: they are one thread, alone on it but for those."""
    return bool(row["caller_waited"] > BUSY_MAX)


def verdict(name: str, value: float, floor: float, unit: str, *, at_least: bool = False) -> bool:
    """Print a figure beside its floor; whether it holds."""
    kept = value >= floor if at_least else value < floor
    sign = ">=" if at_least else "<"
    print(f"  {name:<44} {value:8.2f}   floor {sign} {floor:g} {unit}: {'kept' if kept else 'MISSED'}")
    return kept


ROWS = (
    ("frame, p50 ms", "frame_p50_ms"),
    ("frame, p99 ms", "frame_p99_ms"),
    ("detected, p50 ms", "window_p50_ms"),
    ("detected, p99 ms", "window_p99_ms"),
    ("turn, p50 ms", "turn_p50_ms"),
    ("turn, p99 ms", "turn_p99_ms"),
    ("voice, p50 ms", "voice_p50_ms"),
    ("voice, p99 ms", "voice_p99_ms"),
    ("echo, p50 ms", "echo_p50_ms"),
    ("echo, p99 ms", "echo_p99_ms"),
    ("CPU ms for a second of a session", "cpu_ms"),
    ("sessions that a core has the CPU for", "cpu_for"),
    ("this core: CPU ms of a fixed work", "core_ms"),
    ("server: of its core", "busy"),
    ("server: kept waiting for it", "waited"),
    ("memory of a session, KB", "memory_kb"),
    ("frames a second of a session", "frames_per_s"),
    ("turns a minute of a session", "turns_per_min"),
    ("pieces of voice a second of a session", "deltas_per_s"),
    ("callers: of their core", "caller_busy"),
    ("callers: kept waiting for it", "caller_waited"),
    ("callers: late by, p99 ms", "caller_late_p99_ms"),
)


def side_by_side(sessions: int, seconds: float, rounds: int, warm_s: float = 2.5) -> bool:
    """The table; whether the floors hold at that number."""
    kinds = (OURS, *ECHOES)
    found: dict[str, list[Figures]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            found[kind].append(measure(kind, sessions, seconds, warm_s))
    print(f"\n{sessions} sessions on one core, medians of {rounds} rounds")
    print(f"  {'':<40}" + "".join(f"{kind:>12}" for kind in kinds))
    for label, name in ROWS:
        cells = (typical(found[kind], name) for kind in kinds)
        print(f"  {label:<40}" + "".join(f"{'-' if cell != cell else f'{cell:.3f}':>12}" for cell in cells))
    ours = found[OURS]
    if any(disturbed(row) for rows in found.values() for row in rows):
        waited = max(row["caller_waited"] for rows in found.values() for row in rows)
        print(
            f"  other programs kept the callers waiting for up to {waited:.0%} of the time: measure when it is quiet"
        )
    kept = verdict("frame, p99", typical(ours, "frame_p99_ms"), LATE_MAX_MS, "ms")
    kept &= verdict("voice, p99", typical(ours, "voice_p99_ms"), LATE_MAX_MS, "ms")
    kept &= verdict("detected, p99", typical(ours, "window_p99_ms"), LATE_MAX_MS + GATHER_MS, "ms")
    errors = [error for rows in found.values() for row in rows for error in row["errors"]]
    for error in errors[:5]:
        print(f"  error: {error}")
    return (
        verdict("errors", sum(row["error_count"] for rows in found.values() for row in rows), 1, "") and kept
    )


def most_sessions(kind: str, guess: int, seconds: float, trials: int) -> int:
    """The greatest number of sessions that one core keeps up with, as far as so many trials can tell.

    A virtual machine can't see what others take of its cores, and that only makes it worse: so a number at which it
    does not keep up is tried once more.
    """
    good, bad, sessions = 0, 0, guess
    for _ in range(trials):
        row = measure(kind, sessions, seconds)
        if not (kept := keeps_up(row)):
            row = measure(kind, sessions, seconds)
            kept = keeps_up(row)
        print(
            f"  {kind:<12} {sessions:4d}: frame p99 {row['frame_p99_ms']:8.1f} ms, detected "
            f"{row['window_p99_ms']:8.1f}, voice {row['voice_p99_ms']:8.1f}, core {row['busy']:.0%} (waited "
            f"{row['waited']:.0%}), callers {row['caller_busy']:.0%} (waited {row['caller_waited']:.0%}), late by "
            f"{row['caller_late_p99_ms']:.1f} ms: "
            + ("keeps up" if kept else "too many" if not disturbed(row) else "too many for what others left"),
            flush=True,
        )
        good, bad = (sessions, bad) if kept else (good, sessions)
        sessions = (
            round((good + bad) / 2) if bad and good else round(good * 1.3) if good else round(bad * 0.75)
        )
    return good


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=SESSIONS_MIN)
    parser.add_argument("--seconds", type=float, default=4.0, help="that each server is measured for")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--search-seconds", type=float, default=3.0, help="of each trial of how many")
    parser.add_argument("--trials", type=int, default=4, help="of how many, for each server; 0: don't")
    parser.add_argument("--quick", action="store_true", help="only show that it works")
    options = parser.parse_args()
    if options.quick:
        options.sessions, options.seconds, options.rounds, options.trials = 3, 3.0, 1, 0
    kept = side_by_side(options.sessions, options.seconds, options.rounds, 0.5 if options.quick else 2.5)
    if options.trials:
        print("\nsessions that one core keeps up with")
        most = {
            kind: most_sessions(kind, SESSIONS_MIN, options.search_seconds, options.trials)
            for kind in (OURS, "websockets")
        }
        print(f"  bare echo on websockets: {most['websockets']}")
        kept &= verdict(OURS, most[OURS], SESSIONS_MIN, "sessions", at_least=True)
    print("\nevery floor holds" if kept else "\nfloors were MISSED, see above")


if __name__ == "__main__":
    main()
