"""The files of the page: small, plain, of this server alone, and fit for a strict content security policy."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from repartee.server.asgi import app
from repartee.server.endpoints.page_files import TYPES
from repartee.server.served import Served
from repartee.testing import ScriptedRealtimeModel

PAGE = Path(str(files("repartee.server").joinpath("page")))
FILES = sorted(path for path in PAGE.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
SCRIPT_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
IMPORTED = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*"(\.[^"]+)"|new URL\("(\.[^"]+)", import""")
FUNCTION = re.compile(
    r"^(?:  )?(?:export )?(?:async )?(?:function \w+|(?:get |set )?#?\w+)\(.*\) \{$", re.MULTILINE
)


class _Index(HTMLParser):
    """What the page's one document refers to, and what a strict policy would refuse in it."""

    def __init__(self) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.refused: list[str] = []
        self.ids: list[str] = []
        self.wanted: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        refers = given.get("src") or (given.get("href") if tag == "link" else None)
        if refers:
            self.refers.append(refers)
        inline = tag == "style" or (tag == "script" and "src" not in given)
        if inline or "style" in given or any(name.startswith("on") for name in given):
            self.refused.append(self.get_starttag_text() or tag)
        if "id" in given:
            self.ids.append(given["id"])
        for name in ("for", "aria-controls", "aria-labelledby", "aria-describedby", "list"):
            self.wanted += given.get(name, "").split()


def _index() -> _Index:
    found = _Index()
    found.feed((PAGE / "index.html").read_text("utf-8"))
    return found


def test_the_document_holds_what_it_refers_to_and_nothing_inline() -> None:
    index = _index()
    assert not index.refused
    assert len(index.ids) == len(set(index.ids))
    assert set(index.wanted) <= set(index.ids)
    for address in index.refers:
        folder, _, path = address.partition("/")
        assert folder == "page", f"{address}: relative, so that the page works under any prefix"
        assert (PAGE / path).is_file(), address


def test_every_file_is_one_that_the_server_serves() -> None:
    served = Served.of(ScriptedRealtimeModel([]), name="scripted")
    with TestClient(app(served), base_url="http://127.0.0.1", client=("127.0.0.1", 50000)) as client:
        for path in FILES:
            name = path.relative_to(PAGE).as_posix()
            assert path.suffix.lstrip(".") in TYPES, name
            answer = client.get("/" if name == "index.html" else f"/page/{name}")
            assert answer.status_code == 200, name
            assert answer.content == path.read_bytes()
        policy = client.get("/").headers["content-security-policy"]
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://\w", text), "works offline, and tells nobody that it is used"
    assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write", text)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_small_and_find_each_other(path: Path) -> None:
    text = path.read_text("utf-8")
    lines = text.splitlines()
    assert len(lines) <= SCRIPT_LINES_MAX
    assert max(map(len, lines)) <= 140
    for match in IMPORTED.finditer(text):
        name = match.group(1) or match.group(2)
        assert (path.parent / name).resolve().is_file(), name
    starts = [text.count("\n", 0, match.start()) for match in FUNCTION.finditer(text)]
    for start in starts:
        indent = len(lines[start]) - len(lines[start].lstrip())
        end = next(i for i in range(start + 1, len(lines)) if lines[i] == " " * indent + "}")
        assert end - start < FUNCTION_LINES_MAX, lines[start]


def test_the_logic_knows_no_page() -> None:
    for path in [*(PAGE / "js" / "model").glob("*.js"), PAGE / "js" / "audio" / "play-queue.js"]:
        assert not re.search(r"\b(document|window|performance|Date|setTimeout)\b\.?", _code(path)), path.name


def _code(path: Path) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text("utf-8"), flags=re.DOTALL)
