"""The calls that run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from repartee.server.endpoints.calls import Call, Calls
from repartee.server.options import ServerOptions
from repartee.server.replies import ErrorReply


class _Media:
    def __init__(self, calls: Calls, call_id: str) -> None:
        self.calls, self.id = calls, call_id
        self.reasons: list[str] = []

    async def hangup(self, reason: str = "hung up") -> None:
        self.reasons.append(reason)
        self.calls.ended(self)


class _Sideband:
    closed: tuple[int, str] | None = None

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


class _Running:
    owner = "a"


def _call(calls: Calls, call_id: str) -> Call:
    running: Any = _Running()
    call = Call(_Media(calls, call_id), running)
    calls.add(call)
    return call


def test_they_are_bounded_while_they_are_set_up_too() -> None:
    calls = Calls(ServerOptions(calls=2))
    _call(calls, "rtc_1")
    with calls.opening():
        assert len(calls) == 2
        with pytest.raises(ErrorReply, match="2 calls") as refusal, calls.opening():
            pass
        assert (refusal.value.status, refusal.value.headers["Retry-After"]) == (503, "5")
    assert len(calls) == 1


def test_only_the_key_that_made_a_call_finds_it() -> None:
    calls = Calls(ServerOptions())
    call = _call(calls, "rtc_1")
    assert calls.find("rtc_1", "a") is call
    assert calls.find("rtc_1", "b") is None
    assert calls.find("rtc_2", "a") is None


def test_sidebands_are_closed_with_their_call() -> None:
    calls = Calls(ServerOptions())
    call, sideband = _call(calls, "rtc_1"), _Sideband()
    call.sidebands.add(sideband)
    asyncio.run(calls.aclose())
    assert sideband.closed == (1000, "The call is over.")
    assert len(calls) == 0
    calls.ended(call.media)
