"""The server's ears on a model of scripted parts: what the session would be told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from repartee.audio import AudioFrame, g711
from repartee.chat import ChatContext
from repartee.clock import Clock
from repartee.compose import Conversing, Spoken, Transcribed
from repartee.models import RealtimeModel, SessionOptions
from repartee.models import events as ev
from repartee.models.history import apply_event
from repartee.protocol.config import (
    AudioInputConfig,
    NoiseReduction,
    PcmaAudio,
    PcmAudio,
    PcmuAudio,
    RealtimeSession,
    SemanticVad,
    ServerVad,
    SessionAudio,
    SessionConfig,
)
from repartee.protocol.sessions import default_session, merge
from repartee.server.hearing.listening import Listening
from repartee.server.served import Served
from repartee.testing import ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD, Speech, elapse, speech

RATE = 24_000
DEFAULT = default_session(id="sess_1")
FORMATS: dict[str, Any] = {
    "pcm": PcmAudio(rate=RATE),
    "pcmu": PcmuAudio(),
    "pcma": PcmaAudio(),
}


def session(
    base: SessionConfig = DEFAULT, *, detection: Any = ..., format: str = "", noise: str | None = ""
) -> SessionConfig:
    """A session's configuration after an update of its input."""
    fields: dict[str, Any] = {}
    if detection is not ...:
        fields["turn_detection"] = detection
    if format:
        fields["format"] = FORMATS[format]
    if noise != "":
        fields["noise_reduction"] = None if noise is None else NoiseReduction(type=noise)
    update = RealtimeSession(audio=SessionAudio(input=AudioInputConfig(**fields)))
    return merge(base, update, DEFAULT)


def server_vad(**fields: Any) -> SessionConfig:
    """A session with ``server_vad``."""
    return session(detection=ServerVad(**fields))


def semantic_vad(**fields: Any) -> SessionConfig:
    """A session with ``semantic_vad``."""
    return session(detection=SemanticVad(**fields))


PUSH_TO_TALK = session(detection=None)


def sound(*pieces: str | float, silence: bytes = b"\0\0") -> bytes:
    """Speech (3 words a second) and silence (seconds), one after another: PCM16 at 24 kHz."""
    audio = b""
    for piece in pieces:
        if isinstance(piece, str):
            found = Speech(piece).words
            audio += speech.encode(
                [word.text for word in found], [round(word.end_s * RATE) for word in found]
            )
        else:
            audio += silence * round(piece * RATE)
    return audio


def cascade(*, replies: Sequence[Any] = (), **stt: Any) -> RealtimeModel:
    """A model that needs words."""
    return Spoken(Transcribed(Conversing(ScriptedLLM(list(replies))), ScriptedSTT(**stt)), ScriptedTTS())


class Ears:
    """A `ListeningOwner` that writes down what it is told, and when (in ms). ``deaf``: its model gets no audio."""

    def __init__(
        self,
        model: RealtimeModel | None = None,
        config: SessionConfig = DEFAULT,
        *,
        deaf: bool = False,
        **parts: Any,
    ) -> None:
        parts.setdefault("vad", ScriptedVAD())
        self.served = Served(name="test", model=model if model is not None else cascade(), **parts)
        self.config = config
        self.told: list[tuple[Any, ...]] = []
        self.times: list[float] = []
        self.ended: list[tuple[str, int]] = []
        self.audio: list[bytes] = []
        self.observed: list[ev.RealtimeEvent] = []
        self.events: list[ev.RealtimeEvent] = []
        self.history = ChatContext()
        self.passed: list[AudioFrame] = []
        self._deaf = deaf

    async def __aenter__(self) -> Ears:
        self.clock = Clock(asyncio.get_running_loop().time)
        self.inner = self.served.model.session(SessionOptions(), on_event=self._on_event, clock=self.clock)
        self._pass, self.inner.append_audio = self.inner.append_audio, self._on_audio  # type: ignore[method-assign]
        self.listening = Listening(self, self.served, clock=self.clock)
        await self.inner.start()
        self.listening.configure(self.config)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listening.aclose()
        await self.inner.aclose()

    def _on_audio(self, frame: AudioFrame) -> None:
        self.passed.append(frame)
        if not self._deaf:
            self._pass(frame)

    def _on_event(self, event: ev.RealtimeEvent) -> None:
        self.events.append(event)
        apply_event(self.history, event)
        self.listening.on_event(event)

    def _tell(self, *what: Any) -> None:
        self.told.append(what)
        self.times.append(round(self.clock.now() * 1000))

    # -- ListeningOwner ----------------------------------------------------------------------------------------

    def speech_started(self, item_id: str, audio_start_ms: int) -> None:
        self._tell("started", item_id, audio_start_ms)

    def speech_stopped(self, item_id: str, audio_end_ms: int) -> None:
        self._tell("stopped", item_id, audio_end_ms)

    def turn_ends(self, item_id: str, reason: str, speech_end_s: float) -> None:
        self.ended.append((reason, round(speech_end_s * 1000)))

    def turn_over(self, item_id: str, audio: bytes, *, respond: bool | None, draft: str | None) -> None:
        self._tell("over", item_id, respond, draft)
        self.audio.append(audio)

    def idle_timeout(self, item_id: str, audio_start_ms: int, audio_end_ms: int) -> None:
        self._tell("idle", item_id, audio_start_ms, audio_end_ms)

    def observe(self, event: ev.RealtimeEvent) -> None:
        self.observed.append(event)

    # -- what a test asks --------------------------------------------------------------------------------------

    @property
    def turns(self) -> list[tuple[Any, ...]]:
        """What was told, without ids."""
        return [(what[0], *what[2:]) for what in self.told]

    @property
    def said(self) -> list[str]:
        """The caller's words as the model has them."""
        return [message.text for message in self.history.messages if message.role == "user"]

    async def speak(self, audio: bytes, *, frame_ms: int = 20, bytes_per_ms: int = 48) -> None:
        """Append audio as a microphone gives it."""
        size = frame_ms * bytes_per_ms
        for at in range(0, len(audio), size):
            await elapse(frame_ms / 1000)
            self.listening.append(audio[at : at + size])


def as_ulaw(pcm: bytes) -> bytes:
    """PCM16 at 24 kHz as µ-law at 8 kHz (every third sample: silence and noise stay what they are)."""
    return g711.ulaw_encode(b"".join(pcm[at : at + 2] for at in range(0, len(pcm), 6)))
