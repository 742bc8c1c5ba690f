"""The end-of-turn model for English: what would come next in a transcript of calls?

**Method.** The prompt is a transcript: six calls' turns as a recogniser writes them, each ended as a writer would end
it, then what the agent just said, and the caller's words so far. The score is the probability that the text ends here:
of the end token and of every token that begins with a full stop, question or exclamation mark. (In the model's own
chat form, the same question tells finished from unfinished turns a little less well.)

**Calibration.** A logistic function of the score's logit and of the words' `features` gives the probability. Its
weights were fitted on the half ``tune`` of ``tests/data/turns.jsonl`` (`bench/turn_detector.py --fit`), and are judged
on the other half alone.
"""

from __future__ import annotations

import math

from repartee.plugins.turn_detector.features import Features, features
from repartee.plugins.turn_detector.next_token import NextTokenDetector

__all__ = ["EnglishModel", "calibrate"]

_SHOTS = (
    ("Thank you for calling. How can I help you?", "hi i need to change my appointment."),
    ("Of course. Which day would suit you?", "the twelfth of may if possible."),
    ("And your phone number, please?", "oh eight four five double two nine one six."),
    ("Have you been here before?", "yes a couple of times."),
    ("Okay. Is there anything else?", "how much does it cost?"),
    ("It is thirty dollars.", "okay that's fine thank you."),
)
_PREFIX = "Transcript of phone calls.\n\n" + "".join(f"Agent: {a}\nCaller: {c}\n" for a, c in _SHOTS)

# Fitted, but for "filler": a turn that ends with a hesitation goes on, whatever else it looks like, and the tune half
# holds too few of them to say so strongly.
_INTERCEPT = 3.65
_LOGIT = 1.82
_WEIGHTS = {
    "filler": -4.0,
    "open_word": -2.84,
    "answer": 0.63,
    "digits_missing": -0.7,
    "digits_whole": 2.24,
    "spelling": -0.67,
}
_LEAST = 0.005  # a few hundred examples can't make anyone surer than this


class EnglishModel(NextTokenDetector):
    """Has the caller finished? For English, on this machine, from the words alone.

    Args:
        model: a GGUF file, by path or by its name in the model directory. Default: SmolLM2-135M-Instruct, for
            which the calibration was made; another model ranks as well or better, but its probabilities are off.
        threshold: the probability from which on a turn counts as finished. Default: 0.5.
        deadline_s: when an answer is no longer waited for. Default: 0.3 seconds.

    Raises:
        ModelFileError: the file is missing, truncated or of another kind.
        ConfigurationError: the threshold or the deadline is out of range.
    """

    def _prompt(self, agent: str, text: str) -> str:
        said = f"Agent: {agent}\n" if agent else ""
        return f"{_PREFIX}{said}Caller: {text}"

    def _calibrate(self, score: float, agent: str, text: str) -> float:
        return calibrate(score, features(agent, text))


def calibrate(score: float, found: Features) -> float:
    """The probability of a finished turn, from the model's score (0 to 1) and what the words say."""
    clipped = min(max(score, 1e-5), 1 - 1e-5)
    total = _INTERCEPT + _LOGIT * math.log(clipped / (1 - clipped))
    total += sum(weight * getattr(found, name) for name, weight in _WEIGHTS.items())
    return min(max(1 / (1 + math.exp(-total)), _LEAST), 1 - _LEAST)
