"""What a function gave back, as a sentence to be heard."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from repartee.chat import FunctionCallOutput

__all__ = ["spoken_output", "spoken_outputs"]

_PARTS_MAX = 6
_CHARACTERS_MAX = 600


def spoken_outputs(outputs: Sequence[FunctionCallOutput]) -> str:
    """The sentences for several calls of one turn, in order."""
    return " ".join(dict.fromkeys(spoken_output(output) for output in outputs))


def spoken_output(output: FunctionCallOutput) -> str:
    """A sentence: a text is spoken as it is, JSON is put into words, an error says that it is one."""
    text = output.output.strip()
    if output.is_error:
        # The part before the colon is written for a model that could try again; a listener needs the rest.
        reason = re.sub(r"^\w+ was not called: ", "", text)
        is_ours = reason != text or not text or " " not in text
        return f"That did not work: {_ended(reason or 'I do not know why')}" if is_ours else _ended(text)
    if not text or text in ("done", "null"):
        return "Done."
    try:
        value = json.loads(text)
    except ValueError:
        return _ended(text[:_CHARACTERS_MAX])
    return _ended(_capital(_in_words(value)))


def _in_words(value: Any) -> str:
    match value:
        case None:
            return "there is none"
        case bool():
            return "yes" if value else "no"
        case dict():
            return _listed([_pair(key, each) for key, each in value.items()]) if value else "there is nothing"
        case list():
            return _listed([_short(each) for each in value]) if value else "there are none"
    return _short(value)


def _pair(key: str, value: Any) -> str:
    name = re.sub(r"[_\s-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(key))).strip().lower()
    if isinstance(value, bool):
        return f"{name} is {'true' if value else 'false'}"
    if value is None:
        return f"there is no {name}"
    if isinstance(value, list):
        return (
            f"the {name} {'are' if len(value) != 1 else 'is'} {_in_words(value)}"
            if value
            else f"there are no {name}"
        )
    return f"the {name} is {_short(value)}"


def _short(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
        case dict():
            return " ".join(_short(each) for each in list(value.values())[:_PARTS_MAX]) or "nothing"
        case list():
            return _listed([_short(each) for each in value])
        case None:
            return "nothing"
    return str(value)[:200]


def _listed(parts: list[str]) -> str:
    if not parts:
        return "nothing"
    more = len(parts) - _PARTS_MAX
    if more > 1:
        parts = [*parts[:_PARTS_MAX], f"{more} more"]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
