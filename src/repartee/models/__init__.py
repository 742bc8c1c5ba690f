"""The abstract models: what a VAD, STT, LLM, TTS, end-of-turn and realtime model must offer, and what it may.

Each has its ``capabilities`` as data. An implementation is a plugin; nothing here imports one.
"""

from repartee.models.llm import (
    LLM,
    CallDelta,
    CallDone,
    ChatChunk,
    ChatRequest,
    LLMCapabilities,
    TextDelta,
    Usage,
)
from repartee.models.realtime import (
    Modality,
    PlaybackFinished,
    PlaybackReport,
    PlaybackStarted,
    RealtimeCapabilities,
    RealtimeModel,
    RealtimeSession,
    ResponseOptions,
    SessionOptions,
    Sink,
)
from repartee.models.stt import STT, Final, Interim, STTCapabilities, STTEvent, STTStream, Word
from repartee.models.tts import TTS, SpeechChunk, TimedWord, TTSCapabilities
from repartee.models.turn_detector import TurnContext, TurnDetector, TurnDetectorCapabilities
from repartee.models.vad import VAD, SpeechProbability, VADCapabilities, VADStream

__all__ = [
    "LLM",
    "STT",
    "TTS",
    "VAD",
    "CallDelta",
    "CallDone",
    "ChatChunk",
    "ChatRequest",
    "Final",
    "Interim",
    "LLMCapabilities",
    "Modality",
    "PlaybackFinished",
    "PlaybackReport",
    "PlaybackStarted",
    "RealtimeCapabilities",
    "RealtimeModel",
    "RealtimeSession",
    "ResponseOptions",
    "STTCapabilities",
    "STTEvent",
    "STTStream",
    "SessionOptions",
    "Sink",
    "SpeechChunk",
    "SpeechProbability",
    "TTSCapabilities",
    "TextDelta",
    "TimedWord",
    "TurnContext",
    "TurnDetector",
    "TurnDetectorCapabilities",
    "Usage",
    "VADCapabilities",
    "VADStream",
    "Word",
]
