"""`repartee`: its subcommands, its exit codes, and what a person sees when something goes wrong.

Exit codes: 0 it worked; 1 it failed; 2 it was called wrongly (an argument, a file, a combination); 130 Ctrl-C. An
error is one line on stderr, and a traceback only with ``--debug``. What programs read is on stdout (``--json``).
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from repartee._version import __version__
from repartee.errors import ReparteeError, UsageError

__all__ = ["COMMANDS", "EXIT_FAILED", "EXIT_INTERRUPTED", "EXIT_OK", "EXIT_USAGE", "run_command"]

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module, one line for --help). A module is imported when its command is used.
    "doctor": ("repartee.cli.doctor", "what works on this machine, and what to install for the rest"),
    "models": ("repartee.cli.models", "which models are here, what else can be had, and how to get it"),
    "serve": ("repartee.cli.serve", "a server for OpenAI Realtime clients, and a page to talk to"),
    "talk": ("repartee.cli.talk", "a conversation: by voice, with sound files, or typed"),
}


def run_command(argv: Sequence[str] | None = None) -> int:
    """Parse arguments and run the command.

    Args:
        argv: without the program's name. Default: the process's.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        args = _parser(_named_command(arguments)).parse_args(arguments)
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse has said why
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Who read our output has enough (`repartee models | head`). Python would complain again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except (ReparteeError, OSError) as error:
        if debug:
            traceback.print_exc()
        else:
            print(f"repartee: {_one_line(error)}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _named_command(arguments: Sequence[str]) -> str | None:
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def _parser(command: str | None) -> argparse.ArgumentParser:
    """The parser; only the named command's module is imported, and only its options are known."""
    parser = argparse.ArgumentParser(
        prog="repartee",
        description="Real-time voice agents. Try: repartee serve",
        epilog="Exit codes: 0 it worked, 1 it failed, 2 it was called wrongly, 130 Ctrl-C.",
    )
    parser.add_argument("--version", action="version", version=f"repartee {__version__}")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module_name, summary) in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == command:
            module = importlib.import_module(module_name)
            module.add_arguments(sub)
            sub.add_argument(
                "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
            )
            sub.set_defaults(run=module.run)
    return parser
