"""`STT`: transcription by OpenAI and everyone who speaks its API, a segment at a time.

A segment's audio is kept until it is flushed, then sent as one request; servers that stream give the words as they
find them. Silence is not sent: the models invent words for it.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from repartee.audio import AudioFrame, peak_dbfs
from repartee.errors import AudioFormatError, ConfigurationError, ModelError, ReparteeError
from repartee.models import STT as AbstractSTT
from repartee.models import Final, Interim, STTCapabilities, STTEvent, STTStream
from repartee.plugins.openai.client import Client
from repartee.plugins.openai.server import EntraToken

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["STT"]

SILENCE_DBFS = -60.0
"""No speech, however far from the microphone, stays below this peak."""
SHORTEST_MS = 100.0
"""The API refuses less, and less is no word."""
UPLOAD_BYTES_MAX = 24_000_000
"""Of one request (API guide, "Speech to text": files up to 25 MB)."""


class STT(AbstractSTT):
    """A recogniser behind OpenAI's transcription API, shared by any number of streams.

    It hears a segment when it is over, so it gives interims only between a flush and its final. A VAD must say
    where segments end.

    Args:
        model: its name at the server. Default: ``gpt-transcribe``.
        language: what is spoken, in ISO 639-1 (``en``); without it the model finds out. Default: none.
        prompt: words and names that may come, or a text in the style that is wanted. Default: none.
        temperature: 0 to 1. Default: the model's own.
        stream: whether words are wanted as they are found. Default: from models that are known to (whose name has
            ``transcribe`` in it). A server that can't simply gives them at the end.
        max_segment_s: the longest segment; more is an error. Default: 120.
        api_key: default: the environment variable ``OPENAI_API_KEY`` (for Azure ``AZURE_OPENAI_API_KEY``).
        base_url: another server than OpenAI's; for Azure the resource. Default: ``OPENAI_BASE_URL``, else OpenAI's.
        organization: of OpenAI. Default: the key's own.
        project: of OpenAI. Default: the key's own.
        azure_deployment: Azure's name for the model; makes it Azure.
        entra_token: a Microsoft Entra token instead of a key, or a function that gets one; makes it Azure.
        api_version: of Azure's dated API; makes it Azure.
        timeout_s: how long the server may take for the next words. Default: 10.
        max_retries: how often a request is asked again as long as no words came of it. Default: 2.

    Raises:
        ConfigurationError: an argument is out of range, contradicts another, or is missing.
        MissingDependencyError: the package ``openai`` is not installed.
    """

    def __init__(
        self,
        model: str = "gpt-transcribe",
        *,
        language: str | None = None,
        prompt: str | None = None,
        temperature: float | None = None,
        stream: bool | None = None,
        max_segment_s: float = 120.0,
        api_key: str | None = None,
        base_url: str | None = None,
        organization: str | None = None,
        project: str | None = None,
        azure_deployment: str | None = None,
        entra_token: EntraToken | None = None,
        api_version: str | None = None,
        timeout_s: float = 10.0,
        max_retries: int = 2,
    ) -> None:
        if not max_segment_s > 0:
            raise ConfigurationError(f"max_segment_s is {max_segment_s!r}; it must be above 0")
        self._client = Client(
            "stt",
            model,
            api_key=api_key,
            base_url=base_url,
            organization=organization,
            project=project,
            azure_deployment=azure_deployment,
            entra_token=entra_token,
            api_version=api_version,
            timeout_s=timeout_s,
            max_retries=max_retries,
        )
        self.model = self._client.model
        self.max_segment_s = max_segment_s
        self._options: dict[str, Any] = {"response_format": "json"}
        if stream if stream is not None else "transcribe" in model:
            self._options["stream"] = True
        if language:
            # gpt-transcribe takes several, under another name than the models before it.
            self._options |= (
                {"languages": [language]} if model == "gpt-transcribe" else {"language": language}
            )
        if prompt:
            self._options["prompt"] = prompt
        if temperature is not None:
            self._options["temperature"] = temperature
        self.capabilities = STTCapabilities(
            interim=False, endpointing=False, word_times=False, languages=(language or "en",)
        )

    def __repr__(self) -> str:
        return f"openai.STT({self.model!r} at {self._client.server.host})"

    def stream(
        self,
        *,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> STTStream:
        """Begin recognition of one speaker. Errors: a request that failed for good, a segment that is too long."""
        return _SegmentStream(self, sample_rate, on_event, on_error)

    async def prewarm(self) -> None:
        """Open a connection, which is kept.

        Raises:
            ModelError: the server can't be reached, or refuses the key.
        """
        await self._client.prewarm()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def transcribe(self, audio: AudioFrame) -> AsyncGenerator[STTEvent, None]:
        """The words of one piece of audio: interims where the server streams, then one final.

        Raises:
            ModelError: the server failed or refused.
        """
        async with aclosing(self._client.results(lambda: self._request(audio))) as events:
            async for event in events:
                yield event

    async def _request(self, audio: AudioFrame) -> AsyncGenerator[STTEvent, None]:
        file = ("segment.wav", _wav(audio), "audio/wav")
        create = self._client.api.audio.transcriptions.create
        answer = await create(file=file, model=self.model, **self._options)
        if not self._options.get("stream"):
            yield Final(_text_of(answer))
            return
        try:
            if "event-stream" not in answer.response.headers.get("content-type", ""):
                # whisper-1 and most other servers ignore the wish, and answer at the end.
                yield Final(_text_of(json.loads(await answer.response.aread())))
                return
            text, done = "", False
            async for event in answer:
                if event.type == "transcript.text.delta":
                    text += event.delta
                    yield Interim(text.strip())
                elif event.type == "transcript.text.done":
                    done = True
                    yield Final(event.text.strip())
            if not done:
                raise ModelError(
                    f"{self._client.server.host} ended the transcript in its middle",
                    stage="stt",
                    provider="openai",
                    code="connection_error",
                )
        finally:
            await answer.close()


class _SegmentStream(STTStream):
    """One speaker's segments. Several may be out at a time; their finals come in the order of their flushes."""

    def __init__(
        self,
        stt: STT,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> None:
        AudioFrame(b"", sample_rate)  # refuses a rate that no frame can have
        self._stt = stt
        self._rate = sample_rate
        self._on_event = on_event
        self._on_error = on_error
        self._bytes_max = min(UPLOAD_BYTES_MAX, int(stt.max_segment_s * sample_rate) * 2)
        self._segment = bytearray()
        self._flushes = 0
        self._turn: deque[int] = deque()  # bounded by the requests' deadlines
        """Flushes without their final, in order."""
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._finals: dict[int, Final] = {}
        self._over = False

    def push(self, frame: AudioFrame) -> None:
        if self._over:
            return
        if frame.sample_rate != self._rate:
            raise AudioFormatError(
                f"the stream was opened for {self._rate} Hz, and a frame has {frame.sample_rate} Hz"
            )
        self._segment += frame.to_mono().data
        if len(self._segment) > self._bytes_max:
            self._fail(
                ModelError(
                    f"a segment is longer than {self._bytes_max / 2 / self._rate:.0f} s without a pause in it: raise "
                    "max_segment_s=, or use a VAD that finds the pauses",
                    stage="stt",
                    provider="openai",
                    code="segment_too_long",
                )
            )

    def flush(self) -> int:
        self._flushes += 1
        flush_id = self._flushes
        if self._over:
            return flush_id
        audio = AudioFrame(bytes(self._segment), self._rate)
        self._segment.clear()
        self._turn.append(flush_id)
        # Silence too is answered in a task: no event comes from within a call.
        self._spawn(self._transcribe(flush_id, audio))
        return flush_id

    def cancel(self) -> None:
        self._segment.clear()

    async def aclose(self) -> None:
        self._over = True
        self._segment.clear()
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=f"openai.stt.{self._flushes}")
        self._tasks[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            failure = f"the recogniser's plugin failed with {type(error).__name__}: {error}"
            self._fail(ModelError(failure, stage="stt", provider="openai"))

    async def _transcribe(self, flush_id: int, audio: AudioFrame) -> None:
        final = Final("")
        if audio.duration_s * 1000 >= SHORTEST_MS and peak_dbfs(audio) > SILENCE_DBFS:
            try:
                async with aclosing(self._stt.transcribe(audio)) as events:
                    async for event in events:
                        if isinstance(event, Final):
                            final = event
                        elif event.text and self._turn[0] == flush_id and not self._over:
                            self._on_event(event)
            except ReparteeError as error:
                self._fail(error if isinstance(error, ModelError) else ModelError(str(error), stage="stt"))
                return
        self._finals[flush_id] = replace(final, flush_id=flush_id)
        while self._turn and self._turn[0] in self._finals and not self._over:
            self._on_event(self._finals.pop(self._turn.popleft()))

    def _fail(self, error: ModelError) -> None:
        if not self._over:
            self._over = True
            for task in self._tasks:
                task.cancel()
            self._on_error(error)


def _wav(audio: AudioFrame) -> bytes:
    """The audio as a WAV file (RIFF, PCM16 mono)."""
    data = audio.data
    header = b"RIFF" + (36 + len(data)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    header += (1).to_bytes(2, "little") + (1).to_bytes(2, "little")  # PCM, one channel
    header += audio.sample_rate.to_bytes(4, "little") + (2 * audio.sample_rate).to_bytes(4, "little")
    header += (2).to_bytes(2, "little") + (16).to_bytes(2, "little")  # bytes a frame, bits a sample
    return header + b"data" + len(data).to_bytes(4, "little") + data


def _text_of(answer: Any) -> str:
    """The words of an answer that came at once, whichever of the API's forms it has."""
    text = answer if isinstance(answer, str) else None
    if isinstance(answer, dict):
        text = answer.get("text")
    elif text is None:
        text = getattr(answer, "text", None)
    if not isinstance(text, str):
        raise ModelError(
            "the server answered without a text: check that base_url= is right",
            stage="stt",
            provider="openai",
            code="invalid_response",
        )
    return text.strip()
