"""A conversation as chat-completion messages, and function tools as the API describes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from repartee.chat import (
    ChatContext,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    ImageContent,
    Message,
    TextContent,
    ToolChoice,
)

__all__ = ["chat_messages", "strict_schema", "tool_choice_param", "tool_param"]

NO_RESULT = "no result yet"
"""Stands for the output of a call that has none: the API wants one for each."""


def chat_messages(context: ChatContext, instructions: str = "") -> list[dict[str, Any]]:
    """The messages of a request.

    Each function call is followed by its result, wherever in the conversation that stands (people speak while a
    function runs), since the API wants it so. Results without a call, and messages without words or pictures, are
    left out.
    """
    messages: list[dict[str, Any]] = []
    if instructions.strip():
        messages.append({"role": "system", "content": clean_text(instructions)})
    outputs = {item.call_id: item.output for item in context if isinstance(item, FunctionCallOutput)}
    results: list[dict[str, Any]] = []  # of the calls in the newest message
    for item in context:
        if isinstance(item, FunctionCall):
            if not results:
                messages.append(_caller(messages))
            messages[-1]["tool_calls"].append(_call(item))
            output = clean_text(outputs.get(item.call_id, NO_RESULT))
            results.append({"role": "tool", "tool_call_id": item.call_id, "content": output})
            continue
        if isinstance(item, FunctionCallOutput):
            continue
        messages += results
        results = []
        content = _content(item)
        if content:
            messages.append({"role": item.role, "content": content})
    return messages + results


def _caller(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The assistant's message that makes the calls: the one that it ended its words with, if it did."""
    if messages and messages[-1]["role"] == "assistant" and "tool_calls" not in messages[-1]:
        return {**messages.pop(), "tool_calls": []}
    return {"role": "assistant", "content": None, "tool_calls": []}


def _call(call: FunctionCall) -> dict[str, Any]:
    arguments = clean_text(call.arguments)
    try:
        whole = isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        whole = False
    # Some servers parse the arguments of calls long past, and refuse all of the request when they can't.
    function = {"name": call.name, "arguments": arguments if whole else "{}"}
    return {"id": call.call_id, "type": "function", "function": function}


def _content(message: Message) -> str | list[dict[str, Any]]:
    pictures = [part for part in message.content if isinstance(part, ImageContent)]
    if not pictures or message.role != "user":
        return clean_text(message.text).strip()
    parts: list[dict[str, Any]] = []
    for part in message.content:
        if isinstance(part, ImageContent):
            parts.append({"type": "image_url", "image_url": {"url": part.url, "detail": part.detail}})
        else:
            words = part.text if isinstance(part, TextContent) else part.transcript or ""
            if words.strip():
                parts.append({"type": "text", "text": clean_text(words)})
    return parts


def clean_text(text: str) -> str:
    """Without lone surrogates, which no UTF-8 can carry."""
    return text.encode("utf-8", "replace").decode("utf-8")


# -- tools -------------------------------------------------------------------------------------------------------


def tool_param(tool: FunctionTool, *, strict: bool) -> dict[str, Any]:
    """A function as the API describes it.

    Args:
        tool: the function.
        strict: hold the model to the schema (`strict_schema`) where the schema allows it.
    """
    function: dict[str, Any] = {"name": tool.name, "description": tool.description}
    # A function that takes its arguments as they come would see null where it now sees nothing.
    held = strict_schema(tool.parameters, optional=tool.raw_parameter is None) if strict else None
    if held is not None:
        return {"type": "function", "function": {**function, "parameters": held, "strict": True}}
    return {"type": "function", "function": {**function, "parameters": tool.parameters}}


def tool_choice_param(choice: ToolChoice) -> str | dict[str, Any]:
    """What `ToolChoice` is to the API."""
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


class _NotStrict(Exception):
    """The schema has something that can't be held to."""


_KEPT = {
    "type", "description", "enum", "const", "title", "pattern", "format", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "minItems", "maxItems",
}  # fmt: skip


def strict_schema(schema: dict[str, Any], *, optional: bool = True) -> dict[str, Any] | None:
    """A schema in the subset that a model can be held to: every field is required, and no other is allowed.

    A field that may be left out becomes one that may be ``null``, which `FunctionTool.bind` reads as left out.

    Args:
        schema: of an object.
        optional: whether ``null`` may stand for a field left out. Otherwise a schema with such fields gives ``None``.

    Returns:
        ``None`` where the subset has no word for it (maps, tuples, sets, ``Any``).
    """
    try:
        return _strict(schema, optional) if schema.get("type") == "object" else None
    except _NotStrict:
        return None


def _strict(schema: dict[str, Any], optional: bool) -> dict[str, Any]:
    if "anyOf" in schema and not set(schema) - {"anyOf", "description", "default"}:
        held: dict[str, Any] = {"anyOf": [_strict(each, optional) for each in schema["anyOf"]]}
        return {**held, **_note(schema)}
    kinds = schema.get("type")
    if kinds == "object":
        return {**_strict_object(schema, optional), **_note(schema)}
    if kinds is None and "enum" not in schema and "const" not in schema:
        raise _NotStrict
    if set(schema) - _KEPT - {"items", "default"} or (isinstance(kinds, list) and "object" in kinds):
        raise _NotStrict
    held = {key: value for key, value in schema.items() if key in _KEPT}
    if kinds == "array" or (isinstance(kinds, list) and "array" in kinds):
        if not isinstance(schema.get("items"), dict):
            raise _NotStrict
        held["items"] = _strict(schema["items"], optional)
    return {**held, **_note(schema)}


def _strict_object(schema: dict[str, Any], optional: bool) -> dict[str, Any]:
    if schema.get("additionalProperties", False) is not False or "properties" not in schema:
        raise _NotStrict
    if set(schema) - {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "description",
        "title",
        "default",
    }:
        raise _NotStrict
    required = set(schema.get("required", ()))
    fields: dict[str, Any] = {}
    for name, field in schema["properties"].items():
        fields[name] = _strict(field, optional)
        if name not in required:
            if not optional or (_nullable(field) and field.get("default") is not None):
                raise _NotStrict  # null would not mean "left out"
            fields[name] = _or_null(fields[name])
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _nullable(schema: dict[str, Any]) -> bool:
    kinds: Iterable[Any] = schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type")]
    return "null" in kinds or any(_nullable(each) for each in schema.get("anyOf", ()))


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if _nullable(schema):
        return schema
    if (
        isinstance(schema.get("type"), str)
        and "enum" not in schema
        and schema["type"] not in ("object", "array")
    ):
        return {**schema, "type": [schema["type"], "null"]}
    note = {"description": schema["description"]} if "description" in schema else {}
    inner = {key: value for key, value in schema.items() if key != "description"}
    return {"anyOf": [inner, {"type": "null"}], **note}


def _note(schema: dict[str, Any]) -> dict[str, Any]:
    """The description, with the default, for which the subset has no keyword."""
    text = schema.get("description", "")
    if schema.get("default") is not None:
        text = f"{text} (default: {json.dumps(schema['default'], ensure_ascii=False)})".strip()
    return {"description": text} if text else {}
