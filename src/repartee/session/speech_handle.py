"""`SpeechHandle`: what the agent is to say, from the request until nothing more of it will be heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from repartee.chat import Item
from repartee.errors import ReparteeError

__all__ = ["SpeechHandle"]


class SpeechHandle:
    """One reply. Awaiting it waits for its end, and gives the handle; it never raises (see `error`)."""

    __slots__ = ("_done", "_interrupt", "error", "id", "interrupted", "items", "response_ids")

    def __init__(self, request_id: str, interrupt: Callable[[SpeechHandle], None]) -> None:
        self.id = request_id
        self._interrupt = interrupt
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.interrupted = False
        """Whether it was cut short."""
        self.error: ReparteeError | None = None
        """Why it failed, if it did."""
        self.items: list[Item] = []
        """What it added to the conversation: messages as they were generated, and function calls."""
        self.response_ids: list[str] = []
        """The model's responses: one, or one more for each round of functions."""

    @property
    def done(self) -> bool:
        """Whether nothing more of it will be heard."""
        return self._done.done()

    def interrupt(self) -> None:
        """End it now. Nothing happens if it has ended."""
        if not self.done:
            self._interrupt(self)

    def add_done_callback(self, callback: Callable[[SpeechHandle], None]) -> None:
        """Call this when it ends (soon, if it has ended)."""
        self._done.add_done_callback(lambda _: callback(self))

    async def wait(self) -> SpeechHandle:
        """Wait for its end."""
        await asyncio.shield(self._done)
        return self

    def __await__(self) -> Generator[Any, None, SpeechHandle]:
        return self.wait().__await__()

    def finish(self) -> None:
        """It has ended; for the session alone."""
        if not self._done.done():
            self._done.set_result(None)
