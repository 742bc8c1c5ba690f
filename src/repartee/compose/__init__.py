"""Everything that can converse is a `RealtimeModel`; these wrap one into a more capable one.

`Conversing` makes one of an LLM; `Transcribed` gives it hearing (`Overheard`: a second pair of ears), `Spoken` a voice,
`TurnTaking` a sense of whose turn it is; `Fallback` makes one of several. Each is usable alone.
"""

from repartee.compose.conversing import Conversing
from repartee.compose.fallback import Fallback, FallbackLLM, FallbackRealtimeModel, FallbackSTT, FallbackTTS
from repartee.compose.overheard import Overheard
from repartee.compose.spoken import Spoken
from repartee.compose.transcribed import Transcribed
from repartee.compose.turn_taking import TurnTaking
from repartee.compose.wrapper import WrapperModel, WrapperSession

__all__ = [
    "Conversing",
    "Fallback",
    "FallbackLLM",
    "FallbackRealtimeModel",
    "FallbackSTT",
    "FallbackTTS",
    "Overheard",
    "Spoken",
    "Transcribed",
    "TurnTaking",
    "WrapperModel",
    "WrapperSession",
]
