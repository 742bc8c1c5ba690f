"""Draws the state diagrams of docs/turn-taking.md from the tables of `repartee.turns`.

    python scripts/make_state_diagrams.py          # write them anew
    python scripts/make_state_diagrams.py --check  # exit code 1 if they are stale

Each diagram stands between two markers in the page and is written in Mermaid, which renders where Markdown does.
``tests/turns/test_tables.py`` fails while they are stale.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repartee.turns import FLOOR_TABLE, TURN_TABLE

PAGE = Path(__file__).resolve().parents[1] / "docs" / "turn-taking.md"
Table = Mapping[Any, enum.Enum]
"""(state, trigger) to state. `Mapping` is invariant in its keys, so they are not typed here."""
TABLES: dict[str, Table] = {"turn": TURN_TABLE, "floor": FLOOR_TABLE}


def diagram(table: Table) -> str:
    """A table as a Mermaid state diagram; triggers that lead the same way share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (source, trigger), target in table.items():
        arrows.setdefault((source.name, target.name), []).append(trigger)
    lines = ["stateDiagram-v2", "    [*] --> IDLE"]
    lines += [f"    {source} --> {target}: {', '.join(by)}" for (source, target), by in arrows.items()]
    return "\n".join(lines)


def render(text: str) -> str:
    """The page with its diagrams as the tables are now.

    Raises:
        ValueError: the page lacks the markers of a table.
    """
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} table: generated -->", f"<!-- {name} table: end -->"
        block = f"{begin}\n```mermaid\n{diagram(table)}\n```\n{end}"
        before, *rest = text.split(begin)
        _, *after = rest[0].split(end) if rest else [""]
        if len(rest) != 1 or len(after) != 1:
            raise ValueError(f"{PAGE.name} needs one place between {begin} and {end}")
        text = before + block + after[0]
    return text


def main(arguments: list[str]) -> int:
    """Write the page, or only look."""
    old = PAGE.read_text("utf-8")
    new = render(old)
    if "--check" not in arguments:
        PAGE.write_text(new, "utf-8")
    elif new != old:
        print(f"{PAGE.name} is stale: run python scripts/{Path(__file__).name}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
