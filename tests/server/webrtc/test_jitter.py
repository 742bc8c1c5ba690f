"""Packets in order, without waiting longer than that takes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from repartee.server.webrtc.jitter import HELD_MAX, JitterBuffer, VoicePacket


class Stream:
    """Packets of 20 ms, numbered from 0, beginning just before both counters wrap around."""

    def __init__(self) -> None:
        self.buffer = JitterBuffer()

    def push(self, number: int, now: float, source: int = 1) -> list[int]:
        ready = self.buffer.push(
            source,
            (65_530 + number) % 65_536,
            (2**32 - 1000 + number * 960) % 2**32,
            96,
            number.to_bytes(4, "big"),
            now=now,
        )
        self.packets = ready
        return [int.from_bytes(packet.payload, "big") for packet in ready]


def test_packets_in_order_pass_at_once_across_the_wrap() -> None:
    stream = Stream()
    timestamps = []
    for number in range(100):
        assert stream.push(number, number * 0.02) == [number]
        timestamps.append(stream.packets[0].timestamp)
    assert [two - one for one, two in itertools.pairwise(timestamps)] == [960] * 99


def test_only_the_first_packet_is_fresh() -> None:
    stream = Stream()
    stream.push(0, 0.0)
    assert stream.packets == [VoicePacket(96, 2**32 - 1000, bytes(4), fresh=True)]
    stream.push(1, 0.02)
    assert not stream.packets[0].fresh


def test_a_swapped_pair_is_put_right() -> None:
    stream = Stream()
    assert stream.push(0, 0.0) == [0]
    assert stream.push(2, 0.02) == []
    assert stream.push(1, 0.03) == [1, 2]
    assert (stream.buffer.lost, stream.buffer.late) == (0, 0)


def test_a_lost_packet_is_given_up_after_60_ms_and_dropped_if_it_comes_after_all() -> None:
    stream = Stream()
    stream.push(0, 0.0)
    assert stream.push(2, 0.04) == []
    assert stream.push(3, 0.06) == []
    assert stream.push(4, 0.08) == []
    assert stream.push(5, 0.10) == [2, 3, 4, 5]
    assert stream.buffer.lost == 1
    assert stream.push(1, 0.11) == []
    assert stream.buffer.late == 1
    assert stream.push(6, 0.12) == [6]  # no delay is left behind


def test_each_gap_has_its_own_time() -> None:
    stream = Stream()
    stream.push(0, 0.0)
    stream.push(2, 0.00)
    stream.push(4, 0.05)
    assert stream.push(5, 0.06) == [2]  # 1 is given up; 3 is missing since now
    assert stream.push(6, 0.10) == []
    assert stream.push(7, 0.12) == [4, 5, 6, 7]


def test_a_burst_behind_a_gap_is_not_held_without_bound() -> None:
    stream = Stream()
    stream.push(0, 0.0)
    ready: list[int] = []
    for number in range(2, 2 + HELD_MAX):
        ready += stream.push(number, 0.01)
    assert ready == list(range(2, 2 + HELD_MAX))


def test_a_packet_twice_is_one() -> None:
    stream = Stream()
    stream.push(0, 0.0)
    stream.push(2, 0.0)
    assert stream.push(2, 0.0) == []
    assert stream.push(0, 0.0) == []
    assert stream.buffer.late == 2


def test_another_source_or_a_far_jump_begins_anew() -> None:
    stream = Stream()
    stream.push(0, 0.0)
    assert stream.push(500, 0.02, source=2) == [500]
    assert stream.packets[0].fresh
    assert stream.push(10_000, 0.04, source=2) == [10_000]
    assert stream.packets[0].fresh
    assert stream.push(10_001, 0.06, source=2) == [10_001]
    assert not stream.packets[0].fresh


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 0.1)), max_size=80))
def test_whatever_comes_is_handed_on_in_order_and_once(steps: list[tuple[int, float]]) -> None:
    stream, now, out = Stream(), 0.0, list[int]()
    pushed = set()
    stream.push(0, now)
    for number, wait in steps:
        now += wait
        pushed.add(number)
        out += stream.push(number, now)
        assert len(stream.buffer._held) < HELD_MAX
    assert out == sorted(set(out))
    assert set(out) <= pushed
