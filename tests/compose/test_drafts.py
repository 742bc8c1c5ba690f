"""Answers that are prepared, and kept unseen."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.compose.drafts import Drafts
from repartee.models import events as ev


class Inner:
    """Remembers what was cancelled."""

    def __init__(self) -> None:
        self.cancelled: list[tuple[str | None, str]] = []

    def cancel_response(self, response_id: str | None = None, *, reason: str = "") -> None:
        self.cancelled.append((response_id, reason))


EVENTS: list[Any] = [
    ev.ResponseCreated("r1", "draft:1"),
    ev.TranscriptDelta("r1", "a1", "Sure."),
    ev.ResponseDone("r1"),
]


@pytest.fixture
def inner() -> Inner:
    return Inner()


@pytest.fixture
def drafts(inner: Inner) -> Drafts:
    drafts = Drafts(inner)  # type: ignore[arg-type]
    drafts.begin("draft:1", "u1")
    return drafts


def test_it_holds_what_belongs_to_a_draft_and_nothing_else(drafts: Drafts) -> None:
    assert not drafts.hold(ev.ResponseCreated("r9", "req"))
    assert all(drafts.hold(event) for event in EVENTS)
    assert not drafts.hold(ev.TranscriptDelta("r9", "a9", "x"))
    assert not drafts.hold(ev.ItemDeleted("u0"))
    # When the work was done is no secret.
    assert not drafts.hold(ev.StageReached("r1", "first_token", 1.0))


def test_it_tells_what_it_held_in_order_and_then_holds_nothing(drafts: Drafts) -> None:
    for event in EVENTS[:2]:
        drafts.hold(event)
    told: list[ev.RealtimeEvent] = []

    def tell(event: ev.RealtimeEvent) -> None:
        if not told:
            drafts.hold(EVENTS[2])  # what comes meanwhile queues behind
        told.append(event)

    drafts.release("draft:1", tell)
    assert told == EVENTS
    assert not drafts.hold(ev.TranscriptDelta("r1", "a1", "x"))


def test_it_is_usable_while_nothing_was_said_since(drafts: Drafts) -> None:
    assert not drafts.usable("draft:1", "u1")  # it has not begun
    drafts.hold(EVENTS[0])
    assert drafts.usable("draft:1", "u1")
    assert not drafts.usable("draft:1", "a0")
    assert not drafts.usable("draft:1", None)
    assert not drafts.usable("draft:2", "u1")


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_one_that_failed_is_not_usable(drafts: Drafts, status: Any) -> None:
    drafts.hold(EVENTS[0])
    drafts.hold(ev.ResponseDone("r1", status))
    assert not drafts.usable("draft:1", "u1")


def test_discarding_cancels_it_and_hides_its_end(drafts: Drafts, inner: Inner) -> None:
    drafts.hold(EVENTS[0])
    drafts.discard("draft:1", "the words changed")
    assert inner.cancelled == [("r1", "the words changed")]
    assert drafts.hold(EVENTS[1])
    assert drafts.hold(ev.ResponseDone("r1", "cancelled"))
    assert not drafts.hold(ev.TranscriptDelta("r1", "a1", "x"))  # nothing is remembered of it
    drafts.discard("draft:1", "again")
    assert len(inner.cancelled) == 1


def test_discarding_one_that_has_ended_remembers_nothing(drafts: Drafts, inner: Inner) -> None:
    for event in EVENTS:
        drafts.hold(event)
    drafts.discard("draft:1", "the words changed")
    assert inner.cancelled == [("r1", "the words changed")]
    assert not drafts.hold(ev.TranscriptDelta("r1", "a1", "x"))


def test_discarding_one_that_has_not_begun_cancels_it_once_it_does(drafts: Drafts, inner: Inner) -> None:
    drafts.discard("draft:1", "the words changed")
    assert inner.cancelled == []
    assert drafts.hold(EVENTS[0])
    assert inner.cancelled == [("r1", "the words changed")]
    assert drafts.hold(ev.ResponseDone("r1", "cancelled"))
    assert not drafts.hold(ev.ResponseCreated("r2", "draft:1"))
