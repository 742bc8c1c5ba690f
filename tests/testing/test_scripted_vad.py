"""The scripted detector: by samples or by times, late, failing, in order."""

from __future__ import annotations

import asyncio

import pytest

from repartee.audio import AudioFrame
from repartee.errors import ModelError
from repartee.models import SpeechProbability, VADStream
from repartee.testing import ScriptedVAD, elapse, fail, slow, speech, stall, virtual_time

WORD = speech.encode(["hello"], [24_000 * 64 // 1000])
QUIET = bytes(2 * 768)


def stream(
    vad: ScriptedVAD, rate: int = 24_000
) -> tuple[VADStream, list[tuple[float, SpeechProbability]], list[ModelError]]:
    results: list[tuple[float, SpeechProbability]] = []
    errors: list[ModelError] = []
    loop = asyncio.get_running_loop()
    opened = vad.stream(
        sample_rate=rate, on_result=lambda r: results.append((loop.time(), r)), on_error=errors.append
    )
    return opened, results, errors


@virtual_time
async def test_any_sound_is_speech() -> None:
    vad = ScriptedVAD(lag_s=0.01)
    opened, results, _ = stream(vad)
    for data in (QUIET, WORD[:1000], WORD[1000:], speech.noise(768), QUIET):
        opened.push(AudioFrame(data, 24_000))
    assert results == []
    await elapse(1.0)
    assert [r.probability for _, r in results] == [0.01, 0.98, 0.98, 0.98, 0.01]
    assert [r.end_position_samples for _, r in results] == [768, 1536, 2304, 3072, 3840]
    assert {at_s for at_s, _ in results} == {0.01}
    assert results[0][1].dbfs == -96.0
    assert results[1][1].dbfs > -30.0
    await opened.aclose()
    assert vad.open_streams == 0


@virtual_time
async def test_noise_may_count_for_less() -> None:
    opened, results, _ = stream(ScriptedVAD(noise_probability=0.3))
    opened.push(AudioFrame(speech.noise(768) + WORD, 24_000))
    await elapse(0)
    assert [r.probability for _, r in results] == [0.3, 0.98, 0.98]


@virtual_time
async def test_by_times() -> None:
    opened, results, _ = stream(ScriptedVAD([(0.5, 0.6), (0.1, 0.2)]), 16_000)
    opened.push(AudioFrame(bytes(2 * 16_000), 16_000))
    await elapse(0)
    speaking = [r.end_position_samples / 16_000 for _, r in results if r.probability > 0.5]
    # The windows that touch 0.1 to 0.2 s and 0.5 to 0.6 s.
    assert speaking == pytest.approx([0.128, 0.16, 0.192, 0.224, 0.512, 0.544, 0.576, 0.608])


@virtual_time
async def test_reset_goes_on_counting() -> None:
    opened, results, _ = stream(ScriptedVAD())
    opened.push(AudioFrame(QUIET[:1000], 24_000))
    opened.reset()
    opened.push(AudioFrame(QUIET, 24_000))
    await elapse(0)
    assert [r.end_position_samples for _, r in results] == [500 + 768]


@virtual_time
async def test_faults() -> None:
    vad = ScriptedVAD(faults=[fail(1, after=2), stall(2, after=1), slow(0.5, 3, after=1)])
    streams = [stream(vad) for _ in range(3)]
    for opened, _, _ in streams:
        opened.push(AudioFrame(QUIET * 4, 24_000))
    await elapse(1.0)
    assert [len(results) for _, results, _ in streams] == [2, 1, 4]
    assert [len(errors) for _, _, errors in streams] == [1, 0, 0]
    assert [at_s for at_s, _ in streams[2][1]] == [0.0, 0.5, 0.5, 0.5]


@virtual_time
async def test_nothing_comes_after_close() -> None:
    opened, results, _ = stream(ScriptedVAD(lag_s=0.1))
    opened.push(AudioFrame(QUIET, 24_000))
    await opened.aclose()
    await opened.aclose()
    opened.push(AudioFrame(QUIET, 24_000))
    await elapse(1.0)
    assert results == []
