"""What the server refuses besides the protocol."""

from __future__ import annotations

from repartee.protocol.faults import INVALID_MODEL, SESSION_EXPIRED
from repartee.protocol.model import to_raw
from repartee.server.faults import TOO_FAST, expired, filled, literal


def _message(fault: object) -> str:
    return str(to_raw(fault.event())["error"]["message"])  # type: ignore[attr-defined]


def test_a_filled_fault_needs_no_more_and_is_no_template() -> None:
    assert _message(filled(TOO_FAST, burst=5, per_s=2.5)).startswith(
        "Too many events: more than 5 at once or 2.5"
    )
    assert '"{param}{"' in _message(filled(INVALID_MODEL, model="{param}{"))
    assert literal("{a}").format() == "{a}"


def test_the_expiry_names_its_limit() -> None:
    assert expired(3600) is SESSION_EXPIRED
    assert _message(expired(1800)) == "Your session hit the maximum duration of 30 minutes."
    assert expired(5).close is not None
    assert _message(expired(5)).endswith("5 seconds.")
