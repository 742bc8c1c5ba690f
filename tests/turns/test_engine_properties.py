"""What holds whatever happens: random facts at random times, sensible and not."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.turns import (
    DynamicEndpointing,
    FixedEndpointing,
    InterruptionOptions,
    InterruptionProfile,
    SpeculationOptions,
    TurnOptions,
    facts,
)
from repartee.turns import actions as do
from tests.turns.driver import Talk
from tests.turns.shell import Shell

TEXTS = ["", " ", "...", "yeah", "uh-huh", "Hello?", "hello", "what time is it", "What time is it, please"]
IDS = ["r1", "r2", "r3"]

at_s = st.one_of(st.floats(-2.0, 12.0), st.sampled_from([0.0, 1.0, 1e9, -1e9]))
response_id = st.sampled_from(IDS)
request_id = st.sampled_from(["a", "b", "turn:1", "turn:2", "turn:3"])

wild_facts: st.SearchStrategy[facts.Fact] = st.one_of(
    st.builds(facts.Onset, at_s),
    st.builds(facts.OnsetDropped),
    st.builds(facts.SpeechBegan, at_s),
    st.builds(facts.SpeechEnded, at_s),
    st.builds(facts.Heard, st.sampled_from(TEXTS), st.booleans(), st.booleans()),
    st.builds(facts.Prediction, st.integers(0, 4), st.none() | st.floats(0.0, 1.0)),
    st.builds(facts.Request, request_id, st.booleans(), st.booleans()),
    st.builds(facts.ResponseStarted, response_id, st.none() | request_id),
    st.builds(
        facts.ResponseEnded,
        response_id,
        st.sampled_from(["completed", "cancelled", "failed"]),
        st.booleans(),
        st.integers(0, 2),
    ),
    st.builds(facts.PlaybackStarted, response_id),
    st.builds(facts.PlaybackEnded, response_id),
    st.builds(facts.ToolsDone),
    st.builds(facts.Interrupt, st.just("client_cancelled"), st.booleans()),
    st.builds(facts.Withdraw, request_id),
    st.builds(facts.Commit),
    st.builds(facts.Clear),
    st.builds(facts.Began),
)
"""Any fact at all, in no sensible order and with times that can't be."""

steps = st.lists(
    st.tuples(st.one_of(st.just(0.0), st.sampled_from([0.05, 0.25, 0.5]), st.floats(0.0, 3.0)), wild_facts),
    max_size=40,
)

options = st.builds(
    TurnOptions,
    mode=st.sampled_from(["vad", "vad", "stt", "model", "manual"]),
    endpointing=st.sampled_from([FixedEndpointing(), FixedEndpointing(0.0), DynamicEndpointing()]),
    interruption=st.sampled_from(
        [
            InterruptionOptions(),
            InterruptionOptions(enabled=False),
            InterruptionOptions(speaking=InterruptionProfile(duck_db=0.0, cancel_after_ms=None)),
            InterruptionOptions(speaking=InterruptionProfile(pause_after_ms=0.0, min_words=2)),
        ]
    ),
    speculation=st.builds(SpeculationOptions, enabled=st.booleans(), max_per_turn=st.integers(1, 3)),
    predicts=st.booleans(),
    transcribes=st.booleans(),
    prepares=st.booleans(),
    max_turn_s=st.sampled_from([1.0, 120.0]),
    away_after_s=st.none() | st.just(15.0),
    queue_max=st.sampled_from([1, 2, 16]),
)


@given(options, steps)
def test_any_facts_keep_every_rule_and_end(
    options: TurnOptions, steps: list[tuple[float, facts.Fact]]
) -> None:
    talk = Talk(options)
    for wait_s, fact in steps:
        talk.at(talk.now + wait_s, fact)
    talk.settle_down()


@given(options, steps)
def test_the_same_facts_give_the_same_actions(
    options: TurnOptions, steps: list[tuple[float, facts.Fact]]
) -> None:
    talks = Talk(options), Talk(options)
    for talk in talks:
        for wait_s, fact in steps:
            talk.at(talk.now + wait_s, fact)
    assert talks[0].log == talks[1].log


@given(options, steps, st.floats(0.0, 2.0))
def test_a_late_timer_harms_nothing(
    options: TurnOptions, steps: list[tuple[float, facts.Fact]], late_s: float
) -> None:
    talk = Talk(options)
    for wait_s, fact in steps:
        deadline = talk.engine.deadline()
        if deadline is not None and deadline <= talk.now + wait_s:
            talk.now = max(talk.now, deadline) + late_s
        talk.tell(fact)
    talk.settle_down()


@given(st.floats(0.0, 1e6), steps)
def test_a_session_that_began_long_ago_goes_on_alike(
    start_s: float, steps: list[tuple[float, facts.Fact]]
) -> None:
    """Days of session time leave fewer digits for milliseconds; no deadline may stick for it."""
    talk = Talk(TurnOptions(predicts=True, prepares=True))
    talk.run(start_s)
    for wait_s, fact in steps:
        moved = type(fact)(start_s + fact.at_s) if isinstance(fact, facts.SpeechBegan | facts.Onset) else fact
        talk.at(talk.now + wait_s, moved)
    talk.settle_down()


@pytest.mark.parametrize("mode", ["vad", "stt", "model"])
@given(seed=st.integers(0, 2**32), predicts=st.booleans(), transcribes=st.booleans())
def test_a_call_answers_each_turn_once(mode: str, seed: int, predicts: bool, transcribes: bool) -> None:
    """A caller, models and a player that behave, but for being slow, failing and saying nothing now and then."""
    talk = Talk(
        TurnOptions(
            mode=mode,  # type: ignore[arg-type]  # a parameter's type is too wide for the literal
            predicts=predicts and mode == "vad",
            transcribes=transcribes or mode == "stt",
            prepares=transcribes,
            endpointing=DynamicEndpointing(),
        )
    )
    shell = Shell(talk, Random(seed))
    shell.converse(seconds=60.0)
    talk.settle_down()
    committed = [
        action.turn
        for _, action in talk.log
        if isinstance(action, do.CommitInput) and action.reason != "model"
    ]
    answered = [f"turn:{turn}" for turn in committed]
    starts = [action.request_id for _, action in talk.log if isinstance(action, do.Start)]
    rejected = [action.request_id for _, action in talk.log if isinstance(action, do.Reject)]
    assert sorted(answered) == sorted(each for each in starts + rejected if each.startswith("turn:"))
    assert len(set(committed)) == len(committed)
