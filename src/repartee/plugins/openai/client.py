"""One server's connections, kept open between turns; requests that are asked again until something came of them."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import random
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, TypeVar, Unpack

from repartee.errors import ConfigurationError, MissingDependencyError, ModelError, Stage, StateError
from repartee.plugins.openai.failures import Failure, failure_of
from repartee.plugins.openai.server import Server, ServerArguments, find_server

__all__ = ["Client"]

T = TypeVar("T")

KEEPALIVE_S = 120.0
"""How long an unused connection is kept: longer than people think before they speak, shorter than networks forget."""
CONNECT_TIMEOUT_S = 5.0
BACKOFF_S = 0.25
"""Before the second try, and twice as long before each further one, less up to half by chance."""
BACKOFF_MAX_S = 4.0
RETRY_AFTER_MAX_S = 8.0
"""Nobody on the phone waits longer: a server that asks for more has failed."""


class Client:
    """Requests to one server for one model, from any number of sessions.

    Args:
        stage: of the conversation, for errors.
        model: which model, for errors and as what it is asked for.
        timeout_s: as in `ClientArguments`.
        max_retries: as in `ClientArguments`.
        server: as in `ServerArguments`.

    Raises:
        ConfigurationError: an argument is out of range, or as in `find_server`.
        MissingDependencyError: the package ``openai`` is not installed.
    """

    def __init__(
        self,
        stage: Stage,
        model: str,
        *,
        timeout_s: float = 10.0,
        max_retries: int = 2,
        **server: Unpack[ServerArguments],
    ) -> None:
        if not timeout_s > 0:
            raise ConfigurationError(f"timeout_s is {timeout_s!r}; it must be above 0 seconds")
        if max_retries < 0:
            raise ConfigurationError(f"max_retries is {max_retries!r}; it must be 0 or more")
        self.server: Server = find_server(**server)
        self.stage = stage
        self.model = self.server.deployment or model
        self.timeout_s = timeout_s
        self.max_retries = max_retries
        if importlib.util.find_spec("openai") is None:
            raise MissingDependencyError("a model with OpenAI's API", package="openai", extra="openai")
        self._api: Any = _open(self.server, timeout_s)
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"Client({self.model!r} at {self.server.host})"

    @property
    def api(self) -> Any:
        """The ``AsyncOpenAI`` of this event loop (its connections can't be used on another)."""
        if self._closed:
            raise StateError(f"the model {self.model!r} is closed: make a new one")
        loop = asyncio.get_running_loop()
        if self._loop is None or self._loop() is not loop:
            if self._loop is not None:
                self._api = _open(self.server, self.timeout_s)
            self._loop = weakref.ref(loop)
        return self._api

    async def results(self, begin: Callable[[], AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
        """The results of a request, which is asked again as long as it gave none.

        Args:
            begin: asks, and gives the results.

        Raises:
            ModelError: it failed for good, or in its middle.
        """
        for attempt in range(self.max_retries + 1):
            failure: Failure | None = None
            given = False
            try:
                async with aclosing(begin()) as results:
                    while True:
                        try:
                            async with asyncio.timeout(self.timeout_s):
                                result = await anext(results)
                        except StopAsyncIteration:
                            return
                        given = True
                        yield result
            except Exception as error:
                failure = self.failure(error)
                if failure is None:
                    raise
            # Raised out here, where no handler is left that would make the provider's exception its context.
            if given or not failure.retry or attempt == self.max_retries:
                raise failure.error
            if (failure.retry_after_s or 0.0) > RETRY_AFTER_MAX_S:
                raise failure.error
            backoff_s = min(BACKOFF_MAX_S, BACKOFF_S * 2**attempt) * random.uniform(0.5, 1.0)
            await asyncio.sleep(backoff_s if failure.retry_after_s is None else failure.retry_after_s)

    def failure(self, error: Exception) -> Failure | None:
        """What an exception of a request means; ``None`` if it is not the server's."""
        return failure_of(error, self.server, self.stage, self.model, self.timeout_s)

    async def prewarm(self) -> None:
        """Open a connection and keep it, with a question that costs nothing: which models are there?

        Raises:
            ModelError: the server can't be reached, or refuses the key. That it lists no models is no error.
        """
        api = self.api
        failure: Failure | None = None
        try:
            async with asyncio.timeout(self.timeout_s):
                await api.models.with_raw_response.list()
        except Exception as error:
            failure = self.failure(error)
            if failure is None:
                raise
        if failure is not None and _matters(failure.error):
            raise failure.error

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        if not self._closed:
            self._closed = True
            if self._loop is None or self._loop() is asyncio.get_running_loop():
                await self._api.close()


def _matters(error: ModelError) -> bool:
    """Whether what went wrong with the list of models will go wrong with the model too."""
    return error.code in ("timeout", "connection_error", "invalid_api_key")


def _open(server: Server, timeout_s: float) -> Any:
    import httpx2
    import openai

    common: dict[str, Any] = {
        "max_retries": 0,  # asked again here, and only before the first result
        "timeout": httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        "http_client": openai.DefaultAsyncHttpxClient(
            limits=httpx2.Limits(
                max_connections=1000, max_keepalive_connections=100, keepalive_expiry=KEEPALIVE_S
            )
        ),
    }
    token = server.entra_token
    if server.kind == "azure":
        if token is not None:
            common["azure_ad_token_provider"] = _provider(token)
        else:
            common["api_key"] = server.key
        if server.deployment is not None:
            common["azure_deployment"] = server.deployment
        return openai.AsyncAzureOpenAI(
            azure_endpoint=server.base_url, api_version=server.api_version, **common
        )
    return openai.AsyncOpenAI(
        api_key=_provider(token) if token is not None else server.key,
        base_url=server.base_url,
        organization=server.organization,
        project=server.project,
        **common,
    )


def _provider(token: Any) -> Callable[[], Any]:
    async def current() -> str:
        value = token() if callable(token) else token
        return str(await value if inspect.isawaitable(value) else value)

    return current
