"""`RealtimeModel`: a speech-to-speech model behind the OpenAI Realtime protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

from repartee.clock import Clock
from repartee.errors import ConfigurationError
from repartee.models import ChatRequest, RealtimeCapabilities, SessionOptions, Sink
from repartee.models import RealtimeModel as BaseRealtimeModel
from repartee.plugins.openai.realtime.address import link_request
from repartee.plugins.openai.realtime.dialect import speaking_beta
from repartee.plugins.openai.realtime.keeper import Wire, checked_deadlines, checked_seconds, open_wire
from repartee.plugins.openai.realtime.link import Connector, LinkRequest, connect
from repartee.plugins.openai.realtime.options import NOT_GIVEN, NotGivenOr, RealtimeOptions, as_model
from repartee.plugins.openai.realtime.responses import SAMPLE_RATE
from repartee.plugins.openai.realtime.session import OpenAISession
from repartee.plugins.openai.realtime.spares import Spares
from repartee.plugins.openai.server import AccountArguments, Server, find_server
from repartee.protocol import config as wire

__all__ = ["RealtimeModel"]

_NAMES = {"model": "gpt-realtime", "voice": "marin"}
_OBJECTS: dict[str, type[Any]] = {
    "turn_detection": wire.TurnDetection,
    "input_audio_transcription": wire.Transcription,
    "input_audio_noise_reduction": wire.NoiseReduction,
    "reasoning": wire.Reasoning,
    "prompt": wire.Prompt,
}
_OBJECTS_OR_WORDS: dict[str, type[Any]] = {"truncation": wire.RetentionRatio, "tracing": wire.Tracing}

_MODALITIES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("audio",): ("audio",),
    ("text",): ("text",),
    ("audio", "text"): ("audio",),
    ("text", "audio"): ("audio",),
}


class RealtimeModel(BaseRealtimeModel):
    """OpenAI's Realtime API, Azure's, or any server that speaks the same protocol.

    *Not given*, ``None`` and a value are three different things: the server's default, off, and that value.

    Args:
        model: default ``"gpt-realtime"``.
        voice: default ``"marin"``.
        modalities: ``("audio",)``, or ``("text",)`` for a voice of your own (``tts=``). Default: audio; the spoken
            words come as text in either case, so ``["text", "audio"]`` means the same.
        instructions: for agents that have none of their own.
        turn_detection: the server's: a `ServerVad`, a `SemanticVad`, or a dict of their fields. ``None``: off; the
            session takes turns. Default: the server's default.
        input_audio_transcription: a `Transcription` or a dict of its fields. ``None``: off. Default: off.
        input_audio_noise_reduction: a `NoiseReduction` or a dict: ``{"type": "near_field"}``. Default: off.
        tool_choice: ``"auto"``, ``"none"``, ``"required"``, or a function's name. Default ``"auto"``.
        parallel_tool_calls: default: the server's.
        temperature: accepted for code written for the beta; the protocol has no such field any more, so it has no
            effect.
        speed: 0.25 to 1.5. Default: the server's, 1.0.
        max_response_output_tokens: 1 to 4096, or ``"inf"``. Default: the server's.
        truncation: ``"auto"``, ``"disabled"``, or a `RetentionRatio`, of a conversation that grows too long.
        tracing: ``"auto"`` or a `Tracing`. ``None``: off.
        reasoning: a `Reasoning` or a dict: ``{"effort": "low"}``; for models that reason.
        include: further fields for the server's events, such as ``"item.input_audio_transcription.logprobs"``.
        prompt: a stored `Prompt`.
        api_key: default: ``OPENAI_API_KEY``, for Azure ``AZURE_OPENAI_API_KEY``. The environment's goes only to OpenAI
            or to the server in ``OPENAI_BASE_URL``; a server at another ``base_url`` gets the key given here, or none.
        base_url: default: ``OPENAI_BASE_URL`` or OpenAI's own. ``http`` and ``ws`` mean the same here.
        connect_timeout_s: how long a connection may take, and then the server's consent to the configuration.
            Default 10. A first connection that is refused for the moment, or cut off, is tried twice more in that time.
        heartbeat_s: a connection on which nothing comes for this long is asked, and given up after as long again.
            Default 5: a half-open one is found within 10 s.
        reconnect_timeout_s: how long a lost connection is tried again before that is final. Default 60.
        max_session_duration_s: a new connection takes over at the next quiet moment after this. Default 55 minutes
            (OpenAI ends sessions after 60).
        handover_grace_s: how long that moment is waited for. Default 120.
        response_timeout_s: a response of which nothing comes for so long fails. Default 30.
        response_duration_s: a response that has not ended after so long fails, though more of it comes. Default 300.
        commit_timeout_s: a turn that was committed, and of which the server does not say that it has it within so long,
            is lost, and an error says so. Default 10.
        transcription_timeout_s: the words of a turn that the server has, where it writes them down, count as
            failed after so long. Default 30.
        close_timeout_s: how long the end of a connection may take; then it is dropped. Default 2.
        prewarm_connections: how many connections `prewarm` opens ahead, each for one session; at most 16. Default 1.
        connector: opens connections; for tests. Default: over TCP.
        account: ``organization`` and ``project`` of OpenAI; ``azure_deployment``, ``entra_token`` (for a key) and
            ``api_version`` (of the dated API) of Azure: `AccountArguments`.

    Raises:
        ConfigurationError: something is missing, malformed, or contradicts something else.
    """

    def __init__(
        self,
        *,
        model: str = "gpt-realtime",
        voice: str = "marin",
        modalities: Sequence[Literal["audio", "text"]] = ("audio",),
        instructions: str | None = None,
        turn_detection: NotGivenOr[wire.TurnDetection | Mapping[str, Any] | None] = NOT_GIVEN,
        input_audio_transcription: NotGivenOr[wire.Transcription | Mapping[str, Any] | None] = NOT_GIVEN,
        input_audio_noise_reduction: NotGivenOr[wire.NoiseReduction | Mapping[str, Any] | None] = NOT_GIVEN,
        tool_choice: str | None = None,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        temperature: float | None = None,
        speed: NotGivenOr[float] = NOT_GIVEN,
        max_response_output_tokens: NotGivenOr[int | Literal["inf"]] = NOT_GIVEN,
        truncation: NotGivenOr[str | wire.RetentionRatio | Mapping[str, Any]] = NOT_GIVEN,
        tracing: NotGivenOr[str | wire.Tracing | Mapping[str, Any] | None] = NOT_GIVEN,
        reasoning: NotGivenOr[wire.Reasoning | Mapping[str, Any] | None] = NOT_GIVEN,
        include: NotGivenOr[Sequence[str]] = NOT_GIVEN,
        prompt: NotGivenOr[wire.Prompt | Mapping[str, Any] | None] = NOT_GIVEN,
        api_key: NotGivenOr[str | None] = NOT_GIVEN,
        base_url: NotGivenOr[str | None] = NOT_GIVEN,
        connect_timeout_s: float = 10.0,
        heartbeat_s: float = 5.0,
        reconnect_timeout_s: float = 60.0,
        max_session_duration_s: float = 55 * 60.0,
        handover_grace_s: float = 120.0,
        response_timeout_s: float = 30.0,
        response_duration_s: float = 300.0,
        commit_timeout_s: float = 10.0,
        transcription_timeout_s: float = 30.0,
        close_timeout_s: float = 2.0,
        prewarm_connections: int = 1,
        connector: Connector = connect,
        **account: Unpack[AccountArguments],
    ) -> None:
        self.server: Server = find_server(
            api_key=api_key if isinstance(api_key, str) else None,
            base_url=_http(base_url),
            **account,
        )
        told = {"voice": voice, "modalities": modalities, "speed": speed, "instructions": instructions}
        words = {"truncation": truncation, "tracing": tracing, "tool_choice": tool_choice, "include": include}
        objects = {"turn_detection": turn_detection, "reasoning": reasoning, "prompt": prompt}
        self.options = _options(
            model=self.server.deployment or model,
            input_audio_transcription=input_audio_transcription,
            input_audio_noise_reduction=input_audio_noise_reduction,
            parallel_tool_calls=parallel_tool_calls,
            max_response_output_tokens=max_response_output_tokens,
            **told,
            **words,
            **objects,
        )
        self.deadlines = checked_deadlines(
            connect_timeout_s=connect_timeout_s,
            reconnect_timeout_s=reconnect_timeout_s,
            max_session_duration_s=max_session_duration_s,
            handover_grace_s=handover_grace_s,
            response_timeout_s=response_timeout_s,
            response_duration_s=response_duration_s,
            commit_timeout_s=commit_timeout_s,
            transcription_timeout_s=transcription_timeout_s,
            close_timeout_s=close_timeout_s,
        )
        self.temperature, self.heartbeat_s = temperature, checked_seconds("heartbeat_s", heartbeat_s)
        # Of Azure's APIs only the dated one still speaks the beta's names.
        self.connector = speaking_beta(connector) if self.server.kind == "azure" else connector
        self._spares = Spares(prewarm_connections)
        self.capabilities = capabilities_of(self.options)

    def session(self, options: SessionOptions, *, on_event: Sink, clock: Clock) -> OpenAISession:
        """A new conversation, not connected yet."""
        return OpenAISession(self, options, on_event=on_event, clock=clock)

    async def prewarm(self, request: ChatRequest | None = None) -> None:
        """Connect ahead: the next ``prewarm_connections`` sessions take one each, if they begin within a minute.

        What is there already is not opened again, and what nobody takes is closed after that minute.

        Raises:
            ModelError: one can't be had.
        """
        await self._spares.fill(self._spare_key(), self._open_new)

    async def aclose(self) -> None:
        """Close the connections that `prewarm` opened and no session has taken."""
        await self._spares.aclose()

    async def open_wire(self) -> Wire:
        """A connection for a session: one that was opened ahead, or a new one.

        Raises:
            ModelError: it can't be had.
        """
        spare = await self._spares.take(self._spare_key())
        return spare if spare is not None else await self._open_new()

    async def _open_new(self) -> Wire:
        return await open_wire(self.connector, await self.request(), close_s=self.deadlines.close_s)

    async def request(self) -> LinkRequest:
        """Where to connect, and how."""
        return await link_request(
            self.server,
            model=self.options.model,
            timeout_s=self.deadlines.connect_s,
            heartbeat_s=self.heartbeat_s,
        )

    def _spare_key(self) -> object:
        """What is fixed when a connection opens."""
        return self.server, self.options.model, self.heartbeat_s, self.connector


def capabilities_of(options: RealtimeOptions) -> RealtimeCapabilities:
    """What a model with these options does by itself."""
    return RealtimeCapabilities(
        images=True,
        speculation=False,
        audio_input=True,
        audio_output="audio" in options.modalities,
        transcription=isinstance(options.input_audio_transcription, wire.Transcription),
        turn_detection=options.detects_turns,
        truncation=True,
        input_sample_rate=SAMPLE_RATE,
        output_sample_rate=SAMPLE_RATE,
    )


def _options(
    *, modalities: Any, speed: Any, max_response_output_tokens: Any, **given: Any
) -> RealtimeOptions:
    """The parameters, checked.

    Raises:
        ConfigurationError: one is wrong; the message names it.
    """
    wanted = _MODALITIES.get(tuple(modalities))
    if wanted is None:
        raise ConfigurationError(f"modalities is {list(modalities)!r}; it must be ['audio'] or ['text']")
    if isinstance(speed, float | int) and not 0.25 <= speed <= 1.5:
        raise ConfigurationError(f"speed is {speed}; it must be between 0.25 and 1.5")
    limit = max_response_output_tokens
    if limit is not NOT_GIVEN and limit != "inf" and not (isinstance(limit, int) and 1 <= limit <= 4096):
        raise ConfigurationError(f"max_response_output_tokens is {limit!r}; it must be 1 to 4096, or 'inf'")
    for name, kind in _OBJECTS.items():
        given[name] = as_model(name, given[name], kind)
    for name, kind in _OBJECTS_OR_WORDS.items():
        if not isinstance(given[name], str):
            given[name] = as_model(name, given[name], kind)
    include = given.pop("include")
    given["include"] = NOT_GIVEN if include is NOT_GIVEN else list(include)
    for name in ("model", "voice"):
        if not isinstance(given[name], str) or not given[name].strip():
            raise ConfigurationError(
                f"{name} is {given[name]!r}; it must be a name, such as {_NAMES[name]!r}"
            )
    return RealtimeOptions(modalities=wanted, speed=speed, max_response_output_tokens=limit, **given)


def _http(url: object) -> str | None:
    """An address as the other parts of the plugin take it: ``ws`` means ``http``."""
    if not isinstance(url, str):
        return None
    return "http" + url[2:] if url.startswith("ws") else url
