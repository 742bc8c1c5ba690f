"""`Fallback`: several providers for one part of a conversation; the next one when one fails, and back when it is well.

Each kind has its own place where a provider can be replaced without anybody hearing it: an LLM before its first words,
a voice before the first sound of a piece, a recogniser at any time (what it has not transcribed is heard by the next),
a realtime model with the conversation so far. What has been said stands; an answer that breaks in its middle is an
error, and the next answer comes from the next provider.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, overload

from repartee.audio import AudioFrame, Resampler
from repartee.compose.fallback_realtime import FallbackRealtimeModel
from repartee.compose.fallback_stt import FallbackSTT
from repartee.compose.providers import Desk, Rotation, close_all, first_to_begin, prewarm_all
from repartee.errors import ConfigurationError
from repartee.models import (
    LLM,
    STT,
    TTS,
    ChatChunk,
    ChatRequest,
    LLMCapabilities,
    RealtimeModel,
    Sink,
    SpeechChunk,
    TTSCapabilities,
)

__all__ = ["Fallback", "FallbackLLM", "FallbackRealtimeModel", "FallbackSTT", "FallbackTTS"]


class FallbackLLM(LLM):
    """Several LLMs as one. See `Fallback`."""

    def __init__(self, desk: Desk[LLM], *, deadline_s: float | None) -> None:
        self._desk = desk
        self._deadline_s = deadline_s
        able = [model.capabilities for model in desk.models]
        self.capabilities = LLMCapabilities(
            tools=all(each.tools for each in able),
            parallel_tool_calls=all(each.parallel_tool_calls for each in able),
            images=all(each.images for each in able),
            speculation=all(each.speculation for each in able),
        )

    def bound(self, on_event: Sink) -> FallbackLLM:
        """The same LLMs for one session, which is told of failures and switches."""
        return FallbackLLM(self._desk.bound(on_event), deadline_s=self._deadline_s)

    @property
    def in_use(self) -> str:
        """The name of the one that answered last."""
        return self._desk.names[self._desk.rotation.current]

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Answer a conversation, by the first that begins to within the deadline.

        Raises:
            ModelError: all failed, or one failed after its first words.
        """
        async with aclosing(
            first_to_begin(self._desk, lambda llm: llm.chat(request), self._deadline_s)
        ) as chunks:
            async for _, chunk in chunks:
                yield chunk

    async def prewarm(self, request: ChatRequest | None = None) -> None:
        """Prewarm them all.

        Raises:
            ModelError: none of them could be.
        """
        await prewarm_all(self._desk, lambda llm: llm.prewarm(request))

    async def aclose(self) -> None:
        """Close them all."""
        await close_all(self._desk.models)


class FallbackTTS(TTS):
    """Several voices as one: all speak at the first one's rate. See `Fallback`."""

    def __init__(
        self, desk: Desk[TTS], *, deadline_s: float | None, speakers: Sequence[TTS] | None = None
    ) -> None:
        self._desk = desk
        self._deadline_s = deadline_s
        self._owns = speakers is None
        pairs = zip(desk.models, speakers or desk.models, strict=True)
        self._speakers = {
            id(voice): speaker for voice, speaker in pairs
        }  # what each of the desk's speaks with
        able = [voice.capabilities for voice in desk.models]
        shared = [each for each in able[0].languages if all(each in other.languages for other in able)]
        self.capabilities = TTSCapabilities(
            sample_rate=able[0].sample_rate,
            word_times=all(each.word_times for each in able),
            min_words=max(each.min_words for each in able),
            languages=tuple(shared) or able[0].languages,
            voices=tuple(dict.fromkeys(name for each in able for name in each.voices)),
        )

    def bound(self, on_event: Sink) -> FallbackTTS:
        """The same voices for one session, which is told of failures and switches."""
        speakers = None if self._owns else tuple(self._speakers.values())
        return FallbackTTS(self._desk.bound(on_event), deadline_s=self._deadline_s, speakers=speakers)

    def with_voice(self, name: str) -> FallbackTTS:
        """The same with another voice, wherever one has it; the others speak with their own.

        Raises:
            ConfigurationError: none has it.
        """
        speakers = [_with_voice(each, name) for each in self._desk.models]
        if all(each is None for each in speakers):
            known = ", ".join(self.capabilities.voices) or "none that has a name"
            raise ConfigurationError(
                f"none of {len(speakers)} providers has a voice {name!r}; they have {known}"
            )
        own = [each or model for each, model in zip(speakers, self._desk.models, strict=True)]
        return FallbackTTS(self._desk, deadline_s=self._deadline_s, speakers=own)

    @property
    def in_use(self) -> str:
        """The name of the one that spoke last."""
        return self._desk.names[self._desk.rotation.current]

    async def synthesize(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        """Speak one piece of text, by the first voice that begins to within the deadline.

        Raises:
            ModelError: all failed, or one failed after its first sound.
        """
        desk, rate = self._desk, self.capabilities.sample_rate
        position = 0
        resampler: Resampler | None = None
        async with aclosing(
            first_to_begin(desk, lambda tts: self._speakers[id(tts)].synthesize(text), self._deadline_s)
        ) as chunks:
            async for index, chunk in chunks:
                own_rate = desk.models[index].capabilities.sample_rate
                if resampler is None and own_rate != rate:
                    resampler = Resampler(own_rate, rate)
                audio = chunk.audio if resampler is None else resampler.push(chunk.audio)
                words = chunk.words if self.capabilities.word_times else ()
                if audio.samples or words:
                    # Where it begins is counted here: a resampler's first sample lies before the first of its input.
                    yield SpeechChunk(audio.at(position), words)
                    position += audio.samples
            if resampler is not None and position:
                tail = _tail(resampler)
                yield SpeechChunk(tail.at(position))

    async def prewarm(self) -> None:
        """Prewarm them all.

        Raises:
            ModelError: none of them could be.
        """
        await prewarm_all(self._desk, lambda tts: tts.prewarm())

    async def aclose(self) -> None:
        """Close them all."""
        if self._owns:
            await close_all(self._desk.models)


def _with_voice(tts: TTS, name: str) -> TTS | None:
    try:
        return tts.with_voice(name)
    except ConfigurationError:
        return None


def _tail(resampler: Resampler) -> AudioFrame:
    """What is still in the filter."""
    silence = AudioFrame.silence(
        samples=max(1, round(resampler.delay_s * resampler.source_rate)), sample_rate=resampler.source_rate
    )
    return resampler.push(silence)


@overload
def Fallback(  # type: ignore[overload-overlap]  # a RealtimeModel is an LLM, and is taken as the former
    models: Sequence[RealtimeModel],
    *,
    deadline_s: float | None = ...,
    cooldown_s: float = ...,
    max_cooldown_s: float = ...,
) -> FallbackRealtimeModel: ...
@overload
def Fallback(
    models: Sequence[LLM],
    *,
    deadline_s: float | None = ...,
    cooldown_s: float = ...,
    max_cooldown_s: float = ...,
) -> FallbackLLM: ...
@overload
def Fallback(
    models: Sequence[STT],
    *,
    deadline_s: float | None = ...,
    cooldown_s: float = ...,
    max_cooldown_s: float = ...,
) -> FallbackSTT: ...
@overload
def Fallback(
    models: Sequence[TTS],
    *,
    deadline_s: float | None = ...,
    cooldown_s: float = ...,
    max_cooldown_s: float = ...,
) -> FallbackTTS: ...
def Fallback(
    models: Sequence[Any],
    *,
    deadline_s: float | None = 5.0,
    cooldown_s: float = 10.0,
    max_cooldown_s: float = 120.0,
) -> Any:
    """Several models of one kind as one of that kind: the next when one fails, and back when it is well.

    Share one between sessions: what one session finds out, all know. Failures (`ErrorOccurred`) and switches
    (`ProviderSwitched`) are told to the session in which they happen, and logged.

    Args:
        models: in order of preference, all `LLM`, `STT`, `TTS` or `RealtimeModel`. The `Fallback` owns them: closing it
            closes them.
        deadline_s: how long one may take to begin, and halt in the middle (for an STT: to give the final of a flush;
            for a realtime model: to connect, and to begin a response). ``None``: only what it reports is a failure.
            Default: 5.
        cooldown_s: how long one that failed is passed over. Twice as long each time it fails again when tried.
            Default: 10.
        max_cooldown_s: the longest that becomes. Default: 120.

    Raises:
        ConfigurationError: there are no models, they are of several kinds, or they differ in what decides how a
            session is built.
    """
    models = tuple(models)
    if not models:
        raise ConfigurationError("Fallback needs at least one model: Fallback([openai.LLM(), local.LLM()])")
    if deadline_s is not None and not deadline_s > 0:
        raise ConfigurationError(f"deadline_s is {deadline_s!r}; it must be above 0, or None for none")
    if not cooldown_s >= 0:
        raise ConfigurationError(f"cooldown_s is {cooldown_s!r}; it must be 0 or more")
    if len(set(map(id, models))) < len(models):
        raise ConfigurationError(
            "Fallback was given the same model twice: one that fails can't replace itself"
        )
    rotation = Rotation(len(models), cooldown_s=cooldown_s, max_cooldown_s=max_cooldown_s)
    # A RealtimeModel is an LLM too, so it is asked first.
    if all(isinstance(model, RealtimeModel) for model in models):
        return FallbackRealtimeModel(Desk(models, "realtime", rotation), deadline_s=deadline_s)
    if all(isinstance(model, LLM) and not isinstance(model, RealtimeModel) for model in models):
        return FallbackLLM(Desk(models, "llm", rotation), deadline_s=deadline_s)
    if all(isinstance(model, STT) for model in models):
        return FallbackSTT(Desk(models, "stt", rotation), deadline_s=deadline_s)
    if all(isinstance(model, TTS) for model in models):
        return FallbackTTS(Desk(models, "tts", rotation), deadline_s=deadline_s)
    kinds = ", ".join(f"{type(model).__name__} ({_kind(model)})" for model in models)
    raise ConfigurationError(
        f"Fallback needs models of one kind, all LLM, STT, TTS or RealtimeModel, and was given {kinds}; wrap an LLM in "
        "Conversing to stand beside a RealtimeModel"
    )


def _kind(model: object) -> str:
    if isinstance(model, type):
        return "a class: pass an instance"
    for kind in (RealtimeModel, LLM, STT, TTS):
        if isinstance(model, kind):
            return kind.__name__
    return "none of them"
