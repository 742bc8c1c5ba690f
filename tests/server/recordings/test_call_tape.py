"""Where the sound of a served session lies in its recording."""

from __future__ import annotations

from pathlib import Path

from repartee.audio import AudioFrame, read_audio
from repartee.server.recordings.call_tape import LAG_S, CallTape
from repartee.transports.recorder import CallRecorder

RATE = 24_000


def tone(seconds: float, value: int = 1000) -> AudioFrame:
    return AudioFrame(value.to_bytes(2, "little") * round(seconds * RATE), RATE)


class Taped:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "call.wav"
        self.tape = CallTape(CallRecorder(self.path, RATE, start_s=0.0, lag_s=LAG_S))

    def spans(self, end_s: float) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """Where each side is heard, in seconds, once the session has ended."""
        self.tape.close(end_s)
        both = read_audio(self.path, mono=False).as_array()
        return _spans(both[:, 0].tolist()), _spans(both[:, 1].tolist())


def _spans(samples: list[int]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    begin = None
    for at, value in enumerate([*samples, 0]):
        if value and begin is None:
            begin = at
        elif not value and begin is not None:
            found.append((round(begin / RATE, 3), round(at / RATE, 3)))
            begin = None
    return found


def test_a_microphone_is_placed_by_when_it_came_and_jitter_leaves_no_seam(tmp_path: Path) -> None:
    taped = Taped(tmp_path)
    for number, late_s in enumerate([0.0, 0.03, 0.0, 0.2, 0.01]):
        taped.tape.caller(tone(0.1), 1.1 + number * 0.1 + late_s)
    taped.tape.caller(tone(0.1), 3.0)  # it was muted
    assert taped.spans(4.0)[0] == [(1.0, 1.5), (2.9, 3.0)]


def test_a_file_sent_at_once_is_spoken_on_and_the_answer_lies_beside_it(tmp_path: Path) -> None:
    taped = Taped(tmp_path)
    for _ in range(30):
        taped.tape.caller(tone(0.1), 0.5)
    taped.tape.sent("a", tone(1.0), 1.0)
    taped.tape.caller(tone(0.1), 20.0)
    caller, agent = taped.spans(21.0)
    assert caller == [(0.4, 3.4), (19.9, 20.0)]
    assert agent == [(1.0, 2.0)]


def test_the_agent_is_heard_in_real_time_from_the_first_delta(tmp_path: Path) -> None:
    taped = Taped(tmp_path)
    for at in range(10):
        taped.tape.sent("a", tone(0.5), 1.0 + at / 100)  # 5 s within 0.1 s
    taped.tape.sent("b", tone(0.5, 2000), 1.2)
    taped.tape.sent("c", tone(0.5), 9.0)
    assert taped.spans(20.0)[1] == [(1.0, 6.5), (9.0, 9.5)]


def test_speech_stops_it_at_once(tmp_path: Path) -> None:
    taped = Taped(tmp_path)
    taped.tape.sent("a", tone(5.0), 1.0)
    taped.tape.stopped(2.5)
    taped.tape.sent("b", tone(0.5), 4.0)
    assert taped.spans(9.0)[1] == [(1.0, 2.5), (4.0, 4.5)]


def test_a_truncation_reaches_back_and_hits_its_item_only(tmp_path: Path) -> None:
    taped = Taped(tmp_path)
    taped.tape.sent("a", tone(2.0), 1.0)
    taped.tape.sent("b", tone(2.0), 1.1)
    taped.tape.stopped(4.0)
    taped.tape.truncated("b", 700, 4.2)  # the client's own clock ran behind
    taped.tape.sent("c", tone(0.5), 4.3)
    taped.tape.truncated("b", 600, 4.4)
    taped.tape.truncated("a", 2500, 4.5)
    assert taped.spans(9.0)[1] == [(1.0, 3.6), (4.3, 4.8)]


def test_a_truncation_while_it_still_plays(tmp_path: Path) -> None:
    taped = Taped(tmp_path)
    taped.tape.sent("a", tone(4.0), 1.0)
    taped.tape.truncated("a", 1500, 2.7)
    taped.tape.sent("b", tone(0.5), 2.8)
    assert taped.spans(9.0)[1] == [(1.0, 2.5), (2.8, 3.3)]


def test_what_nobody_was_there_to_hear_is_not_in_it(tmp_path: Path) -> None:
    taped = Taped(tmp_path)
    taped.tape.sent("a", tone(4.0), 1.0)
    assert taped.spans(2.0)[1] == [(1.0, 2.0)]


def test_what_the_server_played_is_where_it_was(tmp_path: Path) -> None:
    taped = Taped(tmp_path)
    for at in range(5):
        taped.tape.played(tone(0.02), 1.0 + at * 0.02)
    taped.tape.played(tone(0.02), 2.0)
    assert taped.spans(3.0)[1] == [(1.0, 1.1), (2.0, 2.02)]


def test_too_far_ahead_is_left_out(tmp_path: Path) -> None:
    taped = Taped(tmp_path)
    for _ in range(70):
        taped.tape.sent("a", tone(10.0), 1.0)
    assert taped.tape.left_out_s == 90.0
    taped.tape.stopped(1.5)
    assert taped.spans(2.0)[1] == [(1.0, 1.5)]
