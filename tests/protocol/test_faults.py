from __future__ import annotations

import pytest

from repartee.errors import ProtocolError
from repartee.protocol import faults
from repartee.protocol.faults import CANCEL_NOT_ACTIVE, INVALID_API_KEY, SESSION_EXPIRED, Fault, error_event


def test_a_fault_says_what_and_where() -> None:
    error = faults.INVALID_VALUE.error(param="session.x", detail="it is odd")
    assert (str(error), error.code, error.param) == (
        "Invalid value for 'session.x': it is odd.",
        "invalid_value",
        "session.x",
    )
    with pytest.raises(KeyError):
        faults.DUPLICATE_ITEM.error()


def test_an_event_names_the_client_event_at_fault() -> None:
    made = error_event(CANCEL_NOT_ACTIVE.error(), "mine").error
    assert (made.code, made.event_id, made.param) == ("response_cancel_not_active", "mine", None)
    known = ProtocolError("x", code="c", event_id="its own")
    assert error_event(known).error.event_id == "its own"
    assert CANCEL_NOT_ACTIVE.event().error.event_id is None


def test_only_fatal_faults_close_the_connection() -> None:
    closing = {f.code: f.close.code for f in vars(faults).values() if isinstance(f, Fault) and f.close}
    assert closing == {
        "session_expired": 1001,
        "invalid_api_key": 3000,
        "invalid_model": 4000,
        "beta_api_shape_disabled": 4000,
    }
    assert INVALID_API_KEY.close is not None
    assert INVALID_API_KEY.close.reason == "invalid_request_error.invalid_api_key"
    assert all(len(f.close.reason) <= 123 for f in (SESSION_EXPIRED, INVALID_API_KEY) if f.close)
