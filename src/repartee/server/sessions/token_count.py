"""What a conversation costs in tokens, where the model doesn't say; and which of it to leave out when it is too long.

Audio counts as the service's guide says: a token for each 100 ms of the user's, for each 50 ms of the assistant's. Text
counts as four characters a token, which is what English comes to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from repartee.chat import (
    AudioContent,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    ImageContent,
    Item,
    Message,
)

__all__ = ["audio_tokens", "item_tokens", "surplus", "text_tokens", "tool_tokens"]

CHARS_PER_TOKEN: Final = 4
USER_MS_PER_TOKEN: Final = 100
ASSISTANT_MS_PER_TOKEN: Final = 50
IMAGE_TOKENS: Final = 500
MESSAGE_TOKENS: Final = 4
"""What any item costs besides its words."""


def text_tokens(text: str) -> int:
    """Of a text."""
    return -(-len(text) // CHARS_PER_TOKEN)


def audio_tokens(duration_ms: float, *, assistant: bool) -> int:
    """Of a stretch of speech."""
    return int(duration_ms // (ASSISTANT_MS_PER_TOKEN if assistant else USER_MS_PER_TOKEN))


def item_tokens(item: Item) -> tuple[int, int]:
    """Of an item: text tokens (pictures included) and audio tokens."""
    if isinstance(item, FunctionCall):
        return MESSAGE_TOKENS + text_tokens(item.name + item.arguments), 0
    if isinstance(item, FunctionCallOutput):
        return MESSAGE_TOKENS + text_tokens(item.output), 0
    text, audio = MESSAGE_TOKENS, 0
    for part in item.content:
        if isinstance(part, ImageContent):
            text += IMAGE_TOKENS
        elif not isinstance(part, AudioContent):
            text += text_tokens(part.text)
        elif part.duration_ms is None:
            text += text_tokens(part.transcript or "")
        else:
            audio += audio_tokens(part.duration_ms, assistant=item.role == "assistant")
    return text, audio


def tool_tokens(tools: Iterable[FunctionTool]) -> int:
    """Of the functions that a model is shown."""
    return sum(
        text_tokens(tool.name + tool.description + json.dumps(tool.parameters, default=str)) for tool in tools
    )


def surplus(items: Sequence[Item], *, limit: int, keep: int) -> list[Item]:
    """What to leave out of a conversation, oldest first, so that it fits.

    System messages stay, and so does the newest item; a function's call and its output go together.

    Args:
        items: of the conversation, in order.
        limit: the most tokens that it may have.
        keep: when it has more, how many are kept of it.
    """
    cost = {item.id: sum(item_tokens(item)) for item in items}
    total = sum(cost.values())
    if total <= limit:
        return []
    partners: dict[str, list[Item]] = {}
    for item in items:
        if isinstance(item, FunctionCall | FunctionCallOutput):
            partners.setdefault(item.call_id, []).append(item)
    newest = items[-1]
    gone: dict[str, Item] = {}
    for item in items[:-1]:
        if total <= keep:
            break
        if item.id in gone or (isinstance(item, Message) and item.role == "system"):
            continue
        together = [item] if isinstance(item, Message) else partners[item.call_id]
        if newest in together:
            continue
        for each in together:
            gone[each.id] = each
            total -= cost[each.id]
    return list(gone.values())
