"""A session whose server plays the sound itself (WebRTC)."""

from __future__ import annotations

import pytest

from repartee.audio import AudioFrame
from repartee.testing import elapse, virtual_time
from tests.server.talk import Talk, sound


class Player:
    """Keeps what is to be played."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, str, AudioFrame]] = []
        self.ended: list[str] = []
        self.cleared = 0
        self.heard_ms = 0

    def write(self, response_id: str, item_id: str, pcm: AudioFrame) -> None:
        self.frames.append((response_id, item_id, pcm))

    def end(self, response_id: str) -> None:
        self.ended.append(response_id)

    def clear(self) -> tuple[str, str, int] | None:
        self.cleared += 1
        if not self.frames:
            return None
        response_id, item_id, _ = self.frames[-1]
        self.frames.clear()
        return response_id, item_id, self.heard_ms


@virtual_time
async def test_sound_goes_to_the_player_and_events_without_it_to_the_client() -> None:
    player = Player()
    async with Talk(replies=["One two three."], output=player, observe=True) as talk:
        for at in range(0, 96_000, 960):
            talk.session.hear(sound(0.3, "book a table", 2.0)[at : at + 960])
        done = await talk.done()
        response_id, item_id = done["id"], done["output"][0]["id"]
        assert not talk.client.all("response.output_audio.delta")
        assert talk.client.all("response.output_audio_transcript.delta")
        assert {each[:2] for each in player.frames} == {(response_id, item_id)}
        assert [frame.position_samples for _, _, frame in player.frames][:2] == [0, 2400]
        assert player.ended == [response_id]
        talk.session.playback_started(response_id)
        talk.session.heard(item_id, 600)
        assert talk.client.last("repartee.heard")["text"] == "One two"
        talk.session.playback_stopped(response_id)
        kinds = talk.client.types
        assert kinds.index("output_audio_buffer.started") < kinds.index("output_audio_buffer.stopped")
        assert kinds[-1] == "repartee.state"


@virtual_time
async def test_an_interruption_cuts_what_is_played_at_the_word_heard() -> None:
    player = Player()
    async with Talk(replies=["One two three four five.", "Yes?"], output=player) as talk:
        done = await talk.answer("count")
        talk.session.playback_started(done["id"])
        player.heard_ms = 600
        talk.session.hear(sound(0.3, "wait a moment", 2.0))
        await talk.done()
        kinds = talk.client.types
        at = kinds.index("input_audio_buffer.speech_started")
        assert kinds[at + 1 : at + 3] == ["output_audio_buffer.cleared", "conversation.item.truncated"]
        assert talk.client.last("conversation.item.truncated")["audio_end_ms"] == 600
        assert talk.asked[-1][1] == ("assistant", "One two")


@virtual_time
async def test_what_has_not_begun_to_be_heard_is_dropped_too() -> None:
    player = Player()
    async with Talk(replies=["One two three four five.", "Yes?"], output=player) as talk:
        await talk.answer("count")
        talk.session.hear(sound(0.3, "wait a moment", 2.0))
        await talk.done()
        assert talk.client.last("conversation.item.truncated")["audio_end_ms"] == 0
        assert talk.asked[-1] == [("user", "count"), ("user", "wait a moment")]


@virtual_time
async def test_a_client_may_clear_the_output() -> None:
    player = Player()
    async with Talk(replies=["One two three four five."], output=player) as talk:
        done = await talk.answer("count")
        talk.session.playback_started(done["id"])
        player.heard_ms = 300
        talk.send("output_audio_buffer.clear")
        assert talk.client.types[-2:] == ["output_audio_buffer.cleared", "conversation.item.truncated"]
        assert player.cleared


@pytest.mark.parametrize("format", ["audio/pcmu", "audio/pcma", "audio/pcm"])
@virtual_time
async def test_a_caller_is_heard_whatever_the_sessions_format(format: str) -> None:
    session = {"audio": {"input": {"format": {"type": format}}}}
    async with Talk(replies=["Sure."], output=Player(), session=session) as talk:
        audio = sound(0.3, "book a table", 1.5)
        for at in range(0, len(audio), 960):
            talk.session.hear(audio[at : at + 960])
        await talk.done()
        item_id = talk.client.last("input_audio_buffer.committed")["item_id"]
        talk.send("conversation.item.retrieve", item_id=item_id)
        heard = talk.client.last("conversation.item.retrieved")["item"]["content"][0]["audio"]
        assert 1.0 < len(heard) * 3 / 4 / (48_000 if format == "audio/pcm" else 8000) < 2.5
        # 0.3 s of silence, 1 s of words: told with 300 ms from before, and over after 500 ms.
        started = talk.client.last("input_audio_buffer.speech_started")["audio_start_ms"]
        stopped = talk.client.last("input_audio_buffer.speech_stopped")["audio_end_ms"]
        assert started < 100
        assert 1200 < stopped < 2000


@virtual_time
async def test_reports_that_cross_do_no_harm() -> None:
    player = Player()
    async with Talk(replies=["One two three four five six seven eight nine ten."], output=player) as talk:
        talk.say("count")
        talk.respond()
        await elapse(0.3)
        response_id = talk.client.last("response.created")["response"]["id"]
        talk.session.playback_started(response_id)
        talk.session.playback_stopped(response_id)  # still generated
        talk.session.playback_started(response_id)
        assert not talk.client.all("output_audio_buffer.stopped")
        assert (await talk.done())["status"] == "completed"
