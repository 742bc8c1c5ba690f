"""The bench of the Realtime client: that it measures what it says, and runs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from bench.realtime import keeps_up, ratio, verdict
from bench.realtime_load.pace import STAMP_BYTES, Carousel, percentile, stamp, stamped
from repartee.testing import virtual_time

ROOT = Path(__file__).parent.parent


def test_a_moment_goes_along_with_the_sound() -> None:
    assert stamped(stamp(1234.5678) + bytes(951)) == 1234.5678
    assert stamped(bytes(960)) is None
    assert stamped(stamp(1.0)[: STAMP_BYTES - 1]) is None


def test_percentiles() -> None:
    assert percentile([5.0, 1.0, 3.0], 50) == 3.0
    assert percentile(list(range(200)), 99) == 198
    assert percentile([1.0], 99) == 1.0


@virtual_time
async def test_everybody_has_their_turn_every_period_at_their_own_moment() -> None:
    loop = asyncio.get_running_loop()
    turns: list[tuple[str, float]] = []
    carousel: Carousel[str] = Carousel(lambda who, due_s: turns.append((who, due_s)), 0.02)
    begun_s = loop.time()
    riders = list("ab")
    for at, who in enumerate(riders):
        carousel.add(who, begun_s + at * 0.01)
    await carousel.run(begun_s + 0.045)
    assert [who for who, _ in turns] == ["a", "b", "a", "b", "a"]
    assert [due_s - begun_s for _, due_s in turns] == pytest.approx([0.0, 0.01, 0.02, 0.03, 0.04])
    carousel.remove(riders[0])
    await carousel.run(begun_s + 0.085)
    assert [who for who, _ in turns[5:]] == ["b", "b"]


def test_a_floor_that_is_missed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict("CPU", 1.2, 1.3, "x")
    assert not verdict("CPU", 1.4, 1.3, "x")
    assert not verdict("sessions", 200, 250, "", at_least=True)
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "kept",
        "MISSED",
        "MISSED",
    ]


def test_what_is_compared() -> None:
    found = {"websockets": [{"cpu_ms": 2.0}, {"cpu_ms": 8.0}], "agent": [{"cpu_ms": 1.0}, {"cpu_ms": 4.0}]}
    assert ratio(found, "agent") == 0.5  # within a round, so that a busy machine counts for both
    assert keeps_up({"server_uplink_p99_ms": 19.0, "sound_p99_ms": 19.0})
    assert not keeps_up({"server_uplink_p99_ms": 21.0, "sound_p99_ms": 1.0})


@pytest.mark.slow
def test_it_runs() -> None:
    pytest.importorskip("picows")
    done = subprocess.run(
        [sys.executable, "-m", "bench.realtime", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    rows = {line[:40].strip(): line[40:].split() for line in done.stdout.splitlines()}
    pieces = [float(figure) for figure in rows["pieces of sound a second"]]
    assert len(pieces) == 3
    assert all(30 < figure < 60 for figure in pieces), done.stdout
    assert "errors" in done.stdout
    assert "MISSED" not in done.stdout.partition("errors")[2].partition("\n")[0]
