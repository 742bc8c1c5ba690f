"""Writes docs/conformance.md: what the server does of the OpenAI Realtime protocol, found out by trying.

    python scripts/make_conformance.py          # write it anew
    python scripts/make_conformance.py --check  # exit code 1 if it is stale

The trying is in ``tests/server/conformance.py``; ``tests/server/test_conformance.py`` fails while the page is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.protocol import official  # noqa: E402
from tests.server import conformance as found  # noqa: E402

PAGE = ROOT / "docs" / "conformance.md"
YES, NO, TAKEN = "yes", "no", "taken, without effect"

INTRO = """# Conformance

What `repartee serve` does of the OpenAI Realtime protocol, with a model composed of a recogniser, a language model and
a voice. This page is written by a test (`python scripts/make_conformance.py`), and is what its scenarios have seen:

- **A client event** is supported if the server took it without an error, in a scenario that checks what came of it.
- **A server event** is supported if the server sent it, and the types of the official `openai` package have nothing
  against it: no field is missing, wrong, or unknown to them.
- **A field** or a **limit** is supported if a scenario asserts its effect; the last column names the scenario
  (`tests/server/conformance.py`), or the test where a socket is needed.

What is not supported is in each table with its reason, and once more [at the end](#what-is-not-there).
"""


def table(*head: str, rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A Markdown table."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def code(text: str) -> str:
    """Text as code."""
    return f"`{text}`"


def _events(names: Iterable[str], seen: set[str]) -> Iterator[tuple[str, ...]]:
    for name in names:
        yield code(name), YES if name in seen else NO, "" if name in seen else found.UNSUPPORTED.get(name, "")


def _fields(record: found.Record, paths: Iterable[str]) -> Iterator[tuple[str, ...]]:
    for path in paths:
        reason = found.reason_without_effect(path)
        shown = found.shown_by(record, path)
        told = code(path.partition(".")[2])
        if reason is not None:
            yield told, TAKEN, reason
        else:
            yield told, YES if shown else NO, code(shown) if shown else ""


def _items(record: found.Record) -> Iterator[tuple[str, ...]]:
    for kind in found.ITEMS:
        by_client = (YES if kind in record.items_taken else NO) if kind in found.CLIENTS_ITEMS else "–"
        by_server = YES if kind in record.items_said else "–" if kind == "item_reference" else NO
        yield code(kind), by_client, by_server, found.UNSUPPORTED.get(kind, "")


def _codes(record: found.Record) -> Iterator[tuple[str, ...]]:
    for name in found.CODES_OF_H:
        where = found.ELSEWHERE.get(name, "")
        yield code(name), YES if name in record.codes or where else NO, code(where) if where else ""


def _limits(record: found.Record) -> Iterator[tuple[str, ...]]:
    for name, more in found.LIMITS.items():
        where = record.shown.get(name) or found.ELSEWHERE.get(name, "")
        yield name.removeprefix("limit: "), more, YES if where else NO, code(where) if where else ""


def render(record: found.Record) -> str:
    """The page."""
    translation = {**official.TRANSLATION_CLIENT_EVENTS}
    lines = [INTRO, "## Client events", ""]
    lines += table("event", "supported", "why not", rows=_events(official.CLIENT_EVENTS, record.taken))
    lines += ["## Server events", ""]
    lines += table("event", "supported", "why not", rows=_events(official.SERVER_EVENTS, record.said))
    for title, paths in (
        ("Fields of a realtime session", found.SESSION_FIELDS),
        ("Fields of a transcription session", found.TRANSCRIPTION_FIELDS),
        ("Fields of `response.create`", found.RESPONSE_FIELDS),
    ):
        lines += [f"## {title}", ""]
        lines += table("field", "supported", "shown by, or why not", rows=_fields(record, paths))
    lines += ["## Translation sessions", "", f"Not supported: {found.NO_TRANSLATION}.", ""]
    own = [
        *(name for name in translation if name != "session.update"),
        *(name for name in official.TRANSLATION_SERVER_EVENTS if name not in official.SERVER_EVENTS),
    ]
    lines += table("event", "supported", "why not", rows=_events(own, set()))
    lines += ["## Items and their parts", ""]
    lines += table("kind", "from the client", "from the server", "why not", rows=_items(record))
    lines += ["## Errors", ""]
    lines += table("code", "supported", "where it needs a socket", rows=_codes(record))
    lines += ["## Limits", ""]
    lines += table("limit", "", "supported", "shown by", rows=_limits(record))
    lines += ["## What is not there", ""]
    lines += table("what", "why", rows=((code(name), why) for name, why in found.UNSUPPORTED.items()))
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or only look."""
    new = render(found.run_all())
    if "--check" not in arguments:
        PAGE.write_text(new, "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != new:
        print(f"{PAGE.name} is stale: run python scripts/{Path(__file__).name}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
