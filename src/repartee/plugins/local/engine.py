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

**The open port.** The binding always listens for HTTP, without a key and for any origin. Here it listens on a unix
socket in a private directory, and both are unlinked as soon as it listens, so nobody can connect; where there are no
unix sockets, a random key guards the port. Neither is ever used: requests are made in process.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import os
import secrets
import shutil
import socket
import tempfile
import threading
import weakref
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal

from repartee.errors import (
    ConfigurationError,
    MissingDependencyError,
    ModelError,
    ModelTimeoutError,
    ReparteeError,
    Stage,
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
_PREFILL_TOKENS = 64  # prompt tokens between two chances to cancel: about 0.3 s on a slow core
_MAX_SOCKET_PATH = 100  # sun_path holds 104 bytes on macOS, 108 on Linux
_UNIX_SOCKETS = hasattr(socket, "AF_UNIX")


class Priority(IntEnum):
    """Who goes first."""

    COMMITTED = 0
    SPECULATIVE = 1
    PREWARM = 2


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What an engine is made of; equal settings share one.

    Raises:
        ConfigurationError: a number is out of range.
    """

    model: Path
    context_tokens: int = 1536
    """Room of each slot."""
    conversations: int = 3
    """Conversations whose prompts are kept at a time; more take turns."""
    threads: int | None = None
    """``None``: as many as this process may use, at most 4."""

    def __post_init__(self) -> None:
        for name, value, least in (
            ("context_tokens", self.context_tokens, 256),
            ("conversations", self.conversations, 1),
            ("threads", self.threads if self.threads is not None else 1, 1),
        ):
            if value < least:
                raise ConfigurationError(f"{name} is {value}; it must be at least {least}")

    @property
    def thread_count(self) -> int:
        """Threads that compute."""
        return self.threads if self.threads is not None else min(4, _usable_cores())


@dataclass(frozen=True, slots=True)
class Generation:
    """One request. Either ``prompt`` (text with the model's own markers) or ``messages`` (its template is applied)."""

    prompt: str = ""
    messages: tuple[dict[str, str], ...] = ()
    role: Literal["conversation", "turn"] = "conversation"
    """Which slots it may use."""
    priority: Priority = Priority.COMMITTED
    max_tokens: int = 64
    options: dict[str, Any] = field(default_factory=dict)
    """llama.cpp's own: ``temperature``, ``top_p``, ``min_p``, ``repeat_penalty``, ``stop``, ``grammar``,
    ``json_schema``, ``seed``, …"""
    probabilities: int = 0
    """How many of the likeliest next tokens to report with each piece."""
    cache_prompt: bool = True
    deadline_s: float | None = None
    """From now until the last piece; ``None``: no limit."""
    stage: Stage = "llm"
    """The part of the conversation named by its errors."""

    @property
    def text(self) -> str:
        """The prompt as text, for finding the slot that holds its beginning."""
        return self.prompt or "".join(f"<{m['role']}>{m['content']}" for m in self.messages)


@dataclass(frozen=True, slots=True)
class Started:
    """The prompt is being read."""

    input_tokens: int
    cached_tokens: int
    """How many of them the slot had already."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The next text, and where asked for, the likeliest tokens at its place as (token id, text, log probability).

    A special token, such as the one that ends a turn, has the text ``""``.
    """

    text: str
    likeliest: tuple[tuple[int, str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """The last thing that a request yields."""

    reason: Literal["stop", "length"]
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    prompt_ms: float = 0.0
    generation_ms: float = 0.0


class _Slot:
    __slots__ = ("index", "job", "role", "text", "used_at")

    def __init__(self, index: int, role: str) -> None:
        self.index = index
        self.role = role
        self.text = ""
        self.job: _Job | None = None
        self.used_at = 0

    def worth(self, text: str) -> float:
        """Characters that ``text`` finds done here, less half of those that would be lost."""
        common = _common_prefix(self.text, text)
        return common - 0.5 * (len(self.text) - common)


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
            self._dispatch()
        return job

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
                for thing in _parse(chunk, generation.stage):
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

        body = _body(generation, slot.index)
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
                self._server = _open_server(self.settings)
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


# -- the binding -----------------------------------------------------------------------------------------------


def _open_server(settings: EngineSettings) -> Any:
    binding = _import_binding()
    params = binding.CommonParams()
    params.model.path = str(settings.model)
    slots = settings.conversations + 1
    params.n_parallel = slots
    params.n_ctx = settings.context_tokens * slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.thread_count
    params.n_batch = params.n_ubatch = max(_PREFILL_TOKENS, slots)
    params.n_threads_http = 1  # nobody can connect
    params.cache_ram_mib = 0  # prompts are kept in slots only
    params.fit_params = False
    params.warmup = False  # reads all weights once; `prewarm` does that usefully
    params.verbosity = -1
    params.api_keys = [secrets.token_urlsafe(32)]
    private = tempfile.mkdtemp(prefix="repartee-") if _UNIX_SOCKETS else ""
    try:
        path = os.path.join(private, "engine.sock")  # the name must end so
        if private and len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
            params.hostnames = [path]
        else:
            params.hostnames, params.port = ["127.0.0.1"], 0
        return binding.Server(params)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"llama.cpp could not load {settings.model}: {error}; see `repartee doctor`",
            stage="llm",
            provider="local",
            recoverable=False,
        ) from error
    finally:
        if private:  # the socket stays open for its server, and is out of everyone else's reach
            shutil.rmtree(private, ignore_errors=True)


def _import_binding() -> Any:
    # GNU OpenMP lets a thread that waits spin for milliseconds. When there are more busy threads than cores, as in
    # every conversation (recogniser, voice, model), it then spins away the time of the very thread it waits for: a
    # token took 900 ms instead of 12 (measured: two threads, two cores, one other busy process). A short spin
    # costs a tenth when nothing else runs. libgomp reads this once, when it is loaded; the caller's choice stands.
    ours = "GOMP_SPINCOUNT" not in os.environ and "OMP_WAIT_POLICY" not in os.environ
    if ours:
        os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        return importlib.import_module("xllamacpp")
    except ImportError as error:
        raise MissingDependencyError(
            "the local language model", package="xllamacpp", extra="local", detail=str(error)
        ) from error
    finally:
        if ours:
            os.environ.pop("GOMP_SPINCOUNT", None)


def _stopped(stage: Stage) -> ModelError:
    return ModelError(
        "the request was stopped: the local model had to serve a more urgent one, or was closed",
        stage=stage,
        provider="local",
        code="stopped",
    )


def _body(generation: Generation, slot: int) -> dict[str, Any]:
    body: dict[str, Any] = {
        **generation.options,
        "id_slot": slot,
        "cache_prompt": generation.cache_prompt,
        "stream": True,
        "return_progress": True,  # a callback after each piece of the prompt: the chance to cancel
    }
    if generation.messages:
        body |= {"messages": list(generation.messages), "max_tokens": generation.max_tokens}
        if generation.probabilities:
            body |= {"logprobs": True, "top_logprobs": generation.probabilities}
    else:
        body |= {"prompt": generation.prompt, "n_predict": generation.max_tokens}
        if generation.probabilities:
            body["n_probs"] = generation.probabilities
    return body


def _parse(chunk: dict[str, Any], stage: Stage) -> Iterator[Started | Piece | Finished | Exception]:
    if "error" in chunk:
        error = chunk["error"]
        yield ModelError(
            f"the local model refused: {error.get('message', error)}",
            stage=stage,
            provider="local",
            recoverable=False,
            code=error.get("type"),
        )
        return
    progress = chunk.get("prompt_progress")
    if progress is not None and progress["processed"] <= progress["cache"]:
        yield Started(int(progress["total"]), int(progress["cache"]))
    choice = chunk["choices"][0]
    text = choice["text"] if "text" in choice else (choice["delta"].get("content") or "")
    logprobs = (choice.get("logprobs") or {}).get("content") or ()
    likeliest = tuple(
        (int(top["id"]), str(top["token"]), float(top["logprob"]))
        for entry in logprobs[:1]
        for top in entry["top_logprobs"]
    )
    if text or likeliest:
        yield Piece(text, likeliest)
    if choice["finish_reason"] is not None:
        timings = chunk.get("timings", {})
        cached = int(timings.get("cache_n", 0))
        yield Finished(
            reason="length" if choice["finish_reason"] == "length" else "stop",
            input_tokens=int(timings.get("prompt_n", 0)) + cached,
            cached_tokens=cached,
            output_tokens=int(timings.get("predicted_n", 0)),
            prompt_ms=float(timings.get("prompt_ms", 0.0)),
            generation_ms=float(timings.get("predicted_ms", 0.0)),
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


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
