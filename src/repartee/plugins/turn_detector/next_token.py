"""Asking a language model whether a text is over: what an `EnglishModel` and a `MultilingualModel` share.

The question is one token long: how likely is it that the next one ends the turn or the sentence? The prompt ends with
the caller's words so far, so while they grow each question costs the new words only.

One question is in flight for each session. A newer one supersedes the older, which fails with the code
``superseded``: nobody needs to know whether half of a text was complete.
"""

from __future__ import annotations

import math
import os
import re
from abc import abstractmethod
from contextlib import aclosing

from repartee.chat import Message
from repartee.errors import ConfigurationError, ModelError
from repartee.models.turn_detector import TurnContext, TurnDetector, TurnDetectorCapabilities
from repartee.plugins.local.engine import EngineSettings, Generation, Piece, Priority, acquire, hold_for
from repartee.plugins.local.weights import GGUFInfo, check_gguf, find_gguf

__all__ = ["NextTokenDetector", "last_agent_turn", "sessions_key"]

_LIKELIEST = 60  # tokens looked at; beyond them the sum changes by less than 1 %
_SENTENCE_ENDS = (".", "?", "!", "。", "？", "！", "…", "؟", "।")
_MAX_AGENT_CHARS = 240
_MAX_TEXT_CHARS = 400
_MARKER = re.compile(r"<\|[^|<>]{0,40}\|>|<\|")


class NextTokenDetector(TurnDetector):
    """A local end-of-turn model by next-token probability.

    Args:
        model: a GGUF file, by path or by its name in the model directory. Default: SmolLM2-135M-Instruct.
        threshold: the probability from which on a turn counts as finished. Default: 0.5.
        deadline_s: when an answer is no longer waited for. Default: 0.3 seconds.
        languages: what ``capabilities`` says.

    Raises:
        ModelFileError: the file is missing, truncated or of another kind.
        ConfigurationError: the threshold or the deadline is out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        threshold: float = 0.5,
        deadline_s: float = 0.3,
        languages: tuple[str, ...] = ("en",),
    ) -> None:
        if not 0 < threshold < 1:
            raise ConfigurationError(f"threshold is {threshold}; a probability between 0 and 1 is needed")
        if deadline_s <= 0:
            raise ConfigurationError(f"deadline_s is {deadline_s}; it must be more than 0 seconds")
        self.capabilities = TurnDetectorCapabilities(
            languages=languages, threshold=threshold, deadline_s=deadline_s
        )
        self._info: GGUFInfo = check_gguf(find_gguf(model))
        # The language model's engine serves, whatever its settings, when it has the same file: one copy in memory.
        self._engine = acquire(EngineSettings(self._info.path), any_settings=True)
        self._hold = hold_for(self, self._engine)

    @abstractmethod
    def _prompt(self, agent: str, text: str) -> str:
        """The prompt that ends with the caller's words."""

    @abstractmethod
    def _calibrate(self, score: float, agent: str, text: str) -> float:
        """The probability that a raw score stands for."""

    async def predict(self, context: TurnContext) -> float:
        """The probability, 0 to 1, that the caller has finished; 0 where there are no words.

        Raises:
            ModelTimeoutError: there was no answer within ``capabilities.deadline_s``.
            ModelError: the model failed; code ``superseded``: this session asked again meanwhile.
        """
        text = _normalise(context.text)
        if not text:
            return 0.0
        agent = _MARKER.sub(" ", last_agent_turn(context))
        score = await self._score(
            self._prompt(agent, text), self.capabilities.deadline_s, sessions_key(context)
        )
        return self._calibrate(score, agent, text)

    async def prewarm(self) -> None:
        """Load the model, and read the part of the prompt that never changes."""
        await self._engine.load()
        try:
            await self._score(self._prompt("", "hello"), None, None, priority=Priority.PREWARM)
        except ModelError as error:
            if error.code not in ("stopped", "queue_full"):
                raise

    async def aclose(self) -> None:
        """Let go of the model; the last holder frees its memory."""
        if self._hold.detach() is not None:
            await self._engine.release()

    async def _score(
        self, prompt: str, deadline_s: float | None, key: object, priority: Priority = Priority.COMMITTED
    ) -> float:
        """The summed probability of the tokens that would end it."""
        generation = Generation(
            prompt=prompt,
            role="turn",
            priority=priority,
            max_tokens=1,
            options={"temperature": 0.0},
            probabilities=_LIKELIEST,
            deadline_s=deadline_s,
            stage="turn_detector",
            session=key,
        )
        async with aclosing(self._engine.generate(generation)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Piece) and piece.likeliest:
                    return sum(
                        math.exp(logprob)
                        for token, text, logprob in piece.likeliest
                        if token in self._info.end_token_ids or text.strip().startswith(_SENTENCE_ENDS)
                    )
        raise ModelError(
            "the end-of-turn model gave no probabilities", stage="turn_detector", provider="local"
        )


def last_agent_turn(context: TurnContext) -> str:
    """What the agent said last (its end, if it was long), or ``""``: the question that the caller answers."""
    for item in reversed(context.history.items):
        if isinstance(item, Message) and item.role == "assistant" and item.text.strip():
            return _tail(" ".join(item.text.split()), _MAX_AGENT_CHARS)
    return ""


def sessions_key(context: TurnContext) -> object:
    """What tells one session's questions from another's: its first item's id, or the history object itself."""
    items = context.history.items
    return items[0].id if items else id(context.history)


def _normalise(text: str) -> str:
    """As a plain recogniser writes it: lower case, words and apostrophes only.

    Punctuation would give the answer away, and recognisers that add it put a full stop behind every pause.
    """
    words = re.sub(r"[^\w'’@+\s-]|_", " ", text.lower()).replace("’", "'").split()
    return _tail(" ".join(words), _MAX_TEXT_CHARS)


def _tail(text: str, max_chars: int) -> str:
    """Its end, from a word on. The cut moves in steps, so that a growing text keeps its beginning for a while."""
    if len(text) <= max_chars:
        return text
    step = max_chars // 2
    cut = -(-(len(text) - max_chars) // step) * step
    return text[cut:].split(" ", 1)[-1]
