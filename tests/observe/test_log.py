"""Every event of a session, in order; of audio only its place."""

from __future__ import annotations

import gc

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


def test_audio_of_several_items_is_told_apart_and_counts_as_any_event() -> None:
    log = SessionLog(max_entries=4)
    for at, item_id in enumerate(("a1", "a1", "a2", "a1", "a3")):
        frame = AudioFrame(bytes(960), 16_000, position_samples=-8 + 480 * at)
        log.record(at / 10, ev.AudioDelta(f"r-{item_id}", item_id, frame))
    log.record(0.5, ev.ItemDeleted("a1"))
    heard = [entry.event for entry in log]
    assert heard[:-1] == [
        AudioLogged(f"r-{item_id}", item_id, 16_000, -8 + 480 * at, 480)
        for at, item_id in ((2, "a2"), (3, "a1"), (4, "a3"))
    ]
    assert heard[-1] == ev.ItemDeleted("a1")
    assert log[1:3] == [log[1], log[2]]
    assert [at_s for at_s, _ in log] == [0.2, 0.3, 0.4, 0.5]
    assert log.dropped == 2


def test_words_come_back_as_they_were() -> None:
    log = SessionLog()
    words: list[ev.RealtimeEvent] = [
        ev.TranscriptDelta("r1", "a1", "so "),
        ev.TranscriptDelta("r1", "a1", "many", start_ms=120.0),
        ev.OutputHeard("r1", "a1", "so", 80.0),
        ev.OutputHeard("r1", "a1", "so many", 160.0),
        ev.OutputHeard("r1", "a1", "quite another", 160.0),
        ev.OutputHeard("r2", "a2", "so", 80.0),
        ev.OutputHeard("r1", "a1", "so many words", 180.0),
    ]
    for at, event in enumerate(words):
        log.record(at / 10, event)
    assert list(log) == [LogEntry(at / 10, event) for at, event in enumerate(words)]
    assert log[1].event == words[1]


def test_the_collector_has_nothing_to_look_at_in_the_past() -> None:
    log = SessionLog()
    frame = AudioFrame(bytes(960), 24_000)
    log.record(0.0, ev.AudioDelta("r1", "a1", frame))
    gc.collect()
    before = len(gc.get_objects())
    for at in range(2_000):
        log.record(float(at), ev.AudioDelta("r1", "a1", frame))
        log.record(float(at), ev.TranscriptDelta("r1", "a1", f"word {at}"))
        log.record(float(at), ev.OutputHeard("r1", "a1", "w" * at, 20.0 * at))
    gc.collect()
    assert len(gc.get_objects()) < before + 200


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
