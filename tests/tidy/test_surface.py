"""What a user sees first: the public names, what importing them costs, and that each says what it is."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import repartee
from tests.tidy.source import PACKAGE, SRC, Module, dotted, imports, package_modules, parse, resolve

PINNED = Path(__file__).with_name("public_names.txt")

IMPORT_CPU_MS_MAX = 100
"""CPU time of ``import repartee`` beyond that of a bare interpreter."""

HEAVY = {
    "asyncio",
    "concurrent.futures",
    "espeakng_loader",
    "faster_whisper",
    "httpx2",
    "kokoro_onnx",
    "livekit",
    "msgspec",
    "numpy",
    "onnxruntime",
    "openai",
    "piper",
    "pocketsphinx",
    "pybase64",
    "pydantic",
    "rich",
    "sherpa_onnx",
    "sounddevice",
    "soundfile",
    "ssl",
    "websockets",
    "xllamacpp",
}
"""What may not be loaded by ``import repartee``, nor by importing the package of a plugin."""


# --------------------------------------------------------------------------------------------------- public names


def pinned_names() -> list[str]:
    """The public names, one a line."""
    return PINNED.read_text("utf-8").split()


def test_the_public_names_are_the_pinned_ones() -> None:
    names = list(getattr(repartee, "__all__", []))
    added, gone = sorted(set(names) - set(pinned_names())), sorted(set(pinned_names()) - set(names))
    assert (added, gone) == ([], []), (
        f"repartee.__all__ has new names {added} and lacks {gone}. If that is meant, write it into "
        f"{PINNED.relative_to(SRC.parent)} (sorted, one a line) and into CHANGELOG.md"
    )
    assert len(names) == len(set(names)), "repartee.__all__ names something twice"


def test_the_pinned_names_are_sorted() -> None:
    assert pinned_names() == sorted(pinned_names()), f"sort {PINNED.name}: sort -o with LC_ALL=C"


def test_every_public_name_is_there() -> None:
    missing = [name for name in pinned_names() if not hasattr(repartee, name)]
    assert not missing, (
        f"repartee has no {missing}; mend their rows in the lazy table of repartee/__init__.py"
    )
    unlisted = set(pinned_names()) - set(dir(repartee))
    assert not unlisted, f"dir(repartee) lacks {sorted(unlisted)}; __dir__ lists the lazy names too"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        importlib.import_module(PACKAGE).no_such_name  # noqa: B018


def test_a_type_checker_sees_the_same_names() -> None:
    shown, names = set(shown_names(package_modules()[PACKAGE])), set(getattr(repartee, "__all__", []))
    lost, extra = sorted(names - shown), sorted(shown - names)
    assert (lost, extra) == ([], []), (
        f"repartee.__all__ has {lost}, which mypy doesn't see, and lacks {extra}, which it does; the imports under "
        f"TYPE_CHECKING in repartee/__init__.py are to name what the lazy table names"
    )


def shown_names(root: Module) -> Iterator[str]:
    """The names that a type checker finds in a lazy ``__init__``: imported from the package, or given a value."""
    for node in ast.walk(root.tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == "__version__":
            yield node.id


# ---------------------------------------------------------------------------------------------------- import cost


def _run(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout


def test_importing_is_cheap() -> None:
    # CPU time, not the wall's, and the least of several: a busy machine must not fail a test of the code. What the
    # bare interpreter takes is not counted, since the clock is read before and after the import alone.
    code = "import time; t = time.process_time(); import repartee; print((time.process_time() - t) * 1000)"
    cpu_ms = min(float(_run(code)) for _ in range(5))
    assert cpu_ms < IMPORT_CPU_MS_MAX, (
        f"import repartee takes {cpu_ms:.0f} ms of CPU; `python -X importtime -c 'import repartee'` shows what of it"
    )


@pytest.mark.parametrize(
    "name", [PACKAGE, *sorted(n for n, m in package_modules().items() if m.is_package and ".plugins." in n)]
)
def test_importing_loads_nothing_heavy(name: str) -> None:
    loaded = set(_run(f"import sys, {name}; print(*sys.modules)").split())
    assert not (found := sorted(loaded & HEAVY)), (
        f"import {name} loads {found}; `python -X importtime -c 'import {name}'` shows who does. Import it in the "
        f"function that needs it, or make the name that leads there lazy"
    )


# ----------------------------------------------------------------------------------------------------- docstrings


def docstring_problems(modules: Mapping[str, Module]) -> list[str]:
    """Public modules, classes, functions and methods without a docstring.

    A method that a base class of the package already has is documented there; one of a base class from elsewhere
    may be, and is not asked for.
    """
    classes = {
        f"{module.name}.{node.name}": (module, node)
        for module in modules.values()
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
    }
    problems = []
    for module in modules.values():
        if ast.get_docstring(module.tree) is None and module.text.strip():
            problems.append(
                f"{module.path}:1: the module has no docstring; say in a line or more what it is for"
            )
        for name, node in _public(module):
            if ast.get_docstring(node) is None and not _inherits(module, node, name, classes):
                problems.append(
                    f"{module.path}:{node.lineno}: {name} has no docstring; say what it does, with units"
                )
    return problems


Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public(module: Module) -> Iterator[tuple[str, Documented]]:
    for node in module.tree.body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for member in node.body:
                    if isinstance(member, Documented) and not member.name.startswith("_"):
                        yield f"{node.name}.{member.name}", member


def _inherits(
    module: Module, node: Documented, name: str, classes: Mapping[str, tuple[Module, ast.ClassDef]]
) -> bool:
    marks = {dotted(mark).rpartition(".")[2] for mark in node.decorator_list}
    if marks & {"overload", "override", "setter", "deleter"}:
        return True
    owner, dot, method = name.partition(".")
    return bool(dot) and _has_method(module, owner, method, classes, own=False)


def _has_method(
    module: Module,
    owner: str,
    method: str,
    classes: Mapping[str, tuple[Module, ast.ClassDef]],
    *,
    own: bool = True,
) -> bool:
    """Whether a class, or one of its bases, has the method, as far as the source tells."""
    found = classes.get(f"{module.name}.{owner}") or classes.get(owner)
    if found is None:  # imported through a package's __init__, or from elsewhere
        short = owner.rpartition(".")[2]
        found = next((pair for key, pair in classes.items() if key.rpartition(".")[2] == short), None)
        if found is None:
            return short not in (
                "ABC",
                "Enum",
                "Generic",
                "IntEnum",
                "NamedTuple",
                "Protocol",
                "StrEnum",
                "object",
            )
    home, node = found
    if own and any(
        isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == method for n in node.body
    ):
        return True
    names = {}
    for statement in home.tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            names.update({a.asname or a.name: f"{statement.module}.{a.name}" for a in statement.names})
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return any(_has_method(home, resolve(base, names), method, classes) for base in bases)


def test_everything_public_says_what_it_is() -> None:
    assert not (problems := docstring_problems(package_modules())), "\n".join(problems)


# ------------------------------------------------------------------ the rules see what they are meant to see


def test_a_missing_docstring_is_seen() -> None:
    text = '"""M."""\nclass A:\n    def f(self): ...\n    def _g(self): ...\ndef h(): ...\n'
    problems = docstring_problems({"repartee.a": parse("repartee.a", text)})
    assert [p.split(": ")[1].split()[0] for p in problems] == ["A", "A.f", "h"]
    assert "no docstring" in docstring_problems({"repartee.a": parse("repartee.a", "x = 1")})[0]


def test_an_implementation_inherits_its_docstring() -> None:
    base = '"""M."""\nclass A(ABC):\n    """A."""\n    def f(self):\n        """F."""\n'
    derived = '"""M."""\nfrom repartee.a import A\nclass B(A):\n    """B."""\n    def f(self): ...\n'
    derived += "    def g(self): ...\n"
    modules = {"repartee.a": parse("repartee.a", base), "repartee.b": parse("repartee.b", derived)}
    assert [p.split(": ")[1].split()[0] for p in docstring_problems(modules)] == ["B.g"]


def test_a_lazy_name_that_types_dont_show_is_seen() -> None:
    text = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from repartee.audio import Frame as Frame"
    )
    root = parse(PACKAGE, text, is_package=True)
    assert list(shown_names(root)) == ["Frame"]
    assert [i.hidden for i in imports(root, set()) if i.target.startswith(PACKAGE)] == [True]
