"""How fast the local language model answers: time to the first token by what is cached, and tokens per second.

python -m bench.llm             the default model
python -m bench.llm PATH        any GGUF
python -m bench.llm --json      for programs
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from repartee.clock import Clock
from repartee.plugins.local.engine import EngineSettings, Finished, Generation, Piece, acquire
from repartee.plugins.local.weights import find_gguf

QUESTIONS = (
    "what is the capital of france", "how many legs does a spider have", "who wrote hamlet", "what is water made of",
    "why is the sky blue", "how do i boil an egg", "what do bees make", "what is the largest ocean", "who was mozart",
    "what color is a banana", "how long is a marathon", "what do cows eat",
)  # fmt: skip
INSTRUCTIONS = (
    "<|im_start|>system\n" + "You are a helpful voice assistant on the phone. " * 12 + "<|im_end|>\n"
)
REPLY_TOKENS = 12


async def one(engine: Any, clock: Clock, prompt: str) -> tuple[float, Finished, str]:
    """Time to the first token in milliseconds, the engine's own account, and the text."""
    began, first, text = clock.now(), 0.0, ""
    generation = Generation(prompt=prompt, max_tokens=REPLY_TOKENS, options={"temperature": 0.0})
    async with aclosing(engine.generate(generation)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Piece):
                first = first or (clock.now() - began) * 1000
                text += piece.text
            elif isinstance(piece, Finished):
                return first, piece, text
    raise AssertionError("an answer ends with Finished")


async def loop_lag_ms(stop: asyncio.Event, clock: Clock) -> list[float]:
    """How late the event loop wakes up, meanwhile."""
    late = []
    while not stop.is_set():
        began = clock.now()
        await asyncio.sleep(0.005)
        late.append((clock.now() - began - 0.005) * 1000)
    return late


async def measure(model: str | None) -> dict[str, Any]:
    clock = Clock()
    engine = acquire(EngineSettings(find_gguf(model)))
    try:
        await engine.load()
        loaded_ms = clock.now() * 1000
        cold_ms, cold, _ = await one(engine, clock, INSTRUCTIONS + "<|im_start|>assistant\n")
        stop = asyncio.Event()
        lag = asyncio.ensure_future(loop_lag_ms(stop, clock))
        warm, rates, new_tokens = [], [], []
        history = INSTRUCTIONS
        for question in QUESTIONS:
            history += f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
            first_ms, finished, text = await one(engine, clock, history)
            history += f"{text}<|im_end|>\n"
            warm.append(first_ms)
            new_tokens.append(finished.input_tokens - finished.cached_tokens)
            rates.append(finished.generation_ms / max(1, finished.output_tokens))
        stop.set()
        late = sorted(await lag)
        return {
            "load_ms": loaded_ms,
            "cold": {"tokens": cold.input_tokens, "ttft_ms": cold_ms},
            "next_turn": {
                "new_tokens": statistics.median(new_tokens),
                "ttft_p50_ms": statistics.median(warm),
                "ttft_max_ms": max(warm),
            },
            "ms_per_token": statistics.median(rates),
            "loop_lag_p99_ms": late[int(0.99 * (len(late) - 1))],
            "threads": engine.settings.thread_count,
        }
    finally:
        await engine.release()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", help="a GGUF file; default: SmolLM2-135M-Instruct")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    report = asyncio.run(measure(options.model))
    if options.json:
        print(json.dumps(report, indent=2))
        return 0
    cold, turn = report["cold"], report["next_turn"]
    print(f"load {report['load_ms']:.0f} ms, {report['threads']} threads")
    print(f"cold prompt of {cold['tokens']} tokens: first token after {cold['ttft_ms']:.0f} ms")
    print(
        f"next turn, {turn['new_tokens']:.0f} new tokens: first token after {turn['ttft_p50_ms']:.0f} ms "
        f"(max {turn['ttft_max_ms']:.0f})"
    )
    print(
        f"{report['ms_per_token']:.1f} ms a token; "
        f"the event loop's p99 lateness meanwhile {report['loop_lag_p99_ms']:.1f} ms"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
