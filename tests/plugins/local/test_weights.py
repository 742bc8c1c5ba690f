"""Finding the weights, and telling a whole file from a broken one."""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.errors import ModelFileError
from repartee.plugins.local import weights
from repartee.plugins.local.weights import (
    check_gguf,
    default_gguf,
    find_gguf,
    is_default,
    models_directory,
    read_tensors,
)

LLAMA = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.license": "apache-2.0",
    "llama.context_length": 512,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": [f"token{number}" for number in range(40)],
    "tokenizer.ggml.scores": list(range(40)),
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.eot_token_id": 7,
    "tokenizer.chat_template": "{{ messages }}",
}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def metadata(value: object) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    assert isinstance(value, list)
    if isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(each) for each in value)
    return struct.pack("<IIQ", 9, 4, len(value)) + struct.pack(f"<{len(value)}I", *value)


def gguf(meta: dict[str, object], *, version: int = 3, data_bytes: int = 128) -> bytes:
    """A GGUF file with one tensor, 32 floats of 32 bits."""
    head = b"GGUF" + struct.pack("<IQQ", version, 1, len(meta))
    head += b"".join(text(key) + metadata(value) for key, value in meta.items())
    head += text("token_embd.weight") + struct.pack("<IQQIQ", 2, 8, 4, 0, 0)
    return head + bytes(-len(head) % 32) + bytes(data_bytes)


def write(folder: Path, content: bytes, name: str = "model.gguf") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, gguf(dict(LLAMA)))
    info = check_gguf(path)
    assert (info.architecture, info.name, info.license) == ("llama", "Tiny", "apache-2.0")
    assert info.context_length == 512
    assert info.end_token_ids == {2, 7}
    assert info.is_chat_model
    assert info.size_bytes == path.stat().st_size


def test_tensors_are_listed(tmp_path: Path) -> None:
    path = write(tmp_path, gguf(dict(LLAMA)))
    metadata_end, (tensor,), start = read_tensors(path)
    assert (tensor.name, tensor.shape, tensor.kind, tensor.offset) == ("token_embd.weight", (8, 4), 0, 0)
    assert tensor.size_bytes == 128
    assert metadata_end < start == path.stat().st_size - 128


@pytest.mark.parametrize(
    "head, said",
    [
        (struct.pack("<Q", 900) + b'{"__metadata__"' + bytes(99), "safetensors.*convert"),
        (b"PK\x03\x04" + bytes(99), "PyTorch"),
        (b"RIFF" + bytes(99), "WAV"),
        (b"<!DOCTYPE html>" + bytes(99), "web page"),
        (b"version https://git-lfs.github.com/spec/v1" + bytes(9), "LFS pointer"),
        (b"lmgg" + bytes(99), "before GGUF"),
        (b"\x7fELF" + bytes(99), "begins with"),
        (b"GGUF", "only 4 bytes"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<I", 77), "metadata type 77"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 9, 1),
            "arrays of type 9",
        ),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(8), "not of a language model"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, head: bytes, said: str) -> None:
    with pytest.raises(ModelFileError, match=f"(?s){said}"):
        check_gguf(write(tmp_path, head))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"absent\.gguf can't be read"):
        check_gguf(tmp_path / "absent.gguf")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is a directory"):
        find_gguf(tmp_path)


@given(st.data())
def test_a_truncated_file_is_found_out_wherever_it_ends(data: st.DataObject) -> None:
    whole = gguf(dict(LLAMA))
    length = data.draw(st.integers(0, len(whole) - 1))
    path = Path(weights.__file__)  # only named in messages
    with pytest.raises((ModelFileError, IndexError, struct.error)):
        weights._Header(path, whole[:length], length)  # type: ignore[arg-type]


def test_a_truncated_file_says_how_much_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, gguf(dict(LLAMA), data_bytes=127))
    with pytest.raises(ModelFileError, match=r"truncated: it has .* bytes and its header promises"):
        check_gguf(path)
    path = write(tmp_path, gguf(dict(LLAMA))[:300])
    with pytest.raises(ModelFileError, match="truncated or damaged"):
        check_gguf(path)


def test_the_model_directory_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPARTEE_MODELS", str(tmp_path))
    assert models_directory() == tmp_path


@pytest.mark.parametrize(
    "platform, variable, expected",
    [
        ("linux", "XDG_CACHE_HOME", "repartee/models"),
        ("win32", "LOCALAPPDATA", "repartee/models"),
    ],
)
def test_the_model_directory_is_the_platforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, variable: str, expected: str
) -> None:
    monkeypatch.delenv("REPARTEE_MODELS", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    assert models_directory() == tmp_path / expected


def test_names_are_looked_up_in_the_model_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPARTEE_MODELS", str(tmp_path))
    path = write(tmp_path, gguf(dict(LLAMA)), "tiny.gguf")
    assert find_gguf("tiny.gguf") == find_gguf("tiny") == find_gguf(path) == path
    with pytest.raises(ModelFileError, match=r"'other' does not exist.*repartee models"):
        find_gguf("other")


def test_without_the_package_the_default_is_looked_for_in_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPARTEE_MODELS", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelFileError, match="repartee models get smollm2-135m"):
        default_gguf()
    path = write(tmp_path, b"", "SmolLM2-135M-Instruct.Q4_1.gguf")
    assert default_gguf() == find_gguf(None) == find_gguf("smollm2-135m") == path
    assert is_default(path)
