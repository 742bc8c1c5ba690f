"""Where a server's events come from: each is given its id, and taken into the state as it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from repartee.errors import LocalProtocolError, ProtocolError
from repartee.protocol.flow import Flow
from repartee.protocol.items import FunctionCall, InputAudio, Item, Message, OutputAudio
from repartee.protocol.model import UNSET, Model, replace
from repartee.protocol.server_events import DtmfEventReceived, ServerEvent

__all__ = ["NewId", "Outlet", "counted_ids", "normalised"]

NewId = Callable[[str], str]
"""Makes an id for a prefix (``event``, ``item``, ``resp``, ``call``, ``conv``, ``sess``), at most 32 characters."""


def counted_ids(mark: str = "0") -> NewId:
    """Ids that count, ``item_000000000000000000001``, …: as long as the service's, and the same in every run.

    Args:
        mark: their first character, so that the two ends of a connection make different ones.
    """
    counts: dict[str, int] = {}

    def new_id(prefix: str) -> str:
        counts[prefix] = counts.get(prefix, 0) + 1
        return f"{prefix}_{mark}{counts[prefix]:020d}"

    return new_id


class Outlet:
    """What the parts of a server's connection send through.

    Args:
        flow: what the connection is in the middle of.
        new_id: makes ids.
    """

    def __init__(self, flow: Flow, new_id: NewId) -> None:
        self.flow = flow
        self.new_id = new_id
        self.conversation_id = new_id("conv")

    def emit(self, *events: Any) -> list[ServerEvent]:
        """Make events the next ones of this connection.

        Returns:
            The same events, each with an ``event_id`` (the types give none to a key that was pressed), to be written in
            this order.

        Raises:
            LocalProtocolError: one is out of order. It was not taken in, nor were those behind it.
        """
        made: list[ServerEvent] = []
        for event in events:
            named = getattr(event, "event_id", UNSET) not in (UNSET, None)
            if isinstance(event, Model) and not named and not isinstance(event, DtmfEventReceived):
                event = replace(event, event_id=self.new_id("event"))
            try:
                self.flow.observe(event)
            except ProtocolError as error:
                raise LocalProtocolError(str(error), code=error.code, param=error.param) from None
            made.append(event)
        return made


def normalised(item: Item, item_id: str) -> Item:
    """An item of a client's as the server tells it: with an id and a status, without audio and without nulls.

    The one null that stays is the ``transcript`` of a user's audio: clients need it.
    """
    model: Any = item
    if not isinstance(model, Model):
        return item
    changes: dict[str, Any] = {
        name: UNSET for name in model.__struct_fields__ if getattr(model, name) is None
    }
    changes["id"] = item_id
    if isinstance(item, Message | FunctionCall):
        changes["status"] = "completed"
    if isinstance(item, Message):
        changes["content"] = [_normalised_part(part) for part in item.content]
    made: Any = replace(model, **changes)
    return made  # type: ignore[no-any-return]


def _normalised_part(part: Any) -> Any:
    if not isinstance(part, Model):
        return part
    changes = {name: UNSET for name in part.__struct_fields__ if getattr(part, name) is None}
    if isinstance(part, InputAudio | OutputAudio):
        changes["audio"] = UNSET
    made = replace(part, **changes)
    if isinstance(made, InputAudio) and made.transcript is UNSET:
        made = replace(made, transcript=None)
    return made
