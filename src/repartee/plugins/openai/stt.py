"""`STT`: transcription by OpenAI and everyone who speaks its API, while one speaks or a segment at a time.

Models that hear while one speaks do so through a transcription session (`repartee.plugins.openai.transcription`). For
the others a segment's audio is kept until it is flushed, then sent as one request; servers that stream give the words
as they find them. Silence is not sent: the models invent words for it.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from repartee.audio import AudioFrame, peak_dbfs
from repartee.errors import AudioFormatError, ConfigurationError, ModelError, ReparteeError, StateError
from repartee.models import STT as AbstractSTT
from repartee.models import Final, Interim, STTCapabilities, STTEvent, STTStream
from repartee.plugins.openai.client import Client
from repartee.plugins.openai.realtime.options import as_model
from repartee.plugins.openai.server import ClientArguments, Server, find_server
from repartee.plugins.openai.transcription import (
    SAMPLE_RATE,
    SILENCE_DBFS,
    ConnectionArguments,
    Transcriber,
    TranscriptionOptions,
)
from repartee.protocol.config import NoiseReduction, Transcription, TurnDetection
from repartee.protocol.model import UNSET

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["STT"]

SHORTEST_MS = 100.0
"""The API refuses less, and less is no word."""
UPLOAD_BYTES_MAX = 24_000_000
"""Of one request (API guide, "Speech to text": files up to 25 MB)."""


_SEVERAL_LANGUAGES = ("gpt-transcribe", "gpt-live-transcribe")  # which take them under another name
LIVE_MODEL = "gpt-live-transcribe"
SEGMENT_MODEL = "gpt-transcribe"


class STTArguments(ClientArguments, ConnectionArguments, total=False):
    """The server and its connections."""


class STT(AbstractSTT):
    """A recogniser behind OpenAI's transcription API, shared by any number of streams.

    It works in one of two ways. *Live*: a transcription session over a WebSocket, which hears while one speaks, so that
    there are interims on the way and the final soon after the end. *By the segment*: one request when a segment is
    over, with interims only between a flush and its final. Either way something else says where segments end (an
    `AgentSession` sees to that), unless the server does (``turn_detection``).

    Args:
        model: its name at the server. Default: ``gpt-live-transcribe`` where it is live, else ``gpt-transcribe``.
        realtime: whether it is live. Default: at OpenAI and Azure as the model wants it: live without a name, or with
            one that has ``live`` or ``realtime`` in it; at other servers not, since few have transcription sessions.
        language: what is spoken, in ISO 639-1 (``en``); without it the model finds out. Default: none.
        prompt: words and names that may come, or a text in the style that is wanted. Default: none.
        delay: live: how long the model waits for more before it writes, ``minimal`` to ``xhigh`` (later is more
            accurate). Default: the model's own.
        noise_reduction: live: a `NoiseReduction` or a dict: ``{"type": "near_field"}``. Default: none.
        turn_detection: live: a `ServerVad`, a `SemanticVad` or a dict of their fields; then the server ends segments,
            audio must flow through silence too, and ``AgentSession(turn_detection="stt")`` goes by it. Not for models
            that write while one speaks: OpenAI's take none. Default: ``None``, off.
        temperature: by the segment: 0 to 1. Default: the model's own.
        stream: by the segment: whether words are wanted as they are found. Default: from models that are known to
            (whose name has ``transcribe`` in it). A server that can't simply gives them at the end.
        max_segment_s: the longest segment; more is an error. Default: 120.
        server: ``api_key``, ``base_url``, ``timeout_s`` and the rest of `ClientArguments`: which server, and how
            long it is waited for. Live, ``timeout_s`` is how long nothing may come of a segment's words once it is
            over; instead of ``max_retries`` there are ``connect_timeout_s``, ``reconnect_timeout_s`` and the rest of
            `ConnectionArguments`.

    Raises:
        ConfigurationError: an argument is out of range, contradicts another, or is missing.
        MissingDependencyError: the package ``openai`` (live: ``picows``) is not installed.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        realtime: bool | None = None,
        language: str | None = None,
        prompt: str | None = None,
        delay: str | None = None,
        noise_reduction: NoiseReduction | Mapping[str, Any] | None = None,
        turn_detection: TurnDetection | Mapping[str, Any] | None = None,
        temperature: float | None = None,
        stream: bool | None = None,
        max_segment_s: float = 120.0,
        **server: Unpack[STTArguments],
    ) -> None:
        if not max_segment_s > 0:
            raise ConfigurationError(f"max_segment_s is {max_segment_s!r}; it must be above 0")
        live = {"delay": delay, "noise_reduction": noise_reduction, "turn_detection": turn_detection}
        by_segment = {"temperature": temperature, "stream": stream}
        rest: dict[str, Any] = {**server}
        connection = {each: rest.pop(each) for each in ConnectionArguments.__annotations__ if each in rest}
        request = {each: rest.pop(each) for each in ("timeout_s", "max_retries") if each in rest}
        self.server = find_server(**rest)
        self.max_segment_s = max_segment_s
        name = model or self.server.deployment
        self.realtime = realtime if realtime is not None else _is_live(self.server, name)
        _refuse(by_segment if self.realtime else live, self.realtime, name)
        self.model = self.server.deployment or model or (LIVE_MODEL if self.realtime else SEGMENT_MODEL)
        self._client: Client | None = None
        self._live: Transcriber | None = None
        self._options: dict[str, Any] = {}
        if self.realtime:
            options = TranscriptionOptions(
                self.server,
                _transcription(self.model, language, prompt, delay),
                as_model("noise_reduction", noise_reduction, NoiseReduction),
                as_model("turn_detection", turn_detection, TurnDetection) or None,
                request.get("timeout_s", 10.0),
                max_segment_s,
            )
            self._live = Transcriber(options, **connection)
        else:
            self._client = Client("stt", self.model, **request, **rest)
            self._options = _request_options(self.model, language, prompt, temperature, stream)
        self.capabilities = STTCapabilities(
            interim=self.realtime and _writes_at_once(name or LIVE_MODEL),
            endpointing=turn_detection is not None,
            word_times=False,
            sample_rate=SAMPLE_RATE if self.realtime else 16_000,
            languages=(language or "en",),
        )

    def __repr__(self) -> str:
        return f"openai.STT({self.model!r} at {self.server.host})"

    def stream(
        self,
        *,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> STTStream:
        """Begin recognition of one speaker. Errors: it failed for good, or a segment is too long."""
        if self._live is not None:
            return self._live.stream(sample_rate, on_event, on_error)
        return _SegmentStream(self, sample_rate, on_event, on_error)

    async def prewarm(self) -> None:
        """Open a connection, which is kept (live: for the next stream, if that begins within a minute).

        Raises:
            ModelError: the server can't be reached, or refuses the key.
        """
        await (self._live or self._batch).prewarm()

    async def aclose(self) -> None:
        """Close the connections that no stream has."""
        await (self._live or self._batch).aclose()

    @property
    def _batch(self) -> Client:
        if self._client is None:
            raise StateError(
                f"{self!r} hears through streams: use stream(), or pass realtime=False for a model that takes files"
            )
        return self._client

    async def transcribe(self, audio: AudioFrame) -> AsyncGenerator[STTEvent, None]:
        """The words of one piece of audio: interims where the server streams, then one final.

        Raises:
            ModelError: the server failed or refused.
            StateError: it is live.
        """
        async with aclosing(self._batch.results(lambda: self._request(audio))) as events:
            async for event in events:
                yield event

    async def _request(self, audio: AudioFrame) -> AsyncGenerator[STTEvent, None]:
        file = ("segment.wav", _wav(audio), "audio/wav")
        create = self._batch.api.audio.transcriptions.create
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
                    f"{self.server.host} ended the transcript in its middle",
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


def _is_live(server: Server, name: str | None) -> bool:
    """Whether a model hears while one speaks, by its name; without one the default does."""
    return server.is_openai and (name is None or _writes_at_once(name))


def _writes_at_once(model: str) -> bool:
    """Whether the words of a model come while one speaks, by its name."""
    return "live" in model or "realtime" in model


def _refuse(arguments: dict[str, Any], realtime: bool, name: str | None) -> None:
    """Refuse what has no effect here.

    Raises:
        ConfigurationError: one of them was given.
    """
    for argument, value in arguments.items():
        if value is not None:
            here, there = ("live", False) if realtime else ("by the segment", True)
            model = repr(name) if name is not None else "the default model"
            raise ConfigurationError(
                f"{argument} has no effect, since {model} is heard {here}: leave it out, or pass realtime={there} with "
                "a model for that"
            )


def _transcription(model: str, language: str | None, prompt: str | None, delay: str | None) -> Transcription:
    """What a transcription session is told of its model."""
    if prompt and "realtime-whisper" in model:
        raise ConfigurationError(f"{model!r} takes no prompt: leave it out")
    several = language is not None and model in _SEVERAL_LANGUAGES
    return Transcription(
        model=model,
        language=language if language and not several else UNSET,
        languages=[language] if language and several else UNSET,
        prompt=prompt or UNSET,
        delay=delay or UNSET,
    )


def _request_options(
    model: str, language: str | None, prompt: str | None, temperature: float | None, stream: bool | None
) -> dict[str, Any]:
    """The fields of a request beside its file and model."""
    options: dict[str, Any] = {"response_format": "json"}
    if stream if stream is not None else "transcribe" in model:
        options["stream"] = True
    if language:
        options |= {"languages": [language]} if model in _SEVERAL_LANGUAGES else {"language": language}
    if prompt:
        options["prompt"] = prompt
    if temperature is not None:
        options["temperature"] = temperature
    return options


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
