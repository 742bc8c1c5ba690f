"""Interruption: is the caller taking the floor, or only making a noise while the agent has it?

Theory of operation. A wrong stop and a late stop both annoy, so the agent climbs a ladder of steps that can be undone
before the one that can't:

1. at the onset of speech it lowers its voice (*duck*);
2. when that has lasted ``pause_after_ms`` it pauses;
3. it gives up the floor (*cancel*) only for a reason: words that are not a backchannel, or speech that has lasted
   ``cancel_after_ms``;
4. otherwise, once the caller is quiet again for ``resume_after_ms``, it goes on where it stopped.

Backchannels ("uh-huh", "right") are signs of listening, so they don't take the floor (Yngve 1970). While the agent
is still *thinking* nothing can be ducked and a wrong stop costs less, so that case has a profile of its own.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field

from repartee.errors import ConfigurationError

__all__ = [
    "BACKCHANNELS",
    "InterruptionOptions",
    "InterruptionProfile",
    "Judgement",
    "Verdict",
    "content_words",
    "normalise",
]

BACKCHANNELS = frozenset(
    [
        "ah",
        "aha",
        "alright",
        "cool",
        "gotcha",
        "great",
        "hm",
        "hmm",
        "huh",
        "i",
        "mhm",
        "mm",
        "mmhmm",
        "mmm",
        "nice",
        "oh",
        "ok",
        "okay",
        "really",
        "right",
        "see",
        "sure",
        "uh",
        "uhhuh",
        "um",
        "understood",
        "wow",
        "yeah",
        "yep",
        "yes",
        "yup",
    ]
)
"""English words that show listening. A turn of nothing else, said over the agent's voice, does not take the floor."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def normalise(text: str) -> str:
    """A transcript as it is compared: lower case, words alone, one space between them.

    Recognisers differ from one reading to the next in case and punctuation, which must not make two readings differ.
    """
    return " ".join(_WORD.findall(text.lower().replace("-", " ")))


def content_words(text: str, backchannels: frozenset[str] = BACKCHANNELS) -> int:
    """How many words of a transcript are more than backchannels."""
    return sum(word not in backchannels for word in normalise(text).split())


@dataclass(frozen=True, slots=True)
class InterruptionProfile:
    """The ladder's steps. Milliseconds since the onset of speech, but ``resume_after_ms`` since its end.

    Args:
        duck_db: volume while somebody may be speaking. 0 leaves it. Default -14.
        pause_after_ms: Default 200.
        cancel_after_ms: speech of this length takes the floor whatever its words; ``None`` for never. Default 700.
        backchannel_max_ms: the same where the words so far are backchannels only. Default 1500.
        min_words: words that are not backchannels, from which the floor is given up. Default 1.
        resume_after_ms: Default 250.
    """

    duck_db: float = -14.0
    pause_after_ms: float = 200.0
    cancel_after_ms: float | None = 700.0
    backchannel_max_ms: float = 1500.0
    min_words: int = 1
    resume_after_ms: float = 250.0

    def __post_init__(self) -> None:
        if self.duck_db > 0:
            raise ConfigurationError(f"duck_db is {self.duck_db}; it must be 0 or below")
        if min(self.pause_after_ms, self.resume_after_ms, self.backchannel_max_ms) < 0 or self.min_words < 1:
            raise ConfigurationError("times must not be negative, and min_words at least 1")
        if self.cancel_after_ms is not None and self.cancel_after_ms < self.pause_after_ms:
            raise ConfigurationError(
                f"cancel_after_ms ({self.cancel_after_ms}) comes before pause_after_ms ({self.pause_after_ms}); "
                "the ladder needs them the other way round"
            )


@dataclass(frozen=True, slots=True)
class InterruptionOptions:
    """Whether and how the caller may interrupt.

    Args:
        enabled: ``False``: the agent finishes what it says; the caller's turn is answered afterwards.
        speaking: while the agent is heard.
        thinking: while it prepares an answer. By default it never pauses for less than speech that lasts 100 ms,
            and gives way after 400 ms.
        backchannels: words that do not take the floor.
        answer_window_ms: a backchannel is an answer after all ("Shall I?" "Yes") if the reply ends within this time
            of it. Default 700.
    """

    enabled: bool = True
    speaking: InterruptionProfile = InterruptionProfile()
    thinking: InterruptionProfile = InterruptionProfile(
        duck_db=0.0, pause_after_ms=100.0, cancel_after_ms=400.0
    )
    backchannels: frozenset[str] = field(default=BACKCHANNELS, repr=False)
    answer_window_ms: float = 700.0


def reached(elapsed_ms: float, limit_ms: float) -> bool:
    """Whether a time has come, told a deadline that was reckoned by adding and is now compared by subtracting."""
    return elapsed_ms >= limit_ms - 1e-3


class Verdict(enum.Enum):
    """What speech over the agent's turn means."""

    HOLD = "hold"
    CANCEL = "cancel"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and its reason."""

    verdict: Verdict
    reason: str = ""


HOLD = Judgement(Verdict.HOLD)


def judge(
    options: InterruptionOptions,
    profile: InterruptionProfile,
    *,
    text: str,
    speech_ms: float,
    ended: bool,
    settled: bool,
) -> Judgement:
    """What to make of the caller's speech so far.

    Args:
        options: whose backchannels count.
        profile: for speaking or for thinking.
        text: the words so far.
        speech_ms: how long they have spoken.
        ended: whether they are quiet again, for as long as the profile asks.
        settled: whether the words won't change any more.
    """
    words = content_words(text, options.backchannels)
    if words >= profile.min_words:
        return Judgement(Verdict.CANCEL, "words")
    heard = bool(normalise(text))
    limit = profile.backchannel_max_ms if heard else profile.cancel_after_ms
    noise = ended and settled and not heard  # long, but no words were in it after all
    if profile.cancel_after_ms is not None and limit is not None and reached(speech_ms, limit) and not noise:
        return Judgement(Verdict.CANCEL, "duration")
    if ended:
        if words:
            return Judgement(Verdict.RESUME, "too few words")
        return Judgement(Verdict.RESUME, "backchannel" if heard else "no words")
    return HOLD
