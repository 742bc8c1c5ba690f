"""The client's audio formats."""

from __future__ import annotations

import pytest

from repartee.audio import g711
from repartee.protocol.config import PcmaAudio, PcmAudio, PcmuAudio
from repartee.protocol.model import UNSET
from repartee.server.hearing.wire_audio import PCM_24K, WireFormat, transcode


@pytest.mark.parametrize(
    "format, rate, law, sample_bytes",
    [
        (PcmAudio(rate=24_000), 24_000, None, 2),
        (PcmAudio(), 24_000, None, 2),
        (UNSET, 24_000, None, 2),
        (PcmuAudio(), 8000, "ulaw", 1),
        (PcmaAudio(), 8000, "alaw", 1),
    ],
)
def test_formats(format: object, rate: int, law: str | None, sample_bytes: int) -> None:
    found = WireFormat.of(format)
    assert (found.rate, found.law, found.sample_bytes) == (rate, law, sample_bytes)


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_there_and_back(law: g711.Law) -> None:
    codes = bytes(range(256))
    format = WireFormat(8000, law)
    assert format.encode(format.decode(codes)).replace(b"\x7f", b"\xff") == codes.replace(b"\x7f", b"\xff")
    assert PCM_24K.decode(codes) is codes
    assert PCM_24K.encode(codes) is codes


def test_a_stretch_at_another_rate_is_as_long_as_it_was() -> None:
    assert len(transcode(bytes(2 * 2400), 24_000, 8000)) == 2 * 800
    assert len(transcode(bytes(2 * 801), 8000, 24_000)) == 2 * 2403
    assert transcode(b"ab", 8000, 8000) == b"ab"
    assert transcode(b"", 8000, 24_000) == b""
