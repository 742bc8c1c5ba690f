"""What local end-of-turn models share: the text they are given, their deadline, one question at a time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from repartee.chat import ChatContext, Message
from repartee.errors import ConfigurationError, ModelError, ModelFileError, ModelTimeoutError
from repartee.models import TurnContext
from repartee.plugins.local.engine import Finished, Generation, Piece, Priority
from repartee.plugins.turn_detector import EnglishModel
from repartee.plugins.turn_detector.next_token import (
    NextTokenDetector,
    _normalise,
    last_agent_turn,
    sessions_key,
)
from tests.plugins.local.test_weights import LLAMA, gguf, write
from tests.plugins.local.weights_here import needs_weights


class Plain(NextTokenDetector):
    """Gives the raw score."""

    def _prompt(self, agent: str, text: str) -> str:
        return f"{agent}|{text}"

    def _calibrate(self, score: float, agent: str, text: str) -> float:
        return score


class FakeEngine:
    """Answers every question with the same tokens."""

    def __init__(self, *pieces: Piece | Finished | Exception) -> None:
        self.pieces = pieces
        self.asked: list[Generation] = []

    async def load(self) -> None:
        pass

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece | Finished, None]:
        self.asked.append(generation)
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


def detector(tmp_path: Path, *pieces: Piece | Finished | Exception) -> tuple[Plain, FakeEngine]:
    model, engine = Plain(write(tmp_path, gguf(dict(LLAMA)))), FakeEngine(*pieces)
    vars(model)["_engine"] = engine
    return model, engine


def likeliest(*tokens: tuple[int, str, float]) -> Piece:
    return Piece("", tuple((token, text, math.log(probability)) for token, text, probability in tokens))


def history(*said: tuple[str, str]) -> ChatContext:
    return ChatContext([Message.of(role, text) for role, text in said])  # type: ignore[arg-type]


def test_the_score_is_the_probability_of_every_token_that_ends_a_sentence_or_turn(tmp_path: Path) -> None:
    ends = likeliest(
        (2, "", 0.2), (7, "", 0.1), (9, ".", 0.05), (10, "?\n", 0.04), (11, " !", 0.03), (12, "。", 0.02)
    )
    others = likeliest((3, " the", 0.3), (4, ",", 0.1), (5, "\n", 0.1), (6, "", 0.06))
    model, engine = detector(tmp_path, Piece("", ends.likeliest + others.likeliest), Finished("length"))
    score = asyncio.run(model.predict(TurnContext("I want it", history(("assistant", "What is it?")))))
    assert score == pytest.approx(0.44)
    (asked,) = engine.asked
    assert asked.prompt == "What is it?|i want it"
    assert (asked.role, asked.max_tokens, asked.stage) == ("turn", 1, "turn_detector")
    assert asked.deadline_s == model.capabilities.deadline_s


def test_no_words_are_no_turn_and_no_question(tmp_path: Path) -> None:
    model, engine = detector(tmp_path)
    for text in ("", "  ", "...", "?!"):
        assert asyncio.run(model.predict(TurnContext(text, history()))) == 0.0
    assert not engine.asked


def test_an_answer_without_probabilities_is_an_error(tmp_path: Path) -> None:
    model, _ = detector(tmp_path, Finished("stop"))
    with pytest.raises(ModelError, match="no probabilities") as error:
        asyncio.run(model.predict(TurnContext("hello", history())))
    assert error.value.stage == "turn_detector"


def test_prewarming_reads_the_prompt_and_gives_way(tmp_path: Path) -> None:
    model, engine = detector(tmp_path, ModelError("busy", stage="turn_detector", code="stopped"))
    asyncio.run(model.prewarm())
    assert engine.asked[0].priority is Priority.PREWARM
    broken, _ = detector(tmp_path, ModelError("broken", stage="turn_detector"))
    with pytest.raises(ModelError, match="broken"):
        asyncio.run(broken.prewarm())


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"threshold": 0.0}, "threshold is 0"),
        ({"threshold": 1.0}, "threshold"),
        ({"deadline_s": 0.0}, "deadline_s is 0"),
    ],
)
def test_parameters_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Plain(write(tmp_path, gguf(dict(LLAMA))), **wrong)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"absent\.gguf"):
        Plain(tmp_path / "absent.gguf")


def test_capabilities_are_what_was_asked_for(tmp_path: Path) -> None:
    model = Plain(write(tmp_path, gguf(dict(LLAMA))), threshold=0.7, deadline_s=0.2, languages=("de",))
    assert (model.capabilities.threshold, model.capabilities.deadline_s) == (0.7, 0.2)
    assert model.capabilities.languages == ("de",)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("I'd like TWO, please.", "i'd like two please"),
        ("it’s  4-ever\nyoung", "it's 4-ever young"),
        ("<|im_end|>", "im end"),
        ("under_score", "under score"),
    ],
)
def test_texts_are_written_as_a_plain_recogniser_would(text: str, expected: str) -> None:
    assert _normalise(text) == expected


def test_a_long_text_is_cut_in_steps() -> None:
    words = [f"word{number}" for number in range(300)]
    cuts = [_normalise(" ".join(words[:count])) for count in range(100, 110)]
    assert all(len(cut) <= 400 for cut in cuts)
    assert all(cut.endswith(f"word{99 + at}") for at, cut in enumerate(cuts))
    assert len({cut.split()[0] for cut in cuts}) == 1, "its beginning stays while it grows"


def test_the_question_is_what_the_agent_said_last() -> None:
    said = history(("assistant", "Hello."), ("user", "hi"), ("assistant", "Which\n day?"), ("user", "on"))
    assert last_agent_turn(TurnContext("monday", said)) == "Which day?"
    assert last_agent_turn(TurnContext("monday", history(("user", "hi")))) == ""
    long = history(("assistant", "blah " * 100 + "Which day?"))
    assert len(last_agent_turn(TurnContext("", long))) <= 240
    assert last_agent_turn(TurnContext("", long)).endswith("Which day?")


def test_a_session_is_known_by_its_first_item() -> None:
    said = history(("assistant", "Hello."))
    later = said.copy()
    later.add_message("user", "hi")
    assert sessions_key(TurnContext("", said)) == sessions_key(TurnContext("", later))
    assert sessions_key(TurnContext("", said)) != sessions_key(
        TurnContext("", history(("assistant", "Hello.")))
    )
    one, other = ChatContext(), ChatContext()
    assert sessions_key(TurnContext("", one)) != sessions_key(TurnContext("", other))


@needs_weights
@pytest.mark.local
def test_a_deadline_is_kept_and_the_next_question_answered() -> None:
    async def main() -> None:
        patient = EnglishModel(deadline_s=60)
        await patient.prewarm()
        hasty = EnglishModel(deadline_s=0.0001)
        context = TurnContext(
            "i would like to book a table", history(("assistant", "How can I help you today?"))
        )
        with pytest.raises(ModelTimeoutError) as error:
            await hasty.predict(context)
        assert error.value.stage == "turn_detector"
        assert 0 < await patient.predict(context) < 1
        await hasty.aclose()
        await patient.aclose()

    asyncio.run(main())
