"""An event loop whose time is virtual: it jumps to the next timer whenever nothing is ready to run.

Half an hour of conversation takes seconds, delays are exact, and the same test does the same in the same
order every time::

    @virtual_time
    async def test_reply_comes_in_time() -> None:
        started = asyncio.get_running_loop().time()  # 0.0
        await elapse(30.0)  # returns at once
        assert asyncio.get_running_loop().time() == started + 30.0

**What moves time.** Only the loop, only when all that is ready has run, and exactly to the next timer.
Nothing ready and no timer while the main coroutine is not done can never end, so it is a `DeadlockError`
that shows where each task waits.

**Threads.** Work given to `asyncio.to_thread` or ``run_in_executor`` is waited for in real time while
virtual time stands still; results are handed over only when nothing else is ready, in the order in which
the work was submitted. So a thread takes no virtual time, and how fast it was can't change what happens.
(Submitted work always runs, even where its waiter is cancelled: whether a thread had begun is a matter of
luck.) A thread that a test starts by itself is not seen; wrap the time in which it may answer in
`hold_time`. Work that waits for virtual time to pass never ends; the limit on real time says so.

**Sockets** are looked at before each jump. What the far end sends while a jump is made comes after it, so a
test that must be exact joins its two ends in memory.

**At the end** `run` fails if a task, a timer or an open async generator is left once all that is ready has
run, or if an exception was swallowed: raised in a callback, or the end of a task that nobody awaited.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
import selectors
import traceback
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import Context
from types import CodeType, FrameType
from typing import Any, ParamSpec, TypeVar, overload

from repartee.chat import items
from repartee.clock import Clock
from repartee.errors import ReparteeError

__all__ = [
    "DeadlockError",
    "LeakError",
    "SwallowedError",
    "TimeLimitError",
    "VirtualTimeError",
    "VirtualTimeLoop",
    "elapse",
    "hold_time",
    "run",
    "seeded_ids",
    "sleep_until",
    "virtual_time",
]

T = TypeVar("T")
P = ParamSpec("P")

_REAL_CHECK_EVERY = 256
"""Passes of the loop between two looks at the real clock."""
_CLEANUP_VIRTUAL_S = 60.0
_CLEANUP_REAL_S = 5.0


class VirtualTimeError(ReparteeError, AssertionError):
    """A run on virtual time did what no right program does."""


class DeadlockError(VirtualTimeError):
    """Nothing is ready or scheduled, and the main coroutine is not done. The message shows who waits where."""


class TimeLimitError(VirtualTimeError):
    """The run took more virtual or more real time than it may."""


class LeakError(VirtualTimeError):
    """The main coroutine is done, and a task, a timer or an async generator is left."""


class SwallowedError(VirtualTimeError):
    """An exception reached nobody: a callback raised it, or a task that nobody awaited (see its cause)."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop on virtual time. `run` makes one; use it directly only to drive it by hand.

    Args:
        max_virtual_s: time may not pass this. Default: one day.
        max_real_s: the longest that the run may really take, counted from here. Default: 60.
    """

    # Of asyncio.BaseEventLoop, where typeshed does not list it: the heap of timers, soonest first.
    _scheduled: list[asyncio.TimerHandle]
    _asyncgens: weakref.WeakSet[AsyncGenerator[Any, Any]]

    def __init__(self, *, max_virtual_s: float = 86_400.0, max_real_s: float = 60.0) -> None:
        self._virtual_now = 0.0
        self._max_virtual_s = max_virtual_s
        self._max_real_s = max_real_s
        self._real = Clock()
        self._passes = 0
        self._passes_at_jump = 0
        self._holds = 0
        self._draining = False
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._made = 0
        self._work: deque[_ThreadWork] = deque()  # bounded by what the test submits and does not await
        self._threads: Executor | None = None
        self._made_tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._dropped: list[str] = []
        self.swallowed: list[tuple[str, BaseException | None]] = []
        """What reached the loop's exception handler: message and exception, in order."""
        selector = _JumpingSelector(self)
        super().__init__(selector)
        self._own_fds = len(selector.get_map())
        self.set_exception_handler(lambda _, context: self._on_exception(context))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_now

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[Any]:
        """As asyncio's, with names that count from the loop's start, so they are the same in every run."""
        if name is None:
            self._made += 1
            name = f"task-{self._made}"
        task = super().create_task(coro, name=str(name), context=context, **options)
        self._made_tasks.add(task)
        return task

    # -- threads ---------------------------------------------------------------------------------------------

    def set_default_executor(self, executor: Any) -> None:
        """As asyncio's."""
        super().set_default_executor(executor)
        self._threads = executor

    def run_in_executor(  # type: ignore[override]  # typeshed's type of *args can't be written on Python 3.11
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """As asyncio's, but the result comes when nothing else is ready, behind that of earlier work."""
        self._check_open()
        if executor is None:
            if self._threads is None:
                self.set_default_executor(ThreadPoolExecutor(thread_name_prefix="virtual-time"))
            executor = self._threads
            assert executor is not None
        result: asyncio.Future[T] = self.create_future()
        work = executor.submit(func, *args)
        self._work.append(_ThreadWork(work, result, _name_of(func)))
        work.add_done_callback(self._wake)
        return result

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """As asyncio's, except that work which never ends is not waited for."""
        if self._threads is not None:
            self._threads.shutdown(wait=not self._work, cancel_futures=True)

    def _check_open(self) -> None:
        if self.is_closed():
            raise RuntimeError("Event loop is closed")

    def _wake(self, _: object = None) -> None:
        # From any thread, perhaps after the loop was closed (work that outlived a failed run).
        if not self.is_closed():
            self.call_soon_threadsafe(_nothing)

    @contextmanager
    def hold_time(self) -> Iterator[None]:
        """Keep virtual time still within the block; the loop waits really for what another thread sends."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            self._wake()

    async def settle(self) -> None:
        """Wait until nothing is ready and no thread works: all is done that can be done without time passing."""
        waiter: asyncio.Future[None] = self.create_future()
        self._idle_waiters.append(waiter)
        await waiter

    # -- one pass --------------------------------------------------------------------------------------------

    def _on_busy(self) -> None:
        """Something is ready. Looks at the real clock now and then: callbacks may go round in a circle."""
        self._passes += 1
        if self._passes % _REAL_CHECK_EVERY == 0:
            self._check_real_time()

    def _on_idle(self, selector: selectors.BaseSelector, timeout: float | None) -> list[Any]:
        """Nothing is ready: hand over a thread's result, or wait for one, or jump."""
        self._on_busy()
        if self._work:
            if not self._work[0].work.done():
                return self._wait_really(selector)
            self._work.popleft().hand_over()
            return []
        if self._holds:
            return self._wait_really(selector)
        if self._idle_waiters:
            waiters, self._idle_waiters = self._idle_waiters, []
            for waiter in waiters:
                _reach(waiter)
            return []
        if self._draining:
            self.stop()
            return []
        if timeout is None:
            if len(selector.get_map()) > self._own_fds:
                return self._wait_really(selector)
            raise DeadlockError(
                f"deadlock at {self._virtual_now:.3f} s: nothing is ready and nothing is scheduled.\n"
                + self.describe()
            )
        when = self._scheduled[0].when()
        if when > self._max_virtual_s:
            raise TimeLimitError(
                f"the run is not done after {self._max_virtual_s:g} virtual seconds (max_virtual_s).\n"
                + self.describe()
            )
        # Never back: a timer set in the past is due now.
        self._virtual_now = max(self._virtual_now, when)
        self._passes_at_jump = self._passes
        return []

    def _wait_really(self, selector: selectors.BaseSelector) -> list[Any]:
        self._check_real_time()
        return selector.select(max(0.0, min(0.5, self._max_real_s - self._real.now())))

    def _check_real_time(self) -> None:
        if self._real.now() <= self._max_real_s:
            return
        waits = [f"thread work that has not ended: {work.name}" for work in self._work]
        if self._holds:
            waits.append("time is held (hold_time)")
        spun = self._passes - self._passes_at_jump
        if not waits and spun > _REAL_CHECK_EVERY:
            waits.append(f"callbacks go round in a circle: {spun} passes since time last moved")
        raise TimeLimitError(
            f"the run is not done after {self._max_real_s:g} real seconds (max_real_s); "
            f"virtual time stands at {self._virtual_now:.3f} s.\n" + "\n".join([*waits, self.describe()])
        )

    # -- what went wrong -------------------------------------------------------------------------------------

    def _on_exception(self, context: Mapping[str, Any]) -> None:
        message = str(context.get("message", "unhandled exception"))
        self.swallowed.append((message, context.get("exception")))
        # The loop catches what a handler raises, so end the run; `run` raises what was collected.
        self.stop()

    def _asyncgen_finalizer_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        self._dropped.append(f"async generator dropped without aclose(): {_name_of(agen)}")
        super()._asyncgen_finalizer_hook(agen)  # type: ignore[misc]  # typeshed does not list it

    def unretrieved(self) -> list[tuple[str, BaseException]]:
        """Tasks that failed, and whose exception nobody has looked at yet: name and exception."""
        failed = []
        for task in sorted(self._made_tasks, key=_task_order):
            if task.done() and not task.cancelled() and getattr(task, "_log_traceback", False):
                error = task.exception()
                assert error is not None
                failed.append((task.get_name(), error))
        return failed

    def describe(self) -> str:
        """Every pending task with the line it waits at, and the tasks that failed unseen; for messages."""
        lines = []
        for task in sorted(asyncio.all_tasks(self), key=_task_order):
            lines.append(f"{task.get_name()} ({_name_of(task.get_coro())}) waits at")
            stack, awaited = _stack_of(task.get_coro())
            lines += [f"    {code.co_filename}:{line} in {code.co_name}" for code, line in stack]
            if awaited:
                lines.append(f"    for {awaited}")
        for name, error in self.unretrieved():
            lines.append(f"{name} failed before, and nobody looked: {error!r}")
            lines += [f"    {line}" for line in traceback.format_exception(error)[-2:]]
        lines += [f"swallowed: {message}: {error!r}" for message, error in self.swallowed]
        return "\n".join(lines) or "no task is pending"

    def leaks(self, *, besides: asyncio.Task[Any] | None = None) -> list[str]:
        """What is left: one line for each task (but for ``besides``), timer and open async generator."""
        left = [
            f"task {task.get_name()} ({_name_of(task.get_coro())})"
            for task in sorted(asyncio.all_tasks(self) - {besides}, key=_task_order)
        ]
        timers = sorted((timer for timer in self._scheduled if not timer.cancelled()), key=lambda t: t.when())
        left += [f"timer at {timer.when():.3f} s: {_name_of_handle(timer)}" for timer in timers]
        open_generators = [_name_of(agen) for agen in self._asyncgens if agen.ag_frame is not None]  # type: ignore[attr-defined]
        left += [f"open async generator {name}" for name in sorted(open_generators)]
        return left + self._dropped

    def drain(self) -> None:
        """Run what is ready, and what threads still do, until time would have to move. The loop must be stopped."""
        self._draining = True
        try:
            self.run_forever()
        finally:
            self._draining = False

    def grant(self, *, virtual_s: float, real_s: float) -> None:
        """Extend the limits so that what must be cleaned up after a failure can be."""
        self._max_virtual_s = self._virtual_now + virtual_s
        self._max_real_s = self._real.now() + real_s


class _ThreadWork:
    """One call in an executor, and the future that its waiter has."""

    __slots__ = ("name", "result", "work")

    def __init__(self, work: Future[Any], result: asyncio.Future[Any], name: str) -> None:
        self.work = work
        self.result = result
        self.name = name

    def hand_over(self) -> None:
        error = None if self.work.cancelled() else self.work.exception()
        if self.result.done():
            return
        if self.work.cancelled():
            self.result.cancel()
        elif error is not None:
            self.result.set_exception(error)
        else:
            self.result.set_result(self.work.result())


class _JumpingSelector(selectors.BaseSelector):
    """The place where an event loop waits: this one asks the loop what to do instead."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = weakref.ref(loop)
        self._inner = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        loop = self._loop()
        assert loop is not None
        if ready or (timeout is not None and timeout <= 0):
            loop._on_busy()
            return ready
        return loop._on_idle(self._inner, timeout)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def close(self) -> None:
        self._inner.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()


# -- running -------------------------------------------------------------------------------------------------


def run(
    main: Coroutine[Any, Any, T],
    *,
    seed: int = 0,
    max_virtual_s: float = 3600.0,
    max_real_s: float = 60.0,
    check_leaks: bool = True,
) -> T:
    """Run a coroutine to its end on virtual time, and return its result.

    Args:
        main: what to run. Virtual time begins at 0.
        seed: of the identifiers that `repartee.chat.new_id` gives meanwhile. Default: 0.
        max_virtual_s: limit on virtual time. Default: one hour.
        max_real_s: limit on real time. Default: 60. A callback that never returns can't be stopped by it.
        check_leaks: whether to fail when a task, timer or open async generator is left. Default: ``True``.

    Raises:
        DeadlockError: nothing could ever happen any more.
        TimeLimitError: one of the limits was passed.
        LeakError: something is left at the end.
        SwallowedError: an exception reached nobody.
    """
    loop = VirtualTimeLoop(max_virtual_s=max_virtual_s, max_real_s=max_real_s)
    with seeded_ids(seed):
        try:
            result = _run_main(loop, main)
            _check_end(loop, check_leaks=check_leaks)
            return result
        finally:
            _clean_up(loop)


def _run_main(loop: VirtualTimeLoop, main: Coroutine[Any, Any, T]) -> T:
    task = loop.create_task(main, name="main")
    try:
        result: T = loop.run_until_complete(task)
    except RuntimeError:
        # What run_until_complete raises when the exception handler stopped the loop.
        if task.done() or not loop.swallowed:
            raise
        _raise_swallowed(loop)
        raise
    except BaseException as error:
        if loop.swallowed and not isinstance(error, VirtualTimeError):
            error.add_note("meanwhile: " + "; ".join(f"{text}: {e!r}" for text, e in loop.swallowed))
        raise
    return result


def _check_end(loop: VirtualTimeLoop, *, check_leaks: bool) -> None:
    loop.drain()
    loop.swallowed += [(f"{name} failed, and nobody looked", error) for name, error in loop.unretrieved()]
    if loop.swallowed:
        _raise_swallowed(loop)
    left = loop.leaks() if check_leaks else []
    if left:
        raise LeakError(f"left at the end ({loop.time():.3f} s):\n  " + "\n  ".join(left))


def _raise_swallowed(loop: VirtualTimeLoop) -> None:
    lines = [f"{message}: {error!r}" for message, error in loop.swallowed]
    cause = next((error for _, error in loop.swallowed if error is not None), None)
    raise SwallowedError(f"swallowed by {loop.time():.3f} s:\n  " + "\n  ".join(lines)) from cause


def _clean_up(loop: VirtualTimeLoop) -> None:
    """Cancel what is left and close the loop; what fails now is only a consequence of what failed before."""
    loop.grant(virtual_s=_CLEANUP_VIRTUAL_S, real_s=_CLEANUP_REAL_S)
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(_settled(sorted(left, key=_task_order)))
        loop.run_until_complete(loop.shutdown_asyncgens())
    except (VirtualTimeError, RuntimeError):
        pass
    finally:
        if loop._threads is not None:
            loop._threads.shutdown(wait=not loop._work, cancel_futures=True)
        loop.close()


async def _settled(tasks: list[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


@overload
def virtual_time(test: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, T]: ...


@overload
def virtual_time(
    *,
    seed: int = ...,
    max_virtual_s: float = ...,
    max_real_s: float = ...,
    check_leaks: bool = ...,
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, T]]: ...


def virtual_time(test: Callable[..., Coroutine[Any, Any, Any]] | None = None, /, **options: Any) -> Any:
    """Make an async test an ordinary one that runs on virtual time. Takes the options of `run`, or none.

    Works on functions and methods, with any test runner; fixtures and parameters pass through.
    """

    def decorate(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
        @functools.wraps(function)
        def on_virtual_time(*args: P.args, **kwargs: P.kwargs) -> T:
            return run(function(*args, **kwargs), **options)

        return on_virtual_time

    return decorate if test is None else decorate(test)


@contextmanager
def seeded_ids(seed: int) -> Iterator[None]:
    """Within the block `repartee.chat.new_id` gives the same ids for the same seed, in the whole process."""
    before = items._random
    items._random = random.Random(seed)
    try:
        yield
    finally:
        items._random = before


@contextmanager
def hold_time() -> Iterator[None]:
    """Keep virtual time still within the block, while a thread that the loop does not know of works.

    On any other event loop it does nothing.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        yield
        return
    with loop.hold_time():
        yield


async def sleep_until(when_s: float) -> None:
    """Wait until the loop's time is exactly ``when_s`` (or go on at once where that has passed)."""
    loop = asyncio.get_running_loop()
    if loop.time() >= when_s:
        await asyncio.sleep(0)
        return
    reached: asyncio.Future[None] = loop.create_future()
    timer = loop.call_at(when_s, _reach, reached)
    try:
        await reached
    finally:
        timer.cancel()


async def elapse(seconds: float) -> None:
    """Let time pass. 0: until all is done that can be done without time passing (elsewhere: one pass of the loop)."""
    loop = asyncio.get_running_loop()
    if seconds > 0 or not isinstance(loop, VirtualTimeLoop):
        await sleep_until(loop.time() + seconds)
    else:
        await loop.settle()


def _reach(reached: asyncio.Future[None]) -> None:
    if not reached.done():
        reached.set_result(None)


# -- names for messages --------------------------------------------------------------------------------------


def _nothing() -> None:
    """Only wakes the loop."""


def _task_order(task: asyncio.Task[Any]) -> tuple[str, int, str]:
    """By name, ``task-10`` behind ``task-9``: the set they come from has an order of its own in every run."""
    name = task.get_name()
    head, _, number = name.rpartition("-")
    return (head, int(number), name) if number.isdigit() else (name, 0, name)


def _name_of(thing: object) -> str:
    inner: object = thing
    while isinstance(inner, functools.partial):
        # asyncio.to_thread wraps its function in Context.run.
        in_context = isinstance(getattr(inner.func, "__self__", None), Context) and inner.args
        inner = inner.args[0] if in_context else inner.func
    if callable(inner):
        inner = inspect.unwrap(inner)
    return str(getattr(inner, "__qualname__", None) or type(inner).__qualname__)


def _name_of_handle(handle: asyncio.Handle) -> str:
    # A cancelled handle has no callback; those are not asked about.
    return _name_of(getattr(handle, "_callback", None))


def _stack_of(coroutine: object) -> tuple[list[tuple[CodeType, int]], str]:
    """Where a suspended coroutine stands, outermost first, and what it waits for in the end."""
    frames: list[tuple[CodeType, int]] = []
    inner: object = coroutine
    while inner is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(inner, f"{kind}_frame", None)
            if isinstance(frame, FrameType):
                frames.append((frame.f_code, frame.f_lineno))
                inner = getattr(inner, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)
                break
        else:
            return frames, _describe_awaited(inner)
    return frames, ""


def _describe_awaited(awaited: object) -> str:
    if isinstance(awaited, asyncio.Task):
        return f"task {awaited.get_name()}"
    if isinstance(awaited, asyncio.Future):
        return "a future that nobody has set"
    return type(awaited).__qualname__
