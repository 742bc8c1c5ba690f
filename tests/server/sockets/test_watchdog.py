"""What blocks the loop is named."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading

import pytest

from repartee.server.sockets.watchdog import Watchdog, where


def _block_the_loop(watchdog: Watchdog) -> None:
    for _ in range(100):
        if watchdog.reports:
            return
        threading.Event().wait(0.05)


def test_it_names_the_function_and_says_for_how_long(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    async def main() -> None:
        watchdog = Watchdog(40)
        watchdog.start()
        _block_the_loop(watchdog)
        while "stood still for" not in caplog.text:
            await asyncio.wait(
                (asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(None, int)),)
            )
        watchdog.stop()
        watchdog.stop()

    asyncio.run(asyncio.wait_for(main(), 20))
    assert "the event loop stands still: " in caplog.text
    assert "wait, line" in caplog.text.splitlines()[0]


def test_a_loop_that_turns_is_not_reported() -> None:
    async def main() -> int:
        watchdog = Watchdog(5_000)
        watchdog.start()
        await asyncio.get_running_loop().run_in_executor(None, int)
        watchdog.stop()
        return watchdog.reports

    assert asyncio.run(main()) == 0


def test_where_it_stands() -> None:
    assert "test_where_it_stands" in where(sys._getframe())
    assert where(None) == "its thread is gone"
