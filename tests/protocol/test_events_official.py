"""Ours against the official client's types, in both directions: none of theirs is missing, none of ours is new."""

from __future__ import annotations

import json
import re
from typing import Any

import pydantic
import pytest

from repartee.protocol.codec import decode_client_event, decode_server_event, encode
from repartee.protocol.events import ClientEvent, ServerEvent, UnknownEvent
from repartee.protocol.model import unknown_fields
from tests.protocol import official

ALL = [
    *[(tag, model, "client") for tag, model in official.CLIENT_EVENTS.items()],
    *[(tag, model, "client") for tag, model in official.TRANSLATION_CLIENT_EVENTS.items()],
    *[(tag, model, "server") for tag, model in official.SERVER_EVENTS.items()],
    *[(tag, model, "server") for tag, model in official.TRANSLATION_SERVER_EVENTS.items()],
]

# The official types give each part of a message the fields of all parts; we give each its own.
BAG = re.compile(r"(content\[\d+\]|^part)\.(audio|detail|image_url|text|transcript)$")


def test_we_know_every_event_and_no_other() -> None:
    theirs = {*official.CLIENT_EVENTS, *official.TRANSLATION_CLIENT_EVENTS}
    assert set(ClientEvent.members) == theirs
    theirs = {*official.SERVER_EVENTS, *official.TRANSLATION_SERVER_EVENTS}
    assert set(ServerEvent.members) == theirs


@pytest.mark.parametrize("tag, model, sender", ALL, ids=[f"{tag}-{m.__name__}" for tag, m, _ in ALL])
def test_every_form_of_an_event_comes_back_as_it_was(
    tag: str, model: type[pydantic.BaseModel], sender: str
) -> None:
    decode: Any = decode_client_event if sender == "client" else decode_server_event
    for sample in official.samples(model):
        frame = json.dumps(sample).encode()
        event = decode(frame)
        assert not isinstance(event, UnknownEvent)
        assert [path for path in unknown_fields(event) if not BAG.search(path)] == [], sample
        again = encode(event)
        assert json.loads(again) == sample
        model.model_validate_json(again, strict=True)
        assert decode(again) == event
