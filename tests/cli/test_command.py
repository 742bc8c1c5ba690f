"""The command line itself: what it imports, how it ends, what a person sees."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from repartee import cli
from repartee._version import __version__
from repartee.cli.command import COMMANDS, run_command
from repartee.errors import ConfigurationError, DeviceError, ModelFileError, ReparteeError


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A command `trial`, whose ``outcome`` is returned or raised."""
    module: Any = ModuleType("trial_command")
    module.outcome = 0

    def run(args: argparse.Namespace) -> int:
        if isinstance(module.outcome, BaseException):
            raise module.outcome
        return int(module.outcome)

    module.run = run
    module.add_arguments = lambda parser: parser.add_argument("--loud", action="store_true")
    monkeypatch.setitem(sys.modules, "trial_command", module)
    monkeypatch.setitem(COMMANDS, "trial", ("trial_command", "for a test"))
    return module


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (0, 0),
        (1, 1),
        (ReparteeError("it broke"), 1),
        (DeviceError("it broke"), 1),
        (OSError(28, "it broke: no space left"), 1),
        (ConfigurationError("it broke"), 2),
        (ModelFileError("it broke"), 2),
    ],
)
def test_exit_codes(
    command: Any, capsys: pytest.CaptureFixture[str], outcome: int | Exception, code: int
) -> None:
    command.outcome = outcome
    assert cli.main(["trial"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == (1 if isinstance(outcome, Exception) else 0)
    assert ("it broke" in said.err) == isinstance(outcome, Exception)


def test_an_error_is_one_line_and_debug_shows_where(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command.outcome = ReparteeError("two\n  lines")
    run_command(["trial"])
    assert capsys.readouterr().err == "repartee: two lines\n"
    for arguments in (["--debug", "trial"], ["trial", "--debug"]):
        assert run_command(arguments) == 1
        assert "Traceback" in capsys.readouterr().err


def test_what_nobody_foresaw_is_shown_whole(command: Any) -> None:
    command.outcome = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        run_command(["trial"])


def test_ctrl_c_ends_cleanly(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command.outcome = KeyboardInterrupt()
    assert run_command(["trial"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_version_and_usage(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"repartee {__version__}\n"
    assert run_command([]) == 2
    assert run_command(["frobnicate"]) == 2
    assert run_command(["trial", "--soft"]) == 2
    assert run_command(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_its_module_and_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(COMMANDS[name][0])
    assert callable(module.add_arguments)
    assert callable(module.run)
    assert run_command([name, "--help"]) == 0
    assert "--json" in capsys.readouterr().out


def test_a_command_imports_no_other() -> None:
    code = (
        "import sys; from repartee.cli import main; main(['models', '--help']); "
        "print(*sorted(m for m in sys.modules if m.startswith('repartee.cli.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "repartee.cli.models" in done.stderr
    assert "repartee.cli.talk" not in done.stderr
    assert "repartee.cli.doctor" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs a Unix pipe")
def test_a_reader_who_has_enough_is_no_error() -> None:
    code = "import sys; from repartee.cli import main; sys.exit(main(['models', '--json']))"
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run([sys.executable, "-c", code], stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert done.stderr == b""
    assert done.returncode == 1
