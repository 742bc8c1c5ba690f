"""A call's data channel as a listener."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("aiortc", reason="WebRTC is not installed: pip install 'repartee[webrtc]'")

from repartee.server.webrtc.channel import CallListener


class Channel:
    """A data channel on which nothing leaves by itself."""

    readyState = "open"

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.bufferedAmount = 0

    def send(self, text: str) -> None:
        self.sent.append(text)
        self.bufferedAmount += len(text)


def listener(closed: list[str], **options: Any) -> CallListener:
    options = {"message_bytes_max": 1000, "outgoing_bytes": 3000} | options
    return CallListener(on_close=closed.append, **options)


def test_what_comes_before_the_channel_is_open_is_held() -> None:
    closed: list[str] = []
    made, channel = listener(closed), Channel()
    made.send(b'"one"')
    made.send(b'"two"')
    made.open(channel)  # type: ignore[arg-type]
    made.send('"drei ü"'.encode())
    assert channel.sent == ['"one"', '"two"', '"drei ü"']
    assert closed == []
    assert not made.observe


def test_audio_never_goes_here() -> None:
    made, channel = listener([]), Channel()
    made.send(b"audio", audio=True)
    made.open(channel)  # type: ignore[arg-type]
    made.send(b"audio", audio=True)
    assert channel.sent == []


def test_too_long_an_event_becomes_an_error() -> None:
    made, channel = listener([]), Channel()
    made.open(channel)  # type: ignore[arg-type]
    made.send(b"x" * 1001)
    [sent] = [json.loads(text) for text in channel.sent]
    assert sent["type"] == "error"
    assert sent["error"]["type"] == "server_error"
    assert sent["error"]["code"] == "event_too_large"
    assert "1001 bytes" in sent["error"]["message"]


def test_a_client_without_a_limit_gets_everything() -> None:
    made, channel = listener([], message_bytes_max=0), Channel()
    made.open(channel)  # type: ignore[arg-type]
    made.send(b"x" * 2900)
    assert len(channel.sent[0]) == 2900


@pytest.mark.parametrize("is_open", [False, True])
def test_a_client_that_does_not_read_ends_the_call(is_open: bool) -> None:
    closed: list[str] = []
    made, channel = listener(closed), Channel()
    if is_open:
        made.open(channel)  # type: ignore[arg-type]
    for _ in range(5):
        made.send(b"x" * 1000)
    assert closed == ["closed with 1008: The client reads too slowly."]
    assert len(channel.sent) == (3 if is_open else 0)


def test_nothing_is_sent_after_the_end() -> None:
    closed: list[str] = []
    made, channel = listener(closed, observe=True), Channel()
    assert made.observe
    made.open(channel)  # type: ignore[arg-type]
    made.close(1001, "expired")
    made.close(1000, "again")
    made.send(b"x")
    assert closed == ["closed with 1001: expired"]
    assert channel.sent == []
    channel.readyState = "closed"
    other = listener([])
    other.open(channel)  # type: ignore[arg-type]
    other.send(b"x")
    assert channel.sent == []
