"""The engine, to the millisecond: a turn and its answer, modes, requests, tools, absence."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.turns import (
    DynamicEndpointing,
    FixedEndpointing,
    FloorState,
    SemanticEndpointing,
    SpeculationOptions,
    TurnEngine,
    TurnOptions,
    TurnState,
    facts,
)
from repartee.turns import actions as do
from tests.turns.driver import Talk


def talk_of(**options: Any) -> Talk:
    return Talk(TurnOptions(**{"away_after_s": None, "transcript_deadline_s": 1.5, **options}))


def speak(talk: Talk, start_s: float, end_s: float, text: str | None = None) -> None:
    """Speech as a detector finds it; its words, where given, are final 100 ms after it."""
    talk.at(start_s + 0.032, facts.Onset(start_s))
    talk.at(start_s + 0.096, facts.SpeechBegan(start_s))
    talk.at(end_s + 0.064, facts.SpeechEnded(end_s))
    if text is not None:
        talk.at(end_s + 0.1, facts.Heard(text, settled=True))


def begin_reply(talk: Talk, request_id: str, response_id: str = "r1") -> None:
    """It is heard 200 ms from now."""
    talk.at(talk.now + 0.1, facts.ResponseStarted(response_id, request_id))
    talk.at(talk.now + 0.1, facts.PlaybackStarted(response_id))


# -- a turn ----------------------------------------------------------------------------------------------------


def test_a_turn_and_its_answer() -> None:
    talk = talk_of()
    speak(talk, 1.0, 2.0, "Hello.")
    talk.run(3.0)
    assert talk.timed() == [
        (1.096, do.OpenTurn(1)),
        (1.096, do.SpeechStarts(1, 1.0)),
        (1.096, do.SetUserState("speaking")),
        (2.064, do.SpeechStops(1, 2.0)),
        (2.064, do.Settle(1)),
        (2.064, do.SetUserState("listening")),
        (2.5, do.CommitInput(1, "silence", 2.5, 2.0)),
        (2.5, do.Start("turn:1", 1)),
        (2.5, do.SetAgentState("thinking")),
    ]
    assert talk.engine.state == (TurnState.IDLE, FloorState.THINKING)
    talk.at(3.0, facts.ResponseStarted("r1", "turn:1"))
    assert talk.engine.holder_response_id == "r1"
    assert talk.at(3.2, facts.PlaybackStarted("r1")) == [do.SetAgentState("speaking")]
    assert talk.at(3.5, facts.ResponseEnded("r1")) == []
    assert talk.at(4.5, facts.PlaybackEnded("r1")) == [do.SetAgentState("listening")]
    assert talk.engine.state == (TurnState.IDLE, FloorState.IDLE)
    assert talk.engine.deadline() is None


def test_a_pause_is_part_of_the_turn() -> None:
    talk = talk_of()
    speak(talk, 1.0, 2.0, "I'd like")
    speak(talk, 2.4, 3.0, "I'd like a table")  # its onset is known at 2.432, before 2.5
    talk.run(10.0)
    assert talk.times(do.CommitInput) == [3.5]
    assert talk.times(do.OpenTurn) == [1.096]


def test_an_onset_in_the_last_moment_holds_the_turn_until_it_is_dropped() -> None:
    talk = talk_of()
    speak(talk, 1.0, 2.0, "Hello")
    talk.at(2.49, facts.Onset(2.46))
    assert talk.at(2.6) == []
    assert talk.at(2.62, facts.OnsetDropped()) == []
    talk.run(2.63)
    assert talk.times(do.CommitInput) == [2.62]


def test_an_onset_that_is_never_confirmed_nor_dropped_ends_by_itself() -> None:
    talk = talk_of()
    speak(talk, 1.0, 2.0, "Hello")
    talk.at(2.4, facts.Onset(2.4))
    talk.run(10.0)
    assert talk.times(do.CommitInput) == [3.4]


def test_words_that_are_late_are_waited_for() -> None:
    talk = talk_of()
    speak(talk, 1.0, 2.0)
    talk.at(3.0, facts.Heard("Hello", settled=True))
    talk.run(3.0)
    assert talk.times(do.CommitInput) == [3.0]


def test_words_that_never_settle_are_taken_as_they_are_and_that_is_told() -> None:
    talk = talk_of()
    talk.at(1.5, facts.Heard("too early"))  # nobody speaks yet
    speak(talk, 2.0, 3.0)
    talk.at(3.2, facts.Heard("Hello"))
    talk.run(10.0)
    assert talk.timed()[-4:] == [
        (4.564, do.TimedOut("stt", 1.5)),  # 1.5 s after the words were asked for
        (4.564, do.CommitInput(1, "silence", 4.564, 3.0)),
        (4.564, do.Start("turn:1", 1)),
        (4.564, do.SetAgentState("thinking")),
    ]


def test_a_turn_without_words_is_none() -> None:
    for words in (None, "", "..."):
        talk = talk_of()
        speak(talk, 1.0, 2.0, words)
        talk.run(10.0)
        assert talk.all(do.ClearInput) == [do.ClearInput(1, "no words")]
        assert not talk.all(do.CommitInput)
        talk.settle_down()


@pytest.mark.parametrize("length_s, answered", [(0.15, False), (0.2, True)])
def test_where_there_are_no_words_length_decides(length_s: float, answered: bool) -> None:
    talk = talk_of(transcribes=False)
    speak(talk, 1.0, 1.0 + length_s)
    talk.run(10.0)
    assert bool(talk.all(do.CommitInput)) is answered
    assert bool(talk.all(do.ClearInput)) is not answered
    assert not talk.all(do.Settle)
    if not answered:
        assert talk.all(do.ClearInput) == [do.ClearInput(1, "too short")]


@pytest.mark.parametrize("transcribes", [True, False])
def test_who_never_stops_is_answered_at_the_ceiling(transcribes: bool) -> None:
    talk = talk_of(max_turn_s=20.0, transcribes=transcribes)
    talk.at(1.096, facts.SpeechBegan(1.0))
    talk.at(5.0, facts.Heard("and then and then"))
    talk.run(21.0)
    assert talk.all(do.CommitInput) == [do.CommitInput(1, "ceiling", 21.0, None)]
    assert talk.timed()[-1][1] == do.SetAgentState("thinking")
    assert do.SetUserState("listening") in talk.all(do.SetUserState)


def test_a_noise_that_never_stops_is_dropped_at_the_ceiling() -> None:
    talk = talk_of(max_turn_s=20.0)
    talk.at(1.096, facts.SpeechBegan(1.0))
    talk.run(30.0)
    assert talk.all(do.ClearInput) == [do.ClearInput(1, "no words")]
    talk.settle_down()


def test_the_agent_does_not_start_while_the_caller_speaks_or_may() -> None:
    talk = talk_of()
    talk.at(1.0, facts.Onset(0.97))
    assert talk.at(1.01, facts.Request("say")) == []
    assert talk.at(1.05, facts.OnsetDropped())[0] == do.Start("say")
    talk = talk_of()
    speak(talk, 1.0, 2.0)
    talk.tell(facts.Request("say"))
    talk.at(2.1, facts.Heard("", settled=True))
    talk.run(2.5)
    assert talk.times(do.Start) == [2.5]


def test_times_that_run_back_count_as_the_latest_one() -> None:
    engine = TurnEngine(TurnOptions(transcript_deadline_s=1.5))
    engine.receive(facts.SpeechBegan(1.0), 2.0)
    engine.receive(facts.SpeechEnded(1.5), 1.9)
    engine.timeout(0.0)
    assert engine.deadline() == pytest.approx(3.5)  # the words were asked for at 2.0


def test_places_in_the_future_count_as_now() -> None:
    talk = talk_of()
    talk.at(1.0, facts.Onset(1e9))
    assert talk.engine.deadline() == 2.0
    talk.at(1.1, facts.SpeechBegan(1e9), facts.SpeechEnded(1e9), facts.Heard("hello", settled=True))
    talk.run(2.0)
    assert talk.times(do.CommitInput) == [1.6]


def test_facts_told_before_the_actions_are_taken_are_not_lost() -> None:
    engine = TurnEngine()
    engine.receive(facts.Request("a"), 1.0)
    engine.receive(facts.ResponseStarted("r1", "a"), 1.0)
    engine.receive(facts.PlaybackStarted("r1"), 1.0)
    told = []
    while (action := engine.next_action()) is not None:
        told.append(action)
    assert told == [do.Start("a"), do.SetAgentState("thinking"), do.SetAgentState("speaking")]


# -- the end-of-turn model -------------------------------------------------------------------------------------


SEMANTIC = {"predicts": True, "endpointing": SemanticEndpointing()}


@pytest.mark.parametrize(
    "probability, committed_s, reason",
    [
        (1.0, 2.25, "end of turn"),
        (0.8, 2.5885, "end of turn"),
        (0.0, 3.5542, "end of turn"),
        (None, 2.5, "silence"),
    ],
)
def test_the_probability_moves_the_end(probability: float | None, committed_s: float, reason: str) -> None:
    talk = talk_of(**SEMANTIC)
    speak(talk, 1.0, 2.0, "Hello")
    assert talk.all(do.AskPrediction) == [do.AskPrediction(1, "Hello")]
    talk.at(2.13, facts.Prediction(1, probability))
    talk.run(10.0)
    assert talk.times(do.CommitInput) == [pytest.approx(committed_s, abs=1e-4)]
    [commit] = talk.all(do.CommitInput)
    assert isinstance(commit, do.CommitInput)
    assert commit.reason == reason


def test_an_answer_that_is_late_moves_a_turn_that_is_still_open() -> None:
    talk = talk_of(**SEMANTIC)
    speak(talk, 1.0, 2.0, "Hello")
    talk.at(2.45, facts.Prediction(1, 0.0))
    talk.run(10.0)
    assert talk.times(do.CommitInput) == [pytest.approx(3.5542, abs=1e-4)]


def test_an_answer_that_never_comes_is_done_without() -> None:
    talk = talk_of(predicts=True, endpointing=FixedEndpointing(200.0))
    speak(talk, 1.0, 2.0, "Hello")  # asked at 2.1, with 0.3 s to answer
    talk.run(10.0)
    assert talk.times(do.CommitInput) == [2.4]
    assert do.CommitInput(1, "silence", 2.1 + 0.3, 2.0) in talk.all(do.CommitInput)
    talk.look()
    assert talk.at(10.1, facts.Prediction(1, 0.0)) == []


def test_an_answer_to_what_was_said_before_the_pause_is_ignored() -> None:
    talk = talk_of(**SEMANTIC)
    speak(talk, 1.0, 2.0, "I'd like")
    talk.at(2.2, facts.SpeechBegan(2.15))
    talk.at(2.3, facts.Prediction(1, 1.0))
    talk.at(3.064, facts.SpeechEnded(3.0))
    talk.at(3.1, facts.Heard("I'd like tea", settled=True))
    talk.at(3.13, facts.Prediction(2, 0.8))
    talk.run(10.0)
    assert talk.times(do.CommitInput) == [pytest.approx(3.5885, abs=1e-4)]


def test_what_is_learned_of_one_caller_is_not_for_the_next() -> None:
    policy = DynamicEndpointing()
    talks = [talk_of(endpointing=policy, predicts=True) for _ in range(2)]
    speak(talks[0], 1.0, 2.0, "well")
    speak(talks[0], 2.1, 3.0, "well then")
    learned, fresh = (talk.engine.options.endpointing for talk in talks)
    assert isinstance(learned, DynamicEndpointing)
    assert isinstance(fresh, DynamicEndpointing)
    assert learned.pause_s < fresh.pause_s == policy.pause_s == 0.6


# -- answers that are prepared ---------------------------------------------------------------------------------


def test_a_prepared_answer_is_released_at_the_commit() -> None:
    talk = talk_of(prepares=True)
    speak(talk, 1.0, 2.0, "Hello")
    talk.run(3.0)
    assert talk.times(do.Prepare) == [2.1]
    assert talk.all(do.Start) == [do.Start("turn:1", 1, 1)]
    assert not talk.all(do.Discard)


def test_it_is_kept_through_a_cough_and_discarded_for_other_words() -> None:
    talk = talk_of(prepares=True)
    speak(talk, 1.0, 2.0, "Hello")
    speak(talk, 2.2, 2.4, "hello")
    talk.run(5.0)
    assert talk.all(do.Start) == [do.Start("turn:1", 1, 1)]
    talk = talk_of(prepares=True)
    speak(talk, 1.0, 2.0, "Hello")
    speak(talk, 2.2, 2.6, "Hello there")
    talk.run(5.0)
    assert talk.all(do.Discard) == [do.Discard(1, "the words changed")]
    assert talk.all(do.Start) == [do.Start("turn:1", 1, 2)]


def test_there_are_only_so_many_a_turn() -> None:
    talk = talk_of(prepares=True, speculation=SpeculationOptions(max_per_turn=2))
    words = ""
    for index, word in enumerate(("one", "two", "three")):
        words = f"{words} {word}".strip()
        speak(talk, 1.0 + index, 1.8 + index, words)
    talk.run(10.0)
    assert [action.draft for action in talk.all(do.Prepare) if isinstance(action, do.Prepare)] == [1, 2]
    assert talk.all(do.Start) == [do.Start("turn:1", 1)]


def test_a_program_that_commits_wants_no_answer() -> None:
    talk = talk_of(prepares=True)
    speak(talk, 1.0, 2.0, "Hello")
    talk.look()
    assert talk.at(2.2, facts.Commit()) == [
        do.Discard(1, "committed by the program"),
        do.CommitInput(1, "manual", 2.2, 2.0),
    ]
    talk.settle_down()
    assert not talk.all(do.Start)


# -- modes -----------------------------------------------------------------------------------------------------


def test_push_to_talk_is_committed_cleared_and_answered_by_a_program() -> None:
    talk = talk_of(mode="manual")
    assert talk.at(1.0, facts.Clear()) == [do.ClearInput(0, "client_cleared")]
    assert talk.at(2.0, facts.Commit()) == [do.CommitInput(0, "manual", 2.0, None)]
    assert talk.at(2.0, facts.Request("a")) == [do.Start("a"), do.SetAgentState("thinking")]
    begin_reply(talk, "a")
    talk.settle_down()


def test_in_manual_mode_speech_ends_no_turn_and_holds_no_answer_back() -> None:
    talk = talk_of(mode="manual", prepares=True, predicts=False)
    speak(talk, 1.0, 2.0, "Hello")
    assert talk.engine.deadline() is None
    assert talk.at(60.0, facts.Request("a"))[-2:] == [do.Start("a"), do.SetAgentState("thinking")]
    assert talk.at(61.0, facts.Commit()) == [do.CommitInput(1, "manual", 61.0, 2.0)]


def test_the_recogniser_ends_the_turn() -> None:
    talk = talk_of(mode="stt")
    talk.at(1.0, facts.SpeechBegan(1.0), facts.Heard("Hel"))
    talk.look()
    assert talk.at(2.0, facts.Heard("Hello", endpoint=True)) == [
        do.CommitInput(1, "recogniser", 2.0, None),
        do.Start("turn:1", 1),
        do.SetUserState("listening"),
        do.SetAgentState("thinking"),
    ]


def test_a_recogniser_that_ends_a_turn_while_it_owes_words_has_not_failed() -> None:
    talk = talk_of(mode="stt")
    talk.at(1.0, facts.SpeechBegan(1.0), facts.Heard("Hello"), facts.SpeechEnded(1.0))
    talk.at(1.0, facts.Heard("Hello", endpoint=True))
    assert talk.times(do.CommitInput) == [1.0]
    assert not talk.all(do.TimedOut)


def test_an_endpoint_of_a_recogniser_who_is_not_asked_ends_nothing() -> None:
    for mode in ("vad", "manual", "model"):
        talk = talk_of(mode=mode)
        talk.at(1.0, facts.SpeechBegan(1.0), facts.Heard("Hello", endpoint=True))
        assert talk.engine.turn_open


def test_a_model_that_takes_turns_itself() -> None:
    talk = talk_of(mode="model")
    talk.at(1.0, facts.SpeechBegan(1.0))
    talk.at(2.0, facts.SpeechEnded(2.0))
    talk.look()
    assert talk.at(2.3, facts.ResponseStarted("r1")) == [
        do.CommitInput(1, "model", 2.3, 2.0),
        do.SetAgentState("thinking"),
    ]
    talk.at(2.5, facts.PlaybackStarted("r1"))
    talk.look()
    assert talk.at(3.0, facts.SpeechBegan(2.9)) == [
        do.OpenTurn(2),
        do.SpeechStarts(2, 2.9),
        do.Cancel("turn_detected", "r1", None),
        do.SetUserState("speaking"),
        do.SetAgentState("listening"),
    ]
    talk.at(3.05, facts.PlaybackEnded("r1"))
    talk.settle_down()


def test_a_turn_that_such_a_model_does_not_answer_ends_all_the_same() -> None:
    talk = talk_of(mode="model")
    talk.at(1.0, facts.SpeechBegan(1.0))
    talk.at(2.0, facts.SpeechEnded(2.0), facts.Request("say"))
    talk.run(10.0)
    assert talk.all(do.CommitInput) == [do.CommitInput(1, "model", 3.5, 2.0)]
    assert talk.times(do.Start) == [3.5]  # what was held back, and no answer of ours


# -- requests --------------------------------------------------------------------------------------------------


def test_requests_are_served_in_order_and_follow_ups_first() -> None:
    talk = talk_of()
    talk.at(1.0, facts.Request("a"), facts.Request("b"), facts.Request("c", follow_up=True))
    assert talk.engine.waiting == 2
    begin_reply(talk, "a", "r1")
    talk.tell(facts.PlaybackEnded("r1"))
    begin_reply(talk, "c", "r2")
    talk.tell(facts.PlaybackEnded("r2"))
    assert [action.request_id for action in talk.all(do.Start) if isinstance(action, do.Start)] == [
        "a",
        "c",
        "b",
    ]


def test_a_full_queue_rejects_an_answer_together_with_its_draft() -> None:
    talk = talk_of(prepares=True, queue_max=1)
    talk.at(0.5, facts.Request("a", interruptible=False), facts.Request("b"))
    speak(talk, 1.0, 2.0, "Hello")
    talk.run(3.0)
    assert talk.look()[-3:] == [
        do.CommitInput(1, "silence", 2.5, 2.0),
        do.Discard(1, "1 responses wait already"),
        do.Reject("turn:1", "1 responses wait already"),
    ]
    talk.settle_down()


def test_a_request_is_withdrawn_while_it_waits_and_only_then() -> None:
    talk = talk_of()
    talk.at(1.0, facts.Request("a"), facts.Request("b"))
    talk.look()
    assert talk.at(1.1, facts.Withdraw("a")) == []
    assert talk.at(1.1, facts.Withdraw("b")) == [do.Reject("b", "client_cancelled")]


@pytest.mark.parametrize("queue", [True, False])
def test_a_program_interrupts(queue: bool) -> None:
    talk = talk_of()
    talk.at(1.0, facts.Request("a", interruptible=False), facts.Request("b"))
    begin_reply(talk, "a")
    talk.look()
    cancel = do.Cancel("client_cancelled", "r1", "a")
    states = [do.SetAgentState("listening")]
    rejected = [do.Reject("b", "client_cancelled")] if queue else []
    assert talk.at(2.0, facts.Interrupt(queue=queue)) == [*rejected, cancel, *states]
    assert talk.engine.state[1] is FloorState.CLEARING
    told = talk.at(2.02, facts.PlaybackEnded("r1"))
    assert told == ([] if queue else [do.Start("b"), do.SetAgentState("thinking")])


def test_an_interrupt_of_nothing_is_nothing() -> None:
    assert talk_of().at(1.0, facts.Interrupt()) == []


def test_an_answer_that_has_no_audio_ends_at_once_and_one_that_fails_too() -> None:
    for status in ("completed", "failed"):
        talk = talk_of()
        talk.at(1.0, facts.Request("a"), facts.ResponseStarted("r1", "a"))
        talk.look()
        ended = facts.ResponseEnded("r1", status, audio=False)
        assert talk.at(2.0, ended) == [do.SetAgentState("listening")]


def test_an_answer_that_stalls_is_given_up() -> None:
    talk = talk_of(response_deadline_s=8.0)
    talk.at(1.0, facts.Request("a"))
    talk.run(60.0)
    assert talk.timed(since_s=2.0) == [
        (9.0, do.TimedOut("response", 8.0)),
        (9.0, do.Cancel("response_timeout", None, "a")),
        (9.0, do.SetAgentState("listening")),
    ]


# -- tools -----------------------------------------------------------------------------------------------------


def calling(**options: Any) -> Talk:
    """A reply at 1.0 s that asks for two functions and says nothing."""
    talk = talk_of(**options)
    talk.at(0.5, facts.Request("a"), facts.ResponseStarted("r1", "a"))
    talk.at(1.0, facts.ResponseEnded("r1", audio=False, calls=2))
    talk.look()
    return talk


def test_while_functions_run_the_agent_thinks() -> None:
    talk = calling()
    assert talk.engine.state[1] is FloorState.IDLE
    assert talk.at(2.0, facts.Request("b", follow_up=True)) == [do.Start("b")]
    talk = calling()
    assert talk.at(2.0, facts.ToolsDone()) == [do.SetAgentState("listening")]


def test_a_follow_up_that_the_caller_has_overtaken_is_not_spoken_but_other_requests_are() -> None:
    talk = calling()
    talk.at(1.5, facts.SpeechBegan(1.5), facts.Request("follow", follow_up=True), facts.Request("say"))
    talk.at(2.064, facts.SpeechEnded(2.0))
    talk.at(2.1, facts.Heard("never mind", settled=True))
    talk.run(2.5)
    assert talk.all(do.Reject) == [do.Reject("follow", "turn_detected")]
    assert talk.times(do.Start) == [0.5, 2.5]
    assert talk.all(do.Start)[-1] == do.Start("say")
    assert talk.engine.waiting == 1


def test_functions_that_never_end_are_done_without() -> None:
    talk = calling(tool_deadline_s=60.0)
    talk.run(100.0)
    assert talk.timed(since_s=2.0) == [
        (61.0, do.TimedOut("tool", 60.0)),
        (61.0, do.SetAgentState("listening")),
    ]


def test_a_cancelled_reply_waits_for_no_function() -> None:
    talk = talk_of()
    talk.at(0.5, facts.Request("a"), facts.ResponseStarted("r1", "a"))
    talk.at(1.0, facts.ResponseEnded("r1", "cancelled", audio=False, calls=2))
    assert talk.engine.deadline() is None


# -- away ------------------------------------------------------------------------------------------------------


def test_a_caller_who_says_nothing_is_away_once_until_something_happens() -> None:
    talk = talk_of(away_after_s=15.0)
    assert talk.engine.deadline() is None
    talk.at(1.0, facts.Began())
    talk.run(100.0)
    assert talk.timed() == [(16.0, do.SetUserState("away"))]
    assert talk.engine.deadline() is None
    speak(talk, 101.0, 102.0, "Hello")
    states = [(at_s, action) for at_s, action in talk.timed(100.0) if isinstance(action, do.SetUserState)]
    assert states == [(101.096, do.SetUserState("speaking")), (102.064, do.SetUserState("listening"))]
    talk.settle_down()


def test_absence_counts_from_where_the_session_began() -> None:
    talk = talk_of(away_after_s=15.0)
    talk.at(0.5, facts.Clear())
    talk.at(1.0, facts.Began())
    talk.run(100.0)
    assert talk.times(do.SetUserState) == [16.0]


def test_a_typed_message_brings_them_back() -> None:
    talk = talk_of(away_after_s=15.0)
    talk.at(0.0, facts.Began())
    talk.run(20.0)
    talk.look()
    assert do.SetUserState("listening") in talk.at(20.0, facts.Request("a"))


def test_absence_counts_from_the_end_of_the_reply_and_of_functions() -> None:
    talk = calling(away_after_s=15.0)
    talk.at(50.0, facts.ToolsDone())
    talk.run(100.0)
    assert talk.times(do.SetUserState) == [65.0]
    talk = talk_of(away_after_s=15.0)
    talk.at(1.0, facts.Request("a"))
    begin_reply(talk, "a")
    talk.at(30.0, facts.PlaybackEnded("r1"))
    talk.run(100.0)
    assert talk.times(do.SetUserState) == [45.0]


def test_an_unknown_fact_is_a_fault_of_the_shell() -> None:
    with pytest.raises(AssertionError, match="unknown fact 'hello'"):
        TurnEngine().receive("hello", 0.0)  # type: ignore[arg-type]
