"""Answers that are prepared in the silence."""

from __future__ import annotations

from typing import Any

from repartee.models import ResponseOptions
from repartee.models.events import ResponseCreated, ResponseDone
from repartee.server.hearing.prepared import UNWANTED_MAX, PreparedAnswers


class Inner:
    """Writes down what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[ResponseOptions] = []
        self.cancelled: list[tuple[str | None, str]] = []

    def create_response(self, options: ResponseOptions) -> None:
        self.asked.append(options)

    def cancel_response(self, response_id: str | None = None, *, reason: str = "") -> None:
        self.cancelled.append((response_id, reason))


def prepared() -> tuple[Any, PreparedAnswers]:
    inner: Any = Inner()
    return inner, PreparedAnswers(inner)


def test_one_that_has_begun_can_be_taken_once() -> None:
    inner, answers = prepared()
    answers.begin("draft:1", "item_1", "book a table")
    [options] = inner.asked
    assert options.request_id == "draft:1"
    assert (options.draft.id, options.draft.text) == ("item_1", "book a table")
    answers.on_event(ResponseCreated("resp_1", "draft:1"))
    answers.on_event(ResponseCreated("resp_2", "another"))
    answers.on_event(ResponseCreated("resp_3", None))
    answers.on_event(ResponseDone("resp_1"))
    assert answers.take("draft:1") == "draft:1"
    answers.discard("draft:1", "too late")
    assert answers.take("draft:1") is None
    assert inner.cancelled == []


def test_one_that_is_not_wanted_is_cancelled() -> None:
    inner, answers = prepared()
    answers.begin("draft:1", "item_1", "book")
    answers.on_event(ResponseCreated("resp_1", "draft:1"))
    answers.discard("draft:1", "the words changed")
    assert inner.cancelled == [("resp_1", "the words changed")]


def test_one_that_has_not_begun_is_taken_back_and_cancelled_if_it_begins_all_the_same() -> None:
    inner, answers = prepared()
    answers.begin("draft:1", "item_1", "book")
    assert answers.take("draft:1") is None
    assert inner.cancelled == [("draft:1", "not begun")]
    answers.on_event(ResponseCreated("resp_1", "draft:1"))
    assert inner.cancelled[1:] == [("resp_1", "not begun")]
    for number in range(2 * UNWANTED_MAX):
        answers.begin(f"draft:x{number}", "item_1", "book")
        answers.discard(f"draft:x{number}", "no")
    answers.on_event(ResponseCreated("resp_2", "draft:x0"))  # forgotten
    assert inner.cancelled[-1] == (f"draft:x{2 * UNWANTED_MAX - 1}", "no")
