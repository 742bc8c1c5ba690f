from __future__ import annotations

import pytest

from repartee.protocol.config import PcmAudio, RealtimeSession, SessionAudio, Transcription
from repartee.protocol.items import InputText, Item, Message, UnknownItem
from repartee.protocol.model import (
    UNSET,
    extra,
    from_raw,
    given,
    replace,
    to_json,
    to_raw,
    unknown_fields,
    with_extra,
)


def test_given_reads_three_valued_fields() -> None:
    assert [given(value, 5) for value in (UNSET, None, 0, 7)] == [5, 5, 0, 7]


def test_a_copy_keeps_what_it_does_not_know() -> None:
    session = with_extra(RealtimeSession(model="a"), {"new": 1})
    changed = replace(session, model="b")
    assert (changed.model, extra(changed)) == ("b", {"new": 1})
    assert extra(session) == {"new": 1}
    assert extra(RealtimeSession()) == {}
    assert extra(replace(RealtimeSession(), model="b")) == {}


def test_objects_are_values() -> None:
    with pytest.raises(AttributeError):
        PcmAudio().rate = 8000  # type: ignore[misc]
    assert PcmAudio(rate=1) == PcmAudio(rate=1)
    assert UnknownItem({"type": "x"}) == UnknownItem({"type": "x"})
    assert UnknownItem({"type": "x"}) != UnknownItem({"type": "y"})
    assert repr(UnknownItem({"type": "x"})) == "UnknownItem({'type': 'x'})"
    assert (UnknownItem({}).type, UnknownItem({"type": 3}).type) == ("", "")
    with pytest.raises(TypeError, match="unhashable"):
        hash(UnknownItem({}))


def test_unknown_fields_have_paths() -> None:
    raw = {
        "role": "user",
        "a": 1,
        "content": [{"type": "input_text", "text": "x"}, {"type": "input_text", "b": 2}],
    }
    message = from_raw(Message, raw)
    assert sorted(unknown_fields(message, "item.")) == ["item.a", "item.content[1].b"]
    assert to_raw(message) == {"type": "message", **raw}
    audio = from_raw(SessionAudio, {"input": {"transcription": {"c": None}}})
    assert list(unknown_fields(audio)) == ["input.transcription.c"]
    assert to_json(audio) == b'{"input":{"transcription":{"c":null}}}'


def test_families_take_what_they_know_and_keep_the_rest() -> None:
    known: Item = from_raw(Item, {"type": "message", "role": "user", "content": []})
    assert known == Message(role="user", content=[])
    assert from_raw(Item, {"type": "dream", "id": "x"}) == UnknownItem({"type": "dream", "id": "x"})
    assert from_raw(Item, {}) == UnknownItem({})
    with pytest.raises(ValueError, match="Expected `object`, got `null`"):
        from_raw(Item, None)
    with pytest.raises(ValueError, match=r"got `int` - at `\$\.type`"):
        from_raw(Item, {"type": 3})


def test_bytes_are_base64_and_absent_is_absent() -> None:
    assert to_raw([Transcription(model=None), InputText()]) == [{"model": None}, {"type": "input_text"}]
    with pytest.raises(TypeError, match="object is no object of the protocol"):
        to_raw(Message(role="user", content=[object()]))  # type: ignore[list-item]
