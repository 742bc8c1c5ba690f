"""The server's ears: turns of audio that came in any way."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repartee.chat import FunctionCall
from repartee.compose import Overheard
from repartee.models import events as ev
from repartee.testing import (
    Reply,
    ScriptedRealtimeModel,
    ScriptedSTT,
    ScriptedTurnDetector,
    ScriptedVAD,
    elapse,
    fail,
    run,
    sleep_until,
    stall,
    virtual_time,
)
from tests.server.ears import (
    PUSH_TO_TALK,
    RATE,
    Ears,
    as_ulaw,
    cascade,
    semantic_vad,
    server_vad,
    session,
    sound,
)

TURN = sound(1.0, "book a table", 1.0)
BEGAN_MS, OVER_MS = 692, 2528  # of that turn: window edges of 32 ms, 300 ms of padding, 500 ms of silence


def hears_itself(**options: Any) -> ScriptedRealtimeModel:
    """A model that takes audio as it is, and tells the words only afterwards."""
    return ScriptedRealtimeModel(strict=False, **options)


@virtual_time
async def test_a_turn_is_told_in_the_protocols_order() -> None:
    async with Ears() as ears:
        await ears.speak(TURN)
        assert ears.turns == [("started", BEGAN_MS), ("stopped", OVER_MS), ("over", None, "draft:1")]
        assert len({what[1] for what in ears.told}) == 1  # one item
        assert ears.times == [1100, 2540, 2540]  # no later than the audio says
        assert ears.ended == [("silence", 2016)]  # the words end at 2000, within a window of 32 ms
        assert ears.said == ["book a table"]


@virtual_time
async def test_a_whole_file_at_once_gives_its_turns_one_after_another() -> None:
    async with Ears() as ears:
        ears.listening.append(sound(1.0, "book a table", 1.0, "for two please", 2.0))
        await elapse(1.0)
        assert ears.turns == [
            ("started", 692),
            ("stopped", 2528),
            ("over", None, "draft:1"),
            ("started", 2676),
            ("stopped", 4512),
            ("over", None, "draft:2"),
        ]
        assert ears.said == ["book a table", "for two please"]
        assert [len(audio) / 48 for audio in ears.audio] == [2528 - 692, 4512 - 2676]


AUDIO = sound(0.4, "hello there", 0.3, "my friend", 1.1, "how are you", 0.1, "today", 0.9)


def _story(cuts: list[int], paced: bool) -> Any:
    async def listen() -> Any:
        async with Ears(config=server_vad(silence_duration_ms=400)) as ears:
            at, turn = 0, 0
            while at < len(AUDIO):
                size = 2 * cuts[turn % len(cuts)]
                if paced:
                    await elapse(size / 2 / RATE)
                ears.listening.append(AUDIO[at : at + size])
                at, turn = at + size, turn + 1
            await elapse(3.0)
            return [what[:2] for what in ears.turns], ears.said, ears.audio

    return run(listen())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=4), st.booleans())
def test_the_same_audio_is_heard_the_same_in_whatever_pieces_and_however_fast(
    cuts: list[int], paced: bool
) -> None:
    cuts = [max(cut, 48) for cut in cuts]
    told, said, audio = _story([480], True)
    assert said == ["hello there my friend", "how are you today"]
    assert _story(cuts, paced) == (told, said, audio)


@virtual_time
async def test_the_models_audio_is_the_turns_and_not_the_silence_around() -> None:
    async with Ears(hears_itself()) as ears:
        await ears.speak(TURN)
        frames = ears.passed
        assert frames[0].position_samples == BEGAN_MS * 24
        assert frames[-1].end_samples == 2080 * 24  # 64 ms behind the last word's window
        assert sum(frame.samples for frame in frames) == (2080 - BEGAN_MS) * 24


@virtual_time
async def test_a_noise_without_words_is_committed_and_not_answered() -> None:
    async with Ears(cascade(finals={"hm": ""}, misheard={"hm": ""})) as ears:
        await ears.speak(sound(1.0, "hm", 1.0))
        assert ears.turns[-1] == ("over", False, None)
        assert ears.said == []


@virtual_time
async def test_a_model_that_hears_by_itself_is_asked_whatever_was_said() -> None:
    async with Ears(hears_itself()) as ears:
        await ears.speak(sound(1.0, "hm", 1.0))
        assert ears.turns[-1] == ("over", None, None)


@virtual_time
async def test_padding_silence_and_threshold_are_the_sessions() -> None:
    async with Ears(config=server_vad(prefix_padding_ms=100, silence_duration_ms=200)) as ears:
        await ears.speak(TURN)
        assert ears.turns[:2] == [("started", 892), ("stopped", 2240)]
    deaf = server_vad(threshold=0.99)
    async with Ears(config=deaf, vad=ScriptedVAD(probability=0.9)) as ears:
        await ears.speak(TURN)
        assert ears.turns == []


@virtual_time
async def test_where_no_audio_comes_any_more_the_turn_ends() -> None:
    async with Ears() as ears:
        await ears.speak(sound(1.0, "book a table"))
        await elapse(2.0)
        assert ears.turns[-2:] == [("stopped", 2000), ("over", None, "draft:1")]
        assert ears.times[-1] == 3050  # a second without audio, and the last words
        assert ears.said == ["book a table"]
        await ears.speak(sound(0.2, "for two", 1.0))
        assert ears.said == ["book a table", "for two"]
        assert ears.turns[3][1] >= 2000


# -- push-to-talk ----------------------------------------------------------------------------------------------


@virtual_time
async def test_push_to_talk() -> None:
    async with Ears(config=PUSH_TO_TALK) as ears:
        await ears.speak(TURN)
        assert ears.listening.commit("item_mine") == TURN
        await elapse(1.0)
        assert ears.turns == []
        assert ears.said == ["book a table"]
        assert ears.ended == [("manual", 3000)]
        assert [item.id for item in ears.history] == ["item_mine"]
        assert ears.listening.commit() == b""


@virtual_time
async def test_a_commit_in_the_middle_of_speech_takes_all_that_came() -> None:
    async with Ears(vad=ScriptedVAD(lag_s=0.3)) as ears:
        await ears.speak(sound(1.0, "book a table"))
        [started] = ears.told
        audio = ears.listening.commit("item_other")
        await elapse(1.0)
        assert len(audio) == (2000 - BEGAN_MS) * 48
        assert ears.turns == [("started", BEGAN_MS)]
        assert ears.said == ["book a table"]
        assert [item.id for item in ears.history] == [started[1]]  # the one that was announced
        await ears.speak(sound("for two", 1.0))
        assert ears.said == ["book a table", "for two"]


@virtual_time
async def test_a_commit_without_speech_takes_the_latest_audio() -> None:
    async with Ears(hears_itself(), vad=ScriptedVAD(intervals=[])) as ears:
        await ears.speak(sound(5.0, "psst"))
        audio = ears.listening.commit()
        assert audio.endswith(sound("psst"))
        assert 3000 * 48 <= len(audio) <= 3500 * 48


@virtual_time
async def test_clear_forgets_what_was_said() -> None:
    async with Ears() as ears:
        await ears.speak(sound(1.0, "book a table", 0.3))
        ears.listening.clear()
        await ears.speak(sound(1.0))
        assert ears.turns == [("started", BEGAN_MS)]
        assert ears.said == []
        await ears.speak(TURN)
        assert ears.said == ["book a table"]


@virtual_time
async def test_without_a_detector_only_the_client_ends_turns(caplog: pytest.LogCaptureFixture) -> None:
    async with Ears(vad=None) as ears:
        await ears.speak(TURN)
        assert ears.turns == []
        assert ears.listening.commit() == TURN
    assert "no VAD" in caplog.text


# -- changes in the middle of speech ---------------------------------------------------------------------------


@virtual_time
async def test_switching_modes_in_the_middle_of_speech_loses_no_word() -> None:
    async with Ears() as ears:
        await ears.speak(sound(1.0, "book a"))
        ears.listening.configure(PUSH_TO_TALK)
        await ears.speak(sound(" table", 2.0, "for two"))
        assert ears.turns == [("started", BEGAN_MS)]
        audio = ears.listening.commit()
        assert ears.inner is not None
        await elapse(0.5)
        assert ears.said == ["book a table for two"]
        assert len(audio) == 48 * (1000 - BEGAN_MS) + len(sound("book a", " table", 2.0, "for two"))
        ears.listening.configure(server_vad())
        await ears.speak(sound(0.5, "please", 1.0))
        assert ears.said[-1] == "please"


@pytest.mark.parametrize("format", ["pcmu", "pcma"])
@virtual_time
async def test_another_format_in_the_middle_of_speech_is_the_same_turn(format: str) -> None:
    async with Ears(hears_itself(), deaf=True) as ears:
        ears.listening.configure(session(format=format))
        ears.listening.configure(session(format="pcm"))
        await ears.speak(sound(1.0, "book a"))
        ears.listening.configure(session(format=format))
        await ears.speak(as_ulaw(sound("table")), bytes_per_ms=8)
        ears.listening.configure(session(format="pcm"))
        await ears.speak(sound("please"))
        ears.listening.configure(session(format="pcmu"))
        await ears.speak(as_ulaw(sound(1.0)), bytes_per_ms=8)
        assert [what[0] for what in ears.turns] == ["started", "stopped", "over"]
        started_ms, stopped_ms = ears.turns[0][1], ears.turns[1][1]
        assert started_ms == BEGAN_MS
        assert stopped_ms == pytest.approx(2333 + 500, abs=40)
        assert len(ears.audio[0]) == pytest.approx(8 * (stopped_ms - started_ms), abs=16)


@virtual_time
async def test_telephone_audio_is_kept_as_it_came_and_resampled_for_the_model() -> None:
    async with Ears(hears_itself(), session(format="pcmu"), deaf=True) as ears:
        wire = as_ulaw(TURN)
        await ears.speak(wire, bytes_per_ms=8)
        assert [what[0] for what in ears.turns] == ["started", "stopped", "over"]
        begin, end = 8 * ears.turns[0][1], 8 * ears.turns[1][1]
        assert ears.audio == [wire[begin:end]]
        frames = ears.passed
        assert {frame.sample_rate for frame in frames} == {24_000}
        assert sum(frame.samples for frame in frames) == pytest.approx((2080 - BEGAN_MS) * 24, abs=32 * 24)


# -- semantic_vad ----------------------------------------------------------------------------------------------


@virtual_time
async def test_semantic_vad_waits_by_the_words() -> None:
    detector = ScriptedTurnDetector({"my number is": 0.02, "my number is five": 0.98})
    async with Ears(turn_detector=detector, config=semantic_vad(eagerness="medium")) as ears:
        await ears.speak(sound(1.0, "my number is", 1.5, "five", 1.0))
        assert ears.said == ["my number is five"]
        assert ears.turns[1][1] == pytest.approx(3833 + 250, abs=64)
        assert [e.probability for e in ears.observed if isinstance(e, ev.EndOfTurnPredicted)] == [0.02, 0.98]


@pytest.mark.parametrize("eagerness, longest_s", [("low", 8), ("medium", 4), ("high", 2), ("auto", 4)])
@virtual_time
async def test_semantic_vad_waits_no_longer_than_its_eagerness_says(eagerness: str, longest_s: int) -> None:
    detector = ScriptedTurnDetector(0.0)
    async with Ears(turn_detector=detector, config=semantic_vad(eagerness=eagerness)) as ears:
        await ears.speak(sound(1.0, "my number is", 9.0))
        assert ears.turns[1][1] == pytest.approx(2000 + 1000 * longest_s, abs=64)


@virtual_time
async def test_semantic_vad_goes_by_silence_where_there_are_no_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Ears(hears_itself(), semantic_vad(), turn_detector=ScriptedTurnDetector(0.0)) as ears:
        await ears.speak(TURN)
        assert ears.turns[1] == ("stopped", OVER_MS)
        assert ev.WordsFrom("silence") in ears.observed
    assert "tells no words before a turn is committed" in caplog.text


@virtual_time
async def test_semantic_vad_beside_a_model_that_hears_by_itself_goes_by_the_overheard_words() -> None:
    model = Overheard(hears_itself(), ScriptedSTT())
    detector = ScriptedTurnDetector({"my number is": 0.02, "my number is five": 0.98})
    async with Ears(model, semantic_vad(), turn_detector=detector) as ears:
        await ears.speak(sound(1.0, "my number is", 1.5, "five", 1.0))
        assert [what[0] for what in ears.turns] == ["started", "stopped", "over"]
        assert ears.turns[2][1] is None


@virtual_time
async def test_a_detector_that_fails_leaves_the_turn_to_the_silence() -> None:
    detector = ScriptedTurnDetector(0.0, faults=[fail(1)])
    async with Ears(turn_detector=detector, config=semantic_vad()) as ears:
        await ears.speak(TURN)
        assert ears.turns[1] == ("stopped", OVER_MS)
        assert [e.stage for e in ears.observed if isinstance(e, ev.ErrorOccurred)] == ["turn_detector"]


# -- drafts ----------------------------------------------------------------------------------------------------


def _responses(ears: Ears) -> list[Any]:
    return [(e.request_id if isinstance(e, ev.ResponseCreated) else e.status) for e in ears.events
            if isinstance(e, ev.ResponseCreated | ev.ResponseDone)]  # fmt: skip


@virtual_time
async def test_an_answer_is_prepared_in_the_silence_and_named_when_it_is_over() -> None:
    async with Ears(cascade(replies=["Sure."])) as ears:
        await ears.speak(TURN)
        assert ears.turns[-1] == ("over", None, "draft:1")
        created = next(e for e in ears.events if isinstance(e, ev.ResponseCreated))
        assert created.request_id == "draft:1"


@virtual_time
async def test_an_answer_to_words_that_went_on_is_taken_back() -> None:
    slow = Reply("Sure.", ttft_s=0.7)
    async with Ears(cascade(replies=[slow, slow])) as ears:
        await ears.speak(sound(1.0, "book a table", 0.3, "for two", 1.0))
        assert _responses(ears)[:3] == ["draft:1", "cancelled", "draft:2"]
        assert ears.turns[-1] == ("over", None, "draft:2")
        assert ears.said == ["book a table for two"]


@virtual_time
async def test_nothing_is_prepared_where_no_response_will_follow() -> None:
    async with Ears(config=server_vad(create_response=False)) as ears:
        await ears.speak(TURN)
        assert _responses(ears) == []
        assert ears.turns[-1] == ("over", None, None)


# -- failures --------------------------------------------------------------------------------------------------


def _vad_errors(ears: Ears) -> list[str]:
    return [str(e.error) for e in ears.observed if isinstance(e, ev.ErrorOccurred) and e.stage == "vad"]


@virtual_time
async def test_a_detector_that_fails_is_replaced_and_no_word_is_lost() -> None:
    vad = ScriptedVAD(faults=[fail(1, after=45)])
    async with Ears(vad=vad) as ears:
        await ears.speak(TURN)
        assert ears.said == ["book a table"]
        assert len(_vad_errors(ears)) == 1
        assert vad.open_streams == 1
    assert vad.open_streams == 0


@virtual_time
async def test_a_detector_that_always_fails_leaves_manual_commits() -> None:
    vad = ScriptedVAD(faults=[fail(n) for n in range(1, 99)])
    async with Ears(vad=vad) as ears:
        await ears.speak(sound("book a table"))
        audio = ears.listening.commit()
        await elapse(0.5)
        assert ears.said == ["book a table"]
        assert audio == sound("book a table")
        assert 2 <= len(_vad_errors(ears)) <= 4


@virtual_time
async def test_a_turn_ends_where_the_detector_is_lost_in_it() -> None:
    vad = ScriptedVAD(faults=[fail(1, after=45), *(fail(n) for n in range(2, 99))])
    async with Ears(vad=vad) as ears:
        await ears.speak(sound(1.0, "book a table", 4.0))
        assert [what[0] for what in ears.turns] == ["started", "stopped", "over"]


@virtual_time
async def test_a_detector_that_stalls_is_replaced() -> None:
    vad = ScriptedVAD(faults=[stall(1, after=10)])
    async with Ears(vad=vad) as ears:
        await ears.speak(sound(1.0, "book a table", 3.0))
        assert "given nothing for 2 s" in _vad_errors(ears)[0]
        assert ears.said == ["book a table"]


@virtual_time
async def test_more_audio_than_can_wait_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repartee.server.hearing.listening.WAITING_MAX_S", 3.0)
    async with Ears(vad=ScriptedVAD(lag_s=1.9)) as ears:
        for _ in range(5):
            ears.listening.append(sound(1.0))
        errors = [e for e in ears.observed if isinstance(e, ev.ErrorOccurred)]
        assert [e.stage for e in errors] == ["input"]


@virtual_time
async def test_missing_noise_suppression_is_logged_and_the_session_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "livekit", None)
    with caplog.at_level(logging.WARNING):
        async with Ears(config=session(noise="near_field")) as ears:
            await ears.speak(TURN)
            assert ears.said == ["book a table"]
    assert "noise suppression" in caplog.text
    assert "livekit" in caplog.text


# -- idle ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["cascade", "hears_itself"])
@virtual_time
async def test_who_says_nothing_after_the_answer_is_asked(model: str) -> None:
    made = cascade() if model == "cascade" else hears_itself()
    async with Ears(made, server_vad(idle_timeout_ms=5000)) as ears:
        await ears.speak(sound(2.0))
        ears.listening.output_ends(ears.clock.now() + 1.0)
        await ears.speak(sound(8.0))
        assert ears.turns == [("idle", 2000, 7980), ("over", True, None)]
        assert ears.times == [8000, 8000]
        assert ears.told[0][1] == ears.told[1][1]
        assert [e.item_id for e in ears.events if isinstance(e, ev.InputCommitted)] == (
            [] if model == "cascade" else [ears.told[0][1]]
        )
        assert len(ears.audio[0]) > 0
        await ears.speak(sound(9.0))
        assert len(ears.turns) == 2  # once; the answer to it begins it again


@virtual_time
async def test_who_speaks_or_is_answered_is_not_idle() -> None:
    async with Ears(config=server_vad(idle_timeout_ms=5000)) as ears:
        ears.listening.output_ends(0.0)
        await sleep_until(4.0)
        ears.listening.response_begins()
        await sleep_until(20.0)
        assert ears.turns == []
        ears.listening.output_ends(20.0)
        await ears.speak(sound(3.0, "book a table", 7.0))
        assert [what[0] for what in ears.turns] == ["started", "stopped", "over"]


@virtual_time
async def test_idleness_can_be_switched_on_and_off_live() -> None:
    async with Ears() as ears:
        ears.listening.output_ends(0.0)
        await sleep_until(3.0)
        ears.listening.configure(server_vad(idle_timeout_ms=6000))
        await sleep_until(5.5)
        ears.listening.configure(server_vad(idle_timeout_ms=None))
        await sleep_until(9.0)
        ears.listening.configure(semantic_vad())
        assert ears.turns == []
        ears.listening.output_ends(9.0)
        ears.listening.configure(server_vad(idle_timeout_ms=5000))
        await sleep_until(14.1)
        assert ears.turns[0] == ("idle", 0, 0)


def test_a_function_call_is_no_turn() -> None:
    """Events that are none of its business change nothing."""

    async def listen() -> None:
        async with Ears() as ears:
            call = FunctionCall("f", "{}", "call_1")
            ears.listening.on_event(ev.OutputItemDone("resp_1", call))
            assert ears.turns == []

    run(listen())
