from __future__ import annotations

import os
import subprocess
import sys

import repartee.audio


def test_names_are_sorted_and_there() -> None:
    names = repartee.audio.__all__
    assert names == sorted(names)
    assert all(hasattr(repartee.audio, name) for name in names)


def test_importing_it_is_cheap() -> None:
    script = "import sys, repartee.audio; print([m for m in ('numpy', 'soundfile') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
