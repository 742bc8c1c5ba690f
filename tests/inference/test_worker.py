from __future__ import annotations

import asyncio
import threading

import pytest

from repartee.errors import StateError
from repartee.inference.worker import Worker


def test_end_can_be_awaited() -> None:
    async def main() -> None:
        gate = threading.Event()

        def work(_: Worker) -> None:
            gate.wait(30)

        worker = Worker("test-worker", work)
        assert "test-worker" in [t.name for t in threading.enumerate()]
        waiting = asyncio.ensure_future(worker.ended())
        await asyncio.to_thread(lambda: None)
        assert not waiting.done()
        gate.set()
        await waiting
        assert "test-worker" not in [t.name for t in threading.enumerate()]
        await worker.ended()

    asyncio.run(main())


def test_a_worker_can_not_wait_for_itself() -> None:
    refused: list[StateError] = []

    def work(worker: Worker) -> None:
        with pytest.raises(StateError) as caught:
            asyncio.run(worker.ended())
        refused.append(caught.value)

    asyncio.run(Worker("test-worker", work).ended())
    assert len(refused) == 1
