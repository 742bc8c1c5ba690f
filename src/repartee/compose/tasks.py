"""`TaskOwner`: no task without somebody who ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["TaskOwner"]


class TaskOwner:
    """Runs tasks, and ends them all when it is closed.

    Args:
        on_crash: called with an exception that a task did not handle itself.
    """

    __slots__ = ("_closed", "_finishing", "_on_crash", "_tasks")

    def __init__(self, on_crash: Callable[[Exception], None]) -> None:
        self._on_crash = on_crash
        self._tasks: dict[asyncio.Task[Any], None] = {}  # in order, so that they end in order
        self._finishing: dict[asyncio.Task[Any], None] = {}
        self._closed = False

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run a coroutine as a task of this owner; after `aclose` it is ended before it begins."""
        task = self._run(coroutine, name, self._tasks)
        if self._closed:
            task.cancel()
        return task

    def finish(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> None:
        """Run a coroutine that releases something: `aclose` does not cancel it, but waits for its end."""
        self._run(coroutine, name, self._finishing)

    def _run(
        self, coroutine: Coroutine[Any, Any, Any], name: str, kept: dict[asyncio.Task[Any], None]
    ) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        kept[task] = None
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        self._finishing.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Exception):
            self._on_crash(error)

    async def aclose(self) -> None:
        """Cancel every task and wait until all have ended (except the one that calls this). Idempotent."""
        self._closed = True
        current = asyncio.current_task()
        running = [task for task in self._tasks if task is not current]
        for task in running:
            task.cancel()
        ending = [*running, *(task for task in self._finishing if task is not current)]
        if ending:
            await asyncio.wait(ending)
