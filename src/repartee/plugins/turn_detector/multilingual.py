"""An end-of-turn model from any GGUF chat model, in any language that it knows.

Without examples: the agent's last turn and the caller's words are laid out as the model's own chat template does, and
the score is the probability that the caller's turn ends there. The form is recognised by the template's markers.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from repartee.errors import ModelFileError
from repartee.plugins.turn_detector.next_token import NextTokenDetector

__all__ = ["MultilingualModel"]

# A chat model that was not taught otherwise gives the end of a whole turn about this much (the balance point of
# SmolLM2-135M in this form); the logistic function is centred there.
_BALANCE = 0.03


@dataclass(frozen=True, slots=True)
class _ChatForm:
    marker: str
    agent: str
    caller: str


_FORMS = (
    _ChatForm("<|im_start|>", "<|im_start|>assistant\n{}<|im_end|>\n", "<|im_start|>user\n{}"),
    _ChatForm(
        "<|start_header_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>",
        "<|start_header_id|>user<|end_header_id|>\n\n{}",
    ),
    _ChatForm("<start_of_turn>", "<start_of_turn>model\n{}<end_of_turn>\n", "<start_of_turn>user\n{}"),
    _ChatForm("<|end|>", "<|assistant|>\n{}<|end|>\n", "<|user|>\n{}"),
    _ChatForm("<|user|>", "<|assistant|>\n{}</s>\n", "<|user|>\n{}"),
    _ChatForm("[INST]", "{}</s>", "[INST] {}"),
)


class MultilingualModel(NextTokenDetector):
    """Has the caller finished? By any GGUF chat model, without examples or rules of one language.

    Its probabilities rank turns; they are not calibrated for your model, so choose ``threshold`` by trying it.

    Args:
        model: a GGUF file, by path or by its name in the model directory.
        threshold: the probability from which on a turn counts as finished. Default: 0.5.
        deadline_s: when an answer is no longer waited for. Default: 0.3 seconds.
        languages: those the model knows. Default: ``("mul",)``, ISO 639-2 for several.

    Raises:
        ModelFileError: the file is missing, truncated, of another kind, or its chat template is of an unknown form.
        ConfigurationError: the threshold or the deadline is out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        threshold: float = 0.5,
        deadline_s: float = 0.3,
        languages: tuple[str, ...] = ("mul",),
    ) -> None:
        super().__init__(model, threshold=threshold, deadline_s=deadline_s, languages=languages)
        template = self._info.chat_template
        form = next((form for form in _FORMS if form.marker in template), None)
        if form is None:
            raise ModelFileError(
                f"the chat template of {self._info.path.name} is of a form that is not known here (known: "
                f"{', '.join(form.marker for form in _FORMS)}): use another model, or turn detection by silence"
            )
        self._form = form

    def _prompt(self, agent: str, text: str) -> str:
        said = self._form.agent.format(agent) if agent else ""
        return said + self._form.caller.format(text)

    def _calibrate(self, score: float, agent: str, text: str) -> float:
        clipped = min(max(score, 1e-5), 1 - 1e-5)
        return 1 / (1 + math.exp(math.log(_BALANCE / (1 - _BALANCE)) - math.log(clipped / (1 - clipped))))
