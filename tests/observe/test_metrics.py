"""How long each reply took, and in which stage."""

from __future__ import annotations

import pytest

from repartee.models import events as ev
from repartee.observe import LatencyView, TurnLatency
from repartee.testing import virtual_time
from tests.session.scene import Scene


def feed(view: LatencyView, response_id: str, **stages: float) -> TurnLatency | None:
    last = None
    for stage, at_s in stages.items():
        last = view.receive(ev.StageReached(response_id, stage, at_s))  # type: ignore[arg-type]
    return last


def test_a_reply_is_complete_when_it_is_heard() -> None:
    view = LatencyView()
    assert feed(view, "r1", speech_end=1.0, decision=1.5, first_audio=1.4) is None
    turn = feed(view, "r1", playback=1.6)
    assert turn is not None
    assert turn.voice_to_voice_s == pytest.approx(0.6)
    assert turn.after_decision_s == pytest.approx(0.1)
    assert turn.between("first_audio", "playback") == pytest.approx(0.2)
    assert turn.between("transcript", "playback") is None
    assert list(view.turns) == [turn]


def test_a_typed_turn_has_no_end_of_speech() -> None:
    turn = feed(LatencyView(), "r1", first_token=1.0, playback=1.6)
    assert turn is not None
    assert turn.voice_to_voice_s is None


def test_the_first_time_of_a_stage_counts() -> None:
    turn = feed(view := LatencyView(), "r1", first_token=1.0)
    turn = feed(view, "r1", first_token=9.0, playback=9.5)
    assert turn is not None
    assert turn.stages["first_token"] == 1.0


def test_other_events_and_replies_that_nobody_heard_measure_nothing() -> None:
    view = LatencyView()
    feed(view, "r1", first_token=1.0)
    assert view.receive(ev.ResponseDone("r1", "cancelled")) is None
    assert view.receive(ev.ItemDeleted("x")) is None
    assert not view.turns


def test_it_remembers_only_so_many() -> None:
    view = LatencyView(keep=2)
    for index in range(200):
        feed(view, f"open{index}", first_token=1.0)
    for index in range(3):
        feed(view, f"r{index}", playback=float(index))
    assert [turn.response_id for turn in view.turns] == ["r1", "r2"]
    assert len(view._open) <= 64


@virtual_time
async def test_a_sessions_latency() -> None:
    view = LatencyView()
    async with Scene("Sure, for how many people?") as scene:
        scene.session.on(ev.StageReached, view.receive)
        scene.mic.speak("book a table", 0.96)
        await scene.until(5)
    turn = view.turns[0]
    # Silence from 1984 ms on; decided 500 ms later; the first 20 ms have been heard at 2504.
    assert turn.voice_to_voice_s == pytest.approx(0.52)
    assert turn.after_decision_s == pytest.approx(0.02)
