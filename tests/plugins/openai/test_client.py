"""When a request is asked again and how long that takes, on virtual time; what a missing package says."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from repartee.errors import MissingDependencyError, ModelError, ModelTimeoutError
from repartee.plugins.openai.client import BACKOFF_S, Client
from repartee.testing import elapse, virtual_time


def client(**options: Any) -> Client:
    return Client(
        "llm", "m", **{"timeout_s": 10.0, "max_retries": 2, "base_url": "http://localhost:1/v1", **options}
    )


class Flaky:
    """Fails so often before it gives anything."""

    def __init__(self, failures: int, error: Exception, *, first: int = 0) -> None:
        self.asked_s: list[float] = []
        self._failures = failures
        self._error = error
        self._first = first

    async def __call__(self) -> AsyncGenerator[int, None]:
        self.asked_s.append(asyncio.get_running_loop().time())
        for number in range(self._first):
            yield number
        if len(self.asked_s) <= self._failures:
            raise self._error
        yield 42


@virtual_time
async def test_pauses_grow_and_differ() -> None:
    flaky = Flaky(2, TimeoutError())
    results = [each async for each in client().results(flaky)]
    assert results == [42]
    first, second = flaky.asked_s[1] - flaky.asked_s[0], flaky.asked_s[2] - flaky.asked_s[1]
    assert BACKOFF_S / 2 <= first <= BACKOFF_S
    assert BACKOFF_S <= second <= 2 * BACKOFF_S


@virtual_time
async def test_the_last_failure_is_the_one_told() -> None:
    flaky = Flaky(9, TimeoutError())
    with pytest.raises(ModelTimeoutError):
        await anext(client().results(flaky))
    assert len(flaky.asked_s) == 3


@virtual_time
async def test_nothing_is_asked_again_once_something_came() -> None:
    flaky = Flaky(9, TimeoutError(), first=1)
    results = client().results(flaky)
    assert await anext(results) == 0
    with pytest.raises(ModelTimeoutError):
        await anext(results)
    assert len(flaky.asked_s) == 1


@virtual_time
async def test_a_mistake_in_the_program_is_not_the_servers() -> None:
    flaky = Flaky(9, KeyError("x"))
    with pytest.raises(KeyError):
        await anext(client().results(flaky))
    assert len(flaky.asked_s) == 1


@virtual_time
async def test_a_model_error_is_told_as_it_is() -> None:
    error = ModelError("no", stage="llm")
    flaky = Flaky(9, error)
    with pytest.raises(ModelError) as caught:
        await anext(client().results(flaky))
    assert caught.value is error
    assert len(flaky.asked_s) == 1


@virtual_time
async def test_the_deadline_holds_between_any_two_results() -> None:
    async def slow() -> AsyncGenerator[int, None]:
        await elapse(9.0)
        yield 1
        await elapse(9.0)
        yield 2
        await elapse(11.0)
        yield 3

    results = client(max_retries=0).results(slow)
    assert [await anext(results), await anext(results)] == [1, 2]
    with pytest.raises(ModelTimeoutError, match="nothing for 10 s"):
        await anext(results)
    assert asyncio.get_running_loop().time() == 28.0


def test_a_missing_package_is_told_when_the_model_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "openai" else find(name, *rest)
    )
    with pytest.raises(MissingDependencyError, match=r"pip install 'repartee\[openai\]'"):
        client()
