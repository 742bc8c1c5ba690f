from __future__ import annotations

from collections.abc import Callable

import pytest

from repartee.audio import AudioFrame
from repartee.models import VAD, SpeechProbability, VADStream
from repartee.testing import ScriptedVAD, run
from repartee.testing.conformance_vad import (
    VAD_CHECKS,
    SpeechSample,
    VADCheck,
    counts_positions,
    finds_speech,
    is_silent_once_closed,
    starts_afresh,
    streams_are_independent,
)

RATE = 16_000
SAMPLE = SpeechSample(
    AudioFrame(bytes(2 * RATE // 2) + b"\x10\x20" * RATE + bytes(2 * RATE // 2), RATE),
    RATE // 2,
    3 * RATE // 2,
)


@pytest.mark.parametrize("check", VAD_CHECKS, ids=lambda check: check.__name__)
def test_a_scripted_detector_conforms(check: VADCheck) -> None:
    run(check(ScriptedVAD, SAMPLE))


class Deaf(ScriptedVAD):
    def __init__(self) -> None:
        super().__init__([])


class Jumpy(ScriptedVAD):
    def __init__(self) -> None:
        super().__init__(silence_probability=0.9)


class Changed(ScriptedVAD):
    """Gives each result through `change`."""

    def change(self, result: SpeechProbability, number: int) -> SpeechProbability:
        return result

    def stream(self, *, on_result: Callable[[SpeechProbability], None], **options: object) -> VADStream:
        number = 0

        def changed(result: SpeechProbability) -> None:
            nonlocal number
            number += 1
            on_result(self.change(result, number))

        return super().stream(on_result=changed, **options)  # type: ignore[arg-type]


class SkipsPositions(Changed):
    def change(self, result: SpeechProbability, number: int) -> SpeechProbability:
        late = 40 if number > 20 else 0
        return SpeechProbability(result.probability, result.end_position_samples - late, result.dbfs)


class RemembersTooMuch(Changed):
    def change(self, result: SpeechProbability, number: int) -> SpeechProbability:
        return SpeechProbability(min(1.0, number / 1000), result.end_position_samples, result.dbfs)


class MixesStreams(Changed):
    total = 0

    def change(self, result: SpeechProbability, number: int) -> SpeechProbability:
        self.total += 1
        return SpeechProbability(min(1.0, self.total / 1000), result.end_position_samples, result.dbfs)


@pytest.mark.parametrize(
    "make, check, message",
    [
        (Deaf, finds_speech, "only 0% of the windows within speech"),
        (Jumpy, finds_speech, "of the windows outside it"),
        (SkipsPositions, counts_positions, "samples apart"),
        (RemembersTooMuch, starts_afresh, "after a reset"),
        (MixesStreams, streams_are_independent, "beside another stream"),
    ],
)
def test_what_does_not_conform_is_found(make: Callable[[], VAD], check: VADCheck, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        run(check(make, SAMPLE))


def test_late_results_are_found() -> None:
    class Late(ScriptedVAD):
        def stream(self, *, on_result: Callable[[SpeechProbability], None], **options: object) -> VADStream:
            stream = super().stream(on_result=on_result, **options)  # type: ignore[arg-type]
            close = stream.aclose

            async def aclose() -> None:
                await close()
                on_result(SpeechProbability(0.5, 10**6))

            stream.aclose = aclose  # type: ignore[method-assign]
            return stream

    with pytest.raises(AssertionError, match="after the stream was closed"):
        run(is_silent_once_closed(Late, SAMPLE))
