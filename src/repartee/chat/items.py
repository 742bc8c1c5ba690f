"""The items of a conversation, named as the OpenAI Realtime protocol names them.

Items are immutable values: a change (a transcript that arrives, a truncation) is a new value put in the old one's
place by `ChatContext`. That is what lets a history be handed out, compared and logged without copying.
"""

from __future__ import annotations

import random
import secrets
import string
from dataclasses import dataclass, field, replace
from typing import Literal

__all__ = [
    "AudioContent",
    "Content",
    "FunctionCall",
    "FunctionCallOutput",
    "ImageContent",
    "Item",
    "Message",
    "Role",
    "TextContent",
    "new_id",
]

Role = Literal["system", "user", "assistant"]

_ALPHABET = string.ascii_letters + string.digits

# Identifiers must not be guessed, so they come from the system; `repartee.testing` puts a seeded source here.
_random: random.Random = secrets.SystemRandom()


def new_id(prefix: str) -> str:
    """A fresh identifier such as ``item_3fA…`` (prefix, underscore, 21 alphanumerics: at most 32 characters)."""
    return f"{prefix}_" + "".join(_random.choices(_ALPHABET, k=21))


@dataclass(frozen=True, slots=True)
class TextContent:
    """Words, typed or generated."""

    text: str


@dataclass(frozen=True, slots=True)
class AudioContent:
    """Speech.

    For the user's, ``transcript`` is ``None`` until it is known. For the assistant's it is what was generated
    until the item is truncated, and from then on what was heard.
    """

    transcript: str | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ImageContent:
    """A picture: an ``https:`` or ``data:`` URL."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


Content = TextContent | AudioContent | ImageContent


@dataclass(frozen=True, slots=True)
class Message:
    """Something said or typed by one party."""

    role: Role
    content: tuple[Content, ...]
    id: str = field(default_factory=lambda: new_id("item"))
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    """``incomplete``: interrupted, cut off by a limit, or failed midway."""
    interrupted: bool = False
    """Whether the other party cut it short; its words are then those that were heard."""

    @classmethod
    def of(cls, role: Role, text: str, *, id: str | None = None) -> Message:
        """A message of one text."""
        return cls(role, (TextContent(text),), id if id is not None else new_id("item"))

    @property
    def text(self) -> str:
        """Its words: texts and transcripts, joined by a space. Images have none."""
        parts = [
            part.text if isinstance(part, TextContent) else part.transcript or ""
            for part in self.content
            if not isinstance(part, ImageContent)
        ]
        return " ".join(part for part in parts if part)

    @property
    def is_audio(self) -> bool:
        """Whether any part of it was spoken."""
        return any(isinstance(part, AudioContent) for part in self.content)

    def with_text(self, text: str) -> Message:
        """The same message with these words in place of its own (kept as speech where it was speech)."""
        kept: tuple[Content, ...] = tuple(part for part in self.content if isinstance(part, ImageContent))
        spoken = next((part for part in self.content if isinstance(part, AudioContent)), None)
        words: Content = replace(spoken, transcript=text) if spoken else TextContent(text)
        return replace(self, content=(words, *kept))


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """The model asks for a function. ``arguments`` is the JSON text the model wrote."""

    name: str
    arguments: str
    call_id: str = field(default_factory=lambda: new_id("call"))
    id: str = field(default_factory=lambda: new_id("item"))


@dataclass(frozen=True, slots=True)
class FunctionCallOutput:
    """What the function gave back, as text (JSON for structured values)."""

    call_id: str
    output: str
    is_error: bool = False
    id: str = field(default_factory=lambda: new_id("item"))


Item = Message | FunctionCall | FunctionCallOutput
