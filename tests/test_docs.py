"""The docs run: each Python block of README.md and docs/, each example, and each link to a file of ours.

A block fenced as ``python`` is run by itself, in a fresh interpreter and an empty folder, and must end by itself. One
fenced as ``python no-run`` (it needs a key, a microphone, or goes on forever) is only compiled.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if not path.name.startswith("_"))

RUN_SECONDS_MAX = 90
"""A block or an example that takes this long doesn't end; they are written to take seconds."""

FENCE = re.compile(r"^ *(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)\n(?P<text>.*?)^ *(?P=fence) *$", re.M | re.S)
LINK = re.compile(
    r"""\[(?:[^\[\]]|\[[^\]]*\])*\]  # the text, which may hold a picture of its own
        \(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)  # the target, and a title
        | ^\[[^\]]+\]:\s*(\S+)  # or a target that stands apart""",
    re.M | re.X,
)
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.M)


@dataclass(frozen=True)
class Block:
    """One fenced block of Python."""

    page: str
    line: int
    info: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, text: str) -> Iterator[Block]:
    """The Python blocks of a page of Markdown."""
    for match in FENCE.finditer(text):
        info = tuple(match["info"].split())
        if info[:1] == ("python",):
            yield Block(
                page, text.count("\n", 0, match.start()) + 1, info[1:], textwrap.dedent(match["text"])
            )


def slug(heading: str) -> str:
    """The anchor that a heading gets: lower case, words joined by hyphens, without marks and punctuation."""
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """Every anchor of a page."""
    plain = FENCE.sub("", text)
    found: set[str] = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", plain))
    for name in map(slug, HEADING.findall(plain)):
        again = next(n for n in count() if (f"{name}-{n}" if n else name) not in found)
        found.add(f"{name}-{again}" if again else name)
    return found


def link_problems(page: Path, text: str) -> list[str]:
    """Links of a page that lead nowhere, as far as they lead to our own files."""
    problems = []
    for match in LINK.finditer(re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))):
        target = match[1] or match[2]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            problems.append(f"{page.name}: the link to {target} leads to no file; mend or remove it")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text("utf-8")):
            problems.append(f"{page.name}: {target}: {file.name} has no such heading")
    return problems


def run(arguments: list[str], folder: Path) -> None:
    """Run Python, and fail with its last words if it fails."""
    # Without the developer's own key: an example that finds one would call the service, and wait for a microphone.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


ALL_BLOCKS = [
    block for page in PAGES for block in blocks(str(page.relative_to(ROOT)), page.read_text("utf-8"))
]


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=str)
def test_a_block_says_how_it_is_tested(block: Block) -> None:
    assert block.info in ((), ("no-run",)), (
        f"{block}: fence it as `python` or as `python no-run`, not {block.info}"
    )
    compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if block.info else 0)


@pytest.mark.parametrize("block", [block for block in ALL_BLOCKS if not block.info], ids=str)
def test_a_block_runs(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "block.py"
    file.write_text(
        "\n" * (block.line) + block.text, "utf-8"
    )  # so that a traceback names the page's own line
    run([str(file)], tmp_path)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_to_its_end(example: Path, tmp_path: Path) -> None:
    tree = ast.parse(example.read_text("utf-8"), str(example))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert "main" in functions, f"{example.name}: put what it shows into main(), and call that under __main__"
    assert ast.get_docstring(tree), f"{example.name}: say in a docstring what it shows and how to run it"
    run([str(example)], tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert not (problems := link_problems(page, page.read_text("utf-8"))), "\n".join(problems)


def test_blocks_are_found_with_their_lines() -> None:
    page = "a\n```python\nx = 1\n```\n- b\n\n  ```python no-run\n  y = 2\n  ```\n```sh\nls\n```\n"
    page += "````md\n```python\nz\n```\n````\n"
    assert list(blocks("p.md", page)) == [
        Block("p.md", 2, (), "x = 1\n"),
        Block("p.md", 7, ("no-run",), "y = 2\n"),
    ]


def test_a_block_that_fails_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run(["-c", "1 / 0"], tmp_path)


def test_dead_links_are_seen(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One *two*: `three`\n\n# Again\n\n# Again\n", "utf-8")
    page = tmp_path / "page.md"
    good = "[a](other.md) [b](other.md#one-two-three) [c](https://example.test/x) [d](#here) `[e](gone.md)`\n"
    page.write_text(f"# Here\n{good}[g](other.md#again-1)\n\n[f]: other.md\n", "utf-8")
    assert link_problems(page, page.read_text("utf-8")) == []
    bad = "# Here\n[a](gone.md) ![b](other.md#gone) [c](#gone)\n\n[d]: gone.png\n"
    page.write_text(bad, "utf-8")
    assert len(link_problems(page, bad)) == 4
