"""`ServedSession`: one client's session with a model.

Theory of operation. `protocol.Connection` decides what is legal and in which order it is told; a session of the model
below it holds the conversation that is answered; `Listening` hears the caller. This class is where their calls cross:
client events go to the connection, and what the connection makes of them is done to the model; the model's events
become the connection's. Each concern has its own module: `Answers` (responses), `InnerConversation` (the model's
items), `Transcripts` (the caller's words), `Observing` (events of our own), `Listeners` (who is told).
"""

# Fields of `ServerOptions` that are used here: context_tokens, response_stall_s, tool_s, kept_audio_bytes,
# append_bytes, frame_bytes.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from repartee.audio import AudioFrame, Resampler
from repartee.audio.g711 import encode
from repartee.chat import new_id
from repartee.clock import Clock
from repartee.errors import LocalProtocolError, ProtocolError, ReparteeError, UsageError
from repartee.models import RealtimeSession
from repartee.models import events as inner
from repartee.protocol import events as ev
from repartee.protocol.beta import BetaDialect
from repartee.protocol.codec import CodecLimits, decode_client_event, read_append
from repartee.protocol.config import RealtimeSession as RealtimeConfig
from repartee.protocol.config import SessionConfig
from repartee.protocol.connection import SERVER, Connection
from repartee.protocol.faults import INVALID_VALUE, Close, Fault
from repartee.protocol.items import FunctionCallOutput, InputImage, Item, Message, id_of
from repartee.protocol.model import UNSET, given, replace
from repartee.protocol.playback_writer import HeardItem
from repartee.protocol.responses import ResponseParams
from repartee.protocol.sessions import bytes_per_ms, input_of, turn_detection_of
from repartee.protocol.tables import SessionState
from repartee.protocol.tools import McpTool
from repartee.server.faults import filled
from repartee.server.options import ServerOptions
from repartee.server.recordings.recording import LogNotes, Recording
from repartee.server.served import Served
from repartee.server.sessions.answers import Answers, OutputSink
from repartee.server.sessions.inner_conversation import InnerConversation
from repartee.server.sessions.listeners import Listener, Listeners
from repartee.server.sessions.observing import Observing
from repartee.server.sessions.output_audio import law_of
from repartee.server.sessions.requests import session_options
from repartee.server.sessions.server_tools import ServerTools
from repartee.server.sessions.spoken_items import frames_of, sound_of
from repartee.server.sessions.transcripts import Transcripts
from repartee.server.sessions.usage import TokenBudget

if TYPE_CHECKING:
    from repartee.observe.log import SessionLog

__all__ = ["Ears", "Listener", "OutputSink", "ServedSession"]

SILENCE_HINT: Final = (
    "The user has said nothing for a while. Say one short sentence: offer to go on, or ask whether they are still "
    "there."
)
"""Behind the instructions of the response after an idle timeout."""

MODEL_FAILED: Final = Fault(
    "model_unavailable", "{reason}", type="server_error", close=Close(1011, "The model is not available.")
)


class Ears(Protocol):
    """What `ServedSession` needs of `Listening`."""

    def configure(self, session: SessionConfig) -> None:
        """The session has changed."""

    def append(self, audio: bytes) -> None:
        """More audio, in the session's input format."""

    def commit(self, item_id: str | None = None) -> bytes:
        """The client ends the turn, which becomes that item: what was heard, as on the wire."""

    def clear(self) -> None:
        """Drop what was not committed."""

    def on_event(self, event: inner.RealtimeEvent) -> None:
        """An event of the model's."""

    def response_begins(self) -> None:
        """A response begins."""

    def output_ends(self, at_s: float) -> None:
        """What was said will have been heard then."""

    async def aclose(self) -> None:
        """Release everything."""


class ServedSession:
    """One client's session with a model.

    Args:
        served: what is served.
        config: the session as it begins (`repartee.protocol.sessions.default_session`).
        clock: session time, from the event loop's.
        options: limits.
        output: what plays on the server (WebRTC). Default: nothing, audio goes to the client as events.
        log: where every event of the model is recorded, instead of a recording's. Default: nowhere.
        budget: tokens that the client's key may spend. Default: no limit.
        recording: what is said, and the log's events, are noted there. Default: nowhere.
        ears: makes the session's ears. Default: `Listening`.
    """

    def __init__(
        self,
        served: Served,
        *,
        config: SessionConfig,
        clock: Clock,
        options: ServerOptions,
        output: OutputSink | None = None,
        log: SessionLog | None = None,
        budget: TokenBudget | None = None,
        recording: Recording | None = None,
        ears: Callable[[ServedSession], Ears] | None = None,
    ) -> None:
        self.served = served
        self.clock = clock
        self.output = output
        self.id = str(getattr(config, "id", ""))
        self.ended = asyncio.Event()
        """Set when nothing is said any more."""
        self._notes: Recording | LogNotes | None = recording
        if log is not None:
            self._notes = LogNotes(log)
        self._budget = budget
        ids = _Ids()
        self.connection = Connection(
            SERVER, session=config, new_id=ids, audio_bytes_max=options.kept_audio_bytes
        )
        self.connection.server.playback.heard = self._cut_playback
        self._limits = CodecLimits(append_bytes=options.append_bytes, frame_bytes=options.frame_bytes)
        self._listeners = Listeners(sends_audio=output is None)
        self.observing = Observing(self._listeners, clock=clock, new_id=ids)
        self.conversation = InnerConversation(
            self.connection.conversation,
            keeps_turns=self.connection.kind == "realtime",
            hears=self._hear_item,
            on_nothing_said=lambda item_id: self._transcripts.completed(item_id, ""),
        )
        self._transcripts = Transcripts(self.connection, self.tell)
        self._tools = ServerTools(
            (*served.tools, *served.model.default_tools),
            session=self,
            userdata=served.userdata_for(config),
            timeout_s=options.tool_s,
            on_failure=lambda error: self.fail(error, "tool"),
        )
        self._answers = Answers(
            self,
            tools=self._tools,
            stall_s=options.response_stall_s,
            context_tokens=options.context_tokens,
            budget=budget,
        )
        self.inner: RealtimeSession = served.model.session(
            session_options(config, served), on_event=self._on_inner_event, clock=clock
        )
        self.conversation.use(self.inner)
        self._ears: Ears = (ears or _listening)(self)
        self._microphone: Resampler | None = (
            None  # where the session's format is G.711 and the caller's isn't
        )
        self._silent_item: str | None = None  # the turn of an idle timeout
        self._closed = False

    # -- clients -----------------------------------------------------------------------------------------------

    def attach(
        self, listener: Listener, *, sideband: bool = False, dialect: BetaDialect | None = None
    ) -> None:
        """Add a client.

        Args:
            listener: the client. The main one is attached before `start`, and so is told ``session.created``.
            sideband: it gets no audio.
            dialect: what it speaks, if not GA.
        """
        self._listeners.add(listener, sideband=sideband, dialect=dialect)

    def detach(self, listener: Listener) -> None:
        """Remove a client that has gone."""
        self._listeners.remove(listener)

    # -- its life ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Say ``session.created`` (at once), then get the model ready.

        Never raises: what fails is told to the client, and ends the session. Client events may come meanwhile.
        """
        self._begin()
        try:
            await self.inner.start()
        except ReparteeError as error:
            self.fail(error, getattr(error, "stage", "session"))
            self._model_gone(error)

    def _begin(self) -> None:
        if self.connection.state is SessionState.CONNECTING:
            self.tell(self.connection.server.start())
            self._configure()
            for item in self.served.history:
                self.inner.create_item(item)

    def _model_gone(self, error: ReparteeError) -> None:
        """There is nobody to talk to."""
        self.end(filled(MODEL_FAILED, reason=f"The model is not available: {error}"))

    def end(self, fault: Fault) -> None:
        """End the session: an error, then the connections are closed. What goes on is released by `aclose`."""
        if self._closed or self.ended.is_set():
            return
        self._answers.close()
        self.observing.close()
        self.tell(self.connection.server.end(fault))
        self._close_connections()

    def _close_connections(self) -> None:
        close = self.connection.server.close
        if close is not None and not self.ended.is_set():
            self.ended.set()
            self._listeners.close(close.code, close.reason)

    async def aclose(self) -> None:
        """Release everything. Idempotent; says nothing."""
        if self._closed:
            return
        self._closed = True
        if self._notes is not None:
            self._notes.close()
        self._answers.close()
        self.observing.close()
        await self._ears.aclose()
        await self._tools.aclose()
        await self.inner.aclose()
        self._forget_audio()
        self.ended.set()

    def _forget_audio(self) -> None:
        """Give back what takes most memory at once; the rest of the session waits for the collector."""
        conversation = self.connection.conversation
        for item_id in conversation.ids:
            entry = conversation.entry(item_id)
            if entry is not None:
                entry.audio.clear()

    def fail(self, error: ReparteeError, stage: str) -> None:
        """Something failed: ordinary clients see only what becomes of it."""
        self.observing.error(stage, str(error))
        if self._notes is not None:
            occurred = inner.ErrorOccurred(error, stage)  # type: ignore[arg-type]  # a stage of errors.Stage
            self._notes.record(self.clock.now(), occurred)

    # -- what is said ------------------------------------------------------------------------------------------

    def tell(self, events: Iterable[ev.ServerEvent]) -> None:
        """Send events from which nothing follows for the model."""
        if self._closed:
            return
        if self._notes is not None:
            events = list(events)
            self._notes.told(events)
        self._listeners.tell(events)

    def say(self, events: Iterable[ev.ServerEvent]) -> None:
        """Send events, and do what follows from them: to the model's conversation, and to responses that are over."""
        for event in events:
            if isinstance(event, ev.ResponseDone):
                if event.response.usage is None:
                    usage = self._answers.usage_of(str(event.response.id))
                    event = replace(event, response=replace(event.response, usage=usage))
                self.tell([event])
                self._answers.over(event.response)
            elif isinstance(event, ev.RateLimitsUpdated) and self._budget is not None:
                self.tell([replace(event, rate_limits=[self._budget.rate_limit(self.clock.now())])])
            else:
                self.tell([event])
                self.conversation.follow(event)
                if isinstance(event, ev.ConversationItemAdded) and isinstance(event.item, FunctionCallOutput):
                    self.observing.output(event.item.call_id)

    # -- what clients say --------------------------------------------------------------------------------------

    def receive(self, frame: bytes | str, listener: Listener) -> None:
        """Take one frame of a client's; never raises for what is in it."""
        if self._closed or self.ended.is_set():
            return
        audio = read_append(frame, self._limits)
        if audio is not None and self.connection.server.take_audio(audio):
            self._hear(audio)
            return
        self._begin()  # it may come before `start` has run
        dialect = self._listeners.dialect_of(listener) if self._listeners.translates else None
        try:
            if dialect is None:
                received = [decode_client_event(frame, self._limits)]
            else:
                received = dialect.decode_client_event(frame, self._limits)
        except ProtocolError as error:
            self.tell(self.connection.server.refuse(error))
            return
        for event in received:
            self._receive(event)

    def _receive(self, event: Any) -> None:
        connection = self.connection
        if type(event) is ev.InputAudioBufferAppend:
            made = connection.receive(event)
            if made:
                self.tell(made)
            else:
                self._hear(event.audio)
            return
        try:
            self._check(event)
        except ProtocolError as error:
            self.tell(connection.server.refuse(error, given(event.event_id, None) or None))
            return
        unnamed = self._take_name(event)
        made = connection.receive(event)
        self.say(made)
        if not (made and isinstance(made[-1], ev.Error)):
            self._follow(event, made)
        elif unnamed is not None:
            connection.flow.session = unnamed
        self._answers.begin_all()

    def _hear(self, audio: bytes) -> None:
        """More of the caller's audio, as on the wire."""
        if self._notes is not None:
            self._notes.caller(audio)
        self._ears.append(audio)

    def _take_name(self, event: Any) -> SessionConfig | None:
        """Let a client that came without a model's name give one now; the session without it, if it does."""
        session = self.connection.session
        name = getattr(event.session, "model", None) if isinstance(event, ev.SessionUpdate) else None
        if not self.served.any_name or not isinstance(name, str) or not isinstance(session, RealtimeConfig):
            return None
        if session.model != self.served.name or name in ("", session.model):
            return None
        self.connection.flow.session = replace(session, model=name)
        return session

    def _check(self, event: Any) -> None:
        """What is not allowed here, or what this model can't do, though the protocol can.

        Raises:
            ProtocolError: that.
        """
        self.served.policy.check(event, self.connection.session)
        if self.served.model.capabilities.images:
            return
        items: dict[str, Any] = {}
        if isinstance(event, ev.ConversationItemCreate):
            items = {"item": event.item}
        elif isinstance(event, ev.ResponseCreate) and isinstance(event.response, ResponseParams):
            inputs = given(event.response.input, []) or []
            items = {f"response.input[{index}]": item for index, item in enumerate(inputs)}
        for path, item in items.items():
            for index, part in enumerate(item.content if isinstance(item, Message) else ()):
                if isinstance(part, InputImage):
                    where = f"{path}.content[{index}].type"
                    raise INVALID_VALUE.error(param=where, detail="this model takes no images")

    def _follow(self, event: Any, made: list[ev.ServerEvent]) -> None:
        """What a client event means besides its answer."""
        match event:
            case ev.SessionUpdate():
                self._configure()
                self._refuse_mcp_servers(event)
            case ev.InputAudioBufferCommit():
                [committed] = [each for each in made if isinstance(each, ev.InputAudioBufferCommitted)]
                self._committed(committed.item_id, self._ears.commit(committed.item_id))
            case ev.InputAudioBufferClear():
                self._transcripts.cleared()
                self._ears.clear()
            case ev.OutputAudioBufferClear():
                self._silence()
            case _:
                pass

    def _configure(self) -> None:
        session = self.connection.session
        assert session is not None
        self.conversation.changes += 1
        options = session_options(session, self.served)
        if options != self.inner.options:
            self.inner.update(options)
        if self._notes is not None:
            self._notes.configure(session)
        self._transcripts.configure()
        self._ears.configure(session)

    def _refuse_mcp_servers(self, event: ev.SessionUpdate) -> None:
        """Nobody here asks MCP servers for their tools: say so in the protocol's way."""
        for tool in given(getattr(event.session, "tools", None), None) or ():
            if isinstance(tool, McpTool) and self.connection.kind == "realtime":
                writer, made = self.connection.server.list_mcp_tools(tool.server_label)
                self.say([*made, *writer.failed()])

    def _hear_item(self, item: Item) -> bool:
        """Have the model hear a message that the client created with its sound; whether there is any to be heard."""
        connection = self.connection
        audio = sound_of(item, connection.conversation)
        able = self.served.model.capabilities
        item_id = id_of(item)
        if not audio or item_id is None or not able.audio_input:
            return False
        if connection.flow.input_item_id is not None or connection.server.buffered_bytes:
            busy = UsageError(
                "a message with sound came while the caller's turn was open: its words are not known"
            )
            self.fail(busy, "input")
            return False
        format = input_of(connection.session).format
        self.conversation.heard_as_turn(item_id)
        self.inner.begin_input(item_id)
        for frame in frames_of(audio, format, able.input_sample_rate):
            self.inner.append_audio(frame)
        self._transcripts.committed(item_id, len(audio) / bytes_per_ms(format) / 1000)
        self.inner.commit_audio()
        return True

    def _committed(self, item_id: str, audio: bytes) -> None:
        """A turn became an item: keep its audio, and know how long it is."""
        rate = bytes_per_ms(input_of(self.connection.session).format)
        conversation = self.connection.conversation
        entry = conversation.entry(item_id)
        if audio and entry is not None and not entry.audio_bytes:
            conversation.add_audio(item_id, 0, audio, bytes_per_ms=rate)
        self._transcripts.committed(item_id, len(audio) / rate / 1000)

    def hear(self, audio: bytes) -> None:
        """Take audio from a microphone that the server hears itself (WebRTC): PCM16 at 24 kHz."""
        if not self._closed and not self.ended.is_set():
            if self._notes is not None:
                self._notes.caller(audio, wire=False)
            if (law := law_of(input_of(self.connection.session).format)) is not None:
                self._microphone = self._microphone or Resampler(24_000, 8000)
                audio = encode(self._microphone.push(AudioFrame(audio, 24_000)).data, law)
            self.connection.server.buffered_bytes += len(audio)
            self._ears.append(audio)

    # -- what the model says -----------------------------------------------------------------------------------

    def _on_inner_event(self, event: inner.RealtimeEvent) -> None:
        if self._closed:
            return
        if self._notes is not None:
            self._notes.record(self.clock.now(), event)
        if self.ended.is_set():
            return
        if not self._answers.holds(event):
            self.take(event)
        elif type(event) is inner.ResponseCreated:
            self._ears.on_event(event)  # they have asked for it

    def take(self, event: inner.RealtimeEvent) -> None:
        """An event of the model's."""
        kind = type(event)
        if kind is inner.AudioDelta:
            self._answers.on_event(event)  # nearly all events; nothing else follows from one
            return
        self.conversation.on_event(event)
        match event:
            case inner.ErrorOccurred(error=error, stage=stage, fatal=fatal):
                self.observing.error(stage, str(error))
                if fatal:
                    self._model_gone(error)
            case inner.InterimTranscript(item_id=item_id, text=text, stable_chars=stable_chars):
                self.observing.interim(item_id, text, stable_chars)
                self._transcripts.on_event(event)
            case inner.TranscriptCompleted():
                self._transcripts.on_event(event)
            case inner.TranscriptFailed():
                self._transcripts.on_event(event)
                self._answers.words_lost()
            case _:
                self._answers.on_event(event)
        self._ears.on_event(event)

    def response_begins(self) -> None:
        """A response begins in the conversation."""
        self._ears.response_begins()

    def output_ends(self, at_s: float) -> None:
        """What was said will have been heard then."""
        self._ears.output_ends(at_s)

    # -- for an OutputSink -------------------------------------------------------------------------------------

    def playback_started(self, response_id: str) -> None:
        """The first audio of a response is heard."""
        if not self._closed and not self.ended.is_set():
            self._tell_playback(lambda: self.connection.server.playback.started(response_id))

    def playback_stopped(self, response_id: str) -> None:
        """A response was heard to its end."""
        if self._closed or self.ended.is_set():
            return
        if self.connection.server.playback.response_id == response_id:
            self._tell_playback(self.connection.server.playback.stopped)
        self.observing.agent("listening")
        self._ears.output_ends(self.clock.now())

    def _tell_playback(self, write: Callable[[], list[ev.ServerEvent]]) -> None:
        try:
            self.say(write())
        except LocalProtocolError as error:  # what was played and what was said have crossed
            self.fail(error, "output")

    def heard(self, item_id: str, ms: int) -> None:
        """So much of an item's audio was heard."""
        self.observing.heard(item_id, ms)

    def _silence(self) -> None:
        """Drop also what was written for the output and has not begun to be heard."""
        cut = self._cut_playback()
        if cut is not None and cut.item_id in self.connection.conversation:
            truncated = ev.ConversationItemTruncated(
                item_id=cut.item_id, content_index=0, audio_end_ms=max(0, cut.audio_end_ms)
            )
            self.say([self.connection.send(truncated)])

    def _cut_playback(self) -> HeardItem | None:
        """Stop what is played, for an interruption; how far it was heard."""
        cut = self.output.clear() if self.output is not None else None
        return HeardItem(cut[1], cut[2]) if cut is not None else None

    # -- for Listening (`ListeningOwner`) ----------------------------------------------------------------------

    def speech_started(self, item_id: str, audio_start_ms: int) -> None:
        """The caller began to speak; a response that may be interrupted is cut off."""
        if self._closed or self.ended.is_set():
            return
        self.conversation.turn_begins()
        self.observing.user("speaking")
        self.say(self.connection.server.user_item(item_id).speech_started(audio_start_ms))
        detection = turn_detection_of(self.connection.session)
        if given(getattr(detection, "interrupt_response", UNSET), True):
            self._silence()

    def speech_stopped(self, item_id: str, audio_end_ms: int) -> None:
        """The caller's turn is over; `turn_over` follows."""
        if not self._closed and not self.ended.is_set():
            self.observing.user("listening")
            self.tell(self.connection.server.user_item(item_id).speech_stopped(audio_end_ms))

    def turn_ends(self, item_id: str, reason: str, speech_end_s: float) -> None:
        """Why the caller's turn ends, and the session time of their last speech."""
        if not self._closed and not self.ended.is_set():
            self.observing.turn(item_id, reason, speech_end_s)

    def turn_over(self, item_id: str, audio: bytes, *, respond: bool | None, draft: str | None) -> None:
        """The caller's turn becomes an item. Listening has called ``inner.commit_audio`` itself, just before.

        Args:
            item_id: of the turn.
            audio: as on the wire.
            respond: whether it is answered. ``None``: as the session says.
            draft: the request of an answer that was prepared. ``None``: none was.
        """
        if self._closed or self.ended.is_set():
            return
        if respond is False and self.conversation.was_lost(item_id):
            respond = None  # they have said something: a response says what is wrong
        if respond is False:
            self.observing.unanswered()
        hint = SILENCE_HINT if item_id == self._silent_item else ""
        self._silent_item = None
        self.say(self.connection.server.user_item(item_id).commit(audio, respond=respond))
        self._committed(item_id, audio)
        self._answers.begin_all(draft=draft, hint=hint)

    def idle_timeout(self, item_id: str, audio_start_ms: int, audio_end_ms: int) -> None:
        """Nobody has said anything for the idle timeout; `turn_over` follows, and the model speaks up."""
        if not self._closed and not self.ended.is_set():
            self._silent_item = item_id
            writer = self.connection.server.user_item(item_id)
            self.tell(writer.timeout_triggered(audio_start_ms, audio_end_ms))

    def observe(self, event: inner.RealtimeEvent) -> None:
        """Something of the ears', for observers and the log."""
        if self._notes is not None:
            self._notes.record(self.clock.now(), event)
        match event:
            case inner.EndOfTurnPredicted(item_id=item_id, probability=probability, text=text):
                self.observing.end_of_turn(item_id, probability, text)
            case inner.ErrorOccurred(error=error, stage=stage):
                self.observing.error(stage, str(error))
            case _:
                pass


class _Ids:
    """Ids: those of events count (there are many, and nobody has to guess them), all others are random."""

    def __init__(self) -> None:
        self._prefix = new_id("event")[:-8]
        self._count = 0

    def __call__(self, prefix: str) -> str:
        if prefix != "event":
            return new_id(prefix)
        self._count += 1
        return f"{self._prefix}{self._count:08d}"


def _listening(session: ServedSession) -> Ears:
    from repartee.server.hearing.listening import Listening

    return Listening(session, session.served, clock=session.clock)
