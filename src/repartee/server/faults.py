"""What a server refuses besides what the protocol itself does, in the protocol's form."""

from __future__ import annotations

import dataclasses
from typing import Final

from repartee.protocol.faults import SESSION_EXPIRED, Close, Fault

__all__ = [
    "BINARY_FRAME",
    "HANDSHAKE_TIMEOUT",
    "IDLE",
    "NO_TRANSLATION",
    "SERVER_FULL",
    "SHUTDOWN",
    "TOO_FAST",
    "expired",
    "filled",
    "literal",
]

BINARY_FRAME: Final = Fault(
    "invalid_event", "A binary frame is no event; send each event as JSON in a text frame."
)
TOO_FAST: Final = Fault(
    "rate_limit_exceeded",
    "Too many events: more than {burst} at once or {per_s:g} a second.",
    close=Close(1008, "Too many events."),
)
IDLE: Final = Fault(
    "session_idle",
    "Neither side has said anything for {idle_s:g} seconds.",
    close=Close(1001, "The session was idle."),
)
SERVER_FULL: Final = Fault(
    "server_full",
    "All sessions of this server are taken; try again later.",
    type="server_error",
    close=Close(1013, "The server is full."),
)
HANDSHAKE_TIMEOUT: Final = Fault(
    "handshake_timeout",
    "The model was not ready within {handshake_s:g} seconds; try again.",
    type="server_error",
    close=Close(1013, "The model was not ready in time."),
)
SHUTDOWN: Final = Fault(
    "server_shutdown",
    "The server is restarting; connect again.",
    type="server_error",
    close=Close(1012, "The server is restarting."),
)
NO_TRANSLATION: Final = Fault(
    "invalid_model",
    'Model "{model}" does not translate; open a session at /v1/realtime.',
    close=Close(4000, "invalid_request_error.invalid_model"),
)


def expired(session_s: float) -> Fault:
    """That a session lasted as long as it may."""
    if session_s == 3600:
        return SESSION_EXPIRED
    limit = f"{session_s / 60:g} minutes" if session_s >= 60 else f"{session_s:g} seconds"
    message = f"Your session hit the maximum duration of {limit}."
    return dataclasses.replace(SESSION_EXPIRED, message=message, close=Close(1001, message))


def filled(fault: Fault, **fields: object) -> Fault:
    """A fault whose message names these things, for who can't name them later."""
    message = fault.message.format(param=fault.param, **fields)
    return dataclasses.replace(fault, message=literal(message))


def literal(text: str) -> str:
    """A text as a fault's message which names no fields, whatever is in it."""
    return text.replace("{", "{{").replace("}", "}}")
