"""The caller's audio that may have to be said again."""

from __future__ import annotations

from repartee.plugins.openai.realtime.pending_audio import PendingAudio


def test_what_is_open_is_replayed_behind_what_was_committed() -> None:
    audio = PendingAudio(1000, 10)
    audio.append(b"aa")
    audio.append(b"bb")
    audio.commit()
    audio.append(b"cc")
    assert audio.open_bytes == 2
    assert audio.to_replay() == ([b"aabb"], b"cc")
    audio.acknowledged("item_1")
    assert audio.to_replay() == ([], b"cc")
    assert audio.audio_of("item_1") == b"aabb"
    audio.known("item_1")
    assert audio.audio_of("item_1") is None
    audio.clear()
    assert audio.to_replay() == ([], b"")


def test_a_turn_that_was_refused_is_not_said_again() -> None:
    audio = PendingAudio(1000, 10)
    audio.append(b"aa")
    audio.commit()
    audio.refused()
    assert audio.to_replay() == ([], b"")


def test_the_oldest_goes_first() -> None:
    audio = PendingAudio(6, 2)
    for chunk in (b"aa", b"bb", b"cc", b"dd"):
        audio.append(chunk)
    assert audio.to_replay() == ([], b"bbccdd")
    assert audio.dropped_bytes == 2
    audio.commit()
    audio.acknowledged("item_1")
    audio.append(b"ee")
    audio.commit()
    assert audio.audio_of("item_1") is None, "both together are too much"
    assert audio.to_replay() == ([b"ee"], b"")
    for _ in range(4):
        audio.append(b"ff")
        audio.commit()
    assert audio.to_replay()[0] == [b"ff"] * 3


def test_while_the_server_hears_nobody_only_the_newest_is_kept() -> None:
    audio = PendingAudio(100, 4, server_commits=True)
    for chunk in (b"aa", b"bb", b"cc"):
        audio.append(chunk)
    assert audio.to_replay() == ([], b"bbcc")
    assert audio.dropped_bytes == 0
    audio.speaking = True
    audio.append(b"dd")
    audio.append(b"ee")
    assert audio.to_replay() == ([], b"bbccddee")
    audio.acknowledged("item_1")
    assert audio.audio_of("item_1") == b"bbccddee"
    assert not audio.speaking
