"""The responses of a conversation that several realtime models share: asked for, begun, ended, or asked for anew.

They keep the ids under which the consumer knows them, whoever answers; see `repartee.compose.fallback_realtime`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from repartee.chat import ChatContext, FunctionCall, Message, TextContent
from repartee.errors import ModelError, ReparteeError
from repartee.models import ResponseOptions, Sink
from repartee.models import events as ev

__all__ = ["Response", "Responses"]


@dataclass(slots=True, eq=False)
class Response:
    """One that was asked for, or that a model began by itself."""

    options: ResponseOptions
    id: str | None = None
    """As the consumer knows it; ``None`` until it was created."""
    inner_id: str | None = None
    """As the model in use knows it; ``None`` until that has created it."""
    begun: bool = False
    """Whether something of it was heard or read: from then on it can't be another model's."""
    called: bool = False
    """Whether it asked for a function."""
    items: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    deadline: asyncio.TimerHandle | None = None

    def disarm(self) -> None:
        """Its deadline no longer matters."""
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def begin(self) -> None:
        """Something of it came."""
        if not self.begun:
            self.begun = True
            self.disarm()

    def follow(self, event: ev.RealtimeEvent) -> None:
        """Keep up with what the model says of it."""
        match event:
            case ev.ItemAdded(item=item):
                self.items.append(item.id)
            case ev.TranscriptDelta(item_id=item_id, delta=delta):
                self.begin()
                self.texts[item_id] = self.texts.get(item_id, "") + delta
            case ev.AudioDelta() | ev.CallArgumentsDelta():
                self.begin()
            case ev.OutputItemDone(item=item):
                self.begin()
                self.called |= isinstance(item, FunctionCall)
            case _:
                pass


class Responses:
    """Those that have not ended, in the order in which they were asked for.

    Args:
        emit: tells the consumer.
        history: the conversation; items that are taken back leave it.
        deadline_s: how long one may take to begin. ``None``: as long as it likes.
        on_late: called with one that took longer.
    """

    def __init__(
        self,
        emit: Sink,
        history: ChatContext,
        *,
        deadline_s: float | None,
        on_late: Callable[[Response], None],
    ) -> None:
        self._emit = emit
        self._history = history
        self._deadline_s = deadline_s
        self._on_late = on_late
        self._open: list[Response] = []  # bounded by what the consumer asks for at a time

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Response]:
        return iter(tuple(self._open))

    def __contains__(self, response: object) -> bool:
        return response in self._open

    def of_inner(self, inner_id: str | None) -> Response | None:
        """The one that the model in use knows by that id."""
        if inner_id is None:
            return None
        return next((each for each in self._open if each.inner_id == inner_id), None)

    def ask(self, options: ResponseOptions) -> Response:
        """One more is wanted."""
        response = Response(options)
        self._open.append(response)
        return response

    def created(self, event: ev.ResponseCreated) -> None:
        """The model in use has one, asked for or by itself; the consumer is told, unless it was before."""
        waiting = (each for each in self._open if each.inner_id is None)
        response = next((each for each in waiting if each.options.request_id == event.request_id), None)
        if response is None:
            response = self.ask(ResponseOptions(metadata=event.metadata))
            self.arm(response)
        response.inner_id = event.response_id
        if response.id is None:
            response.id = event.response_id
            self._emit(event)

    def arm(self, response: Response) -> None:
        """Its time to begin runs from now."""
        response.disarm()
        if self._deadline_s is not None:
            loop = asyncio.get_running_loop()
            response.deadline = loop.call_later(self._deadline_s, self._late, response)

    def _late(self, response: Response) -> None:
        response.deadline = None
        if response in self._open:
            self._on_late(response)

    def remove(self, response: Response) -> None:
        """It ended as its model said."""
        self._open.remove(response)
        response.disarm()

    def end(
        self,
        response: Response,
        status: ev.ResponseStatus,
        reason: str,
        error: ReparteeError | None = None,
    ) -> None:
        """End it ourselves, as its model would have."""
        self.remove(response)
        if response.id is None:
            response.id = response.options.request_id
            self._emit(
                ev.ResponseCreated(response.id, response.options.request_id, response.options.metadata)
            )
        for item_id in response.items:
            item = self._history.get(item_id)
            if isinstance(item, Message) and item.status == "in_progress":
                content = item.content or (TextContent(""),)
                said = replace(item, content=content).with_text(response.texts.get(item_id, ""))
                said = replace(said, status="incomplete")
                self._history.replace(said)
                self._emit(ev.ItemDone(said, response.id))
                self._emit(ev.OutputItemDone(response.id, said))
        self._emit(ev.ResponseDone(response.id, status, reason, error))

    def lose_model(self, error: ModelError) -> None:
        """The model in use failed: end what was in its middle, take back what was announced and never filled.

        What was said stands. It is asked for anew if that does no harm: not where functions were called, which have
        run, and not where the words were given.
        """
        for response in self:
            response.disarm()
            if not response.begun:
                self._take_back(response)
                continue
            self.end(response, "failed", "provider_failed", error)
            if not response.called and not response.options.say:
                self.ask(replace(response.options, request_id=ResponseOptions().request_id))

    def _take_back(self, response: Response) -> None:
        for item_id in response.items:
            if item_id in self._history:
                self._history.delete(item_id)
                self._emit(ev.ItemDeleted(item_id))
        response.items.clear()
