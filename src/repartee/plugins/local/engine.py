"""One llama.cpp engine for each model in the process, shared by whoever holds it.

**Threads.** ``xllamacpp.Server`` runs llama.cpp's own server engine on C++ threads; a request blocks the thread that
makes it, with the GIL released. So each request has a thread of its own while it runs (never more than there are
slots), and hands its pieces to the event loop that asked. An engine may serve several loops.

**Slots.** A slot keeps the keys and values of the last prompt it saw, so a prompt that continues it costs only what is
new. Conversations share ``conversations`` slots: a request gets the one whose text it continues best, against what
would be lost there, else the one that was idle longest. End-of-turn questions have a slot of their own, so that they
never push a conversation out.

**Order.** A request that finds no slot waits in a queue of at most 64: committed turns before speculative answers
before prewarming, then first come, first served. When it is full the newest of the lowest rank is refused
(`ModelError`, code ``queue_full``). A committed turn ends a prewarming that holds the slot it wants.

**Cancelling** takes effect between two tokens, or between two pieces of 64 prompt tokens.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
import weakref
from collections.abc import AsyncGenerator
from typing import Any

from repartee.errors import (
    ModelError,
    ModelTimeoutError,
    ReparteeError,
    Stage,
)
from repartee.plugins.local.llamacpp import (
    EngineSettings,
    Finished,
    Generation,
    Piece,
    Priority,
    Started,
    body_of,
    open_server,
    parse,
)

__all__ = [
    "Engine",
    "EngineSettings",
    "Finished",
    "Generation",
    "Piece",
    "Priority",
    "Started",
    "acquire",
    "engines",
]

_QUEUE_LIMIT = 64


class _Slot:
    __slots__ = ("index", "job", "role", "text", "used_at")

    def __init__(self, index: int, role: str) -> None:
        self.index = index
        self.role = role
        self.text = ""
        self.job: _Job | None = None
        self.used_at = 0

    def worth(self, text: str) -> float:
        """Characters that ``text`` finds done here, less half of those that would be lost; at least 0."""
        common = _common_prefix(self.text, text)
        return max(0.0, common - 0.5 * (len(self.text) - common))


class _Job:
    """One request on its way: made on an event loop, run on a thread."""

    __slots__ = ("abandoned", "generation", "loop", "number", "out", "stopped", "text")

    def __init__(self, generation: Generation, number: int) -> None:
        self.generation = generation
        self.number = number
        self.text = generation.text
        self.abandoned = False  # nobody listens
        self.stopped = False  # it shall end
        self.loop = asyncio.get_running_loop()
        # Bounded by nature: a piece for each token, and one end. Nothing is ever refused here.
        self.out: asyncio.Queue[Started | Piece | Finished | Exception] = asyncio.Queue(
            generation.max_tokens + 8
        )

    @property
    def rank(self) -> tuple[int, int]:
        return (self.generation.priority, self.number)

    def give(self, thing: Started | Piece | Finished | Exception) -> None:
        """From any thread."""
        try:
            self.loop.call_soon_threadsafe(self._put, thing)
        except RuntimeError:  # the loop is closed: nobody listens any more
            self.abandon()

    def _put(self, thing: Started | Piece | Finished | Exception) -> None:
        if not self.abandoned:
            self.out.put_nowait(thing)

    def abandon(self) -> None:
        """Stop it; nobody wants what it yields."""
        self.abandoned = self.stopped = True


class Engine:
    """One model in memory. Get it by `acquire`, and give it back by `release`.

    It loads on first use. Any thread and any event loop may use it.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._load_lock = threading.Lock()
        self._server: Any = None
        self._holders = 0
        self._counter = 0
        self._waiting: list[_Job] = []
        self._slots = [_Slot(index, "conversation") for index in range(settings.conversations)]
        self._slots.append(_Slot(settings.conversations, "turn"))

    # -- asking ----------------------------------------------------------------------------------------------

    async def generate(self, generation: Generation) -> AsyncGenerator[Started | Piece | Finished, None]:
        """Yield a `Started`, the answer's pieces, then one `Finished`. Closing the generator cancels the request.

        Raises:
            ModelError: llama.cpp refused or failed, or too many requests wait (code ``queue_full``).
            ModelTimeoutError: its deadline has passed.
        """
        job = self._submit(generation)
        timer = None
        if generation.deadline_s is not None:
            late = ModelTimeoutError(
                f"the local model did not finish within {generation.deadline_s:g} s; "
                "ask for fewer tokens, use a smaller model, or allow more time",
                stage=generation.stage,
                provider="local",
            )
            timer = job.loop.call_later(generation.deadline_s, job._put, late)
        try:
            while True:
                thing = await job.out.get()
                if isinstance(thing, Exception):
                    raise thing
                yield thing
                if isinstance(thing, Finished):
                    return
        finally:
            if timer is not None:
                timer.cancel()
            self._cancel(job)

    async def load(self) -> None:
        """Load the model now, off the event loop.

        Raises:
            MissingDependencyError: the binding is not installed.
            ModelError: the file could not be loaded.
        """
        await _in_thread(self._loaded, "load")

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._server is not None

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests that hold a slot."""
        return sum(slot.job is not None for slot in self._slots)

    # -- the queue and the slots (under the lock) --------------------------------------------------------------

    def _submit(self, generation: Generation) -> _Job:
        with self._lock:
            if not self._holders:
                raise ModelError("this local engine was released; make a new model", stage=generation.stage)
            self._counter += 1
            job = _Job(generation, self._counter)
            if len(self._waiting) >= _QUEUE_LIMIT:
                last = max(self._waiting, key=lambda waiting: waiting.rank)
                refused = max(job, last, key=lambda each: each.rank)
                refusal = ModelError(
                    f"{_QUEUE_LIMIT} requests wait for the local model already; try again when it has caught up",
                    stage=generation.stage,
                    provider="local",
                    code="queue_full",
                )
                if refused is job:
                    raise refusal
                self._waiting.remove(last)
                last.give(refusal)
            self._waiting.append(job)
            self._supersede(job)
            self._dispatch()
        return job

    def _supersede(self, newer: _Job) -> None:
        if newer.generation.session is None:
            return
        running = [slot.job for slot in self._slots if slot.job is not None]
        for job in [*self._waiting, *running]:
            same = (job.generation.session, job.generation.role) == (
                newer.generation.session,
                newer.generation.role,
            )
            if job is newer or job.stopped or not same:
                continue
            job.stopped = True
            job.give(
                ModelError(
                    "this question was superseded by a newer one of its session",
                    stage=job.generation.stage,
                    provider="local",
                    code="superseded",
                )
            )
            if job in self._waiting:
                self._waiting.remove(job)

    def _dispatch(self) -> None:
        """Start every waiting request that has a slot to go to."""
        for job in sorted(self._waiting, key=lambda waiting: waiting.rank):
            slot = self._choose(job)
            if slot is None:
                continue
            self._waiting.remove(job)
            slot.job, slot.text = job, job.text
            # Not a daemon: the interpreter waits for it at exit, and it ends at its next token then. A daemon
            # would be left inside C++ code that calls back into a dead interpreter.
            threading.Thread(target=self._run, args=(job, slot), name=f"repartee-llm-{slot.index}").start()

    def _choose(self, job: _Job) -> _Slot | None:
        def worth(slot: _Slot) -> tuple[float, int]:
            return (slot.worth(job.text), -slot.used_at)

        slots = [slot for slot in self._slots if slot.role == job.generation.role]
        idle = max((slot for slot in slots if slot.job is None), key=worth, default=None)
        # A slot that is about to be free may be worth waiting for: it often holds this very conversation, whose
        # speculative answer or prewarming was just given up.
        for slot in slots:
            busy = slot.job
            if busy is None or (idle is not None and slot.worth(job.text) < idle.worth(job.text) + 32):
                continue
            if busy.generation.priority is Priority.PREWARM and job.generation.priority is Priority.COMMITTED:
                busy.stopped = True
            if busy.stopped:
                return None
        return idle

    def _cancel(self, job: _Job) -> None:
        job.abandon()
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)

    # -- running (on a thread of its own) ----------------------------------------------------------------------

    def _run(self, job: _Job, slot: _Slot) -> None:
        said: list[str] = []
        end: Finished | Exception | None = None
        try:
            if not job.stopped:
                end = self._serve(job, slot, said)
        except ReparteeError as error:
            end = error
        finally:
            with self._lock:
                self._counter += 1
                slot.job, slot.used_at = None, self._counter
                slot.text = job.text + "".join(said) if job.generation.cache_prompt else ""
                self._dispatch()
                self._idle.notify_all()
            # Only now, so that a conversation's next request finds its slot free.
            job.give(end or _stopped(job.generation.stage))

    def _serve(self, job: _Job, slot: _Slot, said: list[str]) -> Finished | Exception | None:
        """Run one request; its pieces are given at once, its end is returned."""
        generation = job.generation
        server = self._loaded()
        failure: list[Exception] = []
        ends: list[Finished | Exception] = []

        def on_chunk(chunk: dict[str, Any]) -> bool:
            # True stops the request. An exception in here would be swallowed by the binding, hence the net.
            try:
                for thing in parse(chunk, generation.stage):
                    if isinstance(thing, Piece):
                        said.append(thing.text)
                    if isinstance(thing, Started | Piece):
                        job.give(thing)
                    else:
                        ends.append(thing)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                failure.append(error)
                return True
            return job.stopped or not threading.main_thread().is_alive()

        body = body_of(generation, slot.index)
        try:
            if generation.messages:
                server.handle_chat_completions(body, on_chunk)
            else:
                server.handle_completions(body, on_chunk)
        except (RuntimeError, ValueError, TypeError) as error:
            failure.append(error)
        if failure:
            raise ModelError(
                f"llama.cpp failed: {failure[0]}", stage=generation.stage, provider="local"
            ) from failure[0]
        return ends[0] if ends else None

    # -- loading and unloading ---------------------------------------------------------------------------------

    def _loaded(self) -> Any:
        with self._load_lock:
            if self._server is None:
                self._server = open_server(self.settings)
            return self._server

    def _hold(self) -> Engine:
        with self._lock:
            self._holders += 1
        return self

    def _let_go(self) -> bool:
        """Give up one hold; whether it was the last."""
        with self._lock:
            self._holders = max(0, self._holders - 1)
            return self._holders == 0

    def _close(self) -> None:
        """End every request, then free the model. Blocks for a token or two."""
        with self._lock:
            for waiting in self._waiting:
                waiting.give(ModelError("the local engine was closed", stage="llm", provider="local"))
            self._waiting.clear()
            for slot in self._slots:
                if slot.job is not None:
                    slot.job.stopped = True
            self._idle.wait_for(lambda: all(slot.job is None for slot in self._slots))
            for slot in self._slots:
                slot.text = ""
        with self._load_lock:
            self._server = None  # its destructor joins llama.cpp's threads

    async def release(self) -> None:
        """Give up one hold. The last one frees the model: its requests end, its threads are gone on return."""
        if _forget(self):
            await _in_thread(self._close, "close")

    def release_soon(self) -> None:
        """As `release`, for those who can't await: the model is freed on a thread of its own."""
        if _forget(self):
            threading.Thread(target=self._close, name="repartee-llm-close").start()


# -- one engine for equal settings -----------------------------------------------------------------------------

_registry_lock = threading.Lock()
_registry: dict[EngineSettings, Engine] = {}


def acquire(settings: EngineSettings, *, any_settings: bool = False) -> Engine:
    """Hold the engine of these settings; it is made if there is none, and loads on first use.

    Args:
        settings: what it is made of.
        any_settings: whether another engine of the same file will do, which saves its memory. Default: ``False``.
    """
    with _registry_lock:
        engine = _registry.get(settings)
        if engine is None and any_settings:
            engine = next((e for e in _registry.values() if e.settings.model == settings.model), None)
        if engine is None:
            engine = _registry[settings] = Engine(settings)
        return engine._hold()


def hold_for(owner: object, engine: Engine) -> weakref.finalize[..., Any]:
    """Release ``engine`` when ``owner`` is collected without having done so; call ``detach()`` when it has."""
    finalizer = weakref.finalize(owner, engine.release_soon)
    finalizer.atexit = False  # at exit every engine is closed in any case
    return finalizer


def engines() -> tuple[Engine, ...]:
    """The engines that somebody holds."""
    with _registry_lock:
        return tuple(_registry.values())


def _forget(engine: Engine) -> bool:
    with _registry_lock:
        if not engine._let_go():
            return False
        if _registry.get(engine.settings) is engine:
            del _registry[engine.settings]
        return True


@atexit.register
def _close_all() -> None:
    # Request threads are joined by now. Freed here, not when modules are torn down, so that C++ threads end first.
    for engine in engines():
        engine._close()


def _stopped(stage: Stage) -> ModelError:
    return ModelError(
        "the request was stopped: the local model had to serve a more urgent one, or was closed",
        stage=stage,
        provider="local",
        code="stopped",
    )


def _common_prefix(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:  # by halves: prompts are thousands of characters, and this runs on the event loop
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


async def _in_thread(work: Any, what: str) -> None:
    """Run ``work`` on a thread of its own (not the loop's executor, whose threads stay) and await its end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def main() -> None:
        error: BaseException | None = None
        try:
            work()
        except BaseException as caught:  # handed over, whatever it is
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, error)

    thread = threading.Thread(target=main, name=f"repartee-llm-{what}")
    thread.start()
    try:
        await done
    finally:
        if done.done() and not done.cancelled():
            thread.join()  # only its last few instructions are left
