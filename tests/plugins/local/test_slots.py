from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.plugins.local.slots import (
    evaluate,
    may_start_expression,
    may_start_number,
    read_boolean,
    read_choice,
    read_duration_s,
    read_expression,
    read_number,
    words_of,
)

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = {2: "twenty", 3: "thirty", 4: "forty", 5: "fifty", 6: "sixty", 7: "seventy", 8: "eighty", 9: "ninety"}


def in_words(number: int) -> str:
    """Numbers as English says them; written apart from the reader that it tests."""
    if number < 20:
        return ONES.split()[number]
    if number < 100:
        return TENS[number // 10] + (f" {in_words(number % 10)}" if number % 10 else "")
    for size, name in ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = number % size
            joint = " and " if 0 < rest < 100 and size in (100, 1000) else " "
            return f"{in_words(number // size)} {name}" + (f"{joint}{in_words(rest)}" if rest else "")
    raise AssertionError(number)


def test_words() -> None:
    assert words_of("What's 1,234.5 times three?") == ["what's", "1,234.5", "times", "three"]
    assert words_of("2+2 = 4") == ["2", "+", "2", "=", "4"]
    assert words_of("the 21st") == ["the", "21"]
    assert words_of("…!") == []


# -- numbers -------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**12 - 1))
def test_every_number_in_words_is_read(number: int) -> None:
    assert read_number(in_words(number).split()) == number
    assert read_number([str(number)]) == number
    assert may_start_number(in_words(number).split()[0])


@pytest.mark.parametrize(
    "text, number",
    [
        ("a hundred", 100),
        ("nineteen hundred", 1900),
        ("two hundred five", 205),
        ("one two three", 123),
        ("zero five five", 55),
        ("minus five", -5),
        ("three point one four", 3.14),
        ("point five", 0.5),
        ("two and a half", 2.5),
        ("three and a quarter", 3.25),
        ("half", 0.5),
        ("three quarters", 0.75),
        ("two dozen", 24),
        ("a dozen", 12),
        ("1,234.5", 1234.5),
    ],
)
def test_other_ways_to_say_a_number(text: str, number: float) -> None:
    assert read_number(words_of(text)) == number


@pytest.mark.parametrize(
    "text",
    [
        "", "the", "and", "and five", "twenty and", "twenty twenty", "five twenty", "twenty eleven", "hundred",
        "five hundred hundred", "one thousand two thousand", "two point", "point twenty", "five and six", "minus",
        "five apples", "thousand", " ".join(["one"] * 30),
    ],
)  # fmt: skip
def test_what_is_no_number(text: str) -> None:
    assert read_number(text.split()) is None


@given(
    st.lists(
        st.sampled_from([*ONES.split()[:12], "twenty", "hundred", "thousand", "and", "point", "minus", "a"])
    )
)
def test_any_row_of_number_words_is_a_number_or_none(words: list[str]) -> None:
    number = read_number(words)
    assert number is None or math.isfinite(number)


# -- durations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("ten minutes", 600),
        ("ten minuets", 600),
        ("ten minute", 600),
        ("ten minute's", 600),
        ("a minute", 60),
        ("an hour", 3600),
        ("one our", 3600),
        ("half an hour", 1800),
        ("half a minute", 30),
        ("a quarter of an hour", 900),
        ("three quarters of an hour", 2700),
        ("an hour and a half", 5400),
        ("one and a half hours", 5400),
        ("two and a half minutes", 150),
        ("two hours and five minutes", 7500),
        ("one hour thirty minutes", 5400),
        ("a minute and thirty seconds", 90),
        ("ninety seconds", 90),
        ("a couple of minutes", 120),
        ("5 min", 300),
        ("0.5 seconds", 0.5),
        ("two days", 172800),
    ],
)
def test_a_duration(text: str, seconds: float) -> None:
    assert read_duration_s(words_of(text)) == seconds
    assert may_start_number(words_of(text)[0])


@pytest.mark.parametrize(
    "text",
    ["", "ten", "minutes", "ten apples", "zero minutes", "minus five minutes", "five minutes ago", "four hundred days",
     "and five minutes", "a half", "our house"],
)  # fmt: skip
def test_what_is_no_duration(text: str) -> None:
    assert read_duration_s(words_of(text)) is None


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_every_time_in_parts_is_read(hours: int, minutes: int, seconds: int) -> None:
    counts = ((hours, "hours"), (minutes, "minutes"), (seconds, "seconds"))
    parts = [f"{in_words(count)} {name}" for count, name in counts if count]
    expected = hours * 3600 + minutes * 60 + seconds
    assert read_duration_s(" and ".join(parts).split()) == (expected or None)


# -- arithmetic ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, formula, value",
    [
        ("twenty three times four", "23 * 4", 92),
        ("twenty three times for", "23 * 4", 92),
        ("two plus too", "2 + 2", 4),
        ("one hundred minus thirty seven", "100 - 37", 63),
        ("ten divided by four", "10 / 4", 2.5),
        ("minus five plus two", "-5 + 2", -3),
        ("five minus minus two", "5 - -2", 7),
        ("two plus three times four", "2 + 3 * 4", 14),
        ("twenty percent of sixty", "20 % of 60", 12),
        ("five squared", "5 ^ 2", 25),
        ("two cubed plus one", "2 ^ 3 + 1", 9),
        ("two to the power of ten", "2 ^ 10", 1024),
        ("the square root of sixteen", "root 16", 4),
        ("half of ninety", "90 / 2", 45),
        ("add nineteen and thirty two", "19 + 32", 51),
        ("subtract five from ten", "10 - 5", 5),
        ("multiply six by seven", "6 * 7", 42),
        ("divide ten by five", "10 / 5", 2),
        ("the product of six and seven", "6 * 7", 42),
        ("the difference between nine and four", "9 - 4", 5),
        ("eight and seven", "8 + 7", 15),
        ("2+2", "2 + 2", 4),
        ("7 × 8 - 3", "7 * 8 - 3", 53),
    ],
)
def test_arithmetic(text: str, formula: str, value: float) -> None:
    assert read_expression(words_of(text)) == formula
    assert evaluate(formula) == value
    assert may_start_expression(words_of(text)[0])


@pytest.mark.parametrize(
    "text",
    ["", "two", "one hundred and five", "the capital of france", "two plus", "times two", "add two", "add up two and",
     "root of minus four", "five squared squared", "cats and dogs", "the sum of cats and dogs"],
)  # fmt: skip
def test_what_is_no_arithmetic(text: str) -> None:
    assert read_expression(words_of(text)) is None


@given(st.integers(0, 10**6), st.sampled_from(["plus", "minus", "times"]), st.integers(0, 10**6))
def test_spoken_sums_are_worked_out(left: int, operator: str, right: int) -> None:
    formula = read_expression([*in_words(left).split(), operator, *in_words(right).split()])
    assert formula is not None
    assert evaluate(formula) == {"plus": left + right, "minus": left - right, "times": left * right}[operator]


@pytest.mark.parametrize(
    "formula, value",
    [
        ("2^3^2", 512), ("-2^2", -4), ("(1+2)*3", 9), ("50%", 0.5), ("2 * -3", -6), ("1,000 + 1", 1001),
        ("2**3", 8), ("6 ÷ 3 × 2", 4), ("root 9 + 1", 4), ("1e3", 1000), ("+5", 5),
    ],
)  # fmt: skip
def test_a_formula(formula: str, value: float) -> None:
    assert evaluate(formula) == value


@pytest.mark.parametrize(
    "formula, reason",
    [
        ("1 / 0", "divided by zero"),
        ("0 ^ -1", "divided by zero"),
        ("9 ^ 9 ^ 9 ^ 9", "too large"),
        ("1e308 * 10", "too large"),
        ("(-8) ^ 0.5", "no such power"),
        ("root -4", "no square root"),
        ("", "a number is missing"),
        ("2 +", "a number is missing"),
        ("2 2", "'2' stands where an operator should"),
        ("(2", "a bracket is not closed"),
        ("2)", "stands where"),
        ("__import__('os')", "is not arithmetic"),
        ("2 " * 200, "too long"),
        ("(" * 150, "a number is missing"),
    ],
)
def test_a_bad_formula_says_why(formula: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        evaluate(formula)


@given(st.text(alphabet="0123456789.+-*/^%() rootf,e×÷", max_size=40))
def test_any_formula_has_a_finite_value_or_a_reason(formula: str) -> None:
    try:
        value = evaluate(formula)
    except ValueError:
        return
    assert math.isfinite(value)


# -- choices -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, value",
    [
        ("yes", True),
        ("yeah sure", True),
        ("on", True),
        ("no thanks", False),
        ("off", False),
        ("banana", None),
    ],
)
def test_yes_and_no(text: str, value: bool | None) -> None:
    assert read_boolean(text.split()) is value


@pytest.mark.parametrize(
    "text, choices, value",
    [
        ("living room", ["living_room", "kitchen"], "living_room"),
        ("living rum", ["living_room", "kitchen"], "living_room"),
        ("chicken", ["living_room", "kitchen"], None),
        ("two", [1, 2, None], 2),
        ("attic", ["living_room", None, True], None),
    ],
)
def test_a_choice(text: str, choices: list[object], value: object) -> None:
    assert read_choice(text.split(), choices) == value
