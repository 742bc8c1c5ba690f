"""What every `TTS` must do, as checks that any plugin can run.

Each check takes a function that makes a voice, and raises `AssertionError` with what was wrong::

    @pytest.mark.parametrize("check", TTS_CHECKS)
    def test_conformance(check: TTSCheck) -> None:
        asyncio.run(check(lambda: MyTTS()))
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from repartee.audio import AudioFrame, peak_dbfs
from repartee.errors import ConfigurationError
from repartee.models import TTS, SpeechChunk, TimedWord

__all__ = ["TTS_CHECKS", "TTSCheck", "check_tts"]

MakeTTS = Callable[[], TTS]
TTSCheck = Callable[[MakeTTS], Coroutine[Any, Any, None]]

SENTENCE = "Sure, the table for two is booked at seven, and the window is yours."
ODD_TEXTS = (
    "<speak>Hello <break time='3s'/> there</speak>",
    "**Bold**, `code` and # a heading\n- one\n- two",
    "tabs\tand\x00nulls\x01and\x1bescapes\x7f",
    "half a pair \ud83d of surrogates",
    "naïve café — “quoted” … 日本 привет 😀👩‍👩‍👧",
    "It costs $42.50, i.e. 3/4 of 1,234,567 at 5pm on 12/31.",
    "a" * 500,
    "!?!?!? ... , , , (((",
    "word " * 300,
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A whole synthesis."""

    text: str
    chunks: tuple[SpeechChunk, ...]

    @property
    def words(self) -> list[TimedWord]:
        """All its words."""
        return [word for chunk in self.chunks for word in chunk.words]

    @property
    def audio(self) -> AudioFrame:
        """All its audio."""
        rate = self.chunks[0].audio.sample_rate
        return AudioFrame(b"".join(chunk.audio.data for chunk in self.chunks), rate)


async def speak(voice: TTS, text: str) -> Spoken:
    """Synthesize to the end."""
    return Spoken(text, tuple([chunk async for chunk in voice.synthesize(text)]))


def _check(body: Callable[[TTS], Awaitable[None]]) -> TTSCheck:
    async def check(make: MakeTTS) -> None:
        voice = make()
        try:
            await voice.prewarm()
            await body(voice)
        finally:
            await voice.aclose()

    check.__name__ = body.__name__
    check.__doc__ = body.__doc__
    return check


async def gives_audio_in_order(voice: TTS) -> None:
    """Chunks are mono, not empty, of the announced rate, and follow one another from position 0."""
    spoken = await speak(voice, SENTENCE)
    assert spoken.chunks, "a sentence gave no audio"
    position = 0
    for chunk in spoken.chunks:
        frame = chunk.audio
        assert frame.samples, "a chunk is empty"
        assert frame.channels == 1, f"a chunk has {frame.channels} channels"
        assert frame.sample_rate == voice.capabilities.sample_rate, (
            f"a chunk has {frame.sample_rate} Hz, and {voice.capabilities.sample_rate} were announced"
        )
        assert frame.position_samples == position, (
            f"a chunk is at {frame.position_samples}, not at {position}"
        )
        position = frame.end_samples


async def speaks_audibly_and_soon(voice: TTS) -> None:
    """A sentence takes as long as a sentence takes, is loud enough, and begins within 100 ms of its audio."""
    audio = (await speak(voice, SENTENCE)).audio
    assert 1.5 < audio.duration_s < 12.0, f"a sentence of 14 words takes {audio.duration_s:.2f} s"
    assert peak_dbfs(audio) > -20.0, f"its peak is at {peak_dbfs(audio):.1f} dBFS"
    first = audio.slice(0, audio.sample_rate // 10)
    assert peak_dbfs(first) > -50.0, "its first 100 ms are silent"


async def tells_each_word_once(voice: TTS) -> None:
    """With word times, each word comes once, in order, within the audio and not after it."""
    spoken = await speak(voice, SENTENCE)
    if not voice.capabilities.word_times:
        assert not spoken.words, "words have times, though none were announced"
        return
    found = [SENTENCE[word.text_start : word.text_end].strip(".,") for word in spoken.words]
    assert found == re.findall(r"[\w']+", SENTENCE), f"its words are {found}"
    times = [word.start_ms for word in spoken.words]
    assert times == sorted(times), f"its times are not in order: {times}"
    assert times[0] >= 0.0
    assert times[-1] < spoken.audio.duration_s * 1000, "a word begins behind the end of the audio"
    for chunk in spoken.chunks:
        begin_ms = chunk.audio.position_samples * 1000 / chunk.audio.sample_rate
        late = [word for word in chunk.words if word.start_ms < begin_ms - 1.0]
        assert not late, f"words came later than their audio: {late}"


async def words_stay_in_the_text(voice: TTS) -> None:
    """Whatever the text, words are parts of it, in order, and don't overlap."""
    for text in ODD_TEXTS:
        spoken = await speak(voice, text)
        end = 0
        for word in spoken.words:
            assert end <= word.text_start < word.text_end <= len(text), f"{word} is not in order in {text!r}"
            end = word.text_end


async def nothing_to_say_is_nothing(voice: TTS) -> None:
    """Text without anything to say gives no chunk."""
    for text in ("", "   ", "\n\n", "...", "\x00\x01"):
        spoken = await speak(voice, text)
        assert not spoken.chunks, f"{text!r} gave {len(spoken.chunks)} chunks"


async def closing_stops_it(voice: TTS) -> None:
    """A synthesis may be closed after its first chunk, before it, or never begun; the next one is whole."""
    whole = await speak(voice, SENTENCE)
    for taken in (0, 1):
        stream = voice.synthesize(SENTENCE * 20)
        for _ in range(taken):
            await anext(stream)
        await stream.aclose()
    again = await speak(voice, SENTENCE)
    _assert_alike(whole, again)


async def cancelling_stops_it(voice: TTS) -> None:
    """A task that is cancelled while it waits for a chunk ends, and the voice speaks on for others."""
    whole = await speak(voice, SENTENCE)
    begun = asyncio.Event()

    async def consume() -> None:
        begun.set()
        async for _ in voice.synthesize(SENTENCE * 20):
            await asyncio.Event().wait()

    task = asyncio.create_task(consume())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled(), "it swallowed the cancellation"
    _assert_alike(whole, await speak(voice, SENTENCE))


async def sessions_share_it(voice: TTS) -> None:
    """Several syntheses at once are each as alone."""
    texts = [SENTENCE, "Yes.", "One, two, three, four, five.", SENTENCE]
    alone = [await speak(voice, text) for text in texts]
    together = await asyncio.gather(*(speak(voice, text) for text in texts))
    for one, other in zip(alone, together, strict=True):
        _assert_alike(one, other)


async def other_voices_are_as_good(voice: TTS) -> None:
    """Voices that it names speak at its sample rate, beside each other, and close alone; others are refused."""
    alone = await speak(voice, SENTENCE)
    others = [voice.with_voice(name) for name in voice.capabilities.voices[:3]]
    for other in others:
        assert other.capabilities.sample_rate == voice.capabilities.sample_rate, "the sample rate differs"
    together = await asyncio.gather(*(speak(each, SENTENCE) for each in (voice, *others)))
    for spoken in together:
        assert spoken.chunks, "a voice that it names is silent"
    for other in others:
        await other.aclose()
    _assert_alike(alone, await speak(voice, SENTENCE))
    refusal = ""
    try:
        voice.with_voice("no such voice")
    except ConfigurationError as error:
        refusal = str(error)
    assert "no such voice" in refusal, "a voice that it can't have was not refused by its name"


def _assert_alike(one: Spoken, other: Spoken) -> None:
    # A voice may have some chance in it, so not bit for bit.
    length, expected = other.audio.duration_s, one.audio.duration_s
    assert abs(length - expected) < 0.25 * expected, (
        f"{one.text!r} took {expected:.2f} s, then {length:.2f} s"
    )
    assert len(one.words) == len(other.words)


TTS_CHECKS: tuple[TTSCheck, ...] = tuple(
    _check(body)
    for body in (
        gives_audio_in_order,
        speaks_audibly_and_soon,
        tells_each_word_once,
        words_stay_in_the_text,
        nothing_to_say_is_nothing,
        closing_stops_it,
        cancelling_stops_it,
        sessions_share_it,
        other_voices_are_as_good,
    )
)
"""All checks; each makes its own voice."""


async def check_tts(make: MakeTTS) -> None:
    """Run them all."""
    for check in TTS_CHECKS:
        await check(make)
