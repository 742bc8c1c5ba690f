from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from repartee.audio import AudioFrame, WavWriter, open_audio, read_audio, write_audio
from repartee.errors import AudioFormatError, StateError


def sine(rate: int, seconds: float = 0.2, hz: float = 440.0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)


def spectrum_peak_hz(frame: AudioFrame) -> float:
    samples = frame.to_mono().as_array()
    return float(
        np.argmax(np.abs(np.fft.rfft(samples * np.hanning(len(samples))))) * frame.sample_rate / len(samples)
    )


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_16", 1),
        ("a.wav", "PCM_24", 1),
        ("a.wav", "PCM_32", 1),
        ("a.wav", "PCM_U8", 256),
        ("a.wav", "FLOAT", 1),
        ("a.wav", "DOUBLE", 1),
        ("a.wav", "ULAW", 600),
        ("a.wav", "ALAW", 600),
        ("a.flac", "PCM_24", 1),
        ("a.aiff", "PCM_16", 1),
        ("a.ogg", "VORBIS", 1500),
        ("a.mp3", "MPEG_LAYER_III", None),
    ],
)
def test_reads_what_people_have(tmp_path: Path, name: str, subtype: str, tolerance: int | None) -> None:
    samples = sine(24000)
    soundfile.write(tmp_path / name, samples, 24000, subtype=subtype)
    frame = read_audio(tmp_path / name)
    assert (frame.sample_rate, frame.channels, frame.position_samples) == (24000, 1, 0)
    assert spectrum_peak_hz(frame) == pytest.approx(440, abs=5)
    if tolerance is not None:
        assert frame.samples == 4800
        assert np.abs(frame.as_array() - samples * 32768).max() <= tolerance


def test_stereo_is_mixed_down_or_kept(tmp_path: Path) -> None:
    left = sine(16000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, -left / 2], 1), 16000)
    assert np.abs(read_audio(tmp_path / "a.wav").as_array() - left * 8192).max() <= 1.5  # three roundings
    both = read_audio(str(tmp_path / "a.wav"), mono=False)
    assert both.channels == 2
    assert np.abs(both.as_array()[:, 0] - left * 32768).max() <= 1


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_any_rate_is_resampled_in_place(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", sine(rate), rate)
    frame = read_audio(tmp_path / "a.wav", sample_rate=16000)
    assert (frame.sample_rate, frame.samples) == (16000, 3200)
    expected = sine(16000) * 32768
    assert np.abs(frame.as_array() - expected)[160:-160].max() < 6  # the filter's ripple: -70 dB


def test_clipped_and_broken_floats(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([2.0, -3.0, np.nan, np.inf, 0.25]), 8000, subtype="FLOAT")
    assert list(read_audio(tmp_path / "a.wav").as_array()) == [32767, -32768, 0, 32767, 8192]


def test_streams_the_same_as_it_reads(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sine(44100, 1.03), 44100)
    whole = read_audio(tmp_path / "a.wav", sample_rate=24000)
    with open_audio(tmp_path / "a.wav", sample_rate=24000) as reader:
        assert (reader.source_rate, reader.source_channels, reader.sample_rate) == (44100, 1, 24000)
        assert reader.duration_s == pytest.approx(1.03)
        frames = list(reader)
    assert b"".join(frame.data for frame in frames) == whole.data
    expected = 0
    for frame in frames:
        assert frame.position_samples == expected
        expected = frame.end_samples


def test_two_hours_in_flat_memory(tmp_path: Path) -> None:
    """A sparse file of two hours: the memory of reading all of it is that of some frames."""
    path = tmp_path / "long.wav"
    samples = 2 * 3600 * 8000
    with WavWriter(path, 8000) as writer:
        writer._data_bytes = 2 * samples
    os.truncate(path, 44 + 2 * samples)
    with pytest.raises(AudioFormatError, match=r"lasts 7200.0 s.*open_audio"):
        read_audio(path)
    tracemalloc.start()
    try:
        with open_audio(path, frame_ms=1000) as reader:
            total = sum(frame.samples for frame in reader)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == samples
    assert peak < 4_000_000


def test_close_ends_the_reading(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sine(8000), 8000)
    reader = open_audio(tmp_path / "a.wav")
    next(reader)
    reader.close()
    assert list(reader) == []


def test_says_what_is_wrong_with_a_path(tmp_path: Path) -> None:
    with pytest.raises(AudioFormatError, match=r"there is no file.*none\.wav"):
        read_audio(tmp_path / "none.wav")
    with pytest.raises(AudioFormatError, match="is a directory"):
        read_audio(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.wav", b"", "is empty"),
        ("a.wav", b"This is a letter, not a sound.\n" * 100, r"not a sound file.*give one of .*WAV"),
        ("a.mp3", b"\0" * 5000, "not a sound file"),
        ("a.xyz", b"PK\3\4" + bytes(500), "not a sound file"),
        ("a.raw", bytes(4000), "raw audio without a header"),
        ("a.wav", b"RIFF\x24\0\0\0WAVEfmt ", "not a sound file"),
    ],
)
def test_says_what_is_wrong_with_a_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioFormatError, match=message):
        read_audio(tmp_path / name)


def test_says_when_there_are_no_samples(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", AudioFrame(b"", 8000))
    with pytest.raises(AudioFormatError, match="no samples"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("rate", "channels", "message"),
    [(4000, 1, "8000 to 96000"), (192000, 1, "192000 Hz"), (8000, 9, "9 channels")],
)
def test_refuses_rates_and_channels_outside_the_range(
    tmp_path: Path, rate: int, channels: int, message: str
) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((100, channels)), rate)
    with pytest.raises(AudioFormatError, match=message):
        open_audio(tmp_path / "a.wav")


def test_refuses_a_wrong_target_before_it_opens_anything(tmp_path: Path) -> None:
    with pytest.raises(AudioFormatError, match="8000 to 96000"):
        open_audio(tmp_path / "none.wav", sample_rate=1)


def test_reads_what_is_left_of_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, sine(8000), 8000)
    os.truncate(path, 44 + 1000)
    assert read_audio(path).samples == 500


def test_a_damaged_flac_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 40000), 8000)
    data = bytearray(path.read_bytes())
    data[200:] = bytes(len(data) - 200)
    path.write_bytes(data)
    with pytest.raises(AudioFormatError, match="damaged"):
        read_audio(path)


def test_writes_a_wav_that_others_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    data = np.arange(-300, 300, dtype="<i2").tobytes()
    with WavWriter(path, 16000, 2) as writer:
        writer.write(AudioFrame(data[:400], 16000, 2))
        writer.write(AudioFrame(data[400:], 16000, 2, 12345))
        assert writer.samples == 300
        assert writer.duration_s == 300 / 16000
    writer.close()
    with wave.open(str(path)) as reader:
        assert (reader.getnchannels(), reader.getframerate(), reader.getsampwidth()) == (2, 16000, 2)
        assert reader.readframes(1000) == data
    assert read_audio(path, mono=False).data == data


def test_is_valid_at_every_moment_up_to_the_last_refresh(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with WavWriter(path, 8000, refresh_s=0.1) as writer:
        with wave.open(str(path)) as reader:
            assert reader.getnframes() == 0
        for written in range(1, 26):
            writer.write(AudioFrame(b"\1\0" * 160, 8000))
            with wave.open(str(path)) as reader:
                assert 160 * written - 800 < reader.getnframes() <= 160 * written
                assert reader.readframes(10**6) == b"\1\0" * reader.getnframes()
        writer.refresh()
        with wave.open(str(path)) as reader:
            assert reader.getnframes() == 4000


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    script = (
        "import os, signal, sys\n"
        "from repartee.audio import AudioFrame, WavWriter\n"
        "writer = WavWriter(sys.argv[1], 8000)\n"
        "for _ in range(125): writer.write(AudioFrame(bytes([1, 0]) * 160, 8000))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script, str(path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert 2.0 <= read_audio(path).duration_s <= 2.5


def test_writer_refuses_other_frames_and_a_second_life(tmp_path: Path) -> None:
    writer = WavWriter(tmp_path / "a.wav", 16000)
    with pytest.raises(AudioFormatError, match="holds 16000 Hz with 1"):
        writer.write(AudioFrame(b"", 24000))
    writer._data_bytes = 0xFFFFFFF0
    with pytest.raises(AudioFormatError, match="4 GiB"):
        writer.write(AudioFrame(bytes(100), 16000))
    writer._data_bytes = 0
    writer.close()
    writer.refresh()
    with pytest.raises(StateError, match="closed"):
        writer.write(AudioFrame(b"", 16000))
    with pytest.raises(AudioFormatError, match="8000 to 96000"):
        WavWriter(tmp_path / "b.wav", 1)
    assert not (tmp_path / "b.wav").exists()
