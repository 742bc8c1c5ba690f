"""Budgets that only ratchet: a module, a function and a class stay small enough to be read at one sitting."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from tests.tidy.source import Module, dotted, package_modules, parse

MACHINE_LINES_MAX = 400
"""Lines of a module of floors 0 and 1."""
MODULE_LINES_MAX = 700
"""Lines of any other module."""
FUNCTION_LINES_MAX = 70
"""Lines of a function from its ``def``, its docstring not counted; what is nested in it counts."""
CLASS_FIELDS_MAX = 20
"""Attributes of an instance: annotated in the class body or assigned to ``self`` anywhere in it. Enums don't count."""

RATCHET: dict[str, int] = {
    # "src/repartee/module.py" or "src/repartee/module.py::Class.function": its present size. A number may only fall,
    # and its row goes when the size is within budget. A new row needs its reason in a comment.
}


def sizes(module: Module) -> Iterator[tuple[str, int, int, str]]:
    """(key, size, budget, what) of the module, its functions and its classes."""
    low = module.floor is not None and module.floor <= 1
    yield module.path, len(module.lines), MACHINE_LINES_MAX if low else MODULE_LINES_MAX, "lines"
    yield from _sizes_within(module, module.tree, "")


def _sizes_within(module: Module, node: ast.AST, prefix: str) -> Iterator[tuple[str, int, int, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{prefix}{child.name}"
            yield f"{module.path}::{name}", function_lines(child), FUNCTION_LINES_MAX, "lines"
            yield from _sizes_within(module, child, f"{name}.")
        elif isinstance(child, ast.ClassDef):
            name = f"{prefix}{child.name}"
            yield f"{module.path}::{name}", len(class_fields(child)), CLASS_FIELDS_MAX, "fields"
            yield from _sizes_within(module, child, f"{name}.")
        else:
            yield from _sizes_within(module, child, prefix)


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, without the docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is not None:
        docstring = node.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def class_fields(node: ast.ClassDef) -> set[str]:
    """The names of an instance's attributes."""
    if any(dotted(base).endswith(("Enum", "Flag")) for base in node.bases):
        return set()
    fields = set()
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if "ClassVar" not in ast.dump(statement.annotation):
                fields.add(statement.target.id)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ast.walk(statement):
                if (
                    isinstance(inner, ast.Attribute)
                    and isinstance(inner.ctx, ast.Store)
                    and dotted(inner.value) == "self"
                ):
                    fields.add(inner.attr)
    return fields


def size_problems(modules: Mapping[str, Module], ratchet: Mapping[str, int]) -> list[str]:
    """What is over its budget, and rows of the ratchet that can be tightened."""
    problems, seen = [], set()
    for module in modules.values():
        for key, size, budget, what in sizes(module):
            if key in seen:  # an overload, or a property and its setter: the first one is named
                continue
            seen.add(key)
            allowed = ratchet.get(key)
            if size > (budget if allowed is None else allowed):
                problems.append(
                    f"{key} has {size} {what}, more than {allowed or budget}; split it by what it knows"
                )
            elif allowed is not None and size <= budget:
                problems.append(f"{key} is within its budget of {budget} now; remove its row from RATCHET")
            elif allowed is not None and size < allowed:
                problems.append(f"{key} shrank to {size}; lower its row in RATCHET from {allowed} to {size}")
    problems += [f"{key} no longer exists; remove its row from RATCHET" for key in ratchet.keys() - seen]
    return problems


def test_everything_is_within_its_budget() -> None:
    assert not (problems := size_problems(package_modules(), RATCHET)), "\n".join(problems)


def _planted(text: str, name: str = "repartee.turns.engine") -> dict[str, Module]:
    return {name: parse(name, text)}


def test_a_long_module_is_seen() -> None:
    assert "401 lines, more than 400" in size_problems(_planted("x = 1\n" * 401), {})[0]
    assert size_problems(_planted("x = 1\n" * 401, "repartee.session.agent"), {}) == []
    assert "701 lines" in size_problems(_planted("x = 1\n" * 701, "repartee.session.agent"), {})[0]


def test_a_long_function_is_seen_and_its_docstring_is_free() -> None:
    body = "    x = 1\n" * 69
    assert size_problems(_planted(f'def f():\n    """One.\n\n    Two.\n    """\n{body}'), {}) == []
    assert "::f has 71 lines" in size_problems(_planted(f"def f():\n{body}    x = 2\n"), {})[0]
    method = "class A:\n    async def f(self):\n" + "        x = 1\n" * 70
    assert "::A.f has 71 lines" in size_problems(_planted(method), {})[0]


def test_a_wide_class_is_seen() -> None:
    fields = "".join(f"    field_{i}: int\n" for i in range(11))
    more = "    def f(self):\n" + "".join(f"        self.more_{i} = self.also = 0\n" for i in range(9))
    assert "::A has 21 fields" in size_problems(_planted(f"class A:\n{fields}{more}"), {})[0]
    assert size_problems(_planted(f"class A(StrEnum):\n{fields}{fields}"), {}) == []


def test_the_ratchet_only_shrinks() -> None:
    modules = _planted("x = 1\n" * 450)
    [path] = [module.path for module in modules.values()]
    assert size_problems(modules, {path: 450}) == []
    assert "more than 449" in size_problems(modules, {path: 449})[0]
    assert "lower its row" in size_problems(modules, {path: 460})[0]
    assert "remove its row" in size_problems(_planted("x = 1\n"), {path: 450})[0]
    assert "no longer exists" in size_problems(modules, {path: 450, "gone.py": 500})[0]
