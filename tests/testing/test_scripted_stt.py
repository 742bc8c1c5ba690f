"""The scripted recogniser: words from the audio or a list, interims and finals, misreadings, faults."""

from __future__ import annotations

import asyncio

from repartee.audio import AudioFrame
from repartee.errors import ModelError
from repartee.models import Final, Interim, STTEvent, STTStream, Word
from repartee.testing import ScriptedSTT, Speech, elapse, fail, slow, speech, stall, virtual_time

RATE = 24_000
WORD_SAMPLES = 4800


def said(text: str) -> AudioFrame:
    words = text.split()
    ends = [WORD_SAMPLES * (i + 1) for i in range(len(words))]
    return AudioFrame(speech.encode(words, ends), RATE)


def silence(seconds: float) -> AudioFrame:
    return AudioFrame(bytes(2 * round(seconds * RATE)), RATE)


def stream(stt: ScriptedSTT) -> tuple[STTStream, list[tuple[float, STTEvent]], list[ModelError]]:
    events: list[tuple[float, STTEvent]] = []
    errors: list[ModelError] = []
    loop = asyncio.get_running_loop()
    opened = stt.stream(
        sample_rate=RATE, on_event=lambda e: events.append((loop.time(), e)), on_error=errors.append
    )
    return opened, events, errors


@virtual_time
async def test_words_interims_and_a_final() -> None:
    stt = ScriptedSTT(misheard={"table": "cable"}, confidence=0.9)
    opened, events, _ = stream(stt)
    opened.push(silence(0.1))
    opened.push(said("book a table"))
    await elapse(1.0)
    assert opened.flush() == 1
    await elapse(1.0)
    words = tuple(
        Word(text, 2400 + start, 2400 + start + WORD_SAMPLES)
        for text, start in (("book", 0), ("a", WORD_SAMPLES), ("table", 2 * WORD_SAMPLES))
    )
    assert events == [
        (0.1, Interim("book", 0)),
        (0.1, Interim("book a", 4)),
        (0.1, Interim("book a cable", 6)),
        (1.05, Final("book a table", 0.9, words, 1)),
    ]
    await opened.aclose()
    assert stt.open_streams == 0
    assert stt.segments == 1


@virtual_time
async def test_each_flush_has_its_final_even_an_empty_one() -> None:
    opened, events, _ = stream(ScriptedSTT(finals={"hm": ""}))
    assert opened.flush() == 1
    opened.push(said("hm"))
    assert opened.flush() == 2
    opened.push(said("yes"))
    assert opened.flush() == 3
    await elapse(1.0)
    finals = [(e.text, e.flush_id) for _, e in events if isinstance(e, Final)]
    assert finals == [("", 1), ("", 2), ("yes", 3)]


@virtual_time
async def test_an_interim_that_would_be_late_is_dropped() -> None:
    opened, events, _ = stream(ScriptedSTT(interim_lag_s=0.3, final_lag_s=0.1))
    opened.push(said("book"))
    opened.flush()
    await elapse(1.0)
    assert [(at_s, type(e)) for at_s, e in events] == [(0.1, Final)]


@virtual_time
async def test_no_interims() -> None:
    stt = ScriptedSTT(interim_lag_s=None)
    assert not stt.capabilities.interim
    opened, events, _ = stream(stt)
    opened.push(said("book a table"))
    await elapse(1.0)
    assert events == []


@virtual_time
async def test_cancel_throws_the_open_segment_away() -> None:
    stt = ScriptedSTT()
    opened, events, _ = stream(stt)
    opened.push(said("first"))
    opened.flush()
    opened.push(said("second"))
    opened.cancel()
    opened.push(said("third"))
    await elapse(0.2)
    opened.flush()
    await elapse(1.0)
    assert [e.text for _, e in events] == ["first", "third", "third"]
    assert stt.streams[0].cancels == 1


@virtual_time
async def test_a_word_belongs_to_the_segment_that_is_open_at_its_end() -> None:
    opened, events, _ = stream(ScriptedSTT(interim_lag_s=None))
    whole = said("one two")
    opened.push(whole.slice(0, 6000))
    opened.flush()
    opened.push(whole.slice(6000))
    opened.flush()
    await elapse(1.0)
    assert [e.text for _, e in events] == ["one", "two"]


@virtual_time
async def test_from_a_list() -> None:
    opened, events, _ = stream(ScriptedSTT([Speech("later", 2.0), Speech("hello there", 0.5, 2.0)]))
    for _ in range(40):
        opened.push(silence(0.05))
    opened.flush()
    await elapse(1.0)
    texts = [e.text for _, e in events]
    assert texts == ["hello there"]  # its interims would come later than the final
    final = events[-1][1]
    assert isinstance(final, Final)
    assert final.words[0] == Word("hello", 12_000, 24_000)


@virtual_time
async def test_its_own_endpointing() -> None:
    stt = ScriptedSTT(endpointing_s=0.5, interim_lag_s=None)
    assert stt.capabilities.endpointing
    opened, events, _ = stream(stt)
    opened.push(said("one"))
    opened.push(silence(0.4))
    opened.push(said("two"))
    opened.push(silence(0.4))
    await elapse(1.0)
    assert events == []
    opened.push(silence(0.1))
    await elapse(1.0)
    opened.push(silence(5.0))
    await elapse(1.0)
    assert [(e.text, e.flush_id) for _, e in events if isinstance(e, Final)] == [("one two", None)]


@virtual_time
async def test_faults() -> None:
    stt = ScriptedSTT(faults=[slow(1.0, 1, after=1), stall(2), fail(3, after=1)])
    opened, events, errors = stream(stt)
    opened.push(said("one"))
    await elapse(0.5)
    opened.flush()
    await elapse(2.0)
    assert [at_s for at_s, _ in events] == [0.1, 1.55]
    opened.push(said("two"))
    opened.flush()
    await elapse(2.0)
    assert len(events) == 2
    opened.push(said("three"))
    await elapse(1.0)
    opened.flush()
    await elapse(1.0)
    assert isinstance(events[-1][1], Interim)
    assert [error.stage for error in errors] == ["stt"]
    opened.push(said("four"))
    opened.flush()
    await elapse(1.0)
    assert (len(events), len(errors)) == (3, 1)
    fresh, more, _ = stream(stt)
    fresh.push(said("five"))
    fresh.flush()
    await elapse(1.0)
    assert [e.text for _, e in more] == ["five"]


@virtual_time
async def test_nothing_comes_after_close() -> None:
    opened, events, _ = stream(ScriptedSTT())
    opened.push(said("one"))
    await opened.aclose()
    opened.push(said("two"))
    await elapse(1.0)
    assert events == []
