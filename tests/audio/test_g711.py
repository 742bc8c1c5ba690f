from __future__ import annotations

import struct
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.audio import alaw_decode, alaw_encode, g711, ulaw_decode, ulaw_encode
from repartee.errors import AudioFormatError

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop
except ImportError:  # removed in Python 3.13
    audioop = None  # type: ignore[assignment]

EVERY_SAMPLE = struct.pack("<65536h", *range(-32768, 32768))
EVERY_CODE = bytes(range(256))


@pytest.mark.skipif(audioop is None, reason="audioop is gone in Python 3.13; the vectors below remain")
def test_every_value_equals_audioop() -> None:
    assert ulaw_encode(EVERY_SAMPLE) == audioop.lin2ulaw(EVERY_SAMPLE, 2)
    assert alaw_encode(EVERY_SAMPLE) == audioop.lin2alaw(EVERY_SAMPLE, 2)
    assert ulaw_decode(EVERY_CODE) == audioop.ulaw2lin(EVERY_CODE, 2)
    assert alaw_decode(EVERY_CODE) == audioop.alaw2lin(EVERY_CODE, 2)


# G.711 table 2a: the decoder outputs (14 bits) of the first value of each positive segment, highest first.
ULAW_SEGMENTS = {
    0x80: 8031,
    0x8F: 4191,
    0x9F: 2079,
    0xAF: 1023,
    0xBF: 495,
    0xCF: 231,
    0xDF: 99,
    0xEF: 33,
    0xFF: 0,
}
# G.711 table 1a: the same of A-law (13 bits, in half steps), before the even bits are inverted.
ALAW_SEGMENTS = {
    0xFF: 4032,
    0xF0: 2112,
    0xE0: 1056,
    0xD0: 528,
    0xC0: 264,
    0xB0: 132,
    0xA0: 66,
    0x90: 33,
    0x80: 1,
}


@pytest.mark.parametrize(("code", "value"), ULAW_SEGMENTS.items())
def test_ulaw_table(code: int, value: int) -> None:
    both = ulaw_decode(bytes([code, code & 0x7F]))
    assert struct.unpack("<2h", both) == (value * 4, -value * 4)


@pytest.mark.parametrize(("code", "value"), ALAW_SEGMENTS.items())
def test_alaw_table(code: int, value: int) -> None:
    both = alaw_decode(bytes([code ^ 0x55, code & 0x7F ^ 0x55]))
    assert struct.unpack("<2h", both) == (value * 8, -value * 8)


@pytest.mark.parametrize(
    ("sample", "ulaw", "alaw"),
    [
        (0, 0xFF, 0xD5),
        (-1, 0x7E, 0x55),
        (1000, 0xCE, 0xFA),
        (-1000, 0x4E, 0x7A),
        (32767, 0x80, 0xAA),
        (-32768, 0, 0x2A),
    ],
)
def test_codes(sample: int, ulaw: int, alaw: int) -> None:
    pcm = struct.pack("<h", sample)
    assert ulaw_encode(pcm) == bytes([ulaw])
    assert alaw_encode(pcm) == bytes([alaw])


def test_every_code_survives_decoding_and_encoding() -> None:
    # 0x7F is µ-law's negative zero: it decodes to 0, whose code is 0xFF.
    assert ulaw_encode(ulaw_decode(EVERY_CODE)) == EVERY_CODE.replace(b"\x7f", b"\xff")
    assert alaw_encode(alaw_decode(EVERY_CODE)) == EVERY_CODE


@given(st.lists(st.integers(-32768, 32767), max_size=200))
def test_round_trip_stays_within_half_a_step(samples: list[int]) -> None:
    pcm = struct.pack(f"<{len(samples)}h", *samples)
    for law in (g711.encode(pcm, "ulaw"), "ulaw"), (g711.encode(pcm, "alaw"), "alaw"):
        codes, name = law
        decoded = struct.unpack(f"<{len(samples)}h", g711.decode(codes, name))  # type: ignore[arg-type]
        for sample, back in zip(samples, decoded, strict=True):
            # A step is 1/16 of its segment's base; half of it, and the bits below the law's own scale.
            assert abs(sample - back) <= (min(abs(sample), 32635) + 132) / 32 + 4 + max(
                0, abs(sample) - 32635
            )


def test_silence_bytes() -> None:
    assert ulaw_encode(bytes(4)) == g711.ULAW_SILENCE * 2
    assert alaw_encode(bytes(4)) == g711.ALAW_SILENCE * 2


def test_empty() -> None:
    assert ulaw_encode(b"") == ulaw_decode(b"") == alaw_encode(b"") == alaw_decode(b"") == b""


def test_refuses_odd_bytes_and_other_laws() -> None:
    with pytest.raises(AudioFormatError, match="must be even"):
        ulaw_encode(b"\0")
    with pytest.raises(AudioFormatError, match="'ulaw' or 'alaw'"):
        g711.decode(b"", "mulaw")  # type: ignore[arg-type]
