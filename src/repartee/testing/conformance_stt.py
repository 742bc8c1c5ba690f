"""What every `STT` must do, as checks that any plugin can run.

Each check takes a function that makes a recogniser and a `SpeechSample` with its text, and raises `AssertionError`
with what was wrong. They wait for events, not for time::

    @pytest.mark.parametrize("check", STT_CHECKS)
    def test_conformance(check: STTCheck) -> None:
        asyncio.run(check(lambda: MySTT(), sample))
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from typing import Final as Constant

from repartee.audio import AudioFrame
from repartee.errors import ModelError
from repartee.models import STT, Final, Interim, STTEvent, STTStream
from repartee.testing.conformance_vad import SpeechSample

__all__ = ["STT_CHECKS", "STTCheck", "word_errors"]

STTCheck = Callable[[Callable[[], STT], SpeechSample], Coroutine[Any, Any, None]]

PATIENCE_S: Constant = 60.0
"""How long a model may take for a few seconds of audio, on a machine that others use too."""
ERRORS_MAX: Constant = 0.34
"""Highest word error rate at which the words count as heard."""


def word_errors(truth: str, heard: str) -> float:
    """The word error rate: substitutions, insertions and deletions for each word that was said."""
    true, got = (re.findall(r"[\w']+", text.lower()) for text in (truth, heard))
    row = list(range(len(got) + 1))
    for i, word in enumerate(true, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1] / max(1, len(true))


@dataclass(slots=True)
class _Watched:
    """A stream and what it reported."""

    stream: STTStream
    events: list[STTEvent] = field(default_factory=list)
    errors: list[ModelError] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    pushed: int = 0

    @classmethod
    def open(cls, stt: STT, rate: int) -> _Watched:
        watched: _Watched

        def on_event(event: STTEvent) -> None:
            watched.events.append(event)
            watched.news.set()

        def on_error(error: ModelError) -> None:
            watched.errors.append(error)
            watched.news.set()

        watched = cls(stt.stream(sample_rate=rate, on_event=on_event, on_error=on_error))
        return watched

    def hear(self, audio: AudioFrame) -> None:
        """Push audio in frames of 20 ms, at once."""
        step = audio.sample_rate // 50
        for start in range(0, audio.samples, step):
            self.stream.push(audio.slice(start, start + step))
        self.pushed += audio.samples

    async def until(self, ready: Callable[[], object], what: str) -> None:
        """Wait for events until it is so."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not ready():
                    assert not self.errors, f"it failed: {self.errors[0]}"
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"{what} within {PATIENCE_S:g} s") from None

    async def final(self, flush_id: int) -> Final:
        """Wait for the answer to a flush."""

        def answers() -> list[Final]:
            return [final for final in self.finals if final.flush_id == flush_id]

        await self.until(answers, f"no final answered flush {flush_id}")
        return answers()[0]

    @property
    def finals(self) -> list[Final]:
        return [event for event in self.events if isinstance(event, Final)]

    @property
    def interims(self) -> list[Interim]:
        return [event for event in self.events if isinstance(event, Interim)]


def _assert_heard(truth: str, final: Final) -> None:
    errors = word_errors(truth, final.text)
    assert errors <= ERRORS_MAX, f"it heard {final.text!r} where {truth!r} was said"


async def hears_words(make: Callable[[], STT], sample: SpeechSample) -> None:
    """A flush gives one final, with the words, where they were said, and interims on the way as promised."""
    stt = make()
    watched = _Watched.open(stt, sample.audio.sample_rate)
    watched.hear(sample.audio)
    if stt.capabilities.interim:
        await watched.until(lambda: watched.interims, "it promised interims and gave none")
    final = await watched.final(watched.stream.flush())
    await watched.stream.aclose()
    await stt.aclose()
    _assert_heard(sample.text, final)
    assert len(watched.finals) == 1 or stt.capabilities.endpointing, f"finals: {watched.finals}"
    assert final.confidence is None or 0.0 <= final.confidence <= 1.0, f"no confidence: {final.confidence}"
    assert watched.events[-1] is final, "an interim came behind its final"
    for interim in watched.interims:
        assert 0 <= interim.stable_chars <= len(interim.text), f"more is stable than there is: {interim}"
    if stt.capabilities.word_times:
        assert final.words, "it promised the times of words and gave none"
        slack = sample.audio.sample_rate // 3
        assert sample.start_position_samples - slack <= final.words[0].start_position_samples
        assert final.words[-1].end_position_samples <= sample.end_position_samples + slack
        assert final.words[-1].end_position_samples <= watched.pushed, "a word ends in the future"
        times = [t for w in final.words for t in (w.start_position_samples, w.end_position_samples)]
        assert times == sorted(times), f"words are not in order: {final.words}"
        assert " ".join(word.text for word in final.words) == final.text


async def answers_every_flush(make: Callable[[], STT], sample: SpeechSample) -> None:
    """Nothing, silence, and speech twice: one final for each flush, in order, each with its own words."""
    stt = make()
    watched = _Watched.open(stt, sample.audio.sample_rate)
    silence = AudioFrame(bytes(sample.audio.sample_rate // 2 * 2), sample.audio.sample_rate)
    ids = [watched.stream.flush()]
    for audio in (silence, sample.audio, sample.audio):
        watched.hear(audio)
        ids.append(watched.stream.flush())
    await watched.final(ids[-1])
    await watched.stream.aclose()
    await stt.aclose()
    answers = [final for final in watched.finals if final.flush_id is not None]
    assert [final.flush_id for final in answers] == ids, f"flushes {ids} were answered by {answers}"
    assert len(set(ids)) == len(ids), f"two flushes have one number: {ids}"
    assert answers[0].text == "", f"it heard {answers[0].text!r} in nothing"
    assert answers[1].text == "", f"it heard {answers[1].text!r} in silence"
    for answer in answers[2:]:
        _assert_heard(sample.text, answer)
    if answers[3].words:
        first = sample.audio.samples + silence.samples + sample.start_position_samples
        slack = sample.audio.sample_rate // 3
        assert abs(answers[3].words[0].start_position_samples - first) < slack, (
            "positions don't go on counting"
        )


async def cancels(make: Callable[[], STT], sample: SpeechSample) -> None:
    """A cancelled segment gives no event, whether it was looked at or not; the next is heard whole."""
    stt = make()
    watched = _Watched.open(stt, sample.audio.sample_rate)
    half = sample.audio.slice(0, (sample.start_position_samples + sample.end_position_samples) // 2)
    watched.hear(half)
    watched.stream.cancel()
    empty = watched.stream.flush()
    await watched.final(empty)
    assert watched.events == [Final("", watched.finals[0].confidence, (), empty)], (
        f"a cancelled segment gave {watched.events}"
    )
    watched.hear(half)
    if stt.capabilities.interim:
        await watched.until(lambda: watched.interims, "it promised interims and gave none")
    watched.stream.cancel()
    count = len(watched.events)
    watched.hear(sample.audio)
    final = await watched.final(watched.stream.flush())
    await watched.stream.aclose()
    await stt.aclose()
    _assert_heard(sample.text, final)
    assert len([f for f in watched.events[count:] if isinstance(f, Final)]) == 1
    if final.words:
        start = 2 * half.samples + sample.start_position_samples
        slack = sample.audio.sample_rate // 3
        assert abs(final.words[0].start_position_samples - start) < slack, (
            "what was cancelled was not counted"
        )


async def streams_are_independent(make: Callable[[], STT], sample: SpeechSample) -> None:
    """Two speakers at once are heard, while a third is closed and a fourth cancels in the middle."""
    stt = make()
    rate = sample.audio.sample_rate
    speakers = [_Watched.open(stt, rate) for _ in range(4)]
    half = sample.audio.samples // 2
    for speaker in speakers:
        speaker.hear(sample.audio.slice(0, half))
    speakers[3].stream.cancel()
    await speakers[2].stream.aclose()
    flushes = []
    for speaker in speakers[:2]:
        speaker.hear(sample.audio.slice(half))
        flushes.append((speaker, speaker.stream.flush()))
    for speaker, flush_id in flushes:
        _assert_heard(sample.text, await speaker.final(flush_id))
    assert not speakers[3].events, f"a cancelled segment gave {speakers[3].events}"
    for speaker in speakers:
        await speaker.stream.aclose()
        assert not speaker.errors, f"it failed: {speaker.errors[0]}"
    await stt.aclose()


async def is_silent_once_closed(make: Callable[[], STT], sample: SpeechSample) -> None:
    """No event comes after `aclose`, which may be called again; pushing then does no harm."""
    stt = make()
    watched = _Watched.open(stt, sample.audio.sample_rate)
    watched.hear(sample.audio)
    watched.stream.flush()
    await watched.stream.aclose()
    count = len(watched.events)
    watched.hear(sample.audio)
    await watched.stream.aclose()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(watched.events) == count, "an event came after the stream was closed"
    assert not watched.errors, f"it failed: {watched.errors[0]}"
    await stt.aclose()


async def takes_any_rate(make: Callable[[], STT], sample: SpeechSample) -> None:
    """The words are heard at 16, 24 and 48 kHz, with positions in samples of that rate."""
    from repartee.audio import resample

    stt = make()
    for rate in (16_000, 24_000, 48_000):
        watched = _Watched.open(stt, rate)
        watched.hear(sample.audio if rate == sample.audio.sample_rate else resample(sample.audio, rate))
        final = await watched.final(watched.stream.flush())
        await watched.stream.aclose()
        _assert_heard(sample.text, final)
        if final.words:
            end = sample.end_position_samples * rate / sample.audio.sample_rate
            found = final.words[-1].end_position_samples
            assert abs(found - end) < rate / 3, (
                f"{rate} Hz: the last word ends at {found}, not near {end:.0f}"
            )
    await stt.aclose()


STT_CHECKS: Constant[tuple[STTCheck, ...]] = (
    hears_words,
    answers_every_flush,
    cancels,
    streams_are_independent,
    is_silent_once_closed,
    takes_any_rate,
)
"""All of them."""
