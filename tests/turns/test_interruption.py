"""What speech over a reply means, by its words and its length."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.errors import ConfigurationError
from repartee.turns import InterruptionOptions, InterruptionProfile, normalise
from repartee.turns.interruption import BACKCHANNELS, Judgement, Verdict, content_words, judge, reached

OPTIONS = InterruptionOptions()


@pytest.mark.parametrize(
    "text, same",
    [
        ("Hello, there!", "hello there"),
        ("  HELLO\n there ", "hello there"),
        ("uh-huh", "uh huh"),
        ("I'd like 2 tickets.", "i'd like 2 tickets"),
        ("'quoted'", "quoted"),
        ("Größe über alles", "größe über alles"),
        ("...", ""),
        ("_", ""),
        ("", ""),
    ],
)
def test_transcripts_are_compared_by_their_words(text: str, same: str) -> None:
    assert normalise(text) == same


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    "text, count",
    [("uh-huh", 0), ("Yeah, right. I see.", 0), ("yeah but wait", 2), ("stop", 1), ("", 0), ("mm-hmm", 0)],
)
def test_backchannels_do_not_count(text: str, count: int) -> None:
    assert content_words(text) == count


def test_backchannels_of_another_language() -> None:
    assert content_words("ja genau", frozenset({"ja", "genau"})) == 0


def test_every_backchannel_is_as_it_is_compared() -> None:
    assert all(normalise(word) == word for word in BACKCHANNELS)


@pytest.mark.parametrize(
    "text, speech_ms, ended, settled, verdict, reason",
    [
        # words decide at once, however short the speech
        ("stop", 0.0, False, False, Verdict.CANCEL, "words"),
        ("stop", 100.0, True, True, Verdict.CANCEL, "words"),
        # no words yet: by length
        ("", 699.0, False, False, Verdict.HOLD, ""),
        ("", 700.0, False, False, Verdict.CANCEL, "duration"),
        ("...", 700.0, False, False, Verdict.CANCEL, "duration"),
        # only backchannels: later
        ("yeah", 1499.0, False, False, Verdict.HOLD, ""),
        ("yeah", 1500.0, False, False, Verdict.CANCEL, "duration"),
        # quiet again
        ("", 699.0, True, False, Verdict.RESUME, "no words"),
        ("yeah", 1499.0, True, True, Verdict.RESUME, "backchannel"),
        ("yeah", 1500.0, True, True, Verdict.CANCEL, "duration"),
        # long, but it turns out that nobody said anything: a noise
        ("", 5000.0, True, True, Verdict.RESUME, "no words"),
        # the same where the words are still owed: somebody may have spoken
        ("", 5000.0, True, False, Verdict.CANCEL, "duration"),
    ],
)
def test_the_speaking_profile(
    text: str, speech_ms: float, ended: bool, settled: bool, verdict: Verdict, reason: str
) -> None:
    found = judge(OPTIONS, OPTIONS.speaking, text=text, speech_ms=speech_ms, ended=ended, settled=settled)
    assert found == Judgement(verdict, reason)


def test_thinking_gives_way_sooner() -> None:
    assert (OPTIONS.thinking.duck_db, OPTIONS.thinking.pause_after_ms) == (0.0, 100.0)
    for speech_ms, verdict in ((399.0, Verdict.HOLD), (400.0, Verdict.CANCEL)):
        found = judge(OPTIONS, OPTIONS.thinking, text="", speech_ms=speech_ms, ended=False, settled=False)
        assert found.verdict is verdict


def test_more_words_may_be_asked_for() -> None:
    profile = InterruptionProfile(min_words=2)
    verdicts = {
        text: judge(OPTIONS, profile, text=text, speech_ms=300.0, ended=True, settled=True)
        for text in ("stop", "stop it", "yeah")
    }
    assert verdicts == {
        "stop": Judgement(Verdict.RESUME, "too few words"),
        "stop it": Judgement(Verdict.CANCEL, "words"),
        "yeah": Judgement(Verdict.RESUME, "backchannel"),
    }


def test_length_alone_may_never_decide() -> None:
    profile = InterruptionProfile(cancel_after_ms=None)
    for text in ("", "yeah"):
        found = judge(OPTIONS, profile, text=text, speech_ms=60_000.0, ended=False, settled=False)
        assert found.verdict is Verdict.HOLD


@given(st.text("yeahstop .", max_size=12), st.floats(0.0, 5000.0), st.booleans(), st.booleans())
def test_once_quiet_there_is_always_a_verdict(
    text: str, speech_ms: float, settled: bool, strict: bool
) -> None:
    profile = InterruptionProfile(cancel_after_ms=None) if strict else OPTIONS.speaking
    found = judge(OPTIONS, profile, text=text, speech_ms=speech_ms, ended=True, settled=settled)
    assert found.verdict is not Verdict.HOLD
    assert found.reason


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e4))
def test_a_deadline_that_has_come_is_seen_whatever_its_digits(since_s: float, limit_ms: float) -> None:
    assert reached(((since_s + limit_ms / 1000.0) - since_s) * 1000.0, limit_ms)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"duck_db": 1.0}, "duck_db is 1.0; it must be 0 or below"),
        ({"pause_after_ms": -1.0}, "times must not be negative"),
        ({"resume_after_ms": -1.0}, "times must not be negative"),
        ({"backchannel_max_ms": -1.0}, "times must not be negative"),
        ({"min_words": 0}, "min_words at least 1"),
        ({"cancel_after_ms": 100.0}, "comes before pause_after_ms"),
    ],
)
def test_contradictions_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        InterruptionProfile(**wrong)
