"""User messages that a client creates with their sound: they are heard as a turn is."""

from __future__ import annotations

from collections.abc import Iterator

from repartee.audio import AudioFrame, resample
from repartee.audio.g711 import decode
from repartee.protocol.conversation import Conversation
from repartee.protocol.items import InputAudio, Item, Message, id_of
from repartee.server.sessions.output_audio import law_of, rate_of

__all__ = ["frames_of", "sound_of"]

PIECE_S = 0.2
"""Audio in one frame."""


def sound_of(item: Item, conversation: Conversation) -> bytes:
    """The sound of a user's message whose words nobody knows, as on the wire; ``b""``: it is none.

    Args:
        item: as the server tells it.
        conversation: that keeps its audio.
    """
    if not isinstance(item, Message) or item.role != "user":
        return b""
    parts = list(enumerate(item.content))
    if any(not isinstance(part, InputAudio) or isinstance(part.transcript, str) for _, part in parts):
        return b""
    entry = conversation.entry(id_of(item) or "")
    return b"".join(bytes(entry.audio.get(index, b"")) for index, _ in parts) if entry is not None else b""


def frames_of(audio: bytes, format: object, sample_rate: int) -> Iterator[AudioFrame]:
    """Audio as on the wire, in pieces at another rate.

    Args:
        audio: all of it.
        format: the session's.
        sample_rate: wanted, in Hz.
    """
    law = law_of(format)
    pcm = audio if law is None else decode(audio, law)
    whole = resample(AudioFrame(pcm[: len(pcm) // 2 * 2], rate_of(format)), sample_rate)
    step = round(PIECE_S * sample_rate)
    for at in range(0, whole.samples, step):
        yield whole.slice(at, at + step)
