"""What lies in the tree: a test beside each module, and no address of this or that machine in any file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping

import pytest

from tests.tidy.source import ROOT, Module, package_modules, parse, tracked_files

UNTESTED: dict[str, str] = {
    # module: why no test file mirrors it.
    "repartee._version": "one constant, which packaging reads",
}


def mirror_problems(modules: Mapping[str, Module], tests: Iterable[str]) -> list[str]:
    """Modules that no test file mirrors, and exceptions that are not needed.

    ``repartee/turns/engine.py`` is mirrored by ``tests/turns/test_engine.py``, or by several ``test_engine_….py``. A
    package's ``__init__`` and ``__main__`` need none, nor does a module that only declares: types, constants and
    abstract methods, with no statement to run in any function.
    """
    tests = set(tests)
    problems = []
    for module in modules.values():
        *folders, last = module.name.split(".")[1:] or [""]
        if module.is_package or last == "__main__" or not _does_something(module):
            continue
        stem = "/".join(["tests", *folders, f"test_{last.lstrip('_')}"])
        mirrored = any(test == f"{stem}.py" or test.startswith(f"{stem}_") for test in tests)
        if mirrored and module.name in UNTESTED:
            problems.append(f"{module.name} has a test now; remove its row from UNTESTED")
        elif not mirrored and module.name not in UNTESTED:
            problems.append(f"{module.path} has no test file; write {stem}.py")
    return problems


def _does_something(module: Module) -> bool:
    """Whether some function of a module has a statement besides its docstring, ``...`` and ``raise``."""
    return any(
        not isinstance(statement, ast.Raise | ast.Pass)
        and not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in node.body
    )


def _either(*halves: tuple[str, str]) -> str:
    """A pattern of words given in halves, so that this file doesn't contain what it looks for."""
    return "(?:" + "|".join(first + second for first, second in halves) + ")"


INDEX = re.compile(
    _either(
        ("index", "[-_]url"),
        ("py", r"pi\.org"),
        ("python", "hosted"),
        ("find-", "links"),
        ("registry.", "npmjs"),
    )
)
# A folder that only one machine has; /usr, /etc, /dev and /proc are everyone's.
_FOLDERS = _either(("wo", "rk"), ("ho", "me"), ("ro", "ot"), ("t", "mp"), ("Us", "ers"), ("o", "pt"))
MACHINE_PATH = re.compile(rf"(?<![\w.:/~$}}*-])/{_FOLDERS}/\w")


def text_problems(path: str, text: str) -> list[str]:
    """Addresses of package indexes and paths of one machine in a file's text."""
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if INDEX.search(line):
            problems.append(
                f"{path}:{number}: names a package index; where packages come from is pip's own setting"
            )
        if MACHINE_PATH.search(line):
            problems.append(f"{path}:{number}: names a path of one machine; use a relative path, or tempfile")
    return problems


def test_every_module_has_a_test_file() -> None:
    tests = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
    assert not (problems := mirror_problems(package_modules(), tests)), "\n".join(problems)


def test_no_file_names_an_index_or_a_machine() -> None:
    problems = []
    for file in tracked_files():
        try:
            text = file.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # a sound, a picture or a model
        problems += text_problems(file.relative_to(ROOT).as_posix(), text)
    assert not problems, "\n".join(problems)


def test_a_module_without_a_test_is_seen() -> None:
    names = ("repartee.clock", "repartee.turns.engine")
    modules = {name: parse(name, "def f(): return 1", path=name) for name in names}
    declares = (
        "class A:\n    x: int\n    def f(self) -> int:\n        'F.'\n        raise NotImplementedError"
    )
    modules["repartee.turns.facts"] = parse("repartee.turns.facts", declares)
    found = ["tests/test_clock.py", "tests/turns/test_engine_barge_in.py"]
    assert mirror_problems(modules, found) == []
    assert mirror_problems(modules, found[:1]) == [
        "repartee.turns.engine has no test file; write tests/turns/test_engine.py"
    ]
    version = {"repartee._version": parse("repartee._version", "def f(): return 1")}
    assert mirror_problems(version, []) == []
    assert "remove its row" in mirror_problems(version, ["tests/test_version.py"])[0]


@pytest.mark.parametrize(
    "text, count",
    [
        ("pip install --index" + "-url https://example.test x", 1),
        ("see https://py" + "pi.org/project/x", 1),
        ("cache = '/t" + "mp/x'", 1),
        ("open('/ho" + "me/me/x')", 1),
        ("/wo" + "rk/main", 1),
        ("docs/t" + "mp/x and https://example.test/ho" + "me/x and ./wo" + "rk/x", 0),
        ("#!/usr/bin/env bash", 0),
    ],
)
def test_an_index_or_a_machine_in_a_text_is_seen(text: str, count: int) -> None:
    assert len(text_problems("README.md", text)) == count
