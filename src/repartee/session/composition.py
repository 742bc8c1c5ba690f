"""Which wrappers a session's parts call for. Nothing else in the house chooses them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import Literal

from repartee.compose import Conversing, Overheard, Spoken, Transcribed, TurnTaking
from repartee.errors import ConfigurationError, MissingDependencyError
from repartee.models import LLM, STT, TTS, VAD, RealtimeModel, TurnDetector
from repartee.models.events import WordsFrom
from repartee.turns import (
    Endpointing,
    FixedEndpointing,
    InterruptionOptions,
    SemanticEndpointing,
    SpeculationOptions,
    SpeechGateOptions,
    TurnMode,
    TurnOptions,
)

__all__ = ["Parts", "TurnDetection", "check_kind", "compose", "default_stt", "default_vad"]

TurnDetection = TurnDetector | Literal["vad", "stt", "realtime_llm", "manual"] | None


@dataclass(frozen=True, slots=True)
class Parts:
    """What `AgentSession` was given."""

    llm: LLM | None
    stt: STT | None = None
    tts: TTS | None = None
    vad: VAD | None = None
    vad_given: bool = False
    turn_detection: TurnDetection = None
    endpointing: Endpointing | None = None
    interruption: InterruptionOptions | None = None
    speculation: SpeculationOptions | None = None
    gate: SpeechGateOptions | None = None
    away_after_s: float | None = 15.0


def default_vad() -> VAD:
    """The VAD that an installed package offers as the default.

    Raises:
        ConfigurationError: none does.
        MissingDependencyError: it lacks a package.
    """
    for entry in entry_points(group="repartee.defaults", name="vad"):
        vad = entry.load()()
        if isinstance(vad, VAD):
            return vad
    raise ConfigurationError(
        "speech has to be detected to take turns, and no VAD is installed: pass vad=, or pip install 'repartee[local]'"
    )


def default_stt() -> STT | None:
    """The recogniser that an installed package offers as the default; ``None``: none does, or it can't be had."""
    for entry in entry_points(group="repartee.defaults", name="stt"):
        try:
            stt = entry.load()()
        except (MissingDependencyError, ConfigurationError):
            continue
        if isinstance(stt, STT):
            return stt
    return None


def compose(parts: Parts, made: list[VAD | STT] | None = None) -> RealtimeModel:
    """One model of all parts.

    Args:
        parts: what the session was given, and does not own: its models may serve other sessions too.
        made: the detector and the recogniser that had to be made are put here; whoever composes owns and closes them.

    Raises:
        ConfigurationError: they contradict each other, or one is missing.
    """
    _check_parts(parts)
    llm = parts.llm
    assert llm is not None
    model = llm if isinstance(llm, RealtimeModel) else Conversing(llm)
    if parts.stt is not None:
        model = Transcribed(model, parts.stt)
    if parts.tts is not None:
        model = Spoken(model, parts.tts)
    if model.capabilities.floor:
        _check_takes_turns(parts)
        return model
    mode = _mode(parts, model)
    vad = parts.vad
    if mode == "vad" and vad is None and model.capabilities.audio_input:
        if parts.vad_given:
            raise ConfigurationError(
                "turns can't be told without a VAD (vad=None): leave vad out for the default, pass one, or set "
                "turn_detection to 'stt' (a recogniser with its own endpointing), 'realtime_llm' or 'manual'"
            )
        vad = default_vad()
        if made is not None:
            made.append(vad)
    detector = parts.turn_detection if isinstance(parts.turn_detection, TurnDetector) else None
    words = None
    if detector is not None and not model.capabilities.settles:
        model, words, stt = _with_words(model)
        if stt is not None and made is not None:
            made.append(stt)
        detector = None if words.source == "silence" else detector
    options = _options(parts, mode, detector)
    if isinstance(model, Overheard):
        options = replace(options, needs_words=False)
    return TurnTaking(model, vad, detector, options=options, gate=parts.gate, words=words)


def _with_words(model: RealtimeModel) -> tuple[RealtimeModel, WordsFrom, STT | None]:
    """Words for an end-of-turn model: the installed recogniser's, the model's own as far as they come, or none."""
    stt = default_stt()
    if stt is not None:
        name = f"{type(stt).__module__.split('.')[-2]}.{type(stt).__name__}"
        return Overheard(model, stt), WordsFrom("stt", name), stt
    return model, WordsFrom("model" if model.capabilities.transcription else "silence"), None


def _check_parts(parts: Parts) -> None:
    if parts.llm is None:
        raise ConfigurationError(
            "an AgentSession needs a model: pass llm=, a text model such as local.LLM() or a realtime model such "
            "as local.RealtimeModel()"
        )
    check_kind("llm", parts.llm, LLM, "an LLM or a RealtimeModel")
    check_kind("stt", parts.stt, STT, "an STT")
    check_kind("tts", parts.tts, TTS, "a TTS")
    check_kind("vad", parts.vad, VAD, "a VAD")
    check_kind("interruption", parts.interruption, InterruptionOptions, "an InterruptionOptions")
    check_kind("speculation", parts.speculation, SpeculationOptions, "a SpeculationOptions")
    check_kind("speech", parts.gate, SpeechGateOptions, "a SpeechGateOptions")
    if parts.endpointing is not None and not hasattr(parts.endpointing, "delay_s"):
        raise ConfigurationError(
            f"endpointing is {parts.endpointing!r}; it must be an Endpointing, such as FixedEndpointing(silence_ms=500)"
        )
    if parts.away_after_s is not None and parts.away_after_s <= 0:
        raise ConfigurationError(
            f"user_away_timeout_s is {parts.away_after_s}; it must be above 0, or None for never"
        )


def check_kind(name: str, value: object, kind: type, wanted: str) -> None:
    """Refuse an argument of another kind; ``None`` passes.

    Raises:
        ConfigurationError: it is none.
    """
    if value is None or isinstance(value, kind):
        return
    if isinstance(value, type) and issubclass(value, kind):
        raise ConfigurationError(
            f"{name} is the class {value.__name__}; pass an instance: {value.__name__}(...)"
        )
    raise ConfigurationError(f"{name} is a {type(value).__name__}; it must be {wanted}")


def _check_takes_turns(parts: Parts) -> None:
    if parts.turn_detection is not None or parts.vad is not None:
        raise ConfigurationError(
            "this model takes turns by itself: configure its own turn detection, or build it with "
            "turn_detection=None to use the session's"
        )


def _mode(parts: Parts, model: RealtimeModel) -> TurnMode:
    """Who says that a turn is over."""
    wanted = parts.turn_detection
    able = model.capabilities
    if (wanted == "vad" or isinstance(wanted, TurnDetector)) and not able.audio_input:
        raise ConfigurationError(
            "there is a turn_detection, but nothing that hears: pass stt=, or leave it out"
        )
    if isinstance(wanted, TurnDetector):
        if able.turn_detection:
            raise ConfigurationError(
                "two turn detections contradict each other: the model has its own; build it with turn_detection=None "
                "to use the session's"
            )
        return "vad"
    match wanted:
        case "manual" | "vad":
            return wanted
        case "stt":
            if parts.stt is None or not parts.stt.capabilities.endpointing:
                raise ConfigurationError(
                    "turn_detection='stt' needs an stt that finds the end of speech by itself"
                )
            return "stt"
        case "realtime_llm":
            return "model"
        case None:
            if able.turn_detection:
                return "model"
            return "vad" if able.audio_input else "manual"
    raise ConfigurationError(
        f"turn_detection is {wanted!r}; it must be a TurnDetector, 'vad', 'stt', 'realtime_llm', 'manual' or None"
    )


def _options(parts: Parts, mode: TurnMode, detector: TurnDetector | None) -> TurnOptions:
    endpointing = parts.endpointing
    if endpointing is None:
        endpointing = FixedEndpointing() if detector is None else SemanticEndpointing()
    return TurnOptions(
        mode=mode,
        endpointing=endpointing,
        interruption=parts.interruption if parts.interruption is not None else InterruptionOptions(),
        speculation=parts.speculation if parts.speculation is not None else SpeculationOptions(),
        prediction_deadline_s=detector.capabilities.deadline_s if detector is not None else 0.3,
        transcript_deadline_s=2.5,  # more than `Transcribed` gives the recogniser, which says what it knows by then
        away_after_s=parts.away_after_s,
    )
