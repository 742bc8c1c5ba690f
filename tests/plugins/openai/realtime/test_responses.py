"""Interruption, requests that pass each other, and responses that never end."""

from __future__ import annotations

import pytest

from repartee.chat import FunctionCall, Message
from repartee.errors import ModelTimeoutError
from repartee.models import events as ev
from repartee.protocol import events as wire
from repartee.testing import call_function, elapse, virtual_time
from repartee.testing.realtime_connection import ServerManner
from repartee.testing.realtime_faults import freeze
from repartee.testing.realtime_server import ScriptedRealtimeServer
from repartee.testing.scripted_llm import Reply
from tests.plugins.openai.realtime.talk import Talk, words_of

SLOW = ServerManner(chunk_s=0.1)
LONG = "one two three four five six seven eight nine ten"


def truncations(talk: Talk) -> list[tuple[str, int]]:
    return [
        (e.item_id, e.audio_end_ms)
        for connection in talk.server.connections
        for e in connection.received
        if isinstance(e, wire.ConversationItemTruncate)
    ]


@virtual_time
async def test_what_comes_after_a_cancellation_is_not_played() -> None:
    async with Talk(ScriptedRealtimeServer([LONG, "Yes?"], manner=SLOW)) as talk:
        talk.type("Count.")
        request = talk.ask()
        await talk.until(lambda: len(talk.of(ev.AudioDelta)) == 5)
        response_id = talk.response_of(request)
        talk.session.cancel_response(response_id)
        done = talk.end_of(request)
        assert done is not None
        assert (done.status, done.reason) == ("cancelled", "client_cancelled")
        [message] = [m for m in talk.history.messages if m.role == "assistant"]
        talk.session.truncate_item(message.id, audio_end_ms=320, text="one")
        await elapse(2.0)
        assert len(talk.of(ev.AudioDelta)) == 5
        [cancel] = [e for e in talk.served.received if isinstance(e, wire.ResponseCancel)]
        assert cancel.response_id == response_id
        assert truncations(talk) == [(message.id, 320)]
        cut = talk.history.get(message.id)
        assert isinstance(cut, Message)
        assert (cut.text, cut.interrupted, cut.status) == ("one", True, "incomplete")
        assert (await talk.answer("Go on.")).status == "completed"
        assert talk.of(ev.ErrorOccurred) == []


@virtual_time
async def test_truncated_to_no_more_than_came() -> None:
    async with Talk(ScriptedRealtimeServer([LONG], manner=SLOW)) as talk:
        talk.type("Count.")
        talk.ask()
        await talk.until(lambda: len(talk.of(ev.AudioDelta)) == 3)
        [message] = [m for m in talk.history.messages if m.role == "assistant"]
        # While it is still being made, and without a cancellation.
        talk.session.truncate_item(message.id, audio_end_ms=5000)
        await elapse(0.05)
        assert truncations(talk) == [(message.id, 300)]
        await elapse(5.0)
        cut = talk.history.get(message.id)
        assert isinstance(cut, Message)
        assert (cut.text, cut.interrupted) == ("one two", True), "its end has not brought back what was cut"
        assert talk.of(ev.ErrorOccurred) == []


@virtual_time
async def test_what_nobody_heard_is_deleted() -> None:
    async with Talk(ScriptedRealtimeServer([LONG], manner=SLOW)) as talk:
        talk.type("Count.")
        talk.ask()
        await talk.until(lambda: talk.of(ev.AudioDelta))
        [message] = [m for m in talk.history.messages if m.role == "assistant"]
        talk.session.cancel_response()
        talk.session.truncate_item(message.id, audio_end_ms=0)
        await elapse(0.5)
        assert truncations(talk) == []
        assert talk.at_server() == [item.id for item in talk.history]
        assert len(talk.history) == 1


@virtual_time
async def test_cut_after_it_was_complete_because_it_was_still_being_played() -> None:
    async with Talk(ScriptedRealtimeServer([LONG])) as talk:
        await talk.answer("Count.")
        message = talk.history.messages[-1]
        talk.session.cancel_response()
        talk.session.truncate_item(message.id, audio_end_ms=800, text="one two three")
        await elapse(0.1)
        assert truncations(talk) == [(message.id, 800)]
        assert talk.served.count("response.cancel") == 0
        assert talk.said()[-1] == ("assistant", "one two three")
        assert talk.of(ev.ErrorOccurred) == []


@virtual_time
async def test_the_server_cuts_first() -> None:
    manner = ServerManner(chunk_s=0.1)
    async with Talk(ScriptedRealtimeServer([LONG, "Yes?"], manner=manner)) as talk:
        talk.type("Count.")
        request = talk.ask()
        await talk.until(lambda: len(talk.of(ev.AudioDelta)) == 4)
        await talk.say("stop that")
        done = talk.end_of(request)
        assert done is not None
        assert (done.status, done.reason) == ("cancelled", "turn_detected")
        item_id = next(m.id for m in talk.history.messages if m.role == "assistant")
        talk.session.cancel_response(done.response_id)
        talk.session.truncate_item(item_id, audio_end_ms=250, text="one")
        await talk.until(lambda: len(talk.of(ev.ResponseDone)) == 2)
        assert truncations(talk) == [(item_id, 250)]
        assert [item.id for item in talk.history] == talk.at_server()
        assert [m.text for m in talk.history.messages if m.role == "assistant"] == ["one", "Yes?"]
        assert talk.of(ev.ErrorOccurred) == []


@virtual_time
async def test_text_that_was_spoken_by_another_voice_is_cut_at_the_same_word() -> None:
    """Half-cascade: the server has text, of which it can't cut, so it is told what was heard."""
    async with Talk(ScriptedRealtimeServer([LONG, "Yes?"]), modalities=("text",)) as talk:
        await talk.answer("Count.")
        message = talk.history.messages[-1]
        await talk.answer("And?")
        talk.session.truncate_item(message.id, audio_end_ms=700, text="one two")
        await elapse(0.1)
        assert [words_of(item) for item in talk.served.protocol.conversation] == [
            "Count.",
            "one two",
            "And?",
            "Yes?",
        ]
        assert talk.at_server() == [item.id for item in talk.history]
        assert message.id in talk.history


@virtual_time
async def test_a_request_is_taken_back_before_the_server_knows() -> None:
    async with Talk(ScriptedRealtimeServer([LONG, "Yes?"])) as talk:
        talk.type("Count.")
        request = talk.ask()
        talk.session.cancel_response(request)
        done = talk.end_of(request)
        assert done is not None
        assert done.status == "cancelled"
        await elapse(1.0)
        assert talk.of(ev.AudioDelta) == []
        assert len(talk.at_server()) == len(talk.history) == 1
        again = await talk.answer("And?")
        assert again.status == "completed"
        assert talk.at_server() == [item.id for item in talk.history]
        assert talk.of(ev.ErrorOccurred) == []


@virtual_time
async def test_a_call_of_a_cancelled_response_is_not_made() -> None:
    server = ScriptedRealtimeServer([Reply("one two three four", calls=(call_function("f"),))], manner=SLOW)
    async with Talk(server) as talk:
        talk.type("Count.")
        talk.ask()
        await talk.until(lambda: len(talk.of(ev.AudioDelta)) == 9)
        talk.session.cancel_response()
        await elapse(1.0)
        assert not [e for e in talk.of(ev.OutputItemDone) if isinstance(e.item, FunctionCall)]
        assert [item.id for item in talk.history] == talk.at_server()


@pytest.mark.parametrize("event", ["response.created", "response.output_audio.delta", "response.create"])
@virtual_time
async def test_a_response_that_never_ends_is_an_error(event: str) -> None:
    server = ScriptedRealtimeServer([LONG], manner=SLOW, faults=[freeze(on=event)])
    async with Talk(server, response_timeout_s=7.0) as talk:
        done = await talk.answer("Count.")
        assert (done.status, done.reason) == ("failed", "timeout")
        [error] = talk.of(ev.ErrorOccurred)
        assert isinstance(error.error, ModelTimeoutError)
        assert "response_timeout_s" in str(error.error)
        assert 7.0 <= talk.log[-1][0] < 7.5
