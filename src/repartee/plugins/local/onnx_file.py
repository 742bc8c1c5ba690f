"""Look at an ONNX file without a runtime: is it whole, and what does it say about itself?

A wrong file should be refused with a sentence. A runtime gives a page of C++, or ends the process (sherpa-onnx).
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Final

from repartee.errors import ModelFileError

__all__ = ["read_metadata"]

# ModelProto (onnx.proto3): 1 ir_version … 7 graph … 8 opset_import … 14 metadata_props … 20 training_info, 25 functions
_KNOWN_FIELDS: Final = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
_GRAPH: Final = 7
_METADATA: Final = 14


def read_metadata(path: Path, what: str = "model") -> dict[str, str]:
    """The metadata of an ONNX file. Reads its outline only, whatever its size.

    Args:
        path: the file.
        what: what it should be, for the messages.

    Raises:
        ModelFileError: it is missing, truncated, or no ONNX file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _outline(file, size, path, what)
    except FileNotFoundError:
        raise ModelFileError(f"there is no {what} at {path}") from None
    except OSError as error:
        raise ModelFileError(f"can't read the {what} {path}: {error.strerror}") from error


def _outline(file: IO[bytes], size: int, path: Path, what: str) -> dict[str, str]:
    found: dict[str, str] = {}
    has_graph = False
    cut = ModelFileError(f"the {what} {path} is truncated ({size} bytes): get it again")
    try:
        while file.tell() < size:
            field, kind = divmod(_varint(file), 8)
            if field not in _KNOWN_FIELDS or kind not in (0, 2):
                raise ModelFileError(f"{path} is not an ONNX file, so it can't be the {what}")
            length = _varint(file)
            if kind == 0:
                continue
            if file.tell() + length > size:
                raise cut
            if field == _METADATA:
                key, value = _entry(file.read(length))
                found[key] = value
            else:
                has_graph = has_graph or field == _GRAPH
                file.seek(length, 1)
    except EOFError:
        raise cut from None
    if not has_graph:
        raise cut
    return found


def _varint(file: IO[bytes]) -> int:
    """The next base-128 number."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise EOFError
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            break
    return value


def _entry(data: bytes) -> tuple[str, str]:
    """A StringStringEntryProto: 1 key, 2 value."""
    import io

    source, parts = io.BytesIO(data), {1: "", 2: ""}
    while source.tell() < len(data):
        field = _varint(source) // 8
        parts[field] = source.read(_varint(source)).decode("utf-8", "replace")
    return parts[1], parts[2]
