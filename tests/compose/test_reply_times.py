"""When the turn that a reply answers was over."""

from __future__ import annotations

from repartee.compose.reply_times import ReplyTimes
from repartee.turns.actions import CommitInput


def stages(times: ReplyTimes, response_id: str, request_id: str | None) -> dict[str, float]:
    return {event.stage: event.at_s for event in times.begun(response_id, request_id)}


def committed(end_s: float | None = 1.0) -> ReplyTimes:
    times = ReplyTimes()
    times.turn_opened()
    times.words_settled(1.2)
    times.committed("turn:1", CommitInput(1, "silence", 1.5, end_s))
    return times


def test_a_reply_has_its_turns_times_once() -> None:
    times = committed()
    expected = {"speech_end": 1.0, "transcript": 1.2, "decision": 1.5}
    assert stages(times, "r1", "turn:1") == expected
    assert stages(times, "r2", "turn:1") == {}
    assert stages(times, "r3", None) == {}


def test_what_is_not_known_is_left_out() -> None:
    times = ReplyTimes()
    times.committed("turn:1", CommitInput(1, "manual", 1.5, None))
    assert stages(times, "r1", "turn:1") == {"decision": 1.5}


def test_words_of_the_turn_before_are_not_this_ones() -> None:
    times = committed()
    times.turn_opened()
    times.committed("turn:2", CommitInput(2, "silence", 9.0, 8.5))
    assert stages(times, "r2", "turn:2") == {"speech_end": 8.5, "decision": 9.0}


def test_the_reply_after_functions_answers_the_turn() -> None:
    times = committed()
    first = stages(times, "r1", "turn:1")
    times.ended("r1", functions_only=True)
    times.asked_after_functions("req")
    assert stages(times, "r2", "req") == first
    times.asked_after_functions("another")
    assert stages(times, "r3", "another") == {}


def test_a_reply_that_spoke_has_answered() -> None:
    times = committed()
    stages(times, "r1", "turn:1")
    times.ended("r1", functions_only=False)
    times.asked_after_functions("req")
    assert stages(times, "r2", "req") == {}
