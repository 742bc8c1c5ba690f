"""What ``--model`` names.

====================  ==============================================================================================
``local``             the embedded models
``openai:NAME``       a relay to OpenAI's Realtime API, or to the server in ``OPENAI_BASE_URL``
``azure:DEPLOYMENT``  a relay to Azure's
``module:attribute``  a `RealtimeModel`, an `LLM` (the local models hear and speak for it), an agent (anything with
                      ``instructions`` and ``tools``), an `AgentSession` that was not started, a `Served`; or a
                      function or class that makes one of these. One that takes an argument is called for each session
                      with its configuration, and makes an agent
====================  ==============================================================================================
"""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from repartee.chat import FunctionTool, Item
from repartee.compose import Overheard, Spoken, Transcribed
from repartee.errors import ConfigurationError, MissingDependencyError
from repartee.models import LLM, STT, TTS, VAD, RealtimeModel, TurnDetector
from repartee.protocol.config import SessionConfig
from repartee.protocol.sessions import default_session
from repartee.server.served import Served

__all__ = ["LocalParts", "served_from"]

log = logging.getLogger("repartee.server")

OPENAI_VOICES = (
    "marin",
    "cedar",
    "alloy",
    "ash",
    "ballad",
    "coral",
    "echo",
    "sage",
    "shimmer",
    "verse",
)
"""Of OpenAI's and Azure's; a name that is none of them would have the whole session.update refused there."""
RIGHT = "'local', 'openai:NAME', 'azure:DEPLOYMENT', and 'module:attribute' such as 'my_agent:agent'"
MAKEABLE = "a RealtimeModel, an LLM, an agent (instructions and tools), an AgentSession, or what makes one"


@dataclass(frozen=True, slots=True)
class LocalParts:
    """Which of the local models are used, by path or name. ``None``: the default one."""

    llm: str | None = None
    stt: str | None = None
    tts: str | None = None


def served_from(source: str, parts: LocalParts | None = None) -> Served:
    """What a name stands for.

    Args:
        source: see above. A module is looked for in the working directory, too.
        parts: of the local models, where they are used. Default: the default ones.

    Raises:
        ConfigurationError: it stands for nothing that can be served; says what would.
        MissingDependencyError: it needs a package that is not installed.
    """
    parts = parts or LocalParts()
    if source == "local":
        return Served.of(_local(parts), name="local")
    module_name, colon, path = source.partition(":")
    if not colon or not module_name or not path:
        raise ConfigurationError(f"{source!r} is no model; right are {RIGHT}")
    if module_name in ("openai", "azure"):
        return _relay(module_name, path, parts)
    return _Found(source, path.rpartition(".")[2], parts).served(_attribute(module_name, path))


# -- the local models, and others with their help --------------------------------------------------------------


def _local(parts: LocalParts, **given: Any) -> RealtimeModel:
    from repartee.plugins import local

    chosen = {name: getattr(parts, name) for name in ("llm", "stt", "tts")}
    return local.RealtimeModel(
        **{**chosen, **{name: part for name, part in given.items() if part is not None}}
    )


def _relay(kind: str, name: str, parts: LocalParts) -> Served:
    """Another server's model, behind our ears."""
    from repartee.plugins.openai import realtime

    named = {"model": name} if kind == "openai" else {"azure_deployment": name}
    model = realtime.RealtimeModel(turn_detection=None, **named)  # type: ignore[arg-type]
    voices = OPENAI_VOICES if model.server.is_openai else ()
    return _with_ears(model, name, parts, voices=voices)


def _with_ears(
    model: RealtimeModel,
    name: str,
    parts: LocalParts,
    *,
    vad: VAD | None = None,
    turn_detector: TurnDetector | None = None,
    **more: Any,
) -> Served:
    """A model that hears but takes no turns, with the local detectors, and words for them, as far as they are there."""
    able = model.capabilities
    if able.floor or able.turn_detection or not able.audio_input:
        return Served.of(model, name=name, vad=vad, turn_detector=turn_detector, **more)
    try:
        from repartee.plugins import local

        vad = vad or local.VAD()
        if not able.settles:
            model = Overheard(model, local.STT(parts.stt))
        if turn_detector is None:
            from repartee.plugins.turn_detector.english import EnglishModel

            turn_detector = EnglishModel()
    except MissingDependencyError as missing:
        without = (
            "turns end by silence alone" if vad is not None else "clients have to commit turns themselves"
        )
        log.warning("%s: %s: %s", name, without, missing)
    return Served.of(model, name=name, vad=vad, turn_detector=turn_detector, **more)


# -- what is found in a module ---------------------------------------------------------------------------------


def _attribute(module_name: str, path: str) -> Any:
    added = "" not in sys.path
    if added:
        sys.path.insert(0, "")  # as `python -m` does: a script's name, in the folder that one works in
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise ConfigurationError(
                f"there is no module {error.name!r} here, nor is one installed; a script's name goes without its .py, "
                "and --app-dir names the folder that it is in"
            ) from None
        raise
    finally:
        if added:
            sys.path.remove("")
    for name in path.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(
                f"module {module_name!r} has no {path!r}; right is one of its names{_names(found)}"
            )
        found = getattr(found, name)
    return found


def _names(found: Any) -> str:
    """The names in a module that may be meant."""
    module = getattr(found, "__name__", "")
    own = [
        name
        for name, value in vars(found).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and (_is_servable(value) or (callable(value) and getattr(value, "__module__", "") == module))
    ]
    return f": {', '.join(own[:8])}" if own else ""


@dataclass(frozen=True, slots=True)
class _Found:
    """What a name stands for, on its way to be served."""

    source: str
    name: str
    parts: LocalParts

    def served(self, found: Any) -> Served:
        """It, served; what makes something is called."""
        if _is_servable(found) or not callable(found):
            return self._as_served(found)
        if inspect.iscoroutinefunction(found):
            raise ConfigurationError(f"{self.source!r} is an async function; right is one without async")
        wanted = _required_arguments(found)
        if wanted == 0:
            return self._as_served(found())
        if wanted == 1:
            return self._per_session(found)
        raise ConfigurationError(
            f"{self.source!r} can't be called without arguments: it wants {wanted}; right is none, or one: the "
            "session's configuration"
        )

    def _per_session(self, make: Callable[[SessionConfig], Any]) -> Served:
        """Something made for each session; made once now, to see what it is."""
        first = make(default_session("realtime", id="sess_first", model=self.name))
        base = self._as_served(first)
        shared = getattr(first, "llm", None)

        def for_session(config: SessionConfig) -> Served:
            made = make(config)
            if not _is_agent(made):
                raise ConfigurationError(f"{self.source!r} made {_described(made)}; right is an agent")
            if getattr(made, "llm", None) is not shared:
                raise ConfigurationError(
                    f"{self.source!r} makes a model for each session; right is one that all agents share as their llm"
                )
            return replace(base, **self._agent_fields(made))

        if not _is_agent(first):
            raise ConfigurationError(
                f"{self.source!r} takes an argument, so it is called for each session, and makes "
                f"{_described(first)}; right is an agent (with instructions and tools)"
            )
        return replace(base, for_session=for_session)

    def _as_served(self, found: Any) -> Served:
        if isinstance(found, Served):
            return found
        if isinstance(found, RealtimeModel):
            return _with_ears(found, self.name, self.parts)
        if isinstance(found, LLM):
            return Served.of(_local(self.parts, llm=found), name=self.name)
        if _is_session(found):
            self._check_tools(found.tools)
            return Served.of(found.model, name=self.name, tools=found.tools, userdata=found.userdata)
        if _is_agent(found):
            return self._agent(found)
        raise ConfigurationError(f"{self.source!r} is {_described(found)}; right is {MAKEABLE}")

    def _agent(self, agent: Any) -> Served:
        kinds = {"llm": LLM, "stt": STT, "tts": TTS, "vad": VAD, "turn_detection": TurnDetector}
        own: dict[str, Any] = {}
        for name, kind in kinds.items():
            part = getattr(agent, name, None)
            if part is not None and not isinstance(part, kind):
                raise ConfigurationError(
                    f"the {name} of the agent {self.name!r} is {_described(part)}; right is a {kind.__name__}"
                )
            own[name] = part
        fields = self._agent_fields(agent)
        model = own["llm"]
        if not isinstance(model, RealtimeModel):
            return Served.of(_local(self.parts, **own), name=self.name, **fields)
        if own["stt"] is not None:
            model = Transcribed(model, own["stt"])
        if own["tts"] is not None:
            model = Spoken(model, own["tts"])
        ears = {"vad": own["vad"], "turn_detector": own["turn_detection"]}
        return _with_ears(model, self.name, self.parts, **ears, **fields)

    def _agent_fields(self, agent: Any) -> dict[str, Any]:
        """What is served of an agent besides its model."""
        return {
            "instructions": agent.instructions,
            "tools": self._check_tools(getattr(agent, "tools", ())),
            "history": self._check_history(getattr(agent, "chat_context", None) or ()),
            "userdata": getattr(agent, "userdata", None),
        }

    def _check_tools(self, tools: Any) -> tuple[FunctionTool, ...]:
        if not isinstance(tools, Iterable) or isinstance(tools, str):
            raise ConfigurationError(f"the tools of the agent {self.name!r} are no list of functions")
        found = tuple(tools)
        for tool in found:
            if not isinstance(tool, FunctionTool):
                raise ConfigurationError(
                    f"the agent {self.name!r} has tools that are no @function_tool functions: {tool!r:.60}"
                )
        return found

    def _check_history(self, items: Any) -> tuple[Item, ...]:
        if not isinstance(items, Iterable):
            raise ConfigurationError(f"the chat_context of the agent {self.name!r} is no ChatContext")
        return tuple(items)


def _required_arguments(make: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # some that are written in C have none to show
        return 0
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return sum(each.default is each.empty and each.kind not in variable for each in parameters)


def _is_servable(found: Any) -> bool:
    if isinstance(found, type):
        return False
    return isinstance(found, Served | LLM) or _is_session(found) or _is_agent(found)


def _is_agent(found: Any) -> bool:
    return not isinstance(found, type) and isinstance(getattr(found, "instructions", None), str)


def _is_session(found: Any) -> bool:
    """Whether it is an `AgentSession`, known by what it shows: sessions and servers know nothing of each other."""
    return (
        not isinstance(found, type | LLM)
        and isinstance(getattr(found, "model", None), RealtimeModel)
        and hasattr(found, "userdata")
        and hasattr(found, "tools")
    )


def _described(value: Any) -> str:
    return "nothing (None)" if value is None else f"a {type(value).__name__}"
