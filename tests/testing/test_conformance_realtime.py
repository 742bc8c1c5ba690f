"""The suite itself: it passes all that is right, and finds what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from repartee.compose import Conversing, Spoken, Transcribed, TurnTaking
from repartee.models import RealtimeModel
from repartee.models import events as ev
from repartee.testing import (
    ScriptedLLM,
    ScriptedRealtimeModel,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedVAD,
    run,
)
from repartee.testing.conformance_realtime import REALTIME_CHECKS, RealtimeCheck, check_realtime


def conversing() -> Conversing:
    return Conversing(ScriptedLLM({"*": "Well, let me see what there is to say."}))


def scripted(**options: Any) -> ScriptedRealtimeModel:
    return ScriptedRealtimeModel(["Well, let me see."] * 9, turn_detection=False, strict=False, **options)


MODELS: dict[str, Callable[[], RealtimeModel]] = {
    "Conversing": conversing,
    "Transcribed": lambda: Transcribed(conversing(), ScriptedSTT()),
    "Spoken": lambda: Spoken(conversing(), ScriptedTTS()),
    "Spoken Transcribed": lambda: Spoken(Transcribed(conversing(), ScriptedSTT()), ScriptedTTS()),
    "Transcribed Spoken": lambda: Transcribed(Spoken(conversing(), ScriptedTTS()), ScriptedSTT()),
    "TurnTaking": lambda: TurnTaking(conversing()),
    "all": lambda: TurnTaking(Spoken(Transcribed(conversing(), ScriptedSTT()), ScriptedTTS()), ScriptedVAD()),
    "a realtime model": scripted,
    "half-cascade": lambda: TurnTaking(Spoken(scripted(audio=False), ScriptedTTS()), ScriptedVAD()),
    "TurnTaking of a realtime model": lambda: TurnTaking(scripted(), ScriptedVAD()),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("check", REALTIME_CHECKS, ids=lambda check: check.__name__)
def test_every_realtime_model_conforms(model: str, check: RealtimeCheck) -> None:
    run(check(MODELS[model]))


class Twice(ScriptedRealtimeModel):
    """Ends each response twice."""

    def session(self, *args: Any, **kwargs: Any) -> Any:
        tell = kwargs["on_event"]

        def twice(event: ev.RealtimeEvent) -> None:
            tell(event)
            if isinstance(event, ev.ResponseDone):
                tell(event)

        return super().session(*args, **{**kwargs, "on_event": twice})


class Silent(ScriptedRealtimeModel):
    """Never says that an item is there."""

    def session(self, *args: Any, **kwargs: Any) -> Any:
        tell = kwargs["on_event"]
        return super().session(
            *args, **{**kwargs, "on_event": lambda e: None if isinstance(e, ev.ItemAdded) else tell(e)}
        )


class Forgetful(ScriptedRealtimeModel):
    """Drops a word on the way."""

    def session(self, *args: Any, **kwargs: Any) -> Any:
        tell = kwargs["on_event"]
        dropped: list[ev.RealtimeEvent] = []

        def drop(event: ev.RealtimeEvent) -> None:
            if isinstance(event, ev.TranscriptDelta) and not dropped:
                dropped.append(event)
            else:
                tell(event)

        return super().session(*args, **{**kwargs, "on_event": drop})


@pytest.mark.parametrize("broken", [Twice, Silent, Forgetful])
def test_what_is_wrong_is_found(broken: type[ScriptedRealtimeModel]) -> None:
    with pytest.raises(AssertionError):
        run(
            check_realtime(lambda: broken(["Well, let me see."] * 9, turn_detection=False, strict=False)),
            check_leaks=False,
        )
