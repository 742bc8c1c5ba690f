"""The faster form of the default weights."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from repartee.plugins.local import requantize
from repartee.plugins.local.requantize import fast_copy
from repartee.plugins.local.weights import check_gguf, read_tensors
from tests.plugins.local.test_weights import LLAMA, metadata, text

BLOCKS = 24


def q4_1_file(path: Path) -> bytes:
    """A model with one tensor of Q4_1 and one of floats; the quantized tensor's bytes."""
    random = np.random.default_rng(5)
    blocks = np.empty((BLOCKS, 20), np.uint8)
    blocks[:, :2] = random.uniform(0.001, 0.01, (BLOCKS, 1)).astype("<f2").view(np.uint8)
    blocks[:, 2:4] = random.uniform(-0.09, -0.01, (BLOCKS, 1)).astype("<f2").view(np.uint8)
    blocks[:, 4:] = random.integers(0, 256, (BLOCKS, 16))
    raw = blocks.tobytes()
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, len(LLAMA))
    head += b"".join(text(key) + metadata(value) for key, value in LLAMA.items())
    head += text("q") + struct.pack("<IQQIQ", 2, 32, BLOCKS, 3, 0)
    head += text("f") + struct.pack("<IQIQ", 1, 8, 0, 512)
    path.write_bytes(
        head + bytes(-len(head) % 32) + raw + bytes(512 - len(raw)) + struct.pack("<8f", *range(8))
    )
    return raw


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REPARTEE_MODELS", str(tmp_path / "models"))
    return tmp_path


def test_a_copy_is_made_once(folder: Path) -> None:
    source = folder / "tiny.gguf"
    q4_1_file(source)
    copy = fast_copy(source)
    assert copy.parent == folder / "models"
    made = copy.stat().st_mtime_ns
    assert fast_copy(source) == copy
    assert copy.stat().st_mtime_ns == made
    assert [path.name for path in copy.parent.iterdir()] == [copy.name], "nothing unfinished is left"


def test_the_copy_says_the_same_and_means_nearly_the_same(folder: Path) -> None:
    source = folder / "tiny.gguf"
    raw = q4_1_file(source)
    copy = fast_copy(source)
    assert check_gguf(copy).chat_template == check_gguf(source).chat_template
    _, tensors, start = read_tensors(copy)
    described = [(tensor.name, tensor.shape, tensor.kind) for tensor in tensors]
    assert described == [("q", (32, BLOCKS), 8), ("f", (8,), 0)]
    data = copy.read_bytes()
    assert struct.unpack_from("<8f", data, start + tensors[1].offset) == tuple(range(8))

    blocks = np.frombuffer(data, np.uint8, tensors[0].size_bytes, start).reshape(-1, 34)
    meant = blocks[:, 2:].view(np.int8) * blocks[:, :2].copy().view("<f2").astype(np.float32)
    before = requantize._values(raw)
    assert meant.shape == before.shape
    assert np.abs(meant - before).max() < 0.005 * np.abs(before).max()


def test_where_nothing_can_be_written_the_weights_are_used_as_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder / "tiny.gguf"
    q4_1_file(source)
    (folder / "file").write_text("")
    monkeypatch.setenv("REPARTEE_MODELS", str(folder / "file" / "models"))
    assert fast_copy(source) == source


def test_a_failure_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder / "tiny.gguf"
    q4_1_file(source)

    def full(raw: bytes) -> bytes:
        raise OSError("no space left on device")

    monkeypatch.setattr(requantize, "_requantize", full)
    assert fast_copy(source) == source
    assert list((folder / "models").iterdir()) == []


def test_a_damaged_source_is_left_to_others_to_report(folder: Path) -> None:
    source = folder / "tiny.gguf"
    source.write_bytes(b"GGUF" + bytes(40))
    assert fast_copy(source) == source


def test_an_empty_block_stays_empty() -> None:
    assert requantize._requantize(bytes(20))[:2] == bytes(2)
