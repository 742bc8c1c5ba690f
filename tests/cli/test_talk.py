"""`repartee talk`, as its user runs it: a real call with the local default, judged by the samples it recorded."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repartee.audio import AudioFrame, read_audio
from repartee.cli import talk
from repartee.errors import UsageError

AUDIBLE = 100
SPOKEN = 327  # -40 dBFS: where `FileInput` takes speech to end
WINDOW_S = 0.01


def _arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    talk.add_arguments(parser)
    return parser.parse_args(words)


def _run(*words: str, stdin: str = "") -> list[dict[str, Any]]:
    code = "import sys; from repartee.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "talk", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == kind]


class Call:
    """A recorded call: when each side can be heard, in session time."""

    def __init__(self, path: Path, events: list[dict[str, Any]]) -> None:
        stereo = read_audio(path, mono=False)
        self.rate = stereo.sample_rate
        both = stereo.as_array().reshape(-1, 2)
        self.caller = AudioFrame(both[:, 0].tobytes(), self.rate)
        self.agent = AudioFrame(both[:, 1].tobytes(), self.rate)
        self.began_s = float(_of(events, "Recording")[0]["session_began_s"])

    def sounds(self, side: AudioFrame, from_s: float, to_s: float, audible: int = AUDIBLE) -> list[float]:
        """The session times of the windows in which that side can be heard."""
        step = round(WINDOW_S * self.rate)
        samples = side.as_array()
        first = max(0, round((from_s + self.began_s) * self.rate))
        last = min(len(samples), round((to_s + self.began_s) * self.rate))
        return [
            at / self.rate - self.began_s
            for at in range(first, last, step)
            if abs(samples[at : at + step]).max(initial=0) > audible
        ]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Call]:
    path = tmp_path_factory.mktemp("talk") / "call.wav"
    events = _run("--demo", "--json", "--out", str(path))
    return events, Call(path, events)


def test_three_turns_are_understood_and_answered(demo: tuple[list[dict[str, Any]], Call]) -> None:
    events, _ = demo
    said = [event["transcript"] for event in _of(events, "TranscriptCompleted")]
    assert len(said) == 3, said
    assert "twenty three" in said[0]
    assert "time" in said[2]
    answers = [
        event["item"]["text"] for event in _of(events, "ItemDone") if event["item"].get("role") == "assistant"
    ]
    assert "42" in answers[0], answers


def test_the_agent_falls_silent_where_its_last_heard_word_ends(
    demo: tuple[list[dict[str, Any]], Call],
) -> None:
    events, call = demo
    cut = _of(events, "ItemTruncated")
    stopped = [event for event in _of(events, "OutputStopped") if event["interrupted"]]
    assert len(cut) == len(stopped) == 1, "one turn interrupts"
    full = next(
        event["item"]["text"] for event in _of(events, "ItemDone") if event["item"]["id"] == cut[0]["item_id"]
    )
    assert cut[0]["text"]
    assert full.startswith(cut[0]["text"])
    assert len(cut[0]["text"]) < len(full)
    started = next(e for e in _of(events, "OutputStarted") if e["response_id"] == stopped[0]["response_id"])
    heard = call.sounds(call.agent, started["now_s"] - 0.1, stopped[0]["now_s"] + 0.3)
    # Its audio is a line of its own: what was paused and ducked counts, too.
    assert heard[-1] - heard[0] == pytest.approx(cut[0]["audio_end_ms"] / 1000, abs=0.12)
    assert heard[-1] <= stopped[0]["now_s"] + 0.04


def test_it_starts_where_the_printed_latency_says(demo: tuple[list[dict[str, Any]], Call]) -> None:
    events, call = demo
    for latency in _of(events, "Latency"):
        stages = {
            event["stage"]: event["at_s"]
            for event in _of(events, "StageReached")
            if event["response_id"] == latency["response_id"]
        }
        heard = call.sounds(call.agent, stages["decision"] - 0.05, stages["playback"] + 1.0)
        spoken = call.sounds(call.caller, 0.0, stages["decision"], SPOKEN)
        assert latency["speech_end_s"] == pytest.approx(spoken[-1] + WINDOW_S, abs=0.06), "the true end"
        assert heard[0] - latency["speech_end_s"] == pytest.approx(latency["ms"]["total"] / 1000, abs=0.06)


def test_it_never_speaks_over_a_confirmed_caller(demo: tuple[list[dict[str, Any]], Call]) -> None:
    events, call = demo
    starts, stops = _of(events, "SpeechStarted"), _of(events, "SpeechStopped")
    for start, stop in zip(starts, stops, strict=False):
        # It was paused 200 ms after the onset at the latest, and nothing sounds until the caller has stopped.
        from_s = max(start["now_s"], start["audio_start_ms"] / 1000 + 0.2) + 0.1
        assert call.sounds(call.agent, from_s, stop["audio_end_ms"] / 1000) == []


def test_typed_lines_are_answered() -> None:
    events = _run("--text", "--json", stdin="what is nine times seven\n")
    answers = [
        event["item"]["text"] for event in _of(events, "ItemDone") if event["item"].get("role") == "assistant"
    ]
    assert "63" in answers[-1]


def test_a_recording_must_be_a_wav_file() -> None:
    with pytest.raises(UsageError, match=r"must end in \.wav"):
        talk._out(_arguments("--in", "a.wav", "--out", "call.mp3"))


def test_the_ways_to_talk_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _arguments("--text", "--demo")
    assert "not allowed with" in capsys.readouterr().err
