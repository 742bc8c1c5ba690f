"""Function tools as things to match: templates from their examples, and readers for their slots.

A tool's ``examples`` are its templates. A tool without any gets templates from its name and the first sentence of its
description, which is a poorer guess: examples are worth writing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from repartee.chat import FunctionTool
from repartee.plugins.local.matching import Reader, Template, Utterance, is_common, likeness, shed
from repartee.plugins.local.slots import (
    may_start_expression,
    may_start_number,
    read_boolean,
    read_choice,
    read_duration_s,
    read_expression,
    read_number,
)

__all__ = ["Candidate", "candidate", "question"]

_UNIT_S = {
    "ms": 0.001,
    "s": 1,
    "sec": 1,
    "seconds": 1,
    "min": 60,
    "minutes": 60,
    "hours": 3600,
    "days": 86400,
}
_LIST_SEPARATORS = re.compile(r"\s*(?:,|\band\b)\s*")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tool, ready to be matched."""

    tool: FunctionTool
    templates: tuple[Template, ...]
    readers: dict[str, Reader]
    """By argument."""
    required: tuple[str, ...]
    has_examples: bool

    def missing(self, values: dict[str, Any]) -> tuple[str, ...]:
        """The required arguments that ``values`` lacks."""
        return tuple(name for name in self.required if name not in values)

    def read_answer(self, name: str, text: str) -> Any:
        """An argument from the answer to a question about it; ``None`` if there is none in it."""
        utterance = Utterance(text)
        reader = self.readers[name]
        if reader.free:
            subject = rf"(?:(?:the|my|it|that|its)\s+)?(?:{_in_words(name)}\s+)?(?:is|should be|would be)\s+"
            lead = rf"(?:(?:it|that|name)'s\s+|{subject})"
            return shed(re.sub(rf"^\s*{lead}", "", text.strip().rstrip(".!?"), flags=re.IGNORECASE)) or None
        spans = utterance.spans(reader)
        best = max(
            ((end - start, value) for start, ends in spans.items() for end, value in ends),
            key=lambda pair: pair[0],
            default=None,
        )
        return best[1] if best else None


def candidate(tool: FunctionTool) -> Candidate:
    """A tool's templates and readers."""
    properties: dict[str, Any] = tool.parameters.get("properties", {})
    readers = {name: _reader(name, schema) for name, schema in properties.items()}

    def reader_of(name: str, kind: str | None) -> Reader:
        return readers[name] if kind is None else _reader(name, properties[name], kind)

    templates = [Template.parse(example, reader_of) for example in tool.examples]
    if not templates:
        required = tuple(tool.parameters.get("required", ()))
        templates = [
            Template.parse(text, reader_of, loose=True)
            for text in _described(tool, tuple(properties), required)
        ]
    return Candidate(
        tool, tuple(templates), readers, tuple(tool.parameters.get("required", ())), bool(tool.examples)
    )


def question(tool: FunctionTool, name: str) -> str:
    """What to ask for a missing argument."""
    schema = tool.parameters.get("properties", {}).get(name, {})
    if _duration_unit(name, _plain(schema)) is not None:
        return "For how long?"
    plain = _plain(schema)
    choices = [str(value).replace("_", " ") for value in plain.get("enum", ()) if value is not None]
    if len(choices) > 1:
        return f"Which {_in_words(name)}: {', '.join(choices[:-1])} or {choices[-1]}?"
    if plain.get("type") in ("integer", "number"):
        words = _in_words(name)
        return f"How many {words}?" if words.endswith("s") else f"What is the {words}?"
    return f"Which {_in_words(name)}?"


def _in_words(name: str) -> str:
    return " ".join(name.replace("-", "_").split("_")).strip()


# -- templates from names and descriptions -------------------------------------------------------------------------


def _described(tool: FunctionTool, names: Sequence[str], required: Sequence[str]) -> list[str]:
    title = _in_words(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", tool.name)).lower()
    slots = "".join(f" {{{name}}}" for name in required)
    texts = [title + slots] if slots else [title]
    first = re.split(r"(?<=[.!?])\s|\n", tool.description)[0].rstrip(".!?").lower()
    if first:
        text = re.sub(r"[{}]", "", first)
        for name in names:
            text = re.sub(
                rf"\b(?:(?:an?|the|some|its|this|that)\s+)?{_in_words(name).lower()}\b",
                f"{{{name}}}",
                text,
                count=1,
            )
        absent = [name for name in required if f"{{{name}}}" not in text]
        texts.append(text + "".join(f" {{{name}}}" for name in absent))
    if slots:
        texts.append(title)  # a request that leaves everything out: what is missing is asked for
    return texts


# -- readers -------------------------------------------------------------------------------------------------------


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without the alternative ``null``."""
    options = schema.get("anyOf")
    if options:
        return _plain(next((each for each in options if each.get("type") != "null"), {}))
    kind = schema.get("type")
    if isinstance(kind, list):
        return {**schema, "type": next((each for each in kind if each != "null"), "string")}
    return schema


def _duration_unit(name: str, schema: dict[str, Any]) -> float | None:
    """Seconds in one unit of a parameter that is a length of time, by its name."""
    if schema.get("type") not in ("integer", "number"):
        return None
    last = name.lower().rsplit("_", 1)[-1]
    if last in _UNIT_S and (last != name or len(last) > 3):
        return _UNIT_S[last]
    return 1.0 if "duration" in name.lower() else None


def _reader(name: str, schema: dict[str, Any], kind: str | None = None) -> Reader:
    schema = _plain(schema)
    is_whole = schema.get("type") == "integer"
    unit = _duration_unit(name, schema)
    if "enum" in schema and kind is None:
        return _choice_reader(schema["enum"])
    if kind == "duration" or (kind is None and unit is not None):
        return _duration_reader(unit or 1.0, is_whole)
    if kind == "number" or (kind is None and schema.get("type") in ("integer", "number")):
        return _number_reader(is_whole)
    if kind == "boolean" or (kind is None and schema.get("type") == "boolean"):
        return Reader("boolean", lambda words, text: read_boolean(words) if len(words) == 1 else None, 1)
    if kind == "expression" or (kind is None and name in ("expression", "formula")):
        return Reader(
            "expression", lambda words, text: read_expression(words), 24, starts=may_start_expression
        )
    if kind == "words":
        # "spell it": there is no word to spell in that
        return Reader("words", lambda words, text: None if is_common(words) else text, 3, free=True)
    if schema.get("type") == "array":
        return Reader(
            "list", lambda words, text: [each for each in _LIST_SEPARATORS.split(text) if each], 30, free=True
        )
    return Reader("text", lambda words, text: text, 60, free=True)


def _choice_reader(choices: Sequence[Any]) -> Reader:
    names = [Utterance(str(choice).replace("_", " ").replace("-", " ")).words for choice in choices]
    firsts = {words[0] for words in names if words}
    longest = max((len(words) for words in names), default=1)
    return Reader(
        "choice",
        lambda words, text: read_choice(words, choices),
        longest + 1,
        starts=lambda word: may_start_number(word) or any(likeness(first, word) for first in firsts),
    )


def _number_reader(is_whole: bool) -> Reader:
    def read(words: Sequence[str], text: str) -> Any:
        value = read_number(words)
        return None if value is None or (is_whole and value != int(value)) else value

    return Reader("number", read, 12, starts=may_start_number)


def _duration_reader(unit_s: float, is_whole: bool) -> Reader:
    def read(words: Sequence[str], text: str) -> Any:
        seconds = read_duration_s(words)
        if seconds is None:
            return None
        value = seconds / unit_s
        if value == int(value):
            return int(value)
        return None if is_whole else value

    return Reader("duration", read, 12, starts=may_start_number)
