"""The local voice: eSpeak NG by default, others by path."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repartee.clock import Clock
from repartee.errors import ConfigurationError, ModelError, ModelFileError, StateError
from repartee.plugins.local.tts import TTS
from repartee.testing.conformance_tts import TTS_CHECKS, Spoken, TTSCheck, speak

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(
        importlib.util.find_spec("espeakng_loader") is None,
        reason="needs the extra 'local' (espeakng-loader)",
    ),
]


def spoken(text: str, **options: object) -> Spoken:
    async def body() -> Spoken:
        voice = TTS(**options)  # type: ignore[arg-type]
        try:
            return await speak(voice, text)
        finally:
            await voice.aclose()

    return asyncio.run(body())


def words(text: str) -> list[str]:
    return [text[word.text_start : word.text_end] for word in spoken(text).words]


@pytest.mark.parametrize("check", TTS_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("voice", ["en-us", "de", "en-gb+f3"])
def test_conformance(check: TTSCheck, voice: str) -> None:
    asyncio.run(check(lambda: TTS(voice)))


@pytest.mark.parametrize(
    "text",
    [
        "I am here, and I have been in the house of the king.",
        "It costs $42.50 for 3 or 4 of 1,234,567 people.",
        "Dr. Smith isn't at the U.S.A. embassy, e.g. at 5pm.",
        "naïve café “quoted” привет smile élan",
        "well-known  double   spaces\n\nand lines",
        "of the in the at the to be I am",
        "one 2 three 4 five",
    ],
)
def test_every_word_has_a_time(text: str) -> None:
    assert words(text) == text.split()


def test_signs_are_words_when_they_are_said() -> None:
    assert words("salt & pepper — yes 😀 ok") == ["salt", "&", "pepper", "yes", "😀", "ok"]


def test_markup_is_neither_obeyed_nor_said() -> None:
    text = "<speak>Wait <break time='9s'/> for **it** [[h@'loU]] now</speak>"
    result = spoken(text)
    assert result.audio.duration_s < 4.0
    found = [text[word.text_start : word.text_end] for word in result.words]
    assert found[:3] == ["Wait", "for", "it"]
    assert found[-1] == "now"
    assert not any("break" in word or "time" in word for word in found)


def test_control_characters_command_nothing() -> None:
    # Ctrl-A introduces eSpeak's embedded commands: rate, voice, volume.
    plain = spoken("hello there my friend").audio.duration_s
    assert spoken("hello \x01450S there\x00 my friend").audio.duration_s < plain + 3.0
    assert spoken("hello there my friend").audio.duration_s == pytest.approx(plain, rel=0.01)


def test_word_times_are_where_the_sound_begins() -> None:
    # A pause before each word makes its onset plain in the samples.
    text = "Stop. Stop. Stop. Stop."
    result = spoken(text)
    samples = np.abs(result.audio.as_array().astype(int))
    loud = np.flatnonzero(samples > 200)
    gaps = np.flatnonzero(np.diff(loud) > 0.15 * result.audio.sample_rate)
    onsets_ms = [float(loud[0]), *(float(loud[at + 1]) for at in gaps)]
    onsets_ms = [at * 1000 / result.audio.sample_rate for at in onsets_ms]
    assert len(onsets_ms) == 4
    assert [word.start_ms for word in result.words] == pytest.approx(onsets_ms, abs=30)


def test_silence_is_trimmed_at_both_ends() -> None:
    def edges_ms(text: str, **options: object) -> tuple[float, float]:
        audio = spoken(text, **options).audio
        loud = np.flatnonzero(np.abs(audio.as_array().astype(int)) > 32)
        return loud[0] * 1000 / audio.sample_rate, (audio.samples - 1 - loud[-1]) * 1000 / audio.sample_rate

    for text in ("Hello world.", "Yes.", "Hmm, well,", "  What?"):
        lead, tail = edges_ms(text)
        assert lead <= 2.1
        assert 30 <= tail <= 151
    assert edges_ms("Hello world")[1] <= 41
    assert edges_ms("Hello world.", closing_pause_ms=0)[1] <= 1


def test_pauses_within_a_text_stay() -> None:
    audio = spoken("Yes. No.").audio
    loud = np.flatnonzero(np.abs(audio.as_array().astype(int)) > 100)
    assert np.diff(loud).max() > 0.15 * audio.sample_rate


def test_rate_pitch_and_volume_do_what_they_say() -> None:
    text = "The quick brown fox jumps over the lazy dog."
    usual = spoken(text).audio
    assert spoken(text, rate_wpm=330).audio.duration_s < 0.65 * usual.duration_s
    quiet = spoken(text, volume=0.3).audio
    assert np.abs(quiet.as_array().astype(int)).max() < 0.6 * np.abs(usual.as_array().astype(int)).max()
    assert spoken(text, pitch=90).audio.data != usual.data


def test_voices_take_turns_without_mixing() -> None:
    async def body() -> None:
        one, other = TTS("en-us"), TTS("de", rate_wpm=250)
        alone = [await speak(one, "hello there"), await speak(other, "guten Tag")]
        again = await asyncio.gather(
            *(speak(v, t) for _ in range(5) for v, t in ((one, "hello there"), (other, "guten Tag")))
        )
        for index, result in enumerate(again):
            assert result.audio.duration_s == pytest.approx(alone[index % 2].audio.duration_s, rel=0.02)

    asyncio.run(body())


def test_a_long_text_does_not_hold_up_others() -> None:
    async def body() -> tuple[int, int]:
        voice = TTS()
        long = voice.synthesize("This is a sentence of a long lecture. " * 100)
        await anext(long)
        short = await speak(voice, "Yes.")
        taken = 1
        async for _ in long:
            taken += 1
        return len(short.chunks), taken

    short, taken = asyncio.run(body())
    assert short >= 1
    assert taken > 100


def test_what_is_not_taken_is_not_spoken_ahead() -> None:
    async def body() -> float:
        voice = TTS()
        stream = voice.synthesize("This is a sentence of a long lecture. " * 100)
        await anext(stream)
        # Another synthesis runs in the same thread, so when it is done the first had its chance to run ahead.
        for _ in range(20):
            await speak(voice, "Wait.")
        frame: Any = stream.ag_frame  # type: ignore[attr-defined]  # a generator has one
        ahead = frame.f_locals["synthesis"]._ready_samples / voice.capabilities.sample_rate
        await stream.aclose()
        return float(ahead)

    assert asyncio.run(body()) < 20.0


def test_closing_ends_the_engine_soon() -> None:
    async def body() -> float:
        voice = TTS()
        await voice.prewarm()
        clock = Clock()
        for _ in range(20):
            stream = voice.synthesize("A sentence that goes on and on and on without any end at all. " * 3)
            await anext(stream)
            await stream.aclose()
        await speak(voice, "Yes.")
        return clock.now()

    # Spoken whole, 20 of them would keep the engine for much longer than a hundredth of their 240 s.
    assert asyncio.run(body()) < 2.4


def test_text_has_a_bound() -> None:
    with pytest.raises(ModelError, match="too long") as caught:
        spoken("word " * 5000)
    assert not caught.value.recoverable


def test_a_closed_voice_says_so() -> None:
    async def body() -> None:
        voice = TTS()
        await voice.aclose()
        await voice.aclose()
        await speak(voice, "hello")

    with pytest.raises(StateError):
        asyncio.run(body())


@pytest.mark.parametrize("voice", ["vulcan", "en-us+nobody", "", "en-uk"])
def test_an_unknown_voice_is_named(voice: str) -> None:
    with pytest.raises(ConfigurationError, match="no voice"):
        TTS(voice)


def test_close_names_are_suggested() -> None:
    with pytest.raises(ConfigurationError, match="'en-us'"):
        TTS("en-ux")


@pytest.mark.parametrize(
    "options",
    [{"rate_wpm": 20}, {"pitch": 100}, {"volume": 3.0}, {"closing_pause_ms": -1}, {"speaker": "af"}],
)
def test_parameters_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        TTS(**options)  # type: ignore[arg-type]


def test_a_file_that_is_no_voice(tmp_path: Path) -> None:
    for name, content, match in (
        ("missing.onnx", None, "can't be read"),
        ("page.onnx", b"<html>not found</html>", "web page"),
        ("model.gguf", b"GGUF....", "GGUF"),
        ("pointer.onnx", b"version https://git-lfs.github.com/spec/v1", "LFS"),
        ("empty.onnx", b"", "empty"),
        ("noise.onnx", b"\x99\x98\x97", "not an ONNX"),
        ("cut.onnx", b"\x08\x08\x3a\x7frest", "truncated|cut"),
        ("alone.onnx", b"\x08\x08\x3a\x00", r"alone\.onnx\.json"),
        ("kokoro-v1.onnx", b"\x08\x08\x3a\x00", "voices"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ModelFileError, match=match):
            TTS(str(path))
    with pytest.raises(ModelFileError, match=r"\.onnx files"):
        TTS(tmp_path)


def pitch_hz(of: Spoken) -> float:
    """The median of the voice's pitch, by autocorrelation of its loud stretches."""
    sound, rate = of.audio.as_array().astype(float), of.audio.sample_rate
    size, low, high = rate // 25, rate // 400, rate // 70
    found = []
    for at in range(0, len(sound) - size, size):
        part = sound[at : at + size] - sound[at : at + size].mean()
        alike = np.correlate(part, part, "full")[size - 1 :]
        lag = low + int(alike[low:high].argmax())
        if np.sqrt((part**2).mean()) > 1000 and alike[lag] > 0.5 * alike[0]:
            found.append(rate / lag)
    return float(np.median(found))


def test_openais_names_are_voices_of_their_own_and_beside_each_other() -> None:
    async def body() -> dict[str, Spoken]:
        voice = TTS()
        names = voice.capabilities.voices
        assert names[:3] == ("marin", "cedar", "alloy")
        voices = [voice, *(voice.with_voice(name) for name in names)]
        text = "The table for two is booked at seven."
        once = await asyncio.gather(*(speak(each, text) for each in voices))
        for each, before in zip(reversed(voices), reversed(once), strict=True):  # again, in another order
            again = await speak(each, text)
            assert again.audio.duration_s == pytest.approx(before.audio.duration_s, rel=0.02)
            assert pitch_hz(again) == pytest.approx(pitch_hz(before), rel=0.1)  # it flutters
        assert voices[1].name == voice.name  # marin is the default voice
        assert len({each.name for each in voices[1:]}) == 13
        return dict(zip(names, once[1:], strict=True))

    found = asyncio.run(body())
    pitches = {name: pitch_hz(each) for name, each in found.items()}
    for name in ("marin", "alloy", "coral", "sage", "shimmer", "fable", "nova"):
        assert 150 < pitches[name] < 220, pitches
    for name in ("cedar", "ash", "ballad", "echo", "verse", "onyx"):
        assert 75 < pitches[name] < 120, pitches


def test_another_voice_speaks_the_language_of_the_first() -> None:
    german = TTS("de+m1", rate_wpm=140)
    assert german.capabilities.voices[:2] == ("echo", "marin")
    other = german.with_voice("Marin")
    assert (other.name, other.capabilities.languages) == ("espeak-ng de+f2", ("de",))
    assert other.with_voice("en-gb+f3").name == "espeak-ng en-gb+f3"
    assert TTS("en-gb").capabilities.voices[:2] == ("en-gb", "marin")
    engine: Any = other._voice
    assert engine._settings.rate_wpm == 140
    for name in ("robot", "en-us+nobody", "../../etc/passwd", ""):
        with pytest.raises(ConfigurationError, match="has no voice"):
            german.with_voice(name)


def test_another_voice_ends_with_the_first_and_not_before() -> None:
    async def body() -> None:
        voice = TTS()
        other = voice.with_voice("cedar")
        await other.aclose()
        with pytest.raises(StateError):
            await speak(other, "No.")
        other = voice.with_voice("cedar").with_voice("alloy")
        await speak(other, "Yes.")
        await voice.aclose()
        with pytest.raises(StateError):
            await speak(other, "No more.")

    asyncio.run(body())
