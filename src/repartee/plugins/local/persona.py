"""How the embedded default talks: its prompt, its sampling, what it may say, and the answers it knows by heart.

The embedded model has 135 million parameters. Left alone it answers "i feel sad" with "I'm sorry for your loss". Three
things make it useful:

* *Retrieval.* Greetings, thanks, what it is and what it can't do are answered from a list, by likeness with written
  examples (`repartee.plugins.local.intents`). These sentences are ours, not the model's.
* *A prompt with examples* of short, true, dull answers, for everything else.
* *Doubt.* An answer whose tokens the model itself finds unlikely (`CONFIDENCE_MIN`), or that `acceptable` refuses, is
  replaced by `DONT_KNOW`.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = [
    "CONFIDENCE_MIN",
    "DONT_KNOW",
    "FEW_SHOT",
    "MAX_TOKENS",
    "NO_COMMENT",
    "SAMPLING",
    "STOP",
    "SYSTEM_PROMPT",
    "acceptable",
    "as_question",
    "tidy",
    "verdict",
]

SYSTEM_PROMPT = "You are a helpful voice assistant. You answer in one short, plain sentence."

FEW_SHOT: tuple[tuple[str, str], ...] = (
    ("What is the capital of Canada?", "The capital of Canada is Ottawa."),
    ("How many legs does a dog have?", "A dog has four legs."),
    ("I lost my keys.", "That is annoying. Try the last place where you had them."),
    ("Who invented the telephone?", "Alexander Graham Bell invented the telephone."),
    ("What color is snow?", "Snow is white."),
    ("How do I make tea?", "Pour boiling water over a tea bag and wait three minutes."),
    ("How many days are in a year?", "There are 365 days in a year."),
    ("What sound does a cat make?", "A cat meows."),
    ("What is bread made of?", "Bread is made of flour and water."),
    ("Which month comes after March?", "April comes after March."),
    ("How many wheels does a bicycle have?", "A bicycle has two wheels."),
    ("What is the largest country in the world?", "Russia is the largest country in the world."),
)
"""User and assistant, before the conversation. They set the form: one plain sentence that answers.

With them 22 to 26 of 30 questions of general knowledge were answered right, 15 without any. Small talk among them
made it worse (19 to 20).
"""

STOP: tuple[str, ...] = ("\n", "<|im_end|>")

SAMPLING: dict[str, Any] = {"temperature": 0.0, "repeat_penalty": 1.0}
"""Greedy: with a model this small every other choice is a worse one.

A penalty for repetition would punish taking up the words of the question (1.1 cost 3 right answers of 26).
"""

MAX_TOKENS = 40
"""About ten seconds of speech."""

CONFIDENCE_MIN = -0.7
"""The least mean log probability of an answer's tokens. Below it the answer is wrong more often than right."""

DONT_KNOW = "I don't know that. I am a small model."

NO_COMMENT = "I see."
"""Instead of an answer to something that is no question."""


# -- the model's answers -------------------------------------------------------------------------------------------


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_QUESTION_WORDS = _set(
    "what who whom whose where when why which how is are was were do does did can could will would should "
    "has have"
)
_REFUSED = re.compile(
    r"sorry for (?:your|the) loss|sorry for (?:any|the) (?:confusion|misunderstanding)|as an? (?:ai|language model)"
    r"|ai assistant|language model|designed to assist|here to (?:help|support|assist)|https?:|www\.|[{}<>|\\_#*]",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r".+?[.!?](?=\s|$)", re.DOTALL)
_SENTENCES_MAX = 2
_WORDS_MAX = 40


def as_question(text: str) -> str:
    """A transcript as a sentence: a capital, "I" in capitals, and a mark at its end.

    The model takes "What is the capital of France?" for a question more surely than "what is the capital of france".
    """
    text = " ".join(text.split())
    if not text:
        return text
    text = re.sub(r"\bi(?='|\b)", "I", text)
    text = text[:1].upper() + text[1:]
    if text[-1] in ".!?…":
        return text
    first = re.split(r"[\s']", text.lower(), maxsplit=1)[0]
    return text + ("?" if first in _QUESTION_WORDS else ".")


def tidy(text: str) -> str:
    """The first sentences of an answer, without markup, quotes or a broken end."""
    text = " ".join(re.sub(r"[*_`#\"“”]+", "", text).split())
    sentences = _SENTENCE.findall(text)
    return " ".join(sentence.strip() for sentence in sentences[:_SENTENCES_MAX]) if sentences else text


def acceptable(text: str, *, confidence: float | None = None) -> bool:
    """Whether an answer may be said.

    Args:
        text: the answer so far; a whole sentence.
        confidence: the mean log probability of its tokens, where it is known.
    """
    words = re.findall(r"[a-z0-9']+", text.lower())
    if not words or len(words) > _WORDS_MAX or _REFUSED.search(text):
        return False
    if any(ord(character) > 0x2FF and character not in "–—‘’“”…" for character in text):
        return False  # emojis and scripts that the voice can't read
    threes = list(zip(words, words[1:], words[2:], strict=False))
    if len(threes) - len(set(threes)) > 1:  # it goes round in circles
        return False
    return confidence is None or confidence >= CONFIDENCE_MIN


def verdict(answer: str, said: str, *, confidence: float | None = None) -> str:
    """What to say: the answer, or an honest way out.

    Args:
        answer: the model's, whole.
        said: what the user said, to which it is the answer.
        confidence: the mean log probability of the answer's tokens, where it is known.
    """
    text = tidy(answer)
    is_question = as_question(said).endswith("?")
    if not acceptable(text, confidence=confidence) or (not is_question and _echoes(text, said)):
        return DONT_KNOW if is_question or not said.strip() else NO_COMMENT
    return text


_SMALL_WORDS = _set("i you he she it we they me my your am are is was were a an the to of that so im youre")


def _echoes(text: str, said: str) -> bool:
    """Whether an answer only says again what the user said ("You're going to the beach tomorrow.")."""
    mine, theirs = (
        {word for word in re.findall(r"[a-z]+", each.lower().replace("'", "")) if word not in _SMALL_WORDS}
        for each in (text, said)
    )
    return bool(mine) and len(mine & theirs) >= 0.6 * len(mine)
