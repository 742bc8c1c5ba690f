"""llama.cpp through its binding ``xllamacpp``: what is asked of it, what it answers, and how it is opened.

**The open port.** The binding always listens for HTTP, without a key and for any origin. Here it listens on a unix
socket in a private directory, and both are unlinked as soon as it listens, so nobody can connect; where there are no
unix sockets, a random key guards the port. Neither is ever used: requests are made in process.
"""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal

from repartee.errors import ConfigurationError, MissingDependencyError, ModelError, Stage
from repartee.plugins.local.requantize import fast_copy
from repartee.plugins.local.weights import is_default

__all__ = [
    "EngineSettings",
    "Finished",
    "Generation",
    "Piece",
    "Priority",
    "Started",
    "body_of",
    "open_server",
    "parse",
]

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
    session: object = None
    """Where given, a newer request of the same session and role ends this one (`ModelError`, ``superseded``)."""
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


# -- opening -----------------------------------------------------------------------------------------------


def open_server(settings: EngineSettings) -> Any:
    """Load the model, and start llama.cpp's threads. They end when the last reference is gone.

    Raises:
        MissingDependencyError: the binding is not installed.
        ModelError: the file could not be loaded.
    """
    binding = _import_binding()
    params = binding.CommonParams()
    params.model.path = str(fast_copy(settings.model) if is_default(settings.model) else settings.model)
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
        server = binding.Server(params)
        _await_loop(server)
        return server
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


def _await_loop(server: Any) -> None:
    """Wait until llama.cpp's thread takes requests. Before that it can't be told to end: it forgets, and never does."""
    server.handle_completions({"prompt": "a", "n_predict": 1, "cache_prompt": False}, lambda _: False)


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


def body_of(generation: Generation, slot: int) -> dict[str, Any]:
    """The request as llama.cpp's server reads it."""
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


def parse(chunk: dict[str, Any], stage: Stage) -> Iterator[Started | Piece | Finished | Exception]:
    """What one chunk of the server's answer says; an `Exception` is given, not raised."""
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


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
