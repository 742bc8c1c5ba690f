"""Who may import whom: floors, walls, cycles, and what importing costs nothing.

Hidden imports (in a function, under ``TYPE_CHECKING``, by ``importlib``) count: a ring that is only hidden is a ring.
Names given as data (the lazy table of ``repartee.__init__``, the entry points of pyproject.toml) don't.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

import pytest

from tests.tidy.source import (
    FLOORS,
    PACKAGE,
    Import,
    Module,
    imports,
    package_modules,
    parse,
    part_of,
    within,
)

# ------------------------------------------------------------------------------------------ the rules as data

EDGES: dict[str, set[str]] = {
    # Which other parts of floor 4 a part of floor 4 may import.
    "cli": {"plugins", "server", "testing", "transports"},
    "plugins": set(),
    "server": {"transports"},
    "testing": {"server", "transports"},
    "transports": set(),
}

APART = {("server", "session"), ("session", "server"), ("compose", "session"), ("inference", "session")}
"""Pairs where the first may not import the second, though the floors would let it."""

PASSAGES: dict[tuple[str, str], str] = {
    # (importer, imported): why this hole in a wall is right. Both stand for themselves and what is below them.
    ("repartee.plugins.local.realtime", "repartee.compose"): (
        "local.RealtimeModel is the local VAD, STT, LLM and TTS joined by the same wrappers that a session uses"
    ),
    ("repartee.plugins.local.realtime", "repartee.plugins.turn_detector"): (
        "an end-of-turn model is one of the five parts of the embedded default"
    ),
    ("repartee.plugins.turn_detector.next_token", "repartee.plugins.local.engine"): (
        "the end-of-turn model is asked in the engine that the local LLM runs: one copy of the weights, one queue"
    ),
    ("repartee.plugins.turn_detector.next_token", "repartee.plugins.local.weights"): (
        "it takes any GGUF by the same names and checks as the local LLM"
    ),
    ("repartee.server.source", "repartee.plugins"): (
        "`--model` names what is served, and the local default is a plugin: imported when it is named, and nowhere else"
    ),
}

MACHINE_BANS = (
    "asyncio",
    "concurrent",
    "datetime",
    "random",
    "secrets",
    "selectors",
    "socket",
    "threading",
    "time",
)
"""What a pure machine (floor 1) may not import: no clock, no task, no I/O, no chance."""

THIRD_PARTY: dict[str, set[str]] = {
    # A Struct is made by its base class when the module is read, so the wire's types can't wait for a function. Only
    # what speaks the protocol imports them, never `repartee` itself.
    "repartee.protocol.codec": {"msgspec", "pybase64"},
    "repartee.protocol.model": {"msgspec"},
    # Values of which a server makes thousands a second: a Struct costs a seventh of a frozen dataclass.
    "repartee.audio.frame": {"msgspec"},
    "repartee.models.vad": {"msgspec"},
    "repartee.turns.listening_words": {"msgspec"},
}
"""Third-party packages that a module of floors 0 to 3 may import at its top: module → packages, with the reason."""


# -------------------------------------------------------------------------------------------------- the rules


def floor_problems(modules: Mapping[str, Module]) -> list[str]:
    """Imports that go upward, and parts without a floor."""
    problems = []
    for module, found in _own_imports(modules):
        if module.part and module.part not in FLOORS:
            problems.append(f"{module.path}: {module.part} has no floor; give it one in tests/tidy/source.py")
        elif module.floor is not None:
            above = FLOORS.get(part_of(found.target), -1)
            if above > module.floor:
                problems.append(
                    f"{module.path}:{found.line}: floor {module.floor} ({module.part}) imports {found.target} of floor "
                    f"{above}; move what is needed down, or let the caller hand it in"
                )
    return sorted(set(problems))


def wall_problems(modules: Mapping[str, Module]) -> list[str]:
    """Imports that the floors allow and the walls don't."""
    problems = []
    for module, found in _own_imports(modules):
        reason = _wall(module, found.target)
        if reason and not any(within(module.name, a) and within(found.target, b) for a, b in PASSAGES):
            problems.append(f"{module.path}:{found.line}: imports {found.target}; {reason}")
    return sorted(set(problems))


def _wall(module: Module, target: str) -> str:
    """Why a module may not import a target; "" if it may."""
    here, there = module.part, part_of(target)
    if target == PACKAGE:
        return (
            "inside the package, import the module itself: the lazy names of `repartee` hide what is needed"
        )
    if here in ("plugins", "transports"):
        own = ".".join(module.name.split(".")[:3])
        if there == here:
            if within(target, own) or target == f"{PACKAGE}.{here}" or here == "transports":
                return ""
            return "a plugin doesn't see another plugin"
        if FLOORS.get(there, 9) > 2 and there != "inference":
            return f"{here} see floors 0 to 2 and inference; put what they share there"
        return ""
    if (here, there) in APART:
        return f"{here} and {there} stand apart: they meet in the interfaces of floors 0 to 2"
    if here == "session" and there == "observe" and not within(target, "repartee.observe.log"):
        return "session writes the log (repartee.observe.log); the views read it"
    if here in EDGES and there in EDGES and there != here and there not in EDGES[here]:
        return f"{here} may import of floor 4 only {sorted(EDGES[here]) or 'itself'}"
    return ""


def asyncio_problems(modules: Mapping[str, Module]) -> list[str]:
    """asyncio on floors 0 and 1, and anything with a clock, task, socket or dice on floor 1."""
    problems = []
    for module in modules.values():
        banned = {0: ("asyncio",), 1: MACHINE_BANS}.get(-1 if module.floor is None else module.floor, ())
        for found in imports(module, set(modules)):
            if found.target.split(".")[0] in banned:
                problems.append(
                    f"{module.path}:{found.line}: imports {found.target}; floor {module.floor} is free of it. "
                    f"Take `now` or a callable as an argument, and let floor 3 wait"
                )
    return problems


def cycle_problems(modules: Mapping[str, Module]) -> list[str]:
    """Rings of modules that import each other, in whatever way."""
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for module, found in _own_imports(modules):
        if found.target != module.name and found.target in modules:
            graph[module.name].add(found.target)
    return [
        f"import cycle: {' → '.join([*ring, ring[0]])}; move what they share into a module below both"
        for ring in _rings(graph)
    ]


def heavy_problems(modules: Mapping[str, Module]) -> list[str]:
    """Third-party imports at the top of floors 0 to 3, or of any package's ``__init__``."""
    problems = []
    for module in modules.values():
        if not module.is_package and module.floor == 4:
            continue
        for found in imports(module, set(modules)):
            root = found.target.split(".")[0]
            ours = root == PACKAGE or root in sys.stdlib_module_names
            if not found.hidden and not ours and root not in THIRD_PARTY.get(module.name, set()):
                problems.append(
                    f"{module.path}:{found.line}: imports {found.target} when it is imported; do it in the function "
                    f"that needs it (and under TYPE_CHECKING for annotations), so that `import repartee` stays cheap"
                )
    return problems


def root_problems(root: Module) -> list[str]:
    """What `repartee/__init__.py` may not do: load a module of its own when it is imported."""
    return [
        f"{root.path}:{found.line}: loads {found.target} at once; give its name a row in the lazy table instead"
        for found in imports(root, set())
        if not found.hidden
        and within(found.target, PACKAGE)
        and not within(found.target, "repartee._version")
    ]


def _own_imports(modules: Mapping[str, Module]) -> Iterable[tuple[Module, Import]]:
    for module in modules.values():
        if module.name != PACKAGE:
            for found in imports(module, set(modules)):
                if within(found.target, PACKAGE):
                    yield module, found


def _rings(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """One shortest ring for each strongly connected set of modules."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for after in graph[todo.pop()] - seen:
                seen.add(after)
                todo.append(after)
        reach[start] = seen
    rings, done = [], set[str]()
    for start in sorted(graph):
        if start in reach[start] and start not in done:
            ring = _shortest_ring(graph, start)
            done |= {name for name in reach[start] if start in reach[name]}
            rings.append(ring)
    return rings


def _shortest_ring(graph: Mapping[str, set[str]], start: str) -> list[str]:
    paths = [[start]]
    for path in paths:
        for after in sorted(graph[path[-1]]):
            if after == start:
                return path
            if after not in path:
                paths.append([*path, after])
    raise AssertionError("called for a module that is on no ring")


# --------------------------------------------------------------------------------------- the package as it is


def test_floors_import_downward_only() -> None:
    assert not (problems := floor_problems(package_modules())), "\n".join(problems)


def test_walls_hold() -> None:
    assert not (problems := wall_problems(package_modules())), "\n".join(problems)


def test_every_passage_through_a_wall_is_used() -> None:
    modules = package_modules()
    unused = [
        f"{a} → {b}"
        for a, b in PASSAGES
        if any(within(name, a) for name in modules)
        and any(within(name, b) for name in modules)
        and not any(within(m.name, a) and within(i.target, b) for m, i in _own_imports(modules))
    ]
    assert not unused, f"nobody goes through these holes any more; remove them from PASSAGES: {unused}"


def test_values_and_machines_know_no_event_loop() -> None:
    assert not (problems := asyncio_problems(package_modules())), "\n".join(problems)


def test_no_import_cycle() -> None:
    assert not (problems := cycle_problems(package_modules())), "\n".join(problems)


def test_nothing_heavy_is_imported_at_the_top() -> None:
    assert not (problems := heavy_problems(package_modules())), "\n".join(problems)


def test_the_package_itself_is_lazy() -> None:
    assert not (problems := root_problems(package_modules()[PACKAGE])), "\n".join(problems)


# ------------------------------------------------------------------- the rules see what they are meant to see


def _plant(**texts: str) -> dict[str, Module]:
    """Modules of a small package: `plugins__local` is ``repartee.plugins.local``; a package if another is below it."""
    names = {f"{PACKAGE}.{key.replace('__', '.')}": text for key, text in texts.items()}
    return {
        name: parse(name, text, is_package=any(other.startswith(name + ".") for other in names))
        for name, text in names.items()
    }


@pytest.mark.parametrize(
    "text",
    [
        "import repartee.session",
        "from repartee import session",
        "from repartee.session import AgentSession",
        "from ..session import AgentSession",
        "def f():\n    from repartee.session import AgentSession",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import repartee.session",
        "import importlib\nimportlib.import_module('repartee.session')",
    ],
)
def test_an_upward_import_is_seen_however_it_is_written(text: str) -> None:
    [problem] = floor_problems(_plant(turns__engine=text, session="", turns=""))
    assert "floor 1 (turns) imports repartee.session" in problem


def test_a_part_without_a_floor_is_seen() -> None:
    assert "no floor" in floor_problems(_plant(novelty="import repartee.errors", errors=""))[0]


@pytest.mark.parametrize(
    "importer, text",
    [
        ("plugins__openai", "import repartee.session"),
        ("plugins__openai", "import repartee.plugins.local"),
        ("transports__console", "import repartee.compose"),
        ("server__app", "import repartee.session"),
        ("session__agent", "import repartee.observe.tracing"),
        ("server__app", "import repartee.plugins.local"),
        ("testing__world", "import repartee.cli"),
        ("models__stt", "import repartee"),
    ],
)
def test_a_hole_in_a_wall_is_seen(importer: str, text: str) -> None:
    assert len(wall_problems(_plant(**{importer: text}))) == 1


@pytest.mark.parametrize(
    "importer, text",
    [
        ("plugins__openai__realtime", "import repartee.plugins.openai.wire, repartee.models.llm"),
        ("plugins__local__vad", "import repartee.inference.batch"),
        ("transports__console", "import repartee.io, repartee.transports.file"),
        ("session__agent", "import repartee.observe.log, repartee.compose"),
        ("cli__talk", "import repartee.plugins.local, repartee.transports.console, repartee.session"),
    ],
)
def test_the_doors_are_open(importer: str, text: str) -> None:
    assert wall_problems(_plant(**{importer: text})) == []


@pytest.mark.parametrize(
    "importer, text, count",
    [
        ("chat__tools", "def f():\n    import asyncio", 1),
        ("turns__engine", "import random, time", 2),
        ("models__stt", "import asyncio", 0),
    ],
)
def test_an_event_loop_below_is_seen(importer: str, text: str, count: int) -> None:
    assert len(asyncio_problems(_plant(**{importer: text}))) == count


def test_a_hidden_ring_is_seen() -> None:
    ring = "def f():\n    import repartee.turns.b"
    modules = _plant(turns__a=ring, turns__b="import repartee.turns.c", turns__c="from .a import x", turns="")
    assert cycle_problems(modules)[0].startswith(
        "import cycle: repartee.turns.a → repartee.turns.b → repartee.turns.c → repartee.turns.a;"
    )
    assert (
        cycle_problems(
            _plant(turns__a="import repartee.turns.b", turns__b="", turns="import repartee.turns.a")
        )
        == []
    )


def test_a_heavy_import_is_seen() -> None:
    assert heavy_problems(_plant(audio__files="import soundfile"))
    assert heavy_problems(_plant(plugins__local="import onnxruntime", plugins__local__vad=""))
    assert not heavy_problems(_plant(plugins__local__vad="import onnxruntime", plugins__local=""))
    assert not heavy_problems(_plant(audio__files="import wave\ndef f():\n    import soundfile"))


def test_an_eager_root_is_seen() -> None:
    eager = parse(
        PACKAGE, "from repartee._version import __version__\nfrom .audio import AudioFrame", is_package=True
    )
    assert len(root_problems(eager)) == 1
