"""The official client's own types: what they accept, and samples of everything that they know."""

from __future__ import annotations

import importlib
import inspect
import json
import types
import typing
from collections.abc import Iterator
from typing import Any

import pydantic
from openai.types.realtime.response_item_reference import ResponseItemReference

BASE = "openai.types.realtime"


def _union(module: str, name: str) -> tuple[type[pydantic.BaseModel], ...]:
    alias = getattr(importlib.import_module(f"{BASE}.{module}"), name)
    [union, *_] = typing.get_args(alias)
    return typing.get_args(union)


def tag_of(model: type[pydantic.BaseModel]) -> str:
    [tag] = typing.get_args(model.model_fields["type"].annotation)
    return str(tag)


CLIENT_EVENTS = {tag_of(model): model for model in _union("realtime_client_event", "RealtimeClientEvent")}
SERVER_EVENTS = {tag_of(model): model for model in _union("realtime_server_event", "RealtimeServerEvent")}
TRANSLATION_CLIENT_EVENTS = {
    tag_of(model): model
    for model in _union("realtime_translation_client_event", "RealtimeTranslationClientEvent")
}
TRANSLATION_SERVER_EVENTS = {
    tag_of(model): model
    for model in _union("realtime_translation_server_event", "RealtimeTranslationServerEvent")
}

# What the service sends and its types lack (captures): not held against us.
KNOWN_GAPS = {
    "session.id",
    "session.object",
    "session.expires_at",
    "item.phase",
    "response.output.phase",
}


def problems(frame: bytes, *, kind: str = "realtime", from_client: bool) -> list[str]:
    """What the official types have against a frame: a wrong or missing field, or one they don't have."""
    raw = json.loads(frame)
    if kind == "translation":
        models = TRANSLATION_CLIENT_EVENTS if from_client else TRANSLATION_SERVER_EVENTS
    else:
        models = CLIENT_EVENTS if from_client else SERVER_EVENTS
    model = models.get(raw["type"])
    if model is None:
        return [f"{raw['type']}: no such event"]
    if raw["type"] == "response.create":  # their model lacks references, their parameters have them
        items = raw.get("response", {}).get("input", [])
        for item in [item for item in items if item["type"] == "item_reference"]:
            ResponseItemReference.model_validate(item, strict=True)
            items.remove(item)
    try:
        event = model.model_validate_json(json.dumps(raw), strict=True)
    except pydantic.ValidationError as error:
        return [f"{raw['type']}: {error}"]
    return [f"{raw['type']}: unknown field {path}" for path in _extras(event, "") if path not in KNOWN_GAPS]


def _extras(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, pydantic.BaseModel):
        for name in value.model_extra or {}:
            yield f"{path}{name}"
        for name in type(value).model_fields:
            yield from _extras(getattr(value, name), f"{path}{name}.")
    elif isinstance(value, list):
        for each in value:
            yield from _extras(each, path)


AUDIO_DELTAS = {"ResponseAudioDeltaEvent", "RealtimeTranslationOutputAudioDeltaEvent"}


# ------------------------------------------------------------------------------------------------------------ samples


def samples(model: type[pydantic.BaseModel]) -> list[dict[str, Any]]:
    """JSON of a type: the least, and enough others that each alternative of each field occurs in one."""
    required = {n: f for n, f in model.model_fields.items() if f.is_required()}
    least = {name: _values(field.annotation, name, model)[0] for name, field in required.items()}
    found = [least]
    full = {n: _values(f.annotation, n, model)[0] for n, f in model.model_fields.items()}
    found.append(full)
    for name, field in model.model_fields.items():
        for value in _values(field.annotation, name, model)[1:]:
            found.append({**full, name: value})
    return found


def _values(hint: Any, name: str, owner: type) -> list[Any]:
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _values(typing.get_args(hint)[0], name, owner)
    if origin in (typing.Union, types.UnionType):
        return [value for each in typing.get_args(hint) for value in _values(each, name, owner)]
    if origin is typing.Literal:
        return list(typing.get_args(hint))
    if origin is list:
        inner = _values(typing.get_args(hint)[0], name, owner)
        return [inner, []]
    if origin is dict:
        return [{"key": _values(typing.get_args(hint)[1], name, owner)[0]}]
    if inspect.isclass(hint) and issubclass(hint, pydantic.BaseModel):
        return samples(hint)
    if hint is str:
        audio = name == "audio" or (name == "delta" and owner.__name__ in AUDIO_DELTAS)
        return ["AAAA"] if audio else ["text"]
    simple: dict[Any, list[Any]] = {int: [3], float: [0.5], bool: [True, False], type(None): [None]}
    return simple.get(hint, [{"any": ["thing", None]}])
