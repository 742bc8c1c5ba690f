"""Keeps the model's conversation the same as the client's.

Theory of operation. The protocol's `Connection` holds the conversation that the client sees; the model has one of its
own. Ids are the same in both. What the client changes is passed on; what a response or the caller's speech brings
comes from the model itself. `items` mirrors what the model has, by its events.

The two differ for a moment where a committed turn's last words are still awaited: it is in the client's conversation,
but not yet in the model's, and if nothing was said it never will be. Whatever refers to a place or an item then waits
until that is settled. And they differ for good where the conversation has outgrown the context: the oldest items are
taken out of the model's only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from repartee.chat import ChatContext, FunctionCall, FunctionCallOutput, Item, Message, new_id
from repartee.errors import ReparteeError
from repartee.models import RealtimeSession
from repartee.models import events as inner_events
from repartee.models.history import apply_event
from repartee.models.wire import item_of
from repartee.protocol import events as ev
from repartee.protocol import items as wire
from repartee.protocol.conversation import Conversation
from repartee.protocol.items import id_of
from repartee.protocol.limits import CALL_ID_CHARS

__all__ = ["InnerConversation"]

NOTHING_SAID: Final = frozenset({"no words", "no audio", "refused"})
"""Why a committed turn doesn't become an item of the model's."""
LONG_CALLS_MAX: Final = 1024
SPEEDS_MAX: Final = 256
LOST_MAX: Final = 64


class InnerConversation:
    """The model's conversation, as the server sees it.

    Args:
        conversation: the client's.
        keeps_turns: whether what the caller says stays in the model's conversation. (Where nothing is ever answered,
            it needn't.)
        hears: has the model hear an item that the client created, if it has sound; says whether it has.
        on_nothing_said: called with a committed turn in which nothing was said.
    """

    def __init__(
        self,
        conversation: Conversation,
        *,
        keeps_turns: bool = True,
        hears: Callable[[wire.Item], bool] = lambda item: False,
        on_nothing_said: Callable[[str], None] = lambda item_id: None,
    ) -> None:
        self.items = ChatContext()
        """What the model has."""
        self.changes = 0
        """Counts what the client changed: an answer that was prepared before a change is out of date."""
        self._speeds: dict[str, float] = {}
        self._conversation = conversation
        self._keeps_turns = keeps_turns
        self._hears = hears
        self._on_nothing_said = on_nothing_said
        self._nothing_said = False  # in a turn whose commit has not been told yet
        self._announced: str | None = None  # the turn that was committed, until its item is told
        self._inner: RealtimeSession | None = None
        self._committed: dict[
            str, None
        ] = {}  # not in the model's conversation yet; bounded by final_timeout_s
        self._waiting: deque[Callable[[], None]] = deque()  # bounded as long as those
        self._lost: dict[str, ReparteeError] = {}  # turns whose words are not to be had
        self._cuts: dict[str, tuple[int, str]] = {}  # items cut while they were generated: ms, words
        self._call_ids: dict[str, str] = {}  # long call ids of the model's, by the ones that the client knows

    def use(self, inner: RealtimeSession) -> None:
        """The model's session."""
        self._inner = inner

    @property
    def inner(self) -> RealtimeSession:
        """The model's session."""
        assert self._inner is not None
        return self._inner

    # -- call ids ----------------------------------------------------------------------------------------------

    def wire_call_id(self, call_id: str) -> str:
        """A call's id as the client may know it: no longer than the protocol allows."""
        if len(call_id) <= CALL_ID_CHARS:
            return call_id
        for short, long in self._call_ids.items():
            if long == call_id:
                return short
        if len(self._call_ids) >= LONG_CALLS_MAX:
            del self._call_ids[next(iter(self._call_ids))]
        short = new_id("call")
        self._call_ids[short] = call_id
        return short

    def item_of(self, item: wire.Item) -> Item | None:
        """An item of the client's as the model takes it; ``None``: it has no use for it."""
        made = item_of(item, id_of(item) or new_id("item"))
        if isinstance(made, FunctionCall | FunctionCallOutput) and made.call_id in self._call_ids:
            return replace(made, call_id=self._call_ids[made.call_id])
        return made

    # -- what the client's conversation goes through -----------------------------------------------------------

    def follow(self, event: ev.ServerEvent) -> None:
        """An event that changes the client's conversation, and isn't the model's doing."""
        match event:
            case ev.InputAudioBufferCommitted(item_id=item_id):
                self._announced = item_id
                if self._nothing_said:
                    self._nothing_said = False
                    self._on_nothing_said(item_id)
                elif item_id not in self.items:
                    self._committed[item_id] = None
                elif not self._keeps_turns:
                    self.inner.delete_item(item_id)
            case ev.ConversationItemAdded(item=item):
                if id_of(item) != self._announced and not self._hears(item):
                    self._add(item)
                self._announced = None
            case ev.ConversationItemDeleted(item_id=item_id):
                self.changes += 1
                self._when_settled(item_id, lambda: self._delete(item_id))
            case ev.ConversationItemTruncated(item_id=item_id, audio_end_ms=audio_end_ms):
                self.changes += 1
                self._when_settled(item_id, lambda: self.truncate(item_id, audio_end_ms))
            case _:
                pass

    def in_turn(self, verb: Callable[[], None]) -> None:
        """Do something to the model behind what waits."""
        if self._waiting:
            self._waiting.append(verb)
        else:
            verb()

    def _when_settled(self, item_id: str, verb: Callable[[], None]) -> None:
        if item_id in self._committed or self._waiting:
            self._waiting.append(verb)
        else:
            verb()

    def _add(self, item: wire.Item) -> None:
        made = self.item_of(item)
        if made is None or made.id in self.items:
            return
        self.changes += 1
        ids = self._conversation.ids
        if not self._waiting and (not self._committed or (ids and ids[-1] == made.id)):
            self._insert(made)
        else:
            self._waiting.append(lambda: self._insert(made))

    def _insert(self, item: Item) -> None:
        if item.id in self._conversation:  # not deleted while it waited
            self.inner.create_item(item, previous_item_id=self._place_of(item.id))

    def _place_of(self, item_id: str) -> str | None:
        """What an item stands behind in the model's conversation: ``None`` for the end."""
        ids = self._conversation.ids
        at = ids.index(item_id)
        if not any(later in self.items for later in ids[at + 1 :]):
            return None
        return next((before for before in reversed(ids[:at]) if before in self.items), "root")

    def _delete(self, item_id: str) -> None:
        if item_id in self.items:
            self.inner.delete_item(item_id)

    def heard_as_turn(self, item_id: str) -> None:
        """An item that the client created is heard like the caller's turn."""
        self.changes += 1
        self._committed[item_id] = None

    def plays_at(self, item_id: str, speed: float) -> None:
        """The client hears that item so much faster than the model said it."""
        while len(self._speeds) >= SPEEDS_MAX:
            del self._speeds[next(iter(self._speeds))]
        self._speeds[item_id] = speed

    def truncate(self, item_id: str, audio_end_ms: int) -> None:
        """Cut an item of the assistant's at what was heard, in the client's time."""
        if item_id in self.items:
            self.inner.truncate_item(
                item_id, audio_end_ms=round(audio_end_ms * self._speeds.get(item_id, 1.0))
            )

    def keep_only(self, item_id: str, text: str, audio_ms: float) -> None:
        """Of an item that was cut off, the client was told only this: the model is to know of no more."""
        item = self.items.get(item_id)
        if not isinstance(item, Message) or item.status == "in_progress":
            return
        if len(text.strip()) >= len(item.text.strip()):
            return  # the client has cut it to less already, or knows all of it
        if text.strip():
            self.inner.truncate_item(item_id, audio_end_ms=max(1, round(audio_ms)), text=text.strip())
        else:
            self.inner.delete_item(item_id)

    def was_lost(self, item_id: str) -> bool:
        """Whether the recogniser failed with that turn, so that the model knows nothing of it."""
        return item_id in self._lost and item_id not in self.items

    @property
    def lost(self) -> ReparteeError | None:
        """Why the model does not know what the caller said last, if it doesn't and nothing has been added since."""
        last = self._conversation.ids[-1] if self._conversation.ids else ""
        return self._lost[last] if self.was_lost(last) else None

    def turn_begins(self) -> None:
        """The caller begins to speak."""
        self._nothing_said = False

    # -- what the model's goes through -------------------------------------------------------------------------

    def on_event(self, event: inner_events.RealtimeEvent) -> None:
        """An event of the model's."""
        match event:
            case inner_events.ItemAdded(item=item):
                apply_event(self.items, event)
                if event.response_id is None:
                    self._settled(item.id)
            case inner_events.InputCleared(reason=reason) if reason in NOTHING_SAID:
                item_id = next(iter(self._committed), "")
                if item_id:
                    self._on_nothing_said(item_id)
                    self._settled(item_id)
                else:
                    self._nothing_said = True
            case inner_events.TranscriptFailed(item_id=item_id, error=error):
                while len(self._lost) >= LOST_MAX:
                    del self._lost[next(iter(self._lost))]
                self._lost[item_id] = error
            case inner_events.ItemTruncated(item_id=item_id, audio_end_ms=audio_end_ms, text=text):
                item_before = self.items.get(item_id)
                if isinstance(item_before, Message) and item_before.status == "in_progress":
                    self._cuts[item_id] = (audio_end_ms, text)
                apply_event(self.items, event)
            case inner_events.ItemDone(item=Message() as done) if done.id in self._cuts:
                # It was cut while it was generated; a model without a memory of that has the whole of it now.
                audio_end_ms, text = self._cuts.pop(done.id)
                apply_event(self.items, event)
                if done.text != text:
                    self.inner.truncate_item(done.id, audio_end_ms=audio_end_ms, text=text)
            case inner_events.ItemDone() | inner_events.ItemDeleted() | inner_events.TranscriptCompleted():
                apply_event(self.items, event)
            case _:
                pass

    def _settled(self, item_id: str) -> None:
        if item_id not in self._committed:
            return
        del self._committed[item_id]
        if item_id in self.items and not self._keeps_turns:
            self.inner.delete_item(item_id)
        while self._waiting and not self._committed:
            self._waiting.popleft()()

    def leave_out(self, items: Iterable[Item]) -> None:
        """Take items out of the model's conversation only."""
        for item in items:
            if item.id in self.items:
                self.inner.delete_item(item.id)

    # -- what a response is given ------------------------------------------------------------------------------

    def input_of(self, items: Iterable[wire.Item]) -> tuple[Item, ...]:
        """The items of a response's ``input``: references stand for what the model knows of the item."""
        found: list[Item] = []
        for item in items:
            if isinstance(item, wire.ItemReference):
                known = self.items.get(item.id)
                entry = self._conversation.entry(item.id)
                if known is not None:
                    found.append(known)
                elif entry is not None and (made := self.item_of(entry.item)) is not None:
                    found.append(made)
            elif (made := self.item_of(item)) is not None:
                found.append(made)
        unique = {item.id: item for item in found}
        return tuple(unique.values())
