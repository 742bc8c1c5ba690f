"""One conversation with a Realtime server, over as many connections as it takes.

Theory of operation. The session is a state, not a queue: its configuration, its history, the caller's audio that is in
no item yet, and the responses that were asked for. A connection is given that state when it opens, and every change of
it from then on. So losing one costs nothing but the time until the next: verbs that come in between change the state
as always. A reply that was on its way and of which nothing had come is asked for again, once; one of which something
had come ends there as incomplete, since saying it twice would be worse.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from repartee.chat import AudioContent, ChatContext, Item, Message
from repartee.clock import Clock
from repartee.errors import (
    AudioFormatError,
    ConfigurationError,
    ModelConnectionError,
    ModelError,
    ModelTimeoutError,
    ProtocolError,
    UsageError,
)
from repartee.models import RealtimeSession, ResponseOptions, SessionOptions, Sink
from repartee.models import events as ev
from repartee.models.history import apply_event
from repartee.plugins.openai.realtime.failures import advise, error_of, is_final, is_harmless
from repartee.plugins.openai.realtime.ids import Ids
from repartee.plugins.openai.realtime.incoming import Incoming
from repartee.plugins.openai.realtime.keeper import Keeper
from repartee.plugins.openai.realtime.mapping import tool_choice_of, tools_of, wire_item
from repartee.plugins.openai.realtime.options import changed_config, session_config, transcription_of
from repartee.plugins.openai.realtime.pending_audio import PendingAudio
from repartee.plugins.openai.realtime.responses import REQUEST_KEY, SAMPLE_RATE, Responses
from repartee.plugins.openai.realtime.waits import TurnWaits, Wait, Waits
from repartee.protocol import events as wire
from repartee.protocol.codec import decode_server_event, encode, encode_append
from repartee.protocol.config import AudioOutputConfig, Transcription
from repartee.protocol.model import UNSET, given
from repartee.protocol.responses import ResponseAudio, ResponseParams

if TYPE_CHECKING:
    from repartee.audio import AudioFrame
    from repartee.plugins.openai.realtime.keeper import Deadlines, Wire
    from repartee.plugins.openai.realtime.options import RealtimeOptions
    from repartee.plugins.openai.server import Server

__all__ = ["OpenAISession", "SessionOwner"]

_BYTES_PER_S = SAMPLE_RATE * 2
_MIN_COMMIT_BYTES = _BYTES_PER_S // 10  # less is an error at the server
_KEEP_AUDIO_BYTES = _BYTES_PER_S * 60
_IDLE_AUDIO_BYTES = _BYTES_PER_S  # what the server's detector may still be at work on
_UNSENT_MAX_BYTES = 2 * 1024 * 1024
_AT_ONCE_S = 0.004  # no microphone gives a frame so soon after the last one
_APPEND_BYTES = 10 * _BYTES_PER_S  # of one event, in a replay
_RESUME_S = 3.0  # a turn that goes on with a new connection is heard again by then


class SessionOwner(Protocol):
    """What a session needs of the model that made it."""

    options: RealtimeOptions
    server: Server
    deadlines: Deadlines

    async def open_wire(self) -> Wire:
        """A connection."""


class OpenAISession(RealtimeSession):
    """A conversation with a Realtime server. Made by `RealtimeModel.session`."""

    def __init__(self, model: SessionOwner, options: SessionOptions, *, on_event: Sink, clock: Clock) -> None:
        super().__init__(options, on_event=on_event, clock=clock)
        self._model = model
        self._accepted = options  # what a server has taken; an update that is refused goes back to it
        self._history = ChatContext()
        self._ids = Ids()
        self._audio = PendingAudio(
            _KEEP_AUDIO_BYTES, _IDLE_AUDIO_BYTES, server_commits=model.options.detects_turns
        )
        self._incoming = Incoming(self._tell, self._history, self._ids, self._audio)
        self._responses = Responses(
            self._tell,
            self._history,
            send_request=self._send_response,
            send_cancel=lambda remote_id: self._send(wire.ResponseCancel(response_id=remote_id)),
            send_delete=lambda remote_id: self._send(wire.ConversationItemDelete(item_id=remote_id)),
            now=clock.now,
            guess=not model.server.is_openai,
        )
        self._keeper = Keeper(self, model.open_wire, model.deadlines, clock)
        self._turns = TurnWaits(
            clock.now,
            self._ids.local,
            transcribes=isinstance(transcription_of(model.options, options), Transcription),
        )
        self._waits = Waits(clock, self._what_is_waited_for(model.deadlines))
        self._resume: asyncio.TimerHandle | None = None
        self._failed: ModelError | None = None
        self._closed = False
        self._said_once: set[str] = set()  # complaints that are made once until they are right again
        self._appended_bytes = 0
        self._piled: list[bytes] = []  # what came in one moment, until the loop's next turn
        self._sent_s = -1.0
        self._spoke = False  # the server has made audio on this connection: the voice is fixed

    # -- its life ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        try:
            await self._keeper.start()
        except ModelError as error:
            raise advise(error, self._model.server) from None

    async def aclose(self) -> None:
        if self._closed:
            return
        self._responses.connected = False
        self._responses.end_all("cancelled", "session closed")
        self._closed = True
        self._waits.close()
        if self._resume is not None:
            self._resume.cancel()
        await self._keeper.aclose()

    # -- for the keeper ----------------------------------------------------------------------------------------

    def replay(self) -> None:
        """Give a new connection the state of the conversation."""
        self._piled.clear()  # it is in that state
        turns, rest = self._audio.to_replay()
        replayed = sum(map(len, turns)) + len(rest)
        self._incoming.new_connection((self._appended_bytes - replayed) * 1000 / _BYTES_PER_S)
        self._spoke = False
        config = session_config(self._model.options, self.options)
        self._send(wire.SessionUpdate(session=config, event_id="update:first"))
        for item in self._history:
            self._send_item(item)
        for turn in turns:
            self._send_audio(turn)
            self._turns.committed_here()
            self._send(wire.InputAudioBufferCommit(event_id="commit:again"))
        if rest:
            self._send_audio(rest)
        self._responses.resume()
        self._waits.arm()
        if self._incoming.speech is not None:
            self._resume = asyncio.get_running_loop().call_later(_RESUME_S, self._give_up_speech)

    def _give_up_speech(self) -> None:
        self._resume = None
        if self._incoming.resumption_failed():
            self._audio.clear()

    def connection_lost(self) -> None:
        """The connection is gone, with all that was on its way."""
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        self._turns.connection_lost()
        self._responses.connection_lost(interrupted=self._incoming.speech is not None)

    def reconnected(self, reason: str, gap_s: float) -> None:
        """Another connection has taken over."""
        self._tell(ev.SessionReconnected(reason, gap_s))

    def gave_up(self, error: ModelError) -> None:
        """There will be no connection any more: say so once, and let nobody wait."""
        self._failed = advise(error, self._model.server)
        self._responses.connected = False
        self._responses.end_all("failed", "connection_lost", self._failed)
        self._tell(ev.ErrorOccurred(self._failed, "realtime", fatal=True))

    def is_quiet(self) -> bool:
        """Whether a new connection would cut nothing short."""
        open_turn = self._audio.open_bytes > 0 and self._audio.speaking
        return self._responses.idle and not open_turn and self._incoming.speech is None

    def greeting_error(self, frame: bytes) -> ModelError | None:
        """What is wrong, if the first frame of a connection says so."""
        try:
            event = decode_server_event(frame)
        except ProtocolError:
            return None
        return error_of(event, self._model.server) if isinstance(event, wire.Error) else None

    def take_frame(self, frame: bytes) -> None:
        """A frame of the server's."""
        if self._closed:
            return
        try:
            event = decode_server_event(frame)
        except ProtocolError as error:
            text = self._model.server.redact(f"the server sent what can't be read: {error}")
            self._tell(ev.ErrorOccurred(ModelError(text, stage="realtime", provider="openai"), "realtime"))
            return
        if type(event) is wire.ResponseOutputAudioDelta:
            self._spoke = True
            self._responses.audio(event)
            return  # nearly all frames; nothing else follows from one
        match event:
            case wire.SessionUpdated():
                self._accepted = self.options
                self._keeper.accept()
            case wire.Error():
                self._error(event)
            case wire.InputAudioBufferCommitted():
                self._incoming.receive(event)
                self._responses.owed = self._model.options.answers_turns
            case _:
                self._incoming.receive(event)
                self._responses.receive(event)
        self._turns.note(event)
        self._waits.arm()
        self._keeper.note_change()

    # -- the server's errors -----------------------------------------------------------------------------------

    def _error(self, event: wire.Error) -> None:
        if is_harmless(event):
            return
        error = error_of(event, self._model.server)
        kind, _, about = given(event.error.event_id, "").partition(":")
        if self._keeper.starting and (kind in ("", "update") or is_final(error)):
            error.recoverable = event.error.type == "server_error"
            self._keeper.refuse(error)
            return
        if is_final(error):
            self._keeper.give_up(error)
            return
        match kind:
            case "update":
                self.options = self._accepted
            case "create":
                self._item_refused(about)
            case "commit":
                self._turns.commit_ended()
                self._incoming.commit_refused()
                self._tell(ev.InputCleared("refused"))
            case "request" if self._responses.request_failed(about, error):
                return
            case _:
                pass
        self._tell(ev.ErrorOccurred(error, "realtime"))

    def _item_refused(self, item_id: str) -> None:
        self._incoming.forget(item_id)
        if item_id in self._history:
            self._tell(ev.ItemDeleted(item_id))

    def _tell(self, event: ev.RealtimeEvent) -> None:
        """Keep the history up to date, and pass an event on."""
        if self._closed:
            return
        if type(event) is not ev.AudioDelta:  # nearly all; and they change nothing that is kept here
            apply_event(self._history, event)
            if isinstance(event, ev.ItemDeleted):
                self._incoming.forget(event.item_id)
        self.emit(event)

    def _complain(self, what: str, error: UsageError | ModelError) -> None:
        """Emit an error about the caller's audio once, not fifty times a second."""
        if what not in self._said_once:
            self._said_once.add(what)
            self._tell(ev.ErrorOccurred(error, "input"))

    # -- deadlines ---------------------------------------------------------------------------------------------

    def _what_is_waited_for(self, deadlines: Deadlines) -> list[Wait]:
        responses, turns = self._responses, self._turns
        return [
            Wait(responses.oldest_s, deadlines.response_s, responses.time_out),
            Wait(responses.oldest_begun_s, deadlines.response_duration_s, responses.run_out),
            Wait(turns.oldest_commit_s, deadlines.commit_s, self._commit_timed_out),
            Wait(turns.oldest_words_s, deadlines.transcription_s, self._words_timed_out),
        ]

    def _commit_timed_out(self, _: float, limit_s: float) -> None:
        self._turns.commit_ended()
        self._incoming.commit_refused()
        text = (
            f"the server did not take a turn of the caller's within {limit_s:g} s, which is lost; raise "
            "commit_timeout_s if that is usual for it"
        )
        self._tell(ev.ErrorOccurred(ModelTimeoutError(text, stage="realtime", provider="openai"), "realtime"))
        self._tell(ev.InputCleared("timeout"))

    def _words_timed_out(self, before_s: float, limit_s: float) -> None:
        text = (
            f"the server has not written down a turn of the caller's within {limit_s:g} s; raise "
            "transcription_timeout_s if that is usual for it"
        )
        for item_id in self._turns.overdue_words(before_s):
            if item_id in self._history:
                self._tell(
                    ev.TranscriptFailed(item_id, ModelTimeoutError(text, stage="stt", provider="openai"))
                )

    # -- sending -----------------------------------------------------------------------------------------------

    def _send(self, event: wire.ClientEvent) -> None:
        if self._piled:
            self._send_piled()  # what was said before this goes before it
        if self._keeper.connected:
            self._keeper.send(encode(event))

    def _send_item(self, item: Item, previous_item_id: str | None = None) -> None:
        if not self._keeper.connected:
            return
        audio = self._audio.audio_of(item.id)
        made = wire_item(item, audio)
        if isinstance(item, Message) and not getattr(made, "content", True):
            return  # a turn without words and without audio: nothing to tell a server
        self._ids.sent(item.id)
        self._incoming.sent(item.id)
        previous = self._ids.remote(previous_item_id) if previous_item_id is not None else UNSET
        self._send(
            wire.ConversationItemCreate(item=made, previous_item_id=previous, event_id=f"create:{item.id}")
        )

    def _send_audio(self, pcm: bytes) -> None:
        if self._keeper.unsent_bytes > _UNSENT_MAX_BYTES:
            slow = ModelConnectionError(
                "the network takes less than the microphone gives; audio is dropped until it catches up",
                stage="realtime",
                provider="openai",
            )
            self._complain("slow", slow)
            return
        if self._said_once:
            self._said_once.discard("slow")
        if self._keeper.connected:
            for at in range(0, len(pcm), _APPEND_BYTES):
                self._keeper.send(encode_append(pcm[at : at + _APPEND_BYTES]))

    def _send_or_pile(self, pcm: bytes) -> None:
        """Send a frame at once, or with those that come in the same moment.

        An append costs about the same whatever its length (9 µs of CPU for 20 ms, 12 µs for 100 ms; measured by
        ``bench/realtime.py``), so 40 ms at once would halve that cost. But the first 20 of them would be late by the
        other 20, so no frame waits for the next one: only those that come at once (from before an onset, or what a
        device gives after a delay) go together, all but the first.
        """
        now = self.clock.now()
        if self._piled:
            self._piled.append(pcm)
        elif now - self._sent_s < _AT_ONCE_S:
            self._piled.append(pcm)
            asyncio.get_running_loop().call_soon(self._send_piled)
        else:
            self._send_audio(pcm)
        self._sent_s = now

    def _send_piled(self) -> None:
        if self._piled:
            pcm = b"".join(self._piled)
            self._piled.clear()
            self._send_audio(pcm)

    def _send_response(self, options: ResponseOptions) -> None:
        wanted = options.modalities
        audible = wanted is not None and "audio" in wanted and "audio" in self._model.options.modalities
        params = ResponseParams(
            conversation=options.conversation if options.conversation != "auto" else UNSET,
            input=[wire_item(item) for item in options.input] if options.input is not None else UNSET,
            instructions=options.instructions if options.instructions is not None else UNSET,
            output_modalities=UNSET if wanted is None else ["audio"] if audible else ["text"],
            audio=ResponseAudio(output=AudioOutputConfig(voice=options.voice)) if options.voice else UNSET,
            tools=tools_of(options.tools) if options.tools is not None else UNSET,
            tool_choice=tool_choice_of(options.tool_choice) if options.tool_choice is not None else UNSET,
            max_output_tokens=options.max_output_tokens if options.max_output_tokens is not None else UNSET,
            metadata={**options.metadata, REQUEST_KEY: options.request_id},
        )
        self._send(wire.ResponseCreate(response=params, event_id=f"request:{options.request_id}"))

    # -- verbs: configuration and audio ------------------------------------------------------------------------

    def update(self, options: SessionOptions) -> None:
        model = self._model.options
        if self._spoke and (options.voice or model.voice) != (self.options.voice or model.voice):
            # The server would drop the whole update for it, tools and all.
            options = replace(options, voice=self.options.voice)
            refused = ConfigurationError(
                f"the voice is fixed once it has spoken: it stays {options.voice or model.voice!r}, and the rest of "
                "the update counts; choose the voice before, or start a new session"
            )
            self._tell(ev.ErrorOccurred(refused, "session"))
        config = changed_config(model, self.options, options)
        self.options = options
        self._turns.transcribes = isinstance(transcription_of(model, options), Transcription)
        if config is not None:
            self._send(wire.SessionUpdate(session=config, event_id="update:later"))

    def begin_input(self, item_id: str) -> None:
        if not self._model.options.detects_turns:  # a server that takes turns names them
            self._incoming.open_turn = item_id

    def append_audio(self, frame: AudioFrame) -> None:
        if self._closed or self._failed is not None:
            return
        if frame.sample_rate != SAMPLE_RATE or frame.channels != 1:
            wrong = AudioFormatError(
                f"audio of {frame.sample_rate} Hz and {frame.channels} channels can't be sent; it must be mono of "
                f"{SAMPLE_RATE} Hz: resample it (AgentSession does)"
            )
            self._complain("format", wrong)
            return
        self._appended_bytes += len(frame.data)
        self._audio.append(frame.data)
        self._send_or_pile(frame.data)

    def commit_audio(self) -> None:
        if self._closed or self._failed is not None:
            return
        if self._audio.open_bytes == 0:
            self._tell(ev.InputCleared("no audio"))
            return
        missing = _MIN_COMMIT_BYTES - self._audio.open_bytes
        if missing > 0:
            self._audio.append(bytes(missing))
            self._send_or_pile(bytes(missing))
        self._audio.commit()
        self._incoming.committed_here()
        if self._keeper.connected:
            self._turns.committed_here()
            self._waits.arm()
        self._send(wire.InputAudioBufferCommit(event_id="commit:turn"))

    def clear_audio(self, *, reason: str = "client_cleared") -> None:
        self._audio.clear()
        self._incoming.open_turn = None
        self._send(wire.InputAudioBufferClear())
        self._tell(ev.InputCleared(reason))

    # -- verbs: the conversation -------------------------------------------------------------------------------

    def create_item(self, item: Item, *, previous_item_id: str | None = None) -> None:
        try:
            self._history.insert(item, previous_item_id=previous_item_id)
        except UsageError as error:
            self._tell(ev.ErrorOccurred(error, "session"))
            return
        self._send_item(item, previous_item_id)
        self._tell(ev.ItemAdded(item, self._history.previous_id(item.id)))
        self._tell(ev.ItemDone(item))

    def delete_item(self, item_id: str) -> None:
        if item_id not in self._history:
            unknown = UsageError(f"there is no item {item_id!r} to delete")
            self._tell(ev.ErrorOccurred(unknown, "session"))
            return
        self._send_delete(item_id)
        self._tell(ev.ItemDeleted(item_id))

    def _send_delete(self, item_id: str) -> None:
        remote_id = self._ids.remote(item_id)
        self._send(wire.ConversationItemDelete(item_id=remote_id, event_id=f"delete:{item_id}"))

    def truncate_item(self, item_id: str, *, audio_end_ms: int, text: str | None = None) -> None:
        item = self._history.get(item_id)
        if not isinstance(item, Message) or item.role != "assistant":
            unknown = UsageError(f"there is no assistant message {item_id!r} to truncate")
            self._tell(ev.ErrorOccurred(unknown, "session"))
            return
        spoken = next((part for part in item.content if isinstance(part, AudioContent)), None)
        known_ms = spoken.duration_ms if spoken is not None else None
        whole, received_ms = self._responses.received(item_id) or (item.text, known_ms)
        words = whole if text is None else text
        end_ms = audio_end_ms
        if spoken is not None and received_ms is not None:
            end_ms = min(audio_end_ms, received_ms)
        if end_ms <= 0 or not words:
            self.delete_item(item_id)
            return
        behind = self._history.previous_id(item_id)
        self._responses.truncated(item_id, words, end_ms)
        self._tell(ev.ItemTruncated(item_id, end_ms, words))
        cut = self._history.get(item_id)
        if spoken is not None and not self._incoming.is_own(item_id):
            self._send(
                wire.ConversationItemTruncate(
                    item_id=self._ids.remote(item_id),
                    content_index=0,
                    audio_end_ms=end_ms,
                    event_id=f"truncate:{item_id}",
                )
            )
        elif words != whole and cut is not None:
            self._send_delete(item_id)  # the server has it as text, of which it can't cut
            self._send_item(cut, behind if behind is not None else "root")

    # -- verbs: responses --------------------------------------------------------------------------------------

    def create_response(self, options: ResponseOptions) -> None:
        if self._closed or self._failed is not None:
            self._responses.refuse(options, self._failed)
            return
        self._responses.create(options)
        self._waits.arm()

    def cancel_response(self, response_id: str | None = None, *, reason: str = "client_cancelled") -> None:
        self._responses.cancel(response_id, reason)
        self._waits.arm()
