"""One tree of errors, printed where it is defined."""

from __future__ import annotations

import inspect
import re

import pytest

from repartee import errors
from repartee.errors import MissingDependencyError, ModelTimeoutError, ReparteeError, UsageError


def _classes() -> list[type[BaseException]]:
    return [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, BaseException)]


def test_the_printed_tree_is_the_real_one() -> None:
    assert errors.__doc__ is not None
    printed = set(re.findall(r"\b\w+Error\b", errors.__doc__)) - {"ValueError", "ImportError"}
    assert printed == {c.__name__ for c in _classes()}


@pytest.mark.parametrize("kind", _classes())
def test_everything_is_one_tree_with_a_docstring(kind: type[BaseException]) -> None:
    assert issubclass(kind, ReparteeError)
    assert kind.__doc__


def test_a_usage_error_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="wrong"):
        raise UsageError("wrong")


def test_a_missing_package_says_how_to_get_it() -> None:
    error = MissingDependencyError(
        "local speech recognition", package="pocketsphinx", extra="local", detail="no wheel"
    )
    assert str(error) == (
        "local speech recognition needs the package 'pocketsphinx': pip install 'repartee[local]' (no wheel)"
    )
    assert isinstance(error, ImportError)


def test_a_model_error_says_where_and_whether_to_try_again() -> None:
    error = ModelTimeoutError("too late", stage="tts", provider="local", recoverable=False, code="stalled")
    assert (error.stage, error.provider, error.recoverable, error.code) == ("tts", "local", False, "stalled")
