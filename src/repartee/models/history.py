"""The conversation as its events tell it."""

from __future__ import annotations

from dataclasses import replace

from repartee.chat import AudioContent, ChatContext, Item, Message
from repartee.models.events import (
    ItemAdded,
    ItemDeleted,
    ItemDone,
    ItemTruncated,
    RealtimeEvent,
    TranscriptCompleted,
)

__all__ = ["apply_event"]

_TELLING = frozenset({ItemAdded, ItemDone, ItemDeleted, ItemTruncated, TranscriptCompleted})


def apply_event(history: ChatContext, event: RealtimeEvent) -> Item | None:
    """Bring a mirror of a session's conversation up to date; the item that changed, if one did.

    Events about items that the mirror does not know are ignored, so it may begin anywhere.
    """
    if type(event) not in _TELLING:
        return None  # nearly all: sound and words on their way
    match event:
        case ItemAdded(item=item, previous_item_id=previous) if item.id not in history:
            # Behind nothing is at the front; behind something unknown is at the end.
            behind = "root" if previous is None else previous if previous in history else None
            history.insert(item, previous_item_id=behind)
            return item
        case ItemDone(item=item) if item.id in history:
            history.replace(item)
            return item
        case ItemDeleted(item_id=item_id) if item_id in history:
            return history.delete(item_id)
        case ItemTruncated(item_id=item_id, text=text):
            said = history.get(item_id)
            if isinstance(said, Message):
                cut = replace(said.with_text(text), interrupted=True, status="incomplete")
                history.replace(cut)
                return cut
        case TranscriptCompleted(item_id=item_id, transcript=transcript):
            turn = history.get(item_id)
            if isinstance(turn, Message):
                spoken = next(
                    (part for part in turn.content if isinstance(part, AudioContent)), AudioContent()
                )
                others = tuple(part for part in turn.content if not isinstance(part, AudioContent))
                heard = replace(turn, content=(replace(spoken, transcript=transcript), *others))
                history.replace(heard)
                return heard
        case _:
            pass
    return None
