"""`Transcriber`: recognition through a transcription session of the Realtime protocol, while one speaks.

*Theory of operation.* A stream has one connection, over the same `Keeper` as a speech-to-speech session: it is opened
with the stream, found dead, replaced and moved on before its planned end by the same rules. A stream's state is its
segments, each with its audio until its words are final; a new connection is given the others, and reads them again.

The server knows items, we know segments. It deals with commits and clears in the order in which they were sent and
acknowledges each, so an item that nobody has heard of belongs to the first of them that is not acknowledged, or, if
all are, to the segment that is open (`_Connection`). Words come to whoever listens in the order of the segments.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

from repartee.audio import AudioFrame, Resampler, peak_dbfs
from repartee.clock import Clock
from repartee.errors import (
    AudioFormatError,
    MissingDependencyError,
    ModelError,
    ModelTimeoutError,
    ProtocolError,
)
from repartee.models import Final, Interim, STTEvent, STTStream
from repartee.plugins.openai.realtime.address import link_request
from repartee.plugins.openai.realtime.dialect import speaking_beta
from repartee.plugins.openai.realtime.failures import advise, error_of, is_final, is_harmless
from repartee.plugins.openai.realtime.keeper import (
    Keeper,
    Wire,
    checked_deadlines,
    checked_seconds,
    open_wire,
)
from repartee.plugins.openai.realtime.link import Connector, connect
from repartee.plugins.openai.realtime.spares import Spares
from repartee.plugins.openai.realtime.waits import Wait, Waits
from repartee.plugins.openai.server import Server
from repartee.protocol import config
from repartee.protocol import events as wire
from repartee.protocol.codec import decode_server_event, encode
from repartee.protocol.model import Maybe, given

__all__ = ["ConnectionArguments", "Transcriber", "TranscriptionOptions"]

_LOG = logging.getLogger("repartee.openai")

SAMPLE_RATE = 24_000
"""The only rate of PCM that the protocol has."""
SILENCE_DBFS = -60.0
"""No speech, however far from the microphone, stays below this peak."""
_BYTES_PER_S = 2 * SAMPLE_RATE
_SHORTEST_BYTES = _BYTES_PER_S // 10  # the server refuses less, and less is no word
_APPEND_BYTES = 10 * _BYTES_PER_S  # of one event, in a replay
_QUIET_BYTES = _BYTES_PER_S  # kept of silence where the server finds speech: what it may still be at work on
_UNSENT_MAX_BYTES = 2 * 1024 * 1024
_FORGOTTEN = 64


class ConnectionArguments(TypedDict, total=False):
    """A transcription session's connection. The names mean what they mean at `RealtimeModel`."""

    connect_timeout_s: float
    """Default: 10."""
    heartbeat_s: float
    """Default: 5."""
    reconnect_timeout_s: float
    """Default: 20. An `AgentSession` goes on without the words long before."""
    max_session_duration_s: float
    """Default: 55 minutes."""
    close_timeout_s: float
    """Default: 2."""
    prewarm_connections: int
    """Default: 1."""
    connector: Connector
    """For tests. Default: over TCP."""


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """How a `Transcriber` works.

    Args:
        server: where.
        transcription: the model, and what it is told.
        noise_reduction: the server's.
        turn_detection: the server's. ``None``: off, `STTStream.flush` ends segments.
        timeout_s: how long nothing may come of a segment that was flushed.
        max_segment_s: the longest segment.
    """

    server: Server
    transcription: config.Transcription
    noise_reduction: Maybe[config.NoiseReduction | None]
    turn_detection: config.TurnDetection | None
    timeout_s: float
    max_segment_s: float


class Transcriber:
    """Opens streams, each with a transcription session of its own.

    Args:
        options: how it works.
        connection: of its connections.

    Raises:
        ConfigurationError: a number is out of range.
        MissingDependencyError: the package ``picows`` is not installed.
    """

    def __init__(self, options: TranscriptionOptions, **connection: Unpack[ConnectionArguments]) -> None:
        checked_seconds("timeout_s", options.timeout_s)
        self.options = options
        self.deadlines = checked_deadlines(
            connect_timeout_s=connection.get("connect_timeout_s", 10.0),
            reconnect_timeout_s=connection.get("reconnect_timeout_s", 20.0),
            max_session_duration_s=connection.get("max_session_duration_s", 55 * 60.0),
            close_timeout_s=connection.get("close_timeout_s", 2.0),
        )
        self._heartbeat_s = checked_seconds("heartbeat_s", connection.get("heartbeat_s", 5.0))
        self._spares = Spares(connection.get("prewarm_connections", 1))
        connector = connection.get("connector", connect)
        if connector is connect and importlib.util.find_spec("picows") is None:
            raise MissingDependencyError("a live transcription", package="picows", extra="openai")
        beta = options.server.kind == "azure"
        self._connector = speaking_beta(connector, transcription=True) if beta else connector

    def stream(
        self,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> STTStream:
        """Begin recognition of one speaker."""
        return _TranscriptionStream(self, sample_rate, on_event, on_error)

    async def prewarm(self) -> None:
        """Connect ahead.

        Raises:
            ModelError: it can't be had.
        """
        await self._spares.fill(self.options.server, self._open_new)

    async def aclose(self) -> None:
        """Close what `prewarm` opened and no stream has taken."""
        await self._spares.aclose()

    async def open_wire(self) -> Wire:
        """A connection for a stream.

        Raises:
            ModelError: it can't be had.
        """
        spare = await self._spares.take(self.options.server)
        return spare if spare is not None else await self._open_new()

    async def _open_new(self) -> Wire:
        request = await link_request(
            self.options.server,
            model=None,
            timeout_s=self.deadlines.connect_s,
            heartbeat_s=self._heartbeat_s,
        )
        return await open_wire(self._connector, request, close_s=self.deadlines.close_s)

    def session(self) -> config.TranscriptionSession:
        """The configuration that a new connection is given."""
        options = self.options
        return config.TranscriptionSession(
            audio=config.SessionAudio(
                input=config.AudioInputConfig(
                    format=config.PcmAudio(rate=SAMPLE_RATE),
                    transcription=options.transcription,
                    noise_reduction=options.noise_reduction,
                    turn_detection=options.turn_detection,
                )
            )
        )


@dataclass(slots=True, eq=False)
class _Segment:
    """What is said between two flushes (or ends of speech that the server finds)."""

    number: int
    audio: bytearray = field(default_factory=bytearray)
    loud: bool = False
    sent: bool = False
    """Whether the present server has heard anything of it."""
    flush_id: int | None = None
    words: str = ""
    """As far as the present server has read it."""
    shown: str = ""
    """As it was told. No word is taken back when another server reads it again."""
    final: str | None = None
    waits_since_s: float = 0.0


class _Connection:
    """Which of one server's items is which of our segments; ``None`` is one that was thrown away."""

    def __init__(self) -> None:
        self._taken: _Segment | None = None  # its end was found by the server, with our commit on its way
        self._items: dict[str, _Segment | None] = {}  # the oldest are forgotten
        # Commits and clears (None) that are not acknowledged.
        self._asked: deque[_Segment | None] = deque()  # bounded by the deadline of what was flushed
        # Items whose speech the server found to end, and which are not committed yet: one or two.
        self._ended: set[str] = set()

    def commits(self, segment: _Segment) -> None:
        """A commit was sent."""
        self._asked.append(segment)

    def clears(self) -> None:
        """A clear was sent."""
        self._asked.append(None)

    def cleared(self) -> None:
        """A clear is acknowledged."""
        if None in self._asked:
            self._asked.remove(None)

    def refused(self, number: int) -> _Segment | None:
        """The commit of a segment is refused; ``None`` if the server has the segment all the same."""
        for segment in self._asked:
            if segment is not None and segment.number == number:
                self._asked.remove(segment)
                return None if segment is self._taken else segment
        return None

    def speech_ended(self, item_id: str) -> None:
        """The server's own turn detection ends an item."""
        self._ended.add(item_id)

    def committed(self, item_id: str, split: Callable[[], _Segment]) -> None:
        """An item is committed: because we asked for it, or because its speech ended (then the open segment does)."""
        asked = next((each for each in self._asked if each is not None), None)
        if item_id in self._ended:
            # A commit of ours that is still on its way will find nothing more to commit.
            self._ended.discard(item_id)
            self._remember(item_id, asked if asked is not None else split())
            self._taken = asked
        elif asked is not None:
            self._asked.remove(asked)
            self._remember(item_id, None if asked is self._taken else asked)

    def segment_of(self, item_id: str, open_segment: _Segment) -> _Segment | None:
        """The segment of an item."""
        if item_id not in self._items:
            self._remember(item_id, self._asked[0] if self._asked else open_segment)
        return self._items[item_id]

    def _remember(self, item_id: str, segment: _Segment | None) -> None:
        self._items[item_id] = segment
        while len(self._items) > _FORGOTTEN:
            del self._items[next(iter(self._items))]


class _TranscriptionStream(STTStream):
    """One speaker. The keeper's owner."""

    def __init__(
        self,
        transcriber: Transcriber,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> None:
        AudioFrame(b"", sample_rate)  # refuses a rate that no frame can have
        loop = asyncio.get_running_loop()
        self._transcriber = transcriber
        self._options = transcriber.options
        self._on_event = on_event
        self._on_error = on_error
        self._resampler = Resampler(sample_rate, SAMPLE_RATE)
        self._clock = Clock(loop.time)
        self._keeper = Keeper(self, transcriber.open_wire, transcriber.deadlines, self._clock, stage="stt")
        self._open = _Segment(0)
        self._waiting: deque[_Segment] = deque()  # flushed, not told; bounded by timeout_s
        self._server = _Connection()
        self._flushes = 0
        self._telling = False
        self._speaking = False
        self._over = False
        self._waits = Waits(self._clock, [Wait(self._oldest_s, self._options.timeout_s, self._timed_out)])
        self._start = loop.create_task(self._connect(), name="openai.stt.connect")

    async def _connect(self) -> None:
        try:
            await self._keeper.start()
        except ModelError as error:
            self.gave_up(error)

    # -- the caller's verbs ------------------------------------------------------------------------------------

    def push(self, frame: AudioFrame) -> None:
        if self._over:
            return
        if frame.sample_rate != self._resampler.source_rate:
            raise AudioFormatError(
                f"the stream was opened for {self._resampler.source_rate} Hz, and a frame has {frame.sample_rate} Hz"
            )
        mono = frame.to_mono()
        self._open.loud = self._open.loud or peak_dbfs(mono) > SILENCE_DBFS
        self._append(self._resampler.push(mono).data)

    def _append(self, pcm: bytes) -> None:
        segment = self._open
        segment.audio += pcm
        if self._options.turn_detection is not None and not self._speaking:
            del segment.audio[: max(0, len(segment.audio) - _QUIET_BYTES)]
        elif len(segment.audio) > self._options.max_segment_s * _BYTES_PER_S:
            text = (
                f"a segment is longer than {self._options.max_segment_s:g} s without a pause in it: raise "
                "max_segment_s=, or use a VAD that finds the pauses"
            )
            self._fail(ModelError(text, stage="stt", provider="openai", code="segment_too_long"))
            return
        if not self._keeper.connected:
            return  # the next connection is given all of it
        if self._keeper.unsent_bytes > _UNSENT_MAX_BYTES:
            text = "the network takes less than the microphone gives"
            self._fail(ModelError(text, stage="stt", provider="openai", code="connection_error"))
        elif pcm:
            segment.sent = True
            self._send(wire.InputAudioBufferAppend(audio=pcm))

    def flush(self) -> int:
        self._flushes += 1
        if self._over:
            return self._flushes
        self._append(self._resampler.flush().data)
        segment = self._split()
        segment.flush_id = self._flushes
        if not segment.loud or len(segment.audio) < _SHORTEST_BYTES:
            segment.final = ""  # models invent words for silence
            self._clear_at_server(segment)
        elif self._keeper.connected:
            self._commit(segment)
        self._tell_soon()
        self._waits.arm()
        return self._flushes

    def _split(self) -> _Segment:
        """End the open segment."""
        segment, self._open = self._open, _Segment(self._open.number + 1)
        segment.waits_since_s = self._clock.now()
        self._waiting.append(segment)
        return segment

    def _commit(self, segment: _Segment) -> None:
        self._server.commits(segment)
        self._send(wire.InputAudioBufferCommit(event_id=f"commit:{segment.number}"))

    def _clear_at_server(self, segment: _Segment) -> None:
        if segment.sent and self._keeper.connected:
            self._server.clears()
            self._send(wire.InputAudioBufferClear())

    def cancel(self) -> None:
        self._resampler.reset()
        segment, self._open = self._open, _Segment(self._open.number + 1)
        self._clear_at_server(segment)

    async def aclose(self) -> None:
        self._over = True
        self._waits.close()
        if not self._start.done():
            self._start.cancel()
            await asyncio.wait([self._start])
        await self._keeper.aclose()

    def _send(self, event: wire.ClientEvent) -> None:
        self._keeper.send(encode(event))

    # -- for the keeper ----------------------------------------------------------------------------------------

    def replay(self) -> None:
        """Give a new connection the configuration, and what has no final words."""
        self._server = _Connection()
        self._send(wire.SessionUpdate(session=self._transcriber.session(), event_id="update:first"))
        for segment in (*self._waiting, self._open):
            if segment.final is not None:
                continue
            segment.words, segment.sent = "", bool(segment.audio)
            for at in range(0, len(segment.audio), _APPEND_BYTES):
                part = bytes(segment.audio[at : at + _APPEND_BYTES])
                self._send(wire.InputAudioBufferAppend(audio=part))
            if segment is not self._open:
                segment.waits_since_s = self._clock.now()
                self._commit(segment)
        self._waits.arm()

    def connection_lost(self) -> None:
        """The connection is gone, with all that was on its way."""
        self._speaking = False
        self._waits.arm()

    def reconnected(self, reason: str, gap_s: float) -> None:
        """Another connection has taken over."""
        _LOG.info("the recogniser's connection was replaced after %.1f s: %s", gap_s, reason)

    def gave_up(self, error: ModelError) -> None:
        """There will be no connection any more."""
        self._fail(advise(error, self._options.server))

    def is_quiet(self) -> bool:
        """Whether a new connection would cut nothing short."""
        hears = self._open.loud if self._options.turn_detection is None else self._speaking
        return not self._waiting and not hears

    def greeting_error(self, frame: bytes) -> ModelError | None:
        """What is wrong, if the first frame of a connection says so."""
        try:
            event = decode_server_event(frame)
        except ProtocolError:
            return None
        return error_of(event, self._options.server) if isinstance(event, wire.Error) else None

    def take_frame(self, frame: bytes) -> None:
        """A frame of the server's."""
        if self._over:
            return
        try:
            event = decode_server_event(frame)
        except ProtocolError as error:
            text = self._options.server.redact(f"the server sent what can't be read: {error}")
            self._fail(ModelError(text, stage="stt", provider="openai", code="invalid_response"))
            return
        match event:
            case wire.SessionUpdated():
                self._keeper.accept()
            case wire.Error():
                self._error(event)
            case wire.InputAudioBufferSpeechStarted():
                self._speaking = True
            case wire.InputAudioBufferSpeechStopped(item_id=item_id):
                self._speaking = False
                self._server.speech_ended(item_id)
            case wire.InputAudioBufferCommitted(item_id=item_id):
                self._server.committed(item_id, self._split)
            case wire.InputAudioBufferCleared():
                self._server.cleared()
            case wire.TranscriptionDelta(item_id=item_id):
                self._read(item_id, given(event.delta, ""))
            case wire.TranscriptionCompleted(item_id=item_id, transcript=transcript):
                self._completed(self._server.segment_of(item_id, self._open), transcript.strip())
            case wire.TranscriptionFailed(error=details):
                text = self._options.server.redact(given(details.message, "") or "the transcription failed")
                code = given(details.code, None)
                self._fail(ModelError(text, stage="stt", provider="openai", code=code))
            case _:
                pass
        self._waits.arm()
        self._keeper.note_change()

    def _error(self, event: wire.Error) -> None:
        error = error_of(event, self._options.server)
        error.stage = "stt"
        kind, _, about = given(event.error.event_id, "").partition(":")
        if kind == "commit" and error.code == "input_audio_buffer_commit_empty":
            # The server's own turn detection has taken it all, or there was nothing to hear.
            self._completed(self._server.refused(int(about)), "")
        elif self._keeper.starting and (kind in ("", "update") or is_final(error)):
            error.recoverable = event.error.type == "server_error"
            self._keeper.refuse(error)
        elif not is_harmless(event):
            self._fail(error)

    # -- words -------------------------------------------------------------------------------------------------

    def _read(self, item_id: str, delta: str) -> None:
        segment = self._server.segment_of(item_id, self._open)
        if segment is not None:
            segment.words += delta
            segment.waits_since_s = self._clock.now()
            self._show()

    def _show(self) -> None:
        """Tell how the first segment without its final reads so far."""
        segment = self._waiting[0] if self._waiting else self._open
        said = segment.words.strip()
        if segment.final is None and len(said) > len(segment.shown) and said.startswith(segment.shown):
            segment.shown = said
            self._on_event(Interim(said, stable_chars=len(said)))

    def _completed(self, segment: _Segment | None, text: str) -> None:
        if segment is not None and segment.final is None:
            if segment is self._open:
                self._split()  # a server that says so without a commit
            segment.final = text
            segment.audio.clear()
            self._tell()

    def _tell_soon(self) -> None:
        """No event comes from within a call."""
        if not self._telling and self._waiting[0].final is not None:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        """Tell the finals that are there, in the order of the segments."""
        self._telling = False
        while not self._over and self._waiting and (final := self._waiting[0].final) is not None:
            self._on_event(Final(final, flush_id=self._waiting.popleft().flush_id))
            if not self._over:
                self._show()

    # -- the end -----------------------------------------------------------------------------------------------

    def _oldest_s(self) -> float | None:
        if not self._keeper.connected:
            return None  # that has deadlines of its own
        return min((each.waits_since_s for each in self._waiting if each.final is None), default=None)

    def _timed_out(self, _: float, limit_s: float) -> None:
        text = (
            f"{self._options.server.host} gave no words for {limit_s:g} s: the server is slow or the network is; raise "
            "timeout_s= if that is usual for it"
        )
        self._fail(ModelTimeoutError(text, stage="stt", provider="openai", code="timeout"))

    def _fail(self, error: ModelError) -> None:
        if not self._over:
            self._over = True
            self._waits.close()
            error.stage = "stt"
            self._on_error(error)
