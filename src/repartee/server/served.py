"""`Served`: what a server serves under one name."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from repartee.chat import FunctionTool, Item
from repartee.compose import TurnTaking, WrapperModel
from repartee.errors import ConfigurationError
from repartee.models import VAD, RealtimeModel, TurnDetector
from repartee.protocol.config import SessionConfig
from repartee.server.policy import Policy

__all__ = ["Served"]


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """What a server serves under one name. Make it with `of`."""

    name: str
    """What clients write in ``?model=``."""
    model: RealtimeModel
    """Takes no turns itself: the server's own ears do."""
    vad: VAD | None = None
    """``None``: turns are not detected; clients commit."""
    turn_detector: TurnDetector | None = None
    """For ``semantic_vad``; ``None``: silence alone decides."""
    instructions: str = ""
    """What a session begins with; ``""``: a general text."""
    tools: tuple[FunctionTool, ...] = ()
    """Functions that run on the server, whatever the client declares; it sees them as ``mcp_call`` items."""
    voices: tuple[str, ...] = ()
    """Names of voices that the model knows; a client that names another gets the default one. ``()``: any name."""
    policy: Policy = field(default_factory=Policy)
    """What clients may change."""
    any_name: bool = False
    """Whether a client may call it by another name in its first ``session.update``, where it has named none before."""
    history: tuple[Item, ...] = ()
    """What was said before every session; the model knows it, clients don't see it."""
    userdata: Any = None
    """What functions find in their `RunContext`; a function is called for each session (see `userdata_for`)."""
    for_session: Callable[[SessionConfig], Served] | None = None
    """Makes what a session is served of what the session is. ``None``: this, for every session."""
    owned: tuple[RealtimeModel | VAD | TurnDetector, ...] = field(default=(), repr=False)
    """What `aclose` closes."""

    @classmethod
    def of(
        cls,
        model: RealtimeModel,
        *,
        name: str = "repartee",
        vad: VAD | None = None,
        turn_detector: TurnDetector | None = None,
        instructions: str = "",
        tools: Sequence[FunctionTool] = (),
        voices: Sequence[str] = (),
        policy: Policy | None = None,
        history: Sequence[Item] = (),
        userdata: Any = None,
    ) -> Served:
        """Serve a model, or what is within a `TurnTaking`: its detectors are taken over.

        Args:
            model: any. One that takes turns by `TurnTaking` (`local.RealtimeModel` does) is unwrapped.
            name: what clients write in ``?model=``.
            vad: finds speech. Default: the wrapper's, or none.
            turn_detector: the end-of-turn model. Default: the wrapper's, or none.
            instructions: what a session begins with. Default: a general text.
            tools: functions that run on the server.
            voices: names of voices that the model knows. Default: any.
            policy: what clients may change. Default: everything.
            history: what was said before every session. Default: nothing.
            userdata: what functions find in their `RunContext`. One function without, or with one argument (the
                session's configuration), is called for each session; anything else is shared by all. Default: none.

        Raises:
            ConfigurationError: the model takes turns in a way that can't be switched off here.
        """
        owned = tuple(part for part in (model, vad, turn_detector) if part is not None)
        inner = _without_turns(model)
        if isinstance(inner, TurnTaking):
            vad = vad if vad is not None else inner.vad
            turn_detector = turn_detector if turn_detector is not None else inner.turn_detection
            inner = inner.model
        if inner.capabilities.turn_detection or inner.capabilities.floor:
            raise ConfigurationError(
                f"{type(inner).__name__} takes turns by itself, but so does the server: build it with "
                "turn_detection=None"
            )
        return cls(
            name,
            inner,
            vad,
            turn_detector,
            instructions,
            tuple(tools),
            tuple(voices),
            policy=policy or Policy(),
            history=tuple(history),
            userdata=userdata,
            owned=owned,
        )

    def userdata_for(self, config: SessionConfig) -> Any:
        """What the functions of one session find in their `RunContext`."""
        if not callable(self.userdata):
            return self.userdata
        takes = any(
            each.default is each.empty for each in inspect.signature(self.userdata).parameters.values()
        )
        return self.userdata(config) if takes else self.userdata()

    async def prewarm(self) -> None:
        """Load what the first session would otherwise wait for.

        Raises:
            ModelError: a part can't be had.
        """
        await asyncio.gather(*(part.prewarm() for part in self._parts()))

    async def aclose(self) -> None:
        """Close the model and the detectors, once no session uses them."""
        for part in self.owned or self._parts():
            await part.aclose()

    def _parts(self) -> tuple[RealtimeModel | VAD | TurnDetector, ...]:
        parts = (self.model, self.vad, self.turn_detector)
        return tuple(part for part in parts if part is not None)


def _without_turns(model: RealtimeModel) -> RealtimeModel:
    """The `TurnTaking` in a model, if wrappers that only pass on (`local.RealtimeModel`) stand around one."""
    found = model
    while isinstance(found, WrapperModel) and not isinstance(found, TurnTaking):
        if not found.capabilities.floor:
            return model
        found = found.model
    return found if isinstance(found, TurnTaking) else model
