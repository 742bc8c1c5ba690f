from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from repartee.chat import (
    AudioContent,
    ChatContext,
    FunctionCall,
    FunctionCallOutput,
    ImageContent,
    Item,
    Message,
    TextContent,
)
from repartee.errors import UsageError


def message(id: str, text: str = "", role: Any = "user") -> Message:
    return Message.of(role, text, id=id)


def ids(context: ChatContext) -> str:
    return "".join(item.id for item in context)


def abc() -> ChatContext:
    return ChatContext([message("a"), message("b"), message("c")])


# -- order ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("previous, order", [(None, "abcx"), ("root", "xabc"), ("a", "axbc"), ("c", "abcx")])
def test_an_item_goes_behind_the_one_it_names(previous: str | None, order: str) -> None:
    context = abc()
    context.insert(message("x"), previous_item_id=previous)
    assert ids(context) == order


def test_an_id_can_not_be_there_twice() -> None:
    context = abc()
    with pytest.raises(UsageError, match="id 'a' is there already"):
        context.insert(message("a"))
    with pytest.raises(UsageError, match="'a' is there already"):
        ChatContext([message("a"), message("a")])
    assert ids(context) == "abc"


def test_root_is_a_place_and_no_item() -> None:
    # An item of that id could never be named as the previous one.
    with pytest.raises(UsageError, match="root"):
        abc().insert(message("root"))


@pytest.mark.parametrize(
    "change",
    [
        lambda context: context.insert(message("x"), previous_item_id="y"),
        lambda context: context.replace(message("y")),
        lambda context: context.delete("y"),
        lambda context: context.previous_id("y"),
    ],
)
def test_an_unknown_item_is_named_and_nothing_changes(change: Any) -> None:
    context = abc()
    with pytest.raises(UsageError, match="no item with the id 'y'"):
        change(context)
    assert context == abc()
    assert "x" not in context


def test_reading() -> None:
    context = abc()
    assert len(context) == 3
    assert context.get("b") == message("b")
    assert context.get("y") is None
    assert "b" in context
    assert "y" not in context
    assert context.last_id == "c"
    assert [context.previous_id(each) for each in "abc"] == [None, "a", "b"]
    assert ChatContext().last_id is None
    assert "id='a'" in repr(context)


def test_messages_are_without_calls() -> None:
    call = FunctionCall("f", "{}", "k", "x")
    context = ChatContext([message("a"), call, FunctionCallOutput("k", "1", id="y"), message("b")])
    assert context.messages == (message("a"), message("b"))


def test_a_loop_may_change_what_it_walks() -> None:
    context = abc()
    for item in context:
        context.delete(item.id)
    assert len(context) == 0


def test_replacing_keeps_the_place() -> None:
    context = abc()
    context.replace(message("b", "new"))
    assert ids(context) == "abc"
    assert context.get("b") == message("b", "new")
    assert context.items[1] == message("b", "new")


def test_deleting_gives_the_item() -> None:
    context = abc()
    assert context.delete("b") == message("b")
    assert ids(context) == "ac"
    context.insert(message("b"))  # the id is free again
    assert ids(context) == "acb"


def test_a_copy_is_its_own() -> None:
    context = abc()
    copy = context.copy()
    copy.add_message("assistant", "hello", id="d")
    assert ids(context) == "abc"
    assert ids(copy) == "abcd"
    assert copy != context
    assert context == abc()
    assert context != "abc"


def test_add_message_returns_it() -> None:
    context = ChatContext()
    added = context.add_message("system", "be brief")
    assert context.items == (added,)
    assert (added.role, added.text) == ("system", "be brief")


# -- the newest ----------------------------------------------------------------------------------------------------


def test_the_newest_keep_the_system_and_drop_orphans() -> None:
    context = ChatContext(
        [
            message("s", "be brief", "system"),
            message("a"),
            FunctionCall("f", "{}", "k", "c"),
            FunctionCallOutput("k", "1", id="o"),
            message("b"),
        ]
    )
    assert ids(context.last(2)) == "sb"  # the output's call is cut off, so it goes too
    assert ids(context.last(3)) == "scob"
    assert ids(context.last(0)) == "s"
    assert ids(context.last(99)) == "sacob"
    assert ids(context) == "sacob"


@given(st.lists(st.sampled_from("msco"), max_size=12), st.integers(0, 12))
def test_the_newest_are_in_order_and_whole(kinds: list[str], max_items: int) -> None:
    calls = iter(range(99))
    items: list[Item] = []
    for at, kind in enumerate(kinds):
        match kind:
            case "m":
                items.append(message(f"i{at}"))
            case "s":
                items.append(message(f"i{at}", "x", "system"))
            case "c":
                items.append(FunctionCall("f", "{}", f"k{next(calls)}", f"i{at}"))
            case _:
                open_calls = [item.call_id for item in items if isinstance(item, FunctionCall)]
                items.append(FunctionCallOutput(open_calls[-1] if open_calls else "k?", "1", id=f"i{at}"))
    newest = ChatContext(items).last(max_items)
    assert [item for item in items if item.id in newest] == list(newest)
    kept_calls = {item.call_id for item in newest if isinstance(item, FunctionCall)}
    assert all(item.call_id in kept_calls for item in newest if isinstance(item, FunctionCallOutput))
    is_other = [not (isinstance(item, Message) and item.role == "system") for item in newest]
    assert sum(is_other) <= max_items
    assert all(item.id in newest for item in items if isinstance(item, Message) and item.role == "system")


# -- as plain data -------------------------------------------------------------------------------------------------

_CONTENT = st.one_of(
    st.builds(TextContent, st.text(max_size=5)),
    st.builds(AudioContent, st.none() | st.text(max_size=5), st.none() | st.integers(0)),
    st.builds(ImageContent, st.text(max_size=5), st.sampled_from(["auto", "low", "high"])),
)
_IDS = st.text(min_size=1, max_size=5).filter(lambda each: each != "root")
_ITEMS = st.one_of(
    st.builds(
        Message,
        st.sampled_from(["system", "user", "assistant"]),
        st.lists(_CONTENT, max_size=3).map(tuple),
        _IDS,
        st.sampled_from(["in_progress", "completed", "incomplete"]),
        st.booleans(),
    ),
    st.builds(FunctionCall, st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), _IDS),
    st.builds(FunctionCallOutput, st.text(max_size=5), st.text(max_size=5), st.booleans(), _IDS),
)


@given(st.lists(_ITEMS, max_size=6, unique_by=lambda item: item.id))
def test_a_conversation_comes_back_from_its_json(items: list[Item]) -> None:
    context = ChatContext(items)
    assert ChatContext.from_dict(json.loads(json.dumps(context.to_dict()))) == context


def test_what_may_be_missing_has_its_default() -> None:
    context = ChatContext.from_dict(
        {
            "items": [
                {"type": "message", "id": "a", "role": "user", "content": [{"type": "audio"}]},
                {"type": "message", "id": "b", "role": "user", "content": [{"type": "image", "url": "u"}]},
                {"type": "function_call_output", "id": "c", "call_id": "k", "output": "1"},
            ]
        }
    )
    assert context.items == (
        Message("user", (AudioContent(),), "a"),
        Message("user", (ImageContent("u"),), "b"),
        FunctionCallOutput("k", "1", id="c"),
    )
    assert ChatContext.from_dict({}) == ChatContext()


@pytest.mark.parametrize(
    "item, reason",
    [
        ({"type": "note", "id": "a"}, "unknown item type 'note'"),
        ({"id": "a"}, "unknown item type None"),
        ({"type": "message", "id": "a", "role": "user"}, "item 'a' lacks the field 'content'"),
        (
            {"type": "message", "id": "a", "role": "user", "content": [{"type": "text"}]},
            "lacks the field 'text'",
        ),
        (
            {"type": "message", "id": "a", "role": "user", "content": [{"type": "smell"}]},
            "content type 'smell'",
        ),
        ({"type": "message", "id": "a", "role": "king", "content": []}, "role 'king'"),
        ({"type": "message", "id": "a", "role": "user", "content": "hi"}, "content"),
        ({"type": "message", "role": "user", "content": []}, "lacks the field 'id'"),
        ({"type": "function_call", "id": "a", "name": "f", "arguments": "{}"}, "lacks the field 'call_id'"),
        ({"type": "function_call_output", "id": "a", "call_id": "k"}, "lacks the field 'output'"),
        ("message", "an item must be an object"),
        (
            {"type": "message", "id": "a", "role": "user", "content": ["hi"]},
            "must be an object with a type, not str",
        ),
    ],
)
def test_bad_data_is_refused_by_name(item: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        ChatContext.from_dict({"items": [item]})


# -- against a model -----------------------------------------------------------------------------------------------


class AgainstAList(RuleBasedStateMachine):
    """Whatever is done, the context is the list of items that the protocol's words describe."""

    def __init__(self) -> None:
        super().__init__()
        self.context = ChatContext()
        self.expected: list[Message] = []
        self.count = 0

    @rule(where=st.integers(-2, 20))
    def insert(self, where: int) -> None:
        self.count += 1
        item = message(f"i{self.count}")
        if where == -2 or not self.expected:
            self.context.insert(item)
            self.expected.append(item)
        elif where == -1:
            self.context.insert(item, previous_item_id="root")
            self.expected.insert(0, item)
        else:
            at = where % len(self.expected)
            self.context.insert(item, previous_item_id=self.expected[at].id)
            self.expected.insert(at + 1, item)

    @precondition(lambda self: bool(self.expected))
    @rule(where=st.integers(0, 20))
    def delete(self, where: int) -> None:
        item = self.expected.pop(where % len(self.expected))
        assert self.context.delete(item.id) == item

    @precondition(lambda self: bool(self.expected))
    @rule(where=st.integers(0, 20), text=st.text(max_size=3))
    def replace(self, where: int, text: str) -> None:
        at = where % len(self.expected)
        self.expected[at] = self.expected[at].with_text(text)
        self.context.replace(self.expected[at])

    @invariant()
    def agree(self) -> None:
        assert list(self.context.items) == self.expected
        assert len(self.context) == len(self.expected)
        for at, item in enumerate(self.expected):
            assert self.context.get(item.id) == item
            assert self.context.previous_id(item.id) == (self.expected[at - 1].id if at else None)


TestAgainstAList = AgainstAList.TestCase
