"""A short run of the socket's fuzzer."""

from __future__ import annotations

import asyncio

from fuzzing.fuzz_server import fuzz


def test_a_healthy_neighbour_is_answered_whatever_others_send() -> None:
    found = asyncio.run(asyncio.wait_for(fuzz(7, rounds=10), 60))
    assert found.answers == 10
    assert found.attacks == 80
    assert found.frames > 200
