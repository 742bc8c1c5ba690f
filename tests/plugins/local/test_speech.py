from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.chat import FunctionCallOutput, result_text
from repartee.plugins.local.speech import spoken_output, spoken_outputs


def spoken(text: str, is_error: bool = False) -> str:
    return spoken_output(FunctionCallOutput("k", text, is_error))


@pytest.mark.parametrize(
    "output, said",
    [
        ("It is 3 PM.", "It is 3 PM."),
        ("all good", "all good."),
        ("done", "Done."),
        ("", "Done."),
        ("null", "Done."),
        ("true", "Yes."),
        ("42", "42."),
        ("2.50", "2.5."),
        ('"a text"', "A text."),
        ('{"temperature": 20, "condition": "sunny"}', "The temperature is 20 and the condition is sunny."),
        ('{"orderNumber": 7, "is_paid": true}', "The order number is 7 and is paid is true."),
        ('{"table": null}', "There is no table."),
        ('{"guests": ["Tom", "Ann"], "extras": []}', "The guests are Tom and Ann and there are no extras."),
        ("[]", "There are none."),
        ("{}", "There is nothing."),
        ('["a", "b", "c"]', "A, b and c."),
        ("[1,2,3,4,5,6,7,8,9]", "1, 2, 3, 4, 5, 6 and 3 more."),
        ('[{"name": "Tom", "age": 3}, {"name": "Ann", "age": 4}]', "Tom 3 and Ann 4."),
        ("[null, [1, 2], false]", "Nothing, 1 and 2 and no."),
    ],
)
def test_an_output_is_put_into_words(output: str, said: str) -> None:
    assert spoken(output) == said


@pytest.mark.parametrize(
    "output, said",
    [
        (
            "I can't work that out: nothing can be divided by zero.",
            "I can't work that out: nothing can be divided by zero.",
        ),
        ("book_table was not called: missing argument 'day'", "That did not work: missing argument 'day'."),
        ("KeyError", "That did not work: KeyError."),
        ("", "That did not work: I do not know why."),
    ],
)
def test_an_error_says_that_it_is_one(output: str, said: str) -> None:
    assert spoken(output, is_error=True) == said


def test_a_long_text_is_cut() -> None:
    assert len(spoken("word " * 10_000)) <= 601


def test_several_outputs_are_said_in_order_and_once() -> None:
    outputs = [FunctionCallOutput(str(at), text) for at, text in enumerate(["One.", "done", "done"])]
    assert spoken_outputs(outputs) == "One. Done."


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@given(_JSON)
def test_every_result_can_be_spoken(value: object) -> None:
    said = spoken(result_text(value))
    assert said.endswith((".", "!", "?"))
