from __future__ import annotations

from collections.abc import Callable

import pytest

from repartee.audio import AudioFrame
from repartee.models import STT
from repartee.testing import ScriptedSTT, run, speech
from repartee.testing.conformance_stt import (
    STT_CHECKS,
    STTCheck,
    answers_every_flush,
    hears_words,
    word_errors,
)
from repartee.testing.conformance_vad import SpeechSample

TEXT = "please turn on the lights"


def sample() -> SpeechSample:
    """What a scripted recogniser can hear, with 0.4 s of silence on both sides."""
    words, rate, pad = TEXT.split(), 24_000, 9600
    ends = [6000 * (k + 1) for k in range(len(words))]
    audio = AudioFrame(bytes(2 * pad) + speech.encode(words, ends) + bytes(2 * pad), rate)
    return SpeechSample(audio, pad, pad + ends[-1], TEXT)


@pytest.mark.parametrize("check", STT_CHECKS, ids=lambda check: check.__name__)
def test_a_scripted_recogniser_conforms(check: STTCheck) -> None:
    run(check(ScriptedSTT, sample()))


def wrong_words() -> STT:
    return ScriptedSTT(finals={TEXT: "freeze burn of the rights"})


def hears_ghosts() -> STT:
    return ScriptedSTT(finals={"": "thank you"})


def no_interims() -> STT:
    stt = ScriptedSTT(interim_lag_s=None)
    stt.capabilities = ScriptedSTT().capabilities
    return stt


@pytest.mark.parametrize(
    "make, check, message",
    [
        (wrong_words, hears_words, "it heard 'freeze burn"),
        (no_interims, hears_words, "promised interims"),
        (hears_ghosts, answers_every_flush, "it heard 'thank you' in nothing"),
    ],
)
def test_what_does_not_conform_is_found(make: Callable[[], STT], check: STTCheck, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        run(check(make, sample()))


def test_word_errors() -> None:
    assert word_errors("a b c d", "a b c d") == 0
    assert word_errors("a b c d", "a x c d e") == 0.5
    assert word_errors("a b", "") == 1
    assert word_errors("", "") == 0
    assert word_errors("Don't stop!", "don't stop") == 0
