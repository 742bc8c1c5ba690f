"""Audio that came faster than it was spoken."""

from __future__ import annotations

import pytest

from repartee.turns.backlog import Backlog


def test_a_microphone_leaves_none() -> None:
    backlog = Backlog()
    for frame in range(1, 500):
        backlog.add(0.02, frame * 0.02)
        assert backlog.length_s(frame * 0.02) == pytest.approx(0.02)
    assert backlog.length_s(11.0) == 0.0


def test_a_file_leaves_its_length_and_is_worked_off_in_real_time() -> None:
    backlog = Backlog()
    backlog.add(10.0, 5.0)
    backlog.add(2.0, 5.0)
    assert backlog.length_s(5.0) == 12.0
    assert backlog.length_s(9.0) == 8.0
    assert backlog.allowance_s(9.0) == 14.0
    assert backlog.allowance_s(16.5) == 0.0  # no more than what goes before a turn
    backlog.add(1.0, 9.0)
    assert backlog.length_s(18.0) == 0.0
    assert backlog.length_s(8.0) == 9.0  # time that goes back takes nothing off
