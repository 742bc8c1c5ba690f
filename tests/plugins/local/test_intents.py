from __future__ import annotations

import pytest

from repartee.chat import ChatContext
from repartee.models.llm import ChatRequest
from repartee.plugins.local.functions import BUILTIN_TOOLS
from repartee.plugins.local.intents import CANT, SMALL_TALK, Intent, identity, skills
from repartee.plugins.local.router import Reply, Router

ROUTER = Router()


@pytest.mark.parametrize(
    "instructions, name",
    [
        ("", "a voice assistant"),
        ("Answer in one sentence.", "a voice assistant"),
        ("You are a pizza order assistant. Be brief.", "a pizza order assistant"),
        ("You are Ann, who works here", "Ann"),
        ("you are a helpful assistant that never lies", "a helpful assistant"),
        ("You are a guide. Your name is Bob.", "Bob"),
    ],
)
def test_who_it_is(instructions: str, name: str) -> None:
    assert identity(instructions) == name


def test_skills_name_what_there_is() -> None:
    assert skills([]) == "I can answer simple questions and talk a little."
    assert (
        skills(["tell_time", "tell_date"]) == "I can tell the time and the date, and answer simple questions."
    )
    assert (
        skills(["spell", "open_door", "list_timers"])
        == "I can spell words and open door, and answer simple questions."
    )


def test_names_are_unique() -> None:
    names = [intent.name for intent in (*SMALL_TALK, *CANT)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("intent", [*SMALL_TALK, *CANT], ids=lambda intent: intent.name)
def test_each_intent_knows_its_own_examples(intent: Intent) -> None:
    wrong = []
    for example in intent.examples:
        if "{" in example:
            continue
        context = ChatContext()
        context.add_message("user", example)
        decision = ROUTER.decide(ChatRequest(context))
        # Some say the same in another place ("cancel", "stop"); what counts is that one of the like is answered.
        if not isinstance(decision, Reply) or (decision.source != intent.name and example in _unique):
            wrong.append((example, decision))
    assert wrong == []


_all = [example for intent in (*SMALL_TALK, *CANT) for example in intent.examples]
_unique = {example for example in _all if _all.count(example) == 1}


@pytest.mark.parametrize("intent", [*SMALL_TALK, *CANT], ids=lambda intent: intent.name)
def test_answers_are_short_plain_sentences(intent: Intent) -> None:
    for answer in intent.answers:
        assert answer.endswith((".", "!", "?", "}"))
        assert len(answer.split()) <= 25


def test_examples_of_small_talk_call_no_function() -> None:
    wrong = []
    for intent in SMALL_TALK:
        for example in intent.examples:
            context = ChatContext()
            context.add_message("user", example)
            decision = ROUTER.decide(ChatRequest(context, tools=BUILTIN_TOOLS))
            if "{" not in example and not isinstance(decision, Reply):
                wrong.append((example, decision))
    assert wrong == []
