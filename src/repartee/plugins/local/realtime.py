"""`local.RealtimeModel`: the whole conversation on one CPU, with no key and no network.

It is nothing but the local parts in the wrappers that anybody can use:
``TurnTaking(Spoken(Transcribed(Conversing(LLM), STT), TTS), VAD, EnglishModel)``.
"""

from __future__ import annotations

from typing import Any

from repartee.clock import Clock
from repartee.compose import Conversing, Spoken, Transcribed, TurnTaking, WrapperModel
from repartee.models import (
    LLM,
    STT,
    TTS,
    VAD,
    RealtimeSession,
    SessionOptions,
    Sink,
    TurnDetector,
)
from repartee.models import (
    RealtimeModel as BaseRealtimeModel,
)
from repartee.plugins.local.llm import LLM as LocalLLM
from repartee.plugins.local.stt import STT as LocalSTT
from repartee.plugins.local.tts import TTS as LocalTTS
from repartee.plugins.local.vad import VAD as LocalVAD
from repartee.plugins.turn_detector.english import EnglishModel
from repartee.turns import (
    Endpointing,
    InterruptionOptions,
    SemanticEndpointing,
    SpeculationOptions,
    SpeechGateOptions,
    TurnOptions,
)

__all__ = ["RealtimeModel"]

_UNSET: Any = object()


class RealtimeModel(WrapperModel):
    """A speech-to-speech model made of local parts, each of which can be replaced.

    Args:
        llm: a text model, or what `local.LLM` takes (a GGUF's path or name). Default: the small one that is here.
        stt: a recogniser, or what `local.STT` takes. Default: PocketSphinx.
        tts: a voice, or what `local.TTS` takes. Default: eSpeak NG.
        vad: default: Silero.
        turn_detection: the end-of-turn model. Default: ``EnglishModel()``. ``None``: this model does not take turns
            by itself; the session that uses it does.
        endpointing: how long silence must last. Default: by the end-of-turn model's probability.
        interruption: whether and how the user may interrupt.
        speculation: whether answers are prepared before the turn is over.
        speech: how sure to be that it is speech.

    Raises:
        MissingDependencyError: a package of the extra ``local`` is missing.
        ModelFileError: a model's file is missing or of another kind.
    """

    def __init__(
        self,
        *,
        llm: LLM | str | None = None,
        stt: STT | str | None = None,
        tts: TTS | str | None = None,
        vad: VAD | None = None,
        turn_detection: TurnDetector | None = _UNSET,
        endpointing: Endpointing | None = None,
        interruption: InterruptionOptions | None = None,
        speculation: SpeculationOptions | None = None,
        speech: SpeechGateOptions | None = None,
    ) -> None:
        answering = llm if isinstance(llm, LLM) else LocalLLM(llm)
        hearing = stt if isinstance(stt, STT) else LocalSTT(stt)
        voice = tts if isinstance(tts, TTS) else LocalTTS(tts)
        model: BaseRealtimeModel = Spoken(Transcribed(Conversing(answering), hearing), voice)
        if turn_detection is not None:
            if turn_detection is _UNSET:
                turn_detection = EnglishModel()
            options = TurnOptions(
                endpointing=endpointing if endpointing is not None else SemanticEndpointing(),
                interruption=interruption if interruption is not None else InterruptionOptions(),
                speculation=speculation if speculation is not None else SpeculationOptions(),
                prediction_deadline_s=turn_detection.capabilities.deadline_s,
            )
            detector = vad if vad is not None else LocalVAD()
            model = TurnTaking(model, detector, turn_detection, options=options, gate=speech)
        super().__init__(model)

    def session(self, options: SessionOptions, *, on_event: Sink, clock: Clock) -> RealtimeSession:
        """A conversation on this machine."""
        return self.model.session(options, on_event=on_event, clock=clock)
