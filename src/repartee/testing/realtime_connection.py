"""One connection to a `ScriptedRealtimeServer`: frames in, frames out, over whatever carries them.

What the protocol demands is `Connection(SERVER)`'s affair. Here is what a server is besides: ears, a voice, something
to say, and a wire that may fail.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from repartee.chat import FunctionCall
from repartee.errors import ProtocolError
from repartee.protocol import events as ev
from repartee.protocol.codec import decode_client_event, encode, encode_object
from repartee.protocol.config import PcmaAudio, PcmAudio, PcmuAudio, ServerVad
from repartee.protocol.connection import Connection
from repartee.protocol.faults import SESSION_EXPIRED, Close, Fault
from repartee.protocol.item_writer import ItemWriter
from repartee.protocol.model import given
from repartee.protocol.response_writer import ResponseWriter
from repartee.protocol.responses import (
    CachedTokensDetails,
    InputTokenDetails,
    OutputTokenDetails,
    ResponseError,
    Usage,
)
from repartee.protocol.sessions import input_of, output_of, turn_detection_of
from repartee.testing.realtime_ears import Ears
from repartee.testing.realtime_faults import WireFaultPlan
from repartee.testing.realtime_replies import FailedReply, Question, ServerReplies, question_of
from repartee.testing.realtime_voice import Voice, coded_words, speak
from repartee.testing.scripted_llm import Reply, ScriptError
from repartee.testing.virtual_time import elapse

if TYPE_CHECKING:
    from repartee.protocol.responses import ResponseParams

__all__ = ["ServedConnection", "ServerManner", "Wire"]


class Wire(Protocol):
    """What carries frames to the client."""

    async def send(self, frame: bytes) -> None:
        """Send one text frame. Raises `ConnectionError` when the client is gone."""

    async def close(self, code: int, reason: str) -> None:
        """Close in order."""

    def abort(self) -> None:
        """Break, without a word."""

    def freeze(self) -> None:
        """Read nothing any more, not even pings."""


@dataclass(frozen=True, slots=True)
class ServerManner:
    """How a scripted server hears and speaks."""

    transcripts: tuple[str, ...] | None = None
    """What it takes callers to say, turn by turn. ``None``: what the code of scripted voices says."""
    voice: Voice = coded_words
    ms_per_word: int = 250
    """Pace of its speech."""
    chunk_ms: int = 100
    """Audio in one delta."""
    first_s: float = 0.02
    """From a request to the first delta."""
    chunk_s: float = 0.005
    """From one delta to the next: it speaks faster than is heard."""
    transcription_s: float = 0.01
    """From the commit to the end of a transcription."""
    transcripts_reordered: bool = False
    """Whether the transcription of each odd turn comes behind that of the next."""


class ServedConnection:
    """One connection, as the server sees it. Made by a `ScriptedRealtimeServer`.

    Args:
        number: which, from 1.
        protocol: the server's end.
        wire: to the client.
        replies: what is answered.
        manner: how.
        plan: what goes wrong.
    """

    def __init__(
        self,
        number: int,
        protocol: Connection,
        wire: Wire,
        replies: ServerReplies,
        manner: ServerManner,
        plan: WireFaultPlan,
    ) -> None:
        self.number = number
        self.protocol = protocol
        self.received: list[ev.ClientEvent] = []
        """Every event that the client sent and that could be read, in order."""
        self.sent: list[ev.ServerEvent] = []
        """Every event that went out, in order."""
        self.questions: list[Question] = []
        """What was asked of the model, in order."""
        self.script_errors: list[ScriptError] = []
        """Questions that the script had no reply to; the client got a failed response."""
        self.heard: dict[str, str] = {}
        """What was said in user messages of audio, by item id."""
        self.ended = asyncio.Event()
        """Set when nothing can come or go any more."""
        self._wire = wire
        self._replies = replies
        self._manner = manner
        self._plan = plan
        self._ears = Ears()
        self._item: ItemWriter | None = None
        self._held_transcript: asyncio.Event | None = None
        self._outbox: deque[tuple[Any, bytes]] = deque()  # bounded by what the script says
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer: asyncio.Task[None] | None = None
        self._dead: Literal["", "frozen", "gone"] = ""

    # -- its life ----------------------------------------------------------------------------------------------

    def start(self, *, limit_s: float | None = None, fault: Fault | None = None, **fields: Any) -> None:
        """Say ``session.created``, or why not.

        Args:
            limit_s: how long the session may last. Default: without end.
            fault: for which the client is turned away at once. Default: none.
            fields: what that fault's message names.
        """
        self._writer = self._spawn(self._write(), "write")
        if fault is not None:
            self.say(self.protocol.server.end(fault, **fields))
            return
        self.say(self.protocol.server.start())
        if limit_s is not None:
            self._spawn(self._expire_after(limit_s), "limit")

    async def aclose(self) -> None:
        """End all that goes on. The wire is closed by who opened it."""
        self._dead = "gone"
        self._outbox.clear()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self.ended.set()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=f"realtime_server.{self.number}.{name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "the scripted server failed", "exception": error, "task": task}
            asyncio.get_running_loop().call_exception_handler(context)

    async def _expire_after(self, limit_s: float) -> None:
        await elapse(limit_s)
        self.expire()

    # -- what a test makes it do -------------------------------------------------------------------------------

    def expire(self) -> None:
        """The session's time is up: an error, then close 1001."""
        if self.protocol.server.close is None:
            self._stop_work()
            self.say(self.protocol.server.end(SESSION_EXPIRED))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, once what was said is sent."""
        self._stop_work()
        self.protocol.server.close = Close(code, reason)
        self._wake.set()

    def _stop_work(self) -> None:
        for task in self._tasks - {self._writer, asyncio.current_task()}:
            task.cancel()

    def break_off(self) -> None:
        """Break the connection, without a close frame."""
        self._dead = "gone"
        self._wire.abort()
        self.ended.set()

    def inject(self, raw: dict[str, Any]) -> None:
        """Send any JSON, whether or not the protocol allows it."""
        self._outbox.append((raw, encode_object(raw)))
        self._wake.set()

    def fail(self, code: str, message: str, *, type: str = "server_error") -> None:
        """Send an ``error`` event that no client event is at fault for."""
        self.say([ev.Error(error=ev.ErrorDetails(type=type, code=code, message=message))], made=False)

    def count(self, event_type: str) -> int:
        """How many events of a type came from the client, or went to it."""
        return sum(_type_of(event) == event_type for event in [*self.received, *self.sent])

    # -- out ---------------------------------------------------------------------------------------------------

    def say(self, events: Iterable[Any], *, made: bool = True) -> None:
        """Send events.

        Args:
            events: in order.
            made: whether `protocol` has made them, and knows them. Default: yes.
        """
        for event in events:
            known = event if made else self.protocol.send(event)
            self._outbox.append((known, encode(known)))
        self._wake.set()

    async def _write(self) -> None:
        while not self._dead:
            while self._outbox and not self._dead:
                event, frame = self._outbox.popleft()
                if delay_s := self._plan.delay_s:
                    await elapse(delay_s)
                try:
                    await self._wire.send(frame)
                except ConnectionError:
                    self._dead = "gone"
                    break
                self.sent.append(event)
                self._meet(_type_of(event), sent=True)
            close = self.protocol.server.close
            if close is not None and not self._dead:
                self._dead = "gone"
                await self._wire.close(close.code, close.reason)
                self.ended.set()
                return
            self._wake.clear()
            if not self._outbox and not self._dead:
                await self._wake.wait()

    def _meet(self, event_type: str, *, sent: bool) -> bool:
        """Carry out the fault that is due. Returns whether that was the end."""
        due = self._plan.count(event_type, sent=sent)
        if due == "drop":
            self.break_off()
        elif due == "freeze":
            self._dead = "frozen"
            self._wire.freeze()
        return due is not None

    # -- in ----------------------------------------------------------------------------------------------------

    def receive(self, frame: bytes | str) -> None:
        """Take a frame from the client."""
        if self._dead:
            return
        if isinstance(frame, bytes) and not frame.startswith(b"{"):
            self.say(
                self.protocol.server.refuse(
                    ProtocolError("Frames must be text, one JSON object each.", code="invalid_event")
                )
            )
            return
        try:
            event = decode_client_event(frame)
        except ProtocolError as error:
            self.say(self.protocol.server.refuse(error))
            return
        self.received.append(event)
        if self._meet(_type_of(event), sent=False):
            return
        made = self.protocol.receive(event)
        self.say(made)
        if not any(isinstance(answer, ev.Error) for answer in made):
            self._follow(event, made)
        self._start_responses()

    def _follow(self, event: Any, made: Sequence[Any]) -> None:
        """What a client event means to ears and model."""
        match event:
            case ev.InputAudioBufferAppend(audio=audio):
                self._hear(audio)
            case ev.InputAudioBufferCommit():
                [committed] = [each for each in made if isinstance(each, ev.InputAudioBufferCommitted)]
                self._turn_over(self.protocol.server.user_item(committed.item_id))
            case ev.InputAudioBufferClear():
                self._ears.clear()
                self._item = None
            case ev.SessionUpdate():
                self._tune()
            case ev.SessionClose():
                self.say([ev.SessionClosed()], made=False)
                self.close()
            case _:
                pass

    def _tune(self) -> None:
        """Hear what the session's format says."""
        format, rate = _format_of(input_of(self.protocol.session).format)
        wanted = Ears(format, rate)
        if wanted.bytes_per_ms != self._ears.bytes_per_ms or format != self._ears.format:
            self._ears = wanted

    def _hear(self, audio: bytes) -> None:
        detection = turn_detection_of(self.protocol.session)
        silence_ms: int | None = None
        prefix_ms = 300
        if isinstance(detection, ServerVad):
            silence_ms = given(detection.silence_duration_ms, 500)
            prefix_ms = given(detection.prefix_padding_ms, 300)
        elif detection is not None:  # judged by silence too; what it says is not understood here
            silence_ms = {"low": 800, "high": 300}.get(given(getattr(detection, "eagerness", None), ""), 500)
        for found in self._ears.feed(audio, silence_ms=silence_ms, prefix_ms=prefix_ms):
            if found.kind == "started":
                self._item = self.protocol.server.user_item()
                self.say(self._item.speech_started(found.at_ms))
            elif found.kind == "word":
                self._tell_words(manual=silence_ms is None)
            elif found.kind == "stopped" and self._item is not None:
                item = self._item
                self.say([*item.speech_stopped(found.at_ms), *self._commit(item)])
        self._tell_words(manual=silence_ms is None)

    def _tell_words(self, *, manual: bool) -> None:
        """Transcribe while it is said, if the transcription streams.

        Without turn detection (``manual``) that is before the commit, of an item that nothing else has named yet.
        """
        if not self._streams_transcripts or (self._item is None and not manual):
            return
        words = self._ears.words
        if self._manner.transcripts is not None:
            words = self._scripted_words().split()[: self._ears.voiced_ms // self._manner.ms_per_word]
        for word in words[self._ears.told :]:
            if self._item is None:
                self._item = self.protocol.server.user_item()
            text = f" {word}" if self._ears.told else word
            self.say(self._item.transcript_started(text) if manual else self._item.transcript_delta(text))
            self._ears.told += 1

    def _scripted_words(self) -> str:
        scripted = self._manner.transcripts or ()
        return scripted[len(self.heard)] if len(self.heard) < len(scripted) else ""

    def _commit(self, item: ItemWriter) -> list[Any]:
        made = item.commit()
        self._turn_over(item)
        self._start_responses()
        return made

    def _turn_over(self, item: ItemWriter) -> None:
        """The turn has become an item: know what was said in it, and write it down if that is wanted."""
        told = self._ears.told
        words, audio = self._ears.take_turn()
        if self._manner.transcripts is not None:
            words = self._scripted_words()
        self._item = None
        self.heard[item.item_id] = words
        self.protocol.conversation.add_audio(item.item_id, 0, audio, bytes_per_ms=self._ears.bytes_per_ms)
        if self._transcriber is not None:
            seconds = len(audio) / self._ears.bytes_per_ms / 1000
            before, self._held_transcript = self._held_transcript, None
            mine = None
            if self._manner.transcripts_reordered and before is None:
                mine = self._held_transcript = asyncio.Event()
            self._spawn(self._transcribe(item, words, told, seconds, mine, before), "transcribe")

    # -- the caller's words ------------------------------------------------------------------------------------

    @property
    def _transcriber(self) -> str | None:
        wanted = input_of(self.protocol.session).transcription
        return given(getattr(wanted, "model", None), "") if wanted else None

    @property
    def _streams_transcripts(self) -> bool:
        name = self._transcriber
        return name is not None and ("realtime" in name or "live" in name)

    async def _transcribe(
        self,
        item: ItemWriter,
        words: str,
        told: int,
        seconds: float,
        hold: asyncio.Event | None,
        release: asyncio.Event | None,
    ) -> None:
        await elapse(self._manner.transcription_s)
        if hold is not None:
            await hold.wait()
        whole = "whisper-1" in (self._transcriber or "")
        for index, word in enumerate([words] if whole else words.split()):
            if index >= told:
                self.say(item.transcript_delta(f" {word}" if index else word))
        usage = ev.TranscriptionUsage(type="duration", seconds=seconds)
        self.say(item.transcript_completed(words, usage=usage))
        if release is not None:
            release.set()

    # -- answers -----------------------------------------------------------------------------------------------

    def _start_responses(self) -> None:
        while (writer := self.protocol.server.next_response()) is not None:
            self._spawn(self._respond(writer), "respond")

    def respond(self, params: ResponseParams | None = None) -> None:
        """Begin a response that nobody asked for."""
        writer, made = self.protocol.server.respond(params)
        self.say(made)
        self._spawn(self._respond(writer), "respond")

    async def _respond(self, writer: ResponseWriter) -> None:
        items = list(self.protocol.conversation)
        question = question_of(items, writer.params, self.heard, self.number)
        self.questions.append(question)
        try:
            reply = self._replies.find(question)
        except ScriptError as error:
            self.script_errors.append(error)
            reply = FailedReply("script_error", str(error))
        await elapse(reply.ttft_s if isinstance(reply, Reply) and reply.ttft_s else self._manner.first_s)
        if isinstance(reply, FailedReply):
            await self._speak(writer, reply.text)
            failed = reply.status == "failed"
            failure = ResponseError(type="server_error", code=reply.code, message=reply.message)
            self.say(
                writer.finish(
                    reply.status,
                    reason=None if failed else reply.code,
                    error=failure if failed else None,
                    usage=self._usage(question, reply.text),
                )
            )
            return
        await self._speak(writer, reply.text, reply.inter_token_s)
        if reply.text and not writer.finished:
            self.say(writer.end_message())
        for call in reply.calls:
            await self._call(writer, call)
        cut_off = writer.finished
        self.say(writer.finish(usage=self._usage(question, reply.text)))
        detection = turn_detection_of(self.protocol.session)
        idle_ms = given(detection.idle_timeout_ms, 0) if isinstance(detection, ServerVad) else 0
        if idle_ms and writer.in_conversation and not cut_off:
            played_ms = len(reply.text.split()) * self._manner.ms_per_word
            self._spawn(self._idle((played_ms + idle_ms) / 1000), "idle")

    async def _idle(self, wait_s: float) -> None:
        """Speak up, if nobody says anything for so long: the silence is committed as a turn."""
        before = len(self.questions), len(self.heard)
        start_ms = self._ears.position_ms
        await elapse(wait_s)
        if (len(self.questions), len(self.heard)) != before or self._ears.speaking:
            return
        item = self.protocol.server.user_item()
        silence = item.timeout_triggered(start_ms, self._ears.position_ms)
        self.say([*silence, *self._commit(item)])

    async def _speak(self, writer: ResponseWriter, text: str, step_s: float | None = None) -> None:
        step_s = self._manner.chunk_s if step_s is None else step_s
        if writer.modality == "text":
            for index, word in enumerate(text.split(" ") if text else ()):
                self.say(writer.text(f" {word}" if index else word))
                await elapse(step_s)
            return
        format, rate = _format_of(output_of(self.protocol.session).format)
        manner = self._manner
        for chunk in speak(
            text,
            voice=manner.voice,
            format=format,
            sample_rate=rate,
            ms_per_word=manner.ms_per_word,
            chunk_ms=manner.chunk_ms,
        ):
            if writer.finished:
                return
            if chunk.transcript:
                self.say(writer.transcript(chunk.transcript))
            self.say(writer.audio(chunk.audio))
            await elapse(step_s)

    async def _call(self, writer: ResponseWriter, call: FunctionCall) -> None:
        self.say(writer.begin_call(call.name, call_id=call.call_id))
        half = len(call.arguments) // 2
        for delta in (call.arguments[:half], call.arguments[half:]):
            if delta:
                self.say(writer.arguments(delta))
                await elapse(0)
        self.say(writer.end_call())

    def _usage(self, question: Question, text: str) -> Usage:
        """Tokens as they would be counted, roughly: one a word, one each 50 ms of speech."""
        words = len(text.split())
        spoken = words * self._manner.ms_per_word // 50
        asked = 10 + 4 * len(question.items)
        return Usage(
            total_tokens=asked + words + spoken,
            input_tokens=asked,
            output_tokens=words + spoken,
            input_token_details=InputTokenDetails(
                text_tokens=asked,
                audio_tokens=0,
                image_tokens=0,
                cached_tokens=0,
                cached_tokens_details=CachedTokensDetails(text_tokens=0, audio_tokens=0, image_tokens=0),
            ),
            output_token_details=OutputTokenDetails(text_tokens=words, audio_tokens=spoken),
        )


def _type_of(event: Any) -> str:
    if isinstance(event, dict):
        return str(event.get("type", ""))
    if isinstance(event, ev.UnknownEvent):
        return event.type
    return str(event.__struct_config__.tag)


def _format_of(format: object) -> tuple[Literal["pcm", "ulaw", "alaw"], int]:
    if isinstance(format, PcmuAudio):
        return "ulaw", 8000
    if isinstance(format, PcmaAudio):
        return "alaw", 8000
    return "pcm", given(format.rate, 24_000) if isinstance(format, PcmAudio) else 24_000
