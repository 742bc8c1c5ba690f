"""Every event of a session, in order; of audio only its place."""

from __future__ import annotations

from repartee.audio import AudioFrame
from repartee.models import events as ev
from repartee.observe import AudioLogged, LogEntry, SessionLog


def test_it_keeps_events_with_their_times() -> None:
    log = SessionLog()
    for index in range(3):
        log.record(index / 10, ev.ItemDeleted(str(index)))
    assert len(log) == 3
    assert log[0] == LogEntry(0.0, ev.ItemDeleted("0"))
    assert [entry.event for entry in log[1:]] == [ev.ItemDeleted("1"), ev.ItemDeleted("2")]
    assert [at_s for at_s, _ in log] == [0.0, 0.1, 0.2]
    assert log[-1] in log


def test_of_audio_it_keeps_the_place_and_not_the_sound() -> None:
    log = SessionLog()
    frame = AudioFrame(bytes(960), 24_000, position_samples=4_800)
    log.record(1.0, ev.AudioDelta("r1", "a1", frame))
    assert log[0].event == AudioLogged("r1", "a1", 24_000, 4_800, 480)


def test_it_forgets_the_oldest_and_counts_them() -> None:
    log = SessionLog(max_entries=3)
    for index in range(5):
        log.record(float(index), ev.ItemDeleted(str(index)))
    assert [entry.at_s for entry in log] == [2.0, 3.0, 4.0]
    assert log.dropped == 2


def test_it_may_grow_while_it_is_read() -> None:
    log = SessionLog()
    log.record(0.0, ev.ItemDeleted("0"))
    for _ in log:
        log.record(1.0, ev.ItemDeleted("1"))
    assert len(log) == 2
