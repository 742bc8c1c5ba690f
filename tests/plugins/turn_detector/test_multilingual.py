"""An end-of-turn model from any GGUF."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from repartee.chat import ChatContext, Message
from repartee.errors import ModelFileError
from repartee.models import TurnContext, TurnDetector
from repartee.plugins.turn_detector.multilingual import MultilingualModel
from repartee.testing.conformance_turn_detector import gives_probabilities, sessions_share_it
from tests.plugins.local.test_weights import LLAMA, gguf, write
from tests.plugins.local.weights_here import needs_weights, weights_file

TEMPLATES = {
    "{{ '<|im_start|>' }}": "<|im_start|>assistant\nHow?<|im_end|>\n<|im_start|>user\nso",
    "{{ '<|start_header_id|>' }}": (
        "<|start_header_id|>assistant<|end_header_id|>\n\nHow?<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nso"
    ),
    "{{ '<start_of_turn>' }}": "<start_of_turn>model\nHow?<end_of_turn>\n<start_of_turn>user\nso",
    "{{ '<|user|>' }} {{ '<|end|>' }}": "<|assistant|>\nHow?<|end|>\n<|user|>\nso",
    "{{ '<|user|>' }}": "<|assistant|>\nHow?</s>\n<|user|>\nso",
    "{{ '[INST]' }}": "How?</s>[INST] so",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_prompt_follows_the_models_own_template(tmp_path: Path, template: str) -> None:
    path = write(tmp_path, gguf({**LLAMA, "tokenizer.chat_template": template}))
    model = MultilingualModel(path)
    assert model._prompt("How?", "so") == TEMPLATES[template]
    assert model._prompt("", "so").endswith("so")
    assert "How?" not in model._prompt("", "so")
    asyncio.run(model.aclose())


def test_a_template_of_another_form_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, gguf({**LLAMA, "tokenizer.chat_template": "{{ messages }}"}))
    with pytest.raises(ModelFileError, match="form that is not known"):
        MultilingualModel(path)


@needs_weights
@pytest.mark.local
def test_it_ranks_in_another_language() -> None:
    async def main() -> None:
        model = MultilingualModel(weights_file(), deadline_s=60)
        history = ChatContext([Message.of("assistant", "Bonjour, que puis-je faire pour vous?")])
        done = await model.predict(
            TurnContext("je voudrais réserver une table pour deux personnes ce soir", history)
        )
        cut = await model.predict(TurnContext("je voudrais réserver une table pour", history))
        assert done > cut
        await model.aclose()

    asyncio.run(main())


@needs_weights
@pytest.mark.local
@pytest.mark.parametrize("check", [gives_probabilities, sessions_share_it], ids=lambda check: check.__name__)
def test_conformance(check: Callable[[TurnDetector], Awaitable[None]]) -> None:
    # Two of them: what the rest tests is shared with the English model.
    async def main() -> None:
        model = MultilingualModel(weights_file(), deadline_s=60)
        await check(model)
        await model.aclose()

    asyncio.run(main())
