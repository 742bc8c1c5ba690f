"""The caller's turn by itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest

from repartee.turns import TURN_TABLE, DynamicEndpointing, SpeculationOptions, TurnOptions, TurnState
from repartee.turns import actions as do
from repartee.turns.turn import Turn


def turn_of(options: TurnOptions | None = None) -> tuple[Turn, deque[do.Action]]:
    out: deque[do.Action] = deque()
    return Turn(options if options is not None else TurnOptions(transcript_deadline_s=1.5), out), out


def take(out: deque[do.Action]) -> list[do.Action]:
    taken = list(out)
    out.clear()
    return taken


def spoken(turn: Turn) -> None:
    turn.speech(1.0, 1.1)
    turn.silence(2.0, 2.1)


INTO: dict[TurnState, Callable[[Turn], None]] = {
    TurnState.IDLE: lambda turn: None,
    TurnState.SPEAKING: lambda turn: turn.speech(1.0, 1.1),
    TurnState.ENDPOINTING: spoken,
}
DO: dict[str, Callable[[Turn], object]] = {
    "speech": lambda turn: turn.speech(3.0, 3.1),
    "silence": lambda turn: turn.silence(3.0, 3.1),
    "commit": lambda turn: turn.commit("manual", 3.1),
    "clear": lambda turn: turn.clear("client_cleared"),
}


@pytest.mark.parametrize("state", TurnState)
@pytest.mark.parametrize("trigger", DO)
def test_the_table_is_walked_and_nothing_else_happens(state: TurnState, trigger: str) -> None:
    turn, _ = turn_of()
    INTO[state](turn)
    assert turn.state is state
    DO[trigger](turn)
    assert turn.state is TURN_TABLE.get((state, trigger), state)
    assert turn.open is (turn.state is not TurnState.IDLE)


def test_a_turn_of_two_stretches() -> None:
    turn, out = turn_of()
    turn.speech(1.0, 1.1)
    assert take(out) == [do.OpenTurn(1), do.SpeechStarts(1, 1.0)]
    turn.silence(2.0, 2.06)
    assert take(out) == [do.SpeechStops(1, 2.0), do.Settle(1)]
    turn.speech(2.3, 2.4)
    assert take(out) == [do.SpeechStarts(1, 2.3)]
    turn.silence(3.0, 3.06)
    assert take(out) == [do.SpeechStops(1, 3.0), do.Settle(1)]
    assert turn.spoken_s == pytest.approx(1.7)
    turn.commit("silence", 3.5)
    assert take(out) == [do.CommitInput(1, "silence", 3.5, 3.0)]
    turn.speech(5.0, 5.1)
    assert take(out)[0] == do.OpenTurn(2)


def test_silence_can_not_begin_before_its_speech() -> None:
    turn, out = turn_of()
    turn.speech(1.0, 1.1)
    turn.silence(0.2, 1.2)
    assert turn.stopped_s == 1.0
    assert turn.spoken_s == 0.0
    assert take(out)[2] == do.SpeechStops(1, 1.0)


def test_what_no_turn_is_open_for_is_number_0() -> None:
    turn, out = turn_of()
    turn.speech(1.0, 1.1)
    turn.commit("manual", 2.0)
    take(out)
    turn.commit("manual", 3.0)
    turn.clear("client_cleared")
    assert take(out) == [do.CommitInput(0, "manual", 3.0, None), do.ClearInput(0, "client_cleared")]


# -- when it closes --------------------------------------------------------------------------------------------


def test_it_closes_after_the_delay_once_the_words_are_settled() -> None:
    turn, _ = turn_of()
    assert turn.endpoint_s() is None
    turn.speech(1.0, 1.1)
    assert turn.endpoint_s() == 121.0  # the ceiling
    turn.silence(2.0, 2.06)
    assert turn.endpoint_s() == pytest.approx(2.06 + 1.5)  # the words are owed
    assert turn.late_words
    turn.heard("hello", settled=False, now=2.1)
    assert turn.endpoint_s() == pytest.approx(2.06 + 1.5)
    turn.heard("hello", settled=True, now=2.2)
    assert turn.endpoint_s() == 2.5
    assert not turn.late_words


def test_it_waits_for_the_end_of_turn_model_and_no_longer() -> None:
    turn, out = turn_of(TurnOptions(predicts=True))
    turn.speech(1.0, 1.1)
    turn.silence(2.0, 2.06)
    take(out)
    turn.heard("hello", settled=True, now=2.4)
    assert take(out) == [do.AskPrediction(1, "hello")]
    assert turn.endpoint_s() == pytest.approx(2.7)  # asked at 2.4, 0.3 s to answer
    turn.predicted(1, 0.9)
    assert turn.probability == 0.9
    assert turn.endpoint_s() == 2.5


def test_an_onset_holds_it_open_and_not_for_ever() -> None:
    turn, _ = turn_of()
    assert turn.onset_deadline_s() is None
    turn.speech(1.0, 1.1)
    turn.silence(2.0, 2.06)
    turn.heard("hello", settled=True, now=2.1)
    turn.onset_s = 2.4
    assert turn.onset_deadline_s() == 3.4
    assert turn.endpoint_s() == 3.4
    turn.speech(2.4, 2.5)
    assert turn.onset_deadline_s() is None


def test_only_a_program_closes_a_manual_turn() -> None:
    turn, _ = turn_of(TurnOptions(mode="manual"))
    turn.speech(1.0, 1.1)
    turn.silence(2.0, 2.06)
    assert turn.endpoint_s() is None


def test_the_conversational_model_closes_its_own() -> None:
    turn, out = turn_of(TurnOptions(mode="model", transcript_deadline_s=1.5))
    turn.speech(1.0, 1.1)
    turn.silence(2.0, 2.06)
    assert do.Settle(1) not in take(out)
    assert not turn.late_words
    assert turn.endpoint_s() == 3.5


def test_a_pause_is_learned_from_when_the_caller_goes_on() -> None:
    policy = DynamicEndpointing(weight=1.0)
    turn, _ = turn_of(TurnOptions(endpointing=policy))
    turn.speech(1.0, 1.1)
    turn.silence(2.0, 2.06)
    turn.speech(2.4, 2.5)
    assert policy.pause_s == pytest.approx(0.4)
    turn.silence(3.0, 3.06)
    turn.commit("silence", 3.5)
    turn.speech(9.0, 9.1)  # a new turn: no pause inside one
    assert policy.pause_s == pytest.approx(0.4)


@pytest.mark.parametrize("text, worth", [("hello", True), ("", False), ("...", False)])
def test_words_are_worth_an_answer(text: str, worth: bool) -> None:
    turn, _ = turn_of()
    turn.speech(1.0, 1.1)
    turn.heard(text, settled=False, now=1.2)
    assert turn.worth_answering(60.0) is worth


def test_where_there_are_no_words_length_is_worth_an_answer() -> None:
    turn, _ = turn_of(TurnOptions(transcribes=False))
    turn.speech(1.0, 1.1)
    assert not turn.worth_answering(1.199)
    assert turn.worth_answering(1.2)  # also of one who speaks still
    turn.silence(1.15, 1.2)
    assert not turn.worth_answering(5.0)
    turn.speech(2.0, 2.1)
    turn.silence(2.05, 2.1)
    assert turn.worth_answering(5.0)


# -- questions and drafts --------------------------------------------------------------------------------------


def endpointing(**options: object) -> tuple[Turn, deque[do.Action]]:
    turn, out = turn_of(TurnOptions(**options))  # type: ignore[arg-type]  # any field
    turn.speech(1.0, 1.1)
    turn.silence(2.0, 2.06)
    take(out)
    return turn, out


def test_the_same_words_twice_are_one_question() -> None:
    turn, out = endpointing(predicts=True)
    turn.heard("hello", settled=True, now=2.1)
    turn.heard("Hello.", settled=True, now=2.2)
    assert take(out) == [do.AskPrediction(1, "hello")]
    turn.heard("hello there", settled=True, now=2.3)
    assert take(out) == [do.AskPrediction(2, "hello there")]


def test_an_answer_to_an_older_question_is_ignored() -> None:
    turn, _ = endpointing(predicts=True)
    turn.heard("hello", settled=True, now=2.1)
    turn.heard("hello there", settled=True, now=2.2)
    believed = []
    for question, probability in ((1, 0.9), (2, 0.4), (2, 0.8)):  # an older one, the one, and that twice
        turn.predicted(question, probability)
        believed.append(turn.probability)
    assert believed == [None, 0.4, 0.4]


def test_an_answer_that_comes_when_the_caller_has_gone_on_is_ignored() -> None:
    turn, out = endpointing(predicts=True, prepares=True)
    turn.heard("hello", settled=True, now=2.1)
    turn.speech(2.2, 2.3)
    take(out)
    turn.predicted(1, 0.9)
    assert turn.probability is None
    assert take(out) == []


def test_without_words_there_is_nothing_to_ask() -> None:
    turn, out = endpointing(predicts=True, prepares=True)
    turn.heard("...", settled=True, now=2.1)
    assert take(out) == []


def test_a_model_that_hears_is_asked_without_words() -> None:
    turn, out = turn_of(TurnOptions(predicts=True, transcribes=False))
    turn.speech(1.0, 1.1)
    turn.silence(2.0, 2.06)
    assert take(out)[-1] == do.AskPrediction(1, "")


@pytest.mark.parametrize("probability, prepared", [(0.1, True), (0.09, False), (None, True)])
def test_an_answer_is_prepared_if_the_turn_may_be_over(probability: float | None, prepared: bool) -> None:
    turn, out = endpointing(predicts=True, prepares=True)
    turn.heard("hello", settled=True, now=2.1)
    turn.predicted(1, probability)
    assert (do.Prepare(1, "hello") in take(out)) is prepared


@pytest.mark.parametrize(
    "options",
    [
        {"prepares": False},
        {"speculation": SpeculationOptions(enabled=False)},
        {"mode": "manual"},
        {"mode": "model"},
    ],
)
def test_nothing_is_prepared_where_it_is_not_wanted(options: dict[str, object]) -> None:
    turn, out = endpointing(**{"prepares": True, **options})
    turn.heard("hello", settled=True, now=2.1)
    assert not any(isinstance(action, do.Prepare) for action in out)


def test_a_draft_outlives_a_cough_and_other_spelling() -> None:
    turn, out = endpointing(prepares=True)
    turn.heard("hello there", settled=True, now=2.1)
    assert take(out) == [do.Prepare(1, "hello there")]
    turn.speech(2.2, 2.3)
    turn.silence(2.3, 2.36)
    turn.heard("Hello, there!", settled=True, now=2.4)
    draft = turn.commit("silence", 2.8)
    assert draft is not None
    assert draft.number == 1
    assert not any(isinstance(action, do.Discard | do.Prepare) for action in out)


def test_other_words_discard_it_and_there_are_only_so_many() -> None:
    turn, out = endpointing(prepares=True, speculation=SpeculationOptions(max_per_turn=2))
    turn.heard("one", settled=True, now=2.1)
    turn.heard("one two", settled=True, now=2.2)
    turn.heard("one two three", settled=True, now=2.3)
    assert take(out) == [
        do.Prepare(1, "one"),
        do.Discard(1, "the words changed"),
        do.Prepare(2, "one two"),
        do.Discard(2, "the words changed"),
    ]
    assert turn.commit("silence", 2.8) is None
    turn.speech(4.0, 4.1)
    turn.silence(5.0, 5.06)
    turn.heard("four", settled=True, now=5.1)
    assert out[-1] == do.Prepare(3, "four")  # the next turn has its own


def test_clearing_discards_it_with_the_reason() -> None:
    turn, out = endpointing(prepares=True)
    turn.heard("yeah", settled=True, now=2.1)
    take(out)
    turn.clear("backchannel")
    assert take(out) == [do.Discard(1, "backchannel"), do.ClearInput(1, "backchannel")]


def test_words_without_a_turn_are_nobodys() -> None:
    turn, out = turn_of(TurnOptions(prepares=True))
    turn.heard("hello", settled=True, now=1.0)
    assert turn.text == ""
    assert not out
