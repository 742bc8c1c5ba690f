"""What another realtime model needs to be told again, and how what it says reads to who held the first."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from repartee.audio import AudioFrame, Resampler
from repartee.chat import ImageContent, Item, Message
from repartee.models import RealtimeSession
from repartee.models.events import AudioDelta, RealtimeEvent

__all__ = ["InputAudio", "Line", "Rates", "Turn", "is_empty"]

OPEN_MAX_S = 60.0
"""Of the open turn's audio; the oldest is dropped."""
LEAD_S = 1.0
"""Kept of audio in which nobody speaks, so that no onset is lost."""
TURNS_MAX = 4
"""Committed turns whose words are not known yet; the oldest is dropped."""


@dataclass(slots=True)
class Turn:
    """A committed turn's audio, until its words are known or it is answered."""

    item_id: str
    """``""`` until it is known."""
    frames: tuple[AudioFrame, ...]


@dataclass(slots=True)
class InputAudio:
    """The user's audio that no words have replaced yet."""

    frames: deque[AudioFrame] = field(default_factory=deque)  # bounded by OPEN_MAX_S
    """Of the open turn."""
    item_id: str | None = None
    """Which item the open turn is to become, where that was said."""
    speaking: bool = False
    """Whether the model says that the user speaks."""
    turns: list[Turn] = field(default_factory=list)
    _duration_s: float = 0.0
    _continuous: bool = False

    def busy(self) -> bool:
        """Whether a turn is open, or one's words are still awaited."""
        return self.speaking or bool(self.turns) or (bool(self.frames) and not self._continuous)

    def append(self, frame: AudioFrame, *, keep_all: bool) -> None:
        """Audio of the open turn.

        Args:
            frame: the next.
            keep_all: whether only what belongs to a turn comes; else silence comes too, of which little is kept.
        """
        self._continuous = not keep_all
        self.frames.append(frame)
        self._duration_s += frame.duration_s
        limit_s = OPEN_MAX_S if keep_all or self.speaking else LEAD_S
        while self._duration_s > limit_s and len(self.frames) > 1:
            self._duration_s -= self.frames.popleft().duration_s

    def commit(self, item_id: str | None) -> None:
        """The open turn is closed."""
        if self.frames:
            self.turns.append(Turn(item_id or self.item_id or "", tuple(self.frames)))
            del self.turns[:-TURNS_MAX]
        self.clear()

    def committed(self, item_id: str) -> None:
        """A model says that a turn is closed: one that it was told to, or that it closed by itself."""
        for turn in self.turns:
            if turn.item_id in ("", item_id):
                turn.item_id = item_id
                return
        if self._continuous:
            self.commit(item_id)

    def clear(self) -> None:
        """The open turn is dropped."""
        self.frames.clear()
        self.item_id = None
        self._duration_s = 0.0

    def forget(self, item_id: str) -> None:
        """A turn's words are known, or can't be."""
        self.turns = [turn for turn in self.turns if turn.item_id != item_id]

    def answered(self) -> None:
        """The model has answered what it heard."""
        self.turns.clear()


class Rates:
    """Between the rates that the consumer has and those of one model.

    Args:
        in_rates: the consumer's and the model's, of the user's audio.
        out_rates: the model's and the consumer's, of the agent's audio.
    """

    def __init__(self, in_rates: tuple[int, int], out_rates: tuple[int, int]) -> None:
        self._input = Resampler(*in_rates)
        self._out_rates = out_rates
        self._output: Resampler | None = None
        self._item_id = ""
        self._position = 0

    def input(self, frame: AudioFrame) -> AudioFrame:
        """The user's audio for the model."""
        if frame.sample_rate != self._input.source_rate:
            return frame  # the consumer does not keep to the rate that was agreed; the model will say so
        return self._input.push(frame)

    def output(self, item_id: str, frame: AudioFrame) -> AudioFrame:
        """The agent's audio of an item for the consumer."""
        if self._out_rates[0] == self._out_rates[1]:
            return frame
        if self._output is None or item_id != self._item_id:
            self._output, self._item_id, self._position = Resampler(*self._out_rates), item_id, 0
        audio = self._output.push(frame).at(self._position)
        self._position = audio.end_samples
        return audio


@dataclass(slots=True, eq=False)
class Line:
    """A session with one of several models, and how its events read to the consumer."""

    index: int
    """Which model's."""
    rates: Rates
    session: RealtimeSession | None = None
    told: set[str] = field(default_factory=set)
    """Items that it was told of; its own events about them are not news."""
    item_ids: dict[str, str] = field(default_factory=dict)
    """Its id of a turn that was heard before → the consumer's."""
    recommitted: deque[str] = field(default_factory=deque)  # bounded by TURNS_MAX
    """Turns it was given to hear again, whose commit it has not told yet."""

    def own_id(self, item_id: str) -> str:
        """Its id of an item that the consumer names."""
        return next((own for own, known in self.item_ids.items() if known == item_id), item_id)

    def translate(self, event: RealtimeEvent, response_id: str | None) -> RealtimeEvent:
        """An event in the consumer's ids and rate.

        Args:
            event: of this session.
            response_id: the consumer's, of the response that it belongs to, if to any.
        """
        changes: dict[str, Any] = {}
        if response_id is not None and response_id != getattr(event, "response_id", None):
            changes["response_id"] = response_id
        if self.item_ids:
            for name in ("item_id", "previous_item_id"):
                if (known := self.item_ids.get(getattr(event, name, None) or "")) is not None:
                    changes[name] = known
            item = getattr(event, "item", None)
            if item is not None and item.id in self.item_ids:
                changes["item"] = replace(item, id=self.item_ids[item.id])
        if isinstance(event, AudioDelta):
            changes["audio"] = self.rates.output(event.item_id, event.audio)
        return replace(event, **changes) if changes else event


def is_empty(item: Item) -> bool:
    """Whether there is nothing in it that a model could read."""
    if not isinstance(item, Message) or not (item.status == "in_progress" or item.is_audio):
        return False
    return not item.text and not any(isinstance(part, ImageContent) for part in item.content)
