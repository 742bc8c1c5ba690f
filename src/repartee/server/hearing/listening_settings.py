"""What a session's configuration asks of the server's ears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from repartee.compose import Overheard, WrapperModel
from repartee.models import RealtimeModel
from repartee.protocol.config import NoiseReduction, SemanticVad, ServerVad, SessionConfig
from repartee.protocol.model import UNSET, given
from repartee.protocol.sessions import input_of, kind_of, turn_detection_of
from repartee.server.hearing.wire_audio import WireFormat
from repartee.server.served import Served
from repartee.transports.noise import NoiseField
from repartee.turns import (
    Endpointing,
    FixedEndpointing,
    SemanticEndpointing,
    SpeculationOptions,
    SpeechGateOptions,
    TurnOptions,
)
from repartee.turns.listening_words import ListeningOptions

__all__ = ["EagerEndpointing", "ListeningSettings"]

MAX_TURN_S: Final = 120.0
WORDS_MARGIN_S: Final = 0.25
"""How much longer than the recogniser itself gives a final to come, its words are waited for."""
SEMANTIC_PADDING_MS: Final = 300
LONGEST_S: Final = {"low": 8.0, "medium": 4.0, "high": 2.0}
SHORTEST_S: Final = {"low": 0.4, "medium": 0.25, "high": 0.25}
FALLBACK_S: Final = {"low": 0.8, "medium": 0.5, "high": 0.3}
CURVE: Final = SemanticEndpointing()


@dataclass(frozen=True, slots=True)
class EagerEndpointing:
    """How long ``semantic_vad`` waits: `SemanticEndpointing`, stretched for turns that are not over.

    The protocol's longest waits are much longer than the policy's own. They are right where a sentence is cut off
    ("my number is …"), and a nuisance where the model only doubts ("no."). So what is added to the policy's delay
    grows with the square of the doubt, up to the longest wait for the turn that is surely not over.

    Args:
        eagerness: ``low``, ``medium`` and ``high`` wait 8, 4 and 2 s at most; ``auto``, and any other, is medium.
    """

    eagerness: str = "auto"

    def delay_s(self, probability: float | None) -> float:
        """How long to wait for this probability; for ``None``, as long as after a stretch without words."""
        level = self.eagerness if self.eagerness in LONGEST_S else "medium"
        if probability is None:
            return FALLBACK_S[level]
        doubt = 1.0 - min(max(probability, 0.0), 1.0)
        stretch = LONGEST_S[level] / CURVE.delay_s(0.0) - 1.0
        return max(SHORTEST_S[level], CURVE.delay_s(probability) * (1.0 + stretch * doubt * doubt))

    def learn(self, pause_s: float) -> None:
        """Nothing to learn."""

    @property
    def ceiling_s(self) -> float:
        """The longest wait."""
        return self.delay_s(0.0)


@dataclass(frozen=True, slots=True)
class ListeningSettings:
    """How to listen in one session."""

    format: WireFormat
    options: ListeningOptions
    idle_s: float | None = None
    """``idle_timeout_ms``; ``None``: never."""
    noise: NoiseField | None = None
    """Which kind of noise reduction; ``None``: none."""
    lacks: str = ""
    """Why turns are detected otherwise than was asked for; ``""``: they are not."""

    @classmethod
    def of(cls, session: SessionConfig | None, served: Served) -> ListeningSettings:
        """Those of a session.

        Args:
            session: as `protocol.sessions.merge` gives it: what it leaves out has its default.
            served: what there is to listen with.
        """
        hears = input_of(session)
        noise = hears.noise_reduction
        kind = given(noise.type, "near_field") if isinstance(noise, NoiseReduction) else None
        detection = turn_detection_of(session)
        format = WireFormat.of(hears.format)
        field: NoiseField | None = (
            None if kind is None else "far_field" if kind == "far_field" else "near_field"
        )
        if not isinstance(detection, ServerVad | SemanticVad):
            return cls(format, _manual(), noise=field)
        if served.vad is None:
            return cls(format, _manual(), noise=field, lacks="there is no VAD: only the client ends turns")
        prepares = (
            served.model.capabilities.drafts
            and session is not None
            and kind_of(session) == "realtime"
            and given(detection.create_response, True) is not False
        )
        if isinstance(detection, SemanticVad):
            options, lacks = _semantic(detection, served, prepares)
            return cls(format, options, noise=field, lacks=lacks)
        idle_ms = detection.idle_timeout_ms
        idle_s = idle_ms / 1000.0 if idle_ms is not UNSET and idle_ms else None
        return cls(format, _silence(detection, served, prepares), idle_s, field)


def _manual() -> ListeningOptions:
    return ListeningOptions(detects=False, turn=TurnOptions(mode="manual", transcribes=False))


def _silence(detection: ServerVad, served: Served, prepares: bool) -> ListeningOptions:
    threshold = min(max(float(given(detection.threshold, 0.5)), 0.01), 0.99)
    return _options(
        served,
        FixedEndpointing(float(given(detection.silence_duration_ms, 500))),
        predicts=False,
        prepares=prepares,
        gate=SpeechGateOptions(threshold, release=min(threshold, max(0.05, threshold - 0.15))),
        padding_ms=given(detection.prefix_padding_ms, 300),
    )


def _semantic(detection: SemanticVad, served: Served, prepares: bool) -> tuple[ListeningOptions, str]:
    eagerness = str(given(detection.eagerness, "auto"))
    lacks = ""
    if served.turn_detector is None:
        lacks = "semantic_vad goes by silence alone: there is no end-of-turn model"
    elif not served.model.capabilities.settles:
        lacks = "semantic_vad goes by silence alone: the model tells no words before a turn is committed"
    policy: Endpointing = EagerEndpointing(eagerness)
    if lacks:
        policy = FixedEndpointing(policy.delay_s(None) * 1000.0)
    options = _options(
        served,
        policy,
        predicts=not lacks,
        prepares=prepares,
        gate=SpeechGateOptions(),
        padding_ms=SEMANTIC_PADDING_MS,
    )
    return options, lacks


def _options(
    served: Served,
    endpointing: Endpointing,
    *,
    predicts: bool,
    prepares: bool,
    gate: SpeechGateOptions,
    padding_ms: float,
) -> ListeningOptions:
    settles = served.model.capabilities.settles
    needs_words = not _is_overheard(served.model)
    detector, vad = served.turn_detector, served.vad
    assert vad is not None
    turn = TurnOptions(
        endpointing=endpointing,
        speculation=SpeculationOptions(enabled=prepares),
        predicts=predicts,
        transcribes=settles and (needs_words or predicts),
        needs_words=needs_words,
        prepares=prepares,
        prediction_deadline_s=detector.capabilities.deadline_s if detector is not None else 0.3,
        transcript_deadline_s=_final_timeout_s(served.model) + WORDS_MARGIN_S,
        max_turn_s=MAX_TURN_S,
        min_turn_ms=0.0,
    )
    return ListeningOptions(True, turn, gate, padding_ms / 1000.0, vad.capabilities.tail_ms / 1000.0)


def _within(model: RealtimeModel) -> list[RealtimeModel]:
    """The model, and what it wraps."""
    found = [model]
    while isinstance(model, WrapperModel):
        model = model.model
        found.append(model)
    return found


def _is_overheard(model: RealtimeModel) -> bool:
    """Whether the recogniser only listens beside a model that hears by itself."""
    return any(isinstance(each, Overheard) for each in _within(model))


def _final_timeout_s(model: RealtimeModel) -> float:
    """How long the model's recogniser itself waits for the last words."""
    found = (getattr(each, "final_timeout_s", None) for each in _within(model))
    return float(next((each for each in found if each is not None), 1.5))
