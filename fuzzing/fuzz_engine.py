"""Tells a `TurnEngine` random facts and checks the rules; see README.md beside this file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from random import Random
from typing import get_args

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from repartee.turns import (  # noqa: E402  (found by the path above)
    DynamicEndpointing,
    Endpointing,
    FixedEndpointing,
    InterruptionOptions,
    InterruptionProfile,
    SpeculationOptions,
    TurnMode,
    TurnOptions,
    facts,
)
from tests.turns.driver import Talk  # noqa: E402
from tests.turns.shell import SAYINGS, Shell  # noqa: E402


def random_options(random: Random, *, wild: bool) -> TurnOptions:
    """Any configuration; a sensible conversation has words where its mode needs them."""
    modes: tuple[TurnMode, ...] = get_args(TurnMode)
    mode = random.choice(modes if wild else modes[:3])
    policies: list[Endpointing] = [FixedEndpointing(), FixedEndpointing(0.0), DynamicEndpointing()]
    profiles = [InterruptionProfile(), InterruptionProfile(cancel_after_ms=None, duck_db=0.0, min_words=2)]
    return TurnOptions(
        mode=mode,
        endpointing=random.choice(policies),
        interruption=InterruptionOptions(enabled=random.random() < 0.9, speaking=random.choice(profiles)),
        speculation=SpeculationOptions(enabled=random.random() < 0.9, max_per_turn=random.randint(1, 3)),
        predicts=random.random() < 0.5 and (wild or mode == "vad"),
        transcribes=random.random() < 0.8 or (mode == "stt" and not wild),
        prepares=random.random() < 0.8,
        max_turn_s=random.choice([1.0, 120.0]),
        away_after_s=random.choice([None, 15.0]),
        queue_max=random.choice([1, 2, 16]),
    )


def random_fact(random: Random, now: float) -> facts.Fact:
    """Any fact, whether it makes sense or not."""
    at_s = random.choice([now, now - random.random(), random.uniform(-1e3, 1e3), now + 1e9])
    response_id, request_id = random.choice("xyz"), random.choice(["a", "b", "turn:1", "turn:2"])
    choices: list[facts.Fact] = [
        facts.Began(),
        facts.Onset(at_s),
        facts.OnsetDropped(),
        facts.SpeechBegan(at_s),
        facts.SpeechEnded(at_s),
        facts.Heard(random.choice(SAYINGS), random.random() < 0.5, random.random() < 0.2),
        facts.Prediction(random.randint(0, 4), random.choice([None, 0.0, random.random(), 1.0])),
        facts.Request(request_id, random.random() < 0.8, random.random() < 0.2),
        facts.ResponseStarted(response_id, random.choice([None, request_id])),
        facts.ResponseEnded(response_id, "completed", random.random() < 0.5, random.randint(0, 1)),
        facts.PlaybackStarted(response_id),
        facts.PlaybackEnded(response_id),
        facts.ToolsDone(),
        facts.Interrupt(queue=random.random() < 0.5),
        facts.Withdraw(request_id),
        facts.Commit(),
        facts.Clear(),
    ]
    return random.choice(choices)


def run(seed: int) -> Talk:
    """One conversation."""
    random = Random(seed)
    wild = bool(seed % 2)
    talk = Talk(random_options(random, wild=wild))
    try:
        if wild:
            for _ in range(random.randint(1, 120)):
                wait_s = random.choice([0.0, 0.0, 0.05, 0.25, random.uniform(0.0, 3.0)])
                talk.at(talk.now + wait_s, random_fact(random, talk.now))
        else:
            Shell(talk, random).converse(seconds=random.choice([5.0, 60.0]))
        talk.settle_down()
    except Exception as error:
        error.add_note(f"run it again: python fuzzing/fuzz_engine.py --seed {seed} --runs 1")
        error.add_note("\n".join(f"{at_s:10.3f} {action}" for at_s, action in talk.log))
        raise
    return talk


def main() -> None:
    """Run many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    parser.add_argument("--runs", type=int, default=2000)
    arguments = parser.parse_args()
    actions = 0
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        talk = run(seed)
        actions += len(talk.log)
        if arguments.runs == 1:
            print("\n".join(f"{at_s:10.3f} {action}" for at_s, action in talk.log))
    print(f"{arguments.runs} runs from seed {arguments.seed}, {actions} actions: every rule held")


if __name__ == "__main__":
    main()
