"""`TTS`: a voice on this machine. eSpeak NG by default; a Piper or Kokoro voice by the path of its file.

Theory of operation. A synthesis is cut into pieces, usually one. Each piece is a job for the voice's thread, whose
chunks come to the event loop as they are made. At most one job of a synthesis is under way, and the next begins
when less than `_AHEAD_MS` waits to be taken: what a slow reader leaves untaken is bounded by that and one piece, and
a long text of one session doesn't keep the voice from the others. Closing the generator raises a flag, which the
engine sees with its next block.
"""

from __future__ import annotations

import asyncio
import copy
import os
from collections import deque
from collections.abc import AsyncGenerator
from pathlib import Path

from repartee.audio import AudioFrame
from repartee.errors import ConfigurationError, ModelError, ModelFileError, ReparteeError, StateError
from repartee.models import TTS as AbstractTTS
from repartee.models import SpeechChunk, TimedWord
from repartee.plugins.local.espeak_ffi import EspeakSettings
from repartee.plugins.local.speakable import MAX_CHARACTERS, cut, neutralise
from repartee.plugins.local.voices import EspeakVoice, LocalVoice

__all__ = ["TTS"]

# Of 25 variants, rates and pitches of US English the one that a recogniser (PocketSphinx, 82 words) understood best: a
# word error rate of 0.24 to 0.31, against 0.84 for the plain voice at the engine's own settings.
DEFAULT_VOICE = "en-us+f2"
DEFAULT_RATE_WPM = 160
_AHEAD_MS = 2000.0


class TTS(AbstractTTS):
    """A local voice.

    Args:
        voice: a language or voice of eSpeak NG, with a variant where wanted (``"en-us"``, ``"en-gb+f3"``, ``"de"``);
            or the path of a Piper voice (``voice.onnx`` with ``voice.onnx.json`` beside it; extra ``piper``) or of a
            Kokoro model (``kokoro-v1.0.onnx`` with ``voices-v1.0.bin`` beside it; extra ``kokoro``). Default:
            ``"en-us+f2"`` of eSpeak NG (extra ``local``).
        rate_wpm: words a minute, 80 to 450. Default: 160 for eSpeak NG; otherwise the voice's own pace, which is
            taken for 170.
        pitch: of eSpeak NG, 0 to 99. Default: 40.
        volume: 0 to 2; 1 is the voice's own, more may clip. Default: 1.
        closing_pause_ms: how much silence at most remains after the last word. Default: 150 after a sentence or
            clause; 40 where the text just ends, since more of it may follow. Silence before the first sound is
            always trimmed to 2 ms.
        speaker: of a voice with several: its name or number (Piper), or the voice's name (Kokoro: ``"af_heart"``).
        voices: Kokoro's file of voices. Default: the one beside the model.

    Raises:
        ConfigurationError: there is no such voice, or a parameter is out of range.
        ModelFileError: a voice file is missing, truncated or of another kind.
        MissingDependencyError: the voice's package is not installed.
    """

    def __init__(
        self,
        voice: str | os.PathLike[str] | None = None,
        *,
        rate_wpm: int | None = None,
        pitch: int = 40,
        volume: float = 1.0,
        closing_pause_ms: float = 150.0,
        speaker: str | int | None = None,
        voices: str | os.PathLike[str] | None = None,
    ) -> None:
        _check_range("rate_wpm", rate_wpm, 80, 450)
        _check_range("pitch", pitch, 0, 99)
        _check_range("volume", volume, 0, 2)
        _check_range("closing_pause_ms", closing_pause_ms, 0, 2000)
        if voice is None:
            voice = DEFAULT_VOICE
        path = _as_path(voice)
        if path is None:
            if speaker is not None or voices is not None:
                raise ConfigurationError(
                    f"speaker= and voices= belong to a Piper or Kokoro voice, given by the path of its .onnx file; "
                    f"{voice!r} is a voice of eSpeak NG"
                )
            settings = EspeakSettings(
                str(voice), rate_wpm or DEFAULT_RATE_WPM, pitch, volume=round(100 * volume)
            )
            self._voice: LocalVoice = EspeakVoice(settings, closing_pause_ms=closing_pause_ms)
        else:
            self._voice = _from_file(
                path,
                rate_wpm=rate_wpm,
                volume=volume,
                speaker=speaker,
                voices=Path(voices) if voices else None,
            )
        self.capabilities = self._voice.capabilities
        self._closed = False
        self._of: TTS | None = None  # whose engine this speaks with

    @property
    def name(self) -> str:
        """Engine and voice, for people: ``"espeak-ng en-us+f2"``."""
        return self._voice.name

    def with_voice(self, name: str) -> TTS:
        """The same engine with another of its voices, for as long as this one is open.

        Args:
            name: for eSpeak NG: one of OpenAI's names (``"alloy"``, ``"marin"``, ``"cedar"`` …, each a variant of its
                own in this voice's language), or any voice of the engine (``"en-gb+f3"``). For Piper: one of the
                voice's speakers. For Kokoro: a voice in its file.

        Raises:
            ConfigurationError: there is no such voice.
        """
        other = copy.copy(self)
        other._voice = self._voice.with_speaker(name)
        other.capabilities = other._voice.capabilities
        other._of = self._of or self
        return other

    async def prewarm(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._voice.executor, self._voice.load)
        self.capabilities = self._voice.capabilities  # whether a voice has word times shows when it is loaded

    async def synthesize(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        if self._closed or (self._of is not None and self._of._closed):
            raise StateError("this voice is closed; make another one")
        if len(text) > MAX_CHARACTERS:
            raise ModelError(
                f"a text of {len(text)} characters is too long to be spoken at once: give it in pieces of at most "
                f"{MAX_CHARACTERS}",
                stage="tts",
                provider="local",
                recoverable=False,
                code="text_too_long",
            )
        synthesis = _Synthesis(self._voice, neutralise(text))
        try:
            while (chunk := await synthesis.next()) is not None:
                self.capabilities = self._voice.capabilities
                yield chunk
        finally:
            synthesis.stop()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            if self._of is None:
                self._voice.close()


class _Synthesis:
    """One call of `TTS.synthesize`, between the event loop and the voice's thread."""

    def __init__(self, voice: LocalVoice, text: str) -> None:
        self._voice = voice
        self._rate = voice.capabilities.sample_rate
        self._text = text
        # bounded by MAX_CHARACTERS of text
        self._pieces = deque(
            (start, end) for start, end in cut(text, voice.piece_characters) if not text[start:end].isspace()
        )
        self._loop = asyncio.get_running_loop()
        self._ready: deque[SpeechChunk] = deque()  # bounded: _AHEAD_MS and one piece
        self._ready_samples = 0
        self._given_samples = 0
        self._job: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._wake: asyncio.Future[None] | None = None
        self._first = True
        self._piece_at = 0  # text index of the piece in work
        self._piece_ms = 0.0  # and where its audio begins
        self._stopped = False

    async def next(self) -> SpeechChunk | None:
        """The next chunk, or ``None`` at the end."""
        while True:
            self._go_on()
            if self._ready:
                chunk = self._ready.popleft()
                self._ready_samples -= chunk.audio.samples
                return chunk
            if self._error is not None:
                raise _as_model_error(self._error, self._voice.name) from self._error
            if self._job is None:
                return None
            self._wake = self._loop.create_future()
            await self._wake

    def stop(self) -> None:
        """End the job under way with its next block; nothing is given after this."""
        self._stopped = True
        self._pieces.clear()
        self._ready.clear()

    def _go_on(self) -> None:
        enough = self._ready_samples * 1000 >= _AHEAD_MS * self._rate
        if self._job is not None or not self._pieces or enough or self._error is not None:
            return
        start, end = self._pieces.popleft()
        self._piece_at = start
        self._piece_ms = self._given_samples * 1000 / self._rate
        self._job = self._loop.run_in_executor(
            self._voice.executor, self._speak, self._text[start:end], self._first, not self._pieces
        )
        self._first = False
        self._job.add_done_callback(self._done)

    def _done(self, job: asyncio.Future[None]) -> None:
        self._job = None
        if not job.cancelled():
            self._error = job.exception()
        if not self._stopped:
            self._go_on()
        self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _take(self, audio: bytes, words: list[TimedWord]) -> None:
        if self._stopped:
            return
        frame = AudioFrame(audio, self._rate, position_samples=self._given_samples)
        at, ms = self._piece_at, self._piece_ms
        timed = tuple(TimedWord(w.text_start + at, w.text_end + at, w.start_ms + ms) for w in words)
        self._given_samples += frame.samples
        self._ready_samples += frame.samples
        self._ready.append(SpeechChunk(frame, timed))
        self._wake_up()

    # -- in the voice's thread ---------------------------------------------------------------------------------

    def _speak(self, text: str, first: bool, last: bool) -> None:
        if not self._stopped:
            self._voice.speak(text, first=first, last=last, emit=self._emit)

    def _emit(self, audio: bytes, words: list[TimedWord]) -> bool:
        if self._stopped:
            return False
        try:
            self._loop.call_soon_threadsafe(self._take, audio, words)
        except RuntimeError:  # the loop was closed: nobody listens any more
            return False
        return True


def _as_model_error(error: BaseException, name: str) -> BaseException:
    if isinstance(error, ReparteeError) or not isinstance(error, Exception):
        return error
    return ModelError(
        f"the voice {name} failed: {type(error).__name__}: {error}", stage="tts", provider="local"
    )


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise ConfigurationError(f"{name}={value!r} is out of range: it must be {low} to {high}")


def _as_path(voice: str | os.PathLike[str]) -> Path | None:
    """The file that ``voice`` means, or ``None`` where it is a name."""
    if not isinstance(voice, str):
        return Path(voice)
    looks_like_file = os.sep in voice or "/" in voice or Path(voice).suffix.lower() in _FILE_SUFFIXES
    return Path(voice).expanduser() if looks_like_file else None


_FILE_SUFFIXES = (".onnx", ".bin", ".gguf", ".pt", ".pth", ".json", ".safetensors")


def _from_file(
    path: Path, *, rate_wpm: int | None, volume: float, speaker: str | int | None, voices: Path | None
) -> LocalVoice:
    from repartee.plugins.local.kokoro import KokoroVoice, find_voices
    from repartee.plugins.local.piper import PiperVoice, check_onnx

    path = check_onnx(path)
    speed = (rate_wpm or 170) / 170
    if voices is not None or find_voices(path) is not None:
        return KokoroVoice(path, voices, speaker=speaker, speed=speed, volume=volume)
    if "kokoro" in path.name.lower():
        raise ModelFileError(
            f"the Kokoro model {path} needs its file of voices: put voices-v1.0.bin beside it, or give voices=..."
        )
    return PiperVoice(path, speaker=speaker, speed=speed, volume=volume)
