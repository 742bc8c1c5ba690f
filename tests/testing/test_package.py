"""The test kit's public names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import repartee.testing


def test_each_public_name_can_be_had() -> None:
    assert repartee.testing.__all__ == sorted(repartee.testing.__all__)
    for name in repartee.testing.__all__:
        assert getattr(repartee.testing, name).__name__ == name
    assert set(dir(repartee.testing)) == set(repartee.testing.__all__)
    with pytest.raises(AttributeError, match="nobody"):
        repartee.testing.nobody  # noqa: B018


def test_importing_it_is_cheap() -> None:
    code = "import sys, repartee.testing; sys.exit('numpy' in sys.modules or 'repartee.testing.io' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
