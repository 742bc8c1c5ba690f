"""User messages that a client creates with their sound."""

from __future__ import annotations

from repartee.audio import g711
from repartee.protocol.config import PcmAudio, PcmuAudio
from repartee.protocol.conversation import Conversation
from repartee.protocol.items import InputAudio, InputText, Item, Message
from repartee.server.sessions.spoken_items import frames_of, sound_of


def conversation(*items: Item) -> Conversation:
    """With those items, each with some audio."""
    made = Conversation(audio_bytes_max=10_000)
    for item in items:
        made.insert(item)
        made.add_audio(str(item.id), 0, b"\1\0" * 100)  # type: ignore[attr-defined]
    return made


def test_only_sound_without_words_is_to_be_heard() -> None:
    unknown = Message(id="a", role="user", content=[InputAudio(transcript=None)])
    known = Message(id="b", role="user", content=[InputAudio(transcript="hi")])
    mixed = Message(id="c", role="user", content=[InputAudio(transcript=None), InputText(text="x")])
    said = Message(id="d", role="assistant", content=[])
    held = conversation(unknown, known, mixed, said)
    assert sound_of(unknown, held) == b"\1\0" * 100
    assert [sound_of(item, held) for item in (known, mixed, said)] == [b"", b"", b""]
    assert sound_of(Message(id="e", role="user", content=[InputAudio(transcript=None)]), held) == b""


def test_in_pieces_at_the_models_rate() -> None:
    second = bytes(48_000)
    frames = list(frames_of(second, PcmAudio(rate=24_000), 16_000))
    assert [frame.samples for frame in frames] == [3200] * 5
    assert [frame.position_samples for frame in frames] == [0, 3200, 6400, 9600, 12800]
    coded = g711.encode(bytes(16_000), "ulaw")
    assert sum(frame.samples for frame in frames_of(coded, PcmuAudio(), 24_000)) == 24_000
