from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from repartee.errors import MissingDependencyError, ModelFileError
from repartee.plugins.local import whisper
from repartee.plugins.local.recognition import RecognisedWord
from repartee.plugins.local.stt import STT
from repartee.plugins.local.whisper import WhisperEngine, _Segment, check_directory


def head(kind: bytes) -> bytes:
    """How CTranslate2 begins a model.bin."""
    return struct.pack("<IH", 6, len(kind) + 1) + kind + b"\0" + bytes(64)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "model.bin").write_bytes(head(b"WhisperSpec"))
    for name in ("config.json", "tokenizer.json", "vocabulary.json"):
        (tmp_path / name).write_text("{}")
    return tmp_path


def test_good_directory(directory: Path) -> None:
    check_directory(directory)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "vocabulary.json"])
def test_missing_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(ModelFileError, match=name.partition(".")[0]):
        check_directory(directory)


def test_files_of_another_kind(directory: Path) -> None:
    (directory / "model.bin").write_bytes(head(b"TransformerSpec"))
    with pytest.raises(ModelFileError, match="is a TransformerSpec, not a Whisper model"):
        check_directory(directory)
    for data in (b"", b"GGUF", b"<html>page not found</html>"):
        (directory / "model.bin").write_bytes(data)
        with pytest.raises(ModelFileError, match="no CTranslate2 model"):
            check_directory(directory)
    (directory / "model.bin").unlink()
    (directory / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ModelFileError, match="ct2-transformers-converter"):
        check_directory(directory)


def test_damaged_json(directory: Path) -> None:
    (directory / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(ModelFileError, match=r"tokenizer\.json is damaged"):
        check_directory(directory)


def test_missing_package_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None))
    monkeypatch.setattr(whisper, "importlib", nothing)
    for model in ("base.en", directory):
        with pytest.raises(MissingDependencyError, match=r"repartee\[whisper\]"):
            STT(model)


class FakeModel:
    """One word for each second, called by its number."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, bool]] = []

    def transcribe(self, audio: Any, **options: Any) -> tuple[list[SimpleNamespace], None]:
        seconds = len(audio) / 16_000
        self.calls.append((seconds, options["word_timestamps"]))
        words = [
            SimpleNamespace(word=f" w{k}", start=k + 0.1, end=k + 0.9, probability=0.5)
            for k in range(int(seconds))
        ]
        text = "".join(word.word for word in words)
        timed = words if options["word_timestamps"] else None
        heard = SimpleNamespace(text=text, words=timed, no_speech_prob=0.1, avg_logprob=-0.2)
        ghost = SimpleNamespace(text=" thank you", words=None, no_speech_prob=0.9, avg_logprob=-2.0)
        return [heard, ghost], None


@pytest.fixture
def model(directory: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[WhisperEngine, FakeModel]:
    monkeypatch.setattr(
        whisper, "importlib", SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: name))
    )
    engine, fake = WhisperEngine(directory, language="en", threads=1), FakeModel()
    engine._model = fake
    return engine, fake


def test_interims_after_enough_new_audio_and_a_final_with_times(
    model: tuple[WhisperEngine, FakeModel],
) -> None:
    engine, fake = model
    segment = _Segment(engine)
    read = [segment.feed(bytes(2 * 8000), behind=False) for _ in range(6)]
    assert read == ["", "w0", "w0", "w0 w1", "w0 w1", "w0 w1 w2"]
    assert fake.calls == [(1.0, False), (2.0, False), (3.0, False)]
    result = segment.finish()
    assert result.text == "w0 w1 w2"
    assert result.words[1] == RecognisedWord("w1", 17_600, 30_400, 0.5)
    assert result.confidence == 0.5


def test_no_interim_while_behind(model: tuple[WhisperEngine, FakeModel]) -> None:
    engine, fake = model
    segment = _Segment(engine)
    for _ in range(4):
        assert segment.feed(bytes(2 * 16_000), behind=True) == ""
    assert not fake.calls


def test_more_than_its_window_is_read_in_pieces(model: tuple[WhisperEngine, FakeModel]) -> None:
    engine, fake = model
    segment = _Segment(engine)
    for _ in range(40):
        segment.feed(bytes(2 * 16_000), behind=True)
    result = segment.finish()
    assert len(result.words) == 40
    assert all(seconds <= 30 for seconds, _ in fake.calls)
    starts = [w.start_samples for w in result.words]
    assert starts == sorted(starts)
    assert starts[-1] > 38 * 16_000


def test_nothing_said(model: tuple[WhisperEngine, FakeModel]) -> None:
    engine, fake = model
    assert _Segment(engine).finish().text == ""
    assert not fake.calls
    aborted = _Segment(engine)
    aborted.feed(bytes(200), behind=False)
    aborted.abort()
