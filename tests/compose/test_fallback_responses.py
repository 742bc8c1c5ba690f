"""What becomes of a response when the model that gives it is replaced."""

from __future__ import annotations

from repartee.chat import ChatContext, FunctionCall, Message
from repartee.compose.fallback_responses import Response, Responses
from repartee.errors import ModelError
from repartee.models import ResponseOptions
from repartee.models import events as ev
from repartee.testing import elapse, virtual_time

ERROR = ModelError("gone", stage="realtime")


class Told:
    """Responses, and what their consumer was told."""

    def __init__(self, deadline_s: float | None = None) -> None:
        self.events: list[ev.RealtimeEvent] = []
        self.late: list[Response] = []
        self.history = ChatContext()
        self.responses = Responses(
            self.events.append, self.history, deadline_s=deadline_s, on_late=self.late.append
        )

    def begun(self, words: str, **options: str) -> Response:
        """One that has said something."""
        response = self.responses.ask(ResponseOptions(**options))  # type: ignore[arg-type]
        self.responses.created(ev.ResponseCreated("inner", response.options.request_id))
        item = Message("assistant", (), id="item_1", status="in_progress")
        self.history.insert(item)
        response.follow(ev.ItemAdded(item, None))
        response.follow(ev.TranscriptDelta("inner", "item_1", words))
        return response


def test_one_that_had_begun_ends_with_what_was_said_and_is_asked_for_anew() -> None:
    told = Told()
    response = told.begun("Once upon")
    told.responses.lose_model(ERROR)
    assert [type(event).__name__ for event in told.events] == [
        "ResponseCreated",
        "ItemDone",
        "OutputItemDone",
        "ResponseDone",
    ]
    [said] = told.history.messages
    assert (said.text, said.status) == ("Once upon", "incomplete")
    [again] = told.responses
    assert again.options.request_id != response.options.request_id
    assert (again.begun, again.id) == (False, None)


def test_one_that_called_a_function_or_whose_words_were_given_is_not_asked_for_again() -> None:
    told = Told()
    response = told.begun("Let me see.")
    response.follow(ev.OutputItemDone("inner", FunctionCall("look", "{}", call_id="call_1")))
    told.responses.lose_model(ERROR)
    assert len(told.responses) == 0
    told = Told()
    told.begun("Good mor", say="Good morning.")
    told.responses.lose_model(ERROR)
    assert len(told.responses) == 0


def test_what_was_announced_and_never_filled_is_taken_back_and_the_id_stays() -> None:
    told = Told()
    response = told.responses.ask(ResponseOptions())
    told.responses.created(ev.ResponseCreated("one", response.options.request_id))
    item = Message("assistant", (), id="item_1", status="in_progress")
    told.history.insert(item)
    response.follow(ev.ItemAdded(item, None))
    told.responses.lose_model(ERROR)
    assert told.events[-1] == ev.ItemDeleted("item_1")
    assert (response.items, len(told.history)) == ([], 0)
    response.inner_id = None
    told.responses.created(ev.ResponseCreated("two", response.options.request_id))
    assert told.responses.of_inner("two") is response
    assert response.id == "one"
    assert sum(isinstance(event, ev.ResponseCreated) for event in told.events) == 1


@virtual_time
async def test_a_deadline_is_until_it_begins() -> None:
    told = Told(deadline_s=2.0)
    one, other, ended = (told.responses.ask(ResponseOptions()) for _ in range(3))
    for response in (one, other, ended):
        told.responses.arm(response)
    one.follow(ev.TranscriptDelta("inner", "item_1", "Hi"))
    told.responses.end(ended, "cancelled", "client_cancelled")
    await elapse(5)
    assert told.late == [other]
    assert one in told.responses
    assert ended not in told.responses


def test_one_of_the_models_own_is_kept_too() -> None:
    told = Told()
    told.responses.created(ev.ResponseCreated("inner", None, {"a": "b"}))
    [response] = told.responses
    assert response.options.metadata == {"a": "b"}
    assert told.responses.of_inner(None) is None
    told.responses.remove(response)
    assert len(told.responses) == 0
