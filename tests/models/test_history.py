"""The conversation as its events tell it."""

from __future__ import annotations

from repartee.chat import AudioContent, ChatContext, FunctionCall, ImageContent, Message
from repartee.models import events as ev
from repartee.models.history import apply_event


def user(text: str, item_id: str) -> Message:
    return Message.of("user", text, id=item_id)


def texts(history: ChatContext) -> list[str]:
    return [m.text for m in history.messages]


def test_items_go_where_they_are_said_to_be() -> None:
    history = ChatContext()
    apply_event(history, ev.ItemAdded(user("b", "b"), None))
    apply_event(history, ev.ItemAdded(user("d", "d"), "b"))
    apply_event(history, ev.ItemAdded(user("c", "c"), "b"))
    apply_event(history, ev.ItemAdded(user("a", "a"), None))  # behind nothing: at the front
    apply_event(history, ev.ItemAdded(user("e", "e"), "unknown"))  # a mirror may begin anywhere
    assert texts(history) == ["a", "b", "c", "d", "e"]
    assert apply_event(history, ev.ItemAdded(user("again", "a"), None)) is None


def test_an_item_that_is_done_has_its_final_content() -> None:
    history = ChatContext()
    apply_event(history, ev.ItemAdded(user("", "a"), None))
    done = user("hello", "a")
    assert apply_event(history, ev.ItemDone(done)) == done
    assert texts(history) == ["hello"]
    assert apply_event(history, ev.ItemDone(user("x", "unknown"))) is None


def test_a_transcript_takes_the_place_of_the_audios_words() -> None:
    picture = ImageContent("https://example.test/a.png")
    history = ChatContext([Message("user", (AudioContent(None, 900), picture), "a")])
    apply_event(history, ev.TranscriptCompleted("a", "book a table"))
    item = history.messages[0]
    assert item.content == (AudioContent("book a table", 900), picture)
    assert apply_event(history, ev.TranscriptCompleted("unknown", "x")) is None


def test_a_truncated_item_has_what_was_heard() -> None:
    history = ChatContext([Message("assistant", (AudioContent("one two three", 900),), "a")])
    cut = apply_event(history, ev.ItemTruncated("a", 400, "one"))
    assert isinstance(cut, Message)
    assert (cut.text, cut.interrupted, cut.status) == ("one", True, "incomplete")
    assert history.messages[0] == cut


def test_a_deleted_item_is_gone() -> None:
    item = user("a", "a")
    history = ChatContext([item])
    assert apply_event(history, ev.ItemDeleted("a")) == item
    assert apply_event(history, ev.ItemDeleted("a")) is None
    assert len(history) == 0


def test_everything_else_changes_nothing() -> None:
    history = ChatContext([FunctionCall("look", "{}", "c", "f")])
    for event in (ev.ResponseCreated("r"), ev.ItemTruncated("f", 1, "x"), ev.TranscriptCompleted("f", "x")):
        assert apply_event(history, event) is None
    assert len(history) == 1
