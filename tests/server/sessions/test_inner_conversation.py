"""The model's conversation is the client's."""

from __future__ import annotations

from typing import Any

from repartee.chat import AudioContent, FunctionCall, FunctionCallOutput, Item, Message, TextContent
from repartee.models import events as inner
from repartee.protocol import events as ev
from repartee.protocol import items as wire
from repartee.protocol.conversation import Conversation
from repartee.server.sessions.inner_conversation import InnerConversation


class Model:
    """A session of a model's that does what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.emit: Any = None
        self.last: Any = None

    def create_item(self, item: Item, *, previous_item_id: str | None = None) -> None:
        self.calls.append(("create", item.id, previous_item_id))
        behind = {"root": None, None: self.last()}.get(previous_item_id, previous_item_id)
        self.emit(inner.ItemAdded(item, behind))

    def delete_item(self, item_id: str) -> None:
        self.calls.append(("delete", item_id))
        self.emit(inner.ItemDeleted(item_id))

    def truncate_item(self, item_id: str, *, audio_end_ms: int, text: str | None = None) -> None:
        self.calls.append(("truncate", item_id, audio_end_ms, text))
        self.emit(inner.ItemTruncated(item_id, audio_end_ms, text or "heard"))


class Kit:
    """Both conversations."""

    def __init__(self, **options: Any) -> None:
        self.client = Conversation()
        self.model = Model()
        self.silent: list[str] = []
        self.both = InnerConversation(self.client, on_nothing_said=self.silent.append, **options)
        self.both.use(self.model)  # type: ignore[arg-type]
        self.model.emit = self.both.on_event
        self.model.last = lambda: self.both.items.last_id

    def add(self, item: wire.Item, previous: str | None = None) -> None:
        before = self.client.insert(item, previous)
        self.both.follow(ev.ConversationItemAdded(previous_item_id=before, item=item))

    def say(self, item_id: str, previous: str | None = None) -> None:
        content: list[wire.ContentPart] = [wire.InputText(text=item_id)]
        self.add(wire.Message(id=item_id, role="user", content=content), previous)

    def commit(self, item_id: str) -> None:
        self.both.follow(ev.InputAudioBufferCommitted(previous_item_id=None, item_id=item_id))
        self.add(wire.Message(id=item_id, role="user", content=[wire.InputAudio(transcript=None)]))

    def words(self, item_id: str) -> None:
        """The model has the turn's words."""
        spoken = Message("user", (AudioContent("words"),), item_id)
        self.both.on_event(inner.ItemAdded(spoken, self.both.items.last_id))

    @property
    def ids(self) -> list[str]:
        return [item.id for item in self.both.items]


def test_items_go_where_the_client_put_them() -> None:
    kit = Kit()
    kit.say("a")
    kit.say("c")
    kit.say("b", "a")
    kit.say("z", "root")
    assert kit.model.calls == [
        ("create", "a", None),
        ("create", "c", None),
        ("create", "b", "a"),
        ("create", "z", "root"),
    ]
    kit.both.follow(ev.ConversationItemDeleted(item_id="c"))
    kit.both.follow(ev.ConversationItemDeleted(item_id="nobody"))
    assert kit.ids == ["z", "a", "b"]
    assert kit.both.changes == 6


def test_what_the_model_has_no_use_for_stays_with_the_client() -> None:
    kit = Kit()
    kit.add(wire.McpListTools(id="m", server_label="x", tools=[]))
    kit.say("b")
    assert kit.ids == ["b"]


def test_what_refers_to_a_turn_waits_for_its_words() -> None:
    kit = Kit()
    kit.commit("turn")
    kit.say("next")
    assert kit.ids == ["next"]  # at the end nothing need wait: the model itself keeps the order
    kit = Kit()
    kit.commit("turn")
    kit.say("front", "root")
    kit.say("next")
    asked: list[str] = []
    kit.both.in_turn(lambda: asked.append("response"))
    assert (kit.ids, asked) == ([], [])
    kit.words("turn")
    assert (kit.ids, asked) == (["front", "turn", "next"], ["response"])
    kit.both.in_turn(lambda: asked.append("again"))
    assert asked == ["response", "again"]


def test_a_turn_without_words_never_comes() -> None:
    kit = Kit()
    kit.commit("turn")
    kit.say("behind", "turn")
    kit.both.follow(ev.ConversationItemDeleted(item_id="turn"))
    kit.both.on_event(inner.InputCleared("client_cleared"))
    assert kit.silent == []
    kit.both.on_event(inner.InputCleared("no words"))
    assert (kit.silent, kit.ids) == (["turn"], ["behind"])


def test_a_turn_may_be_known_to_be_empty_before_it_is_told() -> None:
    kit = Kit()
    kit.both.on_event(inner.InputCleared("no words"))
    kit.commit("turn")
    assert kit.silent == ["turn"]
    kit.both.on_event(inner.InputCleared("no words"))
    kit.both.turn_begins()
    kit.commit("other")
    assert kit.silent == ["turn"]


def test_a_turn_deleted_while_it_waited_is_not_kept() -> None:
    kit = Kit()
    kit.commit("turn")
    kit.client.delete("turn")
    kit.both.follow(ev.ConversationItemDeleted(item_id="turn"))
    kit.words("turn")
    assert kit.ids == []


def test_where_nothing_is_answered_turns_are_not_kept() -> None:
    kit = Kit(keeps_turns=False)
    kit.commit("late")
    kit.words("late")
    kit.words("early")
    kit.commit("early")
    assert kit.ids == []


def test_a_cut_while_it_is_generated_lasts() -> None:
    kit = Kit()
    begun = Message("assistant", (), "said", "in_progress")
    kit.both.on_event(inner.ItemAdded(begun, None, "resp"))
    kit.both.plays_at("said", 1.5)
    kit.both.follow(ev.ConversationItemTruncated(item_id="said", content_index=0, audio_end_ms=200))
    assert kit.model.calls == [("truncate", "said", 300, None)]
    whole = Message("assistant", (AudioContent("heard and more"),), "said")
    kit.both.on_event(inner.ItemDone(whole, "resp"))
    assert kit.model.calls[-1] == ("truncate", "said", 300, "heard")
    assert kit.both.items.messages[0].text == "heard"


def test_only_what_was_told_of_a_cancelled_message_is_kept() -> None:
    kit = Kit()
    for item_id in ("a", "b", "c", "d"):
        status: Any = "in_progress" if item_id == "d" else "incomplete"
        message = Message("assistant", (TextContent("one two three"),), item_id, status)
        kit.both.on_event(inner.ItemAdded(message, kit.both.items.last_id, "resp"))
    kit.both.keep_only("a", "one two ", 480.0)
    kit.both.keep_only("b", " ", 0.0)
    kit.both.keep_only("c", "one two three", 700.0)
    kit.both.keep_only("d", "one", 200.0)
    kit.both.keep_only("nobody", "one", 200.0)
    kit.both.keep_only("a", "one two three", 700.0)  # it was cut to less before
    assert kit.model.calls == [("truncate", "a", 480, "one two"), ("delete", "b")]


def test_long_call_ids_go_there_and_back() -> None:
    kit = Kit()
    long = "x" * 50
    short = kit.both.wire_call_id(long)
    assert len(short) <= 32
    assert kit.both.wire_call_id(long) == short
    assert kit.both.wire_call_id("call_1") == "call_1"
    output = kit.both.item_of(wire.FunctionCallOutput(id="o", call_id=short, output="4"))
    assert output == FunctionCallOutput(long, "4", id="o")
    call = kit.both.item_of(wire.FunctionCall(id="c", call_id=short, name="f", arguments="{}"))
    assert call == FunctionCall("f", "{}", long, "c")


def test_a_responses_input_may_refer_to_items_and_hold_others() -> None:
    kit = Kit()
    kit.say("a")
    kit.commit("turn")
    made = kit.both.input_of(
        [
            wire.ItemReference(id="a"),
            wire.ItemReference(id="turn"),
            wire.ItemReference(id="nobody"),
            wire.ItemReference(id="a"),
            wire.Message(role="user", content=[wire.InputText(text="raw")]),
        ]
    )
    assert [item.id for item in made[:2]] == ["a", "turn"]
    assert [item.text for item in made if isinstance(item, Message)] == ["a", "", "raw"]


def test_what_is_left_out_goes_from_the_model_only() -> None:
    kit = Kit()
    kit.say("a")
    kit.say("b")
    kit.both.leave_out([kit.both.items.items[0]])
    assert kit.ids == ["b"]
    assert kit.client.ids == ("a", "b")


def test_an_item_that_is_heard_counts_as_a_turn() -> None:
    heard: list[wire.Item] = []

    def hears(item: wire.Item) -> bool:
        heard.append(item)
        return True

    kit = Kit(hears=hears)
    kit.say("a")
    assert (len(heard), kit.ids) == (1, [])
    kit.both.heard_as_turn("a")
    kit.words("a")
    assert kit.ids == ["a"]
