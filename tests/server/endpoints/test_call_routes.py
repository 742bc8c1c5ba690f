"""The endpoints of calls: what they take, and what they refuse. The call itself is test_webrtc's."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from repartee.server.asgi import service_of
from tests.server.serving import FakeSession, http, make_app, over_sockets, serving

KEY = "sk-test-key-1"
SDP = {"Content-Type": "application/sdp"}
CALLS = "/v1/realtime/calls"


class _Call:
    """Stands in for `WebRtcCall`."""

    def __init__(
        self, offer: str, open_session: Any, *, options: Any, observe: bool, on_end: Any, dialect: Any = None
    ) -> None:
        self.id = "rtc_000000000000000000001"
        self.offer, self.observe = offer, observe
        self._open, self._end = open_session, on_end

    async def answer(self) -> str:
        self.running = self._open(object())
        return "v=0\r\nanswer"

    async def hangup(self, reason: str = "") -> None:
        await self.running.aclose()
        self._end(self)


@pytest.fixture
def webrtc(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiortc", reason="WebRTC is not installed: pip install 'repartee[webrtc]'")
    monkeypatch.setattr("repartee.server.webrtc.call.WebRtcCall", _Call)
    monkeypatch.setattr("repartee.server.webrtc.offer.read_offer", lambda sdp: sdp)


@pytest.mark.usefixtures("webrtc")
@over_sockets
async def test_an_offer_by_itself_and_hanging_up() -> None:
    async with serving(make_app()) as server, http(server) as client:
        answer = await client.post(f"{CALLS}?model=m", content="v=0\r\n", headers=SDP)
        assert answer.status_code == 201
        assert answer.text == "v=0\r\nanswer"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["location"] == f"{CALLS}/rtc_000000000000000000001"
        assert FakeSession.made[0].config.model == "m"
        service = service_of(server.application)
        assert len(service.calls) == 1
        hung_up = await client.post(f"{answer.headers['location']}/hangup")
        assert (hung_up.status_code, hung_up.text) == (200, "")
        assert (len(service.calls), len(service.sessions)) == (0, 0)
        assert (await client.post(f"{answer.headers['location']}/hangup")).status_code == 404


@pytest.mark.usefixtures("webrtc")
@over_sockets
async def test_an_offer_in_a_form_with_its_session() -> None:
    session = '{"type":"realtime","model":"m","instructions":"Be brief."}'
    as_files = {
        "sdp": ("sdp", "v=0\r\n", "application/sdp"),
        "session": ("session", session, "application/json"),
    }
    async with serving(make_app((KEY,))) as server, http(server, KEY) as client:
        forms: tuple[dict[str, Any], ...] = (
            {"files": as_files},
            {"files": {"sdp": (None, "v=0\r\n"), "session": (None, session)}},
        )
        for number, given in enumerate(forms):
            answer = await client.post(CALLS, **given)
            assert answer.status_code == 201, answer.text
            config = FakeSession.made[number].config
            assert (config.model, config.instructions) == ("m", "Be brief.")
        assert (await client.post(CALLS, files={"session": (None, "{}")})).json()["error"]["param"] == "sdp"


@pytest.mark.usefixtures("webrtc")
@over_sockets
async def test_an_offer_with_a_client_secret() -> None:
    async with serving(make_app((KEY,))) as server, http(server, KEY) as client:
        asked = {"session": {"type": "realtime", "model": "m", "instructions": "Bound."}}
        value = (await client.post("/v1/realtime/client_secrets", json=asked)).json()["value"]
        secret = {**SDP, "Authorization": f"Bearer {value}"}
        assert (await client.post(CALLS, content="v=0", headers=secret)).status_code == 201
        assert FakeSession.made[0].config.instructions == "Bound."
        other = await client.post(f"{CALLS}?model=other", content="v=0", headers=secret)
        assert other.json()["error"]["code"] == "invalid_model"
        assert (
            await client.post(CALLS, content="v=0", headers={**SDP, "Authorization": ""})
        ).status_code == 401


@pytest.mark.usefixtures("webrtc")
@pytest.mark.parametrize(
    "sent, status",
    [
        ({"content": "v=0", "headers": {"Content-Type": "text/html"}}, 415),
        ({"content": b"\xff", "headers": SDP}, 400),
        ({"content": " ", "headers": SDP}, 400),
        ({"content": "x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"content": "x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 400),
        ({"files": {"sdp": (None, "v=0"), "session": (None, "[]")}}, 400),
        ({"files": {"sdp": (None, "v=0"), "session": (None, '{"type":"translation"}')}}, 400),
        ({"files": {"sdp": (None, "v=0"), "session": (None, '{"voice":"a"}')}}, 400),
        ({"files": {"sdp": (None, "v=0"), "session": (None, '{"tools":1}')}}, 400),
        ({"content": "v" * 300_000, "headers": SDP}, 413),
    ],
)
@over_sockets
async def test_what_can_not_be_read_is_refused(sent: dict[str, Any], status: int) -> None:
    async with serving(make_app()) as server, http(server) as client:
        answer = await client.post(CALLS, **sent)
        assert answer.status_code == status, answer.text
        assert service_of(server.application).calls._opening == 0


@pytest.mark.usefixtures("webrtc")
@over_sockets
async def test_calls_and_sessions_are_bounded() -> None:
    limits: tuple[dict[str, Any], ...] = ({"calls": 1}, {"sessions": 1})
    for limit in limits:
        async with serving(make_app(**limit)) as server, http(server) as client:
            assert (await client.post(CALLS, content="v=0", headers=SDP)).status_code == 201
            full = await client.post(CALLS, content="v=0", headers=SDP)
            assert (full.status_code, full.headers["Retry-After"]) == (503, "5")


@over_sockets
async def test_without_webrtc_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "repartee.server.webrtc.call", raising=False)
    monkeypatch.setitem(sys.modules, "aiortc", None)
    async with serving(make_app()) as server, http(server) as client:
        answer = await client.post(CALLS, content="v=0\r\n", headers=SDP)
        assert (answer.status_code, answer.json()["error"]["code"]) == (501, "webrtc_not_installed")
        assert "repartee[webrtc]" in answer.json()["error"]["message"]


@over_sockets
async def test_there_is_no_telephone() -> None:
    async with serving(make_app()) as server, http(server) as client:
        for verb in ("accept", "reject", "refer"):
            answer = await client.post(f"{CALLS}/rtc_1/{verb}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (501, "sip_not_supported")
        assert (await client.post(f"{CALLS}/rtc_1/sing")).status_code == 404
