"""Kokoro voices: the code path with a stand-in for the package, and with the real one where it is installed."""

from __future__ import annotations

import asyncio
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from repartee.errors import ConfigurationError, MissingDependencyError, ModelFileError
from repartee.plugins.local.kokoro import KokoroVoice, find_voices
from repartee.plugins.local.tts import TTS
from repartee.testing.conformance_tts import Spoken, speak
from tests.plugins.local.stand_in_voices import write_kokoro_model

ONNX = b"\x08\x08\x3a\x00"


class FakeKokoro:
    """As `kokoro_onnx.Kokoro`: 10 ms a phoneme."""

    has_timings = True
    broken = False

    def __init__(self, model: str, voices: str) -> None:
        if self.broken:
            raise RuntimeError("INVALID_PROTOBUF")
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def get_voice_style(self, name: str) -> None:
        return None

    def create(self, text: str, **options: Any) -> tuple[Any, int]:
        self.calls.append((text, options))
        return np.full(240 * len(text), 0.25, np.float32), 24_000

    def create_timed(self, text: str, **options: Any) -> tuple[Any, int, list[Any]]:
        audio, rate = self.create(text, **options)
        timings = [SimpleNamespace(phoneme=char, start=at / 100) for at, char in enumerate(text)]
        return audio, rate, timings


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("kokoro_onnx")
    module.__spec__ = importlib.machinery.ModuleSpec("kokoro_onnx", None)
    module.Kokoro = type("Kokoro", (FakeKokoro,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kokoro_onnx", module)
    return module


def model_file(folder: Path, *names: str) -> Path:
    path = folder / "kokoro-v1.0.onnx"
    path.write_bytes(ONNX)
    styles: Any = dict.fromkeys(
        names or ("af_heart", "bm_george", "jf_alpha"), np.zeros((2, 1, 256), np.float32)
    )
    with (folder / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, **styles)
    return path


def spoken(voice: TTS, text: str) -> Spoken:
    async def body() -> Spoken:
        try:
            return await speak(voice, text)
        finally:
            await voice.aclose()

    return asyncio.run(body())


def test_sentences_are_spoken_with_word_times(tmp_path: Path, fake: ModuleType) -> None:
    text = "Go on. I see!"
    result = spoken(TTS(model_file(tmp_path)), text)
    assert [text[word.text_start : word.text_end] for word in result.words] == text.split()
    # 10 ms a character; the first sentence has 6 of them.
    assert [word.start_ms for word in result.words] == pytest.approx([0, 30, 60, 80])
    assert len(result.chunks) == 2
    assert result.audio.as_array()[0] == pytest.approx(8192, abs=2)


def test_without_durations_there_are_no_times(tmp_path: Path, fake: ModuleType) -> None:
    fake.Kokoro.has_timings = False
    result = spoken(TTS(model_file(tmp_path)), "Go on.")
    assert result.words == []
    assert result.audio.duration_s == pytest.approx(0.06)


def test_speaker_language_and_pace_are_handed_on(tmp_path: Path, fake: ModuleType) -> None:
    voice = TTS(model_file(tmp_path), speaker="bm_george", rate_wpm=255)
    assert voice.capabilities.languages == ("en-gb",)
    spoken(voice, "Go on.")
    engine: Any = voice._voice
    assert engine._shared.engine.calls == [("Go on.", {"voice": "bm_george", "speed": 1.5, "lang": "en-gb"})]


def test_the_default_speaker(tmp_path: Path, fake: ModuleType) -> None:
    assert TTS(model_file(tmp_path)).name == "kokoro af_heart"
    assert TTS(model_file(tmp_path, "am_adam")).name == "kokoro am_adam"


def test_voices_may_lie_elsewhere(tmp_path: Path, fake: ModuleType) -> None:
    path = model_file(tmp_path)
    elsewhere = tmp_path / "other.npz"
    (tmp_path / "voices-v1.0.bin").rename(elsewhere)
    assert find_voices(path) is None
    assert TTS(path, voices=elsewhere).name == "kokoro af_heart"
    with pytest.raises(ModelFileError, match="voices"):
        TTS(path)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"speaker": "nobody"}, "af_heart"),
        ({"speaker": "jf_alpha"}, "language"),
        ({"rate_wpm": 400}, "85 to 340"),
    ],
)
def test_wrong_parameters_are_named(
    tmp_path: Path, fake: ModuleType, options: dict[str, Any], match: str
) -> None:
    with pytest.raises(ConfigurationError, match=match):
        TTS(model_file(tmp_path), **options)


def test_broken_files_are_named(tmp_path: Path, fake: ModuleType) -> None:
    path = model_file(tmp_path)
    fake.Kokoro.broken = True
    with pytest.raises(ModelFileError, match="can't be loaded"):
        spoken(TTS(path), "Go on.")
    voices = tmp_path / "voices-v1.0.bin"
    voices.write_bytes(voices.read_bytes()[:1000])
    with pytest.raises(ModelFileError, match="truncated"):
        TTS(path)
    with pytest.raises(ModelFileError, match="can't be read"):
        TTS(path, voices=tmp_path / "missing.bin")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "kokoro_onnx" else real(name, *rest)
    )
    with pytest.raises(MissingDependencyError, match=r"repartee\[kokoro\]"):
        KokoroVoice(model_file(tmp_path), None, speaker=None, speed=1.0, volume=1.0)


@pytest.mark.skipif(
    importlib.util.find_spec("kokoro_onnx") is None or importlib.util.find_spec("onnx") is None,
    reason="needs kokoro-onnx and onnx",
)
@pytest.mark.parametrize("timed", [True, False])
def test_the_real_package_speaks_a_stand_in(tmp_path: Path, timed: bool) -> None:
    voice = TTS(write_kokoro_model(tmp_path / "hum.onnx", timed=timed))
    text = "Hello there. I see my friend."
    result = spoken(voice, text)
    assert voice.capabilities.word_times == timed
    found = [text[word.text_start : word.text_end] for word in result.words]
    assert found == (text.split() if timed else [])
    assert result.audio.duration_s > 0.5
    times = [word.start_ms for word in result.words]
    assert times == sorted(times)
    assert not times or times[-1] < result.audio.duration_s * 1000


def test_voices_of_a_file_share_one_engine(tmp_path: Path, fake: ModuleType) -> None:
    voice = TTS(model_file(tmp_path))
    assert voice.capabilities.voices == ("af_heart", "bm_george")  # the third can't be read

    async def body() -> None:
        george = voice.with_voice("bm_george")
        assert (george.name, george.capabilities.languages) == ("kokoro bm_george", ("en-gb",))
        await asyncio.gather(speak(george, "One."), speak(voice, "Two."))
        with pytest.raises(ConfigurationError, match="no voice 'eve'"):
            voice.with_voice("eve")
        with pytest.raises(ConfigurationError, match="can't read"):
            voice.with_voice("jf_alpha")

    asyncio.run(body())
    engine: Any = voice._voice
    calls = [(text, told["voice"], told["lang"]) for text, told in engine._shared.engine.calls]
    assert calls == [("One.", "bm_george", "en-gb"), ("Two.", "af_heart", "en-us")]
