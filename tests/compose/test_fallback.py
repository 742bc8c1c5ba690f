"""`Fallback` over LLMs and voices: the next in time, the first again when it is well, and one clear error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest

from repartee.chat import ChatContext, Message
from repartee.compose import Fallback, FallbackLLM, FallbackSTT, FallbackTTS
from repartee.compose.fallback_realtime import FallbackRealtimeModel
from repartee.errors import ConfigurationError, ModelError, ModelTimeoutError
from repartee.models import LLM, TTS, ChatChunk, ChatRequest, LLMCapabilities, SpeechChunk, TextDelta
from repartee.models.events import ErrorOccurred, ProviderSwitched, RealtimeEvent
from repartee.testing import (
    Fault,
    ScriptedLLM,
    ScriptedRealtimeModel,
    ScriptedSTT,
    ScriptedTTS,
    elapse,
    fail,
    run,
    slow,
    stall,
    virtual_time,
)
from repartee.testing.conformance_llm import LLM_CHECKS, LLMCheck
from repartee.testing.conformance_tts import TTS_CHECKS, TTSCheck
from repartee.testing.speech import SpeechDecoder


def llm(name: str, *faults: Fault) -> ScriptedLLM:
    return ScriptedLLM(lambda request: f"{name} says so", faults=faults)


def ask() -> ChatRequest:
    return ChatRequest(ChatContext([Message.of("user", "hello")]))


async def take(model: LLM) -> str:
    async with aclosing(model.chat(ask())) as chunks:
        return "".join([chunk.text async for chunk in chunks if isinstance(chunk, TextDelta)])


def now() -> float:
    return asyncio.get_running_loop().time()


def bound(*models: LLM, **options: Any) -> tuple[FallbackLLM, list[RealtimeEvent]]:
    events: list[RealtimeEvent] = []
    return Fallback(models, **options).bound(events.append), events


# -- which kind ----------------------------------------------------------------------------------------------------


def test_it_is_of_the_kind_that_it_was_given() -> None:
    assert isinstance(Fallback([ScriptedLLM()]), FallbackLLM)
    assert isinstance(Fallback([ScriptedSTT(), ScriptedSTT()]), FallbackSTT)
    assert isinstance(Fallback([ScriptedTTS()]), FallbackTTS)
    assert isinstance(Fallback([ScriptedRealtimeModel(), ScriptedRealtimeModel()]), FallbackRealtimeModel)


@pytest.mark.parametrize(
    "models, options, says",
    [
        ([], {}, "at least one"),
        ([ScriptedLLM(), ScriptedTTS()], {}, r"ScriptedLLM \(LLM\), ScriptedTTS \(TTS\)"),
        ([ScriptedRealtimeModel(), ScriptedLLM()], {}, "Conversing"),
        ([ScriptedLLM], {}, "pass an instance"),
        (["gpt"], {}, r"str \(none of them\)"),
        ([ScriptedLLM()] * 2, {}, "twice"),
        ([ScriptedLLM()], {"deadline_s": 0}, "deadline_s"),
        ([ScriptedLLM()], {"cooldown_s": -1}, "cooldown_s"),
    ],
)
def test_what_can_not_stand_together(models: list[Any], options: dict[str, Any], says: str) -> None:
    if (len(models) == 2 and models[0] is not models[1]) or len(models) < 2:
        pass
    with pytest.raises(ConfigurationError, match=says):
        Fallback(models, **options)


def test_it_can_do_what_all_can() -> None:
    able = LLMCapabilities(images=True, parallel_tool_calls=False)
    both = Fallback([ScriptedLLM(capabilities=able), ScriptedLLM()])
    assert both.capabilities == LLMCapabilities(images=False, parallel_tool_calls=False)
    voices = Fallback(
        [ScriptedTTS(min_words=2), ScriptedTTS(word_times=False, min_words=4, sample_rate=16_000)]
    )
    assert (voices.capabilities.word_times, voices.capabilities.min_words) == (False, 4)
    assert voices.capabilities.sample_rate == 24_000


@pytest.mark.parametrize("check", LLM_CHECKS, ids=lambda check: check.__name__)
def test_llm_conformance(check: LLMCheck) -> None:
    run(check(lambda: Fallback([llm("a", fail(None)), llm("b")])), check_leaks=False)


# The scripted voice says dots, and can't spell half a surrogate: what becomes of a text is the voice's part, not ours.
VOICES_OWN = ("nothing_to_say_is_nothing", "words_stay_in_the_text")


@pytest.mark.parametrize(
    "check",
    [each for each in TTS_CHECKS if each.__name__ not in VOICES_OWN],
    ids=lambda check: check.__name__,
)
def test_tts_conformance(check: TTSCheck) -> None:
    run(check(lambda: Fallback([ScriptedTTS(faults=[fail(None)]), ScriptedTTS()])), check_leaks=False)


# -- LLMs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault, at_s", [(fail(1), 0.1), (stall(1), 3.1), (slow(9.0, 1), 3.1)])
@virtual_time
async def test_the_next_answers_when_one_fails_or_is_late(fault: Fault, at_s: float) -> None:
    first, second = llm("a", fault), llm("b")
    model, events = bound(first, second, deadline_s=3.0)
    chunks = model.chat(ask())
    assert await anext(chunks) == TextDelta("b")
    assert now() == pytest.approx(at_s)
    await chunks.aclose()
    error, switch = events
    assert isinstance(error, ErrorOccurred)
    assert (error.stage, error.fatal) == ("llm", False)
    assert switch == ProviderSwitched("llm", "ScriptedLLM", "ScriptedLLM #2", str(error.error))
    assert model.in_use == "ScriptedLLM #2"


@virtual_time
async def test_words_that_were_said_stand() -> None:
    model, events = bound(llm("a", fail(1, after=1)), llm("b"))
    chunks = model.chat(ask())
    assert await anext(chunks) == TextDelta("a")
    with pytest.raises(ModelError, match="scripted llm fault"):
        await anext(chunks)
    assert await take(model) == "b says so", "the conversation goes on"
    assert [type(event) for event in events] == [ProviderSwitched], (
        "the error was raised, so it is not told twice"
    )


@virtual_time
async def test_a_halt_in_the_middle_is_an_error_too() -> None:
    model, _ = bound(llm("a", stall(1, after=1)), llm("b"), deadline_s=2.0)
    chunks = model.chat(ask())
    await anext(chunks)
    with pytest.raises(ModelTimeoutError, match="gave nothing for 2 s"):
        await anext(chunks)
    assert now() == pytest.approx(2.1)
    assert await take(model) == "b says so"


@virtual_time
async def test_back_to_the_first_when_it_is_well() -> None:
    first = llm("a", fail(1))
    model, events = bound(first, llm("b"))
    assert [await take(model), await take(model)] == ["b says so"] * 2
    assert len(first.records) == 1, "it is passed over while it cools down"
    await elapse(10.0)
    assert await take(model) == "a says so"
    assert events[-1] == ProviderSwitched("llm", "ScriptedLLM #2", "ScriptedLLM", "ScriptedLLM is back")


@virtual_time
async def test_one_that_stays_ill_is_asked_ever_more_seldom() -> None:
    first = llm("a", fail(None))
    model, _ = bound(first, llm("b"))
    asked_s: list[float] = []
    for _ in range(100):
        assert await take(model) == "b says so"
        if first.records and (not asked_s or first.records[-1].started_s != asked_s[-1]):
            asked_s.append(first.records[-1].started_s)
        await elapse(1.0)
    pauses = [after - before for before, after in pairwise(asked_s)]
    assert len(asked_s) == 4
    assert pauses == sorted(pauses)


@virtual_time
async def test_when_all_fail_there_is_one_clear_error() -> None:
    model, events = bound(llm("a", fail(None)), llm("b", stall(None)), deadline_s=1.0)
    with pytest.raises(
        ModelError, match=r"all 2 providers failed: ScriptedLLM: .*; ScriptedLLM #2: .*nothing for 1 s"
    ) as caught:
        await take(model)
    assert caught.value.code == "all_providers_failed"
    assert caught.value.recoverable
    assert len(events) == 1, "the last error is part of the one that is raised"
    with pytest.raises(ModelError, match="all 2"):
        await take(model)  # all are cooling down, and are asked all the same


@virtual_time
async def test_a_plugin_that_crashes_is_replaced() -> None:
    class Broken(ScriptedLLM):
        async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
            words: dict[str, str] = {}
            yield TextDelta(words["oops"])

    model, events = bound(Broken(), llm("b"))
    assert await take(model) == "b says so"
    assert isinstance(events[0], ErrorOccurred)
    assert "Broken failed with KeyError" in str(events[0].error)


@virtual_time
async def test_sessions_share_what_they_find_out() -> None:
    first, second = llm("a", stall(1), stall(2), stall(3)), llm("b")
    shared = Fallback([first, second], deadline_s=2.0)
    told: list[list[RealtimeEvent]] = [[] for _ in range(4)]
    models = [shared.bound(events.append) for events in told]
    # Three at once find out together; the fourth comes later and is spared the wait.
    assert await asyncio.gather(*map(take, models[:3])) == ["b says so"] * 3
    before = now()
    assert await take(models[3]) == "b says so"
    assert now() - before < 0.2
    assert [sum(isinstance(each, ErrorOccurred) for each in events) for events in told] == [1, 1, 1, 0]
    assert [sum(isinstance(each, ProviderSwitched) for each in events) for events in told] == [1, 1, 1, 1]
    await elapse(10.0)
    # One alone tries whether the first is well; the others go on with the second meanwhile.
    answers = await asyncio.gather(*map(take, models))
    assert sorted(answers) == ["a says so", *["b says so"] * 3]
    assert await asyncio.gather(*map(take, models)) == ["a says so"] * 4


@virtual_time
async def test_a_probe_that_is_cancelled_is_made_by_another() -> None:
    first = llm("a", fail(1), stall(2))
    model, _ = bound(first, llm("b"))
    await take(model)
    await elapse(10.0)
    task = asyncio.ensure_future(take(model))
    await elapse(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await take(model) == "a says so"


@virtual_time
async def test_an_answer_without_words_is_an_answer() -> None:
    first = ScriptedLLM([""])
    model, events = bound(first, llm("b"))
    assert await take(model) == ""
    assert events == []


class Sick(ScriptedLLM):
    """Can't be got ready, and does not close."""

    async def prewarm(self, request: ChatRequest | None = None) -> None:
        raise ModelError("no key", stage="llm")

    async def aclose(self) -> None:
        raise OSError("gone")


@virtual_time
async def test_prewarming_finds_the_sick() -> None:
    sick, well = Sick(), llm("b")
    model, events = bound(sick, well)
    await model.prewarm(ask())
    assert len(well.prewarmed) == 1
    assert await take(model) == "b says so"
    assert sick.records == []
    assert [type(event) for event in events] == [ErrorOccurred, ProviderSwitched]
    with pytest.raises(ModelError, match="all 1 providers failed"):
        await Fallback([Sick()]).prewarm()


@virtual_time
async def test_closing_closes_all() -> None:
    closed = []

    class Closes(ScriptedLLM):
        async def aclose(self) -> None:
            closed.append(self)

    with pytest.raises(OSError, match="gone"):
        await Fallback([Sick(), Closes()]).aclose()
    assert len(closed) == 1


# -- voices --------------------------------------------------------------------------------------------------------


async def say(voice: TTS, text: str = "one two three four") -> list[SpeechChunk]:
    async with aclosing(voice.synthesize(text)) as chunks:
        return [chunk async for chunk in chunks]


def heard(chunks: list[SpeechChunk]) -> list[str]:
    decoder = SpeechDecoder(chunks[0].audio.sample_rate)
    return [word.text for chunk in chunks for word in decoder.feed(chunk.audio.data)]


@pytest.mark.parametrize("fault", [fail(1), stall(1), slow(60.0, 1)])
@virtual_time
async def test_another_voice_speaks_the_piece(fault: Fault) -> None:
    events: list[RealtimeEvent] = []
    voice = Fallback([ScriptedTTS(faults=[fault]), ScriptedTTS()]).bound(events.append)
    assert heard(await say(voice)) == ["one", "two", "three", "four"]
    assert [type(event) for event in events] == [ErrorOccurred, ProviderSwitched]
    assert voice.in_use == "ScriptedTTS #2"


@virtual_time
async def test_a_voice_that_breaks_off_is_heard_to_and_replaced_in_the_next_piece() -> None:
    voice = Fallback([ScriptedTTS(faults=[fail(1, after=1)]), ScriptedTTS()])
    chunks = voice.synthesize("one two three four")
    await anext(chunks)
    with pytest.raises(ModelError, match="scripted tts fault"):
        await anext(chunks)
    assert len(await say(voice)) > 1
    assert voice.in_use == "ScriptedTTS #2"


@virtual_time
async def test_voices_of_other_rates_speak_at_the_first_ones() -> None:
    sick, well = ScriptedTTS(faults=[fail(None)]), ScriptedTTS(sample_rate=16_000)
    voice = Fallback([sick, well])
    chunks = await say(voice)
    assert {chunk.audio.sample_rate for chunk in chunks} == {24_000}
    position = 0
    for chunk in chunks:
        assert chunk.audio.position_samples == position
        position = chunk.audio.end_samples
    assert position / 24_000 == pytest.approx(well.duration_ms("one two three four") / 1000, abs=0.005)
    assert [word.start_ms for chunk in chunks for word in chunk.words] == sorted(
        word.start_ms for chunk in chunks for word in chunk.words
    )


@virtual_time
async def test_all_voices_fail() -> None:
    voice = Fallback([ScriptedTTS(faults=[fail(None)]), ScriptedTTS(faults=[fail(None)])])
    with pytest.raises(ModelError, match="all 2 providers failed"):
        await say(voice)
    await voice.prewarm()
    await voice.aclose()


@virtual_time
async def test_a_voice_is_spoken_by_who_has_it() -> None:
    first, second = ScriptedTTS(voices=["ada"], faults=[fail(2)]), ScriptedTTS(voices=["bob", "ada"])
    third = ScriptedTTS()
    voice = Fallback([first, second, third])
    assert voice.capabilities.voices == ("ada", "bob")
    ada, bob = voice.with_voice("ada"), voice.with_voice("bob")
    await say(ada)
    await say(bob)  # the first fails, the second has it
    assert [each.voice for each in first.utterances] == ["ada", ""]
    assert [each.voice for each in second.utterances] == ["bob"]
    with pytest.raises(
        ConfigurationError, match=r"none of 3 providers has a voice 'eve'; they have ada, bob"
    ):
        voice.with_voice("eve")


@virtual_time
async def test_another_voice_of_a_session_tells_it_of_switches_and_closes_nothing() -> None:
    closed: list[TTS] = []

    class Closes(ScriptedTTS):
        async def aclose(self) -> None:
            closed.append(self)

    events: list[RealtimeEvent] = []
    voice = Fallback([Closes(voices=["ada"], faults=[fail(1)]), Closes(voices=["ada"])])
    mine = voice.bound(events.append).with_voice("ada")
    await say(mine)
    assert [type(event) for event in events] == [ErrorOccurred, ProviderSwitched]
    await mine.aclose()
    await mine.bound(events.append).aclose()
    assert not closed
    await voice.aclose()
    assert len(closed) == 2
