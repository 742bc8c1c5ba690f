"""The suite itself: it passes what is right, and finds what is wrong."""

from __future__ import annotations

import pytest

from repartee.audio import AudioFrame
from repartee.io import PlaybackPosition
from repartee.testing import MemoryOutput, run
from repartee.testing.conformance_audio_output import (
    AUDIO_OUTPUT_CHECKS,
    AudioOutputCheck,
    check_audio_output,
)
from repartee.transports.file import RecordingOutput


@pytest.mark.parametrize("check", AUDIO_OUTPUT_CHECKS, ids=lambda check: check.__name__)
def test_the_memory_output_conforms(check: AudioOutputCheck) -> None:
    run(check(lambda: MemoryOutput(ack_lag_s=0.05, device_buffer_ms=20)))


class Hasty(RecordingOutput):
    """Says at once that all was played."""

    def write(self, frame: AudioFrame) -> None:
        super().write(frame)
        self._report(PlaybackPosition(self._position + self._queued))


class Deaf(RecordingOutput):
    """Answers no clear."""

    def clear(self) -> None:
        self._queue.clear()
        self._queued = 0
        self._stop()


class Restless(RecordingOutput):
    """Can't pause, and doesn't say so."""

    def pause(self) -> None:
        pass


@pytest.mark.parametrize("broken", [Hasty, Deaf, Restless])
def test_what_is_wrong_is_found(broken: type[RecordingOutput]) -> None:
    with pytest.raises(AssertionError):
        run(check_audio_output(broken), check_leaks=False)
