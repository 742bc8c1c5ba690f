"""The benches of the server: that they measure what they say, and run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.serve import keeps_up, verdict
from bench.serve_churn import slope
from bench.serve_load.callers import conversation, frame
from bench.serve_load.server import due_at, due_of, echo

ROOT = Path(__file__).parent.parent


def test_the_moment_goes_along_in_the_event_id() -> None:
    data = frame(1234.567891, b"AAAA")
    assert json.loads(data)["type"] == "input_audio_buffer.append"
    assert due_of(data) == 1234.567891
    assert due_of(echo(data)) == 1234.567891  # what comes back says it, too
    assert due_of(b'{"type":"response.cancel"}') is None


def test_when_a_place_in_the_audio_was_due() -> None:
    assert due_at(100.0, 20.0) == 100.0  # the first frame holds 0 to 20 ms
    assert due_at(100.0, 20.5) == pytest.approx(100.02)
    assert due_at(100.0, 32.0) == pytest.approx(100.02)  # a window ends within the second frame
    assert due_at(100.0, 2000.0) == pytest.approx(101.98)


def test_the_microphone_hears_speech_and_is_never_silent() -> None:
    pytest.importorskip("soundfile")
    frames = conversation()
    assert len({len(each) for each in frames}) == 1
    assert len(set(frames)) == len(frames)
    assert 40 < len(frames) * 0.02 < 90


def row(**changes: Any) -> dict[str, Any]:
    figures = {"kind": "repartee", "frame_p99_ms": 9.0, "voice_p99_ms": 9.0, "window_p99_ms": 30.0}
    return {**figures, "error_count": 0, **changes}


def test_what_keeping_up_is() -> None:
    assert keeps_up(row())
    assert not keeps_up(row(frame_p99_ms=21.0))
    assert not keeps_up(row(voice_p99_ms=21.0))
    assert not keeps_up(row(voice_p99_ms=float("nan")))  # nobody spoke: nothing is shown
    assert not keeps_up(row(window_p99_ms=40.0))
    assert not keeps_up(row(error_count=1))
    assert keeps_up(row(kind="websockets", voice_p99_ms=float("nan"), window_p99_ms=float("nan")))


def test_a_floor_that_is_missed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict("frame", 19.0, 20.0, "ms")
    assert not verdict("frame", 20.0, 20.0, "ms")
    assert not verdict("sessions", 149, 150, "", at_least=True)
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "kept",
        "MISSED",
        "MISSED",
    ]


def test_the_slope_of_what_is_seen() -> None:
    assert slope([(0, 5.0), (1, 7.0), (2, 9.0)]) == pytest.approx(2.0)
    assert slope([(0, 5.0), (1, 5.0)]) == 0.0
    assert slope([(3, 5.0)]) == 0.0


def run(module: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, "--quick"], cwd=ROOT, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_load_runs() -> None:
    for package in ("picows", "uvloop", "uvicorn", "onnxruntime", "soundfile"):
        pytest.importorskip(package)
    told = run("bench.serve")
    rows = {line[:42].strip(): line[42:].split() for line in told.splitlines()}
    assert all(45 < float(figure) < 55 for figure in rows["frames a second of a session"]), told
    assert float(rows["pieces of voice a second of a session"][0]) > 0, told
    assert "MISSED" not in told.partition("  errors")[2].partition("\n")[0]


@pytest.mark.slow
def test_the_churn_runs() -> None:
    for package in ("picows", "uvloop", "uvicorn", "onnxruntime", "soundfile"):
        pytest.importorskip(package)
    told = run("bench.serve_churn")
    assert "callers: " in told
    rows = {line[:46].strip(): line for line in told.splitlines()}
    for name in ("tasks more than before", "sockets more than before", "errors of the callers"):
        assert rows[name].endswith("kept"), told
