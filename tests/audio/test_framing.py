from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.audio import AudioFrame, Framer
from repartee.errors import AudioFormatError


@given(st.lists(st.binary(max_size=400), max_size=12), st.integers(-50, 50), st.booleans())
def test_conserves_samples_and_positions(pieces: list[bytes], position: int, pad: bool) -> None:
    framer = Framer(8000, 5)
    out: list[AudioFrame] = []
    sent = b""
    for piece in pieces:
        piece = piece[: len(piece) // 2 * 2]
        out += framer.push(AudioFrame(piece, 8000, 1, position + len(sent) // 2))
        sent += piece
        assert 0 <= framer.pending_samples < 40
    assert all(frame.samples == 40 for frame in out)
    last = framer.flush(pad=pad)
    if last is not None:
        assert last.samples == 40 if pad else 0 < last.samples < 40
        out.append(last)
    joined = b"".join(frame.data for frame in out)
    assert joined[: len(sent)] == sent
    assert not any(joined[len(sent) :])
    expected = position
    for frame in out:
        assert frame.position_samples == expected
        expected = frame.end_samples


def test_a_fitting_frame_passes_uncopied() -> None:
    framer = Framer(16000, 20)
    frame = AudioFrame(bytes(640), 16000, 1, 77)
    assert framer.push(frame)[0] is frame
    assert framer.flush() is None


def test_counts_on_over_a_gap() -> None:
    framer = Framer(8000, 5)
    first = framer.push(AudioFrame(bytes(80), 8000, 1, 10))
    second = framer.push(AudioFrame(bytes(80), 8000, 1, 9999))
    assert [frame.position_samples for frame in first + second] == [10, 50]


def test_after_flush_begins_anew() -> None:
    framer = Framer(8000, 5)
    framer.push(AudioFrame(bytes(10), 8000))
    framer.flush()
    assert framer.push(AudioFrame(bytes(80), 8000, 1, 500))[0].position_samples == 500


@pytest.mark.parametrize(
    ("rate", "ptime_ms", "samples"), [(16000, 32, 512), (48000, 2.5, 120), (11025, 40, 441)]
)
def test_takes_any_whole_ptime(rate: int, ptime_ms: float, samples: int) -> None:
    assert Framer(rate, ptime_ms).frame_samples == samples


@pytest.mark.parametrize(("rate", "ptime_ms"), [(11025, 20), (16000, 0), (16000, -20), (16000, 0.01)])
def test_refuses_a_ptime_between_samples(rate: int, ptime_ms: float) -> None:
    with pytest.raises(AudioFormatError, match="choose one that is, such as"):
        Framer(rate, ptime_ms)


@pytest.mark.parametrize("frame", [AudioFrame(b"", 16000), AudioFrame(b"", 8000, 2)])
def test_refuses_other_audio(frame: AudioFrame) -> None:
    with pytest.raises(AudioFormatError, match="takes mono at 8000 Hz"):
        Framer(8000, 20).push(frame)
