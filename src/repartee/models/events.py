"""What a `RealtimeSession` tells its consumer: the OpenAI Realtime protocol's server events, as values in process.

The names are the protocol's, shortened where a field says it (``response.output_audio.delta`` is `AudioDelta`). Three
things the wire has no words for are added: interim transcripts that may be revised, the place of each word in the
audio, and what to do with playback (only the one who plays needs those).

Events are handed over by a plain call on the event loop, so they are in order by construction and an event's time is
the time of that call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from repartee.chat import FunctionCall, Item, Message
from repartee.errors import ReparteeError, Stage
from repartee.models.llm import Usage

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = [
    "AgentState",
    "AgentStateChanged",
    "AudioDelta",
    "CallArgumentsDelta",
    "EndOfTurnPredicted",
    "ErrorOccurred",
    "InputCleared",
    "InputCommitted",
    "InterimTranscript",
    "ItemAdded",
    "ItemDeleted",
    "ItemDone",
    "ItemTruncated",
    "OutputClear",
    "OutputGain",
    "OutputHeard",
    "OutputItemDone",
    "OutputPause",
    "OutputResume",
    "OutputStarted",
    "OutputStopped",
    "ProviderSwitched",
    "RateLimitsUpdated",
    "RealtimeEvent",
    "ResponseCreated",
    "ResponseDone",
    "ResponseStatus",
    "SessionReconnected",
    "SpeechStarted",
    "SpeechStopped",
    "StageReached",
    "TimedStage",
    "TranscriptCompleted",
    "TranscriptDelta",
    "TranscriptFailed",
    "UserState",
    "UserStateChanged",
    "WordsFrom",
]

ResponseStatus = Literal["completed", "cancelled", "incomplete", "failed"]
UserState = Literal["listening", "speaking", "away"]
AgentState = Literal["initializing", "idle", "listening", "thinking", "speaking"]

TimedStage = Literal[
    "speech_end", "decision", "transcript", "first_token", "first_clause", "first_audio", "playback"
]


# -- the user's audio ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user speaks (``input_audio_buffer.speech_started``)."""

    item_id: str
    """The id that this turn's user item will have."""
    audio_start_ms: float
    """Since the session's first audio."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The user stopped; the turn may still go on (``input_audio_buffer.speech_stopped``)."""

    item_id: str
    audio_end_ms: float
    """Where the speech really ended, not when that was noticed."""


@dataclass(frozen=True, slots=True)
class EndOfTurnPredicted:
    """The end-of-turn model answered; for timelines and for finding out why a turn waited."""

    item_id: str
    probability: float
    text: str


@dataclass(frozen=True, slots=True)
class InputCommitted:
    """The user's turn is closed (``input_audio_buffer.committed``)."""

    item_id: str
    previous_item_id: str | None = None
    reason: str = ""
    """Why now: ``"silence"``, ``"end of turn"``, ``"manual"``, ``"ceiling"``."""


@dataclass(frozen=True, slots=True)
class InputCleared:
    """Audio that was not committed has been dropped (``input_audio_buffer.cleared``)."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class InterimTranscript:
    """How the open turn reads so far: the whole of it, replacing what was said of it before."""

    item_id: str
    text: str
    stable_chars: int = 0
    """Leading characters that will not change any more."""
    settled: bool = False
    """Everything said so far is final; more may still be said."""
    endpoint: bool = False
    """The recogniser itself takes the turn to be over."""


@dataclass(frozen=True, slots=True)
class TranscriptCompleted:
    """A committed turn's final words (``…input_audio_transcription.completed``)."""

    item_id: str
    transcript: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class TranscriptFailed:
    """A committed turn's words are not to be had (``…input_audio_transcription.failed``)."""

    item_id: str
    error: ReparteeError


# -- the conversation ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ItemAdded:
    """An item is in the conversation; its content may still grow (``conversation.item.added``)."""

    item: Item
    previous_item_id: str | None
    response_id: str | None = None
    """The response that made it; ``None`` for the user's and the program's."""


@dataclass(frozen=True, slots=True)
class ItemDone:
    """An item has its final content (``conversation.item.done``)."""

    item: Item
    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class ItemTruncated:
    """An assistant item was cut to what was heard (``conversation.item.truncated``)."""

    item_id: str
    audio_end_ms: int
    text: str
    """The words that were heard."""


@dataclass(frozen=True, slots=True)
class ItemDeleted:
    """An item is no longer in the conversation (``conversation.item.deleted``)."""

    item_id: str


# -- responses -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResponseCreated:
    """A response begins (``response.created``)."""

    response_id: str
    request_id: str | None = None
    """The `ResponseOptions.request_id` that asked for it; ``None`` where the model began by itself."""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TranscriptDelta:
    """The next words of a response (``response.output_text.delta``, ``…output_audio_transcript.delta``).

    Joined, the deltas of an item are its text. One without words says by ``start_ms`` where the next will begin.
    """

    response_id: str
    item_id: str
    delta: str
    start_ms: float | None = None
    """Where these words begin in the item's audio; ``None`` where the voice does not say, or there is none."""


@dataclass(frozen=True, slots=True)
class AudioDelta:
    """The next audio of a response (``response.output_audio.delta``). Positions count from the item's start."""

    response_id: str
    item_id: str
    audio: AudioFrame


@dataclass(frozen=True, slots=True)
class CallArgumentsDelta:
    """A piece of a function call as the model writes it (``response.function_call_arguments.delta``)."""

    response_id: str
    item_id: str
    call_id: str
    name: str
    delta: str


@dataclass(frozen=True, slots=True)
class OutputItemDone:
    """A response has finished an item: all its text and audio were given (``response.output_item.done``)."""

    response_id: str
    item: Message | FunctionCall


@dataclass(frozen=True, slots=True)
class ResponseDone:
    """A response ended; exactly one for each `ResponseCreated` (``response.done``)."""

    response_id: str
    status: ResponseStatus = "completed"
    reason: str = ""
    """For a status other than ``completed``: ``turn_detected``, ``client_cancelled``, ``max_output_tokens``, …"""
    error: ReparteeError | None = None
    usage: Usage = field(default_factory=Usage)


# -- what to do with playback ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OutputGain:
    """Play at this volume (0 dB is full)."""

    db: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OutputPause:
    """Stop playing, and keep what is left."""

    response_id: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OutputResume:
    """Go on with what is left."""

    response_id: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OutputClear:
    """Drop what has not been played, and truncate the item at what was heard (``output_audio_buffer.clear``)."""

    response_id: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OutputHeard:
    """More words of an item have been heard; from the one who plays, whenever their number grows."""

    response_id: str
    item_id: str
    text: str
    """All the words of the item that were heard so far."""
    audio_ms: float
    """How much of its audio that is."""


@dataclass(frozen=True, slots=True)
class OutputStarted:
    """A response is heard for the first time (``output_audio_buffer.started``); from the one who plays."""

    response_id: str


@dataclass(frozen=True, slots=True)
class OutputStopped:
    """Nothing more of a response will be heard (``output_audio_buffer.stopped``, ``….cleared``)."""

    response_id: str
    interrupted: bool = False
    """Whether it was cleared before its end."""


# -- states, measures, errors ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UserStateChanged:
    """Whether the user speaks."""

    old: UserState
    new: UserState


@dataclass(frozen=True, slots=True)
class AgentStateChanged:
    """Whether the agent thinks or speaks."""

    old: AgentState
    new: AgentState


@dataclass(frozen=True, slots=True)
class StageReached:
    """When a stage of a reply was first reached, for its latency.

    Unlike everything else about a response that is prepared before the turn is committed, this is not held back:
    it says when the work was really done.
    """

    response_id: str
    stage: TimedStage
    at_s: float
    """Session time."""


@dataclass(frozen=True, slots=True)
class SessionReconnected:
    """A remote model's connection was replaced; the conversation goes on with its history."""

    reason: str
    """``"planned"``: the session's longest duration was near. Otherwise what broke the connection."""
    gap_s: float
    """How long there was no connection; 0 where the new one was open before the old one closed."""


@dataclass(frozen=True, slots=True)
class WordsFrom:
    """Whose words the end-of-turn model goes by; told once, as the conversation begins."""

    source: Literal["model", "stt", "silence"]
    """``model``: the realtime model's own transcription, as far as it comes before a turn is closed. ``stt``: a
    recogniser that listens beside it. ``silence``: there are none, so silence alone decides."""
    name: str = ""
    """Of the recogniser."""


@dataclass(frozen=True, slots=True)
class RateLimitsUpdated:
    """What a remote model still allows (``rate_limits.updated``): name → how much remains, until when it resets."""

    remaining: dict[str, int]
    reset_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class ErrorOccurred:
    """Something failed. The session goes on unless ``fatal``."""

    error: ReparteeError
    stage: Stage
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class ProviderSwitched:
    """Of several providers for one part of the conversation, another one answers from now on."""

    stage: Stage
    old: str
    """The provider's name, as the log and the messages of errors have it."""
    new: str
    reason: str
    """What the old one failed with, or that the new one is back."""


RealtimeEvent = (
    SpeechStarted
    | SpeechStopped
    | EndOfTurnPredicted
    | InputCommitted
    | InputCleared
    | InterimTranscript
    | TranscriptCompleted
    | TranscriptFailed
    | ItemAdded
    | ItemDone
    | ItemTruncated
    | ItemDeleted
    | ResponseCreated
    | TranscriptDelta
    | AudioDelta
    | CallArgumentsDelta
    | OutputItemDone
    | ResponseDone
    | OutputGain
    | OutputPause
    | OutputResume
    | OutputClear
    | OutputStarted
    | OutputHeard
    | OutputStopped
    | UserStateChanged
    | AgentStateChanged
    | StageReached
    | SessionReconnected
    | RateLimitsUpdated
    | WordsFrom
    | ErrorOccurred
    | ProviderSwitched
)
