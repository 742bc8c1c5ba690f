"""The examples that need a server converse with the scripted one: over a real socket, each in a process of its own.

`tests/test_docs.py` runs them without a key.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from repartee.testing import ScriptedRealtimeServer, ServerManner

ROOT = Path(__file__).resolve().parents[2]
QUESTION = str(files("repartee.cli") / "data" / "sum.flac")
"""A spoken question: what is twenty three plus nineteen?"""
HEARS = ServerManner(transcripts=("what is twenty three plus nineteen",))


def run(server: ScriptedRealtimeServer, folder: Path, name: str, *arguments: str) -> str:
    """Run an example to its end against the server, and return what it printed."""
    with server.in_thread():
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples" / name), *arguments],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT / "src"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONUTF8": "1",
                "OPENAI_BASE_URL": server.base_url,
                "OPENAI_API_KEY": "sk-scripted",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert done.stderr == ""
    [connection, *_] = server.connections
    assert connection.count("error") == 0
    assert not connection.script_errors
    return done.stdout


def session_of(server: ScriptedRealtimeServer) -> Any:
    """The configuration at the end of the first connection."""
    return server.connections[0].protocol.session


def test_the_chapters_first_session(tmp_path: Path) -> None:
    server = ScriptedRealtimeServer(["It is forty two."], manner=HEARS)
    printed = run(server, tmp_path, "realtime.py", QUESTION)
    assert "assistant  It is forty two." in printed
    assert session_of(server).audio.output.voice == "alloy"
    assert session_of(server).audio.input.turn_detection is not None
    assert server.connection.count("response.create") == 0


@pytest.mark.local
def test_the_chapters_second_session(tmp_path: Path) -> None:
    server = ScriptedRealtimeServer(["It is forty two."], manner=HEARS)
    printed = run(server, tmp_path, "realtime_turn_detection.py", QUESTION)
    assert "assistant  It is forty two." in printed
    assert session_of(server).audio.input.turn_detection is None
    # Exactly one commit and one response for the turn.
    counts = [server.connection.count(name) for name in ("input_audio_buffer.commit", "response.create")]
    assert counts == [1, 1]


@pytest.mark.local
def test_half_a_cascade(tmp_path: Path) -> None:
    server = ScriptedRealtimeServer(["It is forty two."], manner=HEARS)
    assert "assistant  It is forty two." in run(server, tmp_path, "half_cascade.py", QUESTION)
    assert session_of(server).output_modalities == ["text"]
    assert server.connection.count("response.output_audio.delta") == 0


@pytest.mark.local
def test_the_diagrams_cascade(tmp_path: Path) -> None:
    server = ScriptedRealtimeServer(lambda question: "It is forty two.")
    assert "assistant  It is forty two." in run(server, tmp_path, "realtime_cascade.py", QUESTION)
    assert server.connection.count("input_audio_buffer.append") == 0
    assert "twenty" in server.connection.questions[0].text


def test_push_to_talk(tmp_path: Path) -> None:
    server = ScriptedRealtimeServer(["It is forty two."], manner=HEARS)
    assert "assistant  It is forty two." in run(server, tmp_path, "push_to_talk.py", QUESTION)
    counts = [server.connection.count(name) for name in ("input_audio_buffer.commit", "response.create")]
    assert counts == [1, 1]


def test_text_only(tmp_path: Path) -> None:
    server = ScriptedRealtimeServer(["Everest.", "8849 metres.", "Everest, very high."])
    printed = run(server, tmp_path, "realtime_text.py")
    assert [line.split("  ", 1)[1].strip() for line in printed.splitlines()] == [
        "what is the tallest mountain",
        "Everest.",
        "and how high is it",
        "8849 metres.",
        "Everest, very high.",
    ]


def test_an_interpreter_that_prints_partial_results(tmp_path: Path) -> None:
    server = ScriptedRealtimeServer(["이십삼 더하기 십구는 얼마입니까?"], manner=HEARS)
    lines = run(server, tmp_path, "interpreter.py", QUESTION).splitlines()
    assert "hearing      what is …" in lines
    assert "heard        what is twenty three plus nineteen" in lines
    partial = [line for line in lines if line.startswith("translating")]
    assert partial[0] == "translating  이십삼 …"
    assert len(partial) == 4
    assert lines[-1] == "translated   이십삼 더하기 십구는 얼마입니까?"
