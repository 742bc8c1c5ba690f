"""Opening sessions with several realtime models in turn: who is tried, who failed, who could not even be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from repartee.clock import Clock
from repartee.compose.providers import Desk
from repartee.compose.replay import Line, Rates
from repartee.errors import ModelError
from repartee.models import RealtimeCapabilities, RealtimeModel, RealtimeSession, SessionOptions
from repartee.models.events import RealtimeEvent

__all__ = ["Lines"]


class Lines:
    """Opens the sessions of one conversation.

    Args:
        desk: the models, and who of them is well.
        capabilities: of them all together: the consumer's sample rates.
        hear: takes each event of a session, with the session that it is of.
        close: closes a session that is of no use.
        clock: session time.
        deadline_s: how long one may take to open. ``None``: as long as it likes.
    """

    def __init__(
        self,
        desk: Desk[RealtimeModel],
        capabilities: RealtimeCapabilities,
        *,
        hear: Callable[[Line, RealtimeEvent], None],
        close: Callable[[RealtimeSession], None],
        clock: Clock,
        deadline_s: float | None,
    ) -> None:
        self._desk = desk
        self._capabilities = capabilities
        self._hear = hear
        self._close = close
        self._clock = clock
        self._deadline_s = deadline_s
        self.tried: dict[int, ModelError] = {}
        """Who failed since a response was last completed."""
        self._unreached: set[int] = set()
        """Who could not be connected to when that was last tried."""
        self._last_chance = False

    def answered(self) -> None:
        """A response was completed: what failed before doesn't count any more."""
        self.tried.clear()
        self._last_chance = False

    def options_for(self, index: int, options: SessionOptions) -> SessionOptions:
        """What a model is told of the session."""
        return options if self.is_same_kind(index) else replace(options, voice=None)

    def is_same_kind(self, index: int) -> bool:
        """Whether a model is of the first one's kind. A voice is a provider's own; others have none of that name."""
        return type(self._desk.models[index]) is type(self._desk.models[0])

    async def open(self, options: SessionOptions) -> Line | None:
        """A session with the first model that one can be had of; ``None``: with none of them."""
        while (index := self._desk.take(self.tried)) is not None:
            line = await self._open(index, options)
            if isinstance(line, Line):
                return line
            self._desk.failed(index, line, tell=len(self.tried) + 1 < len(self._desk.models))
            self.tried[index] = line
            self._unreached.add(index)
        return None

    async def open_only(self, index: int, options: SessionOptions) -> Line | None:
        """A session with that model, or none. That a preferred one is still ill is no news, and not told."""
        line = await self._open(index, options)
        if isinstance(line, Line):
            return line
        self._desk.failed(index, line, tell=False)
        return None

    async def open_again(self, options: SessionOptions) -> Line | None:
        """All failed; but one that was reached may do better with the next turn. Tried once, until one does."""
        if self._last_chance:
            return None
        self._last_chance = True
        failed, self.tried = self.tried, {i: e for i, e in self.tried.items() if i in self._unreached}
        line = await self.open(options)
        self.tried |= failed
        return line

    async def _open(self, index: int, options: SessionOptions) -> Line | ModelError:
        model = self._desk.models[index]
        own, mine = model.capabilities, self._capabilities
        line = Line(
            index,
            Rates(
                (mine.input_sample_rate, own.input_sample_rate),
                (own.output_sample_rate, mine.output_sample_rate),
            ),
        )
        settled = False
        try:
            line.session = model.session(
                self.options_for(index, options),
                on_event=lambda event: self._hear(line, event),
                clock=self._clock,
            )
            async with asyncio.timeout(self._deadline_s):
                await line.session.start()
            settled = True
            self._unreached.discard(index)
            return line
        except Exception as error:
            settled = True
            failure = self._desk.error_of(index, error, self._deadline_s)
        finally:
            if not settled:
                self._desk.abandoned(index)
            if not settled and line.session is not None:
                self._close(line.session)
        if line.session is not None:
            self._close(line.session)
        return failure
