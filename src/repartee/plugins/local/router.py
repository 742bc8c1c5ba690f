"""Which function a request is for, found by likeness with examples: matching, not reasoning.

The embedded model chooses the right function 5 times in 12, so it isn't asked. An utterance is compared with each
tool's examples (`FunctionTool.examples`, see `repartee.plugins.local.matching`); the likest tool is called when it is
like enough, its arguments are read by rules (`repartee.plugins.local.slots`), and a required one that is missing is
asked for. It works for any tools, the user's own too, and best for those that have examples.

What it can't do follows from what it is: it knows no synonyms that no example has, resolves no "it" or "the other
one", and makes no plans. What is like nothing goes to the model, which then answers without tools.

It keeps no state. A question for a missing argument is recognised in the conversation, so the answer to it completes
the call even in another process.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from repartee.chat import ChatContext, FunctionCall, FunctionCallOutput, FunctionTool, Item, Message
from repartee.models.llm import CallDone, ChatChunk, ChatRequest, TextDelta, Usage
from repartee.plugins.local.candidates import Candidate, candidate, question
from repartee.plugins.local.functions import BUILTIN_TOOLS
from repartee.plugins.local.intents import CANT, SMALL_TALK, Intent, identity, skills
from repartee.plugins.local.matching import Matcher, Reader, Template, Utterance
from repartee.plugins.local.speech import spoken_outputs

__all__ = ["Call", "Decision", "Reply", "Router", "route"]

CALL_LIKENESS_MIN = 0.68
"""The least likeness for a call, 0 to 1. Tuned on the tuning half of ``tests/data/requests.jsonl``."""
GUESS_LIKENESS_MIN = 0.55
"""For a tool without examples, whose templates are made from its description."""
INTENT_LIKENESS_MIN = 0.7
PART_LIKENESS_MIN = 0.8
"""For each of two requests in one breath."""
CERTAIN_LIKENESS = 0.95
"""From here on nothing else is considered."""
RIVAL_MARGIN = 0.1
"""How much liker small talk must be than a tool, to be answered in its place."""
_CATALOGS_MAX = 16
_QUESTIONS_MAX = 4  # how many arguments of one call are asked for in turn


@dataclass(frozen=True, slots=True)
class Call:
    """Call a function."""

    calls: tuple[FunctionCall, ...]
    likeness: float


@dataclass(frozen=True, slots=True)
class Reply:
    """Say this; it was not generated."""

    text: str
    source: str
    """Why: ``question`` (a missing argument), ``output`` (a function's), or an intent's name."""


Decision = Call | Reply | None
"""``None``: this is for the model."""


@dataclass(frozen=True, slots=True)
class _Catalog:
    tools: tuple[FunctionTool, ...]
    candidates: tuple[Candidate, ...]
    matcher: Matcher
    by_heart: tuple[tuple[Intent, Template], ...]
    """Without refusals of what the user's own functions are about."""


@dataclass(frozen=True, slots=True)
class _Choice:
    candidate: Candidate
    likeness: float
    values: dict[str, Any]

    @property
    def is_like_enough(self) -> bool:
        least = CALL_LIKENESS_MIN if self.candidate.has_examples else GUESS_LIKENESS_MIN
        return self.likeness >= least


_ANYTHING = Reader("text", lambda words, text: text, 60, free=True)
_LANGUAGES = frozenset(
    {
        "english",
        "french",
        "german",
        "spanish",
        "italian",
        "chinese",
        "japanese",
        "russian",
        "arabic",
        "portuguese",
    }
)
_LANGUAGE = Reader("choice", lambda words, text: text if text.lower() in _LANGUAGES else None, 1)


def _intent_reader(name: str, kind: str | None) -> Reader:
    return _LANGUAGE if name == "language" else _ANYTHING


_INTENTS: tuple[tuple[Intent, tuple[Template, ...]], ...] = tuple(
    (intent, tuple(Template.parse(example, _intent_reader) for example in intent.examples))
    for intent in (*SMALL_TALK, *CANT)
)


class Router:
    """Decides what a request is for. Shared by any number of sessions; it remembers only compiled examples.

    Args:
        functions_only: choose functions and ask for their arguments, but leave what a function gave back and small
            talk to the model. For models that talk well and know no tools. Default: ``False``.
    """

    def __init__(self, *, functions_only: bool = False) -> None:
        self.functions_only = functions_only
        # By the tools' identity; the entry holds the tools, so an identity can't be taken over by another. The oldest
        # goes first.
        self._catalogs: OrderedDict[tuple[int, ...], _Catalog] = OrderedDict()

    def decide(self, request: ChatRequest) -> Decision:
        """What to do with a request. Quick (a few milliseconds), and the same for the same request."""
        items = request.context.items
        outputs = _fresh_outputs(items)
        if outputs:
            if self.functions_only:
                return None
            return Reply(spoken_outputs(outputs), "output")
        if not items or not isinstance(items[-1], Message) or items[-1].role != "user":
            return None
        said = Utterance(items[-1].text)
        catalog = self._catalog(request.tools)
        by_heart = None if self.functions_only else _recall(catalog, said)
        if request.tool_choice != "none" and catalog.candidates:
            decision = self._function(catalog, request, said, by_heart.likeness if by_heart else 0.0)
            if decision is not None:
                return decision
        return _answer(by_heart.intent, request) if by_heart is not None else None

    # -- functions ---------------------------------------------------------------------------------------------

    def _function(self, catalog: _Catalog, request: ChatRequest, said: Utterance, rival: float) -> Decision:
        must = request.tool_choice != "auto"
        resumed = self._resume(catalog, request.context)
        if resumed is not None:
            return resumed
        only = request.tool_choice if request.tool_choice not in ("auto", "required") else None
        choice = _choose(catalog, said, only, least=0.0 if must else GUESS_LIKENESS_MIN)
        if choice is None or not (must or choice.is_like_enough):
            return None if must else _several(catalog, said.text)
        if choice.likeness < CERTAIN_LIKENESS and not must:
            several = _several(catalog, said.text)
            if several is not None:
                return several
            # Where examples were written, small talk that is clearly liker than all of them is meant.
            if choice.candidate.has_examples and choice.likeness < rival - RIVAL_MARGIN:
                return None
        missing = choice.candidate.missing(choice.values)
        if missing:
            return Reply(question(choice.candidate.tool, missing[0]), "question")
        return Call((_call(choice),), choice.likeness)

    def _resume(self, catalog: _Catalog, context: ChatContext) -> Decision:
        """Complete a call from the answers to questions about it."""
        said = [item for item in context.items if isinstance(item, Message) and item.role != "system"]
        for questions in range(min(_QUESTIONS_MAX, (len(said) - 1) // 2), 0, -1):
            tail = said[-2 * questions - 1 :]
            if any(message.role != ("assistant" if at % 2 else "user") for at, message in enumerate(tail)):
                continue
            if not all(message.text.endswith("?") for message in tail[1::2]):
                continue
            choice = _choose(catalog, Utterance(tail[0].text))
            if choice is None:
                continue
            values = dict(choice.values)
            decision = _fill(choice, values, tail)
            if decision is not None:
                return decision
        return None

    # -- catalogs ----------------------------------------------------------------------------------------------

    def _catalog(self, tools: Sequence[FunctionTool]) -> _Catalog:
        key = tuple(id(tool) for tool in tools)
        known = self._catalogs.get(key)
        if known is None:
            candidates = tuple(candidate(tool) for tool in tools)
            documents = [each.templates for each in candidates] + [templates for _, templates in _INTENTS]
            own = [each for each in candidates if not any(each.tool is tool for tool in BUILTIN_TOOLS)]
            subjects = {word for each in own for template in each.templates for word in template.keys}
            by_heart = tuple(
                (intent, template)
                for intent, templates in _INTENTS
                for template in templates
                if intent not in CANT or subjects.isdisjoint(template.words)
            )
            known = _Catalog(tuple(tools), candidates, Matcher(documents), by_heart)
            self._catalogs[key] = known
            if len(self._catalogs) > _CATALOGS_MAX:
                self._catalogs.popitem(last=False)
        self._catalogs.move_to_end(key)
        return known


# -- by heart ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ByHeart:
    intent: Intent
    likeness: float


def _recall(catalog: _Catalog, utterance: Utterance) -> _ByHeart | None:
    """The likest intent, if it is like enough."""
    best: _ByHeart | None = None
    for intent, template in catalog.by_heart:
        least = best.likeness if best is not None else INTENT_LIKENESS_MIN
        match = catalog.matcher.match(utterance, template, at_least=least)
        if match.score >= INTENT_LIKENESS_MIN and (best is None or match.score > best.likeness):
            best = _ByHeart(intent, match.score)
    return best


def _answer(intent: Intent, request: ChatRequest) -> Reply:
    said = [message.text for message in request.context.messages if message.role == "assistant"]
    answer = intent.answers[sum(text in intent.answers for text in said) % len(intent.answers)]
    answer = answer.replace("{name}", identity(request.instructions))
    return Reply(answer.replace("{skills}", skills([tool.name for tool in request.tools])), intent.name)


# -- functions -----------------------------------------------------------------------------------------------------


def _several(catalog: _Catalog, text: str) -> Decision:
    """Two requests in one breath ("what time is it and set a timer for …"), if each is one by itself."""
    lowered = text.lower()
    for joint in (" and then ", " and also ", " then ", " and "):
        at = lowered.find(joint)
        if at <= 0:
            continue
        parts = (text[:at], text[at + len(joint) :])
        choices = [
            choice for part in parts if (choice := _choose(catalog, Utterance(part), least=PART_LIKENESS_MIN))
        ]
        if len(choices) == 2 and not any(each.candidate.missing(each.values) for each in choices):
            return Call(tuple(map(_call, choices)), min(each.likeness for each in choices))
    return None


def _fresh_outputs(items: Sequence[Item]) -> list[FunctionCallOutput]:
    """The outputs that nobody has spoken about yet: those at the end of the conversation."""
    outputs: list[FunctionCallOutput] = []
    for item in reversed(items):
        if isinstance(item, FunctionCallOutput):
            outputs.append(item)
        elif not isinstance(item, FunctionCall):
            break
    return outputs[::-1]


def _choose(
    catalog: _Catalog, utterance: Utterance, only: str | None = None, *, least: float = GUESS_LIKENESS_MIN
) -> _Choice | None:
    """The likest tool; none below ``least``. With ``only``, that tool."""
    best: _Choice | None = None
    for each in catalog.candidates:
        if only is not None and each.tool.name != only:
            continue
        for template in each.templates:
            at_least = best.likeness if best is not None else least
            match = catalog.matcher.match(utterance, template, at_least=at_least)
            if match.score >= least and (best is None or match.score > best.likeness):
                best = _Choice(each, match.score, match.values)
    if best is not None:
        _add_optional(best, utterance)
    return best


def _add_optional(choice: _Choice, utterance: Utterance) -> None:
    """Arguments that no slot of the template took, where the words leave no doubt: choices, durations, on and off."""
    for name, reader in choice.candidate.readers.items():
        if name in choice.values or reader.kind not in ("choice", "duration", "boolean"):
            continue
        values = [value for ends in utterance.spans(reader).values() for _, value in ends]
        if reader.kind == "boolean" and False in values:  # "on" is a preposition too, "off" rarely is
            choice.values[name] = False
        elif values and all(value == values[0] for value in values):
            choice.values[name] = values[0]


def _fill(choice: _Choice, values: dict[str, Any], tail: Sequence[Message]) -> Decision:
    """Go through questions and answers; ``None`` unless each question is the one that would have been asked."""
    for asked, answer in zip(tail[1::2], tail[2::2], strict=True):
        missing = choice.candidate.missing(values)
        if not missing or asked.text != question(choice.candidate.tool, missing[0]):
            return None
        value = choice.candidate.read_answer(missing[0], answer.text)
        if value is None:
            return None
        values[missing[0]] = value
    missing = choice.candidate.missing(values)
    if missing:
        return Reply(question(choice.candidate.tool, missing[0]), "question")
    return Call((_call(_Choice(choice.candidate, choice.likeness, values)),), choice.likeness)


def _call(choice: _Choice) -> FunctionCall:
    return FunctionCall(choice.candidate.tool.name, json.dumps(choice.values, ensure_ascii=False))


# -- as an answer --------------------------------------------------------------------------------------------------

_router = Router()


def route(request: ChatRequest, *, router: Router = _router) -> AsyncGenerator[ChatChunk, None] | None:
    """The answer to a request, if it is a function call, a function's output, or something known by heart.

    Returns:
        its chunks, or ``None`` when the request is for the model.
    """
    decision = router.decide(request)
    return None if decision is None else _chunks(decision)


async def _chunks(decision: Call | Reply) -> AsyncGenerator[ChatChunk, None]:
    if isinstance(decision, Reply):
        yield TextDelta(decision.text)
    else:
        for call in decision.calls:
            yield CallDone(call)
    yield Usage()
