"""The command `repartee`. Each subcommand is a module with ``add_arguments(parser)`` and ``run(args) -> exit code``."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. See `repartee.cli.command`."""
    from repartee.cli.command import run_command

    return run_command(argv)
