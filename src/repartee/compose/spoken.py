"""`Spoken`: a voice for a model that gives text.

Words are spoken clause by clause while the rest is still being written. The words of each clause go out as
transcript deltas that carry their place in the audio, so whoever plays it knows which words were heard.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from repartee.audio import AudioFrame
from repartee.chat import AudioContent, Message
from repartee.clock import Clock
from repartee.compose.clauses import ClauseSplitter
from repartee.compose.providers import bound_to
from repartee.compose.tasks import TaskOwner
from repartee.compose.wrapper import WrapperModel, WrapperSession
from repartee.errors import ConfigurationError, ModelError, ModelTimeoutError, ReparteeError
from repartee.models import (
    TTS,
    RealtimeModel,
    RealtimeSession,
    ResponseOptions,
    SessionOptions,
    Sink,
    SpeechChunk,
)
from repartee.models.events import (
    AudioDelta,
    ErrorOccurred,
    ItemAdded,
    ItemDone,
    ItemTruncated,
    OutputItemDone,
    RealtimeEvent,
    ResponseCreated,
    ResponseDone,
    StageReached,
    TranscriptDelta,
)
from repartee.turns.alignment import Alignment

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["Spoken"]

_VOICES_MAX = 16


class Spoken(WrapperModel):
    """A model that speaks.

    Args:
        model: gives text.
        tts: the voice. A session, or a response, may choose another that it has.
        first_words: the first piece is spoken after so many words, even where no clause ends (never fewer than the
            voice's ``min_words``). Default 4.
        chunk_timeout_s: how long the voice may take for its next sound. Default 10.
        max_lead_s: how far synthesis may run ahead of real time, which bounds what an interruption wastes and what
            a reply can hold in memory. Default 30.
        max_reply_chars: the most text of one reply that may wait for the voice; what is beyond is not spoken, and
            the response ends as incomplete. Default 20000.
    """

    def __init__(
        self,
        model: RealtimeModel,
        tts: TTS,
        *,
        first_words: int = 4,
        chunk_timeout_s: float = 10.0,
        max_lead_s: float = 30.0,
        max_reply_chars: int = 20_000,
    ) -> None:
        super().__init__(model)
        self.tts = tts
        self.first_words = max(first_words, tts.capabilities.min_words)
        self.chunk_timeout_s = chunk_timeout_s
        self.max_lead_s = max_lead_s
        self.max_reply_chars = max_reply_chars
        self.capabilities = replace(
            model.capabilities,
            audio_output=True,
            output_sample_rate=tts.capabilities.sample_rate,
            voices=tts.capabilities.voices,
        )

    def session(self, options: SessionOptions, *, on_event: Sink, clock: Clock) -> RealtimeSession:
        """A conversation that speaks."""
        return _SpokenSession(self, options, on_event=on_event, clock=clock)

    async def prewarm(self, request: object = None) -> None:
        """Prewarm the voice and the model."""
        await asyncio.gather(self.tts.prewarm(), self.model.prewarm())

    async def aclose(self) -> None:
        """Close the voice and the model."""
        await self.tts.aclose()
        await self.model.aclose()


@dataclass(slots=True)
class _Speech:
    """One response being spoken."""

    response_id: str
    request_id: str
    splitter: ClauseSplitter
    tts: TTS
    draft: bool
    """Whether nobody may know of it yet."""
    pieces: deque[tuple[str, str] | RealtimeEvent] = field(
        default_factory=deque
    )  # bounded by max_reply_chars
    """What comes next: ``(item id, text)`` to speak, or an event that must not come before what precedes it."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    item_id: str = ""
    waiting_chars: int = 0
    started_s: float | None = None
    audio_s: float = 0.0
    overflow: bool = False
    failed: bool = False
    first_clause: bool = True


class _SpokenSession(WrapperSession):
    def __init__(self, model: Spoken, options: SessionOptions, *, on_event: Sink, clock: Clock) -> None:
        super().__init__(
            model.model, options, on_event=on_event, clock=clock, inner_options=_text_only(options)
        )
        self._model = model
        self._tts = bound_to(model.tts, on_event)
        self._silent: set[str] = set()  # requests for text only, until their response begins
        self._drafts: set[str] = set()  # requests that prepare an answer, until their response begins
        self._asked: dict[str, str] = {}  # requests for a voice of their own, until their response begins
        self._voices: dict[str, TTS] = {}  # those that were asked for; at most _VOICES_MAX
        self._speeches: dict[str, _Speech] = {}
        self._alignments: dict[str, Alignment] = {}
        self._failed_item_id = ""
        self._tasks = TaskOwner(self._crashed)

    async def aclose(self) -> None:
        await super().aclose()
        for speech in tuple(self._speeches.values()):
            self._stop(speech, "session closed")  # its text was complete, so the model had nothing to end
        await self._tasks.aclose()

    def update(self, options: SessionOptions) -> None:
        self.options = options
        self.inner.update(_text_only(options))

    # -- verbs -------------------------------------------------------------------------------------------------

    def create_response(self, options: ResponseOptions) -> None:
        modalities = self.options.modalities if options.modalities is None else options.modalities
        if "audio" not in modalities:
            self._silent.add(options.request_id)
        else:
            if options.draft is not None:
                self._drafts.add(options.request_id)
            if options.voice is not None:
                self._asked[options.request_id] = options.voice
        self.inner.create_response(replace(options, modalities=("text",)))

    def release_response(self, request_id: str) -> None:
        for speech in self._speeches.values():
            if speech.request_id == request_id:
                speech.draft = False
        self.inner.release_response(request_id)

    def cancel_response(self, response_id: str | None = None, *, reason: str = "client_cancelled") -> None:
        speeches = list(self._speeches.values())
        self.inner.cancel_response(response_id, reason=reason)
        for speech in speeches:
            # The model may have finished its text long ago; the speech ends now all the same.
            if speech.response_id in self._speeches and response_id in (None, speech.response_id):
                self._stop(speech, reason)

    def truncate_item(self, item_id: str, *, audio_end_ms: int, text: str | None = None) -> None:
        alignment = self._alignments.get(item_id)
        if text is None and alignment is not None:
            text = alignment.text_at(audio_end_ms)
        self.inner.truncate_item(item_id, audio_end_ms=audio_end_ms, text=text)

    # -- events of the model -----------------------------------------------------------------------------------

    def on_inner_event(self, event: RealtimeEvent) -> None:
        match event:
            case ResponseCreated(response_id=response_id, request_id=request_id):
                if request_id in self._silent:
                    self._silent.discard(request_id)
                else:
                    self._begin(response_id, request_id or "")
                self.emit(event)
            case TranscriptDelta(response_id=response_id) if response_id in self._speeches:
                self._hear_text(self._speeches[response_id], event)
            case OutputItemDone(response_id=response_id, item=Message()) if response_id in self._speeches:
                self._queue(self._speeches[response_id], event)
            case ItemAdded(item=Message() as item, response_id=response_id) if response_id in self._speeches:
                self.emit(replace(event, item=_as_audio(item, None)))
            case ItemDone(item=Message(), response_id=response_id) if response_id in self._speeches:
                self._queue(self._speeches[response_id], event)
            case ItemTruncated(item_id=item_id, text=text) if item_id == self._failed_item_id:
                # Not what was heard, but what was spoken at all.
                self._failed_item_id = ""
                spoken = AudioContent(text, event.audio_end_ms)
                self.emit(ItemDone(Message("assistant", (spoken,), item_id, "incomplete")))
            case ResponseDone(response_id=response_id) if response_id in self._speeches:
                self._response_done(self._speeches[response_id], event)
            case _:
                self.emit(event)

    def _begin(self, response_id: str, request_id: str) -> None:
        splitter = ClauseSplitter(first_words=self._model.first_words)
        draft = request_id in self._drafts
        self._drafts.discard(request_id)
        tts = self._voice(self._asked.pop(request_id, self.options.voice))
        self._speeches[response_id] = _Speech(response_id, request_id, splitter, tts, draft)

    def _voice(self, name: str | None) -> TTS:
        """The voice of that name; the default one where there is none, which is told once."""
        if name is None:
            return self._tts
        if (tts := self._voices.get(name)) is None:
            try:
                tts = self._tts.with_voice(name)
            except ConfigurationError as error:
                tts = self._tts
                self.emit(ErrorOccurred(error, "tts"))
            while len(self._voices) >= _VOICES_MAX:
                del self._voices[next(iter(self._voices))]
            self._voices[name] = tts
        return tts

    def _hear_text(self, speech: _Speech, event: TranscriptDelta) -> None:
        if speech.overflow:
            return
        if speech.item_id != event.item_id:
            self._flush_text(speech)
            speech.item_id = event.item_id
            self._remember(event.item_id)
        if speech.waiting_chars + len(event.delta) > self._model.max_reply_chars:
            speech.overflow = True
            self.inner.cancel_response(speech.response_id, reason="max_output_tokens")
            return
        speech.waiting_chars += len(event.delta)
        for piece in speech.splitter.push(event.delta):
            self._queue(speech, (speech.item_id, piece))

    def _flush_text(self, speech: _Speech) -> None:
        rest = speech.splitter.flush()
        if rest:
            self._queue(speech, (speech.item_id, rest))

    def _remember(self, item_id: str) -> None:
        while len(self._alignments) >= 64:
            del self._alignments[next(iter(self._alignments))]
        self._alignments[item_id] = Alignment()

    def _queue(self, speech: _Speech, piece: tuple[str, str] | RealtimeEvent) -> None:
        if not isinstance(piece, tuple):
            self._flush_text(speech)
        elif speech.first_clause and piece[1].strip():
            speech.first_clause = False
            self.emit(StageReached(speech.response_id, "first_clause", self.clock.now()))
        speech.pieces.append(piece)
        speech.wake.set()
        if speech.task is None:
            speech.task = self._tasks.spawn(self._speak(speech), name=f"spoken.{speech.response_id}")

    def _response_done(self, speech: _Speech, event: ResponseDone) -> None:
        if speech.failed:
            return  # its end is told by the one who failed it
        if event.status == "cancelled" and not speech.overflow:
            self._finish(speech, event)
            return
        self._flush_text(speech)
        if speech.task is None:
            self._finish(speech, event)  # nothing was said
        else:
            self._queue(speech, replace(event, status="incomplete") if speech.overflow else event)

    # -- the end of a speech -----------------------------------------------------------------------------------

    def _finish(self, speech: _Speech, done: ResponseDone) -> None:
        """Nothing of this response comes after this."""
        if self._speeches.pop(speech.response_id, None) is None:
            return
        if speech.task is not None and speech.task is not asyncio.current_task():
            speech.task.cancel()
        for piece in speech.pieces:
            if not isinstance(piece, tuple) and not isinstance(piece, ResponseDone):
                self._emit_tail(piece, cut=True)
        self.emit(done)

    def _stop(self, speech: _Speech, reason: str) -> None:
        done = next((piece for piece in speech.pieces if isinstance(piece, ResponseDone)), None)
        usage = done.usage if done is not None else ResponseDone(speech.response_id).usage
        self._finish(speech, ResponseDone(speech.response_id, "cancelled", reason, None, usage))

    def _emit_tail(self, event: RealtimeEvent, *, cut: bool = False) -> None:
        """An event about a finished item, which now is known to be speech; ``cut``: not all of it was spoken."""
        if isinstance(event, ItemDone | OutputItemDone) and isinstance(event.item, Message):
            alignment = self._alignments.get(event.item.id)
            duration_ms = None
            if alignment is not None:
                alignment.close()
                duration_ms = round(alignment.audio_ms)
            item = _as_audio(event.item, duration_ms)
            event = replace(event, item=replace(item, status="incomplete") if cut else item)
        self.emit(event)

    # -- speaking ----------------------------------------------------------------------------------------------

    async def _speak(self, speech: _Speech) -> None:
        try:
            while True:
                while not speech.pieces:
                    speech.wake.clear()
                    await speech.wake.wait()
                piece = speech.pieces.popleft()
                if isinstance(piece, tuple):
                    await self._speak_piece(speech, *piece)
                elif isinstance(piece, ResponseDone):
                    self._finish(speech, piece)
                    return
                else:
                    self._emit_tail(piece)
        except ReparteeError as error:
            self._fail(speech, error)

    async def _speak_piece(self, speech: _Speech, item_id: str, text: str) -> None:
        words = _Words(text)
        alignment = self._alignments.get(item_id) or Alignment()
        start_ms = last_ms = alignment.audio_ms
        placed = speech.tts.capabilities.word_times
        async with aclosing(speech.tts.synthesize(text)) as chunks:
            while (chunk := await self._next_chunk(chunks)) is not None:
                if speech.response_id not in self._speeches:
                    return
                if not placed:
                    # Not before there is sound: words that nobody could have heard are nobody's.
                    self._transcript(speech, item_id, alignment, words.take(len(text)), start_ms)
                for word in chunk.words:
                    last_ms = start_ms + word.start_ms
                    self._transcript(speech, item_id, alignment, words.take(word.text_end), last_ms)
                self._audio(speech, item_id, alignment, chunk.audio)
                await self._pace(speech)
        self._transcript(speech, item_id, alignment, words.take(len(text)), last_ms)
        # No words, but where the next will begin: so these are known to be over, however long the next take.
        end_ms = round(alignment.audio_ms, 3)
        alignment.add_text("", end_ms)
        self.emit(TranscriptDelta(speech.response_id, item_id, "", end_ms))
        speech.waiting_chars -= len(text)

    async def _next_chunk(self, chunks: AsyncGenerator[SpeechChunk, None]) -> SpeechChunk | None:
        limit_s = self._model.chunk_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await anext(chunks)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            raise ModelTimeoutError(
                f"the voice gave no sound for {limit_s:g} s; raise chunk_timeout_s of Spoken if that is usual for it",
                stage="tts",
            ) from None

    def _transcript(
        self, speech: _Speech, item_id: str, alignment: Alignment, text: str, start_ms: float
    ) -> None:
        if text:
            alignment.add_text(text, start_ms)
            self.emit(TranscriptDelta(speech.response_id, item_id, text, start_ms))

    def _audio(self, speech: _Speech, item_id: str, alignment: Alignment, audio: AudioFrame) -> None:
        if speech.started_s is None:
            speech.started_s = self.clock.now()
            self.emit(StageReached(speech.response_id, "first_audio", speech.started_s))
        position = round(alignment.audio_ms * audio.sample_rate / 1000.0)
        alignment.add_audio(audio.duration_s * 1000.0)
        speech.audio_s += audio.duration_s
        self.emit(AudioDelta(speech.response_id, item_id, audio.at(position)))

    async def _pace(self, speech: _Speech) -> None:
        """Let synthesis run ahead of real time only so far."""
        started = speech.started_s if speech.started_s is not None else self.clock.now()
        lead_s = speech.audio_s - (self.clock.now() - started)
        if lead_s > self._model.max_lead_s:
            await asyncio.sleep(lead_s - self._model.max_lead_s)

    # -- faults ------------------------------------------------------------------------------------------------

    def _fail(self, speech: _Speech, error: ReparteeError) -> None:
        """The voice failed: what was spoken stands, the rest was never said."""
        if speech.response_id not in self._speeches or speech.failed:
            return
        speech.failed = True
        if not speech.draft:
            self.emit(ErrorOccurred(error, "tts"))
        self.inner.cancel_response(speech.response_id, reason="tts_failed")
        self._finish(speech, ResponseDone(speech.response_id, "failed", "tts_failed", error))
        alignment = self._alignments.get(speech.item_id)
        if alignment is not None and not speech.draft:
            self._failed_item_id = speech.item_id
            spoken, length_ms = alignment.text.rstrip(), round(alignment.audio_ms)
            self.inner.truncate_item(speech.item_id, audio_end_ms=length_ms, text=spoken)

    def _crashed(self, error: Exception) -> None:
        failure = ModelError(f"the TTS plugin failed with {type(error).__name__}: {error}", stage="tts")
        for speech in tuple(self._speeches.values()):
            if speech.task is not None and speech.task.done():
                self._fail(speech, failure)


class _Words:
    """Hands out a text in slices that end behind given words."""

    __slots__ = ("_at", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def take(self, end: int) -> str:
        """From where the last slice ended to the end of the word that ends at ``end``, with the space behind it."""
        text, at = self._text, max(end, self._at)
        while at < len(text) and not text[at].isspace():
            at += 1
        while at < len(text) and text[at].isspace():
            at += 1
        piece, self._at = text[self._at : at], at
        return piece


def _text_only(options: SessionOptions) -> SessionOptions:
    return replace(options, modalities=("text",))


def _as_audio(message: Message, duration_ms: int | None) -> Message:
    return replace(message, content=(AudioContent(message.text, duration_ms),))
