"""The suite itself: it passes what is right, and finds what is wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from repartee.models import SpeechChunk
from repartee.testing import ScriptedTTS, run
from repartee.testing.conformance_tts import TTS_CHECKS, TTSCheck, check_tts


class Plain(ScriptedTTS):
    """The scripted voice, which speaks signs too, made to skip text without a letter."""

    async def synthesize(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        if any(char.isalnum() for char in text):
            text = text.encode("utf-8", "replace").decode()  # half a surrogate pair becomes one "?"
            async for chunk in super().synthesize(text):
                yield chunk


@pytest.mark.parametrize("check", TTS_CHECKS, ids=lambda check: check.__name__)
def test_a_scripted_voice_conforms(check: TTSCheck) -> None:
    run(check(Plain), check_leaks=False)


class Twice(Plain):
    """Gives each chunk twice."""

    async def synthesize(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        async for chunk in super().synthesize(text):
            yield chunk
            yield chunk


class Late(Plain):
    """Begins with a second of silence."""

    def __init__(self) -> None:
        super().__init__(lead_silence_ms=1000)


class Boastful(Plain):
    """Promises times that it doesn't give."""

    def __init__(self) -> None:
        super().__init__(word_times=False)
        self.capabilities = ScriptedTTS().capabilities

    async def synthesize(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        async for chunk in super().synthesize(text):
            yield SpeechChunk(chunk.audio)


@pytest.mark.parametrize("broken", [Twice, Late, Boastful])
def test_what_is_wrong_is_found(broken: type[Plain]) -> None:
    with pytest.raises(AssertionError):
        run(check_tts(broken), check_leaks=False)
