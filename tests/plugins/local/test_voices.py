"""eSpeak NG as a voice: what is trimmed, and when chunks are given, with an engine that is played."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from repartee.models import TimedWord
from repartee.plugins.local.espeak_ffi import WordMark
from repartee.plugins.local.voices import _Piece

RATE = 1000  # so that a sample is a millisecond


def sound(*stretches: tuple[int, int]) -> bytes:
    """Stretches of (samples, level)."""
    return b"".join(np.full(count, level, "<i2").tobytes() for count, level in stretches)


def play(
    text: str,
    blocks: list[tuple[bytes, list[tuple[int, int]]]],
    *,
    pause_ms: float | None = 100.0,
    trim_lead: bool = True,
    go_on: Callable[[int], bool] = lambda count: True,
) -> list[tuple[bytes, list[TimedWord]]]:
    given: list[tuple[bytes, list[TimedWord]]] = []

    def emit(audio: bytes, words: list[TimedWord]) -> bool:
        given.append((audio, words))
        return go_on(len(given))

    piece = _Piece(text, RATE, emit, trim_lead=trim_lead, pause_ms=pause_ms)
    for block, marks in blocks:
        if not piece.take(block, [WordMark(index, sample) for index, sample in marks]):
            break
    piece.finish()
    return given


def test_the_first_block_goes_at_once_and_then_chunks_end_where_words_begin() -> None:
    block = sound((60, 500))
    given = play(
        "one two six", [(block, [(0, 0)]), (block, []), (block, [(4, 150)]), (block, [(8, 200)]), (block, [])]
    )
    assert [len(audio) // 2 for audio, _ in given] == [58, 92, 50, 100]
    assert [[word.start_ms for word in words] for _, words in given] == [[0.0], [150.0], [200.0], []]


def test_a_skipped_word_is_not_announced_behind_its_audio() -> None:
    block = sound((60, 500))
    given = play("of the in", [(block, [(0, 0)]), (block, [(7, 70)]), (block, [])])
    assert [len(audio) // 2 for audio, _ in given] == [58, 12, 110]
    assert [round(word.start_ms) for _, words in given for word in words] == [0, 58, 70]


def test_silence_before_the_first_sound_goes_and_times_with_it() -> None:
    given = play("one two", [(sound((30, 3), (20, 500)), [(0, 20)]), (sound((70, 500)), [(4, 90)])])
    assert sum(len(audio) for audio, _ in given) // 2 == 120 - 28  # 2 ms are kept
    assert [word.start_ms for _, words in given for word in words] == [0.0, 62.0]


def test_a_following_piece_keeps_its_silence() -> None:
    given = play("one", [(sound((30, 0), (50, 500)), [(0, 20)])], trim_lead=False)
    assert sum(len(audio) for audio, _ in given) // 2 == 80


@pytest.mark.parametrize(("pause_ms", "left"), [(100.0, 150), (0.0, 50), (None, 350)])
def test_silence_at_the_end_is_cut_to_the_pause(pause_ms: float | None, left: int) -> None:
    given = play("one", [(sound((50, 500), (300, 0)), [(0, 0)])], pause_ms=pause_ms)
    assert sum(len(audio) for audio, _ in given) // 2 == left


def test_nothing_said_is_nothing_given() -> None:
    assert play("...", [(sound((300, 0)), [])]) == []
    assert play("...", [(sound((300, 40)), [])]) == [], "a voice that breathes in a pause"
    assert play("", []) == []


def test_words_that_are_not_announced_lie_before_the_silence() -> None:
    block = sound((60, 500))
    given = play("I am a", [(block, [(0, 0)]), (block, []), (block, []), (sound((300, 0)), [])])
    assert [round(word.start_ms) for _, words in given for word in words] == [0, 60, 150]


def test_no_more_is_given_once_it_was_told_to_stop() -> None:
    blocks = [(sound((60, 500)), [(0, 0)]), (sound((60, 500)), [(4, 60)]), (sound((60, 500)), [(8, 120)])]
    given = play("one two six", blocks, go_on=lambda count: False)
    assert len(given) == 1
