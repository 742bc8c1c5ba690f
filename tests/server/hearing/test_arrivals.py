"""When audio came."""

from __future__ import annotations

import pytest

from repartee.server.hearing.arrivals import NOTES_MAX, Arrivals


def test_audio_that_comes_as_it_is_spoken_is_timed_within_its_pieces() -> None:
    arrivals = Arrivals()
    for piece in range(1, 101):
        arrivals.note(piece * 0.02, 5.0 + piece * 0.02)
    assert arrivals.time_of(1.2345, 7.0) == pytest.approx(6.2345)
    assert arrivals.time_of(1.999, 7.0) == pytest.approx(6.999)


def test_a_pause_of_the_client_lies_between_its_audio() -> None:
    arrivals = Arrivals()
    arrivals.note(1.0, 3.0)
    arrivals.note(1.1, 9.0)
    assert arrivals.time_of(0.9, 9.0) == pytest.approx(2.9)
    assert arrivals.time_of(1.05, 9.0) == pytest.approx(8.95)


def test_audio_faster_than_speech_came_when_it_came() -> None:
    arrivals = Arrivals()
    arrivals.note(0.5, 10.0)
    arrivals.note(8.0, 10.1)
    assert arrivals.time_of(3.0, 12.0) == 10.0
    assert arrivals.time_of(7.95, 12.0) == pytest.approx(10.05)


def test_what_has_not_come_is_now_and_nothing_is_older_than_the_session() -> None:
    arrivals = Arrivals()
    assert arrivals.time_of(1.0, 4.0) == 4.0
    arrivals.note(10.0, 2.0)
    assert arrivals.time_of(11.0, 4.0) == 4.0
    assert arrivals.time_of(1.0, 4.0) == 0.0


def test_it_stays_small() -> None:
    arrivals = Arrivals()
    for piece in range(2 * NOTES_MAX):
        arrivals.note(piece * 0.1, piece * 0.1)
    end_s = (2 * NOTES_MAX - 1) * 0.1
    assert arrivals.time_of(end_s - 60.0, end_s) == pytest.approx(end_s - 60.0)
    assert len(arrivals._notes) == NOTES_MAX
