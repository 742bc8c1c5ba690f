"""The frames that a caller hears, on a time that is only an argument."""

from __future__ import annotations

import array
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.errors import AudioFormatError
from repartee.server.webrtc.pacing import (
    FRAME_BYTES,
    FRAME_S,
    SAMPLE_RATE,
    Cut,
    FrameClock,
    Heard,
    PlayedFrame,
    Playout,
    Started,
    Stopped,
)

FRAME = 480


def tone(samples: int, value: int = 1000) -> bytes:
    return array.array("h", [value] * samples).tobytes()


def drain(playout: Playout, frames: int) -> list[PlayedFrame]:
    return [playout.next_frame() for _ in range(frames)]


# ------------------------------------------------------------------------------------------------------- the clock


def test_frames_are_due_every_20_ms_however_late_each_was() -> None:
    clock = FrameClock(5.0)
    for index in range(500):
        assert clock.deadline() == pytest.approx(5.0 + index * FRAME_S)
        assert clock.sent(clock.deadline() + 0.013) == 0
    assert clock.index == 500


def test_after_a_short_stall_the_owed_frames_go_at_once() -> None:
    clock = FrameClock(0.0)
    now = 0.15
    owed = 0
    while clock.deadline() <= now:
        assert clock.sent(now) == 0
        owed += 1
    assert owed == 8  # those of 0, 20, … 140 ms


def test_after_a_long_stall_frames_are_skipped_in_the_timestamps_too() -> None:
    clock = FrameClock(0.0)
    assert clock.sent(1.0) == 49
    assert clock.index == 50
    assert clock.deadline() == pytest.approx(1.0)


@given(st.lists(st.floats(0.0, 2.0), max_size=50))
def test_the_clock_never_runs_ahead_nor_far_behind(stalls: list[float]) -> None:
    clock, now, last = FrameClock(0.0), 0.0, -1
    for stall in stalls:
        now = max(now, clock.deadline()) + stall
        assert clock.index > last
        last = clock.index
        clock.sent(now)
        assert now - clock.deadline() <= 0.2 + FRAME_S
        assert clock.deadline() - now <= FRAME_S + 1e-9


# ----------------------------------------------------------------------------------------------------- the playout


def test_nothing_to_say_is_silence() -> None:
    playout = Playout()
    frame = playout.next_frame()
    assert (frame.data, frame.silent, frame.events) == (bytes(FRAME_BYTES), True, ())
    assert playout.clear() is None
    assert playout.response_id is None


def test_a_response_starts_is_heard_and_stops() -> None:
    playout = Playout()
    playout.write("r", "i", tone(FRAME + 100))
    playout.end("r")
    assert playout.pending_s == (FRAME + 100) / SAMPLE_RATE
    first, second, third, fourth = drain(playout, 4)
    assert first.data == tone(FRAME)
    assert first.events == [Started("r"), Heard("i", FRAME)]
    assert second.data == tone(100) + bytes(FRAME_BYTES - 200)
    assert second.events == [Heard("i", FRAME + 100)]
    assert third.events == [Stopped("r")]  # a frame later: the last one has had its 20 ms
    assert third.silent
    assert fourth.events == ()
    assert playout.underruns == 0
    assert playout.pending_s == 0


def test_audio_that_comes_late_leaves_a_gap_and_is_counted() -> None:
    playout = Playout()
    playout.write("r", "i", tone(FRAME))
    drain(playout, 3)
    assert playout.underruns == 2
    assert playout.response_id == "r"
    playout.write("r", "i", tone(FRAME))
    assert playout.next_frame().events == [Heard("i", 2 * FRAME)]
    playout.end("r")
    assert playout.next_frame().events == [Stopped("r")]


def test_items_of_a_response_follow_each_other_within_a_frame() -> None:
    playout = Playout()
    playout.write("r", "a", tone(FRAME // 2, 1))
    playout.write("r", "b", tone(FRAME, 2))
    frame = playout.next_frame()
    assert frame.data == tone(FRAME // 2, 1) + tone(FRAME // 2, 2)
    assert frame.events == [Started("r"), Heard("a", FRAME // 2), Heard("b", FRAME // 2)]
    assert (playout.item_id, playout.position_samples) == ("b", FRAME // 2)


def test_responses_follow_each_other_even_if_written_by_turns() -> None:
    playout = Playout()
    for _ in range(3):
        playout.write("r1", "a", tone(FRAME, 1))
        playout.write("r2", "b", tone(FRAME, 2))
    playout.end("r2")
    assert [frame.data[0] for frame in drain(playout, 4)] == [1, 1, 1, 0]  # r1 may still say more
    playout.end("r1")
    events = [event for frame in drain(playout, 4) for event in frame.events if not isinstance(event, Heard)]
    assert events == [Stopped("r1"), Started("r2"), Stopped("r2")]


def test_the_end_of_a_response_without_audio_is_nothing() -> None:
    playout = Playout()
    playout.write("r", "i", b"")
    playout.end("r")
    assert playout.next_frame().events == ()


def test_clearing_fades_within_5_ms_and_says_how_far_it_came() -> None:
    playout = Playout()
    playout.write("r", "i", tone(10 * FRAME, 12000))
    playout.write("r2", "j", tone(FRAME))
    drain(playout, 3)
    assert playout.clear() == Cut("r", "i", 3 * FRAME, True)
    samples = array.array("h", playout.next_frame().data)
    assert samples[0] == pytest.approx(12000, abs=150)
    assert all(one >= two for one, two in itertools.pairwise(samples))
    assert max(one - two for one, two in itertools.pairwise(samples)) < 250  # no click
    assert not any(samples[120:])
    assert playout.next_frame().silent
    assert playout.response_id is None
    assert playout.clear() is None


def test_clearing_before_the_first_frame_and_after_the_last() -> None:
    playout = Playout()
    playout.write("r", "i", tone(FRAME))
    assert playout.clear() == Cut("r", "i", 0, False)
    playout.end("r")
    assert playout.next_frame().silent
    playout.write("r", "i", tone(FRAME))
    playout.next_frame()
    assert playout.clear() == Cut("r", "i", FRAME, True)  # not ended: more would have come
    assert playout.next_frame().silent


def test_what_follows_a_clear_is_played_from_its_beginning() -> None:
    playout = Playout()
    playout.write("r", "i", tone(5 * FRAME))
    playout.next_frame()
    playout.clear()
    playout.write("r2", "j", tone(FRAME, 7))
    assert playout.next_frame().events == ()  # the fade
    frame = playout.next_frame()
    assert frame.events == [Started("r2"), Heard("j", FRAME)]
    assert frame.data == tone(FRAME, 7)


def test_the_rest_of_what_was_cut_is_dropped() -> None:
    playout = Playout()
    playout.write("r", "i", tone(FRAME))
    playout.next_frame()
    playout.clear()
    assert not playout.write("r", "i", tone(FRAME))
    assert playout.pending_s == 0
    playout.end("r")
    assert playout.write("r", "i", tone(FRAME))
    for index in range(200):
        playout.write(f"r{index}", "i", tone(1))
    playout.clear()
    assert playout.write("r0", "i", tone(1))  # forgotten
    assert not playout.write("r199", "i", tone(1))


def test_too_much_is_refused() -> None:
    playout = Playout(pending_max_s=1.0)
    assert playout.write("r", "i", tone(SAMPLE_RATE))
    assert not playout.write("r", "i", tone(1))
    assert playout.refused_bytes == 2
    playout.next_frame()
    assert playout.write("r", "i", tone(1))


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(AudioFormatError, match="3 bytes are not whole"):
        Playout().write("r", "i", b"123")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.sampled_from("abc"), st.integers(0, 3000)),
            st.tuples(st.just("end"), st.sampled_from("abc"), st.just(0)),
            st.tuples(st.just("clear"), st.just(""), st.just(0)),
            st.tuples(st.just("frame"), st.just(""), st.just(0)),
        ),
        max_size=60,
    )
)
def test_every_sample_is_played_once_or_cut(steps: list[tuple[str, str, int]]) -> None:
    playout = Playout()
    written = heard = cut = 0
    playing: str | None = None
    position: dict[str, int] = {}
    for verb, name, count in steps:
        if verb == "write":
            if playout.write(name, f"item_{name}", tone(count)):
                written += count
        elif verb == "end":
            playout.end(name)
        elif verb == "clear":
            waiting = round(playout.pending_s * SAMPLE_RATE)
            found = playout.clear()
            cut += waiting
            assert (found is not None and found.started) == (playing is not None)
            playing, position = None, {}
        else:
            for event in playout.next_frame().events:
                if isinstance(event, Started):
                    assert playing is None
                    playing, position = event.response_id, {}
                elif isinstance(event, Stopped):
                    assert event.response_id == playing
                    playing = None
                else:
                    heard += event.samples - position.get(event.item_id, 0)
                    position[event.item_id] = event.samples
        assert playout.response_id == playing
        assert written == heard + cut + round(playout.pending_s * SAMPLE_RATE)
