"""The session that a client begins with: our defaults, and what its client secret or its call has bound to it.

A configuration is judged by the protocol itself: as a ``session.update`` to a session that nobody sees.
"""

from __future__ import annotations

from typing import Any

from repartee.errors import ProtocolError
from repartee.protocol import events as ev
from repartee.protocol.beta import BetaDialect
from repartee.protocol.codec import event_from_raw
from repartee.protocol.config import SessionConfig
from repartee.protocol.connection import SERVER, Connection
from repartee.protocol.model import replace, to_raw
from repartee.protocol.sessions import SessionKind, default_session
from repartee.server.ids import random_id
from repartee.server.policy import Policy
from repartee.server.replies import ErrorReply
from repartee.server.served import Served

__all__ = ["begin_session", "bound_session", "kind_named", "session_to_raw"]


def begin_session(
    served: Served,
    kind: SessionKind,
    *,
    model: str,
    expires_at: int,
    bound: SessionConfig | None = None,
) -> SessionConfig:
    """The session as it begins.

    Args:
        served: what it converses with.
        kind: which of the three.
        model: the name that the client uses; ``""``: that of `served`.
        expires_at: in seconds of Unix time.
        bound: what a client secret has bound. Default: nothing.
    """
    if bound is not None:
        changes: dict[str, Any] = {"id": random_id("sess"), "expires_at": expires_at}
        if model and hasattr(bound, "model"):
            changes["model"] = model
        return replace(bound, **changes)  # type: ignore[type-var]
    voices = served.voices or served.model.capabilities.voices
    more: dict[str, Any] = {"voice": voices[0]} if voices else {}
    if served.instructions:
        more["instructions"] = served.instructions
    return default_session(
        kind, id=random_id("sess"), model=model or served.name, expires_at=expires_at, **more
    )


def bound_session(raw: Any, default: SessionConfig, policy: Policy | None = None) -> SessionConfig:
    """The whole session that a configuration makes of a default one.

    Args:
        raw: decoded JSON, as in ``session.update``.
        default: the session without it.
        policy: what clients may ask for. Default: everything.

    Raises:
        ErrorReply: 400, the configuration is wrong, or not allowed; names the field.
    """
    try:
        update = event_from_raw({"type": "session.update", "session": raw}, ev.ClientEvent)
        if policy is not None:
            policy.check(update, default)
    except ProtocolError as error:
        raise ErrorReply(400, error.code, str(error), param=error.param) from None
    connection = Connection(SERVER, session=default)
    connection.server.start()
    for made in connection.receive(update):
        if isinstance(made, ev.Error):
            told = made.error
            raise ErrorReply(400, str(told.code), str(told.message), param=told.param or None)
        if isinstance(made, ev.SessionUpdated):
            return made.session
    return default


def kind_named(raw: Any, default: SessionKind = "realtime") -> SessionKind:
    """The kind that a configuration says it is.

    Raises:
        ErrorReply: 400, there is no such kind.
    """
    named = raw.get("type", default) if isinstance(raw, dict) else default
    if named not in ("realtime", "transcription", "translation"):
        raise ErrorReply(
            400,
            "invalid_value",
            f"Invalid value: {named!r}. Supported values are: 'realtime', 'transcription' and 'translation'.",
            param="session.type",
        )
    return named


def session_to_raw(session: SessionConfig, *, beta: bool = False) -> dict[str, Any]:
    """A session as JSON.

    Args:
        session: whole.
        beta: whether in the beta's flat form.
    """
    raw: dict[str, Any] = to_raw(session)
    if beta:
        transcription = raw.get("type") == "transcription"
        [event] = BetaDialect(transcription=transcription).to_beta(
            {"type": "session.updated", "session": raw}
        )
        raw = event["session"]
    return raw
