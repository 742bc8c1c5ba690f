"""The agent's hold on the floor by itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest

from repartee.turns import (
    FLOOR_TABLE,
    FloorState,
    InterruptionOptions,
    InterruptionProfile,
    TurnOptions,
    facts,
)
from repartee.turns import actions as do
from repartee.turns.floor import Floor, Waiting


def floor_of(**options: object) -> tuple[Floor, deque[do.Action]]:
    out: deque[do.Action] = deque()
    return Floor(TurnOptions(**options), out), out  # type: ignore[arg-type]  # any field


def take(out: deque[do.Action]) -> list[do.Action]:
    taken = list(out)
    out.clear()
    return taken


def think(floor: Floor) -> None:
    """A response was asked for at 1.0 s."""
    floor.enqueue(Waiting("a"))
    floor.start_next(1.0)


def named(floor: Floor) -> None:
    think(floor)
    floor.response_started(facts.ResponseStarted("r1", "a"), 1.1)


def speak(floor: Floor) -> None:
    """It is heard since 1.3 s or so."""
    named(floor)
    floor.playback_started("r1")


def duck(floor: Floor) -> None:
    speak(floor)
    floor.onset(2.0)


def hold(floor: Floor, until_s: float, text: str = "", *, ended: bool = False, settled: bool = False) -> None:
    floor.judge(text, until_s, ended=ended, settled=settled, now=until_s)


def pause_thinking(floor: Floor, start: Callable[[Floor], None] = named) -> None:
    start(floor)
    floor.onset(2.0)
    hold(floor, 2.1)


def pause(floor: Floor) -> None:
    duck(floor)
    hold(floor, 2.2)


def clear(floor: Floor) -> None:
    speak(floor)
    floor.cancel("client_cancelled", 2.0)


Step = Callable[[Floor], None]


def both(*steps: Step) -> Step:
    def walk(floor: Floor) -> None:
        for step in steps:
            step(floor)

    return walk


WALKS: dict[tuple[FloorState, str], tuple[Step, Step]] = {
    (FloorState.IDLE, "start"): (lambda floor: None, think),
    (FloorState.THINKING, "heard"): (named, lambda floor: floor.playback_started("r1")),
    (FloorState.THINKING, "pause"): (
        named,
        both(lambda floor: floor.onset(2.0), lambda floor: hold(floor, 2.1)),
    ),
    (FloorState.THINKING, "finish"): (
        named,
        lambda floor: floor.response_ended(facts.ResponseEnded("r1", audio=False)),
    ),
    (FloorState.THINKING, "cancel"): (named, lambda floor: floor.cancel("words", 2.0)),
    (FloorState.THINKING, "drop"): (think, lambda floor: floor.cancel("words", 2.0)),
    (FloorState.SPEAKING, "duck"): (speak, lambda floor: floor.onset(2.0)),
    (FloorState.SPEAKING, "pause"): (
        both(speak, lambda floor: floor.onset(2.0)),
        lambda floor: hold(floor, 2.2),
    ),
    (FloorState.SPEAKING, "finish"): (speak, lambda floor: floor.playback_ended("r1")),
    (FloorState.SPEAKING, "cancel"): (speak, lambda floor: floor.cancel("words", 2.0)),
    (FloorState.DUCKED, "unduck"): (duck, Floor.onset_dropped),
    (FloorState.DUCKED, "pause"): (duck, lambda floor: hold(floor, 2.2)),
    (FloorState.DUCKED, "finish"): (duck, lambda floor: floor.playback_ended("r1")),
    (FloorState.DUCKED, "cancel"): (duck, lambda floor: hold(floor, 2.1, "stop")),
    (FloorState.PAUSED, "resume"): (pause, lambda floor: hold(floor, 2.3, ended=True)),
    (FloorState.PAUSED, "think on"): (pause_thinking, lambda floor: hold(floor, 2.3, ended=True)),
    (FloorState.PAUSED, "heard"): (pause_thinking, lambda floor: floor.playback_started("r1")),
    (FloorState.PAUSED, "finish"): (pause, lambda floor: floor.playback_ended("r1")),
    (FloorState.PAUSED, "cancel"): (pause, lambda floor: hold(floor, 2.3, "stop")),
    (FloorState.PAUSED, "drop"): (
        lambda floor: pause_thinking(floor, think),
        lambda floor: hold(floor, 2.3, "stop"),
    ),
    (FloorState.CLEARING, "finish"): (clear, lambda floor: floor.playback_ended("r1")),
}


def test_every_transition_has_its_walk() -> None:
    assert set(WALKS) == set(FLOOR_TABLE)


@pytest.mark.parametrize("transition", WALKS, ids=lambda each: f"{each[0].value}-{each[1]}")
def test_the_table_is_walked(transition: tuple[FloorState, str]) -> None:
    # A voice that is not lowered is paused from SPEAKING itself.
    plain = InterruptionOptions(speaking=InterruptionProfile(duck_db=0.0))
    is_plain = transition == (FloorState.SPEAKING, "pause")
    floor, _ = floor_of(interruption=plain if is_plain else InterruptionOptions())
    before, after = WALKS[transition]
    before(floor)
    assert floor.state is transition[0]
    after(floor)
    assert floor.state is FLOOR_TABLE[transition]


# -- the queue -------------------------------------------------------------------------------------------------


def test_one_too_many_is_rejected_and_a_follow_up_goes_first() -> None:
    floor, out = floor_of(queue_max=2)
    floor.enqueue(Waiting("a"))
    floor.enqueue(Waiting("b"), first=True)
    floor.enqueue(Waiting("c", 3, draft=7))
    assert take(out) == [
        do.Discard(7, "2 responses wait already"),
        do.Reject("c", "2 responses wait already"),
    ]
    floor.enqueue(Waiting("d"), first=True)
    assert take(out) == [do.Reject("d", "2 responses wait already")]
    floor.start_next(1.0)
    assert take(out) == [do.Start("b")]


def test_who_is_sent_away_takes_the_draft_along() -> None:
    floor, out = floor_of()
    for waiting in (Waiting("a"), Waiting("b", 1, draft=4), Waiting("c")):
        floor.enqueue(waiting)
    floor.withdraw("x", "client_cancelled")
    assert take(out) == []
    floor.withdraw("b", "client_cancelled")
    assert take(out) == [do.Discard(4, "client_cancelled"), do.Reject("b", "client_cancelled")]
    floor.drop_queue("turn_detected")
    assert take(out) == [do.Reject("a", "turn_detected"), do.Reject("c", "turn_detected")]


def test_the_floor_is_given_once() -> None:
    floor, out = floor_of()
    floor.start_next(1.0)
    assert take(out) == []
    floor.enqueue(Waiting("a", 3, draft=2))
    floor.enqueue(Waiting("b"))
    floor.start_next(1.0)
    floor.start_next(1.0)
    assert take(out) == [do.Start("a", 3, 2)]


# -- the response ----------------------------------------------------------------------------------------------


def test_facts_of_other_responses_change_nothing() -> None:
    floor, out = floor_of()
    named(floor)
    take(out)
    floor.response_started(facts.ResponseStarted("r2", "b"), 1.2)
    floor.response_started(facts.ResponseStarted("r2", "a"), 1.2)  # it has a name already
    floor.playback_started("r2")
    floor.playback_ended("r2")
    floor.response_ended(facts.ResponseEnded("r2", audio=False))
    assert floor.state is FloorState.THINKING
    assert floor.holder is not None
    assert floor.holder.response_id == "r1"
    assert take(out) == []


def test_a_response_with_audio_ends_when_it_has_been_heard() -> None:
    floor, _ = floor_of()
    speak(floor)
    floor.response_ended(facts.ResponseEnded("r1"))
    floor.playback_started("r1")
    assert floor.contested is False
    floor.playback_ended("r1")
    assert [floor.holder] == [None]


def test_a_model_that_begins_by_itself_has_the_floor() -> None:
    floor, out = floor_of()
    floor.response_started(facts.ResponseStarted("r1"), 1.0)
    floor.playback_started("r1")
    floor.response_started(facts.ResponseStarted("r2"), 2.0)
    assert floor.holder is not None
    assert (floor.holder.response_id, floor.state, floor.deadline()) == ("r2", FloorState.THINKING, 32.0)
    assert take(out) == []


def test_a_request_that_such_a_response_displaces_is_cancelled() -> None:
    floor, out = floor_of()
    think(floor)
    take(out)
    floor.response_started(facts.ResponseStarted("r2"), 2.0)
    assert take(out) == [do.Cancel("displaced", None, "a")]
    assert floor.state is FloorState.THINKING


def test_a_response_that_is_not_heard_is_given_up() -> None:
    floor, out = floor_of()
    named(floor)
    take(out)
    assert floor.deadline() == 31.0
    floor.timeout(30.999)
    assert take(out) == []
    floor.timeout(31.0)
    assert take(out) == [do.TimedOut("response", 30.0), do.Cancel("response_timeout", "r1", "a")]
    assert floor.deadline() == 31.5
    floor.timeout(31.5)
    assert take(out) == [do.TimedOut("playback", 0.5)]
    assert (floor.state, floor.deadline()) == (FloorState.IDLE, None)


def test_what_is_being_cleared_is_not_cancelled_twice() -> None:
    floor, out = floor_of()
    clear(floor)
    take(out)
    floor.cancel("client_cancelled", 2.1)
    floor.response_ended(facts.ResponseEnded("r1", "cancelled", audio=False))
    floor.playback_started("r1")
    assert take(out) == []
    assert (floor.state, floor.deadline()) == (FloorState.CLEARING, 2.5)


def test_nothing_is_cancelled_where_nobody_has_the_floor() -> None:
    floor, out = floor_of()
    floor.cancel("client_cancelled", 1.0)
    assert take(out) == []


# -- ducked and paused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end, told",
    [
        (lambda floor: hold(floor, 2.3, ended=True), [do.Duck(0.0, "no words"), do.Resume("no words")]),
        (lambda floor: floor.playback_ended("r1"), [do.Duck(0.0, "finished"), do.Resume("finished")]),
        (
            both(lambda floor: hold(floor, 2.3, "stop"), lambda floor: floor.playback_ended("r1")),
            [do.Cancel("words", "r1", "a"), do.Duck(0.0, "finished"), do.Resume("finished")],
        ),
        (lambda floor: floor.resume("cleared"), [do.Duck(0.0, "cleared"), do.Resume("cleared")]),
    ],
    ids=["resume", "finish", "cancel", "cleared"],
)
def test_what_was_ducked_and_paused_is_neither_afterwards(end: Step, told: list[do.Action]) -> None:
    floor, out = floor_of()
    pause(floor)
    assert take(out)[-2:] == [do.Duck(-14.0, "onset"), do.Pause("speech")]
    end(floor)
    assert take(out) == told


def test_a_reply_that_is_dropped_before_it_has_a_name_does_not_leave_the_output_paused() -> None:
    floor, out = floor_of()
    pause_thinking(floor, think)
    take(out)
    hold(floor, 2.3, "stop")
    assert take(out) == [do.Cancel("words", None, "a"), do.Resume("finished")]


def test_a_reply_that_becomes_audible_under_an_onset_is_lowered() -> None:
    floor, out = floor_of()
    named(floor)
    floor.onset(2.0)
    take(out)
    floor.playback_started("r1")
    assert take(out) == [do.Duck(-14.0, "onset")]
    assert floor.state is FloorState.DUCKED


def test_an_onset_within_one_contest_does_not_set_its_clock_back() -> None:
    floor, _ = floor_of()
    duck(floor)
    floor.onset(2.15)
    assert floor.next_rung_s("") == 2.2


def test_rungs_follow_the_state_and_the_words() -> None:
    floor, _ = floor_of()
    assert floor.next_rung_s("") is None
    duck(floor)
    assert floor.next_rung_s("") == 2.2
    hold(floor, 2.2)
    assert floor.next_rung_s("") == 2.7
    assert floor.next_rung_s("...") == 2.7
    assert floor.next_rung_s("yeah") == 3.5


def test_without_a_limit_nothing_but_words_or_silence_moves_it() -> None:
    profile = InterruptionProfile(cancel_after_ms=None)
    floor, _ = floor_of(interruption=InterruptionOptions(speaking=profile))
    pause(floor)
    assert floor.next_rung_s("") is None


def test_what_may_not_be_interrupted_is_not_contested() -> None:
    for floor, uninterruptible in (
        (floor_of()[0], Waiting("a", interruptible=False)),
        (floor_of(interruption=InterruptionOptions(enabled=False))[0], Waiting("a")),
    ):
        floor.enqueue(uninterruptible)
        floor.start_next(1.0)
        floor.onset(2.0)
        assert not floor.contested
        assert floor.judge("stop", 3.0, ended=False, settled=True, now=3.0) is None
