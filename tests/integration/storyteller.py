"""What the browser talks to: it hears and speaks by the embedded parts, and always tells the same long story."""

from __future__ import annotations

from repartee.compose import Conversing, Spoken, Transcribed
from repartee.server.served import Served
from repartee.testing import ScriptedLLM, ScriptedTTS

STORY = (
    "Once upon a time there was a lighthouse keeper who counted every ship. On Monday he counted nine of them, "
    "on Tuesday he counted seven, and on Wednesday, when the fog lay over the water, he counted none at all. "
    "Then the wind turned, and out of the grey there came a single sail, very small, with nobody at the helm. "
    "He lit the lamp although it was day, and rang the bell, and waited on the stairs until the tide had gone. "
    "In the evening the boat lay on the sand below the rocks, and in it slept a cat that belonged to no one."
)


def silent() -> Served:
    """Has the names of two voices, and nothing to say with them."""
    return Served.of(
        Spoken(Conversing(ScriptedLLM([])), ScriptedTTS()), name="scripted", voices=("ann", "bob")
    )


def served() -> Served:
    """Made when it is served, since the embedded parts may not be installed where only the story is read."""
    from repartee.plugins import local

    heard_by = Transcribed(Conversing(ScriptedLLM({"*": STORY})), local.STT(), final_timeout_s=10.0)
    return Served.of(Spoken(heard_by, local.TTS()), name="storyteller", vad=local.VAD())
