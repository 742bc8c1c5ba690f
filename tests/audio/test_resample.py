from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repartee.audio import AudioFrame, Resampler, resample
from repartee.errors import AudioFormatError

RATES = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000]
PAIRS = [(a, b) for a in RATES for b in RATES if a != b]
USUAL = [
    (8000, 16000),
    (16000, 8000),
    (24000, 16000),
    (48000, 16000),
    (22050, 16000),
    (44100, 48000),
    (8000, 24000),
]


def tone(hz: float, rate: int, seconds: float = 0.3, amplitude: float = 0.9) -> AudioFrame:
    count = round(rate * seconds)
    return AudioFrame.from_array(amplitude * np.sin(2 * np.pi * hz * np.arange(count) / rate), rate)


def middle(frame: AudioFrame) -> npt.NDArray[np.float64]:
    """Without the first and the last 10 ms, where the tone begins and ends."""
    edge = frame.sample_rate // 100
    return frame.as_array()[edge:-edge].astype(np.float64)


def fit(samples: npt.NDArray[np.float64], hz: float, rate: int, first: int) -> tuple[complex, float]:
    """The tone in ``samples`` (amplitude and phase as one number) and its SNR in dB."""
    at = 2j * np.pi * hz * (first + np.arange(len(samples))) / rate
    basis = np.stack([np.exp(at).real, np.exp(at).imag], 1)
    (cosine, sine), *_ = np.linalg.lstsq(basis, samples, rcond=None)
    rest = samples - basis @ np.array([cosine, sine])
    return complex(sine, cosine), float(10 * np.log10(np.sum(samples**2) / np.sum(rest**2)))


def level_db(frame: AudioFrame, amplitude: float = 0.9) -> float:
    rms = np.sqrt(np.mean(middle(frame) ** 2)) / 32768 * np.sqrt(2) / amplitude
    return float(20 * np.log10(rms + 1e-9))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_tone_keeps_its_purity_height_and_phase(source: int, target: int) -> None:
    out = resample(tone(1000, source), target)
    assert out.position_samples == 0
    assert out.samples == -(-round(source * 0.3) * target // source)
    phasor, snr_db = fit(middle(out), 1000, target, target // 100)
    assert snr_db > 75
    assert abs(phasor) / (0.9 * 32768) == pytest.approx(1, abs=2e-4)
    assert np.angle(phasor) == pytest.approx(0, abs=1e-3)  # exactly in place: no delay is left


@pytest.mark.parametrize(("source", "target"), [(a, b) for a, b in PAIRS if b / a < 0.8])
def test_what_would_fold_back_is_rejected(source: int, target: int) -> None:
    nyquist = target / 2
    assert level_db(resample(tone(1.1 * nyquist, source), target)) < -44
    for ratio in (1.15, 1.2):
        if ratio * nyquist < source / 2:
            assert level_db(resample(tone(ratio * nyquist, source), target)) < -70


@pytest.mark.parametrize(("source", "target"), USUAL)
def test_speech_passes(source: int, target: int) -> None:
    nyquist = min(source, target) / 2
    assert level_db(resample(tone(0.85 * nyquist, source), target)) > -0.15
    assert level_db(resample(tone(0.9 * nyquist, source), target)) > -1.2


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_delay_is_less_than_2_ms_and_nothing_is_held_back(source: int, target: int) -> None:
    resampler = Resampler(source, target)
    assert 0 < resampler.delay_s == resampler.delay_samples / target < 0.002
    received = produced = 0
    for count in (source // 100, 1, 7, 0, source // 50):
        out = resampler.push(AudioFrame.silence(samples=count, sample_rate=source, position_samples=received))
        assert out.position_samples == produced - resampler.delay_samples
        received += count
        produced += out.samples
        assert produced == -(-received * target // source)
    tail = resampler.flush()
    assert tail.samples == resampler.delay_samples
    assert tail.position_samples == produced - resampler.delay_samples


@pytest.mark.parametrize(("source", "target"), [(16000, 24000), (48000, 16000), (22050, 16000)])
def test_an_impulse_comes_out_at_its_position(source: int, target: int) -> None:
    impulse = np.zeros(source // 10, np.int16)
    at = 441 if source == 22050 else source // 50
    impulse[at] = 30000
    out = Resampler(source, target).push(AudioFrame.from_array(impulse, source, position_samples=0))
    peak = int(np.argmax(out.as_array()))
    assert out.position_samples + peak == at * target // source


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([*USUAL, (11025, 16000), (16000, 11025), (96000, 44100), (44100, 11025), (37800, 16000)]),
    st.lists(st.integers(0, 1500), min_size=1, max_size=8),
    st.sampled_from([1, 2]),
    st.integers(0, 2**32 - 1),
)
def test_output_does_not_depend_on_the_cuts(
    rates: tuple[int, int], lengths: list[int], channels: int, seed: int
) -> None:
    samples = np.random.default_rng(seed).integers(-32768, 32767, (sum(lengths), channels), np.int16)
    whole_frame = AudioFrame.from_array(samples, rates[0])
    whole, cut = Resampler(*rates, channels), Resampler(*rates, channels)
    expected = whole.push(whole_frame).data + whole.flush().data
    pieces = b""
    at = 0
    for length in lengths:
        pieces += cut.push(whole_frame.slice(at, at + length)).data
        at += length
    assert pieces + cut.flush().data == expected


@pytest.mark.parametrize(
    ("source", "target"), [(24000, 16000), (16000, 24000), (22050, 16000), (11025, 48000)]
)
def test_equals_the_sum_it_is_defined_by(source: int, target: int) -> None:
    """The blocks against the plain convolution at the raised rate, with taps read from the impulse responses."""
    noise = np.random.default_rng(3).integers(-20000, 20000, 400).astype(np.int16)
    out = resample(AudioFrame.from_array(noise, source), target).as_array().astype(float)
    table = Resampler(source, target)._table
    assert table is not None
    half = table.delay_samples * table.down
    shape = table._window(source, target, half)
    expected = np.zeros(len(out))
    for n in range(len(out)):
        taps = np.array(
            [n * table.down - j * table.up for j in range(400)]
        )  # distance from the filter's middle
        near = np.abs(taps) <= half
        phase = np.arange((n * table.down + half) % table.up, 2 * half + 1, table.up)
        expected[n] = shape[taps[near] + half] @ noise[near] / shape[phase].sum()
    assert np.abs(out - expected.clip(-32768, 32767)).max() <= 0.51


def test_a_long_frame_is_the_same_as_short_ones() -> None:
    noise = np.random.default_rng(4).integers(-9000, 9000, 70_000).astype(np.int16)
    frame = AudioFrame.from_array(noise, 48000)
    resampler = Resampler(48000, 16000)
    pieces = b"".join(resampler.push(frame.slice(i, i + 960)).data for i in range(0, 70_000, 960))
    assert Resampler(48000, 16000).push(frame).data == pieces


def test_channels_are_kept_apart() -> None:
    left, right = tone(440, 48000).as_array(), tone(3000, 48000).as_array()
    both = resample(AudioFrame.from_array(np.stack([left, right], 1), 48000), 16000).as_array()
    assert np.array_equal(both[:, 0], resample(AudioFrame.from_array(left, 48000), 16000).as_array())
    assert np.array_equal(both[:, 1], resample(AudioFrame.from_array(right, 48000), 16000).as_array())


def test_full_scale_saturates_and_dc_passes_exactly() -> None:
    square = np.repeat(np.array([32767, -32768] * 20, np.int16), 50)
    out = resample(AudioFrame.from_array(square, 16000), 24000).as_array()
    assert (out.max(), out.min()) == (32767, -32768)  # the overshoot at the edges did not wrap around
    assert np.abs(np.diff(out.astype(int))).max() < 60000
    for source, target in USUAL:
        dc = AudioFrame.from_array(np.full(source // 10, 12345, np.int16), source)
        assert set(resample(dc, target).as_array()[target // 100 : -target // 100]) == {12345}


def test_equal_rates_pass_untouched() -> None:
    frame = AudioFrame(bytes(range(20)), 24000, 1, 5)
    resampler = Resampler(24000, 24000)
    assert resampler.push(frame) is frame
    assert resampler.delay_s == 0
    assert resampler.flush().data == b""
    assert resample(frame, 24000) is frame


def test_a_jump_of_positions_is_passed_on() -> None:
    resampler = Resampler(48000, 16000)
    resampler.push(AudioFrame.silence(20, 48000, position_samples=300))
    out = resampler.push(AudioFrame.silence(20, 48000, position_samples=96000))
    assert out.position_samples == 32000 - resampler.delay_samples
    assert resampler.flush().position_samples == 32320 - resampler.delay_samples


def test_flush_resets() -> None:
    resampler = Resampler(24000, 16000)
    noise = AudioFrame.from_array(np.random.default_rng(5).integers(-9000, 9000, 480).astype(np.int16), 24000)
    first = resampler.push(noise).data + resampler.flush().data
    assert resampler.push(noise).data + resampler.flush().data == first
    assert resampler.flush().data == b""


def test_pairs_share_one_table() -> None:
    assert Resampler(24000, 16000)._table is Resampler(24000, 16000)._table


def test_empty_in_empty_out() -> None:
    assert resample(AudioFrame(b"", 24000), 16000).data == b""


@pytest.mark.parametrize(
    ("source", "target", "channels", "message"),
    [
        (4000, 16000, 1, "8000 to 96000"),
        (16000, 192000, 1, "8000 to 96000"),
        (16000, 24000, 9, "1 to 8"),
        (95999, 96000, 1, "choose a usual rate"),
    ],
)
def test_refuses_what_it_cannot_convert(source: int, target: int, channels: int, message: str) -> None:
    with pytest.raises(AudioFormatError, match=message):
        Resampler(source, target, channels)


@pytest.mark.parametrize("frame", [AudioFrame(b"", 24000), AudioFrame(b"", 16000, 2)])
def test_refuses_other_frames(frame: AudioFrame) -> None:
    with pytest.raises(AudioFormatError, match="takes 16000 Hz with 1"):
        Resampler(16000, 8000).push(frame)
