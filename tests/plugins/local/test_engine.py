"""One engine for each model: who gets which slot, who goes first, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.errors import ModelError, ModelTimeoutError
from repartee.plugins.local import engine as engine_module
from repartee.plugins.local.engine import (
    Engine,
    EngineSettings,
    Finished,
    Generation,
    Piece,
    Priority,
    Started,
    acquire,
    engines,
    hold_for,
)
from tests.plugins.local.weights_here import needs_weights, weights_file

Callback = Callable[[dict[str, Any]], bool]


def text_chunk(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"text": text, "logprobs": None, "finish_reason": reason}]}


class FakeServer:
    """Stands in for llama.cpp: each slot has a queue of chunks, filled by the test.

    While that is empty it calls back now and then with nothing, as llama.cpp does while it reads a prompt.
    """

    def __init__(self) -> None:
        self.bodies: queue.Queue[dict[str, Any]] = queue.Queue()
        self.chunks: dict[int, queue.Queue[dict[str, Any]]] = {}
        self.stopped = threading.Semaphore(0)

    def handle_completions(self, body: dict[str, Any], callback: Callback) -> None:
        mine = self.chunks.setdefault(body["id_slot"], queue.Queue())
        self.bodies.put(body)
        while True:
            try:
                chunk = mine.get(timeout=0.01)
            except queue.Empty:
                chunk = text_chunk("")
            if callback(chunk):
                self.stopped.release()
                return
            if chunk.get("error") or chunk["choices"][0]["finish_reason"]:
                return

    async def next_body(self) -> dict[str, Any]:
        return await asyncio.to_thread(self.bodies.get, True, 10)

    def say(self, slot: int, *texts: str, reason: str | None = "stop") -> None:
        mine = self.chunks.setdefault(slot, queue.Queue())
        for text in texts:
            mine.put(text_chunk(text))
        if reason is not None:
            mine.put(text_chunk("", reason))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    fake = FakeServer()
    monkeypatch.setattr(engine_module, "open_server", lambda settings: fake)
    return fake


@pytest.fixture
def engine(server: FakeServer) -> Iterator[Engine]:
    held = acquire(EngineSettings(Path("fake.gguf"), conversations=2))
    yield held
    asyncio.run(held.release())
    assert held not in engines()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("repartee-llm")]


async def collect(engine: Engine, generation: Generation) -> list[Started | Piece | Finished]:
    async with aclosing(engine.generate(generation)) as pieces:
        return [piece async for piece in pieces]


def ask(engine: Engine, prompt: str, **options: Any) -> asyncio.Task[list[Started | Piece | Finished]]:
    return asyncio.ensure_future(collect(engine, Generation(prompt=prompt, **options)))


async def one_round() -> None:
    """Let each task that was just made take its first step."""
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(done.set_result, None)
    await done


async def stopped_task(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def finish_all(server: FakeServer, *tasks: asyncio.Task[Any]) -> None:
    """Let what still runs or waits end."""
    for slot in range(3):
        server.say(slot)
    for task in tasks:
        await stopped_task(task)


def test_pieces_come_as_they_are_made(engine: Engine, server: FakeServer) -> None:
    async def main() -> None:
        async with aclosing(engine.generate(Generation(prompt="hello"))) as pieces:
            server.say(0, "one", reason=None)
            assert await anext(pieces) == Piece("one")
            server.say(0, "two")
            assert [piece async for piece in pieces] == [Piece("two"), Finished("stop")]

    asyncio.run(main())


def test_a_conversation_comes_back_to_its_slot(engine: Engine, server: FakeServer) -> None:
    async def main() -> None:
        for prompt, slot in (
            ("alice: " + "a" * 40, 0),
            ("bob: " + "b" * 40, 1),
            ("alice: " + "a" * 40 + "yes" + " more", 0),
            ("bob: " + "b" * 40 + "yes" + " more", 1),
        ):
            task = ask(engine, prompt)
            body = await server.next_body()
            assert body["id_slot"] == slot, prompt
            server.say(slot, "yes")
            await task
        # A third one takes the slot that was idle longest.
        task = ask(engine, "carol")
        assert (await server.next_body())["id_slot"] == 0
        server.say(0, "yes")
        await task

    asyncio.run(main())


def test_turn_questions_have_a_slot_of_their_own(engine: Engine, server: FakeServer) -> None:
    async def main() -> None:
        questions = [ask(engine, f"question {number}", role="turn") for number in range(2)]
        assert (await server.next_body())["id_slot"] == 2
        talk = ask(engine, "hello")
        assert (await server.next_body())["id_slot"] == 0
        assert (engine.running, engine.waiting) == (2, 1)
        server.say(2, "a")
        await questions[0]
        assert (await server.next_body())["id_slot"] == 2
        server.say(2, "b")
        server.say(0, "c")
        await asyncio.gather(questions[1], talk)

    asyncio.run(main())


def test_the_committed_go_first_then_the_speculative_then_prewarming(
    engine: Engine, server: FakeServer
) -> None:
    async def main() -> None:
        running = [ask(engine, "x"), ask(engine, "y")]
        for _ in running:
            await server.next_body()
        waiting = [
            ask(engine, "prewarm", priority=Priority.PREWARM),
            ask(engine, "speculative", priority=Priority.SPECULATIVE),
            ask(engine, "committed 1"),
            ask(engine, "committed 2"),
        ]
        await one_round()
        order = []
        server.say(0, "done")
        for _ in waiting:
            body = await server.next_body()
            order.append(body["prompt"])
            server.say(body["id_slot"], "done")
        assert order == ["committed 1", "committed 2", "speculative", "prewarm"]
        server.say(1, "done")
        await asyncio.gather(*running, *waiting)

    asyncio.run(main())


def test_closing_stops_a_request_at_its_next_token(engine: Engine, server: FakeServer) -> None:
    async def main() -> None:
        pieces = engine.generate(Generation(prompt="hello"))
        server.say(0, "one", reason=None)
        await anext(pieces)
        await pieces.aclose()
        server.say(0, "two", reason=None)
        assert await asyncio.to_thread(server.stopped.acquire, True, 10)

    asyncio.run(main())


def test_closing_takes_a_waiting_request_out_of_the_queue(engine: Engine, server: FakeServer) -> None:
    async def main() -> None:
        running = [ask(engine, "x"), ask(engine, "y")]
        for _ in running:
            await server.next_body()
        waiting = ask(engine, "z")
        await one_round()
        assert engine.waiting == 1
        await stopped_task(waiting)
        assert engine.waiting == 0
        await finish_all(server, *running)

    asyncio.run(main())


def test_a_turn_waits_for_the_slot_that_its_own_speculation_leaves(
    engine: Engine, server: FakeServer
) -> None:
    async def main() -> None:
        prompt = "instructions and history " * 5
        speculation = ask(engine, prompt + "so far", priority=Priority.SPECULATIVE)
        assert (await server.next_body())["id_slot"] == 0
        await stopped_task(speculation)
        turn = ask(engine, prompt + "so far and so on")
        await one_round()
        assert engine.waiting == 1, "slot 1 is idle, and knows nothing of this conversation"
        server.say(0, "late", reason=None)
        assert (await server.next_body())["id_slot"] == 0
        server.say(0, "yes")
        assert Piece("yes") in await turn

    asyncio.run(main())


def test_a_turn_ends_the_prewarming_of_its_slot(engine: Engine, server: FakeServer) -> None:
    async def main() -> None:
        prompt = "instructions and history " * 5
        prewarming = ask(engine, prompt, priority=Priority.PREWARM)
        assert (await server.next_body())["id_slot"] == 0
        turn = ask(engine, prompt + "hello")
        await one_round()
        server.say(0, "", reason=None)
        assert (await server.next_body())["prompt"].endswith("hello")
        with pytest.raises(ModelError, match="more urgent") as error:
            await prewarming
        assert error.value.code == "stopped"
        server.say(0, "yes")
        await turn

    asyncio.run(main())


def test_a_sessions_newer_question_supersedes_the_older(engine: Engine, server: FakeServer) -> None:
    async def main() -> None:
        older = ask(engine, "i want", role="turn", session="s1")
        await server.next_body()
        other = ask(engine, "my name", role="turn", session="s2")
        await one_round()
        newer = ask(engine, "i want to", role="turn", session="s1")
        with pytest.raises(ModelError, match="superseded") as error:
            await older
        assert error.value.code == "superseded"
        server.say(2, "", reason=None)
        for _ in range(2):
            await server.next_body()
            server.say(2, "yes")
        assert Piece("yes") in await other
        assert Piece("yes") in await newer

    asyncio.run(main())


def test_a_deadline_is_kept_and_what_comes_late_is_dropped(engine: Engine, server: FakeServer) -> None:
    async def main() -> None:
        task = ask(engine, "hello", deadline_s=0.01, stage="turn_detector")
        with pytest.raises(ModelTimeoutError, match=r"within 0\.01 s") as error:
            await task
        assert error.value.stage == "turn_detector"
        server.say(0, "late")
        after = ask(engine, "again")
        while (await server.next_body())["prompt"] != "again":
            pass
        server.say(0, "yes")
        server.say(1, "yes")
        assert Piece("late") not in await after

    asyncio.run(main())


def test_a_full_queue_refuses_the_newest_of_the_lowest_rank(engine: Engine, server: FakeServer) -> None:
    async def main() -> None:
        running = [ask(engine, "x"), ask(engine, "y")]
        for _ in running:
            await server.next_body()
        waiting = [ask(engine, f"{number}", priority=Priority.SPECULATIVE) for number in range(64)]
        await one_round()
        assert engine.waiting == 64
        urgent = ask(engine, "urgent")
        with pytest.raises(ModelError, match="64 requests wait") as error:
            await waiting[-1]
        assert error.value.code == "queue_full"
        with pytest.raises(ModelError, match="64 requests wait"):
            await ask(engine, "one more", priority=Priority.PREWARM)
        await finish_all(server, *waiting[:-1], urgent, *running)

    asyncio.run(main())


@pytest.mark.parametrize("chunk", [{"choices": []}, {"choices": [{}]}, {"unknown": 1}])
def test_an_answer_that_cannot_be_read_is_an_error(
    engine: Engine, server: FakeServer, chunk: dict[str, Any]
) -> None:
    async def main() -> None:
        server.chunks.setdefault(0, queue.Queue()).put(chunk)
        with pytest.raises(ModelError, match=r"llama\.cpp failed"):
            await ask(engine, "hello")

    asyncio.run(main())


def test_a_refusal_is_raised(engine: Engine, server: FakeServer) -> None:
    async def main() -> None:
        server.chunks.setdefault(0, queue.Queue()).put({"error": {"message": "too long", "type": "exceeds"}})
        with pytest.raises(ModelError, match="refused: too long") as error:
            await ask(engine, "hello")
        assert error.value.code == "exceeds"

    asyncio.run(main())


def test_a_file_that_does_not_load_is_each_requests_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: EngineSettings) -> None:
        raise ModelError("could not load", stage="llm")

    monkeypatch.setattr(engine_module, "open_server", fail)

    async def main() -> None:
        engine = acquire(EngineSettings(Path("broken.gguf")))
        for _ in range(2):
            with pytest.raises(ModelError, match="could not load"):
                await ask(engine, "hello")
        with pytest.raises(ModelError, match="could not load"):
            await engine.load()
        assert not engine.is_loaded
        await engine.release()

    asyncio.run(main())


def test_equal_settings_share_an_engine_until_the_last_holder_lets_go(server: FakeServer) -> None:
    settings = EngineSettings(Path("shared.gguf"))

    async def main() -> None:
        one, two = acquire(settings), acquire(EngineSettings(Path("shared.gguf")))
        assert one is two
        other = acquire(EngineSettings(Path("shared.gguf"), context_tokens=512))
        assert other is not one
        assert acquire(EngineSettings(Path("shared.gguf"), context_tokens=999), any_settings=True) in (
            one,
            other,
        )
        await one.load()
        assert one.is_loaded
        for engine in (one, one, other, one, other):
            await engine.release()
        loaded = [engine for engine in (one, other) if engine.is_loaded]
        assert not loaded
        assert not engines()
        with pytest.raises(ModelError, match="was released"):
            await ask(one, "hello")

    asyncio.run(main())


def test_releasing_ends_what_runs_and_what_waits(server: FakeServer) -> None:
    async def main() -> None:
        engine = acquire(EngineSettings(Path("released.gguf"), conversations=1))
        running, waiting = ask(engine, "x"), ask(engine, "y")
        await server.next_body()
        server.say(0, *["word"] * 3, reason=None)
        releasing = asyncio.ensure_future(engine.release())
        server.say(0, *["word"] * 50, reason=None)
        await releasing
        for task in (running, waiting):
            with pytest.raises(ModelError):
                await task
        assert (engine.running, engine.waiting) == (0, 0)

    asyncio.run(main())


def test_a_collected_owner_lets_go(server: FakeServer) -> None:
    class Owner:
        pass

    owner = Owner()
    engine = acquire(EngineSettings(Path("owned.gguf")))
    hold_for(owner, engine)
    assert engine in engines()
    del owner
    gc.collect()
    assert engine not in engines()


def test_a_loop_that_is_gone_does_not_hold_up_the_engine(engine: Engine, server: FakeServer) -> None:
    async def leave() -> None:
        pieces = engine.generate(Generation(prompt="hello"))
        server.say(0, "one", reason=None)
        await anext(pieces)
        await pieces.aclose()

    asyncio.run(leave())
    server.say(0, "two", reason=None)
    assert server.stopped.acquire(timeout=10)


@given(st.text("ab"), st.text("ab"))
def test_the_common_prefix_is_the_longest(one: str, other: str) -> None:
    length = engine_module._common_prefix(one, other)
    assert one[:length] == other[:length]
    assert one[length : length + 1] != other[length : length + 1] or length == min(len(one), len(other))


# -- with the real weights -----------------------------------------------------------------------------------------

PROMPT = "<|im_start|>user\nwhat is the capital of france<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def loaded() -> Iterator[Engine]:
    held = acquire(EngineSettings(weights_file()))
    yield held
    asyncio.run(held.release())


@needs_weights
@pytest.mark.local
def test_it_answers_and_remembers_the_prompt(loaded: Engine) -> None:
    async def main() -> None:
        first = await collect(loaded, Generation(prompt=PROMPT, max_tokens=8, options={"temperature": 0}))
        assert "Paris" in "".join(piece.text for piece in first if isinstance(piece, Piece))
        started = next(piece for piece in first if isinstance(piece, Started))
        assert started.cached_tokens == 0
        again = await collect(loaded, Generation(prompt=PROMPT, max_tokens=2, probabilities=5))
        end = again[-1]
        assert isinstance(end, Finished)
        assert end.cached_tokens == started.input_tokens - 1
        assert (end.reason, end.output_tokens) == ("length", 2)
        piece = next(piece for piece in again if isinstance(piece, Piece))
        assert len(piece.likeliest) == 5
        # A question about a turn leaves the conversation's slot alone.
        await collect(loaded, Generation(prompt="Agent: hi\nCaller: i want", max_tokens=1, role="turn"))
        last = await collect(loaded, Generation(prompt=PROMPT, max_tokens=1))
        assert (
            next(piece for piece in last if isinstance(piece, Started)).cached_tokens
            > started.input_tokens - 2
        )

    asyncio.run(main())


@needs_weights
@pytest.mark.local
def test_a_prompt_that_is_too_long_is_refused(loaded: Engine) -> None:
    with pytest.raises(ModelError) as error:
        asyncio.run(collect(loaded, Generation(prompt="word " * 3000, max_tokens=1)))
    assert error.value.code == "exceed_context_size_error"


@needs_weights
@pytest.mark.local
def test_a_long_prompt_can_be_given_up_between_its_pieces(loaded: Engine) -> None:
    async def main() -> None:
        generation = Generation(prompt="a different word " * 400, max_tokens=1, deadline_s=0.02)
        with pytest.raises(ModelTimeoutError):
            await collect(loaded, generation)
        # Had it gone on to the end, its slot would know the whole prompt now.
        done = await collect(loaded, Generation(prompt=generation.prompt[:100] + " end", max_tokens=1))
        assert isinstance(done[-1], Finished)

    asyncio.run(main())


@needs_weights
@pytest.mark.local
def test_the_interpreter_ends_cleanly_in_the_middle_of_an_answer() -> None:
    script = f"""
import asyncio
from pathlib import Path
from repartee.plugins.local.engine import EngineSettings, Generation, Piece, acquire
async def main():
    engine = acquire(EngineSettings(Path({str(weights_file())!r}), conversations=1))
    pieces = engine.generate(Generation(prompt="Once upon a time", max_tokens=1000))
    while not isinstance(await anext(pieces), Piece):
        pass
    return engine, pieces
kept = asyncio.run(main())
print("leaving")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "leaving\n"
    assert done.stderr == "", "llama.cpp is quiet"


@needs_weights
def test_one_that_is_closed_as_soon_as_it_is_open_ends() -> None:
    # llama.cpp's loop, when it begins late, forgets that it was told to end: seen in two of twelve short programs.
    def open_and_close() -> None:
        for _ in range(3):
            engine = Engine(EngineSettings(weights_file()))
            engine._loaded()
            engine._close()

    thread = threading.Thread(target=open_and_close, daemon=True)
    thread.start()
    thread.join(timeout=60.0)
    assert not thread.is_alive()
