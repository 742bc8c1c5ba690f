"""Edges of speech, by windows of 32 ms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.errors import ConfigurationError
from repartee.turns import Edge, EdgeKind, SpeechGate, SpeechGateOptions
from repartee.turns.speech import GateState

WINDOW_S = 0.032


def edges(
    *probabilities: float, options: SpeechGateOptions | None = None, start_s: float = 0.0
) -> list[tuple[int, str, float]]:
    """(window that completes it, kind, ms from the start) for each edge."""
    gate = SpeechGate(options)
    found = []
    for index, probability in enumerate(probabilities):
        edge = gate.receive(probability, start_s + index * WINDOW_S, start_s + index * WINDOW_S + WINDOW_S)
        if edge is not None:
            found.append((index, edge.kind.value, round((edge.at_s - start_s) * 1000.0, 3)))
    return found


def test_speech_and_silence_give_three_edges_dated_to_where_they_are() -> None:
    # Speech is windows 1 to 4; its start is noticed at 96 ms of it, its stop at 64 ms of silence.
    assert edges(0.1, 0.9, 0.9, 0.9, 0.9, 0.1, 0.1) == [
        (1, "onset", 32.0),
        (3, "start", 32.0),
        (6, "stop", 160.0),
    ]


def test_an_onset_that_does_not_last_is_dropped_where_its_end_is_known() -> None:
    assert edges(0.9, 0.9, 0.1, 0.1) == [(0, "onset", 0.0), (2, "dropped", 96.0)]


def test_a_short_gap_is_no_stop() -> None:
    assert edges(0.9, 0.9, 0.9, 0.1, 0.9, 0.1, 0.1) == [
        (0, "onset", 0.0),
        (2, "start", 0.0),
        (6, "stop", 160.0),
    ]


def test_between_the_two_thresholds_nothing_changes() -> None:
    assert edges(0.45, 0.45) == []  # not enough to begin
    assert edges(0.5, 0.4, 0.36, 0.4) == [(0, "onset", 0.0), (2, "start", 0.0)]  # enough to go on
    # Below the release it is silence, and 0.4 does not bring it back.
    assert edges(0.9, 0.9, 0.9, 0.3, 0.4)[-1] == (4, "stop", 96.0)


@pytest.mark.parametrize("threshold, level", [(0.5, 0.35), (0.1, 0.05), (0.9, 0.75)])
def test_the_release_lies_below_the_threshold(threshold: float, level: float) -> None:
    assert SpeechGateOptions(threshold=threshold).release_level == pytest.approx(level)


def test_a_release_of_its_own() -> None:
    options = SpeechGateOptions(release=0.5)
    assert edges(0.5, 0.49, options=options) == [(0, "onset", 0.0), (1, "dropped", 64.0)]


def test_one_silent_window_is_enough_where_its_length_is() -> None:
    options = SpeechGateOptions(min_speech_ms=32, min_silence_ms=32)
    assert edges(0.9, 0.9, 0.1, options=options) == [
        (0, "onset", 0.0),
        (1, "start", 0.0),
        (2, "stop", 64.0),
    ]


@given(st.integers(0, 10_000_000))
def test_rounding_never_costs_a_window(start_samples: int) -> None:
    """Three windows of 32 ms are 96 ms wherever in the audio they lie."""
    found = edges(0.9, 0.9, 0.9, 0.1, 0.1, start_s=start_samples / 16_000)
    assert [(index, kind) for index, kind, _ in found] == [(0, "onset"), (2, "start"), (4, "stop")]


@given(st.lists(st.floats(0.0, 1.0), max_size=100))
def test_edges_alternate_and_never_run_back(probabilities: list[float]) -> None:
    gate = SpeechGate()
    follows: dict[EdgeKind | None, set[EdgeKind]] = {
        None: {EdgeKind.ONSET},
        EdgeKind.ONSET: {EdgeKind.DROPPED, EdgeKind.START},
        EdgeKind.DROPPED: {EdgeKind.ONSET},
        EdgeKind.START: {EdgeKind.STOP},
        EdgeKind.STOP: {EdgeKind.ONSET},
    }
    last: EdgeKind | None = None
    at_s = 0.0
    for index, probability in enumerate(probabilities):
        edge = gate.receive(probability, index * WINDOW_S, (index + 1) * WINDOW_S)
        if edge is not None:
            assert edge.kind in follows[last]
            assert edge.at_s >= at_s
            last, at_s = edge.kind, edge.at_s
    expected = {
        None: {GateState.SILENT},
        EdgeKind.ONSET: {GateState.RISING},
        EdgeKind.DROPPED: {GateState.SILENT},
        EdgeKind.START: {GateState.SPEAKING, GateState.FALLING},
        EdgeKind.STOP: {GateState.SILENT},
    }
    assert gate.state in expected[last]


def test_an_edge_is_a_value() -> None:
    assert Edge(EdgeKind.STOP, 1.5) == Edge(EdgeKind.STOP, 1.5)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0])
def test_a_threshold_is_between_0_and_1(threshold: float) -> None:
    with pytest.raises(ConfigurationError, match=r"threshold is .* between 0 and 1"):
        SpeechGateOptions(threshold=threshold)


@pytest.mark.parametrize("release", [0.0, 0.51])
def test_a_release_is_not_above_the_threshold(release: float) -> None:
    with pytest.raises(ConfigurationError, match=r"not above threshold \(0\.5\)"):
        SpeechGateOptions(release=release)


@pytest.mark.parametrize("name", ["min_speech_ms", "min_silence_ms"])
def test_lengths_are_not_negative(name: str) -> None:
    with pytest.raises(ConfigurationError, match="must not be negative"):
        SpeechGateOptions(**{name: -1.0})
