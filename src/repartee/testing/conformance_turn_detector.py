"""What every `TurnDetector` must do, as checks that any plugin can run.

Each check takes a function that makes a detector, and raises `AssertionError` with what was wrong::

    @pytest.mark.parametrize("check", TURN_DETECTOR_CHECKS)
    def test_conformance(check: TurnDetectorCheck) -> None:
        asyncio.run(check(lambda: MyDetector()))

Give it a deadline that the machine can keep: what is late is an error by contract.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from repartee.chat import ChatContext, Message
from repartee.errors import ModelError
from repartee.models.turn_detector import TurnContext, TurnDetector

__all__ = ["TURN_DETECTOR_CHECKS", "TurnDetectorCheck", "check_turn_detector"]

MakeTurnDetector = Callable[[], TurnDetector]
TurnDetectorCheck = Callable[[MakeTurnDetector], Coroutine[Any, Any, None]]

FINISHED = (
    ("What can I do for you?", "i would like to book a table for two people tonight"),
    ("Is there anything else?", "no that's all thank you"),
    ("Which day suits you?", "tuesday morning is fine"),
)
UNFINISHED = (
    ("What can I do for you?", "i would like to book a table for"),
    ("Is there anything else?", "yes i also want to"),
    ("Which day suits you?", "maybe on tuesday but i"),
)
ODD_TEXTS = (
    "<|im_end|>",
    "tabs\tand\x00nulls\x1band escapes\x7f",
    "日本 привет 😀",
    "?!",
    "word " * 400,
    "a" * 2000,
)


def turn(agent: str, text: str) -> TurnContext:
    """A question about ``text``, said after ``agent``."""
    return TurnContext(text, ChatContext([Message.of("assistant", agent)]))


def _check(body: Callable[[TurnDetector], Awaitable[None]]) -> TurnDetectorCheck:
    async def check(make: MakeTurnDetector) -> None:
        detector = make()
        try:
            await detector.prewarm()
            await body(detector)
        finally:
            await detector.aclose()

    check.__name__ = check.__qualname__ = body.__name__
    return check


async def _probability(detector: TurnDetector, context: TurnContext) -> float:
    probability = await detector.predict(context)
    assert 0.0 <= probability <= 1.0, f"{probability!r} for {context.text[:60]!r} is no probability"
    return probability


async def gives_probabilities(detector: TurnDetector) -> None:
    """Every answer is between 0 and 1."""
    for agent, text in (*FINISHED, *UNFINISHED):
        await _probability(detector, turn(agent, text))


async def says_what_it_is(detector: TurnDetector) -> None:
    """Its capabilities make sense."""
    capabilities = detector.capabilities
    assert 0 < capabilities.threshold < 1, f"a threshold of {capabilities.threshold} is no probability"
    assert capabilities.deadline_s > 0
    assert capabilities.languages, "it must name a language"


async def answers_alike(detector: TurnDetector) -> None:
    """The same question has the same answer, whatever was asked between."""
    first = await _probability(detector, turn(*FINISHED[0]))
    await _probability(detector, turn(*UNFINISHED[1]))
    again = await _probability(detector, turn(*FINISHED[0]))
    assert abs(first - again) < 0.1, f"it said {first:.3f}, then {again:.3f}"


async def takes_any_text(detector: TurnDetector) -> None:
    """No words, no history, other scripts and control characters are questions too."""
    await _probability(detector, TurnContext("hello", ChatContext()))
    for text in ("", "   ", *ODD_TEXTS):
        await _probability(detector, turn("Hello?", text))


async def sessions_share_it(detector: TurnDetector) -> None:
    """Questions of several sessions at once are each answered, as if asked alone."""
    alone = [await _probability(detector, turn(*each)) for each in FINISHED]
    together = await asyncio.gather(*(detector.predict(turn(*each)) for each in FINISHED))
    for one, other in zip(alone, together, strict=True):
        assert abs(one - other) < 0.1, f"alone {one:.3f}, among others {other:.3f}"


async def the_newest_question_counts(detector: TurnDetector) -> None:
    """A session may ask again before it was answered; the older question may fail, the newer must not."""
    history = ChatContext([Message.of("assistant", FINISHED[0][0])])
    words = FINISHED[0][1].split()
    asked = [
        asyncio.ensure_future(detector.predict(TurnContext(" ".join(words[:count]), history)))
        for count in (4, 8, len(words))
    ]
    for older in asked[:-1]:
        with contextlib.suppress(ModelError):
            assert 0.0 <= await older <= 1.0
    newest = await asked[-1]
    alone = await _probability(detector, turn(*FINISHED[0]))
    assert abs(newest - alone) < 0.1, f"alone {alone:.3f}, after older questions {newest:.3f}"


async def cancelling_is_harmless(detector: TurnDetector) -> None:
    """A question that nobody waits for any more does not spoil the next."""
    task = asyncio.ensure_future(detector.predict(turn(*UNFINISHED[0])))
    await asyncio.wait({task}, timeout=0.001)
    if task.cancel():
        with contextlib.suppress(asyncio.CancelledError):
            await task
            raise AssertionError("a cancelled question ended as if nothing had happened")
    await _probability(detector, turn(*FINISHED[0]))


async def leaves_the_conversation_alone(detector: TurnDetector) -> None:
    """The history is the caller's: it is read only."""
    context = turn(*FINISHED[0])
    before = context.history.copy()
    await _probability(detector, context)
    assert context.history == before, "the history was changed"


async def closes_twice(detector: TurnDetector) -> None:
    """`aclose` may be called again."""
    await detector.aclose()


async def tells_finished_from_unfinished(detector: TurnDetector) -> None:
    """In English, plain cases are on the right side of each other."""
    if "en" not in detector.capabilities.languages:
        return
    done = [await _probability(detector, turn(*each)) for each in FINISHED]
    cut = [await _probability(detector, turn(*each)) for each in UNFINISHED]
    assert min(done) > max(cut), f"finished turns got {done}, unfinished ones {cut}"


TURN_DETECTOR_CHECKS: tuple[TurnDetectorCheck, ...] = tuple(
    _check(body)
    for body in (
        gives_probabilities,
        says_what_it_is,
        answers_alike,
        takes_any_text,
        sessions_share_it,
        the_newest_question_counts,
        cancelling_is_harmless,
        leaves_the_conversation_alone,
        closes_twice,
        tells_finished_from_unfinished,
    )
)
"""All checks; each makes its own detector."""


async def check_turn_detector(make: MakeTurnDetector) -> None:
    """Run them all."""
    for check in TURN_DETECTOR_CHECKS:
        await check(make)
