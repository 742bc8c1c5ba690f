"""Whether the default language model can run here: tests that need it are skipped, with the reason, where it can't."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from repartee.errors import ModelFileError
from repartee.plugins.local.weights import default_gguf


def _missing() -> str:
    if importlib.util.find_spec("xllamacpp") is None:
        return "the package xllamacpp is not installed (pip install 'repartee[local]')"
    try:
        default_gguf()
    except ModelFileError as error:
        return str(error)
    return ""


def weights_file() -> Path:
    """The default model's file."""
    return default_gguf()


needs_weights = pytest.mark.skipif(bool(_missing()), reason=_missing() or "the weights are here")
