from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.errors import ProtocolError
from repartee.protocol.conversation import Conversation
from repartee.protocol.items import FunctionCall, InputAudio, InputText, Item, Message, OutputAudio
from repartee.protocol.model import UNSET

MS = 48


def text(item_id: str) -> Message:
    return Message(id=item_id, role="user", content=[InputText(text=item_id)])


def spoken(item_id: str, ms: int = 0, **options: Any) -> Conversation:
    conversation = Conversation(**options)
    conversation.insert(Message(id=item_id, role="assistant", content=[]))
    conversation.add_audio(item_id, 0, bytes(ms * MS))
    return conversation


def said(item_id: str) -> Message:
    return Message(id=item_id, role="assistant", content=[OutputAudio(transcript="so I said")])


def content(conversation: Conversation, item_id: str) -> Any:
    entry = conversation.entry(item_id)
    assert entry is not None
    return entry.item.content[0]  # type: ignore[attr-defined]


def test_order() -> None:
    conversation = Conversation()
    assert conversation.insert(text("b")) is None
    assert conversation.insert(text("a"), "root") is None
    assert conversation.insert(text("d"), None) == "b"
    assert conversation.insert(text("c"), "b") == "b"
    assert conversation.insert(text("e"), "d") == "d"
    assert conversation.ids == ("a", "b", "c", "d", "e")
    assert [conversation.previous_of(i) for i in conversation.ids] == [None, "a", "b", "c", "d"]
    assert len(conversation) == 5
    assert "c" in conversation
    conversation.delete("c")
    assert [getattr(item, "id", None) for item in conversation] == ["a", "b", "d", "e"]
    with pytest.raises(KeyError):
        conversation.previous_of("c")
    with pytest.raises(ValueError, match="needs an id"):
        conversation.insert(Message(role="user", content=[]))


@given(st.lists(st.tuples(st.sampled_from("idxr"), st.integers(0, 20)), max_size=40))
def test_order_is_a_list(steps: list[tuple[str, int]]) -> None:
    conversation, model = Conversation(), list[str]()
    for number, (step, at) in enumerate(steps):
        item_id = f"i{number}"
        if step == "i" and model:
            previous = model[at % len(model)]
            conversation.insert(text(item_id), previous)
            model.insert(model.index(previous) + 1, item_id)
        elif step == "r":
            conversation.insert(text(item_id), "root")
            model.insert(0, item_id)
        elif step == "d" and model:
            conversation.delete(model.pop(at % len(model)))
        else:
            conversation.insert(text(item_id), UNSET)
            model.append(item_id)
        assert list(conversation.ids) == model


@pytest.mark.parametrize(
    "item, previous, code",
    [
        (text("a"), UNSET, "item_create_duplicate_item_id"),
        (text("x" * 33), UNSET, "string_above_max_length"),
        (text("b"), "no", "item_create_invalid_previous_item_id"),
    ],
)
def test_what_can_not_be_inserted(item: Item, previous: Any, code: str) -> None:
    conversation = Conversation()
    conversation.insert(text("a"))
    with pytest.raises(ProtocolError) as caught:
        conversation.insert(item, previous)
    assert (caught.value.code, conversation.ids) == (code, ("a",))


def test_truncation_drops_the_transcript_and_may_come_again_for_less() -> None:
    conversation = spoken("a", 1100)
    conversation.truncate("a", 0, 1000)  # while it grows
    conversation.add_audio("a", 0, bytes(500 * MS))
    conversation.finish(said("a"))
    assert content(conversation, "a").transcript is UNSET
    conversation.truncate("a", 0, 400)
    entry = conversation.entry("a")
    assert entry is not None
    assert (entry.audio_ms(), entry.done) == (400, True)
    with pytest.raises(ProtocolError, match="Audio content of 400ms is already shorter than 401ms"):
        conversation.truncate("a", 0, 401)


def test_what_can_not_be_truncated() -> None:
    conversation = spoken("a", 10)
    conversation.insert(text("u"))
    conversation.insert(FunctionCall(id="f", name="n", arguments=""))
    for item_id, index, code in (
        ("no", 0, "item_truncate_invalid_item_id"),
        ("u", 0, "invalid_value"),
        ("f", 0, "invalid_value"),
        ("a", 1, "invalid_value"),
    ):
        with pytest.raises(ProtocolError) as caught:
            conversation.truncate(item_id, index, 0)
        assert caught.value.code == code


def test_audio_of_unknown_length_can_be_cut_anywhere() -> None:
    conversation = Conversation()
    conversation.insert(said("a"))
    conversation.truncate("a", 0, 123_456)
    assert content(conversation, "a").transcript is UNSET


def test_audio_is_kept_as_far_as_there_is_room() -> None:
    conversation = spoken("a", 10, audio_bytes_max=25 * MS)
    conversation.finish(said("a"))
    conversation.insert(Message(id="u", role="user", content=[InputAudio(transcript=None)]))
    conversation.add_audio("u", 0, b"\1" * 10 * MS)
    assert len(content_of(conversation.retrieve("a"))) == 10 * MS
    conversation.truncate("a", 0, 4)
    assert len(content_of(conversation.retrieve("a"))) == 4 * MS
    conversation.add_audio("u", 0, b"\1" * 12 * MS)
    assert content_of(conversation.retrieve("u")) == b"\1" * 22 * MS
    assert content_of(conversation.retrieve("a")) is UNSET  # the oldest went
    conversation.delete("u")
    conversation.add_audio("gone", 0, b"xx")
    with pytest.raises(ProtocolError, match="'u' does not exist"):
        conversation.retrieve("u")
    with pytest.raises(ProtocolError, match="'u' does not exist"):
        conversation.delete("u")
    assert content_of(spoken("b", 3).retrieve("b")) == b""


def content_of(item: Any) -> Any:
    return item.content[0].audio if item.content else b""


def test_transcripts() -> None:
    conversation = Conversation()
    conversation.insert(Message(id="u", role="user", content=[InputAudio(transcript=None)]))
    conversation.set_transcript("u", 0, "hello")
    assert content(conversation, "u").transcript == "hello"
    conversation.set_transcript("u", 1, "no such part")
    conversation.set_transcript("gone", 0, "no such item")
