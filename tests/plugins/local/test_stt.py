from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from repartee.audio import AudioFrame
from repartee.errors import (
    AudioFormatError,
    ConfigurationError,
    MissingDependencyError,
    ModelError,
    ModelFileError,
)
from repartee.models import Final, Interim, STTEvent
from repartee.testing.conformance_stt import STT_CHECKS, STTCheck, word_errors
from tests.plugins.local.speech_data import TEXTS, sample

pytest.importorskip("pocketsphinx", reason="the extra 'local' is not installed")

from repartee.plugins.local.stt import STT

pytestmark = pytest.mark.local

GRAMMAR = "#JSGF V1.0; grammar test; public <sentence> = " + " | ".join(TEXTS.values()) + ";"
DIGITS = "#JSGF V1.0; grammar digits; public <d> = (one | two | three)+;"


def ignore(_: object) -> None:
    pass


def grammar_stt() -> STT:
    return STT(grammar=GRAMMAR)


@pytest.mark.parametrize("check", STT_CHECKS, ids=lambda check: check.__name__)
def test_conformance(check: STTCheck) -> None:
    asyncio.run(check(STT, sample("lights_slt")))


@pytest.mark.parametrize("check", STT_CHECKS, ids=lambda check: check.__name__)
def test_conformance_with_a_grammar(check: STTCheck) -> None:
    asyncio.run(check(grammar_stt, sample("timer_awb")))


class Ear:
    """A stream and its events, for one test."""

    def __init__(self, stt: STT, rate: int = 16_000) -> None:
        self.events: list[STTEvent] = []
        self.errors: list[ModelError] = []
        self.changed = asyncio.Event()
        self.stream = stt.stream(sample_rate=rate, on_event=self._take, on_error=self._fail)

    def _take(self, event: STTEvent) -> None:
        self.events.append(event)
        self.changed.set()

    def _fail(self, error: ModelError) -> None:
        self.errors.append(error)
        self.changed.set()

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not ready():
                self.changed.clear()
                await self.changed.wait()

    async def final(self) -> Final:
        await self.until(lambda: bool(self.errors) or any(isinstance(e, Final) for e in self.events))
        assert not self.errors
        return next(e for e in self.events if isinstance(e, Final))


async def hear(stt: STT, audio: AudioFrame) -> Final:
    ear = Ear(stt, audio.sample_rate)
    ear.stream.push(audio)
    ear.stream.flush()
    final = await ear.final()
    await ear.stream.aclose()
    return final


def test_word_error_rate_over_all_voices() -> None:
    async def main() -> float:
        stt = STT()
        heard = [(await hear(stt, sample(name).audio)).text for name in TEXTS]
        return sum(map(word_errors, TEXTS.values(), heard)) / len(TEXTS)

    assert asyncio.run(main()) <= 0.12


def test_a_grammar_hears_nothing_else() -> None:
    async def main() -> None:
        stt = grammar_stt()
        for name, text in TEXTS.items():
            assert (await hear(stt, sample(name).audio)).text == text

    asyncio.run(main())


def test_silence_and_noise_have_no_words() -> None:
    import numpy as np

    time = np.arange(24_000) / 16_000
    random = np.random.default_rng(1)
    hiss = random.normal(0, 1, 24_000)
    hum = 1000 * np.sin(2 * np.pi * 50 * time) + 300 * np.sin(2 * np.pi * 150 * time)

    async def main() -> None:
        stt = STT()
        for noise in (
            0 * hiss,
            3 * hiss,
            30 * hiss,
            300 * hiss,
            3000 * hiss,
            hum + 5 * hiss,
        ):
            ear = Ear(stt)
            ear.stream.push(AudioFrame(noise.astype("<i2").tobytes(), 16_000))
            ear.stream.flush()
            final = await ear.final()
            await ear.stream.aclose()
            assert (final.text, final.words) == ("", ())

    asyncio.run(main())


def test_words_that_were_added_are_heard() -> None:
    # "lights" gets a spelling that no dictionary has.
    grammar = GRAMMAR.replace("lights", "lightz")

    async def main() -> str:
        stt = STT(grammar=grammar, vocabulary={"lightz": "L AY T S"})
        return (await hear(stt, sample("lights_slt").audio)).text

    assert asyncio.run(main()) == "please turn on the lightz in the kitchen"


def test_interims_grow_and_their_stable_part_mostly_stays() -> None:
    async def main() -> list[Interim]:
        stt = STT(threads=1)
        ear = Ear(stt)
        audio = sample("weather_slt").audio
        for start in range(0, audio.samples, 1600):
            ear.stream.push(audio.slice(start, start + 1600))
            await stt._engine.pool().run(lambda: None)  # behind what waits: so it is heard 100 ms at a time
        ear.stream.flush()
        final = await ear.final()
        await ear.stream.aclose()
        interims = [e for e in ear.events if isinstance(e, Interim)]
        assert final.text
        kept = [i for i in interims if interims[-1].text.startswith(i.text[: i.stable_chars])]
        assert len(kept) >= 0.8 * len(interims)
        return interims

    interims = asyncio.run(main())
    assert len(interims) >= 2
    assert any(i.stable_chars for i in interims)
    assert all(a.text != b.text for a, b in pairwise(interims))


def test_event_loop_is_not_blocked() -> None:
    async def main() -> float:
        stt = STT()
        await stt.prewarm()
        ears = [Ear(stt) for _ in range(2)]
        loop = asyncio.get_running_loop()
        lags: list[float] = []

        def tick(due: float) -> None:
            lags.append(loop.time() - due)
            timer = loop.time() + 0.001
            loop.call_at(timer, tick, timer)

        tick(loop.time())
        for ear in ears:
            ear.stream.push(sample("lights_slt").audio)
            ear.stream.flush()
        for ear in ears:
            await ear.final()
            await ear.stream.aclose()
        lags.sort()
        return lags[len(lags) // 2]

    # The package's own Python API would hold the loop up for tens of milliseconds each time.
    assert asyncio.run(main()) < 0.02


def test_threads_end_with_the_last_stream() -> None:
    async def main() -> None:
        stt = STT()
        ear = Ear(stt)
        ear.stream.push(sample("capital_kal16").audio)
        ear.stream.flush()
        await ear.final()
        assert any(t.name.startswith("repartee-stt") for t in threading.enumerate())
        await ear.stream.aclose()
        assert not any(t.name.startswith("repartee-stt") for t in threading.enumerate())

    asyncio.run(main())


def test_a_stream_without_a_decoder_waits_for_one() -> None:
    async def main() -> None:
        stt = STT(grammar=GRAMMAR, threads=1, max_decoders=1)
        first, second = Ear(stt), Ear(stt)
        audio = sample("dinner_kal16").audio
        first.stream.push(audio.slice(0, 16_000))
        second.stream.push(audio)
        second.stream.flush()
        first.stream.push(audio.slice(16_000))
        first.stream.flush()
        assert (await first.final()).text == (await second.final()).text == TEXTS["dinner_kal16"]
        await first.stream.aclose()
        await second.stream.aclose()

    asyncio.run(main())


def test_waiting_too_long_for_a_decoder_is_an_error_that_names_the_bound() -> None:
    async def main() -> None:
        stt = STT(grammar=DIGITS, threads=1, max_decoders=1)
        first, second = Ear(stt), Ear(stt)
        first.stream.push(sample("dinner_kal16").audio)
        await first.until(lambda: bool(first.events))  # it has the decoder, and keeps it: no flush
        for _ in range(61):
            second.stream.push(AudioFrame(bytes(32_000), 16_000))
        await second.until(lambda: bool(second.errors))
        assert "all 1 decoders are busy" in str(second.errors[0])
        assert second.errors[0].code == "overload"
        second.stream.push(AudioFrame(bytes(32_000), 16_000))
        await second.stream.aclose()
        first.stream.flush()
        assert (await first.final()).flush_id == 1
        await first.stream.aclose()
        assert len(second.errors) == 1
        assert not second.events

    asyncio.run(main())


def test_very_long_segment_is_one_final() -> None:
    # 58 s: longer than one utterance of the decoder may be, and more than may wait at once.
    phrase = TEXTS["timer_awb"]
    stt = STT(grammar=f"#JSGF V1.0; grammar many; public <all> = ({phrase})+;", threads=1)

    async def main() -> tuple[Final, int]:
        ear = Ear(stt)
        audio, pushed = sample("timer_awb").audio, 0
        for _ in range(20):
            ear.stream.push(audio)
            pushed += audio.samples
            await stt._engine.pool().run(lambda: None)
            await stt._engine.pool().run(lambda: None)
        ear.stream.flush()
        final = await ear.final()
        await ear.stream.aclose()
        return final, pushed

    final, pushed = asyncio.run(main())
    assert final.text.count(phrase) >= 18
    times = [w.start_position_samples for w in final.words]
    assert times == sorted(times)
    assert times[-1] > 0.97 * pushed
    assert " ".join(w.text for w in final.words) == final.text


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        STT(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelFileError, match="is no model"):
        STT(tmp_path / "empty")
    with pytest.raises(ModelFileError, match="dictionary"):
        STT(dictionary=tmp_path / "words.dict")


def test_model_that_can_not_be_loaded_is_told_to_the_stream(tmp_path: Path) -> None:
    from repartee.plugins.local.pocketsphinx_ffi import package_directory

    source = package_directory() / "model" / "en-us" / "en-us"
    for file in source.iterdir():
        data = file.read_bytes()
        (tmp_path / file.name).write_bytes(data[: len(data) // 2] if file.name == "means" else data)

    async def main() -> None:
        stt = STT(tmp_path)
        with pytest.raises(ModelFileError, match="refused the model"):
            await stt.prewarm()
        ear = Ear(stt)
        ear.stream.push(AudioFrame(bytes(3200), 16_000))
        await ear.until(lambda: bool(ear.errors))
        assert not ear.errors[0].recoverable
        assert ear.errors[0].stage == "stt"
        await ear.stream.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    "grammar, message",
    [
        ("hello | world", "#JSGF"),
        ("#JSGF V1.0; grammar g; public <a> = hello zzyzx;", "zzyzx"),
        ("#JSGF V1.0; grammar g; public <a> = (hello;", "grammar"),
    ],
)
def test_bad_grammar(grammar: str, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        asyncio.run(STT(grammar=grammar).prewarm())


def test_bad_pronunciation() -> None:
    with pytest.raises(ModelFileError, match="QQ"):
        asyncio.run(STT(vocabulary={"word": "QQ"}).prewarm())


def test_contradictory_parameters() -> None:
    with pytest.raises(ConfigurationError, match="grammar"):
        STT(grammar=GRAMMAR, language_model="x.lm")
    with pytest.raises(ConfigurationError, match="threads"):
        STT(threads=0)
    with pytest.raises(ConfigurationError, match="max_decoders"):
        STT(max_decoders=0)
    with pytest.raises(ConfigurationError, match="PocketSphinx"):
        STT("base.en", grammar=GRAMMAR)


def test_another_rate_than_announced_is_refused() -> None:
    async def main() -> None:
        ear = Ear(STT())
        with pytest.raises(AudioFormatError, match="16000 Hz and got a frame of 8000 Hz"):
            ear.stream.push(AudioFrame(bytes(320), 8000))
        await ear.stream.aclose()

    asyncio.run(main())


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"repartee\[local\]"):
        STT()
    with pytest.raises(MissingDependencyError, match=r"repartee\[whisper\]"):
        STT("base.en")
