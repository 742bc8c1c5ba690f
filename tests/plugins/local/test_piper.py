"""Piper voices: the code path with a stand-in for the package, and with the real one where it is installed."""

from __future__ import annotations

import asyncio
import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from repartee.errors import ConfigurationError, MissingDependencyError, ModelError, ModelFileError, StateError
from repartee.plugins.local.piper import PiperVoice, check_onnx, sentences, words_of_groups
from repartee.plugins.local.tts import TTS
from repartee.testing.conformance_tts import Spoken, speak
from tests.plugins.local.stand_in_voices import write_piper_voice

ONNX = b"\x08\x08\x3a\x00"  # version 8, an empty graph
CONFIG: dict[str, Any] = {
    "audio": {"sample_rate": 22_050},
    "espeak": {"voice": "en-us"},
    "num_symbols": 3,
    "num_speakers": 2,
    "speaker_id_map": {"anna": 0, "bob": 1},
    "phoneme_id_map": {"_": [0]},
    "inference": {"length_scale": 1.2},
}


class FakeVoice:
    """As `piper.PiperVoice`: a chunk for each sentence, 100 samples a phoneme."""

    broken = False
    said: list[str]

    def __init__(self) -> None:
        self.said = []
        self.session = SimpleNamespace(get_outputs=lambda: ["audio", "durations"])

    @classmethod
    def load(cls, path: Path, include_alignments: bool = False) -> FakeVoice:
        if cls.broken:
            raise RuntimeError("INVALID_PROTOBUF")
        return cls()

    def synthesize(self, text: str, manner: Any, include_alignments: bool = False) -> Iterator[Any]:
        self.said.append(text)
        self.manner = manner
        phonemes = ["^", *text.strip().lower(), "$"]
        alignments = [SimpleNamespace(phoneme=phoneme, num_samples=100) for phoneme in phonemes]
        audio = np.full(100 * len(phonemes), 4000, "<i2").tobytes()
        yield SimpleNamespace(audio_int16_bytes=audio, sample_rate=22_050, phoneme_alignments=alignments)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("piper")
    module.__spec__ = importlib.machinery.ModuleSpec("piper", None)
    module.PiperVoice = type("Voice", (FakeVoice,), {})  # type: ignore[attr-defined]
    module.SynthesisConfig = lambda **options: options  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "piper", module)
    return module


def voice_file(folder: Path, **changes: Any) -> Path:
    path = folder / "voice.onnx"
    path.write_bytes(ONNX)
    path.with_name("voice.onnx.json").write_text(json.dumps({**CONFIG, **changes}), "utf-8")
    return path


def spoken(voice: TTS, text: str) -> Spoken:
    async def body() -> Spoken:
        try:
            return await speak(voice, text)
        finally:
            await voice.aclose()

    return asyncio.run(body())


def test_sentences_are_spoken_one_by_one_with_word_times(tmp_path: Path, fake: ModuleType) -> None:
    text = "Go on. I see <b>you</b>!"
    result = spoken(TTS(voice_file(tmp_path)), text)
    assert [text[word.text_start : word.text_end] for word in result.words][:4] == ["Go", "on.", "I", "see"]
    assert len(result.chunks) == 2
    sample = 1000 / 22_050
    # "^go on.$" is 8 phonemes, so the second sentence begins at 800 samples, and its "i" 100 later.
    assert [word.start_ms for word in result.words] == pytest.approx(
        [at * sample for at in (100, 400, 900, 1100, 1800)], abs=0.1
    )


def test_speaker_pace_and_volume_are_handed_on(tmp_path: Path, fake: ModuleType) -> None:
    voice = TTS(voice_file(tmp_path), speaker="bob", rate_wpm=340, volume=0.5)
    spoken(voice, "Yes.")
    engine: Any = voice._voice
    assert engine._shared.engine.manner == {"speaker_id": 1, "length_scale": 0.6, "volume": 0.5}
    assert voice.name == "piper voice"
    assert voice.capabilities.sample_rate == 22_050


def test_raw_phonemes_are_not_obeyed(tmp_path: Path, fake: ModuleType) -> None:
    voice = TTS(voice_file(tmp_path))
    spoken(voice, "Say [[h@loU]] now.")
    engine: Any = voice._voice
    assert engine._shared.engine.said == ["Say   h@loU   now."]


def test_closing_ends_after_the_sentence_under_way(tmp_path: Path, fake: ModuleType) -> None:
    async def body() -> int:
        voice = TTS(voice_file(tmp_path))
        stream = voice.synthesize("One of many. " * 200)
        await anext(stream)
        await stream.aclose()
        await speak(voice, "Last.")
        await voice.aclose()
        engine: Any = voice._voice
        return len(engine._shared.engine.said)

    # 200 sentences in pieces of at most 300 characters: what was under way, and what was asked for then.
    assert asyncio.run(body()) < 60


def test_a_file_that_can_not_be_loaded_is_named(tmp_path: Path, fake: ModuleType) -> None:
    fake.PiperVoice.broken = True
    with pytest.raises(ModelFileError, match="can't be loaded"):
        spoken(TTS(voice_file(tmp_path)), "Yes.")


def test_a_voice_that_fails_is_a_model_error(
    tmp_path: Path, fake: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(fake.PiperVoice, "synthesize", fail)
    with pytest.raises(ModelError, match="out of memory") as caught:
        spoken(TTS(voice_file(tmp_path)), "Yes.")
    assert caught.value.stage == "tts"


@pytest.mark.parametrize("speaker", ["carl", 2, -1])
def test_an_unknown_speaker_is_named(tmp_path: Path, fake: ModuleType, speaker: str | int) -> None:
    with pytest.raises(ConfigurationError, match="anna, bob"):
        TTS(voice_file(tmp_path), speaker=speaker)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"audio": {}}, "description"),
        ({"audio": {"sample_rate": 100}}, "description"),
        ({"phoneme_id_map": []}, "phoneme_id_map"),
        ({"espeak": {}}, "phoneme_id_map"),
        ({"num_speakers": None}, "description"),
    ],
)
def test_a_wrong_description_is_named(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelFileError, match=match):
        TTS(voice_file(tmp_path, **changes))


def test_a_description_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = voice_file(tmp_path)
    path.with_name("voice.onnx.json").write_text("<html>", "utf-8")
    with pytest.raises(ModelFileError, match="no description"):
        TTS(path)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "piper" else real(name, *rest)
    )
    with pytest.raises(MissingDependencyError, match=r"repartee\[piper\]"):
        PiperVoice(voice_file(tmp_path), speaker=None, speed=1.0, volume=1.0)


def test_a_directory_stands_for_its_only_voice(tmp_path: Path) -> None:
    path = voice_file(tmp_path)
    assert check_onnx(tmp_path) == path


def test_sentences_are_found() -> None:
    text = "Hi there! It is 3.5 km to Dr. Who… “Really?” Yes"
    assert [text[start:end].strip() for start, end in sentences(text)] == [
        "Hi there!", "It is 3.5 km to Dr. Who…", "“Really?”", "Yes",
    ]  # fmt: skip
    assert list(sentences(" ... ")) == []


def test_words_without_a_group_of_their_own_get_no_time() -> None:
    assert words_of_groups("it is 42", [("a", 0.0), (" ", 5.0), ("b", 10.0)]) == []
    found = words_of_groups("it is", [("ɪ", 0.0), ("t", 1.0), (" ", 2.0), ("ɪ", 3.0), (".", 4.0)])
    assert [(word.text_start, word.start_ms) for word in found] == [(0, 0.0), (3, 3.0)]


@pytest.mark.skipif(
    importlib.util.find_spec("piper") is None or importlib.util.find_spec("onnx") is None,
    reason="needs piper-tts and onnx",
)
def test_the_real_package_speaks_a_stand_in(tmp_path: Path) -> None:
    voice = TTS(write_piper_voice(tmp_path / "hum.onnx"))
    text = "Hello there. I see my friend."
    result = spoken(voice, text)
    assert voice.capabilities.word_times
    assert [text[word.text_start : word.text_end] for word in result.words] == text.split()
    assert result.audio.duration_s > 0.5
    times = [word.start_ms for word in result.words]
    assert times == sorted(times)
    assert times[-1] < result.audio.duration_s * 1000
    slow = spoken(TTS(tmp_path / "hum.onnx", rate_wpm=85), text)
    assert slow.audio.duration_s == pytest.approx(2 * result.audio.duration_s, rel=0.05)


@pytest.mark.skipif(
    importlib.util.find_spec("piper") is None or importlib.util.find_spec("onnx") is None,
    reason="needs piper-tts and onnx",
)
def test_the_real_package_refuses_what_is_no_voice(tmp_path: Path) -> None:
    path = voice_file(tmp_path)
    with pytest.raises(ModelFileError, match="can't be loaded"):
        spoken(TTS(path), "Hello.")


def test_speakers_share_one_engine(tmp_path: Path, fake: ModuleType) -> None:
    voice = TTS(voice_file(tmp_path), speaker="bob")
    assert voice.capabilities.voices == ("bob", "anna")

    async def body() -> list[int | None]:
        anna = voice.with_voice("anna")
        found = []
        for each in (anna, voice, anna.with_voice("bob"), anna):
            result = await speak(each, "Yes.")
            assert result.words  # each knows what was found out when the engine was loaded
            found.append(engine._shared.engine.manner["speaker_id"])
        assert len(engine._shared.engine.said) == 4
        with pytest.raises(ConfigurationError, match="no speaker 'eve'; it has anna, bob"):
            voice.with_voice("eve")
        await anna.aclose()
        await speak(voice, "Still here.")
        await voice.aclose()
        with pytest.raises(StateError):
            await speak(anna, "No more.")
        return found

    engine: Any = voice._voice
    assert asyncio.run(body()) == [0, 1, 1, 0]


def test_speakers_without_names_have_numbers(tmp_path: Path, fake: ModuleType) -> None:
    assert TTS(voice_file(tmp_path, speaker_id_map={})).capabilities.voices == ("0", "1")
    one = TTS(voice_file(tmp_path, speaker_id_map={}, num_speakers=1))
    assert one.capabilities.voices == ()
    with pytest.raises(ConfigurationError, match="no speaker 'alloy'; it has one, without a name"):
        one.with_voice("alloy")
