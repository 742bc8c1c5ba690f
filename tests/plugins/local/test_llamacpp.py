"""What is asked of llama.cpp, how its answers are read, and that nobody else can reach it."""

from __future__ import annotations

import builtins
import http.client
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from repartee.errors import ConfigurationError, MissingDependencyError, ModelError
from repartee.plugins.local import llamacpp
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
from tests.plugins.local.weights_here import needs_weights, weights_file

MODEL = Path("model.gguf")


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"context_tokens": 10}, "context_tokens is 10; it must be at least 256"),
        ({"conversations": 0}, "conversations is 0"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        EngineSettings(MODEL, **wrong)


def test_threads_are_as_many_as_cores_but_not_more_than_four(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EngineSettings(MODEL, threads=7).thread_count == 7
    monkeypatch.setattr(llamacpp, "_usable_cores", lambda: 2)
    assert EngineSettings(MODEL).thread_count == 2
    monkeypatch.setattr(llamacpp, "_usable_cores", lambda: 64)
    assert EngineSettings(MODEL).thread_count == 4


def test_a_prompt_is_a_completion() -> None:
    body = body_of(
        Generation(prompt="hi", max_tokens=3, options={"temperature": 0.5}, probabilities=9), slot=2
    )
    assert (body["prompt"], body["n_predict"], body["n_probs"], body["id_slot"]) == ("hi", 3, 9, 2)
    assert body["temperature"] == 0.5
    assert body["cache_prompt"]
    assert "messages" not in body


def test_messages_are_a_chat() -> None:
    messages = ({"role": "user", "content": "hi"},)
    generation = Generation(messages=messages, max_tokens=3, probabilities=4)
    body = body_of(generation, slot=0)
    assert (body["messages"], body["max_tokens"]) == (list(messages), 3)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 4)
    assert "prompt" not in body
    assert generation.text == "<user>hi"


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"logprobs": None, "finish_reason": None, **fields}]}


def test_chunks_are_read() -> None:
    progress = choice(text="") | {"prompt_progress": {"total": 40, "cache": 30, "processed": 30}}
    assert list(parse(progress, "llm")) == [Started(40, 30)]
    later = choice(text="") | {"prompt_progress": {"total": 40, "cache": 30, "processed": 40}}
    assert list(parse(later, "llm")) == []
    assert list(parse(choice(text=" yes"), "llm")) == [Piece(" yes")]
    assert list(parse(choice(delta={"role": "assistant", "content": None}), "llm")) == []
    assert list(parse(choice(delta={"content": "yes"}), "llm")) == [Piece("yes")]
    top = {"content": [{"top_logprobs": [{"id": 2, "token": "", "logprob": -0.5}]}]}
    assert list(parse(choice(text="", logprobs=top), "llm")) == [Piece("", ((2, "", -0.5),))]


def test_the_last_chunk_has_the_cost() -> None:
    timings = {"cache_n": 30, "prompt_n": 10, "predicted_n": 5, "prompt_ms": 1.5, "predicted_ms": 2.5}
    last = choice(text="", finish_reason="stop") | {"timings": timings}
    assert list(parse(last, "llm")) == [Finished("stop", 40, 30, 5, 1.5, 2.5)]
    cut = choice(delta={}, finish_reason="length")
    assert list(parse(cut, "llm")) == [Finished("length")]


def test_a_refusal_is_an_error_with_its_code() -> None:
    chunk = {"error": {"message": "too long", "type": "exceed_context_size_error"}}
    (error,) = parse(chunk, "turn_detector")
    assert isinstance(error, ModelError)
    assert (error.stage, error.code, error.recoverable) == (
        "turn_detector",
        "exceed_context_size_error",
        False,
    )


def test_priorities_are_in_order() -> None:
    assert Priority.COMMITTED < Priority.SPECULATIVE < Priority.PREWARM


def test_a_missing_binding_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingDependencyError, match=r"xllamacpp.*repartee\[local\]"):
        open_server(EngineSettings(MODEL))


@pytest.mark.parametrize("chosen", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}])
def test_waiting_threads_may_not_spin_long_unless_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch, chosen: dict[str, str]
) -> None:
    seen: list[str | None] = []

    def look(name: str) -> object:
        seen.append(os.environ.get("GOMP_SPINCOUNT"))
        return builtins

    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(importlib, "import_module", look)
    llamacpp._import_binding()
    assert seen == [chosen.get("GOMP_SPINCOUNT", None if chosen else "1000")]
    assert os.environ.get("GOMP_SPINCOUNT") == chosen.get("GOMP_SPINCOUNT"), "the environment is as before"


def listening_ports() -> set[int]:
    """The TCP ports that this process listens on (Linux)."""
    mine = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            mine.add(os.readlink(descriptor))
        except OSError:  # the directory's own
            continue
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in mine}


@needs_weights
@pytest.mark.local
@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="looks at Linux's list of sockets")
def test_no_port_is_open_and_the_socket_is_out_of_reach() -> None:
    before = listening_ports()
    server = open_server(EngineSettings(weights_file(), conversations=1))
    address: str = server.listening_address
    assert address.startswith("unix://")
    assert not Path(address.removeprefix("unix://")).parent.exists(), "the private directory is gone"
    assert listening_ports() == before


@needs_weights
@pytest.mark.local
def test_where_there_are_no_unix_sockets_a_key_guards_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llamacpp, "_UNIX_SOCKETS", False)
    server = open_server(EngineSettings(weights_file(), conversations=1))
    host, port = server.listening_address.removeprefix("http://").split(":")
    assert host == "127.0.0.1"
    for path, method in (
        ("/completion", "POST"),
        ("/v1/chat/completions", "POST"),
        ("/slots", "GET"),
        ("/props", "GET"),
    ):
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        try:
            body = '{"prompt": "hi", "n_predict": 1}' if method == "POST" else None
            connection.request(
                method, path, body, {"Origin": "http://evil.example", "Content-Type": "application/json"}
            )
            assert connection.getresponse().status == 401, path
        finally:
            connection.close()


@needs_weights
@pytest.mark.local
def test_a_file_that_llama_cannot_load_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="could not load"):
        open_server(EngineSettings(tmp_path / "absent.gguf"))
