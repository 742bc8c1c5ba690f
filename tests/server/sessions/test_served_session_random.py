"""Whatever a client sends, in whatever order: the session stays whole."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repartee.chat import ChatContext, FunctionCall, FunctionCallOutput, function_tool
from repartee.protocol.codec import encode_object
from repartee.testing import Reply, ScriptedLLM, elapse, fail, virtual_time
from tests.server.talk import Talk, model_of, sound

ITEMS = ["item_a", "item_b", "item_c", "root", "nobody"]
item_ids = st.sampled_from(ITEMS)
FUNCTION = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
SOUND = base64.b64encode(sound("book a table", 0.4)).decode()
SILENCE = base64.b64encode(bytes(96_000)).decode()


def _message(role: str, item_id: str | None) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    item: dict[str, Any] = {"type": "message", "role": role, "content": [{"type": kind, "text": role}]}
    return item if item_id is None else {**item, "id": item_id}


creates: st.SearchStrategy[Any] = st.builds(
    lambda role, item_id, previous: {
        "type": "conversation.item.create",
        "item": _message(role, item_id),
        "previous_item_id": previous,
    },
    st.sampled_from(["user", "assistant", "system"]),
    st.one_of(st.none(), item_ids),
    st.one_of(st.none(), item_ids),
)
outputs: st.SearchStrategy[Any] = st.just(
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call_output", "call_id": "call_1", "output": "x"},
    }
)
responses: st.SearchStrategy[Any] = st.builds(
    lambda aside, text, limit, references: {
        "type": "response.create",
        "response": {
            "conversation": "none" if aside else "auto",
            "input": references if aside else None,
            "output_modalities": ["text"] if text else None,
            "max_output_tokens": limit or None,
        },
    },
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 0, 1, 30]),
    st.lists(st.builds(lambda id: {"type": "item_reference", "id": id}, item_ids), max_size=2),
)
UPDATES: list[dict[str, Any]] = [
    {"audio": {"input": {"turn_detection": None}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}},
    {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "create_response": False}}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}}},
    {"audio": {"input": {"transcription": {"model": "any"}}}},
    {"audio": {"input": {"transcription": None}}},
    {"audio": {"output": {"speed": 1.5}}},
    {"audio": {"output": {"voice": "echo"}}},
    {"tools": [FUNCTION]},
    {"tools": [], "instructions": ""},
    {"output_modalities": ["text"]},
    {"output_modalities": ["audio"]},
]
updates = st.sampled_from(UPDATES).map(
    lambda session: {"type": "session.update", "session": {"type": "realtime", **session}}
)
singles = st.one_of(
    st.sampled_from(
        [
            {"type": "input_audio_buffer.append", "audio": SOUND},
            {"type": "input_audio_buffer.append", "audio": SILENCE},
            {"type": "input_audio_buffer.commit"},
            {"type": "input_audio_buffer.clear"},
            {"type": "output_audio_buffer.clear"},
            {"type": "response.cancel"},
            {"type": "nonsense"},
        ]
    ),
    st.builds(
        lambda kind, item_id: {"type": f"conversation.item.{kind}", "item_id": item_id},
        st.sampled_from(["delete", "retrieve"]),
        item_ids,
    ),
)
newest = st.sampled_from(["truncate newest", "delete newest", "retrieve newest"])
waits = st.sampled_from([0.0, 0.02, 0.11, 0.4, 2.0])
steps = st.lists(
    st.one_of(creates, outputs, responses, responses, updates, singles, singles, newest, waits), max_size=25
)


@function_tool
async def roll() -> str:
    """Roll a die."""
    await elapse(0.1)
    return "4"


REPLIES = [
    Reply("One two three four five six seven."),
    Reply("Let me see.", (FunctionCall("weather", "{}", "call_1"),)),
    Reply("", (FunctionCall("roll", "{}", "call_2"),)),
    Reply("Yes."),
]


def _newest(talk: Talk, step: str) -> dict[str, Any] | None:
    """An event about the item that came last."""
    ids = talk.session.connection.conversation.ids
    if not ids:
        return None
    verb = step.split()[0]
    event = {"type": f"conversation.item.{verb}", "item_id": ids[-1]}
    return {**event, "content_index": 0, "audio_end_ms": 120} if verb == "truncate" else event


def _known(talk: Talk, event: dict[str, Any]) -> dict[str, Any]:
    """What is put at the front has an id: by it the client knows what the server's ``null`` means."""
    if event.get("previous_item_id") != "root":
        return event
    item = {"id": f"item_{len(talk.events)}", **event["item"]}
    talk.client.connection.flow.at_root.add(item["id"])
    return {**event, "item": item}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_random_sequences_never_break_a_session(sequence: list[Any]) -> None:
    @virtual_time
    async def run() -> None:
        count = 0

        def reply(request: Any) -> Reply:
            nonlocal count
            count += 1
            return REPLIES[count % len(REPLIES)]

        llm = ScriptedLLM(reply, faults=[fail(call=3)])
        async with Talk(model_of(llm=llm), tools=[roll], observe=True) as talk:
            for step in sequence:
                event = _newest(talk, step) if isinstance(step, str) else step
                if isinstance(event, float):
                    await elapse(event)
                elif event is not None:
                    event = _known(talk, event)
                    talk.session.receive(encode_object(event), talk.client)
            await elapse(120)
            created = [each["response"]["id"] for each in talk.client.all("response.created")]
            done = [each["response"]["id"] for each in talk.client.all("response.done")]
            assert sorted(created) == sorted(done)
            # The strict client has seen all events in order, and has the same conversation.
            assert talk.client.connection.conversation.ids == talk.session.connection.conversation.ids
            mine = talk.session.conversation.items
            _check_same_order(talk, mine)

    run()


def _check_same_order(talk: Talk, items: ChatContext) -> None:
    ids = talk.session.connection.conversation.ids
    shared = [item.id for item in items if item.id in ids]
    assert shared == [item_id for item_id in ids if item_id in items]
    strangers = [item for item in items if item.id not in ids]
    assert all(isinstance(item, FunctionCallOutput) for item in strangers), strangers
