"""The microphone, the loudspeaker and the captions in memory: exact, pausable, late where asked."""

from __future__ import annotations

import asyncio

import pytest

from repartee.audio import AudioFrame
from repartee.errors import DeviceError, ReparteeError, StateError, UsageError
from repartee.io import OutputCapabilities, PlaybackPosition
from repartee.testing import (
    MemoryInput,
    MemoryOutput,
    MemoryTextOutput,
    ScriptedTTS,
    elapse,
    sleep_until,
    speech,
    virtual_time,
)

RATE = 24_000


def now() -> float:
    return asyncio.get_running_loop().time()


# -- the microphone --------------------------------------------------------------------------------------------


@virtual_time
async def test_frames_come_when_their_last_sample_has_sounded() -> None:
    microphone = MemoryInput()
    microphone.speak("one two", at=0.5, words_per_s=4.0)
    microphone.noise(at=1.5, duration_s=0.1)
    microphone.end(2.0)
    frames = []
    times = []
    async for frame in microphone:
        frames.append(frame)
        times.append(now())
    assert times == [pytest.approx(0.02 * (i + 1), abs=1e-9) for i in range(100)]
    assert [frame.position_samples for frame in frames] == [480 * i for i in range(100)]
    data = b"".join(frame.data for frame in frames)
    words = speech.decode(data, RATE)
    assert [(w.text, w.start_samples, w.end_samples) for w in words] == [
        ("one", 12_000, 18_000),
        ("two", 18_000, 24_000),
    ]
    assert data[2 * 36_000 : 2 * 38_400] == speech.noise(2400)
    assert speech.is_silent(data[2 * 38_400 :])


@virtual_time
async def test_say_returns_when_it_was_said() -> None:
    microphone = MemoryInput(sample_rate=16_000)
    with pytest.raises(StateError, match="start the session"):
        await microphone.say("too early")

    async def read() -> bytes:
        return b"".join([frame.data async for frame in microphone])

    await elapse(1.0)  # the input begins late; its own audio begins then
    microphone = MemoryInput(sample_rate=16_000)
    reading = asyncio.create_task(read())
    await elapse(0.5)
    said = await microphone.say("one two three")
    assert said.start_s == 0.5
    assert now() == pytest.approx(2.5, abs=0.02)
    again = await microphone.say("four")
    assert again.start_s == pytest.approx(1.5, abs=0.02)
    microphone.end()
    words = speech.decode(await reading, 16_000)
    assert [word.text for word in words] == ["one", "two", "three", "four"]
    assert [one.text for one in microphone.said] == ["one two three", "four"]


@virtual_time
async def test_a_late_reader_gets_at_once_what_is_due() -> None:
    microphone = MemoryInput()
    microphone.end(1.0)
    times = []
    async for _ in microphone:
        times.append(now())
        if len(times) == 10:
            await elapse(0.5)
    assert times[10] == times[30] == pytest.approx(0.7)
    assert times[40] == pytest.approx(0.82)


@virtual_time
async def test_the_microphone_refuses_what_cannot_be() -> None:
    microphone = MemoryInput()
    microphone.speak("one", at=1.0)
    with pytest.raises(UsageError, match="something else sounds at 1"):
        microphone.noise(at=0.9, duration_s=0.2)
    with pytest.raises(UsageError, match="nothing to say"):
        microphone.speak("  ")
    iterator = aiter(microphone)
    await anext(iterator)
    with pytest.raises(UsageError, match=r"0\.000 s has passed"):
        microphone.speak("one", at=0.0)


@virtual_time
async def test_the_microphone_goes_away() -> None:
    microphone = MemoryInput()
    microphone.fail(at=0.1)
    frames = []

    async def read() -> None:
        async for frame in microphone:
            frames.append(frame)

    with pytest.raises(DeviceError, match="went away"):
        await read()
    assert len(frames) == 5
    closed = MemoryInput()
    await closed.aclose()
    assert [frame async for frame in closed] == []


@virtual_time
async def test_any_sound_can_be_played_in() -> None:
    microphone = MemoryInput()
    voice, _ = ScriptedTTS().speak("hello")
    microphone.play(voice, at=0.1)
    microphone.end(0.5)
    data = b"".join([frame.data async for frame in microphone])
    assert [word.text for word in speech.decode(data, RATE)] == ["hello"]


# -- the loudspeaker -------------------------------------------------------------------------------------------


def opened(
    **options: object,
) -> tuple[MemoryOutput, list[tuple[float, PlaybackPosition]], list[ReparteeError]]:
    output = MemoryOutput(**options)  # type: ignore[arg-type]
    positions: list[tuple[float, PlaybackPosition]] = []
    errors: list[ReparteeError] = []
    output.open(on_position=lambda position: positions.append((now(), position)), on_error=errors.append)
    return output, positions, errors


def spoken(text: str, *, ms_per_word: float = 200.0) -> AudioFrame:
    return AudioFrame(ScriptedTTS(ms_per_word=ms_per_word).speak(text)[0], RATE)


@virtual_time
async def test_it_plays_at_once_and_reports_each_20_ms() -> None:
    output, positions, _ = opened()
    await elapse(1.0)
    output.write(spoken("one", ms_per_word=50.0))
    await elapse(1.0)
    assert [(round(at_s, 9), position.position_samples) for at_s, position in positions] == [
        (1.02, 480),
        (1.04, 960),
        (1.05, 1200),
    ]
    assert output.spans() == [(1.0, 1.05)]
    assert output.heard_text() == "one"
    assert output.audible_at(1.02)
    assert not output.audible_at(1.05)


@virtual_time
async def test_a_pause_stops_to_the_sample_and_nothing_is_lost() -> None:
    output, positions, _ = opened()
    output.write(spoken("one two three"))
    await sleep_until(0.25)
    output.pause()
    assert output.paused
    assert output.position_samples == 6000
    output.write(spoken("four"))
    await sleep_until(1.25)
    assert len(positions) == 12
    output.resume()
    await sleep_until(3.0)
    assert output.spans() == [(0.0, 0.25), (1.25, 1.8)]
    assert output.heard() == spoken("one two three").data + spoken("four").data
    assert [word.text for word in output.heard_words()] == ["one", "two", "three", "four"]
    assert [(word.start_s, word.end_s) for word in output.heard_words()][1] == (0.2, 1.4)
    assert positions[-1][1].position_samples == 19_200


@virtual_time
async def test_clear_drops_the_rest_and_answers_late() -> None:
    output, positions, _ = opened(ack_lag_s=0.15)
    output.write(spoken("one two three"))
    output.set_gain(-12.0)
    await sleep_until(0.31)
    output.pause()
    output.clear()
    assert output.queued_samples == 0
    assert (output.paused, output.gain_db) == (False, 0.0)
    output.write(spoken("four"))
    await sleep_until(2.0)
    cleared = [(round(at_s, 9), p) for at_s, p in positions if p.cleared]
    assert cleared == [(0.46, PlaybackPosition(7440, cleared=True))]
    samples = [position.position_samples for _, position in positions]
    assert samples == sorted(samples)
    assert samples[-1] == 7440 + 4800
    assert [word.text for word in output.heard_words()] == ["one", "tw", "four"]
    assert output.clears_s == [0.31]
    assert {part.gain_db for part in output.record} == {-12.0, 0.0}


@virtual_time
async def test_clear_of_an_empty_output_answers_too() -> None:
    output, positions, _ = opened()
    output.clear()
    assert positions == []  # never from within
    await elapse(0.1)
    assert [position for _, position in positions] == [PlaybackPosition(0, cleared=True)]


@virtual_time
async def test_the_devices_own_buffer_is_out_of_reach() -> None:
    output, positions, _ = opened(device_buffer_ms=50.0)
    output.write(spoken("one two three"))
    await sleep_until(0.1)
    output.clear()
    output.write(spoken("four"))
    await sleep_until(1.0)
    assert output.spans() == [(0.0, 0.35)]
    assert [(round(at_s, 9), p.position_samples) for at_s, p in positions if p.cleared] == [(0.15, 3600)]
    assert output.heard() == spoken("one").data[:7200] + spoken("four").data


@virtual_time
async def test_granularity_is_configurable() -> None:
    output, positions, _ = opened(granularity_ms=100.0)
    output.write(spoken("one two"))
    await elapse(1.0)
    assert [position.position_samples for _, position in positions] == [2400, 4800, 7200, 9600]


@virtual_time
async def test_what_it_cannot_it_leaves() -> None:
    able = OutputCapabilities(pause=False, gain=False, acknowledges=False)
    output, positions, _ = opened(capabilities=able)
    output.write(spoken("one"))
    output.pause()
    output.set_gain(-20.0)
    await elapse(1.0)
    assert output.spans() == [(0.0, 0.2)]
    assert output.gain_db == 0.0
    assert all(position.estimated for _, position in positions)


@virtual_time
async def test_it_may_fail_or_stall() -> None:
    output, positions, errors = opened()
    output.write(spoken("one two three"))
    await sleep_until(0.2)
    output.stall()
    await sleep_until(1.0)
    assert len(positions) == 10
    output.write(spoken("four"))
    output.fail()
    await sleep_until(2.0)
    assert output.spans() == [(0.0, 0.2)]
    assert [type(error) for error in errors] == [DeviceError]


@virtual_time
async def test_a_slice_of_what_was_heard() -> None:
    output, _, _ = opened()
    output.write(spoken("one two three"))
    await elapse(1.0)
    assert output.heard(0.2, 0.4) == spoken("one two three").data[9600:19_200]
    assert output.heard_text(since_s=0.2) == "two three"
    assert output.written_samples == 14_400


@virtual_time
async def test_the_loudspeaker_refuses_what_is_wrong() -> None:
    output = MemoryOutput()
    with pytest.raises(StateError, match="open"):
        output.write(spoken("one"))
    with pytest.raises(StateError, match="open"):
        output.fail()
    output, _, _ = opened()
    with pytest.raises(UsageError, match="16000 Hz"):
        output.write(AudioFrame(bytes(2), 16_000))
    output.write(spoken("one"))
    await sleep_until(0.1)
    await output.aclose()
    await output.aclose()
    assert output.heard_text() == "on"
    with pytest.raises(StateError, match="aclose"):
        output.write(spoken("one"))


# -- captions --------------------------------------------------------------------------------------------------


@virtual_time
async def test_captions() -> None:
    captions = MemoryTextOutput()
    captions.write("Good ")
    await elapse(0.5)
    assert captions.text == "Good "
    captions.write("day.", final=True)
    captions.write("", final=True)
    assert captions.replies == ["Good day.", ""]
    assert captions.writes[1] == (0.5, "day.", True)
