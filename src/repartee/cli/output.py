"""What commands print: tables that are aligned for people, and JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

__all__ = ["human_size", "print_json", "print_table", "progress", "terminal"]

_PLAIN_WIDTH = 10_000  # not a terminal: nothing is wrapped, so that grep finds it


def terminal(file: IO[str] | None = None) -> Console:
    """Where people read: colours and wrapping on a terminal, plain lines otherwise.

    Args:
        file: default: stdout.
    """
    console = Console(file=file or sys.stdout, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(file=file or sys.stdout, highlight=False, width=_PLAIN_WIDTH, no_color=True)
    return console


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def print_table(
    console: Console, headings: Sequence[str], rows: Iterable[Sequence[str | Text]], *, title: str = ""
) -> None:
    """Aligned columns under headings."""
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    last = len(headings) - 1
    for at, heading in enumerate(headings):
        table.add_column(heading, no_wrap=at != last, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))  # a "[" is no markup
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.print(line.rstrip(), markup=False, soft_wrap=True)


def human_size(size_bytes: int | None) -> str:
    """``"98 MB"``; ``""`` where it is not known. Decimal units, as download sizes are given."""
    if size_bytes is None:
        return ""
    if size_bytes >= 1_000_000_000:
        return f"{size_bytes / 1e9:.1f} GB"
    return f"{size_bytes / 1e6:.0f} MB" if size_bytes >= 1_000_000 else f"{size_bytes / 1e3:.0f} kB"


def progress(console: Console) -> Progress:
    """A bar for something that takes long; nothing where nobody looks."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
