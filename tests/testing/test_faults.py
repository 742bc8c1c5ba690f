"""Faults come at the call and the result they name."""

from __future__ import annotations

import asyncio

import pytest

from repartee.errors import ModelConnectionError, ModelError
from repartee.testing import fail, slow, stall, virtual_time
from repartee.testing.faults import FaultPlan


@virtual_time
async def test_faults_are_met_where_they_were_put() -> None:
    loop = asyncio.get_running_loop()
    plan = FaultPlan([fail(2, after=1), slow(3.0, 1), fail(None, after=7)], "llm")
    await plan.meet(1, 0)
    assert loop.time() == 3.0
    await plan.meet(1, 1)
    await plan.meet(2, 0)
    with pytest.raises(ModelError, match="call 2 after 1") as caught:
        await plan.meet(2, 1)
    assert caught.value.stage == "llm"
    for call in (1, 9):
        with pytest.raises(ModelError):
            await plan.meet(call, 7)
    assert loop.time() == 3.0


@virtual_time
async def test_a_stall_lasts_until_it_is_cancelled() -> None:
    plan = FaultPlan([stall()], "tts")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1000.0):
            await plan.meet(1, 0)


def test_the_error_can_be_chosen() -> None:
    own = ModelConnectionError("gone", stage="stt")
    plan = FaultPlan([fail(error=own), fail(2, error=OSError("disk"))], "stt")
    first, second = plan.at(1, 0), plan.at(2, 0)
    assert first is not None
    assert second is not None
    assert plan.model_error(first, 1) is own
    reported = plan.model_error(second, 2)
    assert (str(reported), reported.stage) == ("disk", "stt")
    assert plan.at(3, 0) is None
