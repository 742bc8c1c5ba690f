"""What our client of the Realtime protocol costs, beside a bare `websockets` client, and how many one core carries.

    python -m bench.realtime [--sessions 100] [--seconds 4] [--rounds 3] [--search-seconds 3] [--quick]

A lean server in a process of its own, on one core, holds a conversation with each client: 20 ms of microphone up,
20 ms of voice down, a word every 200 ms, a turn that cuts the last answer short every 5 s. The clients, one kind at a
time and each in a process of its own on the other core, are

* ``websockets``: sends the same microphone frames and decodes what comes (json, base64), and does nothing with it;
* ``session``: a `RealtimeSession` of `openai.realtime.RealtimeModel`, and a sink;
* ``agent``: an `AgentSession` with a sound card in memory, which is what a program runs.

CPU is the process's, for a second of a session, and includes the keeping of time, which is the same for all. *Latency*
is from the moment at which the server sends a piece of sound to that at which the sink has it; *added*: more than the
bare client's. *Keeps up*: 99 of 100 microphone frames come to the server, and as many pieces of sound to the sink,
within 20 ms of the moment at which they were due. Kinds take turns within a round, and the figures are the medians of
the rounds, since other work on the machine disturbs them all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

CPU_RATIO_MAX = 1.3
ADDED_P50_MAX_MS = 0.3
ADDED_P99_MAX_MS = 5.0
MEMORY_MAX_KB = 1024.0
SESSIONS_MIN = 250
LATE_MAX_MS = 20.0
BUSY_MAX = 0.05
DISTURBED = ("waited", "server_waited")

BARE = "websockets"
KINDS = (BARE, "session", "agent")
ROOT = Path(__file__).resolve().parent.parent

Figures = dict[str, float]


class Load:
    """The server, and clients to measure against it."""

    def __init__(self, delta_ms: int) -> None:
        command = [
            sys.executable,
            "-m",
            "bench.realtime_load.server",
            "--core",
            "0",
            "--delta-ms",
            str(delta_ms),
        ]
        self._server = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._port = self._line()

    def _line(self) -> str:
        assert self._server.stdout is not None
        line = self._server.stdout.readline().strip()
        if not line:
            raise SystemExit("the load server did not start; its error is above")
        return line

    def _report(self) -> Figures:
        assert self._server.stdin is not None
        self._server.stdin.write("report\n")
        self._server.stdin.flush()
        return dict(json.loads(self._line()))

    def measure(self, kind: str, sessions: int, seconds: float) -> Figures:
        """One kind of client: its own figures and the server's."""
        command = [sys.executable, "-m", "bench.realtime_load.client", kind, "--port", self._port]
        command += ["--sessions", str(sessions), "--seconds", str(seconds)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            client.stdout.readline()  # it is warm: what is loaded and made once is no session's
            self._report()
            told = client.stdout.readline()
        if not told:
            raise SystemExit(f"the {kind} client failed; its error is above")
        found: dict[str, Any] = json.loads(told)
        for error in found.pop("errors"):
            print(f"  {kind}: {error}")
        return {**found, **{f"server_{name}": value for name, value in self._report().items()}}

    def appends(self) -> dict[int, float]:
        """CPU of an append in µs, by its length in ms."""
        command = [sys.executable, "-m", "bench.realtime_load.appends", "--port", self._port]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=120)
        if done.returncode:
            raise SystemExit("bench.realtime_load.appends failed; its error is above")
        return {int(chunk): cost for chunk, cost in json.loads(done.stdout.splitlines()[-1]).items()}

    def __enter__(self) -> Load:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        try:
            self._server.wait(5)
        except subprocess.TimeoutExpired:
            self._server.kill()


# -- one load, three clients ---------------------------------------------------------------------------------------


def side_by_side(load: Load, sessions: int, seconds: float, rounds: int) -> dict[str, list[Figures]]:
    """Every kind's figures, a row for each round."""
    found: dict[str, list[Figures]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind in KINDS:
            found[kind].append(load.measure(kind, sessions, seconds))
    return found


def typical(rows: list[Figures], name: str) -> float:
    """The median of the rounds."""
    return statistics.median(row[name] for row in rows)


def ratio(found: dict[str, list[Figures]], kind: str) -> float:
    """CPU against the bare client's, round by round."""
    pairs = zip(found[kind], found[BARE], strict=True)
    return statistics.median(own["cpu_ms"] / bare["cpu_ms"] for own, bare in pairs)


def verdict(name: str, value: float, floor: float, unit: str, *, at_least: bool = False) -> bool:
    """Print a figure beside its floor; whether it holds."""
    kept = value >= floor if at_least else value <= floor
    sign = ">=" if at_least else "<="
    print(f"  {name:<58} {value:8.2f}   floor {sign} {floor:g} {unit}: {'kept' if kept else 'MISSED'}")
    return kept


def show_side_by_side(found: dict[str, list[Figures]], sessions: int) -> bool:
    """The table and what it means; whether every floor holds."""
    print(f"\n{sessions} sessions, medians of {len(found[BARE])} rounds")
    print(f"  {'':<38}" + "".join(f"{kind:>12}" for kind in KINDS))
    rows = (
        ("CPU ms for a second of a session", "cpu_ms"),
        ("of one core", "busy"),
        ("memory of a session, KB", "memory_kb"),
        ("sound sent -> at the sink, p50 ms", "sound_p50_ms"),
        ("sound sent -> at the sink, p99 ms", "sound_p99_ms"),
        ("speech_started -> silence, p50 ms", "stop_p50_ms"),
        ("speech_started -> silence, p99 ms", "stop_p99_ms"),
        ("microphone -> server, p50 ms", "server_uplink_p50_ms"),
        ("microphone -> server, p99 ms", "server_uplink_p99_ms"),
        ("pieces of sound a second", "pieces_per_s"),
        ("kept waiting by other programs", "waited"),
        ("server: kept waiting by others", "server_waited"),
        ("server: of its core", "server_cpu"),
        ("server: late by, p99 ms", "server_late_p99_ms"),
    )
    for label, name in rows:
        print(f"  {label:<38}" + "".join(f"{typical(found[kind], name):12.3f}" for kind in KINDS))
    kept = True
    for kind in KINDS[1:]:
        kept &= verdict(f"{kind}: CPU, times the bare client's", ratio(found, kind), CPU_RATIO_MAX, "x")
        for what, name in (("latency", "sound"), ("time to silence", "stop")):
            for percent, most in ((50, ADDED_P50_MAX_MS), (99, ADDED_P99_MAX_MS)):
                figure = f"{name}_p{percent}_ms"
                added = typical(found[kind], figure) - typical(found[BARE], figure)
                kept &= verdict(f"{kind}: added {what}, p{percent} ms", added, most, "ms")
        memory = typical(found[kind], "memory_kb")
        kept &= verdict(f"{kind}: memory of a session, KB", memory, MEMORY_MAX_KB, "KB")
    errors = sum(row["error_count"] for rows_ in found.values() for row in rows_)
    return verdict("errors", errors, 0, "") and kept


# -- how many ------------------------------------------------------------------------------------------------------


def keeps_up(row: Figures) -> bool:
    """Whether a client was in time, both ways."""
    return row["server_uplink_p99_ms"] < LATE_MAX_MS and row["sound_p99_ms"] < LATE_MAX_MS


def most_sessions(load: Load, kind: str, guess: int, seconds: float, trials: int) -> int:
    """The greatest number of sessions that one core keeps up with, as far as so many trials can tell."""
    good, bad, sessions = 0, 0, guess
    for _ in range(trials):
        row = load.measure(kind, sessions, seconds)
        kept = keeps_up(row)
        disturbed = not kept and any(row[each] > BUSY_MAX for each in DISTURBED)
        print(
            f"  {kind:<12} {sessions:4d}: up p99 {row['server_uplink_p99_ms']:8.1f} ms, down p99 "
            f"{row['sound_p99_ms']:8.1f} ms, core {row['busy']:.0%} (others {row['waited']:.0%}), server "
            f"{row['server_cpu']:.0%} (others {row['server_waited']:.0%}): "
            + ("keeps up" if kept else "too many for what other programs left" if disturbed else "too many"),
            flush=True,
        )
        good, bad = (sessions, bad) if kept else (good, sessions)
        sessions = (
            round((good + bad) / 2) if bad and good else round(good * 1.3) if good else round(bad * 0.75)
        )
    return good


# -- how much at once ----------------------------------------------------------------------------------------------


def chunks(costs: dict[int, float]) -> None:
    """What it costs to send more of the microphone at once."""
    print("\nmicrophone: CPU of an append by its length, and for a second of sound")
    shortest = min(costs)
    for chunk, cost in costs.items():
        wait = f"the first sample waits {chunk - shortest} ms longer" if chunk > shortest else ""
        print(f"  {chunk:4d} ms {cost:7.1f} µs {cost / chunk:7.2f} ms   {wait}")
    print("  so every frame is sent as it comes, and only those that come together go together")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=4.0, help="that each client is measured for")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delta-ms", type=int, default=20, help="length of the server's pieces of sound")
    parser.add_argument("--search-seconds", type=float, default=3.0, help="of each trial of how many")
    parser.add_argument("--trials", type=int, default=5, help="of how many, for each kind; 0: don't")
    parser.add_argument("--quick", action="store_true", help="only show that it works")
    options = parser.parse_args()
    if options.quick:
        options.sessions, options.seconds, options.rounds, options.trials = 3, 0.5, 1, 0
    with Load(options.delta_ms) as load:
        found = side_by_side(load, options.sessions, options.seconds, options.rounds)
        kept = show_side_by_side(found, options.sessions)
        if options.trials:
            print("\nsessions that one core keeps up with")
            most = {}
            for kind in (BARE, "agent"):
                guess = round(800 / typical(found[kind], "cpu_ms"))
                most[kind] = most_sessions(load, kind, guess, options.search_seconds, options.trials)
            print(f"  {BARE}: {most[BARE]}")
            kept &= verdict("agent", most["agent"], SESSIONS_MIN, "sessions", at_least=True)
        chunks(load.appends())
    print("\nevery floor holds" if kept else "\nfloors were MISSED, see above")
    busy = max(row[each] for rows in found.values() for row in rows for each in DISTURBED)
    if busy > BUSY_MAX:
        print(
            f"but other programs kept these waiting for up to {busy:.0%} of the time: measure when it is quiet"
        )


if __name__ == "__main__":
    main()
