from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.errors import ModelFileError
from repartee.plugins.local.onnx_file import read_metadata

TINY = Path(__file__).parents[2] / "data" / "tiny_ctc" / "model.onnx"


def test_metadata() -> None:
    found = read_metadata(TINY)
    assert found["model_type"] == "EncDecCTCModel"
    assert found["window_size"] == "65"


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="there is no voice at"):
        read_metadata(tmp_path / "x.onnx", "voice")
    with pytest.raises(ModelFileError, match="can't read the model"):
        read_metadata(tmp_path)


@given(cut=st.integers(0, TINY.stat().st_size - 1))
def test_every_truncation_is_refused_or_loses_only_metadata(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.onnx"
    path.write_bytes(TINY.read_bytes()[:cut])
    try:
        found = read_metadata(path)
    except ModelFileError as error:
        message = str(error)
    else:
        # Cut between two entries at the end, it is a whole file with less to say.
        assert found.items() < read_metadata(TINY).items()
        return
    assert "truncated" in message


@given(data=st.binary(max_size=200))
def test_anything_else_is_refused(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(data)
    try:
        read_metadata(path)
    except ModelFileError:
        pass
    else:
        assert b"\x3a" in data  # only something with a graph passes
