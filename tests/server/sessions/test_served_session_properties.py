"""Anything that a client may send, in any order, sensible or not: the session holds, and answers as it must."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repartee.chat import function_tool
from repartee.server.options import ServerOptions
from repartee.testing import Reply, ScriptedLLM, call_function, elapse, run
from tests.protocol import official
from tests.server.talk import Talk, model_of, sound

TOOL = {"type": "function", "name": "theirs", "parameters": {"type": "object", "properties": {}}}
IDS = ["a", "b", "item_1", "root", "", "x" * 33, "nobody"]
TERMINALS = {"completed", "cancelled", "failed", "incomplete"}
DETECTIONS: list[Any] = [
    None,
    {"type": "server_vad"},
    {"type": "server_vad", "create_response": False, "interrupt_response": False, "idle_timeout_ms": 5000},
    {"type": "server_vad", "silence_duration_ms": 100, "prefix_padding_ms": 0},
    {"type": "semantic_vad", "eagerness": "high"},
    {"type": "semantic_vad", "interrupt_response": False},
]
JUNK: list[Any] = [None, True, -1, 1e30, "", "x", [], {}, ["x"], {"type": "x"}, {"id": 5}]
FRAMES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"type":5}',
    b'{"type":"response.create"',
    b"\xff\xfe",
    b'"\\ud800"',
    b"{" * 2000,
]

ids = st.sampled_from(IDS) | st.integers(0, 9)
"""Of items; a number is the n-th last that the client knows."""


def event(event_type: str, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """An event, each optional field there or not."""
    return st.fixed_dictionaries(
        {"type": st.just(event_type)}, optional={**fields, "event_id": st.just("mine")}
    )


part = st.sampled_from(
    [
        {"type": "input_text", "text": "hello"},
        {"type": "output_text", "text": "said"},
        {"type": "input_audio", "audio": base64.b64encode(sound("hi")).decode()},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "nonsense"},
    ]
)
item = st.fixed_dictionaries(
    {"type": st.just("message"), "role": st.sampled_from(["user", "system", "assistant", "x"])},
    optional={"id": ids, "content": st.lists(part, max_size=2)},
) | st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["function_call", "function_call_output", "mcp_approval_response", "item_reference"]
        )
    },
    optional={
        "id": ids,
        "call_id": st.sampled_from(["call_1", "call_2"]),
        "name": st.just("theirs"),
        "arguments": st.sampled_from(["{}", "{"]),
        "output": st.just("1"),
    },
)
audio_out = st.fixed_dictionaries(
    {},
    optional={
        "voice": st.sampled_from(["cedar", "ash", {"id": "own"}]),
        "speed": st.sampled_from([0.25, 1.0, 1.5, 9]),
        "format": st.sampled_from(
            [{"type": "audio/pcm", "rate": 24000}, {"type": "audio/pcmu"}, {"type": "x"}]
        ),
    },
)
session = st.fixed_dictionaries(
    {"type": st.sampled_from(["realtime"] * 8 + ["transcription", "x"])},
    optional={
        "instructions": st.sampled_from(["", "Be brief.", None]),
        "output_modalities": st.sampled_from([["text"], ["audio"], ["text", "audio"]]),
        "tools": st.sampled_from([[], [TOOL], [{"type": "mcp", "server_label": "m"}]]),
        "tool_choice": st.sampled_from(["auto", "none", "required", {"type": "function", "name": "theirs"}]),
        "max_output_tokens": st.sampled_from([1, 5, "inf", 0]),
        "truncation": st.sampled_from(
            ["auto", "disabled", {"type": "retention_ratio", "retention_ratio": 0.5}, "x"]
        ),
        "tracing": st.just(None),
        "unheard_of": st.just(1),
        "audio": st.fixed_dictionaries(
            {},
            optional={
                "input": st.fixed_dictionaries(
                    {},
                    optional={
                        "turn_detection": st.sampled_from(DETECTIONS),
                        "transcription": st.sampled_from([None, {"model": "m"}]),
                        "noise_reduction": st.just(None),
                    },
                ),
                "output": audio_out,
            },
        ),
    },
)
response = st.fixed_dictionaries(
    {},
    optional={
        "conversation": st.sampled_from(["auto", "none", "none", "x"]),
        "input": st.lists(item, max_size=2),
        "output_modalities": st.sampled_from([["text"], ["audio"]]),
        "max_output_tokens": st.sampled_from([1, 3, 4096, 4097]),
        "metadata": st.sampled_from([{"a": "b"}, {"k" * 65: ""}, 5]),
        "tools": st.sampled_from([[], [TOOL]]),
        "parallel_tool_calls": st.booleans(),
        "audio": st.fixed_dictionaries({"output": audio_out}),
    },
)
sensible = st.one_of(
    event("session.update", session=session),
    event("response.create", response=response),
    event("response.create"),
    event("response.cancel", response_id=st.sampled_from(["nobody", "live"])),
    event("conversation.item.create", item=item, previous_item_id=ids),
    event("conversation.item.delete", item_id=ids),
    event("conversation.item.retrieve", item_id=ids),
    event(
        "conversation.item.truncate",
        item_id=ids,
        content_index=st.integers(-1, 1),
        audio_end_ms=st.sampled_from([-5, 0, 40, 300, 10**9]),
    ),
    event("input_audio_buffer.commit"),
    event("input_audio_buffer.clear"),
    event("output_audio_buffer.clear"),
    event("session.close"),
    event("no.such.event"),
)
spoilt = st.tuples(
    sensible, st.sampled_from(["type", "session", "item", "response", "item_id"]), st.sampled_from(JUNK)
).map(lambda found: {**found[0], found[1]: found[2]})
spoken = st.sampled_from([("hello there", 1.0), (0.3,), ("stop",), (1.2,), ("um", 0.2, "yes please", 2.0)])
step = st.one_of(
    sensible,
    sensible,
    spoilt,
    st.sampled_from(FRAMES),
    spoken,
    spoken,
    st.sampled_from([0.001, 0.05, 0.4, 2.0, 7.0]),
)


@function_tool
async def ours(x: int = 1) -> str:
    """Runs on the server."""
    await elapse(0.3)
    return "done"


REPLIES = [
    "One two three four five six.",
    Reply("Hold on.", (call_function("ours", x=2),)),
    Reply(calls=(call_function("theirs", "call_1"), call_function("theirs", "call_2"))),
    "",
    "Yes.",
]


class Check:
    """What holds of every event that the client gets, besides what its strict end of the protocol sees."""

    def __init__(self) -> None:
        self.live: dict[str, bool] = {}
        self.over: set[str] = set()
        self.added: set[str] = set()
        self.known: list[str] = []
        self.event_ids: set[str] = set()

    def take(self, event: dict[str, Any]) -> None:
        """One more event of the server's."""
        kind = event["type"]
        assert event["event_id"] not in self.event_ids
        self.event_ids.add(event["event_id"])
        frame = json.dumps(event).encode()
        assert official.problems(frame, from_client=False) == []
        found: Any = event.get("response", {}).get("id") or event.get("response_id")
        if kind == "response.created":
            assert found not in self.live
            self.live[found] = event["response"]["conversation_id"] is not None
            assert sum(self.live.values()) <= 1, "two responses in the conversation"
        elif found is not None:
            assert found in self.live, f"{kind} of a response that is over, or has not begun"
        if kind == "response.done":
            assert event["response"]["status"] in TERMINALS
            del self.live[found]
            self.over.add(found)
        if kind == "conversation.item.added":
            assert event["item"]["id"] not in self.added, "an item was added twice"
            self.added.add(event["item"]["id"])
            self.known.append(event["item"]["id"])
        elif kind == "conversation.item.done":
            assert event["item"]["id"] in self.added


async def converse(steps: list[Any]) -> Counter[str]:
    """Send all of that, and see what holds; the kinds of answers, for who wants to know what was reached."""
    loop = asyncio.get_running_loop()
    crashes: list[Any] = []
    loop.set_exception_handler(lambda _, context: crashes.append(context))
    count = 0

    def reply(_: Any) -> Any:
        nonlocal count
        count += 1
        return REPLIES[count % len(REPLIES)]

    options = ServerOptions(context_tokens=600)
    async with Talk(model_of(llm=ScriptedLLM(reply)), tools=[ours], options=options) as talk:
        check = Check()
        seen = 0

        def look() -> None:
            nonlocal seen
            for event in talk.events[seen:]:
                check.take(event)
            seen = len(talk.events)

        for each in steps:
            if isinstance(each, float):
                await elapse(each)
            elif isinstance(each, tuple):
                talk.hear(*each)
            else:
                before = len(talk.events)
                frame = each if isinstance(each, bytes) else json.dumps(_named(each, check)).encode()
                talk.session.receive(frame, talk.client)
                _answered(each, talk.events[before:])
            look()
        await elapse(60)
        look()
        # Whatever came before: it is alive, and all is over.
        assert not check.live, "a response has no end"
        talk.update(audio={"input": {"turn_detection": None}}, tool_choice="none", output_modalities=["text"])
        assert talk.client.events[-1]["type"] in ("session.updated", "error"), talk.client.events[-1]
        talk.send("conversation.item.retrieve", item_id="nowhere", event_id="last")
        assert talk.client.last("error")["error"]["event_id"] == "last"
        assert talk.client.closed is None
    assert crashes == []
    return Counter(event["type"] for event in talk.events)


def _named(event: dict[str, Any], check: Check) -> Any:
    """The event with the ids that its numbers stand for."""
    made = json.loads(json.dumps(event))
    for holder in (made, made.get("item")):
        for name in ("item_id", "previous_item_id", "id"):
            if isinstance(holder, dict) and type(holder.get(name)) is int:
                known = check.known[::-1]
                holder[name] = known[holder[name] % len(known)] if known else "nobody"
    live = [each for each, inside in check.live.items() if inside]
    if isinstance(made, dict) and made.get("response_id") == "live":
        made["response_id"] = live[0] if live else "nobody"
    return made


ANSWERS = {
    "session.update": "session.updated",
    "response.create": "response.created",
    "conversation.item.create": "conversation.item.added",
    "conversation.item.delete": "conversation.item.deleted",
    "conversation.item.retrieve": "conversation.item.retrieved",
    "conversation.item.truncate": "conversation.item.truncated",
    "input_audio_buffer.commit": "input_audio_buffer.committed",
    "input_audio_buffer.clear": "input_audio_buffer.cleared",
    "response.cancel": "response.done",
}


def _answered(sent: Any, got: list[dict[str, Any]]) -> None:
    """See that an event was answered at once: as it must be, or by one error that says what is wrong."""
    kinds = [event["type"] for event in got]
    errors = [event["error"] for event in got if event["type"] == "error"]
    assert len(errors) <= 1
    if isinstance(sent, bytes):
        assert errors, "garbage was taken"
        return
    for error in errors:
        assert error["message"]
        assert error["code"]
        if error["code"] in ("unknown_parameter", "missing_required_parameter", "string_above_max_length"):
            assert error["param"]
        assert error["event_id"] == sent.get("event_id")
    wanted = ANSWERS.get(sent["type"]) if isinstance(sent["type"], str) else None
    queued = sent["type"] == "conversation.item.create"  # behind the items of the running response
    assert errors or queued or wanted is None or wanted in kinds, f"{sent['type']} was not answered: {kinds}"
    assert errors or wanted is not None or sent["type"] == "output_audio_buffer.clear", f"{sent} was taken"


@settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
@given(st.lists(step, min_size=1, max_size=25))
def test_any_conversation(steps: list[Any]) -> None:
    run(converse(steps))
