from __future__ import annotations

from repartee.protocol.client_events import ClientEvent
from repartee.protocol.server_events import ServerEvent, UnknownEvent


def test_an_unknown_event_is_of_both_families() -> None:
    event = UnknownEvent({"type": "ping", "event_id": "e"})
    assert isinstance(event, ClientEvent)
    assert isinstance(event, ServerEvent)
    assert (event.type, event.event_id) == ("ping", "e")
    assert UnknownEvent({"type": "ping", "event_id": 4}).event_id is None
