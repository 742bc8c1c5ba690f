"""Tables and sizes."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.text import Text

from repartee.cli.output import human_size, print_json, print_table, progress, terminal


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, ""), (900, "1 kB"), (98_362_432, "98 MB"), (1_060_000_000, "1.1 GB"), (999_999, "1000 kB")],
)
def test_sizes(size: int | None, text: str) -> None:
    assert human_size(size) == text


def test_a_table_is_plain_and_whole_where_nobody_looks() -> None:
    out = io.StringIO()
    rows: list[list[str | Text]] = [[Text("ok", style="green"), "pip install 'x[y]'"], ["failed", "z" * 300]]
    print_table(terminal(out), ["", "what"], rows)
    lines = out.getvalue().splitlines()
    assert lines == ["        what", "ok      pip install 'x[y]'", "failed  " + "z" * 300]


def test_a_table_is_coloured_and_fits_on_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=40, color_system="standard", _environ={})
    print_table(console, ["", "what"], [[Text("ok", style="green"), "word " * 30]])
    assert "\x1b[32mok" in out.getvalue()
    assert all(len(Text.from_ansi(line)) <= 40 for line in out.getvalue().splitlines())


def test_json_is_one_value(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "café", "path": None})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"name": "café", "path": None}
    assert "café" in shown


def test_no_bar_where_nobody_looks() -> None:
    out = io.StringIO()
    with progress(terminal(out)) as bar:
        bar.advance(bar.add_task("working", total=10), 5)
    assert "working" not in out.getvalue()
