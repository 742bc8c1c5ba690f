"""The session's latest audio, by its place."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from repartee.server.hearing.tape import Tape, Tapes
from repartee.server.hearing.wire_audio import PCM_24K, WireFormat

ULAW = WireFormat(8000, "ulaw")


def test_audio_is_found_by_its_place() -> None:
    tape = Tape(1000, 2, base_s=5.0)
    tape.append(b"aabb")
    tape.append(b"ccdd")
    assert (tape.start_s, tape.end_s) == (5.0, 5.004)
    assert tape.cut(1, 3) == b"bbcc"
    assert tape.cut_s(5.001, 5.003) == b"bbcc"
    assert (tape.to_s(2), tape.to_sample(5.002)) == (5.002, 2)


def test_what_is_forgotten_or_not_there_yet_is_left_out() -> None:
    tape = Tape(1000, 2)
    tape.append(b"aabbccdd")
    tape.forget(0.002)
    assert (tape.start, tape.end) == (2, 4)
    assert tape.cut(0, 3) == b"cc"
    assert tape.cut(3, 9) == b"dd"
    assert tape.cut(0, 1) == b""
    tape.forget(0.001)
    assert tape.start == 2
    tape.forget(9.0)
    assert (tape.start, tape.end) == (4, 4)


def test_plain_audio_is_kept_once() -> None:
    tapes = Tapes(PCM_24K)
    tapes.append(b"abcd")
    assert tapes.pcm is tapes.wire
    tapes.forget(1 / 24_000)
    assert tapes.pcm.start == 1
    assert tapes.trim_at == 24_002


def test_telephone_audio_is_kept_as_it_came_and_decoded() -> None:
    tapes = Tapes(ULAW)
    tapes.append(b"\xff\x80\x00")
    assert tapes.wire.cut(0, 3) == b"\xff\x80\x00"
    assert tapes.pcm.cut(0, 3) == ULAW.decode(b"\xff\x80\x00")
    tapes.forget(1 / 8000)
    assert (tapes.wire.start, tapes.pcm.start) == (1, 1)


def test_another_format_converts_what_is_kept_and_goes_on_from_there() -> None:
    tapes = Tapes(PCM_24K)
    tapes.append(bytes(2 * 24_000))
    tapes.forget(0.5)
    tapes.change(ULAW, None)
    assert (tapes.wire.start_s, tapes.wire.end_s) == (0.5, 1.0)
    assert tapes.wire.cut_s(0.5, 1.0) == b"\xff" * 4000
    tapes.append(b"\x80" * 800)
    assert tapes.pcm.end_s == pytest.approx(1.1)
    tapes.change(PCM_24K, None)
    assert tapes.pcm is tapes.wire
    assert (tapes.pcm.start_s, tapes.pcm.end_s) == pytest.approx((0.5, 1.1))
    assert len(tapes.pcm.cut_s(0.5, 1.1)) == 2 * 14_400


class Halved:
    """A `NoiseSuppressor` of three samples a block whose output tells that it was there."""

    def __init__(self, rate: int, *, field: str) -> None:
        self.rest = b""

    def push(self, pcm: bytes) -> bytes:
        data = self.rest + pcm
        whole = len(data) // 6 * 6
        self.rest = data[whole:]
        return b"\x01" * whole

    def flush(self) -> bytes:
        rest, self.rest = self.rest, b""
        return rest


def test_what_is_heard_is_cleaned_and_what_is_kept_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repartee.server.hearing.tape.NoiseSuppressor", Halved)
    tapes = Tapes(PCM_24K)
    tapes.append(b"aabb")
    tapes.change(PCM_24K, "near_field")
    tapes.append(b"ccddeeff")
    assert tapes.wire.cut(0, 6) == b"aabbccddeeff"
    assert tapes.pcm.cut(0, 6) == b"aabb" + b"\x01" * 6  # the rest is held back
    tapes.finish()
    assert tapes.pcm.cut(0, 6) == b"aabb" + b"\x01" * 6 + b"ff"
    tapes.append(b"gg")
    tapes.change(PCM_24K, None)
    assert tapes.pcm is tapes.wire
    assert tapes.pcm.end == 7


def test_noise_reduction_that_can_not_be_had_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    modules: Any = __import__("sys").modules
    monkeypatch.setitem(modules, "livekit", None)
    tapes = Tapes(PCM_24K)
    with caplog.at_level(logging.WARNING):
        tapes.change(PCM_24K, "far_field")
    tapes.append(b"aa")
    assert tapes.pcm.cut(0, 1) == b"aa"
    assert "goes on without" in caplog.text
