"""What a scripted server answers."""

from __future__ import annotations

import pytest

from repartee.protocol.items import FunctionCallOutput, InputAudio, InputText, ItemReference, Message
from repartee.protocol.responses import ResponseParams
from repartee.testing import Reply, ScriptError, call_function
from repartee.testing.realtime_replies import FailedReply, Question, ServerReplies, question_of


def asked(text: str, *, is_output: bool = False) -> Question:
    return Question(text, (), ResponseParams(), 1, is_output)


def user(*parts: InputText | InputAudio, item_id: str = "item_1") -> Message:
    return Message(id=item_id, role="user", content=list(parts))


def test_replies_come_in_order_and_run_out() -> None:
    call = call_function("look", "call_1", where="up")
    failure = FailedReply()
    replies = ServerReplies(["One.", Reply("Two.", (call,)), call, failure])
    found = [replies.find(asked("?")) for _ in range(3)]
    assert found == [Reply("One."), Reply("Two.", (call,)), Reply(calls=(call,))]
    assert replies.unused == 1
    assert replies.find(asked("?")) is failure
    with pytest.raises(ScriptError, match="no reply left"):
        replies.find(asked("?"))


def test_replies_may_go_by_what_was_asked() -> None:
    replies = ServerReplies({"hello": "Hi.", "*": "What?"})
    assert [replies.find(asked(text)).text for text in ("hello", "mumble")] == ["Hi.", "What?"]
    with pytest.raises(ScriptError, match="'mumble'"):
        ServerReplies({"hello": "Hi."}).find(asked("mumble"))


def test_replies_may_be_a_rule() -> None:
    replies = ServerReplies(lambda question: question.text.upper())
    assert replies.find(asked("loud")).text == "LOUD"
    with pytest.raises(ScriptError, match="replied 3"):
        ServerReplies(lambda question: 3).find(asked("x"))  # type: ignore[arg-type]


def test_without_a_script_it_says_again_what_was_said() -> None:
    replies = ServerReplies(None)
    assert replies.find(asked("good day")).text == "You said: good day."
    assert replies.find(asked("12", is_output=True)).text == "The answer is 12."
    assert replies.find(asked("")).text == "Hello."


def test_a_question_is_what_was_said_last() -> None:
    spoken = user(InputAudio(transcript=None), item_id="item_2")
    items = [user(InputText(text="typed")), spoken]
    assert question_of(items, ResponseParams(), {"item_2": "spoken"}, 3).text == "spoken"
    assert question_of(items[:1], ResponseParams(), {}, 3).text == "typed"
    output = FunctionCallOutput(call_id="call_1", output="12")
    question = question_of([*items, output], ResponseParams(), {}, 3)
    assert (question.text, question.is_output, question.connection) == ("12", True, 3)
    assert question_of([], ResponseParams(), {}, 1).text == ""


def test_a_question_of_its_own_input_sees_only_that() -> None:
    items = [user(InputText(text="first"), item_id="item_1"), user(InputText(text="last"), item_id="item_2")]
    params = ResponseParams(input=[ItemReference(id="item_1")])
    question = question_of(items, params, {}, 1)
    assert (question.text, len(question.items)) == ("first", 1)
