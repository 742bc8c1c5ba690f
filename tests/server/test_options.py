"""The one table of limits: sensible, checked, and the same in the code, on the command line and in the docs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from repartee.errors import ConfigurationError
from repartee.server.options import ServerOptions, option_table
from tests.server.option_page import option_markdown


def test_every_field_has_one_row_with_a_help_text() -> None:
    rows = list(option_table())
    assert [row.field for row in rows] == [field.name for field in dataclasses.fields(ServerOptions)]
    assert len({row.flag for row in rows}) == len(rows)
    assert all(row.help and row.flag.startswith("--") for row in rows)


def test_the_docs_show_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text("utf-8")
    assert option_markdown() in page, (
        "docs/serving.md is stale: python -m tests.server.option_page prints the table"
    )


@pytest.mark.parametrize(
    "given, named",
    [
        ({"sessions": 0}, "sessions=0"),
        ({"session_s": float("nan")}, "session_s"),
        ({"idle_s": -1.0}, "idle_s"),
        ({"slow_consumer": "wait"}, "drop_audio"),
        ({"secret_ttl_s": 7201}, "7200"),
        ({"allow_origins": ("example.test",)}, "scheme://"),
        ({"allow_origins": ("https://example.test/",)}, "scheme://"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(given: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        ServerOptions(**given)  # type: ignore[arg-type]


def test_good_values_are_taken() -> None:
    options = ServerOptions(allow_origins=("*", "null", "https://example.test:8443"), idle_s=0, drain_s=0)
    assert options.idle_s == 0
