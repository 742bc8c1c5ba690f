"""How useful the embedded default is: sixty everyday requests, judged by criteria written down beforehand.

    python -m bench.usefulness            both halves, with each miss
    python -m bench.usefulness --all      every answer
    python -m bench.usefulness --json     for programs

The requests are in ``tests/data/requests.jsonl``: half to tune on, half unseen. Both halves have one author, who also
wrote the examples that are matched. So the unseen half says that nothing broke, rather than how a stranger would fare:
of 28 further, deliberately varied requests for a function, 15 were right at first sight (they are examples now).

A row with ``call`` is right when that
function is called with (at least) those ``arguments``, and its spoken result has one of ``any``. A row without is right
when the answer has one of ``any``, none of ``none`` and at most ``max_words`` words. Words are compared in lowercase,
at word boundaries.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repartee.chat import ChatContext, FunctionCall, FunctionCallOutput, RunContext, result_text, tool_table
from repartee.clock import Clock
from repartee.errors import ToolError
from repartee.models.llm import CallDone, ChatChunk, ChatRequest, TextDelta
from repartee.plugins.local.functions import BUILTIN_TOOLS

REQUESTS = Path(__file__).parent.parent / "tests" / "data" / "requests.jsonl"

Chat = Callable[[ChatRequest], AsyncGenerator[ChatChunk, None]]


@dataclass
class Outcome:
    """What came of one request."""

    row: dict[str, Any]
    calls: list[FunctionCall] = field(default_factory=list)
    text: str = ""
    problem: str = ""
    """Why it is a miss; empty: it is none."""
    elapsed_s: float = 0.0


class _Session:
    """As much of a session as the built-in functions need. Its timers never go off."""

    def __init__(self, history: ChatContext) -> None:
        self.history = history
        self.now = 0.0

    def call_later(self, delay_s: float, callback: Callable[[], object], /) -> _Session:
        return self

    def say(self, text: str, /) -> None:
        pass

    def cancel(self) -> None:
        pass


def requests(split: str | None = None) -> list[dict[str, Any]]:
    """The rows of one half (``tune``, ``test``), or all."""
    rows = [json.loads(line) for line in REQUESTS.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if split in (None, row["split"])]


async def ask(chat: Chat, row: dict[str, Any]) -> Outcome:
    """Put one request to a model, run the functions it calls, and judge."""
    outcome = Outcome(row)
    context = ChatContext()
    for role, text in row.get("before", ()):
        context.add_message(role, text)
    history = context.copy()
    context.add_message("user", row["text"])
    clock = Clock()
    await _answer(chat, context, outcome)
    for call in outcome.calls:
        await _run(call, _Session(history), context)
    if outcome.calls:
        await _answer(chat, context, outcome)
    outcome.elapsed_s = clock.now()
    outcome.problem = judge(outcome)
    return outcome


async def _answer(chat: Chat, context: ChatContext, outcome: Outcome) -> None:
    async with aclosing(chat(ChatRequest(context.copy(), tools=BUILTIN_TOOLS))) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, TextDelta):
                outcome.text += chunk.text
            elif isinstance(chunk, CallDone):
                outcome.calls.append(chunk.call)
                context.insert(chunk.call)


async def _run(call: FunctionCall, session: _Session, context: ChatContext) -> None:
    tool = tool_table(BUILTIN_TOOLS)[call.name]
    try:
        arguments = tool.bind(call.arguments, RunContext(session, call.call_id, call.name))
        text, failed = result_text(await tool.function(**arguments)), False
    except ToolError as error:
        text, failed = str(error), True
    context.insert(FunctionCallOutput(call.call_id, text, failed))


def judge(outcome: Outcome) -> str:
    """Why an outcome is a miss; empty when it is none."""
    row, text = outcome.row, outcome.text.lower().replace("’", "'")
    named = [call.name for call in outcome.calls]
    if named != ([row["call"]] if "call" in row else []):
        return f"called {named or 'nothing'}, expected {row.get('call', 'nothing')}"
    if outcome.calls:
        given = json.loads(outcome.calls[0].arguments)
        wrong = {key: value for key, value in row.get("arguments", {}).items() if given.get(key) != value}
        if wrong:
            return f"called with {given}, expected {wrong}"
    if "any" in row and not any(_has(text, words) for words in row["any"]):
        return f"has none of {row['any']}"
    unwanted = [words for words in row.get("none", ()) if _has(text, words)]
    if unwanted:
        return f"has {unwanted}"
    if len(text.split()) > row.get("max_words", 40):
        return f"has {len(text.split())} words, at most {row['max_words']} are sensible"
    return ""


def _has(text: str, words: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words.lower())}(?!\w)", text) is not None


async def run(chat: Chat, split: str | None = None) -> list[Outcome]:
    """Every request of one half, one after the other."""
    return [await ask(chat, row) for row in requests(split)]


async def _main(show_all: bool, as_json: bool) -> int:
    from repartee.plugins import local

    llm = local.LLM()
    try:
        await llm.prewarm(ChatRequest(ChatContext(), tools=BUILTIN_TOOLS))
        outcomes = await run(llm.chat)
    finally:
        await llm.aclose()
    report: dict[str, Any] = {}
    for split in ("tune", "test"):
        half = [outcome for outcome in outcomes if outcome.row["split"] == split]
        right = sum(not outcome.problem for outcome in half)
        report[split] = {"right": right, "of": len(half), "misses": []}
        if not as_json:
            print(f"{split}: {right} of {len(half)} ({right / len(half):.0%})")
        for outcome in half:
            if outcome.problem:
                report[split]["misses"].append(
                    {**outcome.row, "said": outcome.text, "problem": outcome.problem}
                )
            if not as_json and (outcome.problem or show_all):
                mark = "miss" if outcome.problem else "ok"
                calls = " ".join(f"{call.name}({call.arguments})" for call in outcome.calls)
                print(f"  {mark:4} {outcome.elapsed_s * 1000:5.0f} ms  {outcome.row['text']}")
                print(f"       -> {calls} {outcome.text!r} {outcome.problem}")
    if as_json:
        print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How useful the embedded default is.")
    parser.add_argument("--all", action="store_true", help="show every answer, not only the misses")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    sys.exit(asyncio.run(_main(options.all, options.json)))
