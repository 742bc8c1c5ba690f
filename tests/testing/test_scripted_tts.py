"""The scripted voice: exact durations and word times, chunks with delays, faults."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from repartee.errors import ModelError
from repartee.models import SpeechChunk, TimedWord
from repartee.testing import ScriptedTTS, fail, slow, speech, stall, virtual_time

TEXT = "Sure, it is done."


async def synthesize(tts: ScriptedTTS, text: str) -> list[tuple[float, SpeechChunk]]:
    loop = asyncio.get_running_loop()
    async with aclosing(tts.synthesize(text)) as chunks:
        return [(round(loop.time(), 9), chunk) async for chunk in chunks]


@virtual_time
async def test_words_audio_and_chunks() -> None:
    tts = ScriptedTTS(lead_silence_ms=20.0)
    chunks = await synthesize(tts, TEXT)
    assert [at_s for at_s, _ in chunks] == pytest.approx([0.05 + 0.01 * i for i in range(9)])
    words = [word for _, chunk in chunks for word in chunk.words]
    assert words == [
        TimedWord(0, 5, 20.0),
        TimedWord(6, 8, 320.0),
        TimedWord(9, 11, 440.0),
        TimedWord(12, 17, 560.0),
    ]
    for _, chunk in chunks:
        start_ms = chunk.audio.position_samples / 24
        for word in chunk.words:
            assert start_ms <= word.start_ms < start_ms + chunk.audio.duration_s * 1000
    audio = b"".join(chunk.audio.data for _, chunk in chunks)
    assert (audio, tuple(words)) == tts.speak(TEXT)
    assert len(audio) / 2 / 24 == tts.duration_ms(TEXT) == 20 + 14 * 60
    heard = speech.decode(audio, 24_000)
    assert [word.text for word in heard] == TEXT.split()
    assert [word.start_samples / 24 for word in heard] == [word.start_ms for word in words]
    (utterance,) = tts.utterances
    assert (utterance.text, utterance.outcome, utterance.audio) == (TEXT, "completed", audio)
    assert utterance.given_samples == len(audio) // 2


@virtual_time
async def test_a_pace_by_the_word_without_word_times() -> None:
    tts = ScriptedTTS(ms_per_word=333.0, sample_rate=16_000, word_times=False, first_chunk_s=0.0, chunk_s=0.0)
    chunks = await synthesize(tts, TEXT)
    assert {at_s for at_s, _ in chunks} == {0.0}
    assert all(chunk.words == () for _, chunk in chunks)
    assert sum(chunk.audio.samples for _, chunk in chunks) == round(4 * 333.0 * 16)


@virtual_time
async def test_nothing_to_say_gives_nothing() -> None:
    tts = ScriptedTTS()
    assert await synthesize(tts, "  ") == []
    assert tts.duration_ms(" ") == 0.0


@virtual_time
async def test_faults_and_cancellation() -> None:
    tts = ScriptedTTS(faults=[fail(1, after=2), stall(2, after=1), slow(1.0, 3), fail(4, after=9)])
    with pytest.raises(ModelError) as caught:
        await synthesize(tts, TEXT)
    assert caught.value.stage == "tts"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10.0):
            await synthesize(tts, TEXT)
    before = asyncio.get_running_loop().time()
    assert (await synthesize(tts, TEXT))[0][0] == pytest.approx(before + 1.05)
    with pytest.raises(ModelError):
        await synthesize(tts, TEXT)
    async with aclosing(tts.synthesize(TEXT)) as chunks:
        await anext(chunks)
    assert [u.outcome for u in tts.utterances] == ["failed", "cancelled", "completed", "failed", "cancelled"]
    assert [u.given_samples for u in tts.utterances] == [4800, 2400, 20_160, 20_160, 2400]
