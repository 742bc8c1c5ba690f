from __future__ import annotations

import numpy as np
import pytest

from repartee.audio import AudioFrame, peak_dbfs, rms_dbfs


def test_square_and_sine() -> None:
    square = AudioFrame.from_array(np.full(100, -32768, np.int16), 8000)
    assert rms_dbfs(square) == peak_dbfs(square) == 0.0
    sine = AudioFrame.from_array(np.sin(np.arange(8000) * 2 * np.pi / 80) / 2, 8000)
    assert rms_dbfs(sine) == pytest.approx(-9.03, abs=0.01)
    assert peak_dbfs(sine) == pytest.approx(-6.02, abs=0.01)


def test_one_step_and_silence() -> None:
    assert peak_dbfs(AudioFrame(b"\1\0", 8000)) == pytest.approx(-90.31, abs=0.01)
    for silent in AudioFrame(b"", 8000), AudioFrame.silence(10, 8000):
        assert rms_dbfs(silent) == peak_dbfs(silent) == -100.0
    assert rms_dbfs(AudioFrame(b"\1\0" + bytes(20000), 8000)) == -100.0
