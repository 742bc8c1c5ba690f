"""Whose audio was heard is found out from the samples."""

from __future__ import annotations

from repartee.audio import AudioFrame
from repartee.models import events as ev
from repartee.testing import MemoryOutput, ScriptedTTS, run, sleep_until
from repartee.testing.evidence import Evidence

VOICE = ScriptedTTS(ms_per_word=200.0)
RATE = 24_000


def audio(text: str) -> bytes:
    return VOICE.speak(text)[0]


def generated(item_id: str, text: str, at_s: float) -> list[tuple[float, ev.RealtimeEvent]]:
    return [
        (at_s, ev.TranscriptDelta(f"resp_{item_id}", item_id, text)),
        (at_s, ev.AudioDelta(f"resp_{item_id}", item_id, AudioFrame(audio(text), RATE))),
    ]


def test_two_items_in_one_write_with_a_pause_between() -> None:
    async def main() -> MemoryOutput:
        output = MemoryOutput()
        output.open(on_position=lambda _: None, on_error=lambda _: None)
        await sleep_until(1.0)
        both = audio("one two") + audio("three four")
        output.write(AudioFrame(both[:5000], RATE))
        output.write(AudioFrame(both[5000:], RATE))
        await sleep_until(1.3)
        output.pause()
        await sleep_until(2.3)
        output.resume()
        await sleep_until(2.5)
        output.clear()
        await output.aclose()
        return output

    log = [*generated("a", "one two", 0.5), *generated("b", "three four", 0.6)]
    evidence = Evidence(log, run(main()))
    assert [stretch.source.item_id for stretch in evidence.stretches] == sorted(
        stretch.source.item_id for stretch in evidence.stretches
    )
    assert evidence.heard_samples("a") == 9600
    assert evidence.heard_samples("b") == 2400
    assert evidence.heard_words("a") == (["one", "two"], ["one", "two"])
    assert evidence.heard_words("b") == ([], ["three"])
    assert evidence.of_item("a")[0].start_s == 1.0
    assert round(evidence.of_response("resp_b")[-1].end_s, 6) == 2.5
    assert evidence.texts == {"a": "one two", "b": "three four"}
    assert evidence.strays == []


def test_the_same_words_twice_belong_to_who_goes_on_with_them() -> None:
    async def main() -> MemoryOutput:
        output = MemoryOutput()
        output.open(on_position=lambda _: None, on_error=lambda _: None)
        for at_s in (1.0, 2.0):
            await sleep_until(at_s)
            output.write(AudioFrame(audio("yes"), RATE))
        await sleep_until(3.0)
        return output

    evidence = Evidence(
        [*generated("a", "yes", 0.9), *generated("b", "yes", 1.9)], run(main(), check_leaks=False)
    )
    assert [stretch.source.item_id for stretch in evidence.stretches if stretch.start_s < 1.5] == ["a"] * 10
    assert [stretch.source.item_id for stretch in evidence.stretches if stretch.start_s > 1.5] == ["b"] * 10


def test_without_an_output_only_words_are_known() -> None:
    evidence = Evidence(generated("a", "one two", 0.5))
    assert evidence.stretches == []
    assert evidence.heard_words("a") == ([], [])
    assert list(evidence.sources) == ["a"]
