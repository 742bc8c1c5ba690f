"""A `RealtimeModel` that converses as scripted, for tests of those who hold one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from repartee.audio import AudioFrame
from repartee.chat import AudioContent, ChatContext, FunctionCall, Item, Message, TextContent, new_id
from repartee.clock import Clock
from repartee.errors import ModelConnectionError, ModelError, ReparteeError, UsageError
from repartee.models import (
    PlaybackFinished,
    PlaybackReport,
    PlaybackStarted,
    RealtimeCapabilities,
    RealtimeModel,
    RealtimeSession,
    ResponseOptions,
    SessionOptions,
    Sink,
)
from repartee.models import events as ev
from repartee.testing.faults import Fault, FaultPlan
from repartee.testing.scripted_llm import Reply, ScriptError, as_reply, tokens_of
from repartee.testing.scripted_tts import ScriptedTTS
from repartee.testing.speech import Speech, SpeechDecoder
from repartee.testing.virtual_time import elapse

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["Disconnect", "Emit", "ScriptedRealtimeModel", "UserTurn", "VerbCall"]


@dataclass(frozen=True, slots=True)
class UserTurn:
    """The model hears a turn by its own turn detection, and answers it with its next reply."""

    text: str
    after_s: float = 0.0
    """How long after the step before (after `RealtimeSession.start`, for the first) the user begins."""
    words_per_s: float = 3.0
    silence_s: float = 0.3
    """How long after the last word the turn is committed."""
    responds: bool = True
    """Whether the model answers by itself."""


@dataclass(frozen=True, slots=True)
class Emit:
    """The model says these events, as they are."""

    events: tuple[ev.RealtimeEvent, ...]
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The connection breaks: a fatal error, and nothing more."""

    after_s: float = 0.0
    error: ReparteeError | None = None
    """Default: a `ModelConnectionError`."""


Step = UserTurn | Emit | Disconnect

_Piece = tuple[list[tuple[str, float | None]], bytes]
"""Words with their place in the audio (ms), and the audio that comes with them."""


@dataclass(frozen=True, slots=True)
class VerbCall:
    """One call of a session's verb."""

    at_s: float
    """Session time."""
    name: str
    arguments: dict[str, Any]


class ScriptedRealtimeModel(RealtimeModel):
    """Gives transcripts, speech, function calls and errors as scripted.

    Without turn detection it hears scripted speech (`repartee.testing.speech`) in what is appended, and answers when
    it is asked. With it, `UserTurn` steps say what it hears, whatever is appended. The script is one session's; a
    model with several sessions goes on with it from one to the next.

    Args:
        replies: the answers in order: text, a `Reply`, or a `FunctionCall`.
        steps: what happens by itself, one after another.
        turn_detection: as in `RealtimeCapabilities`. Default: whether there is a `UserTurn`.
        audio: whether it speaks (in sessions with the modality). Default: ``True``.
        transcription: whether it tells what it heard. Default: ``True``.
        transcript_lag_s: how long after a commit the transcript is complete. Default: 0.1.
        ttft_s: delay of the first words of an answer, and of its first audio. Default: 0.2.
        inter_token_s: delay of every other word or chunk of audio. Default: 0.02.
        voice: gives the audio. Default: ``ScriptedTTS()``.
        start_error: what `RealtimeSession.start` raises. Default: nothing.
        faults: a call is an answer (from 1), a result a word of it, or a chunk of audio where it speaks.
        strict: whether closing a session raises `ScriptError` when replies or steps are left. Default: ``True``.
    """

    def __init__(
        self,
        replies: Sequence[str | Reply | FunctionCall] = (),
        steps: Sequence[Step] = (),
        *,
        turn_detection: bool | None = None,
        audio: bool = True,
        transcription: bool = True,
        transcript_lag_s: float = 0.1,
        ttft_s: float = 0.2,
        inter_token_s: float = 0.02,
        voice: ScriptedTTS | None = None,
        start_error: ModelError | None = None,
        faults: Sequence[Fault] = (),
        strict: bool = True,
    ) -> None:
        self.voice = voice or ScriptedTTS()
        detects = any(isinstance(step, UserTurn) for step in steps)
        rate = self.voice.capabilities.sample_rate
        self.capabilities = RealtimeCapabilities(
            audio_input=True,
            audio_output=audio,
            transcription=transcription,
            turn_detection=detects if turn_detection is None else turn_detection,
            truncation=True,
            verbatim=True,
            input_sample_rate=rate,
            output_sample_rate=rate,
        )
        self.transcript_lag_s = transcript_lag_s
        self.ttft_s = ttft_s
        self.inter_token_s = inter_token_s
        self.start_error = start_error
        self.strict = strict
        self.plan = FaultPlan(faults, "realtime")
        self.replies = deque(replies)  # bounded by the script
        """Those that are left."""
        self.steps = deque(steps)  # bounded by the script
        """Those that are left."""
        self.answers = 0
        """How many answers were begun."""
        self.sessions: list[ScriptedRealtimeSession] = []
        """Every session, in order."""
        self.script_errors: list[ScriptError] = []
        """What was asked for and not scripted."""

    def session(self, options: SessionOptions, *, on_event: Sink, clock: Clock) -> ScriptedRealtimeSession:
        session = ScriptedRealtimeSession(self, options, on_event=on_event, clock=clock)
        self.sessions.append(session)
        return session

    def assert_consumed(self) -> None:
        """Check that the whole script was used, and nothing beyond it.

        Raises:
            ScriptError: replies or steps are left, or there were too few.
        """
        if self.script_errors:
            raise self.script_errors[0]
        left = [*self.replies, *self.steps]
        if left:
            raise ScriptError(f"{len(left)} of the script were never used: " + ", ".join(map(repr, left)))


@dataclass(slots=True)
class _Answer:
    """A live response."""

    id: str
    options: ResponseOptions
    task: asyncio.Task[None] | None = None
    message: Message | None = None
    text: str = ""
    audio_ms: float = 0.0
    spoken: bool = False


class ScriptedRealtimeSession(RealtimeSession):
    """A session of a `ScriptedRealtimeModel`. `calls` lists what its consumer did, audio aside."""

    def __init__(
        self, model: ScriptedRealtimeModel, options: SessionOptions, *, on_event: Sink, clock: Clock
    ) -> None:
        super().__init__(options, on_event=on_event, clock=clock)
        self._model = model
        self.calls: list[VerbCall] = []
        self.context = ChatContext()
        self.closed = False
        self.appended_samples = 0
        """How much audio was appended."""
        self._decoder = SpeechDecoder(model.capabilities.input_sample_rate)
        self._heard: list[str] = []
        self._item_id: str | None = None
        self._live: dict[str, _Answer] = {}
        self._playing: str | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}  # in the order in which they began

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._record("start")
        if self._model.start_error is not None:
            raise self._model.start_error
        self._spawn(self._run_steps(), "scripted.steps")

    async def aclose(self) -> None:
        if self.closed:
            return
        self._record("aclose")
        for answer in list(self._live.values()):
            self._end(answer, "cancelled", "session closed")
        self.closed = True
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._model.strict:
            self._model.assert_consumed()

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    def _record(self, name: str, **arguments: Any) -> None:
        self.calls.append(VerbCall(self.clock.now(), name, arguments))

    def calls_of(self, name: str) -> list[VerbCall]:
        """The calls of one verb."""
        return [call for call in self.calls if call.name == name]

    def _say(self, event: ev.RealtimeEvent) -> None:
        if not self.closed:
            self.emit(event)

    # -- the script ----------------------------------------------------------------------------------------------

    async def _run_steps(self) -> None:
        while self._model.steps:
            step = self._model.steps[0]
            if step.after_s:
                await elapse(step.after_s)
            match step:
                case UserTurn():
                    await self._user_turn(step)
                case Emit(events=events):
                    for event in events:
                        self._say(event)
                case Disconnect(error=error):
                    broken = error or ModelConnectionError("the scripted connection broke", stage="realtime")
                    for answer in list(self._live.values()):
                        self._end(answer, "failed", "connection_lost", broken)
                    self._say(ev.ErrorOccurred(broken, "realtime", fatal=True))
            self._model.steps.popleft()

    async def _user_turn(self, turn: UserTurn) -> None:
        item_id = new_id("item")
        start_s = self.clock.now()
        self._say(ev.SpeechStarted(item_id, start_s * 1000))
        for answer in list(self._live.values()):
            self._end(answer, "cancelled", "turn_detected")
        if self._playing is not None:
            self._say(ev.OutputClear(self._playing, "turn_detected"))
        heard: list[str] = []
        for word in Speech(turn.text, 0.0, turn.words_per_s).words:
            await elapse(word.end_s - word.start_s)
            heard.append(word.text)
            if self._model.capabilities.transcription:
                self._say(ev.InterimTranscript(item_id, " ".join(heard)))
        end_s = self.clock.now()
        await elapse(turn.silence_s)
        self._say(ev.SpeechStopped(item_id, end_s * 1000))
        self._commit(item_id, turn.text, round((end_s - start_s) * 1000), "end of turn")
        if turn.responds:
            self._answer(ResponseOptions(), None)

    # -- the user's audio ----------------------------------------------------------------------------------------

    def append_audio(self, frame: AudioFrame) -> None:
        self.appended_samples += frame.samples
        if self._model.capabilities.turn_detection:
            return
        words = self._decoder.feed(frame.data)
        self._heard += [word.text for word in words]
        if words and self._model.capabilities.transcription:
            if self._item_id is None:
                self._item_id = new_id("item")
            self._say(ev.InterimTranscript(self._item_id, " ".join(self._heard)))

    def begin_input(self, item_id: str) -> None:
        self._record("begin_input", item_id=item_id)
        self._item_id = item_id

    def commit_audio(self) -> None:
        self._record("commit_audio")
        text, self._heard = " ".join(self._heard), []
        item_id, self._item_id = self._item_id or new_id("item"), None
        self._commit(item_id, text, None, "manual")

    def _commit(self, item_id: str, text: str, duration_ms: int | None, reason: str) -> None:
        if self.closed:
            return
        previous = self.context.last_id
        item = Message("user", (AudioContent(None, duration_ms),), item_id)
        self._say(ev.InputCommitted(item_id, previous, reason))
        self.context.insert(item)
        self._say(ev.ItemAdded(item, previous))
        if self._model.capabilities.transcription:
            self._spawn(self._transcribe(item, text), "scripted.transcript")
        else:
            self._say(ev.ItemDone(item))

    async def _transcribe(self, item: Message, text: str) -> None:
        await elapse(self._model.transcript_lag_s)
        if item.id in self.context:
            item = item.with_text(text)
            self.context.replace(item)
            self._say(ev.TranscriptCompleted(item.id, text))
            self._say(ev.ItemDone(item))

    def clear_audio(self, *, reason: str = "client_cleared") -> None:
        self._record("clear_audio")
        self._heard.clear()
        self._decoder.finish()
        self._say(ev.InputCleared(reason))

    def settle_audio(self) -> None:
        self._record("settle_audio")

    # -- the conversation ----------------------------------------------------------------------------------------

    def create_item(self, item: Item, *, previous_item_id: str | None = None) -> None:
        self._record("create_item", item=item, previous_item_id=previous_item_id)
        try:
            self.context.insert(item, previous_item_id=previous_item_id)
        except UsageError as error:
            self._say(ev.ErrorOccurred(error, "realtime"))
            return
        self._say(ev.ItemAdded(item, self.context.previous_id(item.id)))
        self._say(ev.ItemDone(item))

    def delete_item(self, item_id: str) -> None:
        self._record("delete_item", item_id=item_id)
        try:
            self.context.delete(item_id)
        except UsageError as error:
            self._say(ev.ErrorOccurred(error, "realtime"))
            return
        self._say(ev.ItemDeleted(item_id))

    def truncate_item(self, item_id: str, *, audio_end_ms: int, text: str | None = None) -> None:
        self._record("truncate_item", item_id=item_id, audio_end_ms=audio_end_ms, text=text)
        item = self.context.get(item_id)
        if not isinstance(item, Message) or item.role != "assistant":
            error = UsageError(f"there is no assistant message {item_id!r} to truncate")
            self._say(ev.ErrorOccurred(error, "realtime"))
            return
        words = item.text if text is None else text
        if audio_end_ms <= 0 or not words:
            self.context.delete(item_id)
            self._say(ev.ItemDeleted(item_id))
            return
        self.context.replace(replace(item.with_text(words), interrupted=True, status="incomplete"))
        self._say(ev.ItemTruncated(item_id, audio_end_ms, words))

    # -- responses -----------------------------------------------------------------------------------------------

    def create_response(self, options: ResponseOptions) -> None:
        self._record("create_response", options=options)
        self._answer(options, options.request_id)

    def cancel_response(self, response_id: str | None = None, *, reason: str = "client_cancelled") -> None:
        self._record("cancel_response", response_id=response_id, reason=reason)
        for answer in list(self._live.values()):
            in_band = answer.options.conversation == "auto"
            if answer.id == response_id or (response_id is None and in_band):
                self._end(answer, "cancelled", reason)

    def report_playback(self, report: PlaybackReport) -> None:
        self._record("report_playback", report=report)
        if isinstance(report, PlaybackStarted):
            self._playing = report.response_id
        elif isinstance(report, PlaybackFinished) and self._playing == report.response_id:
            self._playing = None

    def _answer(self, options: ResponseOptions, request_id: str | None) -> None:
        answer = _Answer(new_id("resp"), options)
        busy = any(other.options.conversation == "auto" for other in self._live.values())
        self._live[answer.id] = answer
        self._say(ev.ResponseCreated(answer.id, request_id, options.metadata))
        if busy and options.conversation == "auto":
            error = UsageError("another response is live; wait for its end")
            self._end(answer, "failed", "conversation_already_has_active_response", error)
            return
        self._model.answers += 1
        if options.say is not None:
            reply = Reply(options.say)
        elif self._model.replies:
            reply = as_reply(self._model.replies.popleft())
        else:
            error_ = ScriptError(f"ScriptedRealtimeModel has no reply for answer {self._model.answers}")
            self._model.script_errors.append(error_)
            self._end(answer, "failed", "script", error_)
            return
        answer.task = self._spawn(self._generate(answer, reply, self._model.answers), f"scripted.{answer.id}")

    async def _generate(self, answer: _Answer, reply: Reply, call: int) -> None:
        options = answer.options
        modalities = self.options.modalities if options.modalities is None else options.modalities
        answer.spoken = self._model.capabilities.audio_output and "audio" in modalities
        given = 0
        try:
            pieces: list[_Piece | FunctionCall] = [*self._speech(answer, reply.text), *reply.calls]
            for piece in pieces:
                await self._model.plan.meet(call, given)
                await self._delay(reply, first=given == 0)
                given += 1
                self._give(answer, piece)
            await self._model.plan.meet(call, given)
        except ReparteeError as error:
            self._end(answer, "failed", "model_failed", error)
            return
        self._end(answer, "completed", usage_of=reply)

    async def _delay(self, reply: Reply, *, first: bool) -> None:
        own, default = (
            (reply.ttft_s, self._model.ttft_s) if first else (reply.inter_token_s, self._model.inter_token_s)
        )
        await elapse(default if own is None else own)

    def _speech(self, answer: _Answer, text: str) -> list[_Piece]:
        """The text as it goes out: words with their place, and the audio that comes with them."""
        if not answer.spoken:
            return [([(token, None)], b"") for token in tokens_of(text)]
        audio, words = self._model.voice.speak(text)
        pieces: list[_Piece] = []
        size = self._model.voice.chunk_bytes
        rate = self._model.capabilities.output_sample_rate
        at = 0
        for start in range(0, len(audio), size):
            end_ms = (start + size) // 2 * 1000 / rate
            inside: list[tuple[str, float | None]] = []
            for word in words:
                if word.text_start >= at and word.start_ms < end_ms:
                    inside.append((text[at : word.text_end], word.start_ms))
                    at = word.text_end
            pieces.append((inside, audio[start : start + size]))
        return pieces

    def _give(self, answer: _Answer, piece: _Piece | FunctionCall) -> None:
        if answer.id not in self._live:
            return
        if isinstance(piece, FunctionCall):
            self._add(answer, piece)
            half = len(piece.arguments) // 2
            for part in (piece.arguments[:half], piece.arguments[half:]):
                self._say(ev.CallArgumentsDelta(answer.id, piece.id, piece.call_id, piece.name, part))
            self._say(ev.ItemDone(piece, answer.id))
            self._say(ev.OutputItemDone(answer.id, piece))
            return
        if answer.message is None:
            content = (AudioContent(None),) if answer.spoken else ()
            answer.message = Message("assistant", content, status="in_progress")
            self._add(answer, answer.message)
        words, audio = piece
        for text, start_ms in words:
            answer.text += text
            self._say(ev.TranscriptDelta(answer.id, answer.message.id, text, start_ms))
        if audio:
            rate = self._model.capabilities.output_sample_rate
            frame = AudioFrame(audio, rate, position_samples=round(answer.audio_ms * rate / 1000))
            answer.audio_ms += frame.duration_s * 1000
            self._say(ev.AudioDelta(answer.id, answer.message.id, frame))

    def _add(self, answer: _Answer, item: Item) -> None:
        if answer.options.conversation == "auto":
            previous = self.context.last_id
            self.context.insert(item)
            self._say(ev.ItemAdded(item, previous, answer.id))

    def _end(
        self,
        answer: _Answer,
        status: Literal["completed", "cancelled", "failed"],
        reason: str = "",
        error: ReparteeError | None = None,
        *,
        usage_of: Reply | None = None,
    ) -> None:
        if self._live.pop(answer.id, None) is None:
            return
        if answer.task is not None and answer.task is not asyncio.current_task():
            answer.task.cancel()
        if answer.message is not None:
            duration_ms = round(answer.audio_ms) if answer.spoken else None
            content = AudioContent(answer.text, duration_ms) if answer.spoken else TextContent(answer.text)
            message = replace(
                answer.message,
                content=(content,),
                status="completed" if status == "completed" else "incomplete",
            )
            if message.id in self.context:
                self.context.replace(message)
                self._say(ev.ItemDone(message, answer.id))
            self._say(ev.OutputItemDone(answer.id, message))
        if error is not None and not isinstance(error, UsageError):
            self._say(ev.ErrorOccurred(error, "realtime"))
        usage = usage_of.usage if usage_of is not None else ev.ResponseDone(answer.id).usage
        self._say(ev.ResponseDone(answer.id, status, reason, error, usage))
