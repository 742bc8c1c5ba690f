"""What the server does of the protocol, found out by trying: scenarios, and a record of what came of them.

Each scenario talks with a served session on virtual time. What it sends and gets is recorded: an event counts as
supported if it was taken without an error, or was sent and the official client's types have nothing against it. A field
counts if a scenario shows its effect (it asserts it, and says so in its decorator); one that is taken without an effect
stands in `WITHOUT_EFFECT` with its reason. `scripts/make_conformance.py` writes docs/conformance.md of it.
"""

from __future__ import annotations

import base64
import functools
import json
import typing
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import pydantic
from openai.types.realtime import (
    RealtimeResponseCreateParams,
    RealtimeSessionCreateRequest,
    RealtimeTranscriptionSessionCreateRequest,
)

from repartee.chat import function_tool
from repartee.errors import ToolError
from repartee.models import LLMCapabilities
from repartee.protocol.faults import SESSION_EXPIRED
from repartee.server.options import ServerOptions
from repartee.server.sessions.usage import TokenBudget
from repartee.testing import Reply, ScriptedLLM, ScriptedSTT, call_function, elapse, fail, run
from tests.protocol import official
from tests.server.sessions.test_served_session_playback import Player
from tests.server.talk import Talk, model_of

TEXT = {"output_modalities": ["text"]}
MANUAL = {"audio": {"input": {"turn_detection": None}}}
WORDS = {"audio": {"input": {"transcription": {"model": "any"}}}}
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


@dataclass
class Record:
    """What came of all scenarios."""

    taken: set[str] = field(default_factory=set)
    """Client events that were taken without an error."""
    said: set[str] = field(default_factory=set)
    """Server events that were sent."""
    codes: set[str] = field(default_factory=set)
    """Of errors, and of responses that failed."""
    items_taken: set[str] = field(default_factory=set)
    items_said: set[str] = field(default_factory=set)
    """Kinds of items and of the parts of messages: ``function_call``, ``user/input_text``."""
    problems: list[str] = field(default_factory=list)
    """What the official types have against what was sent."""
    shown: dict[str, str] = field(default_factory=dict)
    """Field, limit or other feature → the scenario that shows it."""

    def hear(self, frame: bytes, *, official_kind: bool = True) -> None:
        """A frame of the server's."""
        event = json.loads(frame)
        if event["type"].startswith("repartee."):
            return
        self.said.add(event["type"])
        if official_kind:
            self.problems += official.problems(frame, from_client=False)
        if event["type"] == "error":
            self.codes.add(event["error"]["code"])
        response = event.get("response") or {}
        details = response.get("status_details") or {}
        if isinstance(details, dict) and details.get("error"):
            self.codes.add(details["error"]["code"])
        for item in [event.get("item"), *response.get("output", [])]:
            self.items_said.update(_kinds(item))


def _kinds(item: Any) -> Iterator[str]:
    if not item:
        return
    if item["type"] != "message":
        yield item["type"]
    for part in item.get("content", ()):
        yield f"{item['role']}/{part['type']}"


class Recorded(Talk):
    """A talk whose events are recorded."""

    def __init__(self, record: Record, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._record = record
        self._wants_beta = options.get("dialect") is not None
        send = self.client.send

        def recording(frame: bytes, *, audio: bool = False) -> None:
            record.hear(frame, official_kind=not self._wants_beta)
            send(frame, audio=audio)

        self.client.send = recording  # type: ignore[method-assign]

    async def __aenter__(self) -> Recorded:
        await super().__aenter__()
        return self

    def send(self, event_type: str, **fields: Any) -> None:
        before = len(self.client.all("error"))
        super().send(event_type, **fields)
        if len(self.client.all("error")) > before:
            return
        self._record.taken.add(event_type)
        items = [*fields.get("response", {}).get("input", []), fields.get("item")]
        for item in items:
            self._record.items_taken.update(_kinds(item))

    def refused(self, event_type: str, **fields: Any) -> str:
        """Send what is refused: the error's code."""
        before = len(self.client.all("error"))
        self.send(event_type, event_id="mine", **fields)
        errors = self.client.all("error")
        assert len(errors) == before + 1, f"{event_type} was taken"
        assert errors[-1]["error"]["event_id"] == "mine"
        return str(errors[-1]["error"]["code"])

    @property
    def request(self) -> Any:
        """What the LLM was asked last."""
        return self.llm.requests[-1]


Scenario = Callable[[Callable[..., Recorded]], Coroutine[Any, Any, None]]
SCENARIOS: list[tuple[Scenario, tuple[str, ...]]] = []


def shows(*features: str) -> Callable[[Scenario], Scenario]:
    """A scenario, and what it shows beside its events."""

    def decorate(scenario: Scenario) -> Scenario:
        SCENARIOS.append((scenario, features))
        return scenario

    return decorate


def run_all() -> Record:
    """Run every scenario."""
    record = Record()
    for scenario, features in SCENARIOS:
        run(scenario(functools.partial(Recorded, record)))
        record.shown.update(dict.fromkeys(features, scenario.__name__))
    return record


def message(text: str, role: str = "user", **fields: Any) -> dict[str, Any]:
    """A message of text."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **fields}


def pcm_ms(talk: Recorded, bytes_per_ms: int = 48) -> float:
    """How much audio the client got."""
    sizes = [len(base64.b64decode(each["delta"])) for each in talk.client.all("response.output_audio.delta")]
    return sum(sizes) / bytes_per_ms


# -- the session -----------------------------------------------------------------------------------------------


@shows(
    *("session.type", "session.model", "session.instructions", "session.output_modalities", "session.tools"),
    *("session.tool_choice", "session.max_output_tokens", "session.audio.output.voice"),
    "limit: the model can't be changed",
)
async def the_session_reaches_the_model(talks: Callable[..., Recorded]) -> None:
    async with talks(replies=["a", "b"], voices=("cedar",)) as talk:
        talk.update(
            model="scripted",
            instructions="Be brief.",
            tools=[WEATHER],
            tool_choice={"type": "function", "name": "weather"},
            max_output_tokens=500,
            audio={"output": {"voice": "cedar"}},
            **TEXT,
        )
        assert talk.session.inner.options.voice == "cedar"
        await talk.answer("hi")
        asked = talk.request
        assert (asked.instructions, asked.tool_choice, asked.max_output_tokens) == (
            "Be brief.",
            "weather",
            500,
        )
        assert [tool.name for tool in asked.tools] == ["weather"]
        assert not talk.client.all("response.output_audio.delta")
        talk.update(instructions="", tools=[], tool_choice="auto")
        await talk.answer("hi")
        assert (talk.request.instructions, talk.request.tools) == ("Be kind.", ())
        another = {"type": "realtime", "model": "another"}
        assert talk.refused("session.update", session=another) == "invalid_value"


@shows(
    *("session.audio.input.format", "session.audio.output.format", "session.audio.output.speed"),
    "limit: audio in is PCM16 at 24 kHz, or G.711",
    "limit: speed 0.25–1.5",
)
async def formats_and_speed(talks: Callable[..., Recorded]) -> None:
    for kind, rate in (("audio/pcmu", 8), ("audio/pcma", 8), ("audio/pcm", 48)):
        form: dict[str, Any] = {"type": kind, **({"rate": 24000} if rate == 48 else {})}
        session = {"audio": {"input": {"format": form, "turn_detection": None}, "output": {"format": form}}}
        async with talks(replies=["One two."] * 2, session=session) as talk:
            talk.send("input_audio_buffer.append", audio=base64.b64encode(bytes(rate * 200)).decode())
            talk.send("input_audio_buffer.commit")
            await talk.answer("hi")
            assert pcm_ms(talk, rate) == 500
            if rate == 48:
                talk.update(audio={"output": {"speed": 1.25}})
                await talk.answer("hi")
                assert 880 < pcm_ms(talk) < 920
                assert talk.refused(
                    "session.update", session={"type": "realtime", "audio": {"output": {"speed": 1.6}}}
                )
                wrong = {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}
                assert (
                    talk.refused("session.update", session={"type": "realtime", **wrong}) == "invalid_value"
                )


@shows(
    "session.audio.input.turn_detection(server_vad).threshold",
    "session.audio.input.turn_detection(server_vad).prefix_padding_ms",
    "session.audio.input.turn_detection(server_vad).silence_duration_ms",
    "session.audio.input.turn_detection(server_vad).create_response",
    "session.audio.input.turn_detection(server_vad).interrupt_response",
    "limit: server_vad's values are checked",
)
async def server_vad(talks: Callable[..., Recorded]) -> None:
    def session(**fields: Any) -> dict[str, Any]:
        return {"audio": {"input": {"turn_detection": {"type": "server_vad", **fields}}}}

    starts, ends = [], []
    for padding, silence in ((100, 300), (400, 900)):
        settings = session(prefix_padding_ms=padding, silence_duration_ms=silence, create_response=False)
        async with talks(session=settings) as talk:
            talk.hear(1.0, "hello there", 2.0)
            await elapse(3)
            starts.append(talk.client.last("input_audio_buffer.speech_started")["audio_start_ms"])
            ends.append(len(talk.client.all("input_audio_buffer.committed")))
            assert not talk.client.all("response.created")
    assert starts[0] - starts[1] == 300
    assert ends == [1, 1]
    async with talks(session=session(silence_duration_ms=1500)) as talk:
        talk.hear(0.3, "hello", 1.0)
        await elapse(0.05)
        assert not talk.client.all("input_audio_buffer.speech_stopped")
    async with talks(session=session(threshold=0.99)) as talk:
        talk.hear(0.3, "hello", 1.0)
        await elapse(2)
        assert not talk.client.all("input_audio_buffer.speech_started")
    async with talks(replies=["One two three four five."], session=session(interrupt_response=False)) as talk:
        talk.say("hi")
        talk.respond()
        await elapse(0.1)
        talk.hear("stop")
        assert (await talk.done())["status"] == "completed"
    async with talks() as talk:
        for wrong in ({"threshold": 2}, {"silence_duration_ms": -1}, {"idle_timeout_ms": 4000}):
            assert talk.refused("session.update", session={"type": "realtime", **session(**wrong)})


@shows(
    "session.audio.input.turn_detection(semantic_vad).eagerness",
    "session.audio.input.turn_detection(semantic_vad).create_response",
    "session.audio.input.turn_detection(semantic_vad).interrupt_response",
    "limit: semantic_vad waits at most 8, 4, 2 s",
)
async def semantic_vad(talks: Callable[..., Recorded]) -> None:
    from repartee.testing import ScriptedTurnDetector

    waits = []
    for eagerness in ("low", "medium", "high", "auto"):
        detection = {"type": "semantic_vad", "eagerness": eagerness, "create_response": False}
        session = {"audio": {"input": {"turn_detection": detection}}}
        unsure = ScriptedTurnDetector(0.0)
        async with talks(session=session, turn_detector=unsure) as talk:
            talk.hear(0.3, "well I", 12.0)
            await elapse(3)
            waits.append(talk.client.last("input_audio_buffer.speech_stopped")["audio_end_ms"])
            assert not talk.client.all("response.created")
    assert waits[0] > waits[1] > waits[2]
    assert waits[3] == waits[1]
    assert waits[0] <= 300 + 700 + 8000
    detection = {"type": "semantic_vad", "interrupt_response": False}
    session = {"audio": {"input": {"turn_detection": detection}}}
    async with talks(replies=["One two three four five."], session=session) as talk:
        talk.say("hi")
        talk.respond()
        await elapse(0.1)
        talk.hear("stop")
        assert (await talk.done())["status"] == "completed"


@shows(
    "session.audio.input.turn_detection(server_vad).idle_timeout_ms",
    "limit: idle_timeout_ms 5000–30000",
)
async def idle_timeout(talks: Callable[..., Recorded]) -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 6000}
    session = {"audio": {"input": {"turn_detection": detection}}}
    async with talks(replies=["Hello.", "Still there?"], session=session) as talk:
        talk.hear(0.3, "hello", 1.5)
        await talk.done()
        await elapse(5.9)
        assert not talk.client.all("input_audio_buffer.timeout_triggered")
        await talk.done(2)
        assert talk.client.all("input_audio_buffer.timeout_triggered")


@shows(
    "session.truncation",
    "session.truncation.retention_ratio",
    "session.truncation.token_limits",
    "limit: context",
)
async def truncation(talks: Callable[..., Recorded]) -> None:
    kept = {}
    small = ServerOptions(context_tokens=400)
    ratio = {"type": "retention_ratio", "retention_ratio": 0.5}
    limited = {**ratio, "retention_ratio": 1.0, "token_limits": {"post_instructions": 150}}
    for name, policy in (("auto", "auto"), ("ratio", ratio), ("limited", limited), ("disabled", "disabled")):
        async with talks(replies=["ok"], session={**TEXT, "truncation": policy}, options=small) as talk:
            for number in range(8):
                talk.say(f"{number} " + "word " * 80)
            done = await talk.answer()
            if policy == "disabled":
                assert done["status_details"]["error"]["code"] == "conversation_too_long"
            else:
                kept[name] = len(talk.request.context.items)
    assert 0 < kept["ratio"] < kept["auto"] < 8
    assert 0 < kept["limited"] < kept["auto"]


@shows("session.parallel_tool_calls", "response.parallel_tool_calls")
async def one_call_at_a_time(talks: Callable[..., Recorded]) -> None:
    calls = Reply(
        calls=(call_function("weather", "c1", place="a"), call_function("weather", "c2", place="b"))
    )
    async with talks(replies=[calls] * 3, session={**TEXT, "tools": [WEATHER]}) as talk:
        assert len((await talk.answer("both"))["output"]) == 2
        assert len((await talk.answer("one", parallel_tool_calls=False))["output"]) == 1
        talk.update(parallel_tool_calls=False)
        assert len((await talk.answer("one"))["output"]) == 1


WITHOUT_EFFECT: dict[str, tuple[Any, str]] = {
    "session.tracing": ("auto", "nothing is sent to a tracing service; `SessionLog` records sessions"),
    "session.prompt": ({"id": "pmpt_1"}, "stored prompts live at OpenAI only"),
    "session.reasoning.effort": (
        "low",
        "taken for models that reason; none that is served has such a switch",
    ),
    "session.include": (
        ["item.input_audio_transcription.logprobs"],
        "the recognisers behind the server give no log probabilities",
    ),
    "session.audio.input.noise_reduction.strength": (0.5, "the noise suppressor has one strength"),
    "session.audio.input.transcription.model": (
        "whisper-1",
        "switches transcripts on; the recogniser is the served model's, whatever is named (a relay passes it on)",
    ),
    "session.audio.input.transcription.language": (
        "en",
        "the recogniser's language is set where it is served (a relay passes it on)",
    ),
    "session.audio.input.transcription.languages": (["en"], "as `language`"),
    "session.audio.input.transcription.prompt": ("names", "the recogniser is set up where it is served"),
    "session.audio.input.transcription.keywords": (["repartee"], "as `prompt`"),
    "session.audio.input.transcription.delay": ("low", "as `prompt`"),
    "response.prompt": ({"id": "pmpt_1"}, "as in the session"),
    "response.reasoning.effort": ("low", "as in the session"),
}
"""Fields that are taken, and change nothing: a value of each, and why."""


@shows()
async def fields_without_effect_are_taken(talks: Callable[..., Recorded]) -> None:
    async with talks(replies=["ok"] * 9, session=TEXT) as talk:
        for path, (value, _) in WITHOUT_EFFECT.items():
            kind, *names = path.split(".")
            made = value
            for name in reversed(names):
                made = {name: made}
            if kind == "session":
                updated = len(talk.client.all("session.updated"))
                talk.update(**made)
                assert len(talk.client.all("session.updated")) == updated + 1, path
            else:
                talk.say("hi")
                talk.respond(**made)
                assert (await talk.done())["status"] == "completed", path
        assert not talk.client.all("error")


# -- turns -----------------------------------------------------------------------------------------------------


@shows("transcription.type")
async def a_transcription_session(talks: Callable[..., Recorded]) -> None:
    async with talks(kind="transcription", session=WORDS) as talk:
        talk.hear(0.3, "book a table", 1.5)
        await elapse(3)
        completed = talk.client.last("conversation.item.input_audio_transcription.completed")
        assert completed["transcript"] == "book a table"
        assert not talk.client.all("response.created")


@shows("limit: a commit needs 100 ms")
async def push_to_talk(talks: Callable[..., Recorded]) -> None:
    async with talks(replies=["Roger."], session=MANUAL) as talk:
        talk.hear(0.09)
        assert talk.refused("input_audio_buffer.commit") == "input_audio_buffer_commit_empty"
        talk.send("input_audio_buffer.clear")
        talk.hear("over")
        talk.send("input_audio_buffer.commit")
        item_id = talk.client.last("input_audio_buffer.committed")["item_id"]
        await elapse(0.5)
        await talk.answer()
        talk.send("conversation.item.retrieve", item_id=item_id)
        assert talk.client.last("conversation.item.retrieved")["item"]["content"][0]["audio"]
        assert talk.asked[-1] == [("user", "over")]


@shows()
async def transcription_fails_and_so_does_the_answer(talks: Callable[..., Recorded]) -> None:
    stt = ScriptedSTT(faults=[fail(1)])
    session = {"audio": {"input": {"turn_detection": None, "transcription": {"model": "any"}}}}
    async with talks(model_of(["ok"], stt=stt), session=session) as talk:
        talk.hear("book a table")
        talk.send("input_audio_buffer.commit")
        done = await talk.answer()
        assert done["status"] == "failed"
        assert done["status_details"]["error"]["code"] == "transcription_failed"
        assert talk.client.all("conversation.item.input_audio_transcription.failed")
        talk.hear("book a table")
        talk.send("input_audio_buffer.commit")
        assert (await talk.answer())["status"] == "completed"


@shows()
async def playback_by_the_server(talks: Callable[..., Recorded]) -> None:
    player = Player()
    async with talks(replies=["One two.", "Three."], output=player) as talk:
        done = await talk.answer("hi")
        talk.session.playback_started(done["id"])
        talk.session.playback_stopped(done["id"])
        done = await talk.answer("hi")
        talk.session.playback_started(done["id"])
        talk.send("output_audio_buffer.clear")
        assert talk.client.all("output_audio_buffer.cleared")


# -- the conversation ------------------------------------------------------------------------------------------


@shows(
    "limit: item ids ≤ 32 characters, unique", "limit: previous_item_id", "limit: event_id ≤ 512 characters"
)
async def items(talks: Callable[..., Recorded]) -> None:
    llm = ScriptedLLM(["ok"], capabilities=LLMCapabilities(images=True))
    async with talks(model_of(llm=llm), session=TEXT) as talk:
        create = "conversation.item.create"
        talk.send(create, item=message("one", id="one"))
        talk.send(create, item=message("rule", "system"), previous_item_id="root")
        talk.send(create, item=message("said", "assistant"))
        spoken = {"type": "output_audio", "transcript": "aloud"}
        talk.send(create, item={"type": "message", "role": "assistant", "content": [spoken]})
        image = {"type": "input_image", "image_url": PIXEL}
        talk.send(create, item={"type": "message", "role": "user", "content": [image]})
        voice = {"type": "input_audio", "audio": base64.b64encode(bytes(9600)).decode()}
        talk.send(create, item={"type": "message", "role": "user", "content": [voice]})
        await elapse(2)
        call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
        talk.send(create, item=call)
        talk.send(create, item={"type": "function_call_output", "call_id": "c1", "output": "1"})
        assert not talk.client.all("error")
        assert talk.refused(create, item=message("x", id="one")) == "item_create_duplicate_item_id"
        assert talk.refused(create, item=message("x", id="i" * 33)) == "string_above_max_length"
        unknown = talk.refused(create, item=message("x"), previous_item_id="no")
        assert unknown == "item_create_invalid_previous_item_id"
        talk.send("conversation.item.delete", item_id="one")
        assert talk.refused("conversation.item.delete", item_id="one") == "item_delete_invalid_item_id"
        assert talk.refused("conversation.item.retrieve", item_id="one") == "item_retrieve_invalid_item_id"
        talk.session.receive(json.dumps({"type": "response.cancel", "event_id": "e" * 513}), talk.client)
        assert talk.client.last("error")["error"]["code"] == "string_above_max_length"
        await talk.answer()
        texts = [text for _, text in [(each.role, each.text) for each in llm.requests[-1].context.messages]]
        assert "one" not in texts
        assert texts[0] == "rule"
        assert {"said", "aloud"} <= set(texts)


@shows()
async def truncation_at_the_word_heard(talks: Callable[..., Recorded]) -> None:
    async with talks(replies=["One two three four.", "ok"]) as talk:
        item_id = (await talk.answer("count"))["output"][0]["id"]
        cut = {"item_id": item_id, "content_index": 0}
        assert talk.refused("conversation.item.truncate", **cut, audio_end_ms=5000) == "invalid_value"
        gone = {"item_id": "no", "content_index": 0, "audio_end_ms": 1}
        assert talk.refused("conversation.item.truncate", **gone) == "item_truncate_invalid_item_id"
        talk.send("conversation.item.truncate", **cut, audio_end_ms=600)
        await talk.answer("and?", **TEXT)
        assert ("assistant", "One two") in talk.asked[-1]


# -- responses -------------------------------------------------------------------------------------------------


@shows(
    *("response.conversation", "response.input", "response.instructions", "response.output_modalities"),
    *("response.tools", "response.tool_choice", "response.max_output_tokens", "response.metadata"),
    "response.audio.output.voice",
    "limit: metadata 16 pairs, 64 and 512 characters",
    "limit: max_output_tokens 1–4096 or inf",
)
async def what_a_response_wants(talks: Callable[..., Recorded]) -> None:
    async with talks(replies=["one"] * 20) as talk:
        talk.say("hidden", item_id="known")
        talk.say("more")
        done = await talk.answer(
            conversation="none",
            input=[message("raw"), {"type": "item_reference", "id": "known"}],
            instructions="Otherwise.",
            tools=[WEATHER],
            tool_choice="none",
            max_output_tokens=77,
            metadata={"topic": "x"},
            output_modalities=["text"],
        )
        assert (done["metadata"], done["conversation_id"]) == ({"topic": "x"}, None)
        asked = talk.request
        assert [each.text for each in asked.context.messages] == ["raw", "hidden"]
        assert (asked.instructions, asked.tool_choice, asked.max_output_tokens) == ("Otherwise.", "none", 77)
        assert not talk.client.all("response.output_audio.delta")
        done = await talk.answer(audio={"output": {"voice": "cedar"}})
        assert done["audio"]["output"]["voice"] == "cedar"
        assert pcm_ms(talk) == 250
        for pairs in ({str(n): "" for n in range(17)}, {"k" * 65: ""}, {"k": "v" * 513}):
            assert talk.refused("response.create", response={"metadata": pairs}) == "invalid_value"
        for limit in (0, 4097, "much"):
            assert talk.refused("response.create", response={"max_output_tokens": limit}) == "invalid_value"
    async with talks(replies=["word " * 400], session=TEXT) as talk:
        done = await talk.answer("go", max_output_tokens=20)
        assert (done["status"], done["status_details"]["reason"]) == ("incomplete", "max_output_tokens")


@shows("response.audio.output.format")
async def a_response_in_a_format_of_its_own(talks: Callable[..., Recorded]) -> None:
    async with talks(replies=["one"]) as talk:
        await talk.answer("hi", audio={"output": {"format": {"type": "audio/pcmu"}}})
        assert pcm_ms(talk, 8) == 250


@shows()
async def a_function_of_the_client(talks: Callable[..., Recorded]) -> None:
    replies = [call_function("weather", "call_1", place="Rome"), "Sunny."]
    async with talks(replies=replies, session={**TEXT, "tools": [WEATHER]}) as talk:
        [call] = (await talk.answer("weather?"))["output"]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "sun"}
        talk.send("conversation.item.create", item=output)
        assert (await talk.answer())["output"][0]["content"][0]["text"] == "Sunny."


@function_tool
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@function_tool
async def broken() -> str:
    """Fail."""
    raise ToolError("no")


@shows()
async def functions_of_the_server(talks: Callable[..., Recorded]) -> None:
    replies = [call_function("add", a=1, b=2), call_function("broken"), "Three."]
    async with talks(replies=replies, session=TEXT, tools=[add, broken]) as talk:
        done = await talk.answer("add")
        assert [item["type"] for item in done["output"]] == ["mcp_call", "mcp_call", "message"]
        assert len(talk.client.all("response.done")) == 1
        mcp = {"type": "mcp", "server_label": "far", "server_url": "https://mcp.test"}
        talk.update(tools=[mcp])
        assert talk.client.all("mcp_list_tools.failed")


@shows()
async def cancels_and_races(talks: Callable[..., Recorded]) -> None:
    async with talks(replies=["One two three four.", "ok"]) as talk:
        assert talk.refused("response.cancel") == "response_cancel_not_active"
        talk.say("hi")
        talk.respond()
        await elapse(0.2)
        assert talk.refused("response.create") == "conversation_already_has_active_response"
        talk.send("response.cancel")
        assert (await talk.done(1))["status"] == "cancelled"
        await talk.answer("hi")
        voice = {"type": "realtime", "audio": {"output": {"voice": "cedar"}}, "tools": [WEATHER]}
        assert talk.refused("session.update", session=voice) == "cannot_update_voice"
        assert talk.session.connection.session.tools == []  # type: ignore[union-attr]


@shows("limit: voice is fixed once audio was produced")
async def voice_is_fixed(talks: Callable[..., Recorded]) -> None:
    async with talks(replies=["One."]) as talk:
        talk.update(audio={"output": {"voice": "cedar"}})
        await talk.answer("hi")
        voice = {"type": "realtime", "audio": {"output": {"voice": "ash"}}}
        assert talk.refused("session.update", session=voice) == "cannot_update_voice"


@shows("limit: session length, then session_expired and close 1001")
async def the_session_expires(talks: Callable[..., Recorded]) -> None:
    async with talks() as talk:
        talk.session.end(SESSION_EXPIRED)
        assert talk.client.closed is not None
        assert talk.client.closed[0] == 1001


@shows("limit: rate limits")
async def tokens_run_out(talks: Callable[..., Recorded]) -> None:
    async with talks(replies=["a", "b"], session=TEXT, budget=TokenBudget(5, 0.0)) as talk:
        await talk.answer("hi")
        assert talk.client.last("rate_limits.updated")["rate_limits"][0]["name"] == "tokens"
        done = await talk.answer("hi")
        assert done["status_details"]["error"]["code"] == "rate_limit_exceeded"


@shows("limit: input_audio_buffer.append ≤ 15 MiB")
async def events_that_are_wrong(talks: Callable[..., Recorded]) -> None:
    async with talks(options=ServerOptions(append_bytes=9600)) as talk:
        assert talk.refused("scooby.dooby.doo") == "invalid_value"
        assert talk.refused("session.update") == "missing_required_parameter"
        wrong = {"type": "realtime", "foo": 1}
        assert talk.refused("session.update", session=wrong) == "unknown_parameter"
        long = base64.b64encode(bytes(9602)).decode()
        assert talk.refused("input_audio_buffer.append", audio=long) == "invalid_value"
        talk.session.receive(b'{"event_id":"mine"}', talk.client)
        assert talk.client.last("error")["error"]["code"] == "invalid_event"
        assert talk.refused("session.close") == "invalid_value"
        assert talk.refused("session.input_audio_buffer.append", audio="AAAA") == "invalid_value"
        consent = {"type": "mcp_approval_response", "approval_request_id": "none", "approve": True}
        assert talk.refused("conversation.item.create", item=consent) == "invalid_value"


# -- what is not supported -------------------------------------------------------------------------------------

NO_TRANSLATION = (
    "no model that is served translates: such a session is refused with `invalid_model` (close 4000)"
)
UNSUPPORTED: dict[str, str] = {
    "session.close": NO_TRANSLATION,
    "session.input_audio_buffer.append": NO_TRANSLATION,
    "session.closed": NO_TRANSLATION,
    "session.input_transcript.delta": NO_TRANSLATION,
    "session.output_transcript.delta": NO_TRANSLATION,
    "session.output_audio.delta": NO_TRANSLATION,
    "conversation.created": "the service sends none either since general availability",
    "conversation.item.created": "the beta's name; beta clients get it",
    "conversation.item.input_audio_transcription.segment": "no recogniser behind the server tells speakers apart",
    "input_audio_buffer.dtmf_event_received": "there is no telephone",
    "mcp_list_tools.completed": "MCP servers of clients are not asked: their listing is answered with `failed`",
    "mcp_approval_request": "functions of the server need no approval of the client",
    "mcp_approval_response": "as `mcp_approval_request`: answered with the error `invalid_value`",
}
"""What is not there, and why."""

ELSEWHERE: dict[str, str] = {
    "invalid_api_key": "tests/server/endpoints/test_websocket.py::test_a_wrong_key_is_told_and_closed_3000",
    "invalid_model": "tests/server/endpoints/test_websocket.py::test_what_is_not_served_is_told",
    "beta_api_shape_disabled": (
        "tests/server/endpoints/test_websocket.py::test_beta_clients_are_known_by_header_or_subprotocol"
    ),
    "session.audio.input.noise_reduction.type": (
        "tests/server/hearing/test_listening_speech.py::test_spoken_sentences_in_noise"
    ),
    "call_id_not_found": "tests/server/endpoints/test_websocket.py::test_a_sideband_attaches_to_its_keys_calls_only",
    "limit: client secrets 10–7200 s, usable more than once": (
        "tests/server/access/test_client_secrets.py::test_a_secret_is_usable_more_than_once_until_it_expires"
    ),
    "limit: a sideband needs a standard key and a known call": (
        "tests/server/endpoints/test_websocket.py::test_a_sideband_attaches_to_its_keys_calls_only"
    ),
}
"""What only a socket shows: the test that does."""

LIMITS = {
    "limit: session length, then session_expired and close 1001": "60 min; `--session-s`",
    "limit: input_audio_buffer.append ≤ 15 MiB": "`--append-bytes`",
    "limit: a commit needs 100 ms": "",
    "limit: event_id ≤ 512 characters": "",
    "limit: item ids ≤ 32 characters, unique": "",
    "limit: previous_item_id": "unset: at the end; `root`: in front; unknown: an error, nothing is added",
    "limit: metadata 16 pairs, 64 and 512 characters": "",
    "limit: max_output_tokens 1–4096 or inf": "",
    "limit: speed 0.25–1.5": "",
    "limit: server_vad's values are checked": "threshold 0–1, prefix_padding_ms, silence_duration_ms",
    "limit: idle_timeout_ms 5000–30000": "",
    "limit: semantic_vad waits at most 8, 4, 2 s": "eagerness low, medium (and auto), high",
    "limit: context": "28,224 tokens; `--context-tokens`",
    "limit: audio in is PCM16 at 24 kHz, or G.711": "",
    "limit: voice is fixed once audio was produced": "",
    "limit: the model can't be changed": "",
    "limit: rate limits": "tokens a minute; `--tokens-per-min`",
    "limit: client secrets 10–7200 s, usable more than once": "",
    "limit: a sideband needs a standard key and a known call": "",
}
"""Each limit of the protocol: more about it."""
CODES_OF_H = (
    *("invalid_value", "invalid_event", "missing_required_parameter", "unknown_parameter"),
    *("conversation_already_has_active_response", "response_cancel_not_active"),
    *("input_audio_buffer_commit_empty", "item_truncate_invalid_item_id", "item_delete_invalid_item_id"),
    *(
        "item_retrieve_invalid_item_id",
        "item_create_duplicate_item_id",
        "item_create_invalid_previous_item_id",
    ),
    *("string_above_max_length", "conversation_too_long", "cannot_update_voice", "session_expired"),
    *(
        "rate_limit_exceeded",
        "invalid_api_key",
        "invalid_model",
        "beta_api_shape_disabled",
        "call_id_not_found",
    ),
)
ITEMS = (
    *("user/input_text", "user/input_audio", "user/input_image", "system/input_text"),
    *("assistant/output_text", "assistant/output_audio", "function_call", "function_call_output"),
    *("item_reference", "mcp_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response"),
)
CLIENTS_ITEMS = frozenset(ITEMS[:9])
"""Items that a client may create (or, of references, use)."""

_LEAVES = frozenset({"format", "metadata", "token_limits", "tool_choice", "tools", "tracing", "voice"})


def fields_of(model: type[pydantic.BaseModel], path: str) -> Iterator[str]:
    """The fields of an official type, down to the leaves; kinds of an alternative stand in brackets."""
    for name, found in model.model_fields.items():
        where = f"{path}.{name}"
        is_leaf = name in _LEAVES or (name == "prompt" and path in ("session", "response"))
        kinds = [] if is_leaf else list(_models(found.annotation))
        if name == "truncation":
            yield where
        if not kinds:
            yield where
        for kind in kinds:
            tagged = len(kinds) > 1 and "type" in kind.model_fields
            inner = f"{where}({official.tag_of(kind)})" if tagged else where
            for leaf in fields_of(kind, inner):
                if not (leaf == f"{inner}.type" and (tagged or name == "truncation")):
                    yield leaf


def _models(hint: Any) -> Iterator[type[pydantic.BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, pydantic.BaseModel):
        yield hint
    elif typing.get_origin(hint) is not list:
        for each in typing.get_args(hint):
            yield from _models(each)


SESSION_FIELDS = tuple(fields_of(RealtimeSessionCreateRequest, "session"))
TRANSCRIPTION_FIELDS = tuple(fields_of(RealtimeTranscriptionSessionCreateRequest, "transcription"))
RESPONSE_FIELDS = tuple(fields_of(RealtimeResponseCreateParams, "response"))


def reason_without_effect(path: str) -> str | None:
    """Why a field that is taken has no effect; ``None``: it has one."""
    if path in WITHOUT_EFFECT:
        return WITHOUT_EFFECT[path][1]
    kind, _, rest = path.partition(".")
    if kind == "transcription":
        if rest.endswith(("create_response", "interrupt_response", "idle_timeout_ms")):
            return "nothing is answered in this kind of session"
        return reason_without_effect(f"session.{rest}")
    return None


def shown_by(record: Record, path: str) -> str | None:
    """The scenario that shows a field's effect. The input of a transcription session is that of a realtime session."""
    kind, _, rest = path.partition(".")
    found = record.shown.get(path) or ELSEWHERE.get(path)
    if found is None and kind == "transcription" and rest.startswith("audio.input."):
        found = shown_by(record, f"session.{rest}")
    return found
