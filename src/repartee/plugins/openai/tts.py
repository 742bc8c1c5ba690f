"""`TTS`: speech of OpenAI and everyone who speaks its API, streamed as it is made."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Unpack

from repartee.audio import AudioFrame
from repartee.errors import ConfigurationError, ModelError
from repartee.models import TTS as AbstractTTS
from repartee.models import SpeechChunk, TTSCapabilities
from repartee.plugins.openai.client import Client
from repartee.plugins.openai.messages import clean_text
from repartee.plugins.openai.server import ClientArguments

__all__ = ["TTS"]

OPENAI_VOICES = (
    "marin",
    "cedar",
    "alloy",
    "ash",
    "ballad",
    "coral",
    "echo",
    "fable",
    "nova",
    "onyx",
    "sage",
    "shimmer",
    "verse",
)
"""API reference, "Create speech": ``voice``."""
INPUT_CHARS_MAX = 4096
"""Of one request (API reference, "Create speech": ``input``)."""
_NOT_PCM = {
    b"RIFF": "WAV",
    b"ID3": "MP3",
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"\xff\xfb": "MP3",
    b"\xff\xf3": "MP3",
}


class TTS(AbstractTTS):
    """A voice behind OpenAI's speech API, shared by any number of sessions.

    The audio comes as raw PCM16 mono, so that its first bytes can be played. Words have no times here.

    Args:
        model: its name at the server. Default: ``gpt-4o-mini-tts``. OpenAI has announced that its models for this
            API, this one included, end on 2027-01-06; other servers' go on.
        voice: default: ``marin``.
        voices: names that sessions may choose instead. Default: OpenAI's at OpenAI's server, none at others.
        speed: 0.25 to 4. Default: the voice's own, 1.
        instructions: how to speak, for models that take some. Default: none.
        sample_rate: of the PCM that the server gives, in Hz. Default: 24000, which is OpenAI's.
        server: ``api_key``, ``base_url``, ``timeout_s`` and the rest of `ClientArguments`: which server, and how
            long it is waited for.

    Raises:
        ConfigurationError: an argument is out of range, contradicts another, or is missing.
        MissingDependencyError: the package ``openai`` is not installed.
    """

    def __init__(
        self,
        model: str = "gpt-4o-mini-tts",
        *,
        voice: str = "marin",
        voices: Sequence[str] | None = None,
        speed: float | None = None,
        instructions: str | None = None,
        sample_rate: int = 24_000,
        **server: Unpack[ClientArguments],
    ) -> None:
        if speed is not None and not 0.25 <= speed <= 4:
            raise ConfigurationError(f"speed is {speed!r}; it must be from 0.25 to 4")
        if not voice:
            raise ConfigurationError("voice is empty: name one of the server's, such as 'marin'")
        AudioFrame(b"", sample_rate)  # refuses a rate that no frame can have
        self._client = Client("tts", model, **server)
        self.model = self._client.model
        self.voice = voice
        self._owns = True
        if voices is None:
            voices = OPENAI_VOICES if self._client.server.is_openai else ()
        self._options: dict[str, Any] = {"response_format": "pcm"}
        if speed is not None:
            self._options["speed"] = speed
        if instructions:
            self._options["instructions"] = instructions
        # Each piece is a request of its own, and the voice minds where a sentence goes: a clause at least.
        self.capabilities = TTSCapabilities(
            sample_rate=sample_rate, min_words=4, voices=tuple(dict.fromkeys((voice, *voices)))
        )

    def __repr__(self) -> str:
        return f"openai.TTS({self.model!r}, voice={self.voice!r} at {self._client.server.host})"

    def with_voice(self, name: str) -> TTS:
        """The same model with another voice: a name in ``voices``, or the id of one of your own at OpenAI.

        Raises:
            ConfigurationError: it is none of them.
        """
        own = name.startswith("voice_") and self._client.server.is_openai
        if name not in self.capabilities.voices and not own:
            raise ConfigurationError(
                f"openai.TTS knows no voice {name!r}; it has {', '.join(self.capabilities.voices)}; "
                "pass voices= to let sessions choose others of that server"
            )
        other = copy.copy(self)
        other.voice = name
        other._owns = False
        return other

    async def synthesize(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        """Speak one piece of text; the first audio is given as soon as it is there.

        Raises:
            ModelError: the server failed, refused, or gave something that is not PCM.
            StateError: the voice is closed.
        """
        position = 0
        for piece in _pieces(clean_text(text)):
            results = self._client.results(lambda piece=piece: self._speak(piece))  # type: ignore[misc]
            try:
                async for data in results:
                    frame = AudioFrame(data, self.capabilities.sample_rate, position_samples=position)
                    position = frame.end_samples
                    yield SpeechChunk(frame)
            finally:
                await results.aclose()

    async def prewarm(self) -> None:
        """Open a connection, which is kept.

        Raises:
            ModelError: the server can't be reached, or refuses the key.
        """
        await self._client.prewarm()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._owns:
            await self._client.aclose()

    async def _speak(self, text: str) -> AsyncGenerator[bytes, None]:
        """Whole samples, as they come."""
        odd = b""
        given = False
        speech = self._client.api.audio.speech.with_streaming_response
        async with speech.create(input=text, model=self.model, voice=self.voice, **self._options) as response:
            async for data in response.iter_bytes():
                data = odd + data
                if not given and len(data) >= 4:
                    self._check_pcm(data, response.headers.get("content-type", ""))
                whole = len(data) - len(data) % 2
                odd = data[whole:]
                if whole:
                    given = True
                    yield data[:whole]
        if not given:
            raise ModelError(
                f"{self._client.server.host} gave no audio for {len(text)} characters of text",
                stage="tts",
                provider="openai",
                code="no_audio",
            )

    def _check_pcm(self, data: bytes, content_type: str) -> None:
        kind = next((name for magic, name in _NOT_PCM.items() if data.startswith(magic)), "")
        if not kind and content_type.startswith(("application/json", "text/")):
            kind = content_type.partition(";")[0]
        if kind:
            raise ModelError(
                f"{self._client.server.host} gave {kind} instead of raw PCM: it must know response_format 'pcm'",
                stage="tts",
                provider="openai",
                recoverable=False,
                code="invalid_response",
            )


def _pieces(text: str) -> list[str]:
    """The text in as many requests as it needs, cut between words; none if there is nothing to say."""
    pieces = []
    rest = text.strip()
    while rest:
        cut = len(rest)
        if cut > INPUT_CHARS_MAX:
            cut = rest.rfind(" ", 1, INPUT_CHARS_MAX) + 1 or INPUT_CHARS_MAX
        pieces.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    return [piece for piece in pieces if any(character.isalnum() for character in piece)]
