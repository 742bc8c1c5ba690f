"""The ladder, to the millisecond: duck, pause, cancel or go on; over a reply that is heard or still awaited."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.turns import (
    FixedEndpointing,
    FloorState,
    InterruptionOptions,
    InterruptionProfile,
    TurnOptions,
    TurnState,
    facts,
)
from repartee.turns import actions as do
from tests.turns.driver import Talk

LADDER = (do.Duck, do.Pause, do.Resume, do.Cancel, do.ClearInput, do.CommitInput, do.Start, do.Reject)


def speaking(*, interruptible: bool = True, **options: Any) -> Talk:
    """A reply that is heard since 1.0 s."""
    talk = thinking(interruptible=interruptible, **options)
    talk.at(1.0, facts.PlaybackStarted("r1"))
    return talk


def thinking(*, interruptible: bool = True, **options: Any) -> Talk:
    """A reply that was asked for at 0.5 s and is not heard yet."""
    talk = Talk(TurnOptions(**{"away_after_s": None, "transcript_deadline_s": 1.5, **options}))
    talk.at(0.5, facts.Request("a", interruptible=interruptible), facts.ResponseStarted("r1", "a"))
    return talk


def over(talk: Talk, start_s: float, end_s: float | None = None) -> None:
    """Speech, as a detector finds it. Its onset is known 32 ms after it began, that it is speech after 96 ms."""
    talk.at(start_s + 0.032, facts.Onset(start_s))
    talk.at(start_s + 0.096, facts.SpeechBegan(start_s))
    if end_s is not None:
        talk.at(end_s + 0.064, facts.SpeechEnded(end_s))


def steps(talk: Talk, since_s: float = 2.0) -> list[tuple[float, do.Action]]:
    """The steps of the ladder and what came of them."""
    return [(at_s, action) for at_s, action in talk.timed(since_s) if isinstance(action, LADDER)]


# -- over a reply that is heard --------------------------------------------------------------------------------


def test_a_noise_that_does_not_last_only_lowers_the_voice() -> None:
    talk = speaking()
    talk.at(2.032, facts.Onset(2.0))
    talk.at(2.064, facts.OnsetDropped())
    talk.run(5.0)
    assert steps(talk) == [(2.032, do.Duck(-14.0, "onset")), (2.064, do.Duck(0.0, "onset dropped"))]
    assert talk.engine.state == (TurnState.IDLE, FloorState.SPEAKING)


def test_an_onset_of_which_nothing_more_is_heard_is_a_noise() -> None:
    talk = speaking()
    talk.at(2.032, facts.Onset(2.0))
    talk.run(5.0)
    assert steps(talk) == [(2.032, do.Duck(-14.0, "onset")), (3.0, do.Duck(0.0, "onset dropped"))]


def test_words_cancel_at_once() -> None:
    talk = speaking(prepares=True)
    talk.at(1.5, facts.Request("b"))
    over(talk, 2.0)
    talk.at(2.3, facts.Heard("no"))
    talk.at(2.32, facts.PlaybackEnded("r1"))
    talk.at(2.564, facts.SpeechEnded(2.5))
    talk.at(2.6, facts.Heard("no wait", settled=True))
    talk.run(5.0)
    assert steps(talk) == [
        (2.032, do.Duck(-14.0, "onset")),
        (2.2, do.Pause("speech")),
        (2.3, do.Cancel("words", "r1", "a")),
        (2.3, do.Reject("b", "turn_detected")),
        (2.32, do.Duck(0.0, "finished")),
        (2.32, do.Resume("finished")),
        (3.0, do.CommitInput(1, "silence", 3.0, 2.5)),
        (3.0, do.Start("turn:1", 1, 1)),
    ]
    states = [action.state for action in talk.all(do.SetAgentState) if isinstance(action, do.SetAgentState)]
    assert states == ["thinking", "speaking", "listening", "thinking"]


def test_a_backchannel_pauses_and_the_reply_goes_on() -> None:
    talk = speaking()
    over(talk, 2.0, 2.4)
    talk.at(2.5, facts.Heard("Uh-huh.", settled=True))
    talk.run(5.0)
    assert steps(talk) == [
        (2.032, do.Duck(-14.0, "onset")),
        (2.2, do.Pause("speech")),
        (2.65, do.Duck(0.0, "backchannel")),
        (2.65, do.Resume("backchannel")),
        (3.35, do.ClearInput(1, "backchannel")),
    ]
    assert talk.engine.state == (TurnState.IDLE, FloorState.SPEAKING)


def test_one_that_is_short_does_not_even_pause() -> None:
    talk = speaking()
    over(talk, 2.0, 2.12)
    talk.at(2.25, facts.Heard("mhm", settled=True))
    talk.run(5.0)
    assert steps(talk) == [
        (2.032, do.Duck(-14.0, "onset")),
        (2.37, do.Duck(0.0, "backchannel")),
        (3.07, do.ClearInput(1, "backchannel")),
    ]


def test_a_yes_said_into_the_end_of_a_question_is_the_answer() -> None:
    talk = speaking()
    over(talk, 2.0, 2.3)
    talk.at(2.4, facts.Heard("yes", settled=True))
    talk.at(2.9, facts.PlaybackEnded("r1"))
    talk.run(5.0)
    assert steps(talk) == [
        (2.032, do.Duck(-14.0, "onset")),
        (2.2, do.Pause("speech")),
        (2.55, do.Duck(0.0, "backchannel")),
        (2.55, do.Resume("backchannel")),
        (2.9, do.CommitInput(1, "silence", 2.9, 2.3)),
        (2.9, do.Start("turn:1", 1, None)),
    ]


def test_a_backchannel_that_more_words_follow_takes_the_floor_with_them() -> None:
    talk = speaking()
    over(talk, 2.0, 2.3)
    talk.at(2.4, facts.Heard("yes", settled=True))
    over(talk, 2.8)
    talk.at(3.1, facts.Heard("yes but no"))
    talk.run(3.2)
    assert steps(talk)[-1] == (3.1, do.Cancel("words", "r1", "a"))


def test_length_cancels_where_no_words_come_and_later_where_only_backchannels_do() -> None:
    talk = speaking()
    over(talk, 2.0)
    talk.run(5.0)
    assert steps(talk)[2:] == [(2.7, do.Cancel("duration", "r1", "a")), *steps(talk)[3:]]
    talk = speaking()
    over(talk, 2.0)
    talk.at(2.3, facts.Heard("yeah"))
    talk.run(5.0)
    assert talk.times(do.Cancel) == [3.5]


def test_a_long_noise_cancels_and_is_answered_by_nothing() -> None:
    talk = speaking()
    over(talk, 2.0, 3.0)
    talk.at(3.1, facts.Heard("", settled=True))
    talk.run(5.0)
    assert talk.times(do.Cancel) == [2.7]
    assert talk.all(do.ClearInput) == [do.ClearInput(1, "no words")]
    assert talk.engine.state == (TurnState.IDLE, FloorState.IDLE)


def test_words_that_are_owed_decide_when_they_come() -> None:
    talk = speaking()
    over(talk, 2.0, 2.3)
    talk.at(2.9, facts.Heard("stop", settled=True))
    assert talk.times(do.Cancel) == [2.9]
    assert not talk.all(do.ClearInput)
    talk = speaking()
    over(talk, 2.0, 2.3)
    talk.at(2.9, facts.Heard("", settled=True))
    assert steps(talk)[-3:] == [
        (2.9, do.Duck(0.0, "no words")),
        (2.9, do.Resume("no words")),
        (2.9, do.ClearInput(1, "no words")),
    ]


def test_words_that_never_come_let_the_reply_go_on_and_that_is_told() -> None:
    talk = speaking()
    over(talk, 2.0, 2.3)
    talk.run(10.0)
    assert talk.timed(3.0) == [
        (3.864, do.TimedOut("stt", 1.5)),
        (3.864, do.Duck(0.0, "no words")),
        (3.864, do.Resume("no words")),
        (3.864, do.ClearInput(1, "no words")),
        (3.864, do.SetAgentState("speaking")),
    ]


def test_it_does_not_go_on_while_the_caller_may_be_speaking_again() -> None:
    talk = speaking()
    over(talk, 2.0, 2.4)
    talk.at(2.5, facts.Heard("yeah", settled=True))
    over(talk, 2.6, 2.9)  # the onset is known at 2.632, the reply would go on at 2.65
    talk.at(3.0, facts.Heard("yeah but", settled=True))
    assert talk.times(do.Cancel) == [3.0]
    assert len(talk.all(do.Pause)) == 1
    assert talk.all(do.Resume) == []


def test_a_noise_after_short_words_does_not_make_them_undone() -> None:
    """120 ms of speech, then an onset that is dropped, then the words: they cancel as if there had been no noise."""
    talk = speaking()
    over(talk, 2.0, 2.12)
    talk.at(2.25, facts.Onset(2.22))
    talk.at(2.3, facts.OnsetDropped())
    talk.at(2.35, facts.Heard("stop", settled=True))
    assert talk.times(do.Pause) == []
    assert talk.times(do.Cancel) == [2.35]


def test_an_onset_in_a_turn_does_not_start_the_clock_anew() -> None:
    talk = speaking()
    over(talk, 2.0, 2.3)
    over(talk, 2.35)
    talk.run(5.0)
    assert talk.times(do.Pause) == [2.2]
    assert talk.times(do.Cancel) == [2.7]


def test_a_reply_that_ends_meanwhile_leaves_the_turn_to_be_answered() -> None:
    talk = speaking()
    over(talk, 2.0, 2.12)
    talk.at(2.25, facts.Heard("yes", settled=True))
    talk.at(2.3, facts.PlaybackEnded("r1"))
    talk.run(5.0)
    assert steps(talk)[-3:] == [
        (2.3, do.Duck(0.0, "finished")),
        (2.62, do.CommitInput(1, "silence", 2.62, 2.12)),
        (2.62, do.Start("turn:1", 1)),
    ]


def test_an_output_that_does_not_say_where_it_stopped_is_not_waited_for() -> None:
    talk = speaking()
    over(talk, 2.0)
    talk.at(2.3, facts.Heard("stop"))
    talk.at(2.464, facts.SpeechEnded(2.4))
    talk.at(2.5, facts.Heard("stop", settled=True))
    talk.run(5.0)
    assert talk.times(do.TimedOut) == [2.8]
    assert talk.all(do.TimedOut) == [do.TimedOut("playback", 0.5)]
    assert talk.times(do.Start) == [0.5, 2.9]


def test_speech_without_an_onset_before_it_is_an_onset() -> None:
    talk = speaking()
    talk.at(2.1, facts.SpeechBegan(2.0))
    talk.run(2.3)
    assert steps(talk) == [(2.1, do.Duck(-14.0, "onset")), (2.2, do.Pause("speech"))]


def test_speech_that_is_found_late_climbs_at_once() -> None:
    talk = speaking()
    talk.at(3.0, facts.SpeechBegan(2.0))
    assert steps(talk) == [(3.0, do.Duck(-14.0, "onset")), (3.0, do.Cancel("duration", "r1", "a"))]


def test_who_never_stops_does_not_hold_a_reply_for_ever() -> None:
    profile = InterruptionProfile(cancel_after_ms=None)
    talk = speaking(interruption=InterruptionOptions(speaking=profile), max_turn_s=20.0)
    over(talk, 2.0)
    talk.run(30.0)
    assert steps(talk)[1:] == [
        (2.2, do.Pause("speech")),
        (22.0, do.Duck(0.0, "no words")),
        (22.0, do.Resume("no words")),
        (22.0, do.ClearInput(1, "no words")),
    ]


def test_an_endpoint_that_comes_before_the_resume_decides() -> None:
    talk = speaking(endpointing=FixedEndpointing(100.0))
    over(talk, 2.0, 2.3)
    talk.at(2.37, facts.Heard("mhm", settled=True))
    talk.run(5.0)
    assert talk.times(do.Resume) == [2.4]


@pytest.mark.parametrize("duck_db, told", [(-30.0, [do.Duck(-30.0, "onset")]), (0.0, [])])
def test_the_volume_is_the_profiles(duck_db: float, told: list[do.Action]) -> None:
    profile = InterruptionProfile(duck_db=duck_db)
    talk = speaking(interruption=InterruptionOptions(speaking=profile))
    assert talk.at(2.032, facts.Onset(2.0)) == told
    talk.at(2.064, facts.OnsetDropped())
    talk.settle_down()


# -- over a reply that is not heard yet ------------------------------------------------------------------------


def test_thinking_is_paused_sooner_and_given_up_sooner() -> None:
    talk = thinking()
    over(talk, 2.0)
    talk.run(5.0)
    assert steps(talk)[:2] == [(2.1, do.Pause("speech")), (2.4, do.Cancel("duration", "r1", "a"))]


def test_a_cough_does_not_silence_a_reply_that_is_on_its_way() -> None:
    talk = thinking()
    over(talk, 2.0, 2.2)
    talk.at(2.3, facts.Heard("", settled=True))
    talk.at(2.5)
    assert steps(talk) == [
        (2.1, do.Pause("speech")),
        (2.45, do.Resume("no words")),
        (2.45, do.ClearInput(1, "no words")),
    ]
    assert talk.engine.state[1] is FloorState.THINKING
    assert talk.at(2.6, facts.PlaybackStarted("r1")) == [do.SetAgentState("speaking")]


def test_words_before_the_reply_has_a_name_drop_it() -> None:
    talk = Talk(TurnOptions(away_after_s=None))
    talk.at(0.5, facts.Request("a"))
    over(talk, 2.0)
    talk.at(2.3, facts.Heard("no wait"))
    assert steps(talk) == [
        (2.1, do.Pause("speech")),
        (2.3, do.Cancel("words", None, "a")),
        (2.3, do.Resume("finished")),
    ]
    assert talk.at(2.4, facts.ResponseStarted("r1", "a")) == []  # it is not ours any more
    assert talk.engine.holder_response_id is None


def test_a_reply_that_begins_under_an_onset_begins_low() -> None:
    talk = thinking()
    talk.at(2.032, facts.Onset(2.0))
    talk.at(2.05, facts.PlaybackStarted("r1"))
    talk.at(2.096, facts.SpeechBegan(2.0))
    talk.run(2.3)
    assert steps(talk) == [(2.05, do.Duck(-14.0, "onset")), (2.2, do.Pause("speech"))]


def test_a_reply_of_text_that_ends_while_paused_leaves_the_output_free() -> None:
    talk = thinking()
    over(talk, 2.0)
    talk.at(2.2, facts.ResponseEnded("r1", audio=False))
    assert steps(talk) == [(2.1, do.Pause("speech")), (2.2, do.Resume("finished"))]


def test_a_paused_reply_that_never_comes_is_given_up() -> None:
    profile = InterruptionProfile(duck_db=0.0, pause_after_ms=100.0, cancel_after_ms=None)
    talk = thinking(interruption=InterruptionOptions(thinking=profile), response_deadline_s=8.0)
    over(talk, 2.0)
    talk.run(20.0)
    assert talk.times(do.Cancel) == [8.5]


# -- replies that may not be interrupted -----------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
def test_what_may_not_be_interrupted_is_finished_and_then_answered(whole: bool) -> None:
    """By the request, or for all replies by the options."""
    options = {"interruption": InterruptionOptions(enabled=False)} if whole else {"interruptible": False}
    talk = speaking(**options)
    over(talk, 2.0, 3.0)
    talk.at(3.1, facts.Heard("stop it now", settled=True))
    talk.at(5.0)
    assert steps(talk) == [(3.5, do.CommitInput(1, "silence", 3.5, 3.0))]
    assert talk.at(6.0, facts.PlaybackEnded("r1"))[0] == do.Start("turn:1", 1)


# -- what a program does meanwhile -----------------------------------------------------------------------------


def test_clearing_the_turn_lets_a_paused_reply_go_on() -> None:
    talk = speaking()
    over(talk, 2.0)
    talk.at(2.3, facts.Clear())
    assert steps(talk)[2:] == [
        (2.3, do.Duck(0.0, "cleared")),
        (2.3, do.Resume("cleared")),
        (2.3, do.ClearInput(1, "client_cleared")),
    ]
    assert talk.engine.state == (TurnState.IDLE, FloorState.SPEAKING)


def test_committing_the_turn_lets_a_paused_reply_go_on() -> None:
    talk = speaking()
    over(talk, 2.0)
    talk.at(2.3, facts.Commit())
    assert steps(talk)[2:] == [
        (2.3, do.Duck(0.0, "committed")),
        (2.3, do.Resume("committed")),
        (2.3, do.CommitInput(1, "manual", 2.3, None)),
    ]


def test_an_interrupt_of_a_paused_reply() -> None:
    talk = speaking()
    over(talk, 2.0)
    talk.at(2.3, facts.Interrupt())
    talk.at(2.31, facts.PlaybackEnded("r1"))
    assert steps(talk)[2:] == [
        (2.3, do.Cancel("client_cancelled", "r1", "a")),
        (2.31, do.Duck(0.0, "finished")),
        (2.31, do.Resume("finished")),
    ]
    assert talk.engine.state == (TurnState.SPEAKING, FloorState.IDLE)
