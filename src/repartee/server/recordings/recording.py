"""Recordings of served sessions: what was said and heard, and everything that happened, in a folder.

A session makes three files, named by when it began and its id, which say nothing about who spoke::

    20260102T030405Z-sess_….wav     stereo, 24 kHz: the caller on the left, the agent as heard on the right
    20260102T030405Z-sess_….jsonl   the session's log: one event a line, with session time; no sound, no keys
    20260102T030405Z-sess_….json    what it is, and once it is over, how long it was and why it ended early

Theory of operation. The event loop only notes what happened, in a queue; one thread for all sessions places the sound
(`CallTape`) and writes. If that can't keep up, `BACKLOG_BYTES` wait at most; then the recordings that add to it end. So
does every recording when the disk is nearly full, with one warning; none begins until there is room.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
import logging
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from repartee._version import __version__
from repartee.audio import AudioFrame
from repartee.clock import Clock, wall_time
from repartee.errors import ConfigurationError
from repartee.models.events import AudioDelta, RealtimeEvent
from repartee.observe.log import AudioLogged, SessionLog
from repartee.protocol import events as ev
from repartee.protocol.config import SessionConfig
from repartee.protocol.model import given
from repartee.protocol.responses import Response
from repartee.protocol.sessions import input_of, output_of, turn_detection_of
from repartee.server.hearing.wire_audio import WireFormat
from repartee.server.recordings.call_tape import LAG_S, CallTape
from repartee.transports.recorder import CallRecorder

if TYPE_CHECKING:
    from repartee.server.options import ServerOptions

__all__ = ["LogNotes", "Recording", "Recordings", "log_line", "recordings_of"]

log = logging.getLogger("repartee.server")

SAMPLE_RATE: Final = 24_000
BACKLOG_BYTES: Final = 64 << 20
CHECK_BYTES: Final = 1 << 20
"""Audio between two looks at the disk."""
CLOSE_S: Final = 10.0
TEXT_MAX: Final = 20_000
"""Of one text in the log; more of it (an image, say) is left out."""
ASIDE_MAX: Final = 256


class Recording:
    """What is noted of one session, on its event loop. Made by `Recordings.open`; never raises, never waits.

    Args:
        recordings: that writes it.
        files: the thread's side of it.
        clock: session time.
    """

    def __init__(self, recordings: Recordings, files: _Files, clock: Clock, *, plays: bool) -> None:
        self._recordings = recordings
        self._files = files
        self._clock = clock
        self._plays = plays
        self._input = self._output = WireFormat()
        self._interrupts = True
        self._aside: dict[str, None] = {}  # responses beside the conversation; bounded by ASIDE_MAX

    def configure(self, session: SessionConfig | None) -> None:
        """The session has changed: formats, and whether speech stops the agent."""
        self._input = WireFormat.of(input_of(session).format)
        self._output = WireFormat.of(output_of(session).format)
        detection = turn_detection_of(session)
        self._interrupts = bool(given(getattr(detection, "interrupt_response", True), True))

    def caller(self, audio: bytes, *, wire: bool = True) -> None:
        """The caller's audio: as on the wire, or PCM16 at 24 kHz."""
        form = self._input if wire else WireFormat()
        now_s = self._clock.now()
        self._do(len(audio), lambda files: files.tape.caller(_frame(audio, form), now_s))

    def played(self, pcm: bytes, at_s: float) -> None:
        """The server played this: PCM16 at 24 kHz, from that time of the event loop on."""
        begin_s = at_s - self._clock.to_source(0.0)
        self._do(len(pcm), lambda files: files.tape.played(AudioFrame(pcm, SAMPLE_RATE), begin_s))

    def told(self, events: Iterable[ev.ServerEvent]) -> None:
        """What the client was told: the agent's audio, if the client plays it, and what was heard of it."""
        if self._plays:
            return
        for event in events:
            kind = type(event)
            if kind is ev.ResponseOutputAudioDelta:
                self._sent(event)
            elif kind is ev.InputAudioBufferSpeechStarted and self._interrupts:
                now_s = self._clock.now()
                self._do(0, lambda files, now_s=now_s: files.tape.stopped(now_s))  # type: ignore[misc]
            elif isinstance(event, ev.ConversationItemTruncated):
                self._truncated(event.item_id, event.audio_end_ms)
            elif isinstance(event, ev.ResponseCreated):
                self._begun(event.response)

    def record(self, at_s: float, event: RealtimeEvent) -> None:
        """One event of the session's log."""
        noted: Any = event
        if type(event) is AudioDelta:
            audio = event.audio
            noted = AudioLogged(
                event.response_id, event.item_id, audio.sample_rate, audio.position_samples, audio.samples
            )
        self._do(256, lambda files: files.note(at_s, noted))

    def close(self) -> None:
        """The session is over. Idempotent."""
        now_s = self._clock.now()
        self._recordings.put(self._files, 0, lambda files: files.close(now_s))

    def _begun(self, response: Response) -> None:
        if not given(response.conversation_id, None) and len(self._aside) < ASIDE_MAX:
            self._aside[str(response.id)] = None

    def _sent(self, event: Any) -> None:
        if (
            event.response_id not in self._aside
        ):  # what is said beside the conversation is not part of the call
            item_id, audio, form, now_s = event.item_id, event.delta, self._output, self._clock.now()
            self._do(len(audio), lambda files: files.tape.sent(item_id, _frame(audio, form), now_s))

    def _truncated(self, item_id: str, audio_end_ms: int) -> None:
        now_s = self._clock.now()
        self._do(0, lambda files: files.tape.truncated(item_id, audio_end_ms, now_s))

    def _do(self, size: int, work: Callable[[_Files], None]) -> None:
        self._recordings.put(self._files, size, work)


class LogNotes:
    """A `SessionLog` in a recording's place: no sound.

    Args:
        log: takes the events.
    """

    def __init__(self, log: SessionLog) -> None:
        self.record = log.record

    def configure(self, session: SessionConfig | None) -> None:
        """Nothing."""

    def caller(self, audio: bytes, *, wire: bool = True) -> None:
        """Nothing."""

    def told(self, events: Iterable[ev.ServerEvent]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Recordings:
    """The recordings of a server.

    Args:
        folder: where to; made if it is not there, for its owner only.
        minutes_max: of each; what comes after is not recorded.
        free_bytes: of the disk, which stay free.

    Raises:
        ConfigurationError: the folder can't be made or written to.
    """

    def __init__(self, folder: str | os.PathLike[str], *, minutes_max: float, free_bytes: int) -> None:
        self.folder = Path(folder)
        self.minutes_max = minutes_max
        self._free_bytes = free_bytes
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()  # bounded by BACKLOG_BYTES
        self._put_bytes = 0  # by the event loop
        self._done_bytes = 0  # by the thread
        self._thread: threading.Thread | None = None
        self._full = False
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self.folder / ".writable"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise ConfigurationError(
                f"recordings can't be written to {str(self.folder)!r}: {error.strerror}; right is a folder of yours"
            ) from None

    def open(
        self, session_id: str, clock: Clock, *, plays: bool, about: Mapping[str, Any]
    ) -> Recording | None:
        """Begin to record a session; ``None``: the disk is full.

        Args:
            session_id: names the files.
            clock: session time.
            plays: whether the server plays the sound itself.
            about: goes into the ``.json``, beside what all have in common.
        """
        if not self.has_room():
            return None
        began_at = datetime.datetime.fromtimestamp(wall_time(), datetime.UTC)
        name = f"{began_at:%Y%m%dT%H%M%SZ}-{session_id}"
        facts = {
            "id": session_id,
            "began_at": f"{began_at:%Y-%m-%dT%H:%M:%SZ}",
            "transport": "webrtc" if plays else "websocket",
            **about,
            "repartee": __version__,
        }
        files = _Files(self, self.folder / name, facts)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="repartee.recordings", daemon=True)
            self._thread.start()
        self.put(files, 0, lambda files: files.open())
        return Recording(self, files, clock, plays=plays)

    def put(self, files: _Files, size: int, work: Callable[[_Files], None]) -> None:
        """Have something done by the thread, behind all else."""
        if files.ended:
            return
        if size and self._put_bytes - self._done_bytes > BACKLOG_BYTES:
            size, work = 0, _too_slow
        self._put_bytes += size
        self._queue.put((files, size, work))

    def has_room(self) -> bool:
        """Whether the disk has room; says so once when that changes."""
        try:
            full = shutil.disk_usage(self.folder).free < self._free_bytes
        except OSError:
            full = True
        if full and not self._full:
            log.warning(
                "recordings end here, and none begin: less than %d MiB of the disk of %s are free",
                self._free_bytes >> 20,
                self.folder,
            )
        self._full = full
        return not full

    async def aclose(self) -> None:
        """Write what waits, and end. Idempotent."""
        if self._thread is not None:
            await asyncio.to_thread(self.close)

    def close(self) -> None:
        """As `aclose`, without an event loop."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(CLOSE_S)

    def _run(self) -> None:
        opened: set[_Files] = set()
        while (item := self._queue.get()) is not None:
            files, size, work = item
            opened.add(files)
            files.do(work)
            self._done_bytes += size
            if files.ended:
                opened.discard(files)
        for files in opened:
            files.end("the server stopped")


def recordings_of(options: ServerOptions) -> Recordings | None:
    """Where the options have sessions recorded; ``None``: nowhere.

    Raises:
        ConfigurationError: that can't be written to.
    """
    if not options.record:
        return None
    return Recordings(
        options.record, minutes_max=options.record_minutes, free_bytes=options.record_free_mib << 20
    )


_Work = tuple["_Files", int, Callable[["_Files"], None]]


class _Files:
    """The files of one recording, in the thread."""

    def __init__(self, recordings: Recordings, path: Path, facts: dict[str, Any]) -> None:
        self._recordings = recordings
        self._path = path
        self._facts = facts
        self._recorder: CallRecorder | None = None
        self._log: TextIO | None = None
        self._checked_s = 0.0
        self.ended = False
        """Whether nothing is taken any more."""
        self.tape: CallTape

    def open(self) -> None:
        """Make them.

        Raises:
            OSError: that fails.
        """
        self._write_facts()
        descriptor = os.open(self._path.with_suffix(".jsonl"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._log = open(  # noqa: SIM115 -- it is open as long as the session is
            descriptor, "w", encoding="utf-8", buffering=1 << 16
        )
        wav = self._path.with_suffix(".wav")
        os.close(os.open(wav, os.O_WRONLY | os.O_CREAT, 0o600))
        self._recorder = CallRecorder(wav, SAMPLE_RATE, start_s=0.0, lag_s=LAG_S)
        self.tape = CallTape(self._recorder)

    def do(self, work: Callable[[_Files], None]) -> None:
        """Do something, unless it has ended; what fails ends it."""
        if self.ended:
            return
        try:
            work(self)
            recorder = self._recorder
            if not self.ended and recorder is not None:
                self._check(recorder)
        except OSError as error:
            log.warning("recording %s ended early: %s", self._path.name, error)
            self.end(str(error.strerror or error))
        except Exception as error:  # one recording's fault is no other's, nor the call's
            log.exception("recording %s ended early", self._path.name)
            self.end(type(error).__name__)

    def _check(self, recorder: CallRecorder) -> None:
        if recorder.error is not None:
            log.warning("recording %s: %s", self._path.name, recorder.error)
            self.end(str(recorder.error))
        elif recorder.duration_s > self._recordings.minutes_max * 60.0:
            self.end(f"longer than {self._recordings.minutes_max:g} minutes")
        elif recorder.duration_s - self._checked_s > CHECK_BYTES / (4 * SAMPLE_RATE):
            self._checked_s = recorder.duration_s
            if self._log is not None:
                self._log.flush()
            if not self._recordings.has_room():
                self.end("the disk is full")

    def note(self, at_s: float, event: Any) -> None:
        """One line of the log."""
        if self._log is not None:
            self._log.write(log_line(at_s, event) + "\n")

    def close(self, now_s: float) -> None:
        """The session is over."""
        if self._recorder is not None:
            self.tape.close(now_s)
        self.end("")

    def end(self, why: str) -> None:
        """Take nothing any more."""
        self.ended = True
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()
            self._facts["seconds"] = round(recorder.duration_s, 3)
            lost_s = self.tape.left_out_s + recorder.late_samples / SAMPLE_RATE
            if lost_s:
                self._facts["left_out_s"] = round(lost_s, 3)
        if why:
            self._facts["ended_early"] = why
        try:
            if self._log is not None:
                self._log.close()
            self._write_facts()
        except OSError as error:
            log.warning("recording %s is not complete: %s", self._path.name, error)

    def _write_facts(self) -> None:
        text = json.dumps(self._facts, ensure_ascii=False, indent=1) + "\n"
        descriptor = os.open(self._path.with_suffix(".json"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


def _too_slow(files: _Files) -> None:
    log.warning("a recording ended early: the disk takes too long")
    files.end("the disk takes too long")


def _frame(audio: bytes, form: WireFormat) -> AudioFrame:
    return AudioFrame(form.decode(audio), form.rate)


def log_line(at_s: float, event: Any) -> str:
    """An event of a session's log as a line of JSON: ``at_s``, ``event`` (its type), and its fields.

    An event's own ``at_s`` (of something that is told later than it happened) is ``happened_at_s`` there.
    """
    fields = _plain(event)
    if "at_s" in fields:
        fields["happened_at_s"] = round(fields.pop("at_s"), 4)
    return json.dumps(
        {"at_s": round(at_s, 4), "event": type(event).__name__, **fields}, ensure_ascii=False, default=str
    )


def _plain(value: Any) -> Any:
    """A value as JSON has it, without sound and pictures."""
    if isinstance(value, str):
        return value if len(value) <= TEXT_MAX else f"{value[:80]}… ({len(value)} characters)"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes)"
    if isinstance(value, BaseException):
        return {"type": type(value).__name__, "message": str(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Iterable):
        return [_plain(each) for each in value]
    return str(value)
