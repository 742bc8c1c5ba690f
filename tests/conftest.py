"""What holds for every test: no network, and property tests that are the same each time."""

from __future__ import annotations

import ipaddress
import logging
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A deadline would measure the machine's load; a derandomised run fails for you as it failed for me.
# Search wider for new examples with: HYPOTHESIS_PROFILE=explore pytest …
settings.register_profile("same", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


class NetworkInTestError(BaseException):
    """A test reached for the network. Not an `Exception`, so that no retry or fallback can hide it."""


def _is_here(host: object) -> bool:
    """Whether a host is this machine, named or by number."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str) or host in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _forbid_network(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: it sees every socket call of the process, those of native event loops' resolvers included."""
    if event == "socket.connect" or event == "socket.sendto":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else ""  # a path is a Unix socket
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if not _is_here(host):
        raise NetworkInTestError(
            f"{event} to {host!r}: tests use only this machine; script or replay the far end"
        )


sys.addaudithook(_forbid_network)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that a test runs in this process sets logging up for itself; the next test finds it as before."""
    loggers = (logging.getLogger(), logging.getLogger("repartee"))
    before = [(each, each.level, each.handlers[:], each.propagate) for each in loggers]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate
