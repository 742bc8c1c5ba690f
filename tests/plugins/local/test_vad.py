from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from repartee.audio import AudioFrame
from repartee.errors import AudioFormatError, MissingDependencyError, ModelError, ModelFileError
from repartee.models import SpeechProbability
from repartee.testing.conformance_vad import VAD_CHECKS, VADCheck
from tests.plugins.local.speech_data import sample

pytest.importorskip("onnxruntime", reason="the extra 'local' is not installed")

from repartee.plugins.local.vad import (
    DATA,
    MODEL_RATE,
    PENDING_MS,
    QUIET_RESET_MS,
    SETTLED_MS,
    VAD,
    _Converter,
    _Silero,
    _Window,
)

pytestmark = pytest.mark.local


@pytest.mark.parametrize("check", VAD_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("voice", ["lights_slt", "timer_awb"])
def test_conformance(check: VADCheck, voice: str) -> None:
    asyncio.run(check(VAD, sample(voice)))


DAMAGED = b"\x08\x08\x3a\x02\x0a\x00"
"""Looks like an ONNX file: IR version 8 and a graph; but there is nothing to run in it."""


def ignore(_: object) -> None:
    pass


def test_batch_gives_what_single_windows_give() -> None:
    names = ["lights_slt", "river_rms", "timer_awb", "dinner_kal16"]
    pcm = [sample(name).audio.data for name in names]
    alone, together = _Silero(DATA / "silero_vad_16k.onnx"), _Silero(DATA / "silero_vad_16k.onnx")
    for k in range(40):
        windows = [_Window(data[k * 1024 :][:1024], MODEL_RATE, k, k == 0) for data in pcm]
        singly = [alone.run([slot], [window])[0].probability for slot, window in enumerate(windows)]
        # In another order each time, so a stream's state is found by its slot and not by its place.
        order = [(slot + k) % 4 for slot in range(4)]
        batch = together.run(order, [windows[slot] for slot in order])
        assert [r.probability for r in batch] == pytest.approx([singly[slot] for slot in order], abs=1e-5)


def test_more_streams_than_rows_at_first() -> None:
    model = _Silero(DATA / "silero_vad_16k.onnx")
    data = sample("lights_slt").audio.data
    first = [model.run([3], [_Window(data[k * 1024 :][:1024], MODEL_RATE, k, k == 0)]) for k in range(30)]
    model.run([200], [_Window(bytes(1024), MODEL_RATE, 0, True)])  # the rows grow; what they held stays
    other = _Silero(DATA / "silero_vad_16k.onnx")
    same = [other.run([3], [_Window(data[k * 1024 :][:1024], MODEL_RATE, k, k == 0)]) for k in range(31)]
    assert first == same[:30]
    assert model.run([3], [_Window(data[30 * 1024 :][:1024], MODEL_RATE, 30, False)]) == same[30]


def test_rates_in_one_batch() -> None:
    from repartee.audio import resample

    voice = sample("weather_slt")
    by_rate = {rate: resample(voice.audio, rate).data for rate in (8000, 24_000, 48_000)}
    by_rate[MODEL_RATE] = voice.audio.data
    model = _Silero(DATA / "silero_vad_16k.onnx")
    decisions: dict[int, list[bool]] = {rate: [] for rate in by_rate}
    for k in range(voice.audio.samples // 512 - 1):
        windows = [
            _Window(data[k * rate // 125 * 8 :][: rate // 125 * 8], rate, k, k == 0)
            for rate, data in by_rate.items()
        ]
        for rate, result in zip(by_rate, model.run(range(4), windows), strict=True):
            decisions[rate].append(result.probability >= 0.5)
    for rate, heard in decisions.items():
        differ = sum(a != b for a, b in zip(heard, decisions[MODEL_RATE], strict=True))
        assert differ <= 0.06 * len(heard), f"{rate} Hz decides otherwise in {differ} of {len(heard)} windows"


@pytest.mark.parametrize("rate", [8000, 24_000, 48_000, 96_000])
@pytest.mark.parametrize("hz", [300, 1000, 3000])
def test_converter_keeps_tones(rate: int, hz: int) -> None:
    import numpy as np

    converter = _Converter(rate)
    inputs = rate * 32 // 1000
    time = np.arange(10 * inputs) / rate
    tone = np.rint(10_000 * np.sin(2 * np.pi * hz * time)).astype(np.int16).reshape(10, inputs)
    history = np.zeros((1, 2 * (rate // 1000)), np.float32)
    out = np.empty((10, 512), np.float32)
    for k in range(10):
        history = converter.convert(history, tone[k : k + 1], out[k : k + 1])
    got = out.reshape(-1)[512:]
    delayed = np.arange(512, 5120) / 16_000 - 0.001
    wanted = 10_000 / 32768 * np.sin(2 * np.pi * hz * delayed)
    error = 20 * np.log10(np.sqrt(np.mean((got - wanted) ** 2)) / np.sqrt(np.mean(wanted**2)))
    assert error < -25  # 3 kHz from 8 kHz is in the transition band of a filter of 2 ms


def test_converter_suppresses_what_would_alias() -> None:
    import numpy as np

    inputs = 48 * 32
    tone = np.rint(10_000 * np.sin(2 * np.pi * 12_000 * np.arange(inputs) / 48_000)).astype(np.int16)
    out = np.empty((1, 512), np.float32)
    _Converter(48_000).convert(np.zeros((1, 96), np.float32), tone[None], out)
    assert np.sqrt(np.mean(out[0, 64:] ** 2)) < 0.003 * 10_000 / 32768


def test_state_starts_anew_after_long_quiet() -> None:
    model = _Silero(DATA / "silero_vad_16k.onnx")
    for k in range(QUIET_RESET_MS // 32 - 1):
        model.run([0], [hiss(-30, k, fresh=k == 0)])  # too loud to sleep through
    assert model._state[:, 0].any()
    model.run([0], [hiss(-30, 99)])
    assert not model._state[:, 0].any()
    # Speech that follows is heard as it would be from a new stream.
    data = sample("lights_slt").audio.data
    at = sample("lights_slt").start_position_samples * 2 // 1024 * 1024
    heard = [
        model.run([0], [_Window(data[at + k * 1024 :][:1024], MODEL_RATE, k, False)])[0] for k in range(12)
    ]
    assert max(r.probability for r in heard) > 0.9


def hiss(dbfs: float, seed: int = 0, *, fresh: bool = False) -> _Window:
    """32 ms of noise."""
    import numpy as np

    noise = np.random.default_rng(seed).normal(0, 32768 * 10 ** (dbfs / 20), 512)
    return _Window(np.rint(noise).astype("<i2").tobytes(), MODEL_RATE, 0, fresh)


class Counted:
    """A graph that counts the streams it is run for."""

    def __init__(self, model: _Silero) -> None:
        self._session = model._session
        self.runs: list[int] = []
        model._session = self

    def run(self, names: None, feed: dict[str, Any]) -> Any:
        self.runs.append(len(feed["input"]))
        return self._session.run(names, feed)


def test_a_stream_sleeps_through_its_background_and_wakes_at_once() -> None:
    model = _Silero(DATA / "silero_vad_16k.onnx")
    graph = Counted(model)
    for k in range(60):
        model.run([0], [hiss(-66, k, fresh=k == 0)])
    awake = len(graph.runs)
    assert SETTLED_MS // 32 <= awake < 30, "until it knows what is quiet here"
    assert [model.run([0], [hiss(-66, k)])[0].probability for k in range(9)] == [0.0] * 9
    assert len(graph.runs) == awake
    assert model.run([0], [hiss(-50)])[0].probability > 0.0
    assert len(graph.runs) == awake + 1
    for k in range(60):
        model.run([0], [hiss(-38, k)])
    assert len(graph.runs) == awake + 61, "what is as loud as that is never slept through"


def test_soft_sound_behind_a_noise_is_not_slept_through() -> None:
    model = _Silero(DATA / "silero_vad_16k.onnx")
    for k in range(80):
        model.run([0], [hiss(-70, k, fresh=k == 0)])
    for k in range(60):
        model.run([0], [hiss(-38, k)])
    for k in range(4):
        model.run([0], [hiss(-70, k)])
    graph = Counted(model)
    model.run([0], [hiss(-52)])
    assert graph.runs == [1]


def test_who_sleeps_does_not_disturb_who_speaks() -> None:
    model, alone = _Silero(DATA / "silero_vad_16k.onnx"), _Silero(DATA / "silero_vad_16k.onnx")
    graph = Counted(model)
    data = sample("lights_slt").audio.data
    for k in range(80):
        loud = _Window(data[k * 1024 :][:1024], MODEL_RATE, k, k == 0)
        both = model.run([1, 0], [hiss(-70, k, fresh=k == 0), loud])
        assert both[1].probability == pytest.approx(alone.run([0], [loud])[0].probability, abs=1e-5)
        assert both[1].end_position_samples == k
    assert 1 in graph.runs


@pytest.mark.parametrize("gain_db", [0, -20, -30])
def test_sleep_makes_speech_no_later(gain_db: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first window of speech after seconds of a quiet room, awake and asleep; soft speech, too."""
    import numpy as np

    speech = np.frombuffer(sample("river_rms").audio.data, "<i2") * 10 ** (gain_db / 20)
    room = np.random.default_rng(5).normal(0, 8, 512 * 120)
    room[512 * 80 :][: len(speech)] += speech[: 512 * 40]
    windows = np.rint(room).astype("<i2").reshape(-1, 512)

    def first() -> int:
        model = _Silero(DATA / "silero_vad_16k.onnx")
        heard = (
            model.run([0], [_Window(w.tobytes(), MODEL_RATE, k, k == 0)])[0] for k, w in enumerate(windows)
        )
        return next(k for k, each in enumerate(heard) if each.probability >= 0.5)

    asleep = first()
    monkeypatch.setattr("repartee.plugins.local.vad.ASLEEP_DB", -500.0)
    assert 80 <= asleep <= first()


def test_levels() -> None:
    import numpy as np

    model = _Silero(DATA / "silero_vad_16k.onnx")
    square = np.tile(np.array([16384, -16384], "<i2"), 256).tobytes()
    half, silence = model.run(
        [0, 1], [_Window(square, MODEL_RATE, 0, True), _Window(bytes(1024), MODEL_RATE, 0, True)]
    )
    assert half.dbfs == pytest.approx(-6.02, abs=0.01)
    assert silence.dbfs == pytest.approx(-96)


def test_overflow_drops_the_oldest() -> None:
    async def main() -> None:
        results: list[SpeechProbability] = []
        enough = asyncio.Event()
        windows = 3 * PENDING_MS // 32

        def on_result(result: SpeechProbability) -> None:
            results.append(result)
            if result.end_position_samples == windows * 512:
                enough.set()

        vad = VAD()
        await vad.prewarm()
        stream = vad.stream(sample_rate=16_000, on_result=on_result, on_error=ignore)
        stream.push(
            AudioFrame(bytes(windows * 1024), 16_000)
        )  # without giving the thread a chance to say much
        await asyncio.wait_for(enough.wait(), 30)
        dropped = vars(type(stream))["dropped_windows"].fget(stream)
        assert dropped > 0
        assert len(results) + dropped == windows
        assert vad.statistics().dropped_items >= dropped
        await stream.aclose()

    asyncio.run(main())


def test_all_objects_share_one_model_and_thread() -> None:
    async def main() -> None:
        one, other = VAD(), VAD()
        streams = [
            vad.stream(sample_rate=rate, on_result=ignore, on_error=ignore)
            for vad in (one, other)
            for rate in (16_000, 24_000)
        ]
        assert [t.name for t in threading.enumerate()].count("repartee-vad") == 1
        assert one.statistics().streams == other.statistics().streams == 4
        for stream in streams:
            await stream.aclose()
        assert "repartee-vad" not in [t.name for t in threading.enumerate()]

    asyncio.run(main())


def test_stereo_is_mixed_down() -> None:
    async def main() -> list[float]:
        done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        stream = VAD().stream(
            sample_rate=16_000, on_result=lambda r: done.set_result(r.dbfs), on_error=ignore
        )
        left_only = (b"\x00\x40" + b"\x00\x00") * 512
        stream.push(AudioFrame(left_only, 16_000, channels=2))
        level = await asyncio.wait_for(done, 30)
        await stream.aclose()
        return [level]

    assert asyncio.run(main()) == pytest.approx([-12.04], abs=0.01)


def test_another_rate_than_announced_is_refused() -> None:
    async def main() -> None:
        stream = VAD().stream(sample_rate=16_000, on_result=ignore, on_error=ignore)
        with pytest.raises(AudioFormatError, match="16000 Hz and got a frame of 8000 Hz"):
            stream.push(AudioFrame(bytes(320), 8000))
        await stream.aclose()

    asyncio.run(main())


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no speech detection model at"):
        VAD(tmp_path / "missing.onnx")
    (tmp_path / "page.onnx").write_text("<html>not found</html>")
    with pytest.raises(ModelFileError, match="is not an ONNX file"):
        VAD(tmp_path / "page.onnx")
    whole = (DATA / "silero_vad_16k.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match="truncated"):
        VAD(tmp_path / "cut.onnx")
    (tmp_path / "other.onnx").write_bytes(DAMAGED)
    with pytest.raises(ModelFileError, match="can't be loaded"):
        asyncio.run(VAD(tmp_path / "other.onnx").prewarm())


def test_file_that_can_not_be_loaded_is_told_to_each_stream(tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(DAMAGED)

    async def main() -> None:
        vad = VAD(tmp_path / "other.onnx")
        told: list[asyncio.Future[ModelError]] = []
        streams = []
        for _ in range(2):
            future: asyncio.Future[ModelError] = asyncio.get_running_loop().create_future()
            told.append(future)
            streams.append(vad.stream(sample_rate=16_000, on_result=ignore, on_error=future.set_result))
            streams[-1].push(AudioFrame(bytes(2048), 16_000))
        for future in told:
            error = await asyncio.wait_for(future, 30)
            assert error.stage == "vad"
            assert not error.recoverable
        for stream in streams:
            await stream.aclose()

    asyncio.run(main())


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"repartee\[local\]"):
        VAD()
