from __future__ import annotations

from typing import Any, Literal

import pytest

from repartee.chat import FunctionTool, function_tool
from repartee.plugins.local.candidates import candidate, question
from repartee.plugins.local.matching import Utterance


def tool_of(annotation: Any, name: str = "value", description: str = "Do it.") -> FunctionTool:
    def do(**_: Any) -> None: ...

    namespace: dict[str, Any] = {"annotation": annotation}
    exec(f"def do({name}: annotation): ...", namespace)
    return function_tool(description=description)(namespace["do"])


def values(tool: FunctionTool, text: str) -> list[Any]:
    """What the reader of its one argument finds, longest first."""
    [reader] = candidate(tool).readers.values()
    found = [
        (end - start, value) for start, ends in Utterance(text).spans(reader).items() for end, value in ends
    ]
    return [value for _, value in sorted(found, key=lambda pair: -pair[0])]


@pytest.mark.parametrize(
    "name, annotation, said, value",
    [
        ("count", int, "about twenty two of them", 22),
        ("count", int | None, "seven", 7),
        ("price", float, "two point five", 2.5),
        ("duration_s", float, "for ten minutes", 600),
        ("delay_ms", int, "two seconds", 2000),
        ("cooking_minutes", int, "an hour", 60),
        ("duration", int, "a minute", 60),
        ("room", Literal["living_room", "kitchen"], "in the living room", "living_room"),
        ("floor", Literal[1, 2], "the second floor no two", 2),
        ("is_on", bool, "off", False),
        ("formula", str, "two plus two", "2 + 2"),
        ("names", list[str], "tom, ann and joe", ["tom", "ann", "joe"]),
        ("note", str, "buy milk", "buy milk"),
    ],
)
def test_an_argument_is_read_by_its_type_and_name(name: str, annotation: Any, said: str, value: Any) -> None:
    assert values(tool_of(annotation, name), said)[0] == value


@pytest.mark.parametrize(
    "name, annotation, said",
    [
        ("count", int, "two and a half"),
        ("minutes", int, "ten seconds"),
        ("room", Literal["kitchen"], "bathroom"),
        ("is_on", bool, "banana"),
    ],
)
def test_what_does_not_fit_is_not_taken(name: str, annotation: Any, said: str) -> None:
    whole = values(tool_of(annotation, name), said)
    assert all(value not in (2.5, 10 / 60) for value in whole)
    if annotation is not int:
        assert whole == []


@pytest.mark.parametrize(
    "name, annotation, asked",
    [
        ("duration_s", float, "For how long?"),
        ("guests", int, "How many guests?"),
        ("party_size", int, "What is the party size?"),
        ("city", str, "Which city?"),
        ("room", Literal["living_room", "kitchen"], "Which room: living room or kitchen?"),
        ("room", Literal["a", "b", "c"] | None, "Which room: a, b or c?"),
        ("room", Literal["kitchen"], "Which room?"),
    ],
)
def test_what_is_asked(name: str, annotation: Any, asked: str) -> None:
    assert question(tool_of(annotation, name), name) == asked


@pytest.mark.parametrize(
    "name, annotation, answer, value",
    [
        ("name", str, "the name is Tom.", "Tom"),
        ("name", str, "it's Tom", "Tom"),
        ("name", str, "Tom", "Tom"),
        ("city", str, "in New York please", "New York"),
        ("city", str, "the", None),
        ("guests", int, "we are four", 4),
        ("guests", int, "i don't know", None),
        ("duration_s", float, "make it an hour and a half please", 5400),
    ],
)
def test_an_answer_is_read(name: str, annotation: Any, answer: str, value: Any) -> None:
    assert candidate(tool_of(annotation, name)).read_answer(name, answer) == value


def test_templates_come_from_examples() -> None:
    @function_tool(examples=["turn {room} light on", "light in {room:words}"])
    def light(room: Literal["hall", "attic"]) -> None:
        """Not this."""

    made = candidate(light)
    assert made.has_examples
    assert [template.words for template in made.templates] == [["turn", "light", "on"], ["light", "in"]]
    kinds = [
        part[1].kind for template in made.templates for part in template.parts if not isinstance(part, str)
    ]
    assert kinds == ["choice", "words"]


def test_without_examples_they_come_from_name_and_description() -> None:
    @function_tool
    def findNearest_shop(city: str, kind_of_shop: str = "any") -> None:
        """Find a {shop} in a city. Not this sentence."""

    made = candidate(findNearest_shop)
    assert not made.has_examples
    assert all(template.loose for template in made.templates)
    texts = [
        " ".join(p if isinstance(p, str) else f"<{p[0]}>" for p in each.parts) for each in made.templates
    ]
    assert texts == ["find nearest shop <city>", "find a shop in <city>", "find nearest shop"]
    assert made.missing({}) == ("city",)
    assert made.missing({"city": "x"}) == ()


def test_a_tool_without_arguments_or_description() -> None:
    made = candidate(function_tool(description="")(test_a_tool_without_arguments_or_description))
    assert len(made.templates) == 1
