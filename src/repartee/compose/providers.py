"""`Rotation`: which of several providers to ask; `Desk`: one session's view of it, which tells what happens.

Theory of operation. Providers stand in the order of preference. One that fails *cools down* and is passed over.
When its time is over, one request, and one only, *probes* it, while the others keep away; if it answers, everybody
returns to it, else it cools down twice as long (up to a bound: during a long outage few have to wait for it in vain).
Where all are cooling down, the one whose time is over soonest is asked all the same: silence is worse than a try.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from repartee.errors import ModelError, ModelTimeoutError, ReparteeError, Stage
from repartee.models import Sink
from repartee.models.events import ErrorOccurred, ProviderSwitched, RealtimeEvent

__all__ = ["Desk", "Rotation", "bound_to", "close_all", "first_to_begin", "log_bad_end", "prewarm_all"]

M = TypeVar("M")
_log = logging.getLogger(__name__)


class Closable(Protocol):
    """What can be closed."""

    async def aclose(self) -> None:
        """Release what it holds."""


@dataclass(slots=True)
class _Health:
    """One provider's."""

    down_until_s: float | None = None
    """``None``: it is well."""
    streak: int = 0
    """How often it failed without answering in between."""
    probing: bool = False
    """Whether somebody finds out just now whether it is well again."""


class Rotation:
    """Which provider to ask. Pure: time is an argument, in seconds of any one clock.

    Args:
        count: how many there are; 0 is preferred.
        cooldown_s: how long one that failed is passed over, at first.
        max_cooldown_s: the longest that it is.
    """

    def __init__(self, count: int, *, cooldown_s: float, max_cooldown_s: float) -> None:
        self._health = [_Health() for _ in range(count)]
        self.current = 0
        """Who answered last."""
        self._cooldown_s = cooldown_s
        self._max_cooldown_s = max(cooldown_s, max_cooldown_s)

    def take(self, now: float, tried: Collection[int] = ()) -> int | None:
        """Whom to ask now. Say how it went by `succeeded`, `failed` or `abandoned`.

        Args:
            now: the time.
            tried: those that this request has asked already.

        Returns:
            ``None`` when all have been tried.
        """
        left = [index for index in range(len(self._health)) if index not in tried]
        for index in left:
            health = self._health[index]
            if health.down_until_s is None:
                return index
            if now >= health.down_until_s and not health.probing:
                health.probing = True
                return index
        return min(left, key=lambda index: self._health[index].down_until_s or 0.0, default=None)

    def better(self, now: float, using: int) -> int | None:
        """A provider before this one that may be asked again; taken as by `take`."""
        for index in range(using):
            health = self._health[index]
            if health.down_until_s is None:
                return index
            if now >= health.down_until_s and not health.probing:
                health.probing = True
                return index
        return None

    def preferred_at(self, using: int) -> float | None:
        """When a provider before this one may be asked again; ``None`` if this is the first."""
        times = [health.down_until_s or 0.0 for health in self._health[:using]]
        return min(times, default=None)

    def succeeded(self, index: int) -> None:
        """It answered."""
        self._health[index] = _Health()
        self.current = index

    def failed(self, index: int, now: float) -> None:
        """It failed. Those who were asked at the same time and fail too don't make it worse."""
        health = self._health[index]
        fresh = health.down_until_s is None or health.probing or now >= health.down_until_s
        health.probing = False
        if fresh:
            health.streak += 1
            cooldown_s = self._cooldown_s * 2.0 ** min(health.streak - 1, 30)
            health.down_until_s = now + min(cooldown_s, self._max_cooldown_s)

    def abandoned(self, index: int) -> None:
        """Nobody wanted the answer any more before it was known how it is."""
        self._health[index].probing = False


class Desk(Generic[M]):
    """Several providers as one session asks them; all sessions share their health.

    Args:
        models: in order of preference.
        stage: of the conversation.
        rotation: shared.
        on_event: is told of failures and switches. Default: only the log is.
    """

    def __init__(
        self, models: Sequence[M], stage: Stage, rotation: Rotation, on_event: Sink | None = None
    ) -> None:
        self.models = tuple(models)
        self.names = names_of(models)
        self.stage: Stage = stage
        self.rotation = rotation
        self.using = 0
        """Who answered this session last."""
        self._on_event = on_event
        self._reasons: dict[int, str] = {}

    def bound(self, on_event: Sink) -> Desk[M]:
        """The same providers for one session."""
        return Desk(self.models, self.stage, self.rotation, on_event)

    def take(self, tried: Mapping[int, ModelError]) -> int | None:
        """Whom to ask now; ``None`` when all have been tried."""
        return self.rotation.take(_now(), tried)

    def succeeded(self, index: int) -> None:
        """It answered; if another one did so far, that is told."""
        self.rotation.succeeded(index)
        if index == self.using:
            return
        old, self.using = self.using, index
        reason = self._reasons.pop(old, "it is passed over since it failed")
        if index < old:
            reason = f"{self.names[index]} is back"
        self._tell(ProviderSwitched(self.stage, self.names[old], self.names[index], reason))
        _log.warning("%s: using %s instead of %s: %s", self.stage, self.names[index], self.names[old], reason)

    def failed(self, index: int, error: ModelError, *, tell: bool = True) -> None:
        """It failed.

        Args:
            index: who.
            error: with what.
            tell: whether the session is told here; not where the error reaches it anyway.
        """
        self.rotation.failed(index, _now())
        self._reasons[index] = str(error)
        _log.warning("%s: %s failed: %s", self.stage, self.names[index], error)
        if tell:
            self._tell(ErrorOccurred(error, self.stage))

    def abandoned(self, index: int) -> None:
        """It was not waited for."""
        self.rotation.abandoned(index)

    def error_of(self, index: int, error: Exception, deadline_s: float | None) -> ModelError:
        """What an exception of a provider is to the conversation."""
        if isinstance(error, ModelError):
            return error
        name = self.names[index]
        if isinstance(error, TimeoutError):
            text = f"{name} gave nothing for {deadline_s or 0.0:g} s"
            return ModelTimeoutError(text, stage=self.stage, code="timeout")
        if isinstance(error, ReparteeError):
            return ModelError(str(error), stage=self.stage, recoverable=False)
        return ModelError(f"{name} failed with {type(error).__name__}: {error}", stage=self.stage)

    def exhausted(self, tried: Mapping[int, ModelError]) -> ModelError:
        """The one error when all have failed."""
        each = "; ".join(f"{self.names[index]}: {error}" for index, error in tried.items())
        return ModelError(
            f"all {len(self.models)} providers failed: {each}",
            stage=self.stage,
            recoverable=any(error.recoverable for error in tried.values()),
            code="all_providers_failed",
        )

    def _tell(self, event: RealtimeEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)


def names_of(models: Iterable[object]) -> tuple[str, ...]:
    """A name for each model: plugin, class and model name, with a number where that is not enough."""
    names: list[str] = []
    for model in models:
        kind = type(model)
        home = kind.__module__.split(".")
        plugin = home[home.index("plugins") + 1] if "plugins" in home[:-1] else ""
        name = f"{plugin}.{kind.__name__}" if plugin else kind.__name__
        detail = getattr(model, "model", None)
        if isinstance(detail, str):
            name = f"{name} {detail}"
        same = sum(other == name or other.startswith(f"{name} #") for other in names)
        names.append(f"{name} #{same + 1}" if same else name)
    return tuple(names)


def bound_to(model: M, on_event: Sink) -> M:
    """A model as one session uses it: one that has several providers tells that session which it uses."""
    bind = getattr(model, "bound", None)
    return bind(on_event) if callable(bind) else model


def _now() -> float:
    return asyncio.get_running_loop().time()


async def first_to_begin(
    desk: Desk[Any], begin: Callable[[Any], AsyncGenerator[Any, None]], deadline_s: float | None
) -> AsyncGenerator[tuple[int, Any], None]:
    """The results of the first provider that gives one, each with the provider's index."""
    tried: dict[int, ModelError] = {}
    while (index := desk.take(tried)) is not None:
        failure: ModelError | None = None
        begun = settled = False
        try:
            async with aclosing(begin(desk.models[index])) as results:
                while True:
                    try:
                        async with asyncio.timeout(deadline_s):
                            result = await anext(results)
                    except StopAsyncIteration:
                        break
                    if not begun:
                        begun = settled = True
                        desk.succeeded(index)
                    yield index, result
            if not begun:
                settled = True
                desk.succeeded(index)  # it had nothing to say
            return
        except Exception as error:
            settled = True
            failure = desk.error_of(index, error, deadline_s)
        finally:
            if not settled:  # closed or cancelled before its first result
                desk.abandoned(index)
        left = len(tried) + 1 < len(desk.models)
        desk.failed(index, failure, tell=left and not begun)
        if begun:
            raise failure
        tried[index] = failure
    raise desk.exhausted(tried)


async def prewarm_all(desk: Desk[M], prewarm: Callable[[M], Awaitable[None]]) -> None:
    """Prewarm every provider; one that fails is passed over from the start.

    Raises:
        ModelError: all failed.
    """
    failures: dict[int, ModelError] = {}

    async def one(index: int) -> None:
        try:
            await prewarm(desk.models[index])
        except Exception as error:  # told at once: the others may take long
            failures[index] = desk.error_of(index, error, None)
            desk.failed(index, failures[index])

    async with asyncio.TaskGroup() as group:
        for index in range(len(desk.models)):
            group.create_task(one(index))
    if len(failures) == len(desk.models):
        raise desk.exhausted(failures)


async def close_all(models: Iterable[Closable]) -> None:
    """Close every model, even where one fails to; then its failure is raised."""
    results = await asyncio.gather(*(model.aclose() for model in models), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def log_bad_end(error: Exception) -> None:
    """Closing one that was replaced failed. It had failed before, so this changes nothing for anybody."""
    _log.warning("closing a provider that was replaced failed", exc_info=error)
