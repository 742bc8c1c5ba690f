"""Which values a client event may hold, whatever the state of the session: lengths, ranges, words.

The types leave words open (a client must not fail on a new one); a server refuses what it doesn't know, by these
tables, and a client is told before it sends. Sources: the types' own descriptions, section by section.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from repartee.protocol.client_events import (
    ConversationItemCreate,
    ConversationItemTruncate,
    ResponseCreate,
    SessionUpdate,
)
from repartee.protocol.faults import INVALID_VALUE, MISSING_PARAMETER, TOO_LONG
from repartee.protocol.items import Item, ItemReference, Message
from repartee.protocol.model import UNSET, Model, Unknown

__all__ = ["CALL_ID_CHARS", "COMMIT_MIN_MS", "EVENT_ID_CHARS", "ITEM_ID_CHARS", "check_values"]

EVENT_ID_CHARS: Final = 512
ITEM_ID_CHARS: Final = 32
CALL_ID_CHARS: Final = 32
COMMIT_MIN_MS: Final = 100
METADATA_PAIRS: Final = 16
METADATA_KEY_CHARS: Final = 64
METADATA_VALUE_CHARS: Final = 512

Check = Callable[[Any], str]
"""What is wrong with a value; ``""`` if nothing is."""


def _one_of(*words: str) -> Check:
    return lambda value: "" if value in words else f"{value!r} is none of {', '.join(words)}"


def _within(low: float, high: float) -> Check:
    return lambda value: "" if low <= value <= high else f"{value} is not within {low} and {high}"


def _modalities(value: list[str]) -> str:
    return "" if value in (["audio"], ["text"]) else f"{value} is neither ['audio'] nor ['text']"


def _tokens(value: int | str) -> str:
    if value == "inf" or (isinstance(value, int) and 1 <= value <= 4096):
        return ""
    return f"{value!r} is neither within 1 and 4096 nor 'inf'"


def _word_or_object(*words: str) -> Check:
    return lambda value: "" if not isinstance(value, str) or value in words else _one_of(*words)(value)


def _metadata(value: dict[str, str]) -> str:
    if len(value) > METADATA_PAIRS:
        return f"{len(value)} pairs; at most {METADATA_PAIRS} are taken"
    if any(len(key) > METADATA_KEY_CHARS for key in value):
        return f"a key is longer than {METADATA_KEY_CHARS} characters"
    if any(len(text) > METADATA_VALUE_CHARS for text in value.values()):
        return f"a value is longer than {METADATA_VALUE_CHARS} characters"
    return ""


_CHOICES = ("auto", "none", "required")
_EFFORTS = ("minimal", "low", "medium", "high", "xhigh")

SESSION_VALUES: Final[dict[str, Check]] = {
    "output_modalities": _modalities,
    "max_output_tokens": _tokens,
    "tool_choice": _word_or_object(*_CHOICES),
    "truncation": _word_or_object("auto", "disabled"),
    "truncation.retention_ratio": _within(0, 1),
    "tracing": _word_or_object("auto"),
    "reasoning.effort": _one_of(*_EFFORTS),
    "audio.input.format.rate": _within(24_000, 24_000),
    "audio.output.format.rate": _within(24_000, 24_000),
    "audio.output.speed": _within(0.25, 1.5),
    "audio.input.noise_reduction.type": _one_of("near_field", "far_field"),
    "audio.input.transcription.delay": _one_of(*_EFFORTS),
    "audio.input.turn_detection.threshold": _within(0, 1),
    "audio.input.turn_detection.prefix_padding_ms": _within(0, 60_000),
    "audio.input.turn_detection.silence_duration_ms": _within(0, 60_000),
    "audio.input.turn_detection.idle_timeout_ms": _within(5_000, 30_000),
    "audio.input.turn_detection.eagerness": _one_of("auto", "low", "medium", "high"),
}
"""Path in a session → what it may be. Absent and ``null`` are always right."""

RESPONSE_VALUES: Final[dict[str, Check]] = {
    "conversation": _one_of("auto", "none"),
    "output_modalities": _modalities,
    "max_output_tokens": _tokens,
    "tool_choice": _word_or_object(*_CHOICES),
    "reasoning.effort": _one_of(*_EFFORTS),
    "audio.output.format.rate": _within(24_000, 24_000),
    "metadata": _metadata,
}
"""The same for ``response.create``."""

CONTENT_OF_ROLE: Final[dict[str, tuple[str, ...]]] = {
    "user": ("input_text", "input_audio", "input_image"),
    "system": ("input_text",),
    "assistant": ("output_text", "output_audio"),
}
"""Role of a message → what its parts may be."""


def check_values(event: Any) -> None:
    """Check what a client event says, as far as that doesn't depend on the session.

    Raises:
        ProtocolError: with the code and the field.
    """
    event_id = getattr(event, "event_id", None)
    if isinstance(event_id, str):
        _check_length(event_id, EVENT_ID_CHARS, "event_id")
    check = _CHECKS.get(type(event))
    if check is not None:
        check(event)


def _check_update(event: SessionUpdate) -> None:
    _check_known(event.session, "session")
    _check_table(event.session, SESSION_VALUES, "session")


def _check_response(event: ResponseCreate) -> None:
    if not isinstance(event.response, Model):
        return
    _check_table(event.response, RESPONSE_VALUES, "response")
    items = event.response.input
    for index, item in enumerate(items if isinstance(items, list) else []):
        _check_item(item, f"response.input[{index}]", reference=True)


def _check_create(event: ConversationItemCreate) -> None:
    _check_item(event.item, "item", reference=False)


def _check_truncate(event: ConversationItemTruncate) -> None:
    for name in ("content_index", "audio_end_ms"):
        if getattr(event, name) < 0:
            raise INVALID_VALUE.error(param=name, detail="it is negative")


_CHECKS: Final[dict[type[Any], Callable[[Any], None]]] = {
    SessionUpdate: _check_update,
    ResponseCreate: _check_response,
    ConversationItemCreate: _check_create,
    ConversationItemTruncate: _check_truncate,
}


def _check_item(item: Item, path: str, *, reference: bool) -> None:
    _check_known(item, path)
    if isinstance(item, ItemReference) and not reference:
        raise INVALID_VALUE.error(param=f"{path}.type", detail="a conversation holds items, not references")
    for name, maximum in (("id", ITEM_ID_CHARS), ("call_id", CALL_ID_CHARS)):
        value = getattr(item, name, UNSET)
        if isinstance(value, str):
            _check_length(value, maximum, f"{path}.{name}")
            if not value:
                raise INVALID_VALUE.error(param=f"{path}.{name}", detail="it is empty")
    if isinstance(item, Message):
        kinds = CONTENT_OF_ROLE.get(item.role)
        if kinds is None:
            words = _one_of(*CONTENT_OF_ROLE)
            raise INVALID_VALUE.error(param=f"{path}.role", detail=words(item.role))
        for index, part in enumerate(item.content):
            if wrong := _one_of(*kinds)(_type_of(part)):
                raise INVALID_VALUE.error(param=f"{path}.content[{index}].type", detail=wrong)


def _check_length(text: str, maximum: int, param: str) -> None:
    if len(text) > maximum:
        raise TOO_LONG.error(param=param, maximum=maximum, length=len(text))


def _check_table(model: Any, table: dict[str, Check], path: str) -> None:
    for where, check in table.items():
        value = model
        for name in where.split("."):
            value = getattr(value, name, UNSET) if isinstance(value, Model) else UNSET
        if value is not UNSET and value is not None and (wrong := check(value)):
            raise INVALID_VALUE.error(param=f"{path}.{where}", detail=wrong)


def _check_known(value: Any, path: str) -> None:
    """Refuse members of families that nobody knows, wherever they are."""
    for each, where in _members(value, path):
        if isinstance(each, Unknown):
            if each.raw.get("type") is None:
                raise MISSING_PARAMETER.error(param=f"{where}.type")
            raise INVALID_VALUE.error(param=f"{where}.type", detail=f"{each.type!r} is not supported")


def _members(value: Any, path: str) -> Iterator[tuple[Any, str]]:
    yield value, path
    if isinstance(value, Model):
        for name in value.__struct_fields__:
            field = getattr(value, name)
            if isinstance(field, Model | Unknown):
                yield from _members(field, f"{path}.{name}")
            elif isinstance(field, list):
                for index, each in enumerate(field):
                    yield from _members(each, f"{path}.{name}[{index}]")


def _type_of(value: Any) -> str:
    if isinstance(value, Unknown):
        return value.type
    tag = value.__struct_config__.tag
    return tag if isinstance(tag, str) else ""
