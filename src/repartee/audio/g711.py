"""G.711, the codec of telephony: 8 bits a sample, µ-law (North America, Japan) and A-law (elsewhere).

Both map a linear sample onto a sign, one of eight segments and 16 steps within it, so that the error stays
about 38 dB below the signal at any level (ITU-T Recommendation G.711, 11/88, tables 1a to 2b). The rate is
always 8000 Hz; resample first. Encoding and decoding are table lookups, with the tables built on first use
(some milliseconds).

PCM16 is twice as fine as A-law's 13 bits and four times as fine as µ-law's 14: the low bits are dropped
towards minus infinity, as the reference implementation and every gateway do.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from repartee.errors import AudioFormatError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Law = Literal["ulaw", "alaw"]
"""Which of the two companding laws: ``"ulaw"`` (PCMU in RFC 3551) or ``"alaw"`` (PCMA)."""

SAMPLE_RATE = 8000
"""The only rate of G.711, in Hz."""

ULAW_SILENCE = b"\xff"
"""One sample of µ-law silence."""

ALAW_SILENCE = b"\xd5"
"""One sample of A-law silence."""


def encode(pcm: bytes, law: Law) -> bytes:
    """PCM16 (little-endian, 8000 Hz) to one byte a sample.

    Raises:
        AudioFormatError: an odd number of bytes, or an unknown law.
    """
    import numpy as np

    table = _encoder(_known(law))
    if len(pcm) % 2:
        raise AudioFormatError(f"{len(pcm)} bytes are not whole PCM16 samples: the length must be even")
    codes: bytes = table[np.frombuffer(pcm, dtype="<u2")].tobytes()
    return codes


def decode(data: bytes, law: Law) -> bytes:
    """One byte a sample to PCM16 (little-endian, 8000 Hz). Any bytes are valid.

    Raises:
        AudioFormatError: an unknown law.
    """
    import numpy as np

    return _decoder(_known(law))[np.frombuffer(data, dtype=np.uint8)].tobytes()


def ulaw_encode(pcm: bytes) -> bytes:
    """PCM16 to µ-law; see :func:`encode`."""
    return encode(pcm, "ulaw")


def ulaw_decode(data: bytes) -> bytes:
    """µ-law to PCM16; see :func:`decode`."""
    return decode(data, "ulaw")


def alaw_encode(pcm: bytes) -> bytes:
    """PCM16 to A-law; see :func:`encode`."""
    return encode(pcm, "alaw")


def alaw_decode(data: bytes) -> bytes:
    """A-law to PCM16; see :func:`decode`."""
    return decode(data, "alaw")


def _known(law: Law) -> Law:
    if law not in ("ulaw", "alaw"):
        raise AudioFormatError(f"{law!r} is no law of G.711: it must be 'ulaw' or 'alaw'")
    return law


@lru_cache(maxsize=2)
def _decoder(law: Law) -> npt.NDArray[np.int16]:
    """The linear value of each code: shape (256,)."""
    import numpy as np

    code = np.arange(256)
    if law == "ulaw":
        # All bits are sent inverted (table 2a, note 2). A step of segment s is 2**(s+3) of 16-bit scale; the
        # bias of 33 (times 4) makes each segment begin where the one below ends.
        code = ~code & 0xFF
        magnitude = (((code & 0x0F) << 3) + 132 << (code >> 4 & 7)) - 132
        negative = code & 0x80 > 0
    else:
        # Even bits are sent inverted (table 1a, note 2). The first two segments share the smallest step.
        code = code ^ 0x55
        segment = code >> 4 & 7
        step = (code & 0x0F) << 4
        magnitude = np.where(segment == 0, step + 8, step + 264 << np.maximum(segment - 1, 0))
        negative = code & 0x80 == 0
    return np.where(negative, -magnitude, magnitude).astype("<i2")


@lru_cache(maxsize=2)
def _encoder(law: Law) -> npt.NDArray[np.uint8]:
    """The code of each 16-bit pattern (an index as unsigned): shape (65536,)."""
    import numpy as np

    sample = np.arange(65536).astype("<u2").view("<i2").astype(np.int64)
    if law == "ulaw":
        linear = sample >> 2  # 14 bits
        magnitude = np.minimum(np.abs(linear), 8158) + 33  # what lies beyond the last step is clipped
        # The segment is the place of the highest set bit, from bit 5.
        segment = np.minimum(np.floor(np.log2(magnitude)).astype(np.int64) - 5, 7)
        code = segment << 4 | magnitude >> segment + 1 & 0x0F
        code = np.where(linear < 0, code ^ 0x7F, code ^ 0xFF)
    else:
        linear = sample >> 3  # 13 bits
        # A negative value is mirrored about -1/2, so that -1 falls into the first step below zero.
        magnitude = np.where(linear < 0, ~linear, linear)
        segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int64) - 4, 0)
        code = segment << 4 | magnitude >> np.maximum(segment, 1) & 0x0F
        code = np.where(linear < 0, code ^ 0x55, code ^ 0xD5)
    table: npt.NDArray[np.uint8] = code.astype(np.uint8)
    return table
