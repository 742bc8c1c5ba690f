"""What waits for a slow client."""

from __future__ import annotations

from repartee.server.sockets.outgoing import Outgoing, Taken


def test_frames_come_out_in_order() -> None:
    queue = Outgoing(100, "drop_audio")
    assert not queue
    assert [queue.put(bytes([n]), audio=False) for n in range(3)] == [Taken.QUEUED] * 3
    assert [queue.pop() for _ in range(3)] == [b"\0", b"\1", b"\2"]
    assert queue.size == 0


def test_audio_is_dropped_when_there_is_no_room() -> None:
    queue = Outgoing(10, "drop_audio")
    queue.put(b"12345678", audio=True)
    assert queue.put(b"abc", audio=True) is Taken.DROPPED
    assert queue.dropped == 1
    assert queue.size == 8


def test_what_is_no_audio_takes_the_room_of_waiting_audio() -> None:
    queue = Outgoing(10, "drop_audio")
    queue.put(b"12", audio=False)
    queue.put(b"345678", audio=True)
    assert queue.put(b"events", audio=False) is Taken.QUEUED
    assert [queue.pop(), queue.pop()] == [b"12", b"events"]
    assert queue.dropped == 1


def test_it_overflows_when_no_audio_is_left_to_drop() -> None:
    queue = Outgoing(10, "drop_audio")
    queue.put(b"12345678", audio=False)
    assert queue.put(b"abc", audio=False) is Taken.OVERFLOW


def test_the_other_policy_overflows_at_once() -> None:
    queue = Outgoing(10, "close")
    queue.put(b"12345678", audio=True)
    assert queue.put(b"abc", audio=True) is Taken.OVERFLOW
    queue.clear()
    assert queue.size == 0
    assert not queue
