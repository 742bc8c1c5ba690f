"""Calls that are not made here, each for a reason that its message gives."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import pytest

from tests.tidy.source import Module, dotted, package_modules, parse, qualified, resolve, test_modules, within

CLOCK = {
    *(
        f"time.{name}{unit}"
        for name in ("time", "monotonic", "perf_counter", "process_time")
        for unit in ("", "_ns")
    ),
    "time.sleep",
    "time.localtime",
    "time.gmtime",
    "time.ctime",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
}

READS_THE_CLOCK: dict[str, str] = {
    # module: why it may read real time. It should stay alone.
    "repartee.clock": "it is the one reader of real time; everybody else is handed it",
}

SWALLOWS: dict[str, str] = {
    # "src/repartee/module.py::function": why an exception may end there without anybody being told.
}

SLEEPS_IN_TESTS: dict[str, str] = {
    # test file: why it sleeps.
    "tests/testing/test_virtual_time.py": "that a sleep costs no real time is what it tests",
}

QUEUES = {
    "asyncio.LifoQueue",
    "asyncio.PriorityQueue",
    "asyncio.Queue",
    "collections.deque",
    "multiprocessing.Queue",
    "queue.LifoQueue",
    "queue.PriorityQueue",
    "queue.Queue",
    "queue.SimpleQueue",
}


def clock_problems(modules: Mapping[str, Module]) -> list[str]:
    """Real time read, or waited for, but in clock.py. A mention counts: a function passed on is called later."""
    return [
        f"{module.path}:{line}: {name} reads real time; take a `Clock`, a `now`, or a function from repartee.clock"
        for module in modules.values()
        if module.name not in READS_THE_CLOCK
        for line, name in _mentions(module, CLOCK)
    ]


def task_problems(modules: Mapping[str, Module]) -> list[str]:
    """Tasks that nobody owns: they die with their error unseen, and may be collected while they run."""
    problems = []
    for module in modules.values():
        names = qualified(module)
        problems += [
            f"{module.path}:{call.lineno}: starts a task and drops it; keep it, and await or cancel it when its owner "
            f"ends, or start it in a TaskGroup"
            for call in _dropped_calls(module.tree)
            if _starts_task(call, names)
        ]
    return problems


def _dropped_calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls whose value goes nowhere, or to `_`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            dropped = all(isinstance(target, ast.Name) and target.id == "_" for target in node.targets)
        else:
            dropped = isinstance(node, ast.Expr)
        if dropped and isinstance(node, ast.Assign | ast.Expr) and isinstance(node.value, ast.Call):
            yield node.value


def _starts_task(call: ast.Call, names: Mapping[str, str]) -> bool:
    owner, _, verb = resolve(call.func, dict(names)).rpartition(".")
    if verb == "ensure_future":
        return True
    return verb == "create_task" and (owner == "asyncio" or "loop" in owner.lower() or owner == "?")


def queue_problems(modules: Mapping[str, Module]) -> list[str]:
    """Queues without a bound, and without a word on what bounds them."""
    problems = []
    for module in modules.values():
        names = qualified(module)
        for node in ast.walk(module.tree):
            if (
                isinstance(node, ast.Call)
                and resolve(node.func, names) in QUEUES
                and not _is_bounded(node, names)
            ):
                around = module.lines[max(node.lineno - 2, 0) : (node.end_lineno or node.lineno)]
                if not any("bounded" in line.partition("#")[2] for line in around):
                    problems.append(
                        f"{module.path}:{node.lineno}: {resolve(node.func, names)} without a bound; give it maxsize "
                        f"or maxlen and say what happens when it is full, or say beside it what bounds it: "
                        f"`# bounded by …`"
                    )
    return problems


def _is_bounded(call: ast.Call, names: Mapping[str, str]) -> bool:
    if resolve(call.func, dict(names)) == "collections.deque":
        bounds = call.args[1:] + [k.value for k in call.keywords if k.arg == "maxlen"]
        return any(not (isinstance(b, ast.Constant) and b.value is None) for b in bounds)
    bounds = call.args[:1] + [k.value for k in call.keywords if k.arg == "maxsize"]
    return any(not (isinstance(b, ast.Constant) and b.value in (0, None)) for b in bounds)


def swallow_problems(modules: Mapping[str, Module]) -> list[str]:
    """``except Exception`` that neither raises, nor hands the error on, nor logs it with its traceback."""
    problems = []
    for module in modules.values():
        for where, handler in _handlers(module.tree, ""):
            caught = [dotted(node) for node in _caught(handler)]
            if not caught or {"Exception", "BaseException"} & set(caught):
                used = any(
                    isinstance(node, ast.Raise)
                    or (isinstance(node, ast.Attribute) and node.attr == "exception")  # logger.exception(…)
                    or (
                        isinstance(node, ast.Name)
                        and node.id == handler.name
                        and isinstance(node.ctx, ast.Load)
                    )
                    for statement in handler.body
                    for node in ast.walk(statement)
                )
                if not used and f"{module.path}::{where}" not in SWALLOWS:
                    problems.append(
                        f"{module.path}:{handler.lineno}: swallows every error; catch the one that is "
                        f"expected, or name it (`as error`) and hand it to whoever must know, or give "
                        f"{module.path}::{where} a reason in SWALLOWS"
                    )
    return problems


def _handlers(node: ast.AST, where: str) -> Iterator[tuple[str, ast.ExceptHandler]]:
    for child in ast.iter_child_nodes(node):
        inner = where
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{where}.{child.name}".lstrip(".")
        if isinstance(child, ast.ExceptHandler):
            yield inner, child
        yield from _handlers(child, inner)


def _caught(handler: ast.ExceptHandler) -> list[ast.expr]:
    if handler.type is None:
        return []
    return handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]


def print_problems(modules: Mapping[str, Module]) -> list[str]:
    """``print`` outside the command line."""
    return [
        f"{module.path}:{node.lineno}: prints; a library logs (logging.getLogger(__name__)) or emits an event"
        for module in modules.values()
        if not within(module.name, "repartee.cli") and not module.name.endswith("__main__")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and dotted(node.func) == "print"
    ]


def test_code_problems(modules: Mapping[str, Module]) -> list[str]:
    """Tests that wait on real time, or that replace parts by mocks."""
    problems = []
    for path, module in modules.items():
        for line, name in _mentions(module, {"asyncio.sleep", "time.sleep"}):
            if path not in SLEEPS_IN_TESTS:
                problems.append(
                    f"{path}:{line}: {name}; run it on virtual time (repartee.testing) and step the clock"
                )
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                found = [alias.name for alias in node.names]
                origin = getattr(node, "module", None) or ""
                if origin.startswith(("unittest.mock", "mock")) or {"unittest.mock", "mock"} & set(found):
                    problems.append(
                        f"{path}:{node.lineno}: mocks; use the scripted models and I/O of repartee.testing"
                    )
    return problems


test_code_problems.__test__ = False  # type: ignore[attr-defined]


def _mentions(module: Module, banned: set[str]) -> Iterator[tuple[int, str]]:
    names = qualified(module)
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.Attribute | ast.Name)
            and isinstance(node.ctx, ast.Load)
            and resolve(node, names) in banned
        ):
            yield node.lineno, resolve(node, names)


# --------------------------------------------------------------------------------------- the package as it is


def test_only_the_clock_reads_real_time() -> None:
    assert not (problems := clock_problems(package_modules())), "\n".join(problems)


def test_every_task_has_an_owner() -> None:
    assert not (problems := task_problems(package_modules())), "\n".join(problems)


def test_every_queue_has_a_bound() -> None:
    assert not (problems := queue_problems(package_modules())), "\n".join(problems)


def test_no_error_is_swallowed() -> None:
    assert not (problems := swallow_problems(package_modules())), "\n".join(problems)


def test_only_the_command_line_prints() -> None:
    assert not (problems := print_problems(package_modules())), "\n".join(problems)


def test_tests_neither_sleep_nor_mock() -> None:
    assert not (problems := test_code_problems(test_modules())), "\n".join(problems)


# ------------------------------------------------------------------- the rules see what they are meant to see


def _planted(text: str) -> dict[str, Module]:
    return {"repartee.session.agent": parse("repartee.session.agent", text)}


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.monotonic()",
        "import time as t\nt.perf_counter_ns()",
        "from time import sleep as wait\nwait(1)",
        "import time\ndef f(clock=time.time): ...",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.now()",
    ],
)
def test_real_time_is_seen(text: str) -> None:
    assert len(clock_problems(_planted(text))) == 1
    assert clock_problems({"repartee.clock": parse("repartee.clock", text)}) == []


def test_time_that_reads_no_clock_is_fine() -> None:
    assert clock_problems(_planted("import time\ndef f(x: time.struct_time): time.strftime('%H', x)")) == []


@pytest.mark.parametrize(
    "text, count",
    [
        ("import asyncio\nasyncio.create_task(f())", 1),
        ("from asyncio import create_task\n_ = create_task(f())", 1),
        ("import asyncio\nasyncio.ensure_future(f())", 1),
        ("import asyncio\nasyncio.get_running_loop().create_task(f())", 1),
        ("def f(self):\n    self._loop.create_task(f())", 1),
        ("import asyncio\ntask = asyncio.create_task(f())", 0),
        ("import asyncio\nself.tasks.add(asyncio.create_task(f()))", 0),
        ("async def f(group):\n    group.create_task(g())", 0),
    ],
)
def test_a_dropped_task_is_seen(text: str, count: int) -> None:
    assert len(task_problems(_planted(text))) == count


@pytest.mark.parametrize(
    "text, count",
    [
        ("import asyncio\nq = asyncio.Queue()", 1),
        ("import asyncio\nq: asyncio.Queue[int] = asyncio.Queue(maxsize=0)", 1),
        ("from queue import SimpleQueue\nq = SimpleQueue()", 1),
        ("from collections import deque\nq = deque([1])", 1),
        ("from collections import deque\nq = deque()  # bounded by the jobs that are out", 0),
        ("from collections import deque\nq = deque(maxlen=3)", 0),
        ("import asyncio\nq = asyncio.Queue(limit)", 0),
    ],
)
def test_a_queue_without_a_bound_is_seen(text: str, count: int) -> None:
    assert len(queue_problems(_planted(text))) == count


@pytest.mark.parametrize(
    "clause, body, count",
    [
        ("except Exception:", "pass", 1),
        ("except:", "pass", 1),
        ("except (OSError, BaseException) as error:", "x = 1", 1),
        ("except Exception as error:", "report(error)", 0),
        ("except Exception:", "raise", 0),
        ("except Exception:", "logger.exception('a callback raised')", 0),
        ("except Exception:", "logger.warning('a callback raised')", 1),
        ("except OSError:", "pass", 0),
    ],
)
def test_a_swallowed_error_is_seen(clause: str, body: str, count: int) -> None:
    assert len(swallow_problems(_planted(f"def f():\n    try: g()\n    {clause}\n        {body}"))) == count


def test_a_print_is_seen() -> None:
    assert print_problems(_planted("print('x')"))
    assert not print_problems({"repartee.cli.talk": parse("repartee.cli.talk", "print('x')")})


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio\nasyncio.sleep(1)",
        "from time import sleep\nsleep(1)",
        "from unittest import mock",
        "from unittest.mock import Mock",
        "import unittest.mock",
    ],
)
def test_a_sleep_or_mock_in_a_test_is_seen(text: str) -> None:
    assert len(test_code_problems({"tests/test_x.py": parse("tests.test_x", text)})) == 1
