"""Any legal conversation: two ends that talk past each other for a while hold the same state once all is delivered."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from repartee.errors import LocalProtocolError
from repartee.protocol import events as ev
from repartee.protocol.config import AudioOutputConfig, RealtimeSession, SemanticVad, ServerVad, SessionAudio
from repartee.protocol.items import (
    FunctionCallOutput,
    InputAudio,
    InputText,
    ItemReference,
    Message,
    OutputText,
    id_of,
)
from repartee.protocol.model import UNSET
from repartee.protocol.responses import ResponseParams
from repartee.protocol.sessions import turn_detection_of
from tests.protocol.wire import MS, Wire, turn_detection

RACES = {
    # What a client can't know when it asks: the answer to these was on the way.
    "cannot_update_voice",
    "conversation_already_has_active_response",
    "input_audio_buffer_commit_empty",
    "response_cancel_not_active",
}

_parts = st.sampled_from(
    [InputText(text="hello"), InputAudio(audio=bytes(10 * MS)), InputAudio(transcript="hm")]
)
_items = st.one_of(
    st.builds(lambda part: Message(role="user", content=[part]), _parts),
    st.just(Message(role="assistant", content=[OutputText(text="I said")])),
    st.just(Message(role="system", content=[InputText(text="Be brief.")])),
    st.just(FunctionCallOutput(call_id="call_1", output="42")),
)
_detections = st.sampled_from(
    [None, ServerVad(), ServerVad(interrupt_response=False), SemanticVad(create_response=False)]
)


class Talk(RuleBasedStateMachine):
    """Client and server act in any order, and frames are delivered late, one by one, each way in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = Wire()
        self.writers: list[Any] = []
        self.speech: Any = None

    def ask(self, event: Any) -> None:
        """Send, if the client's side lets it."""
        try:
            self.wire.ask(event, flush=False)
        except LocalProtocolError:
            return

    def say(self, events: list[Any]) -> None:
        self.wire.say(events, flush=False)

    # -------------------------------------------------------------------------------------------------- the wire

    @precondition(lambda self: self.wire.up)
    @rule(count=st.integers(1, 5))
    def deliver_up(self, count: int) -> None:
        for _ in range(min(count, len(self.wire.up))):
            self.wire.take_up()
        self.collect()

    @precondition(lambda self: self.wire.down)
    @rule(count=st.integers(1, 12))
    def deliver_down(self, count: int) -> None:
        for _ in range(min(count, len(self.wire.down))):
            self.wire.take_down()

    @rule()
    def deliver_all(self) -> None:
        self.wire.flush()
        self.collect()

    # ------------------------------------------------------------------------------------------------- the client

    @rule(milliseconds=st.integers(0, 200))
    def append(self, milliseconds: int) -> None:
        self.ask(ev.InputAudioBufferAppend(audio=bytes(milliseconds * MS)))

    @rule(event=st.sampled_from([ev.InputAudioBufferCommit(), ev.InputAudioBufferClear()]))
    def end_buffer(self, event: Any) -> None:
        self.ask(event)

    @rule(item=_items, data=st.data())
    def create(self, item: Any, data: st.DataObject) -> None:
        pending = self.wire.client.requests.pending_of(ev.ConversationItemCreate)
        asked = [id_of(request.item) for request in pending]
        places = [UNSET, UNSET, "root", *self.wire.client.conversation.ids, *asked]
        self.ask(ev.ConversationItemCreate(item=item, previous_item_id=data.draw(st.sampled_from(places))))

    @precondition(lambda self: bool(self.wire.client.conversation.ids))
    @rule(data=st.data(), kind=st.sampled_from([ev.ConversationItemDelete, ev.ConversationItemRetrieve]))
    def name(self, data: st.DataObject, kind: Any) -> None:
        self.ask(kind(item_id=data.draw(st.sampled_from(self.wire.client.conversation.ids))))

    @precondition(lambda self: self.spoken())
    @rule(data=st.data(), part=st.floats(0, 1.2))
    def truncate(self, data: st.DataObject, part: float) -> None:
        item_id, length_ms = data.draw(st.sampled_from(self.spoken()))
        end_ms = int(length_ms * part)
        self.ask(ev.ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=end_ms))

    def spoken(self) -> list[tuple[str, int]]:
        conversation = self.wire.client.conversation
        entries = [(item_id, conversation.entry(item_id)) for item_id in conversation.ids]
        return [(item_id, entry.audio_ms()) for item_id, entry in entries if entry and entry.audio_bytes]

    @rule(
        place=st.sampled_from([UNSET, "auto", "none"]),
        modality=st.sampled_from([UNSET, ["text"], ["audio"]]),
        refer=st.booleans(),
    )
    def respond(self, place: Any, modality: Any, refer: bool) -> None:
        known = self.wire.server.conversation.ids if refer else ()
        references = (
            [ItemReference(id=known[0])] if known and known[0] in self.wire.client.conversation else []
        )
        going = {r.item_id for r in self.wire.client.requests.pending_of(ev.ConversationItemDelete)}
        params = ResponseParams(
            conversation=place,
            output_modalities=modality,
            input=[r for r in references if r.id not in going] if place == "none" else UNSET,
        )
        self.ask(ev.ResponseCreate(response=params))

    @rule(by_id=st.booleans())
    def cancel(self, by_id: bool) -> None:
        ids = list(self.wire.client.flow.responses)
        self.ask(ev.ResponseCancel(response_id=ids[0] if by_id and ids else UNSET))

    @rule(detection=_detections)
    def update(self, detection: Any) -> None:
        self.ask(turn_detection(detection))

    @rule(voice=st.sampled_from(["marin", "cedar"]))
    def change_voice(self, voice: str) -> None:
        audio = SessionAudio(output=AudioOutputConfig(voice=voice))
        self.ask(ev.SessionUpdate(session=RealtimeSession(audio=audio)))

    # ------------------------------------------------------------------------------------------------- the server

    @rule(step=st.integers(0, 2), timeout=st.booleans())
    def hear(self, step: int, timeout: bool) -> None:
        flow = self.wire.server.flow
        if self.speech is None or (flow.input_item_id is None and step == 0):
            self.speech = self.wire.server.server.user_item()
            began = self.speech.timeout_triggered(0, 10) if timeout else self.speech.speech_started(0)
            self.say(began)
        elif flow.input_state.value == "speaking":
            self.say(self.speech.speech_stopped(500))
        elif flow.input_state.value in ("stopped", "timed out"):
            self.say(self.speech.commit())
            self.collect()

    def collect(self) -> None:
        while writer := self.wire.server.server.next_response():
            self.writers.append(writer)

    @precondition(lambda self: not turn_detection_of(self.wire.server.session))
    @rule()
    def hear_words(self) -> None:
        """Before the commit, and before anything else tells of the message."""
        if self.speech is None or self.wire.server.flow.input_item_id is None:
            self.speech = self.wire.server.server.user_item()
        self.say(self.speech.transcript_started("wo"))

    @precondition(lambda self: self.speech)
    @rule(how=st.sampled_from(["delta", "completed", "failed"]))
    def transcribe(self, how: str) -> None:
        if how == "delta":
            self.say(self.speech.transcript_delta("wo"))
        elif how == "completed":
            self.say(self.speech.transcript_completed("word"))
        else:
            self.say(self.speech.transcript_failed("no"))

    @precondition(lambda self: self.writers)
    @rule(data=st.data(), times=st.integers(1, 4))
    def generate(self, data: st.DataObject, times: int) -> None:
        for _ in range(times):
            writers = [each for each in self.writers if not each.finished]
            if writers:
                self.generate_one(data.draw(st.sampled_from(writers)), data)
        self.writers = [each for each in self.writers if not each.finished]

    def generate_one(self, writer: Any, data: st.DataObject) -> None:
        step = data.draw(st.sampled_from(["say", "say", "say", "say", "call", "end", "finish", "fail"]))
        if step == "say" and writer.modality == "text":
            self.say(writer.text("word "))
        elif step == "say":
            self.say(writer.transcript("word "))
            self.say(writer.audio(bytes(data.draw(st.integers(0, 150)) * MS)))
        elif step == "call":
            self.say([*writer.begin_call("f"), *writer.arguments('{"a":'), *writer.arguments("1}")])
            if data.draw(st.booleans()):
                self.say(writer.end_call())
        elif step == "end":
            self.say([*writer.begin_message(), *writer.end_message()])
        elif step == "finish":
            self.say(writer.finish())
        else:
            self.say(writer.finish("incomplete", reason="max_output_tokens"))
        self.collect()

    # -------------------------------------------------------------------------------------------------- what holds

    @invariant()
    def nothing_but_races_goes_wrong(self) -> None:
        assert {error.code for error in self.wire.errors()} <= RACES

    def teardown(self) -> None:
        self.wire.flush()
        self.collect()
        for writer in self.writers:
            self.wire.say(writer.finish())
        self.nothing_but_races_goes_wrong()
        self.wire.assert_same()
        assert self.wire.client.requests.pending == ()
        assert not self.wire.client.flow.responses


TestTalk = Talk.TestCase
TestTalk.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
