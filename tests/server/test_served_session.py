"""A client's session: events in the recorded order, and what they do to the model."""

from __future__ import annotations

from repartee.testing import elapse, virtual_time
from tests.server.talk import Talk

MESSAGE = [
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
]
TEXT_RESPONSE = [
    "response.created",
    *MESSAGE,
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]
SPOKEN_TAIL = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]
ADDED = ["conversation.item.added", "conversation.item.done"]


@virtual_time
async def test_g1_g3_a_text_turn_in_order() -> None:
    async with Talk(replies=["Hello there."], session={"output_modalities": ["text"]}) as talk:
        done = await talk.answer("hi")
        assert talk.client.types == ["session.created", "session.updated", *ADDED, *TEXT_RESPONSE]
        assert done["status"] == "completed"
        assert done["output"][0]["content"] == [{"type": "output_text", "text": "Hello there."}]
        assert talk.asked == [[("user", "hi")]]


@virtual_time
async def test_g4_a_spoken_turn_with_manual_commit() -> None:
    async with Talk(replies=["Sure, done."], session={"audio": {"input": {"turn_detection": None}}}) as talk:
        talk.hear("book a table")
        talk.send("input_audio_buffer.commit")
        await elapse(0.5)
        done = await talk.answer()
        kinds = talk.client.types
        assert kinds[:6] == [
            "session.created",
            "session.updated",
            "input_audio_buffer.committed",
            *ADDED,
            "response.created",
        ]
        assert kinds[6:9] == MESSAGE
        assert kinds[-7:] == SPOKEN_TAIL
        assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": "Sure, done."}]
        audio = talk.client.all("response.output_audio.delta")
        assert sum(len(each["delta"]) for each in audio) * 3 // 4 == 500 * 48
        assert talk.asked == [[("user", "book a table")]]


@virtual_time
async def test_g2_a_voice_turn_in_order() -> None:
    async with Talk(replies=["Sure."]) as talk:
        talk.hear(0.5, "book a table", 1.5)
        await talk.done()
        assert talk.client.types == [
            "session.created",
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            *ADDED,
            "response.created",
            *MESSAGE,
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            *SPOKEN_TAIL,
        ]
        assert talk.asked[-1] == [("user", "book a table")]
