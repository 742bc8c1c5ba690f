"""The caller's turns in audio time: the same for the same audio, and none is ever lost."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repartee.turns import FixedEndpointing, SemanticEndpointing, TurnOptions, facts
from repartee.turns import actions as do
from repartee.turns.listening import ListeningEngine
from repartee.turns.listening_words import (
    Audio,
    Clear,
    Commit,
    ListeningAction,
    ListeningOptions,
    Pass,
    Quiet,
    TurnBegan,
    TurnDropped,
    TurnOver,
    Window,
)

WINDOW_S = 0.032
REST_S = 0.013
"""Audio behind the last window."""
SILENCE = ListeningOptions(turn=TurnOptions(endpointing=FixedEndpointing(500)))
SEMANTIC = ListeningOptions(
    turn=TurnOptions(endpointing=SemanticEndpointing(max_ms=4000), predicts=True, prepares=True), tail_s=0.064
)
WORDLESS = ListeningOptions(
    turn=TurnOptions(endpointing=FixedEndpointing(200), transcribes=False, min_turn_ms=0.0), padding_s=0.0
)
MANUAL = ListeningOptions(detects=False, turn=TurnOptions(mode="manual", transcribes=False))
ALL = (SILENCE, SEMANTIC, WORDLESS, MANUAL)


class World:
    """An engine, and a recogniser and an end-of-turn model that answer after a while."""

    def __init__(
        self,
        options: ListeningOptions,
        *,
        words_s: float = 0.1,
        prediction_s: float = 0.02,
        text: str | None = None,
    ) -> None:
        self.engine = ListeningEngine(options)
        self.now = 0.0
        self.end_s = 0.0
        self.actions: list[ListeningAction] = []
        self.times: list[float] = []
        self._words_s, self._prediction_s, self._text = words_s, prediction_s, text
        self._passed_s = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._numbers), what))

    def tell(self, fact: Any) -> None:
        self.engine.receive(fact, self.now)
        self.drain()

    def drain(self) -> None:
        while (action := self.engine.next_action()) is not None:
            self.actions.append(action)
            self.times.append(round(self.now, 6))
            match action:
                case Pass(end_s=end_s):
                    self._passed_s = end_s
                case do.Settle():
                    text = f"word {round(self._passed_s * 1000)}" if self._text is None else self._text
                    self.at(self.now + self._words_s, lambda t=text, p=self._passed_s: self._hear(t, p))  # type: ignore[misc]
                case do.AskPrediction(question=question, text=text):
                    sure = (0.02, 0.5, 0.97)[sum(map(ord, text)) % 3]
                    answer = facts.Prediction(question, sure)
                    self.at(self.now + self._prediction_s, lambda a=answer: self.tell(a))  # type: ignore[misc]

    def _hear(self, text: str, passed_s: float) -> None:
        self.tell(facts.Heard(text, settled=passed_s == self._passed_s))

    def window(self, probability: float) -> None:
        self.end_s += WINDOW_S
        self.tell(Window(probability, self.end_s))

    def run(self, until: float) -> None:
        """Let session time pass."""
        while True:
            deadline = self.engine.deadline()
            due = self._agenda[0][0] if self._agenda else None
            following = min((t for t in (deadline, due) if t is not None), default=None)
            if following is None or following > until:
                self.now = until
                return
            self.now = max(self.now, following)
            if due is not None and due == following:
                heapq.heappop(self._agenda)[2]()
            else:
                self.engine.timeout(self.now)
                self.drain()

    def play(self, probabilities: Sequence[float], *, pace: float = 1.0) -> None:
        """Windows as the audio comes; ``pace`` 0: all at once."""
        for probability in probabilities:
            self.run(self.now + WINDOW_S * pace)
            self.window(probability)

    def of(self, kind: type[Any]) -> list[Any]:
        return [action for action in self.actions if isinstance(action, kind)]

    @property
    def story(self) -> list[Any]:
        """What was decided about the audio: questions and drafts depend on how fast the words come."""
        told: list[Any] = []
        for action in self.actions:
            if isinstance(action, do.AskPrediction | do.Prepare | do.Discard):
                continue
            if isinstance(action, TurnOver):
                action = replace(action, draft=None)
            last = told[-1] if told else None
            if isinstance(action, Pass) and isinstance(last, Pass) and last.end_s == action.start_s:
                told[-1] = Pass(last.start_s, action.end_s)
            else:
                told.append(action)
        return told


def speech(*seconds: float) -> list[float]:
    """Windows of silence and speech in turn, beginning with silence."""
    return [p for index, s in enumerate(seconds) for p in [0.95 if index % 2 else 0.02] * round(s / WINDOW_S)]


def test_a_turn_ends_after_the_silence_and_not_before() -> None:
    world = World(SILENCE)
    world.play(speech(0.96, 0.96, 2.0))
    [began], [over] = world.of(TurnBegan), world.of(TurnOver)
    assert began.start_s == pytest.approx(0.66)
    assert (over.reason, over.answerable) == ("silence", True)
    assert over.speech_end_s == pytest.approx(1.92)
    assert 2.42 <= over.end_s < 2.42 + WINDOW_S
    assert over.start_s == began.start_s


def test_the_audio_of_a_turn_goes_on_with_its_padding_and_without_the_silence_behind() -> None:
    world = World(SILENCE)
    world.play(speech(0.96, 0.96, 2.0))
    passed = [(p.start_s, p.end_s) for p in world.story if isinstance(p, Pass)]
    assert passed == [pytest.approx((0.66, 1.92 + 2 * WINDOW_S))]


def test_it_holds_for_words_that_are_late_and_hears_what_came_meanwhile_afterwards() -> None:
    world = World(SILENCE, words_s=1.45)
    world.play(speech(0.96, 0.96, 0.8, 0.64))  # they speak on while the words are awaited
    assert world.engine.waiting_windows > 0
    assert world.of(TurnOver) == []
    world.play(speech(2.0))
    world.run(world.now + 3.0)
    assert len(world.of(TurnBegan)) == 2
    assert world.of(TurnOver)[0].end_s == pytest.approx(2.432)


def test_words_that_never_come_hold_it_until_their_deadline() -> None:
    world = World(SILENCE, words_s=99.0)
    world.play(speech(0.96, 0.96, 1.0), pace=0.0)
    passed_s = sum(p.end_s - p.start_s for p in world.of(Pass))
    assert world.engine.deadline() == pytest.approx(1.5 + 2 * (passed_s - 1.0))  # it is to be recognised yet
    world.run(9.0)
    [over] = world.of(TurnOver)
    assert not over.answerable
    assert world.of(do.TimedOut) == [do.TimedOut("stt", 1.5)]


def test_a_window_from_which_nothing_follows_is_passed_over_with_the_same_result() -> None:
    short, long = World(SILENCE), World(SILENCE)
    for probability in (0.0, 0.2, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9, *(0.0,) * 30, 0.3):
        short.end_s += WINDOW_S
        if not short.engine.passes(probability, short.end_s):
            short.tell(Window(probability, short.end_s))
        long.window(probability)
        short.run(short.now + WINDOW_S)
        long.run(long.now + WINDOW_S)
        assert short.engine.position_s == long.engine.position_s
    assert short.actions == long.actions
    assert any(isinstance(each, TurnOver) for each in short.actions)
    assert not ListeningEngine(MANUAL).passes(0.0, 1.0), "where turns are not detected, no window counts"


def test_an_unsure_turn_waits_longer_than_a_sure_one() -> None:
    ends = []
    for text in ("abc", "abd", "abe"):  # 0.02, 0.5, 0.97
        world = World(SEMANTIC, text=text)
        world.play(speech(0.96, 0.96, 5.0), pace=0.0)
        world.run(1.0)
        ends.append(world.of(TurnOver)[0].end_s - 1.92)
    policy = SEMANTIC.turn.endpointing
    waits = sorted((policy.delay_s(p) for p in (0.02, 0.5, 0.97)), reverse=True)
    assert sorted(ends, reverse=True) == [pytest.approx(wait, abs=0.064) for wait in waits]


def test_a_prediction_that_does_not_come_leaves_the_turn_to_the_fallback() -> None:
    world = World(SEMANTIC, prediction_s=99.0)
    world.play(speech(0.96, 0.96, 5.0), pace=0.0)
    world.run(3.0)
    [over] = world.of(TurnOver)
    assert over.reason == "silence"
    assert over.end_s - 1.92 == pytest.approx(0.5, abs=0.064)


def test_an_answer_is_prepared_and_named_when_the_turn_is_over() -> None:
    world = World(replace(SILENCE, turn=replace(SILENCE.turn, prepares=True)))
    world.play(speech(0.96, 0.96, 1.0))
    [prepare], [over] = world.of(do.Prepare), world.of(TurnOver)
    assert over.draft == prepare.draft


def test_no_more_audio_counts_as_silence() -> None:
    world = World(SILENCE)
    world.play(speech(0.96, 0.96))
    world.run(world.now + 1.0)
    world.tell(Quiet(world.end_s, world.now - 1.0))
    world.run(world.now + 0.2)
    [over] = world.of(TurnOver)
    assert over.end_s == world.end_s  # no position lies behind the audio
    assert over.speech_end_s == world.end_s


def test_silence_without_audio_lasts_as_long_as_silence_with() -> None:
    world = World(SEMANTIC, text="abd")
    world.play(speech(0.96, 0.96))
    quiet_s = world.now
    world.run(quiet_s + 1.0)
    world.tell(Quiet(world.end_s, quiet_s))
    world.run(quiet_s + 9.0)
    [over] = world.of(TurnOver)
    when = world.times[world.actions.index(over)]
    wait_s = next(
        SEMANTIC.turn.endpointing.delay_s(p)
        for p in (0.02, 0.5, 0.97)
        if (0.02, 0.5, 0.97)[sum(map(ord, "abd")) % 3] == p
    )
    assert when - quiet_s == pytest.approx(max(wait_s, 1.12), abs=0.01)


def test_whoever_speaks_for_ever_is_answered_at_the_ceiling_and_goes_on_in_another_turn() -> None:
    world = World(replace(SILENCE, turn=replace(SILENCE.turn, max_turn_s=3.0)))
    world.play(speech(0.5, 8.0, 1.0))
    assert [over.reason for over in world.of(TurnOver)] == ["ceiling", "ceiling", "silence"]
    passed = [action for action in world.story if isinstance(action, Pass)]
    assert sum(p.end_s - p.start_s for p in passed) == pytest.approx(8.0 + 0.3 + 2 * WINDOW_S, abs=0.05)


def test_a_commit_takes_all_that_came_and_what_is_said_on_is_another_turn() -> None:
    world = World(SILENCE)
    world.play(speech(0.96, 0.96))
    world.tell(Commit(world.end_s + 0.01))
    [over] = world.of(TurnOver)
    assert (over.turn, over.reason, over.end_s) == (1, "manual", world.end_s + 0.01)
    assert world.of(do.SpeechStops) == []
    world.play(speech(0.0, 0.5, 1.0))
    assert world.of(TurnOver)[1].start_s == over.end_s


def test_a_commit_where_nobody_spoke_takes_the_latest_audio() -> None:
    world = World(SILENCE)
    world.play(speech(5.0))
    world.tell(Commit(world.end_s))
    [over] = world.of(TurnOver)
    assert (over.turn, over.answerable, over.end_s) == (0, False, world.end_s)
    assert world.of(Pass) == [Pass(over.start_s, over.end_s)]


def test_a_clear_forgets_the_turn_and_its_draft() -> None:
    world = World(replace(SILENCE, turn=replace(SILENCE.turn, prepares=True)))
    world.play(speech(0.96, 0.96, 0.3))
    world.tell(Clear(world.end_s))
    world.play(speech(2.0))
    assert world.of(TurnDropped) == [TurnDropped(1, "client_cleared")]
    assert len(world.of(do.Discard)) == 1
    assert world.of(TurnOver) == []


def test_windows_of_audio_that_was_committed_are_ignored() -> None:
    world = World(SILENCE)
    world.tell(Commit(3.0))
    world.play(speech(0.5, 1.0, 1.0))
    assert world.of(TurnBegan) == []
    world.play(speech(0.6, 0.5, 1.0))
    assert world.of(TurnBegan)[0].start_s >= 3.0


def test_push_to_talk_passes_everything() -> None:
    world = World(MANUAL)
    for end_s in (0.02, 0.04, 0.06):
        world.tell(Audio(end_s))
    world.tell(Window(0.9, 0.06))
    world.tell(Quiet(0.06, 0.0))
    world.tell(Commit(0.08))
    assert [(p.start_s, p.end_s) for p in world.of(Pass)] == [
        (0.0, 0.02),
        (0.02, 0.04),
        (0.04, 0.06),
        (0.06, 0.08),
    ]
    assert world.of(TurnOver) == [TurnOver(0, "manual", 0.0, 0.08, None, False, None)]
    assert world.engine.keep_from_s == 0.08


def test_switching_detection_off_in_a_turn_keeps_it_open_and_passes_the_rest() -> None:
    world = World(SILENCE)
    world.play(speech(0.96, 0.96))
    world.engine.configure(MANUAL, world.end_s + 0.03, world.now)
    world.drain()
    world.run(world.now + 9.0)
    world.tell(Audio(world.end_s + 2.0))
    assert world.of(TurnOver) == []
    world.tell(Commit(world.end_s + 2.0))
    [over] = world.of(TurnOver)
    assert over.turn == 1
    passed = [(p.start_s, p.end_s) for p in world.story if isinstance(p, Pass)]
    assert passed == [pytest.approx((0.66, world.end_s + 2.0))]


@pytest.mark.parametrize("gap_s", [0.0, 0.032, 0.3])
def test_another_threshold_in_the_middle_of_speech_still_finds_its_end(gap_s: float) -> None:
    world = World(SILENCE)
    world.play(speech(0.96, 0.96, gap_s))
    stricter = replace(SILENCE, gate=replace(SILENCE.gate, threshold=0.8))
    world.engine.configure(stricter, world.end_s, world.now)
    world.play(speech(1.0))
    [over] = world.of(TurnOver)
    assert over.speech_end_s == pytest.approx(1.92, abs=0.1)


def test_a_longer_silence_asked_for_in_the_silence_counts() -> None:
    world = World(SILENCE)
    world.play(speech(0.96, 0.96, 0.3))
    longer = replace(SILENCE, turn=replace(SILENCE.turn, endpointing=FixedEndpointing(900)))
    world.engine.configure(longer, world.end_s, world.now)
    world.play(speech(1.0))
    assert world.of(TurnOver)[0].end_s == pytest.approx(1.92 + 0.9, abs=WINDOW_S)


# ----------------------------------------------------------------------------------------------- for any audio

stretches = st.lists(
    st.tuples(st.sampled_from([0.02, 0.3, 0.95]), st.integers(1, 40)), min_size=1, max_size=24
).map(lambda parts: [p for p, count in parts for _ in range(count)])


@settings(max_examples=300, deadline=None)
@given(
    stretches,
    st.sampled_from([SILENCE, SEMANTIC, WORDLESS]),
    st.sampled_from([0.0, 0.2, 1.0, 1.7]),
    st.floats(0.0, 1.4),
    st.floats(0.0, 0.29),
)
def test_the_same_audio_gives_the_same_turns_however_fast_it_comes(
    windows: list[float], options: ListeningOptions, pace: float, words_s: float, prediction_s: float
) -> None:
    windows = [*windows, *speech(8.0)]
    one, other = World(options), World(options, words_s=words_s, prediction_s=prediction_s)
    one.play(windows)
    one.run(one.now + 10.0)
    other.play(windows, pace=pace)
    other.run(other.now + 200.0)
    assert one.story == other.story


steps = st.lists(
    st.one_of(
        st.tuples(st.just("windows"), st.sampled_from([0.02, 0.4, 0.95]), st.integers(1, 20)),
        st.tuples(st.just("time"), st.floats(0.0, 3.0)),
        st.tuples(st.sampled_from(["quiet", "commit", "clear"])),
        st.tuples(st.just("heard"), st.sampled_from(["", "yes", "yes please"]), st.booleans()),
        st.tuples(st.just("predicted"), st.integers(0, 4), st.sampled_from([None, 0.1, 0.9])),
        st.tuples(st.just("configure"), st.sampled_from(ALL)),
    ),
    max_size=60,
)


def _carry_out(world: World, step: tuple[Any, ...]) -> None:
    match step:
        case ("windows", probability, count):
            for _ in range(count):
                world.window(probability)
                world.tell(Audio(world.end_s))
        case ("time", seconds):
            world.run(world.now + seconds)
        case ("quiet",):
            world.tell(Quiet(world.end_s + REST_S, world.now))
        case ("commit",):
            world.tell(Commit(world.end_s + REST_S))
        case ("clear",):
            world.tell(Clear(world.end_s + REST_S))
        case ("heard", text, settled):
            world.tell(facts.Heard(text, settled))
        case ("predicted", question, probability):
            world.tell(facts.Prediction(question, probability))
        case ("configure", options):
            world.engine.configure(options, world.end_s + REST_S, world.now)
            world.drain()


@settings(max_examples=400, deadline=None)
@given(steps, st.sampled_from(ALL), st.sampled_from([0.05, 9.0]))
def test_whatever_happens_each_turn_ends_once_and_no_audio_goes_twice(
    happens: list[tuple[Any, ...]], options: ListeningOptions, words_s: float
) -> None:
    world = World(options, words_s=words_s)
    kept_s, begun = 0.0, 0
    for step in happens:
        _carry_out(world, step)
        fresh, begun = world.actions[begun:], len(world.actions)
        for action in fresh:
            if isinstance(action, Pass):
                assert action.start_s >= kept_s - 1e-9  # it is still on the tape
        kept_s = max(kept_s, world.engine.keep_from_s)
    world.engine.configure(WORDLESS, world.end_s + REST_S, world.now)
    world.play(speech(3.0))
    world.run(world.now + 20.0)
    assert not world.engine.turn_open
    _check(world.actions)


def _check(actions: list[ListeningAction]) -> None:
    open_turn, speaking, passed_s, over_s, spoke_s, drafts = 0, False, 0.0, 0.0, 0.0, set()
    for action in actions:
        match action:
            case TurnBegan(turn=turn, start_s=start_s):
                assert not open_turn
                assert start_s >= over_s
                open_turn = turn
            case do.SpeechStarts(turn=turn, at_s=at_s):
                assert (turn, speaking) == (open_turn, False)
                assert at_s >= spoke_s
                speaking, spoke_s = True, at_s
            case do.SpeechStops(turn=turn, at_s=at_s):
                assert (turn, speaking) == (open_turn, True)
                assert at_s >= spoke_s
                speaking, spoke_s = False, at_s
            case Pass(start_s=start_s, end_s=end_s):
                assert passed_s <= start_s < end_s
                passed_s = end_s
            case TurnOver(turn=turn, reason=reason, start_s=start_s, end_s=end_s, draft=draft):
                assert turn == open_turn
                assert over_s <= start_s <= end_s
                assert reason in ("manual", "ceiling") or not speaking
                assert draft is None or draft in drafts
                open_turn, speaking, over_s = 0, False, end_s
                drafts.discard(draft)
            case TurnDropped(turn=turn):
                assert turn == open_turn
                open_turn, speaking = 0, False
            case do.Prepare(draft=draft):
                drafts.add(draft)
            case do.Discard(draft=draft):
                drafts.remove(draft)
            case _:
                pass
    assert not open_turn
    assert not drafts
