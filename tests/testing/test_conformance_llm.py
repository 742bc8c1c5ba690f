"""The suite itself: it passes what is right, and finds what is wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from repartee.models import LLM, ChatChunk, ChatRequest, TextDelta, Usage
from repartee.testing import run
from repartee.testing.conformance_llm import LLM_CHECKS, LLMCheck, check_llm


class Polite(LLM):
    """Says the same to everything."""

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        for word in ("That", " is", " nice."):
            yield TextDelta(word)
        yield Usage(10, 3, 5)


@pytest.mark.parametrize("check", LLM_CHECKS, ids=lambda check: check.__name__)
def test_a_polite_model_conforms(check: LLMCheck) -> None:
    run(check(Polite), check_leaks=False)


class Mute(LLM):
    """Says nothing."""

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        yield Usage(10, 0, 0)


class Stuttering(Polite):
    """Gives empty pieces."""

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        yield TextDelta("")
        async for chunk in super().chat(request):
            yield chunk


class Meddling(Polite):
    """Writes into the caller's conversation."""

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        request.context.add_message("assistant", "That is nice.")
        async for chunk in super().chat(request):
            yield chunk


class Hasty(Polite):
    """Tells the cost first."""

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        yield Usage(10, 3, 5)
        yield TextDelta("That is nice.")


class Wordy(Polite):
    """Ignores limits."""

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        yield TextDelta("and so on " * 100)
        yield Usage(10, 300, 5)


@pytest.mark.parametrize("wrong", [Mute, Stuttering, Meddling, Hasty, Wordy])
def test_what_is_wrong_is_found(wrong: type[LLM]) -> None:
    with pytest.raises(AssertionError):
        run(check_llm(wrong), check_leaks=False)
