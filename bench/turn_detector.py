"""How well and how fast the end-of-turn model answers, and what it saves beside a fixed silence.

    python -m bench.turn_detector           both halves of tests/data/turns.jsonl
    python -m bench.turn_detector --fit     fit the calibration on the tune half, and print its weights
    python -m bench.turn_detector --json    for programs

The curve simulates endpointing: a finished turn waits for a delay that depends on its probability; an unfinished one
has a pause, and is cut off when the delay is shorter. Pauses within a turn are drawn from a log-normal distribution
with a median of 600 ms and a sigma of 0.6 (an assumption; no recordings are used), a thousand for each turn, by seed.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import math
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from repartee.chat import ChatContext, Message
from repartee.clock import Clock
from repartee.models import TurnContext
from repartee.plugins.turn_detector.english import EnglishModel
from repartee.plugins.turn_detector.features import Features, features

TURNS = Path(__file__).parent.parent / "tests" / "data" / "turns.jsonl"
PAUSE_MEDIAN_MS, PAUSE_SIGMA, PAUSES = 600.0, 0.6, 1000
SEED = 7
FIXED_MS = (200, 300, 400, 500, 600, 800, 1000, 1300, 1600)
LADDERS = ((100, 600), (100, 1000), (200, 1000), (200, 1300), (300, 1600), (300, 2400))


def auc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """The chance that a finished turn scores above an unfinished one; half of it for equal scores."""
    done = [score for score, label in zip(scores, labels, strict=True) if label]
    cut = [score for score, label in zip(scores, labels, strict=True) if not label]
    return sum((a > b) + 0.5 * (a == b) for a in done for b in cut) / (len(done) * len(cut))


def turns(split: str) -> list[dict[str, Any]]:
    """The labelled turns of one half."""
    rows = [json.loads(line) for line in TURNS.read_text().splitlines()]
    return [row for row in rows if row["split"] == split]


class Raw(EnglishModel):
    """The score before calibration."""

    def _calibrate(self, score: float, agent: str, text: str) -> float:
        return score


def context_of(row: dict[str, Any], history: ChatContext | None = None) -> TurnContext:
    if history is None:
        history = ChatContext([Message.of("assistant", row["agent"])] if row["agent"] else [])
    return TurnContext(row["text"], history)


async def ask(detector: EnglishModel, rows: Sequence[dict[str, Any]]) -> list[float]:
    return [await detector.predict(context_of(row)) for row in rows]


async def latencies_ms(
    detector: EnglishModel, rows: Sequence[dict[str, Any]]
) -> tuple[list[float], list[float]]:
    """Of each turn's first question (its first half), and of the next two (a word or two more each)."""
    clock = Clock()
    first: list[float] = []
    further: list[float] = []
    for row in rows:
        words = row["text"].split()
        if len(words) < 4:
            continue
        history = context_of(row).history
        steps = (len(words) // 2, len(words) - 1, len(words))
        for at, count in enumerate(steps):
            began = clock.now()
            await detector.predict(TurnContext(" ".join(words[:count]), history))
            (further if at else first).append((clock.now() - began) * 1000)
    return first, further


def endpointing(
    probabilities: Sequence[float], labels: Sequence[bool], delay_ms: Callable[[float], float]
) -> tuple[float, float]:
    """The share of pauses within turns that would be cut off, and the mean wait after finished turns (ms)."""
    chance = random.Random(SEED)
    pauses = [PAUSE_MEDIAN_MS * math.exp(chance.gauss(0, PAUSE_SIGMA)) for _ in range(PAUSES)]
    waits = [delay_ms(p) for p, done in zip(probabilities, labels, strict=True) if done]
    cuts = [
        sum(pause > delay_ms(p) for pause in pauses) / PAUSES
        for p, done in zip(probabilities, labels, strict=True)
        if not done
    ]
    return statistics.fmean(cuts), statistics.fmean(waits)


def ladder(shortest_ms: float, longest_ms: float) -> Callable[[float], float]:
    """From the longest delay where the turn surely goes on to the shortest where it is surely over, evenly in p."""
    return lambda p: longest_ms + (shortest_ms - longest_ms) * p


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def fit(rows: Sequence[dict[str, Any]], scores: Sequence[float], l2: float = 0.3) -> dict[str, float]:
    """Logistic regression by Newton's method, with a penalty on the features' weights."""
    import numpy as np

    names = [field.name for field in dataclasses.fields(Features)]
    table = []
    for row, score in zip(rows, scores, strict=True):
        clipped = min(max(score, 1e-5), 1 - 1e-5)
        found = features(row["agent"], row["text"])
        table.append([1.0, math.log(clipped / (1 - clipped)), *(getattr(found, name) for name in names)])
    inputs, labels = np.array(table), np.array([float(row["complete"]) for row in rows])
    weights, penalty = np.zeros(inputs.shape[1]), np.array([0.0, 0.0] + [l2] * len(names))
    for _ in range(100):
        guess = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (guess - labels) + penalty * weights
        curvature = (inputs.T * (guess * (1 - guess))) @ inputs + np.diag(penalty + 1e-9)
        weights -= np.linalg.solve(curvature, gradient)
    return {name: round(float(w), 2) for name, w in zip(["intercept", "logit", *names], weights, strict=True)}


async def measure() -> dict[str, Any]:
    report: dict[str, Any] = {}
    detector = EnglishModel(deadline_s=30.0)
    await detector.prewarm()
    try:
        for split in ("tune", "test"):
            rows = turns(split)
            labels = [row["complete"] for row in rows]
            probabilities = await ask(detector, rows)
            threshold = detector.capabilities.threshold
            right = [(p >= threshold) == done for p, done in zip(probabilities, labels, strict=True)]
            brier = statistics.fmean((p - done) ** 2 for p, done in zip(probabilities, labels, strict=True))
            report[split] = {
                "turns": len(rows),
                "auc": auc(probabilities, labels),
                "accuracy": statistics.fmean(right),
                "brier": brier,
            }
        first, further = await latencies_ms(detector, turns("tune")[::4])
        report["latency_ms"] = {
            name: {"p50": percentile(values, 0.5), "p95": percentile(values, 0.95)}
            for name, values in (("first", first), ("incremental", further))
        }
        curve = {f"fixed {ms} ms": endpointing(probabilities, labels, ladder(ms, ms)) for ms in FIXED_MS}
        for shortest, longest in LADDERS:
            name = f"model {shortest}-{longest} ms"
            curve[name] = endpointing(probabilities, labels, ladder(shortest, longest))
        report["endpointing"] = {
            name: {"cut_off": cuts, "mean_wait_ms": wait} for name, (cuts, wait) in curve.items()
        }
    finally:
        await detector.aclose()
    return report


async def fitted() -> dict[str, float]:
    detector = Raw(deadline_s=30.0)
    try:
        rows = turns("tune")
        return fit(rows, await ask(detector, rows))
    finally:
        await detector.aclose()


def show(report: dict[str, Any]) -> None:
    for split in ("tune", "test"):
        half = report[split]
        print(
            f"{split}: {half['turns']} turns, AUC {half['auc']:.3f}, "
            f"right {half['accuracy']:.1%}, Brier {half['brier']:.3f}"
        )
    for name, values in report["latency_ms"].items():
        print(f"{name} question: p50 {values['p50']:.0f} ms, p95 {values['p95']:.0f} ms")
    print("unfinished turns cut off, and silence added to finished ones (test half):")
    for name, point in report["endpointing"].items():
        print(f"  {name:20} {point['cut_off']:6.1%} {point['mean_wait_ms']:6.0f} ms")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fit", action="store_true", help="fit the calibration on the tune half")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if options.fit:
        print(json.dumps(asyncio.run(fitted()), indent=2))
        return 0
    report = asyncio.run(measure())
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
