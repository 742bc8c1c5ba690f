from __future__ import annotations

import dataclasses
import string

import pytest

from repartee.chat import (
    AudioContent,
    FunctionCall,
    FunctionCallOutput,
    ImageContent,
    Message,
    TextContent,
    new_id,
)

PICTURE = ImageContent("https://example.org/a.png")


def test_ids_are_unique_short_and_plain() -> None:
    ids = {new_id("item") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(each) <= 32 and each.startswith("item_") for each in ids)
    assert set("".join(each.removeprefix("item_") for each in ids)) <= set(
        string.ascii_letters + string.digits
    )


def test_items_get_ids_of_their_kind() -> None:
    call = FunctionCall("f", "{}")
    assert call.id.startswith("item_")
    assert call.call_id.startswith("call_")
    assert FunctionCallOutput(call.call_id, "1").id.startswith("item_")
    assert Message.of("user", "hi").id != Message.of("user", "hi").id
    assert Message.of("user", "hi", id="a").id == "a"


def test_items_are_values() -> None:
    message = Message.of("user", "hi", id="a")
    assert message == Message("user", (TextContent("hi"),), "a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.status = "incomplete"  # type: ignore[misc]


@pytest.mark.parametrize(
    "content, text, is_audio",
    [
        ((), "", False),
        ((TextContent("a"), TextContent("b")), "a b", False),
        ((TextContent("a"), TextContent("")), "a", False),
        ((PICTURE, TextContent("a")), "a", False),
        ((AudioContent("a", 10), TextContent("b")), "a b", True),
        ((AudioContent(None, 10),), "", True),
        ((PICTURE,), "", False),
    ],
)
def test_the_text_of_a_message(
    content: tuple[TextContent | AudioContent | ImageContent, ...], text: str, is_audio: bool
) -> None:
    message = Message("user", content)
    assert message.text == text
    assert message.is_audio is is_audio


def test_new_words_are_speech_where_the_old_ones_were() -> None:
    spoken = Message("assistant", (AudioContent("one two", 900), PICTURE), "a", "incomplete", True)
    changed = spoken.with_text("one")
    assert changed.content == (AudioContent("one", 900), PICTURE)
    assert (changed.id, changed.status, changed.interrupted, changed.text) == ("a", "incomplete", True, "one")
    assert spoken.text == "one two"


def test_new_words_are_text_where_the_old_ones_were() -> None:
    written = Message("user", (TextContent("one"), TextContent("two"), PICTURE))
    assert written.with_text("three").content == (TextContent("three"), PICTURE)
    assert Message("user", (PICTURE,)).with_text("three").text == "three"
