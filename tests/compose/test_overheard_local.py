"""The embedded recogniser beside a remote model that writes nothing down: its words stand in the history."""

from __future__ import annotations

import asyncio

import pytest

from repartee.audio import AudioFrame, resample
from repartee.compose import Overheard
from repartee.models import events as ev
from repartee.plugins.openai.realtime import RealtimeModel
from repartee.testing.conformance_stt import word_errors
from repartee.testing.realtime_server import ScriptedRealtimeServer
from repartee.testing.realtime_talk import RealtimeTalk
from tests.plugins.local.speech_data import TEXTS, sample

pytest.importorskip("pocketsphinx", reason="the extra 'local' is not installed")

from repartee.plugins.local.stt import STT

pytestmark = pytest.mark.local

SAID = TEXTS["lights_slt"]


def test_the_recognisers_words_stand_in_the_history() -> None:
    asyncio.run(asyncio.wait_for(one_turn(), 60))


async def one_turn() -> None:
    server = ScriptedRealtimeServer(["Sure."])
    remote = RealtimeModel(
        api_key="sk-any", connector=server.connect, turn_detection=None, input_audio_transcription=None
    )
    model = Overheard(remote, STT(), final_timeout_s=20.0)
    await model.prewarm()
    async with RealtimeTalk(model) as talk:
        talk.session.begin_input("item_mine")
        audio = resample(sample("lights_slt").audio, 24_000)
        step = 2 * audio.sample_rate // 50
        for at in range(0, len(audio.data) - step, step):
            talk.session.append_audio(AudioFrame(audio.data[at : at + step], audio.sample_rate, 1, at // 2))
        talk.session.commit_audio()
        await talk.answer()
        await talk.until(lambda: talk.of(ev.TranscriptCompleted), "the transcript")
        [(role, heard), answer] = talk.said()
        assert (role, answer) == ("user", ("assistant", "Sure."))
        assert word_errors(SAID, heard) <= 0.35, heard
    await server.aclose()
