"""What goes wrong with a `ScriptedRealtimeServer`'s connections, and when.

Events are counted as they are sent. With ``on`` only those of one type count, a server event as it is sent or a client
event as it arrives::

    ScriptedRealtimeServer(faults=[drop(after=7), drop(on="response.create", connection=2), lag(0.05)])
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["WireFault", "WireFaultPlan", "drop", "freeze", "lag", "refuse"]


@dataclass(frozen=True, slots=True)
class WireFault:
    """One thing that goes wrong. Made by `drop`, `freeze`, `lag` and `refuse`."""

    kind: Literal["drop", "freeze", "lag", "refuse"]
    after: int = 0
    on: str | None = None
    connection: int | None = None
    delay_s: float = 0.0
    status: int = 0


def drop(*, after: int = 1, on: str | None = None, connection: int | None = 1) -> WireFault:
    """Break the connection, without a close frame.

    Args:
        after: how many events before it. Default: 1, right behind the first.
        on: the type of event that counts. Default: any that the server sends.
        connection: which, from 1. ``None``: every one. Default: the first.
    """
    return WireFault("drop", after, on, connection)


def freeze(*, after: int = 1, on: str | None = None, connection: int | None = 1) -> WireFault:
    """Say and read nothing any more, and keep the socket: a half-open connection (arguments as in `drop`)."""
    return WireFault("freeze", after, on, connection)


def lag(delay_s: float, *, after: int = 0, on: str | None = None, connection: int | None = None) -> WireFault:
    """Take ``delay_s`` longer for each event from then on (arguments as in `drop`). Default: all of them."""
    return WireFault("lag", after, on, connection, delay_s=delay_s)


def refuse(status: int = 503, *, connection: int | None = 1) -> WireFault:
    """Answer the handshake with an HTTP error.

    Args:
        status: of the answer. Default: 503.
        connection: which, from 1. ``None``: every one. Default: the first.
    """
    return WireFault("refuse", connection=connection, status=status)


class WireFaultPlan:
    """The faults of one connection.

    Args:
        faults: of all connections.
        connection: which this is, from 1.
    """

    def __init__(self, faults: Sequence[WireFault], connection: int) -> None:
        self._faults = [fault for fault in faults if fault.connection in (None, connection)]
        self._counts: Counter[str] = Counter()
        self._sent = 0

    @property
    def refusal(self) -> int | None:
        """The HTTP status with which the handshake is refused; ``None``: it isn't."""
        return next((fault.status for fault in self._faults if fault.kind == "refuse"), None)

    @property
    def delay_s(self) -> float:
        """How much longer the next event takes."""
        return sum(fault.delay_s for fault in self._faults if fault.kind == "lag" and self._is_over(fault))

    def count(self, event_type: str, *, sent: bool) -> Literal["drop", "freeze"] | None:
        """An event was sent or has arrived: what is due now, if anything."""
        self._counts[event_type] += 1
        self._sent += sent
        for fault in self._faults:
            counts = fault.on == event_type or (fault.on is None and sent)
            if fault.kind in ("drop", "freeze") and counts and self._seen(fault) == fault.after:
                return "drop" if fault.kind == "drop" else "freeze"
        return None

    def _seen(self, fault: WireFault) -> int:
        return self._sent if fault.on is None else self._counts[fault.on]

    def _is_over(self, fault: WireFault) -> bool:
        return self._seen(fault) >= fault.after
