"""A call over real UDP on the loopback, to a session that only notes what it is told."""

from __future__ import annotations

import array
import asyncio
import dataclasses
import json
import math
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("aiortc", reason="WebRTC is not installed: pip install 'repartee[webrtc]'")

from repartee.audio import AudioFrame
from repartee.errors import ConfigurationError, RemoteProtocolError, StateError
from repartee.server.options import ServerOptions
from repartee.server.webrtc import call as webrtc
from repartee.server.webrtc.call import WebRtcCall
from repartee.server.webrtc.offer import read_offer
from repartee.testing import elapse, virtual_time
from tests.server.rtc_peer import LOOPBACK, PATIENCE_S, RtcPeer, loud_s

OPTIONS = ServerOptions(ice_hosts=(LOOPBACK,), handshake_s=5.0)


def tone(seconds: float, hz: float = 300.0) -> bytes:
    count = int(seconds * 24000)
    return array.array("h", [int(8000 * math.sin(hz * math.tau * i / 24000)) for i in range(count)]).tobytes()


class FakeSession:
    """Stands in for `ServedSession`, and for `RunningSession`."""

    next_fails: ClassVar[str] = ""

    def __init__(self, output: Any = None) -> None:
        self.session: Any = self
        self.output = output
        self.listeners: list[Any] = []
        self.frames: list[Any] = []
        self.microphone = b""
        self.told: list[tuple[Any, ...]] = []
        self.ended = asyncio.Event()
        self.faults: list[Any] = []
        self.started = self.touched = self.closed = 0
        self.fail = FakeSession.next_fails

    def attach(self, listener: Any, *, dialect: Any = None) -> None:
        self.listeners.append(listener)

    async def start(self) -> None:
        self.started += 1
        if self.fail == "start":
            await asyncio.Event().wait()
        self.say(type="session.created")

    def say(self, **event: Any) -> None:
        for listener in self.listeners:
            listener.send(json.dumps(event).encode())

    def receive(self, frame: Any, listener: Any) -> None:
        if self.fail == "receive":
            raise RuntimeError("a failure of the session's")
        assert listener in self.listeners
        self.frames.append(frame)
        self.say(type="echo", text=json.loads(frame).get("text", ""))

    def hear(self, audio: bytes) -> None:
        if self.fail == "hear":
            raise RuntimeError("a failure of the session's")
        self.microphone += audio

    def end(self, fault: Any) -> None:
        self.faults.append(fault)
        self.say(type="error", code=fault.code)
        for listener in self.listeners:
            listener.close(fault.close.code, fault.close.reason)

    def touch(self) -> None:
        self.touched += 1

    async def aclose(self) -> None:
        self.closed += 1
        self.ended.set()

    def playback_started(self, response_id: str) -> None:
        self.told.append(("started", response_id))

    def playback_stopped(self, response_id: str) -> None:
        self.told.append(("stopped", response_id))

    def heard(self, item_id: str, ms: int) -> None:
        self.told.append(("heard", item_id, ms))


class Line:
    """A call, its session, and its peer."""

    def __init__(self, peer: RtcPeer, options: ServerOptions = OPTIONS) -> None:
        self.peer = peer
        self.options = options
        self.call: Any = None
        self.session: Any = None
        self.over: list[Any] = []
        self.sdp = ""

    async def answer(self, sdp: str) -> str:
        def open_session(output: Any) -> Any:
            self.session = FakeSession(output)
            return self.session

        self.call = WebRtcCall(read_offer(sdp), open_session, options=self.options, on_end=self.over.append)
        self.sdp = await self.call.answer()
        return self.sdp


Test = Callable[[Line], Coroutine[Any, Any, None]]


def on_loopback(test: Test) -> Callable[[], None]:
    """Run a test with a connected call; then hang up, and see that nothing is left."""
    return on_loopback_with()(test)


def on_loopback_with(
    *, options: ServerOptions = OPTIONS, **peer: Any
) -> Callable[[Test], Callable[[], None]]:
    """Run a test with a connected call; then hang up, and see that nothing is left."""

    def wrap(test: Test) -> Callable[[], None]:
        async def main() -> None:
            async with RtcPeer(**peer) as client:
                line = Line(client, options)
                if client.channel is not None:
                    await client.connect(line.answer)
                try:
                    await test(line)
                finally:
                    if line.call is not None:
                        await line.call.hangup()
            assert line.call is None or line.over == [line.call]
            assert line.session is None or line.session.closed
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*left, return_exceptions=True)  # of aiortc's own, that end by themselves

        def run() -> None:
            asyncio.run(main())

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return wrap


# ------------------------------------------------------------------------------------------------------- connecting


@on_loopback
async def test_events_that_came_before_the_channel_are_held(line: Line) -> None:
    assert (await line.peer.event("session.created"))["type"] == "session.created"
    assert line.session.started == 1
    assert line.call.id.startswith("rtc_")
    assert line.call.session is line.session


@on_loopback
async def test_events_go_both_ways_in_order(line: Line) -> None:
    for index in range(200):
        line.peer.send(type="x", text=str(index))
    await line.peer.event("echo", 200)
    assert [event["text"] for event in line.peer.of("echo")] == [str(index) for index in range(200)]
    assert line.session.touched >= 200


@on_loopback
async def test_long_events_pass_and_longer_ones_than_the_client_takes_are_told(line: Line) -> None:
    line.peer.send(type="x", text="a" * 60_000)
    assert len((await line.peer.event("echo"))["text"]) == 60_000
    line.session.say(type="large", text="b" * 250_000)
    assert len((await line.peer.event("large"))["text"]) == 250_000
    line.session.say(type="larger", text="c" * 300_000)
    error = await line.peer.event("error")
    assert error["error"]["code"] == "event_too_large"
    assert "longest message, 262144 bytes" in error["error"]["message"]
    assert error["event_id"].startswith("event_")


@pytest.mark.parametrize("codec", ["opus", "pcmu", "pcma"])
def test_the_codec_that_the_client_prefers_is_spoken(codec: str) -> None:
    @on_loopback_with(codec=codec)
    async def run(line: Line) -> None:
        assert line.sdp.split("m=audio")[1].split("a=rtpmap:")[1].split()[1].lower().startswith(codec)
        line.peer.say(tone(0.6))
        line.session.output.write("r", "i", AudioFrame(tone(0.6, 700.0), 24000))
        line.session.output.end("r")
        await line.peer.until(lambda: loud_s(line.peer.heard) >= 0.55)
        await line.peer.listen(0.3)
        for sound, hz in ((np.frombuffer(line.session.microphone, "<i2"), 300), (line.peer.heard, 700)):
            assert 0.55 <= loud_s(sound) <= 0.7
            spectrum = np.abs(np.fft.rfft(sound.astype(float)))
            assert np.argmax(spectrum) * 24000 / len(sound) == pytest.approx(hz, abs=10)

    run()


def test_an_offer_without_candidates_connects() -> None:
    """As browsers send it that don't wait for their own candidates, or hide them behind names."""

    async def main() -> None:
        async with RtcPeer() as peer:
            line = Line(peer)

            async def answer(sdp: str) -> str:
                hidden = "a=candidate:1 1 udp 2130706431 0e7a0b46.local 50000 typ host"
                kept = [hidden if one.startswith("a=candidate") else one for one in sdp.splitlines()]
                return await line.answer("\r\n".join(kept) + "\r\n")

            await peer.connect(answer)
            await peer.event("session.created")
            await line.call.hangup()

    asyncio.run(main())


def test_an_offer_as_firefox_writes_it_connects() -> None:
    """Its fingerprint stands once, for the session."""

    async def main() -> None:
        async with RtcPeer() as peer:
            line = Line(peer)

            async def answer(sdp: str) -> str:
                head, audio, channel = sdp.split("m=")
                [fingerprint, *_] = [one for one in audio.splitlines() if one.startswith("a=fingerprint")]
                sections = [
                    "\r\n".join(one for one in each.splitlines() if "fingerprint" not in one) + "\r\n"
                    for each in (audio, channel)
                ]
                return await line.answer("m=".join([f"{head}{fingerprint}\r\n", *sections]))

            await peer.connect(answer)
            await peer.event("session.created")
            peer.say(tone(0.3))
            await peer.listen(0.6)
            assert loud_s(np.frombuffer(line.session.microphone, "<i2")) > 0.2
            await line.call.hangup()

    asyncio.run(main())


def test_a_call_on_a_port_of_the_range_behind_a_public_address() -> None:
    options = ServerOptions(ice_hosts=(LOOPBACK,), ice_ports="42320-42329", public_ips=("203.0.113.7",))

    async def main() -> None:
        async with RtcPeer() as peer:
            line = Line(peer, options)

            async def answer(sdp: str) -> str:
                candidates = [
                    each.split() for each in (await line.answer(sdp)).splitlines() if "a=candidate" in each
                ]
                assert {each[4] for each in candidates} == {LOOPBACK, "203.0.113.7"}
                assert {int(each[5]) for each in candidates} <= set(range(42_320, 42_330))
                return line.sdp.replace("203.0.113.7", LOOPBACK)

            await peer.connect(answer)
            await peer.event("session.created")
            await line.call.hangup()

    asyncio.run(main())


def test_a_call_without_a_data_channel_has_sound() -> None:
    async def main() -> None:
        async with RtcPeer(channel=False) as peer:
            line = Line(peer)
            await peer.take(await line.answer(await peer.offer()))
            peer.say(tone(0.3))
            line.session.output.write("r", "i", AudioFrame(tone(0.3), 24000))
            await peer.until(lambda: loud_s(peer.heard) > 0.25)
            assert not line.call.ended.is_set()
            await line.call.hangup()

    asyncio.run(main())


def test_time_goes_on_for_a_client_that_takes_no_sound() -> None:
    @on_loopback_with(direction="sendonly")
    async def run(line: Line) -> None:
        line.session.output.write("r", "i", AudioFrame(tone(0.1), 24000))
        line.session.output.end("r")
        line.peer.say(tone(0.5))
        line.peer.send(type="x")
        await line.peer.event("echo")
        async with asyncio.timeout(PATIENCE_S):
            while ("stopped", "r") not in line.session.told:
                line.peer.send(type="x")
                await line.peer.event("echo", len(line.peer.of("echo")) + 1)

    run()


# --------------------------------------------------------------------------------------------------------- playback


@on_loopback
async def test_what_is_played_is_told(line: Line) -> None:
    line.session.output.write("r", "i", AudioFrame(tone(0.25), 24000))
    line.session.output.end("r")
    await line.peer.until(lambda: ("stopped", "r") in line.session.told)
    assert line.session.told == [
        ("started", "r"),
        ("heard", "i", 100),
        ("heard", "i", 200),
        ("heard", "i", 250),
        ("stopped", "r"),
    ]


@on_loopback
async def test_an_interruption_is_heard_at_once_without_a_click(line: Line) -> None:
    line.session.output.write("r", "i", AudioFrame(tone(5.0), 24000))
    await line.peer.until(lambda: loud_s(line.peer.heard) >= 0.5)
    before_s = line.peer.heard_s
    response_id, item_id, heard_ms = line.session.output.clear()
    assert (response_id, item_id) == ("r", "i")
    await line.peer.listen(0.6)
    # What was under way already (the client's own jitter buffer holds 80 ms) and one frame may still be loud.
    after = line.peer.heard[int(before_s * 24000) :]
    assert loud_s(after) <= 0.25
    assert loud_s(after[6000:]) == 0
    assert heard_ms == pytest.approx(1000 * loud_s(line.peer.heard), abs=40)
    assert np.abs(np.diff(line.peer.heard.astype(int))).max() < 2500  # of the tone itself: 630
    assert line.session.output.clear() is None


@on_loopback
async def test_frames_come_steadily(line: Line) -> None:
    line.session.output.write("r", "i", AudioFrame(tone(3.0), 24000))
    loop = asyncio.get_running_loop()
    await line.peer.until(lambda: loud_s(line.peer.heard) >= 0.2)
    started, had = loop.time(), line.peer.heard_s
    await line.peer.listen(2.0)
    statistics = line.call.loudspeaker.statistics
    skipped_s = 0.02 * statistics.pop("skipped_frames")  # a machine that stalls is not the code's fault
    assert line.peer.heard_s - had + skipped_s == pytest.approx(loop.time() - started, abs=0.25)
    assert statistics == {"underruns": 0, "refused_bytes": 0}


# ----------------------------------------------------------------------------------------------------------- ending


async def ended(line: Line) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await line.call.ended.wait()
    assert line.session.closed


@on_loopback
async def test_hanging_up_closes_the_clients_connection(line: Line) -> None:
    closed = asyncio.Event()
    line.peer.channel.on("close", closed.set)
    await line.call.hangup()
    await line.call.hangup()
    assert line.call.ended.is_set()
    async with asyncio.timeout(PATIENCE_S):
        await closed.wait()


@on_loopback
async def test_the_client_hangs_up(line: Line) -> None:
    await line.peer.close()
    await ended(line)


@on_loopback
async def test_the_client_closes_the_data_channel(line: Line) -> None:
    line.peer.channel.close()
    await ended(line)


def test_a_client_that_vanishes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webrtc, "WATCH_S", 0.1)
    monkeypatch.setattr(webrtc, "SILENT_MAX_S", 1.0)

    @on_loopback
    async def run(line: Line) -> None:
        await line.peer.listen(2.0)  # a silent one is still there
        assert not line.call.ended.is_set()
        line.peer.vanish()
        await ended(line)

    run()


@on_loopback
async def test_the_session_ends_and_its_error_arrives(line: Line) -> None:
    from repartee.server.faults import expired

    await line.peer.event("session.created")
    line.session.end(expired(60))
    assert (await line.peer.event("error"))["code"] == "session_expired"
    await ended(line)


@on_loopback
async def test_a_session_that_just_ends_ends_the_call(line: Line) -> None:
    line.session.ended.set()
    await ended(line)


@pytest.mark.parametrize("where", ["receive", "hear"])
def test_a_failure_of_the_session_ends_the_call(where: str, caplog: pytest.LogCaptureFixture) -> None:
    @on_loopback
    async def run(line: Line) -> None:
        await line.peer.event("session.created")
        line.session.fail = where
        line.peer.send(type="x")
        await ended(line)

    run()
    assert "a failure of the session's" in caplog.text


def test_too_many_events_end_the_session() -> None:
    @on_loopback_with(options=ServerOptions(ice_hosts=(LOOPBACK,), events_burst=10, events_per_s=1.0))
    async def run(line: Line) -> None:
        await line.peer.event("session.created")
        for _ in range(20):
            line.peer.send(type="x")
        assert (await line.peer.event("error"))["code"] == "rate_limit_exceeded"
        await ended(line)
        assert len(line.session.frames) == 10

    run()


@on_loopback
async def test_a_flood_of_packets_is_not_all_decoded(line: Line) -> None:
    had = len(line.session.microphone)
    for number in range(3000):
        line.call._on_packet(
            SimpleNamespace(
                ssrc=1, sequence_number=number, timestamp=number * 160, payload_type=0, payload=b"\xff" * 160
            )
        )
    taken = (len(line.session.microphone) - had) / 960
    assert 400 < taken < 1000
    line.peer.send(type="x")
    await line.peer.event("echo")


@on_loopback
async def test_other_channels_are_closed(line: Line) -> None:
    other = line.peer.connection.createDataChannel("chat")
    closed = asyncio.Event()
    other.on("close", closed.set)
    async with asyncio.timeout(PATIENCE_S):
        await closed.wait()
    line.peer.send(type="x", text="still there")
    await line.peer.event("echo")


def test_a_model_that_is_not_ready_in_time_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeSession, "next_fails", "start")

    @on_loopback_with(options=ServerOptions(ice_hosts=(LOOPBACK,), handshake_s=1.0))
    async def run(line: Line) -> None:
        assert (await line.peer.event("error"))["code"] == "handshake_timeout"
        await ended(line)

    run()


@virtual_time
async def test_nobody_connects() -> None:
    """The offer of a client that is never heard of again."""
    peer = RtcPeer()
    line = Line(peer)
    await line.answer(await peer.offer())
    await line.call.ended.wait()
    assert asyncio.get_running_loop().time() == pytest.approx(5.0, abs=1.0)
    assert line.over == [line.call]
    assert line.session.closed
    await peer.close()
    await elapse(0.1)  # aiortc's own task, which looks up every 20 ms whether it is to end


def test_a_server_without_an_address_of_its_own_says_so() -> None:
    async def main() -> None:
        async with RtcPeer() as peer:
            line = Line(peer, ServerOptions(ice_hosts=("203.0.113.9",)))
            with pytest.raises(ConfigurationError, match=r"no UDP socket.*203\.0\.113\.9"):
                await line.answer(await peer.offer())
            assert line.session.closed
            assert line.over == [line.call]

    asyncio.run(main())


def test_what_aiortc_refuses_is_an_invalid_offer() -> None:
    async def main() -> None:
        async with RtcPeer() as peer:
            offer = read_offer(await peer.offer())
            session = FakeSession()
            bad = dataclasses.replace(offer, sdp=offer.sdp.replace("a=rtcp-mux", "a=x"))
            call = WebRtcCall(bad, lambda output: session, options=OPTIONS)
            with pytest.raises(RemoteProtocolError, match="RTCP mux is not enabled") as caught:
                await call.answer()
            assert (caught.value.code, caught.value.param) == ("invalid_offer", "sdp")
            assert session.closed

    asyncio.run(main())


def test_a_session_that_cannot_be_opened_leaves_nothing() -> None:
    async def main() -> None:
        async with RtcPeer() as peer:

            def full(output: Any) -> Any:
                raise ConfigurationError("no room")

            call = WebRtcCall(read_offer(await peer.offer()), full, options=OPTIONS)
            with pytest.raises(ConfigurationError, match="no room"):
                await call.answer()
            assert call.ended.is_set()
            with pytest.raises(StateError, match="answer"):
                _ = call.session

    asyncio.run(main())
