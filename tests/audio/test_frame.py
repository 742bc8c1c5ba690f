from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.audio import AudioFrame
from repartee.errors import AudioFormatError


def test_counts_samples_per_channel() -> None:
    frame = AudioFrame(bytes(960), 24000, 2, 100)
    assert (frame.samples, frame.duration_s, frame.end_samples) == (240, 0.01, 340)


def test_defaults_are_mono_from_the_beginning() -> None:
    assert AudioFrame(b"\1\0", 8000) == AudioFrame(b"\1\0", 8000, 1, 0)


def test_is_frozen() -> None:
    with pytest.raises(AttributeError):
        AudioFrame(b"", 8000).data = b"\0\0"  # type: ignore[misc]


@pytest.mark.parametrize("data", [bytearray(b"\1\0"), memoryview(b"\1\0")])
def test_copies_what_could_change(data: bytes) -> None:
    assert type(AudioFrame(data, 8000).data) is bytes


@pytest.mark.parametrize(
    ("data", "rate", "channels", "message"),
    [
        (b"\0", 24000, 1, "multiple of 2"),
        (bytes(6), 24000, 2, "multiple of 4"),
        (b"", 7999, 1, "8000 to 96000"),
        (b"", 96001, 1, "8000 to 96000"),
        (b"", 16000.5, 1, None),
        (b"", 24000, 0, "1 to 8"),
        (b"", 24000, 9, "1 to 8"),
        ("text", 24000, 1, "from_array"),
        (bytearray(3), 24000, 1, "multiple of 2"),
    ],
)
def test_names_what_is_wrong(data: bytes, rate: int, channels: int, message: str | None) -> None:
    if message is None:  # a fractional rate inside the range costs no check on the hot path
        AudioFrame(data, rate, channels)
        return
    with pytest.raises(AudioFormatError, match=message):
        AudioFrame(data, rate, channels)


def test_silence_by_time_and_by_samples() -> None:
    assert AudioFrame.silence(20, 16000) == AudioFrame.silence(samples=320, sample_rate=16000)
    frame = AudioFrame.silence(10, 48000, channels=2, position_samples=7)
    assert frame == AudioFrame(bytes(1920), 48000, 2, 7)


@pytest.mark.parametrize("lengths", [{}, {"duration_ms": 1, "samples": 1}, {"samples": -1}])
def test_silence_needs_one_length(lengths: dict[str, int]) -> None:
    with pytest.raises(AudioFormatError, match=r"once|0 or more"):
        AudioFrame.silence(**lengths)


def test_it_can_be_put_elsewhere() -> None:
    moved = AudioFrame(b"\1\0\2\0", 16_000, 2, 5).at(-7)
    assert moved == AudioFrame(b"\1\0\2\0", 16_000, 2, -7)


def test_slice_keeps_the_position() -> None:
    frame = AudioFrame(bytes(range(16)), 8000, 2, 50)
    assert frame.slice(1, 3) == AudioFrame(bytes(range(4, 12)), 8000, 2, 51)
    assert frame.slice(-1) == AudioFrame(bytes(range(12, 16)), 8000, 2, 53)
    assert frame.slice(0) is frame


@given(st.binary(max_size=64), st.integers(-40, 40), st.none() | st.integers(-40, 40))
def test_slices_as_python_does(data: bytes, start: int, stop: int | None) -> None:
    frame = AudioFrame(data[: len(data) // 2 * 2], 8000, 1, 1000)
    cut = frame.slice(start, stop)
    assert list(cut.as_array()) == list(frame.as_array()[start:stop])
    assert frame.position_samples <= cut.position_samples <= cut.end_samples <= frame.end_samples


def test_mono_is_the_mean() -> None:
    stereo = AudioFrame.from_array(
        np.array([[1, 3], [32767, 32767], [-32768, -32768], [5, -5]], np.int16), 8000
    )
    assert list(stereo.to_mono().as_array()) == [2, 32767, -32768, 0]
    mono = AudioFrame(b"\1\0", 8000)
    assert mono.to_mono() is mono


def test_array_is_a_view_of_the_bytes() -> None:
    frame = AudioFrame(b"\x01\x00\xff\xff\x00\x80\xff\x7f", 8000, 2)
    assert frame.as_array().tolist() == [[1, -1], [-32768, 32767]]
    assert not frame.as_array().flags.writeable


@given(st.binary(max_size=64))
def test_arrays_round_trip(data: bytes) -> None:
    frame = AudioFrame(data[: len(data) // 4 * 4], 8000, 2, 9)
    assert AudioFrame.from_array(frame.as_array(), 8000, position_samples=9) == frame


def test_floats_are_scaled_and_clipped() -> None:
    floats = np.array([0.5, -1.0, 1.0, 7.0, np.nan, np.inf, -np.inf], np.float32)
    assert list(AudioFrame.from_array(floats, 8000).as_array()) == [
        16384,
        -32768,
        32767,
        32767,
        0,
        32767,
        -32768,
    ]


@pytest.mark.parametrize(
    "array", [np.zeros(3, np.int32), np.zeros((1, 2, 3), np.int16), np.zeros((4, 9), np.int16)]
)
def test_refuses_other_arrays(array: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> None:
    with pytest.raises(AudioFormatError):
        AudioFrame.from_array(array, 8000)
