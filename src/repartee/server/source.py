"""What ``--model`` names: ``local``, or ``module:attribute``.

The attribute is a `RealtimeModel`, a `Served`, a function or class that makes one of these, or an
agent: anything with ``instructions`` and ``tools``, which is then served with the local model (or its own ``llm``).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from typing import Any

from repartee.chat import FunctionTool
from repartee.errors import ConfigurationError
from repartee.models import RealtimeModel
from repartee.server.served import Served

__all__ = ["served_from"]


def served_from(source: str) -> Served:
    """What a name stands for.

    Args:
        source: ``"local"``, or ``"module:attribute"``, looked for in the working directory, too.

    Raises:
        ConfigurationError: it stands for nothing that can be served; says what would.
        MissingDependencyError: it needs a package that is not installed.
    """
    if source == "local":
        return _local()
    module_name, colon, path = source.partition(":")
    if not colon or not module_name or not path:
        raise ConfigurationError(
            f"{source!r} is no model; right are 'local', and 'module:attribute' such as 'my_agent:model'"
        )
    return _as_served(_attribute(module_name, path), source)


def _local() -> Served:
    from repartee.plugins import local

    return Served.of(local.RealtimeModel(), name="local")


def _attribute(module_name: str, path: str) -> Any:
    added = "" not in sys.path
    if added:
        sys.path.insert(0, "")  # as `python -m` does: a script's name, in the folder that one works in
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise ConfigurationError(
                f"there is no module {error.name!r} here, nor is one installed"
            ) from None
        raise
    finally:
        if added:
            sys.path.remove("")
    for name in path.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(f"module {module_name!r} has no {path!r}; right is one of its names")
        found = getattr(found, name)
    return found


def _as_served(found: Any, source: str) -> Served:
    made = found
    if isinstance(found, type) or (
        callable(found) and not isinstance(found, RealtimeModel) and not _is_agent(found)
    ):
        try:
            made = found()
        except TypeError as error:
            raise ConfigurationError(f"{source!r} can't be called without arguments: {error}") from None
    if isinstance(made, Served):
        return made
    name = source.partition(":")[2].rpartition(".")[2]
    if isinstance(made, RealtimeModel):
        return Served.of(made, name=name)
    if _is_agent(made):
        return _agent(made, name)
    raise ConfigurationError(
        f"{source!r} is {_described(made)}; right is a RealtimeModel, an agent (with instructions and tools), or a "
        "function that makes one"
    )


def _is_agent(found: Any) -> bool:
    return not isinstance(found, type) and isinstance(getattr(found, "instructions", None), str)


def _agent(agent: Any, name: str) -> Served:
    tools = getattr(agent, "tools", ())
    if not isinstance(tools, Iterable) or not all(isinstance(tool, FunctionTool) for tool in tools):
        raise ConfigurationError(f"the agent {name!r} has tools that are no @function_tool functions")
    model = getattr(agent, "llm", None)
    if not isinstance(model, RealtimeModel):
        from repartee.plugins import local

        model = local.RealtimeModel()
    return Served.of(model, name=name, instructions=agent.instructions, tools=tuple(tools))


def _described(value: Any) -> str:
    return "nothing (None)" if value is None else f"a {type(value).__name__}"
