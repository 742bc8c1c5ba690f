"""The package's source as the tidy tests see it: modules, their floors, and every import, hidden ones included.

Only `ast` is used; nothing of repartee is imported, so a module that doesn't import is still checked.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
PACKAGE = "repartee"

# docs/design.md, "The house". A new top-level module is given its floor here, on purpose.
FLOORS: dict[str, int] = {
    "_version": 0,
    "errors": 0,
    "clock": 0,
    "audio": 0,
    "chat": 0,
    "turns": 1,
    "protocol": 1,
    "io": 2,
    "models": 2,
    "compose": 3,
    "inference": 3,
    "session": 3,
    "observe": 3,
    "transports": 4,
    "server": 4,
    "plugins": 4,
    "testing": 4,
    "cli": 4,
}


@dataclass(frozen=True)
class Import:
    """One imported module."""

    target: str
    """The full dotted name, of the submodule where the imported name is one."""
    line: int
    hidden: bool
    """In a function, or under ``if TYPE_CHECKING:``: not carried out when the module is imported."""


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    """Dotted; a package's is that of its ``__init__``."""
    path: str
    """Relative to the project, for messages."""
    text: str
    tree: ast.Module
    is_package: bool

    @property
    def part(self) -> str:
        """The top-level module or package below repartee that it belongs to; "" for the root's ``__init__``."""
        return part_of(self.name)

    @property
    def floor(self) -> int | None:
        """Its floor; None for the root and for a part that has no floor yet."""
        return FLOORS.get(self.part)

    @property
    def lines(self) -> list[str]:
        """Its source lines."""
        return self.text.splitlines()


def part_of(name: str) -> str:
    """The part of repartee that a dotted module name belongs to."""
    return name.split(".")[1] if "." in name else ""


def within(name: str, package: str) -> bool:
    """Whether a module is the package or below it."""
    return name == package or name.startswith(package + ".")


def parse(name: str, text: str, *, is_package: bool = False, path: str = "") -> Module:
    """Make a module of a text; tests plant violations this way."""
    path = path or f"{name}.py"
    return Module(name, path, text, ast.parse(text, path), is_package)


@cache
def package_modules() -> dict[str, Module]:
    """Every module of the package, by dotted name."""
    modules = {}
    for file in sorted((SRC / PACKAGE).rglob("*.py")):
        parts = list(file.relative_to(SRC).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        relative = file.relative_to(ROOT).as_posix()
        modules[name] = parse(name, file.read_text("utf-8"), is_package=is_package, path=relative)
    return modules


@cache
def test_modules() -> dict[str, Module]:
    """Every Python file below tests/, by path."""
    found = {}
    for file in sorted((ROOT / "tests").rglob("*.py")):
        relative = file.relative_to(ROOT).as_posix()
        name = relative.removesuffix(".py").replace("/", ".")
        found[relative] = parse(name, file.read_text("utf-8"), path=relative)
    return found


test_modules.__test__ = False  # type: ignore[attr-defined]


def imports(module: Module, known: frozenset[str] | set[str]) -> list[Import]:
    """Every import of a module. `known` names the package's modules, to tell ``from a import module`` from a name."""
    return list(_walk_imports(module, module.tree, set(known), hidden=False))


def _walk_imports(module: Module, node: ast.AST, known: set[str], *, hidden: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, hidden) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = _absolute(module, child)
            for alias in child.names:
                submodule = f"{base}.{alias.name}"
                yield Import(submodule if submodule in known else base, child.lineno, hidden)
        elif isinstance(child, ast.Call) and _is_import_call(child):
            argument = child.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield Import(argument.value, child.lineno, True)
            yield from _walk_imports(module, child, known, hidden=hidden)
        elif isinstance(child, ast.If) and _is_type_checking(child.test):
            yield from _walk_imports(module, ast.Module(child.body, []), known, hidden=True)
            yield from _walk_imports(module, ast.Module(child.orelse, []), known, hidden=hidden)
        else:
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _walk_imports(module, child, known, hidden=hidden or is_function)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    up = node.level - (1 if module.is_package else 0)
    base = parts[: len(parts) - up] if up else parts
    return ".".join([*base, node.module] if node.module else base)


def _is_import_call(node: ast.Call) -> bool:
    return bool(node.args) and dotted(node.func).rpartition(".")[2] in ("import_module", "__import__")


def _is_type_checking(test: ast.expr) -> bool:
    return dotted(test).rpartition(".")[2] == "TYPE_CHECKING"


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or attribute chain; the unknown start of one (a call, a subscript) is "?"."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def qualified(module: Module) -> dict[str, str]:
    """What each imported name stands for: ``{"t": "time", "now": "time.monotonic"}``."""
    names = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def resolve(node: ast.AST, names: dict[str, str]) -> str:
    """The full dotted name that an expression stands for, through the module's imports."""
    start, dot, rest = dotted(node).partition(".")
    return names.get(start, start) + dot + rest


@cache
def tracked_files() -> list[Path]:
    """The project's own files: what git tracks or would track, or everything in an unpacked source archive."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return sorted({ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()})
    skipped = {".venv", ".git", "__pycache__", "out", "dist", "build"}
    return sorted(p for p in ROOT.rglob("*") if p.is_file() and not skipped & set(p.relative_to(ROOT).parts))
