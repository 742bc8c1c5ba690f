"""The conversation as a value: items in order, each with what is known of its audio.

Client and server keep the same one, by the same calls. It knows items, not responses: a response's item is `insert`ed
empty, its audio counted as it comes, and `replace`d when it is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from repartee.protocol.faults import (
    DELETE_UNKNOWN,
    DUPLICATE_ITEM,
    INVALID_PREVIOUS,
    RETRIEVE_UNKNOWN,
    TOO_LONG,
    TRUNCATE_NO_AUDIO,
    TRUNCATE_NO_PART,
    TRUNCATE_PAST_END,
    TRUNCATE_UNKNOWN,
)
from repartee.protocol.items import ContentPart, InputAudio, Item, Message, OutputAudio, id_of
from repartee.protocol.limits import ITEM_ID_CHARS
from repartee.protocol.model import UNSET, UnsetType, replace

__all__ = ["ROOT", "Conversation", "Entry"]

ROOT = "root"
"""As ``previous_item_id``: at the front."""


class Entry:
    """An item of a conversation, and what is known beside it."""

    __slots__ = ("audio", "audio_bytes", "bytes_per_ms", "done", "item", "truncated_ms")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.done = False
        """Whether the item is complete."""
        self.audio_bytes: dict[int, int] = {}
        """Content index → bytes of audio counted so far."""
        self.bytes_per_ms = 48
        self.audio: dict[int, bytearray] = {}
        """Content index → the audio itself, where the conversation keeps it."""
        self.truncated_ms: dict[int, int] = {}
        """Content index → where it was cut."""

    def audio_ms(self, content_index: int = 0) -> int:
        """The length of a part's audio in ms: to the cut, if it was truncated."""
        length = self.audio_bytes.get(content_index, 0) // self.bytes_per_ms
        return min(length, self.truncated_ms.get(content_index, length))


class Conversation:
    """Items in order.

    Args:
        audio_bytes_max: how much audio is kept for `retrieve`, in bytes; when there is more, the oldest items lose
            theirs. Default: 0, none (its length is counted all the same).
    """

    def __init__(self, *, audio_bytes_max: int = 0) -> None:
        self._order: list[str] = []
        self._entries: dict[str, Entry] = {}
        self._audio_bytes_max = audio_bytes_max
        self._audio_bytes = 0

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._entries

    def __iter__(self) -> Iterator[Item]:
        return (self._entries[item_id].item for item_id in self._order)

    @property
    def ids(self) -> tuple[str, ...]:
        """The items' ids in order."""
        return tuple(self._order)

    def entry(self, item_id: str) -> Entry | None:
        """An item and what is known beside it; ``None``: there is no such item."""
        return self._entries.get(item_id)

    def previous_of(self, item_id: str) -> str | None:
        """The id of the item before; ``None`` for the first.

        Raises:
            KeyError: there is no such item.
        """
        if item_id not in self._entries:
            raise KeyError(item_id)
        index = len(self._order) - 1 if self._order[-1] == item_id else self._order.index(item_id)
        return self._order[index - 1] if index else None

    # ---------------------------------------------------------------------------------------------------- changes

    def check_insert(self, item_id: str | None, previous_item_id: str | UnsetType | None = UNSET) -> None:
        """Whether an item could be inserted; raises as `insert` does."""
        if item_id is not None:
            if len(item_id) > ITEM_ID_CHARS:
                raise TOO_LONG.error(param="item.id", maximum=ITEM_ID_CHARS, length=len(item_id))
            if item_id in self._entries:
                raise DUPLICATE_ITEM.error(item_id=item_id)
        known = not isinstance(previous_item_id, str) or previous_item_id == ROOT
        if not known and previous_item_id not in self._entries:
            raise INVALID_PREVIOUS.error(item_id=previous_item_id)

    def insert(self, item: Item, previous_item_id: str | UnsetType | None = UNSET) -> str | None:
        """Insert an item.

        Args:
            item: with an id.
            previous_item_id: the item to stand behind; ``"root"``: the front; absent or ``None``: the end.

        Returns:
            The id of the item that it stands behind; ``None`` if it is the first.

        Raises:
            ProtocolError: the id is too long or taken, or there is no such previous item. Nothing was inserted.
        """
        item_id = id_of(item)
        if item_id is None:
            raise ValueError("an item needs an id to join a conversation")
        self.check_insert(item_id, previous_item_id)
        if not isinstance(previous_item_id, str) or (
            self._order and previous_item_id == self._order[-1]
        ):  # nearly always
            index = len(self._order)
        else:
            index = 0 if previous_item_id == ROOT else self._order.index(previous_item_id) + 1
        self._order.insert(index, item_id)
        self._entries[item_id] = Entry(item)
        return self._order[index - 1] if index else None

    def finish(self, item: Item) -> None:
        """Put the complete item in the place of the one that was inserted. A truncation stays in force."""
        entry = self._entries[str(id_of(item))]
        entry.item, entry.done = item, True
        for content_index in entry.truncated_ms:
            self._drop_transcript(entry, content_index)

    def check_delete(self, item_id: str) -> None:
        """Whether an item could be deleted; raises as `delete` does."""
        if item_id not in self._entries:
            raise DELETE_UNKNOWN.error(item_id=item_id)

    def delete(self, item_id: str) -> None:
        """Remove an item.

        Raises:
            ProtocolError: there is no such item.
        """
        self.check_delete(item_id)
        entry = self._entries.pop(item_id)
        self._order.remove(item_id)
        self._audio_bytes -= sum(map(len, entry.audio.values()))

    def check_truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> Entry:
        """Whether an item could be truncated; raises as `truncate` does."""
        entry = self._entries.get(item_id)
        if entry is None:
            raise TRUNCATE_UNKNOWN.error(item_id=item_id)
        if not isinstance(entry.item, Message) or entry.item.role != "assistant":
            raise TRUNCATE_NO_AUDIO.error()
        part = _part_at(entry.item, content_index)
        if content_index not in entry.audio_bytes and not isinstance(part, OutputAudio):
            raise TRUNCATE_NO_PART.error(content_index=content_index)
        # An audio part that came without its audio (created by the client) has no length to compare with.
        if content_index in entry.audio_bytes and audio_end_ms > entry.audio_ms(content_index):
            raise TRUNCATE_PAST_END.error(duration=entry.audio_ms(content_index), audio_end=audio_end_ms)
        return entry

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """Cut an assistant's audio where the caller stopped hearing it. Its transcript is dropped.

        Legal while the item is being generated, and again for less.

        Raises:
            ProtocolError: there is no such item, it has no audio there, or not as much.
        """
        entry = self.check_truncate(item_id, content_index, audio_end_ms)
        entry.truncated_ms[content_index] = audio_end_ms
        audio = entry.audio.get(content_index)
        if audio is not None:
            self._audio_bytes -= max(0, len(audio) - audio_end_ms * entry.bytes_per_ms)
            del audio[audio_end_ms * entry.bytes_per_ms :]
        self._drop_transcript(entry, content_index)

    def _drop_transcript(self, entry: Entry, content_index: int) -> None:
        if isinstance(entry.item, Message) and isinstance(_part_at(entry.item, content_index), OutputAudio):
            self._set_part(entry, content_index, transcript=UNSET)

    def _set_part(self, entry: Entry, content_index: int, **changes: Any) -> None:
        assert isinstance(entry.item, Message)
        content = list(entry.item.content)
        content[content_index] = replace(content[content_index], **changes)  # type: ignore[type-var]
        entry.item = replace(entry.item, content=content)

    def set_transcript(self, item_id: str, content_index: int, transcript: str) -> None:
        """Write down what the caller said in an item. No such item or part: nothing happens (it may be deleted)."""
        entry = self._entries.get(item_id)
        item = entry.item if entry is not None else None
        if isinstance(item, Message) and isinstance(_part_at(item, content_index), InputAudio):
            assert entry is not None
            self._set_part(entry, content_index, transcript=transcript)

    # ------------------------------------------------------------------------------------------------------ audio

    def add_audio(self, item_id: str, content_index: int, audio: bytes, *, bytes_per_ms: int = 48) -> None:
        """Count, and if there is room keep, more audio of an item. No such item: nothing happens.

        Args:
            item_id: of the item.
            content_index: of the part.
            audio: in the session's format.
            bytes_per_ms: 48 for 24 kHz PCM, 8 for G.711.
        """
        entry = self._entries.get(item_id)
        if entry is None:
            return
        entry.bytes_per_ms = bytes_per_ms
        entry.audio_bytes[content_index] = entry.audio_bytes.get(content_index, 0) + len(audio)
        if self._audio_bytes_max and content_index not in entry.truncated_ms:
            entry.audio.setdefault(content_index, bytearray()).extend(audio)
            self._audio_bytes += len(audio)
            self._forget_oldest_audio()

    def _forget_oldest_audio(self) -> None:
        for item_id in self._order:
            if self._audio_bytes <= self._audio_bytes_max:
                return
            entry = self._entries[item_id]
            self._audio_bytes -= sum(map(len, entry.audio.values()))
            entry.audio = {}

    def retrieve(self, item_id: str) -> Item:
        """An item with its audio, as far as that is kept.

        Raises:
            ProtocolError: there is no such item.
        """
        entry = self._entries.get(item_id)
        if entry is None:
            raise RETRIEVE_UNKNOWN.error(item_id=item_id)
        item = entry.item
        if not isinstance(item, Message) or not entry.audio:
            return item
        content: list[ContentPart] = [
            replace(part, audio=bytes(entry.audio[index]))
            if index in entry.audio and isinstance(part, InputAudio | OutputAudio)
            else part
            for index, part in enumerate(item.content)
        ]
        return replace(item, content=content)


def _part_at(item: Message, content_index: int) -> ContentPart | None:
    return item.content[content_index] if 0 <= content_index < len(item.content) else None
