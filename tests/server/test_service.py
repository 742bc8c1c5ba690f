"""What the endpoints share: starting, failing to start, ending."""

from __future__ import annotations

import pytest

from repartee.errors import ModelError
from repartee.server.options import ServerOptions
from repartee.server.replies import ErrorReply
from repartee.server.served import Served
from repartee.server.service import Service, peer_of
from repartee.testing import ScriptedRealtimeModel, virtual_time


class _Model(ScriptedRealtimeModel):
    def __init__(self) -> None:
        super().__init__([])
        self.error: ModelError | None = None
        self.prewarmed = self.closed = 0

    async def prewarm(self, request: object = None) -> None:
        self.prewarmed += 1
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        self.closed += 1
        await super().aclose()


def _service(model: _Model, **more: object) -> Service:
    return Service([Served.of(model, name="ours")], ServerOptions(**more), ["sk-test-key-1"])  # type: ignore[arg-type]


@virtual_time
async def test_it_starts_once_and_ends_once() -> None:
    model = _Model()
    service = _service(model)
    assert not _is_ready(service)
    service.begin_start()
    await service.start()
    assert service.ready
    assert model.prewarmed == 1
    service.begin_drain()
    assert not _is_ready(service)
    await service.aclose()
    await service.aclose()
    assert model.closed == 1


@virtual_time
async def test_a_model_that_can_not_be_had_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    model = _Model()
    model.error = ModelError("the weights are missing", stage="llm")
    service = _service(model)
    with pytest.raises(ModelError, match="weights"):
        await service.start()
    assert service.failure == "the weights are missing"
    assert "weights are missing" in caplog.text
    assert not _is_ready(service)
    model.error = None
    await service.start()
    assert _is_ready(service)
    await service.aclose()


def _is_ready(service: Service) -> bool:
    return service.ready


def test_names_and_keys() -> None:
    service = _service(_Model(), any_model=False)
    assert service.served_for("") is service.served_for("ours") is service.served[0]
    assert service.served_for("other") is None
    [named] = _service(_Model()).served
    assert named.any_name
    assert _service(_Model()).served_for("other") is not None
    assert not service.served[0].any_name
    assert service.demand({"authorization": "Bearer sk-test-key-1"}).kind == "key"
    for headers in ({}, {"authorization": "Bearer sk-other"}):
        with pytest.raises(ErrorReply) as refusal:
            service.demand(headers)
        assert refusal.value.status == 401
        assert "sk-" not in str(refusal.value)


def test_peers() -> None:
    assert peer_of({"client": ("10.0.0.1", 5)}) == "10.0.0.1"
    assert peer_of({"client": None}) == "-"
