"""docs/conformance.md says what is so, and all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import make_conformance
from tests.protocol import official
from tests.server import conformance

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def record() -> conformance.Record:
    """What came of all scenarios: each asserts what it shows."""
    return conformance.run_all()


def test_the_page_is_what_the_scenarios_have_seen(record: conformance.Record) -> None:
    page = make_conformance.PAGE.read_text("utf-8")
    assert make_conformance.render(record) == page, "run: python scripts/make_conformance.py"


def test_the_official_types_have_nothing_against_what_was_sent(record: conformance.Record) -> None:
    assert set(record.problems) == set()


def test_every_event_is_supported_or_has_its_reason(record: conformance.Record) -> None:
    assert set(official.CLIENT_EVENTS) == record.taken
    assert set(official.SERVER_EVENTS) - record.said == set(official.SERVER_EVENTS) & set(
        conformance.UNSUPPORTED
    )


def test_every_field_is_shown_or_has_its_reason_and_not_both(record: conformance.Record) -> None:
    paths = (
        *conformance.SESSION_FIELDS,
        *conformance.TRANSCRIPTION_FIELDS,
        *conformance.RESPONSE_FIELDS,
    )
    for path in paths:
        shown, reason = conformance.shown_by(record, path), conformance.reason_without_effect(path)
        assert bool(shown) != bool(reason) or path.startswith("transcription."), path
        assert shown or reason, path
    named = {path for path in record.shown if not path.startswith("limit: ")} | set(
        conformance.WITHOUT_EFFECT
    )
    assert named <= set(paths)


def test_every_code_limit_and_item_is_shown(record: conformance.Record) -> None:
    assert set(conformance.CODES_OF_H) - record.codes == set(conformance.ELSEWHERE) & set(
        conformance.CODES_OF_H
    )
    limits = {name for name in {*record.shown, *conformance.ELSEWHERE} if name.startswith("limit: ")}
    assert limits == set(conformance.LIMITS)
    assert record.items_taken >= conformance.CLIENTS_ITEMS
    unsupported = {*conformance.UNSUPPORTED, "item_reference"}
    assert {kind for kind in conformance.ITEMS if kind not in unsupported} <= record.items_said


def test_the_tests_that_are_named_are_there() -> None:
    for name in conformance.ELSEWHERE.values():
        file, _, test = name.partition("::")
        assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE), name
