"""Invariants of a conversation, checked on what a session logged, what was heard, and what its history says.

Each ``check_…`` looks after one rule and returns what breaks it; `check_all` runs them all. They know nothing of how a
session works inside, so they hold for any of them::

    assert check_all(session.log, loudspeaker, session.history) == []
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from repartee.chat import ChatContext, FunctionCall, FunctionCallOutput, Message
from repartee.models import events as ev
from repartee.observe.log import AudioLogged
from repartee.testing.evidence import Evidence, Log
from repartee.testing.io import MemoryOutput
from repartee.testing.virtual_time import VirtualTimeLoop

__all__ = ["INVARIANTS", "Violation", "check_all", "check_nothing_left"]

STOP_WITHIN_S = 0.040
"""How soon an interrupted reply must be silent, beyond the device's own buffer."""
_SLACK_S = 0.001


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken."""

    invariant: int
    """Which: a key of `INVARIANTS`."""
    at_s: float
    """Session time."""
    message: str

    def __str__(self) -> str:
        return f"{self.at_s:.3f} s, invariant {self.invariant} ({INVARIANTS[self.invariant]}): {self.message}"


INVARIANTS = {
    1: "an interrupted reply is silent at once",
    2: "nothing of a cancelled reply plays",
    3: "one reply at a time has the floor",
    7: "the agent does not start while the user speaks",
    8: "a reply goes on where it paused",
    9: "history has all that was heard",
    10: "history has nothing unheard",
    11: "each final transcript is in history once, in order",
    12: "an interim does not touch what is final",
    13: "each committed turn has one reply, interruption or error",
    14: "no committed turn is empty",
    18: "each function call has one result",
    21: "time does not run back, and played ≤ sent ≤ generated",
    22: "queues keep to their bounds",
    23: "nothing is left at the end",
    25: "truncation is within what was sent, and only of what was heard",
}
"""The rules, by the number that the project's notes on turn-taking give them."""


def check_all(
    log: Log,
    output: MemoryOutput | None = None,
    history: ChatContext | None = None,
    *,
    origin_s: float = 0.0,
    skip: Collection[int] = (),
) -> list[Violation]:
    """Every rule, for a session that has been closed or is at rest.

    Args:
        log: its events, with session times.
        output: what it played to; give it the voice's sample rate. Default: none, then nothing is said of sound.
        history: the conversation at the end. Default: none, then nothing is said of it.
        origin_s: loop time at which the session's time began. Default: 0.
        skip: rules that don't apply, by number.

    Returns:
        what was broken, in order of time.

    Raises:
        UsageError: the output's rate is not the voice's.
    """
    evidence = Evidence(log, output, origin_s=origin_s)
    found = [violation for check in _LOG_CHECKS for violation in check(evidence)]
    if output is not None:
        found += [violation for check in _SOUND_CHECKS for violation in check(evidence)]
    if history is not None:
        found += [violation for check in _HISTORY_CHECKS for violation in check(evidence, history)]
    if output is not None and history is not None:
        found += check_history_is_heard(evidence, history)
    return sorted((v for v in found if v.invariant not in skip), key=lambda v: (v.at_s, v.invariant))


# -- the log alone ---------------------------------------------------------------------------------------------


def check_time(evidence: Evidence) -> list[Violation]:
    """21: the log's times, and the places in the user's audio, never decrease."""
    found = []
    last_s = last_ms = float("-inf")
    for at_s, event in evidence.log:
        if at_s < last_s:
            found.append(Violation(21, at_s, f"logged behind an event of {last_s:.3f} s"))
        last_s = max(last_s, at_s)
        place = None
        if isinstance(event, ev.SpeechStarted):
            place = event.audio_start_ms
        elif isinstance(event, ev.SpeechStopped):
            place = event.audio_end_ms
        if place is not None:
            if place < last_ms:
                name = type(event).__name__
                found.append(
                    Violation(21, at_s, f"{name} at {place:.0f} ms of audio, behind {last_ms:.0f} ms")
                )
            last_ms = max(last_ms, place)
    return found


def check_interims(evidence: Evidence) -> list[Violation]:
    """12: no interim comes for a turn whose transcript is final, and what was called stable stays."""
    found = []
    final: set[str] = set()
    stable: dict[str, str] = {}
    for at_s, event in evidence.log:
        if isinstance(event, ev.TranscriptCompleted):
            if event.item_id in final:
                found.append(Violation(11, at_s, f"a second final transcript of {event.item_id}"))
            final.add(event.item_id)
        elif isinstance(event, ev.InterimTranscript):
            if event.item_id in final:
                found.append(
                    Violation(12, at_s, f"interim {event.text!r} of {event.item_id} behind its final")
                )
            before = stable.get(event.item_id, "")
            if not event.text.startswith(before):
                found.append(Violation(12, at_s, f"{before!r} was stable, and now reads {event.text!r}"))
            stable[event.item_id] = event.text[: event.stable_chars]
    return found


def check_replies(evidence: Evidence) -> list[Violation]:
    """13: behind each turn that was committed with words comes a reply, new speech, or an error; and one reply."""
    found = []
    log = evidence.log
    transcripts = {e.item_id: e.transcript for _, e in log if isinstance(e, ev.TranscriptCompleted)}
    for index, (at_s, event) in enumerate(log):
        # A turn that the application commits by hand is answered when it asks for that.
        if not isinstance(event, ev.InputCommitted) or event.reason == "manual":
            continue
        if transcripts.get(event.item_id) == "":
            continue
        # A reply that was prepared beforehand may be told of in the same instant, on either side.
        around = [e for s, e in log[:index] if s == at_s] + [e for _, e in log[index + 1 :]]
        if not any(isinstance(e, _ANSWERS) for e in around):
            found.append(Violation(13, at_s, f"turn {event.item_id} got no reply, interruption or error"))
    asked = Counter(e.request_id for _, e in log if isinstance(e, ev.ResponseCreated) and e.request_id)
    for request_id, count in asked.items():
        if count > 1:
            at_s = max(s for s, e in log if isinstance(e, ev.ResponseCreated) and e.request_id == request_id)
            found.append(Violation(13, at_s, f"{count} responses to one request {request_id}"))
    return found


_ANSWERS = (ev.ResponseCreated, ev.SpeechStarted, ev.ErrorOccurred, ev.TranscriptFailed)


def check_responses_end(evidence: Evidence) -> list[Violation]:
    """23: each response that began has ended once, and nothing of it comes before or after."""
    found = []
    live: set[str] = set()
    ended: set[str] = set()
    last_s = 0.0
    for at_s, event in evidence.log:
        last_s = at_s
        response_id = getattr(event, "response_id", None)
        if isinstance(event, ev.ResponseCreated):
            if event.response_id in live | ended:
                found.append(Violation(23, at_s, f"{event.response_id} begins a second time"))
            live.add(event.response_id)
        elif isinstance(event, ev.ResponseDone):
            if event.response_id not in live:
                what = "ends a second time" if event.response_id in ended else "ends and never began"
                found.append(Violation(23, at_s, f"{event.response_id} {what}"))
            live.discard(event.response_id)
            ended.add(event.response_id)
        elif isinstance(event, _CONTENT) and response_id not in live:
            when = "behind its end" if response_id in ended else "before it began"
            found.append(Violation(23, at_s, f"{type(event).__name__} of {response_id} {when}"))
    return found + [Violation(23, last_s, f"{response_id} never ended") for response_id in sorted(live)]


_CONTENT = (ev.TranscriptDelta, ev.AudioDelta, AudioLogged, ev.CallArgumentsDelta, ev.OutputItemDone)


# -- what sounded ----------------------------------------------------------------------------------------------


def check_silence_after_interruption(evidence: Evidence) -> list[Violation]:
    """1: within 40 ms and the device's buffer of `OutputClear`, its response is not heard any more."""
    return [
        violation
        for at_s, event in evidence.log
        if isinstance(event, ev.OutputClear)
        for violation in _heard_after(evidence, event.response_id, at_s, 1, "cleared")
    ]


def check_cancelled_is_silent(evidence: Evidence) -> list[Violation]:
    """2: the same for a response that ended as cancelled."""
    return [
        violation
        for at_s, event in evidence.log
        if isinstance(event, ev.ResponseDone) and event.status == "cancelled"
        for violation in _heard_after(evidence, event.response_id, at_s, 2, "cancelled")
    ]


def _heard_after(
    evidence: Evidence, response_id: str, at_s: float, invariant: int, what: str
) -> list[Violation]:
    assert evidence.output is not None
    buffer_s = evidence.output.device_buffer_samples / evidence.output.sample_rate
    limit_s = at_s + STOP_WITHIN_S + buffer_s + _SLACK_S
    late = [stretch for stretch in evidence.of_response(response_id) if stretch.end_s > limit_s]
    if not late:
        return []
    until_s = max(stretch.end_s for stretch in late)
    message = f"{response_id} was {what} at {at_s:.3f} s and is heard until {until_s:.3f} s"
    return [Violation(invariant, max(limit_s, late[0].start_s), message)]


def check_one_holds_the_floor(evidence: Evidence) -> list[Violation]:
    """3: when another response has begun to sound, none before it sounds again."""
    found = []
    left: set[str] = set()
    current: str | None = None
    for stretch in sorted(evidence.stretches, key=lambda s: s.start_s):
        response_id = stretch.source.response_id
        if response_id == current:
            continue
        if response_id in left:
            found.append(Violation(3, stretch.start_s, f"{response_id} sounds again within {current}"))
        if current is not None:
            left.add(current)
        current = response_id
    return found


def check_starts_in_silence(evidence: Evidence) -> list[Violation]:
    """7: no response begins to sound between the user's `SpeechStarted` and `SpeechStopped`."""
    found = []
    begun: dict[str, float] = {}
    for stretch in evidence.stretches:
        begun.setdefault(stretch.source.response_id, stretch.start_s)
    speaking_s: float | None = None
    spans: list[tuple[float, float]] = []
    for at_s, event in evidence.log:
        if isinstance(event, ev.SpeechStarted) and speaking_s is None:
            speaking_s = at_s
        elif (
            isinstance(event, ev.SpeechStopped | ev.InputCommitted | ev.InputCleared)
            and speaking_s is not None
        ):
            # Who closes a turn, or drops it, says that the user's speech counts no more.
            spans.append((speaking_s, at_s))
            speaking_s = None
    if speaking_s is not None:
        spans.append((speaking_s, float("inf")))
    for response_id, start_s in begun.items():
        for since_s, until_s in spans:
            if since_s + _SLACK_S < start_s < until_s - _SLACK_S:
                found.append(
                    Violation(7, start_s, f"{response_id} starts; the user speaks since {since_s:.3f} s")
                )
    return found


def check_nothing_skipped(evidence: Evidence) -> list[Violation]:
    """8: each reply's audio is written in order: nothing is left out, and no more than one word is repeated."""
    found = []
    for source in evidence.sources.values():
        words = max(1, len(evidence.texts.get(source.item_id, "").split()))
        word_samples = len(source.audio) // 2 // words
        for at_s, samples in source.skips:
            if samples > 0:
                found.append(Violation(8, at_s, f"{samples} samples of {source.item_id} are skipped"))
            elif -samples > 2 * word_samples:
                found.append(Violation(8, at_s, f"{-samples} samples of {source.item_id} are repeated"))
    return found


def check_sent_was_generated(evidence: Evidence) -> list[Violation]:
    """21: all sound that was sent to the output had been generated before."""
    return [
        Violation(21, at_s, f"{samples} samples of sound were sent that no response had generated")
        for at_s, samples in evidence.strays
    ]


def check_lead(evidence: Evidence) -> list[Violation]:
    """22: no more waits in the output than it wants, and the one write that reaches it."""
    output = evidence.output
    assert output is not None
    limit_ms = output.capabilities.max_lead_ms
    if limit_ms is None:
        return []
    longest = max((frame.samples for _, frame in output.writes), default=0)
    limit = limit_ms * output.sample_rate // 1000 + longest
    if output.queued_samples_max <= limit:
        return []
    queued_ms = output.queued_samples_max * 1000 / output.sample_rate
    at_s = output.writes[-1][0] - evidence.origin_s
    return [Violation(22, at_s, f"{queued_ms:.0f} ms waited in an output that wants {limit_ms} ms at most")]


def check_truncations(evidence: Evidence) -> list[Violation]:
    """25: an item is cut within the audio that was sent, and only if some of it was heard."""
    found = []
    for at_s, event in evidence.log:
        source = evidence.sources.get(event.item_id) if isinstance(event, ev.ItemTruncated) else None
        if source is None or not isinstance(event, ev.ItemTruncated):
            continue
        sent_ms = source.written_bytes / 2 * 1000 / source.sample_rate
        if not 0 <= event.audio_end_ms <= sent_ms + 1:
            found.append(Violation(25, at_s, f"cut at {event.audio_end_ms} ms of {sent_ms:.0f} ms sent"))
        if not evidence.of_item(event.item_id):
            found.append(Violation(25, at_s, f"{event.item_id} is cut, and nothing of it was heard"))
    return found


# -- history ---------------------------------------------------------------------------------------------------


def check_user_turns(evidence: Evidence, history: ChatContext) -> list[Violation]:
    """11 and 14: final transcripts and the history's user items are the same, in the same order; none is empty."""
    found = []
    end_s = evidence.log[-1][0] if evidence.log else 0.0
    finals = [(s, e) for s, e in evidence.log if isinstance(e, ev.TranscriptCompleted)]
    deleted = {e.item_id for _, e in evidence.log if isinstance(e, ev.ItemDeleted)}
    places: list[int] = []
    ids = [item.id for item in history]
    for at_s, event in finals:
        item = history.get(event.item_id)
        if not event.transcript.strip():
            if item is not None:
                found.append(Violation(14, at_s, f"turn {event.item_id} has no words and is in history"))
            continue
        if event.item_id in deleted:
            continue
        if not isinstance(item, Message) or item.role != "user":
            found.append(Violation(11, at_s, f"{event.transcript!r} ({event.item_id}) is not in history"))
            continue
        if item.text != event.transcript:
            found.append(Violation(11, at_s, f"history has {item.text!r} for {event.transcript!r}"))
        places.append(ids.index(event.item_id))
    if places != sorted(places):
        found.append(Violation(11, end_s, "the user's turns stand in another order than they were said"))
    return found


def check_calls(evidence: Evidence, history: ChatContext) -> list[Violation]:
    """18: each function call in history is followed by exactly one output, and no output lacks its call."""
    end_s = evidence.log[-1][0] if evidence.log else 0.0
    found = []
    calls: set[str] = set()
    outputs: Counter[str] = Counter()
    for item in history:
        if isinstance(item, FunctionCall):
            calls.add(item.call_id)
        elif isinstance(item, FunctionCallOutput):
            outputs[item.call_id] += 1
            if item.call_id not in calls:
                found.append(
                    Violation(18, end_s, f"the result of {item.call_id} stands before or without its call")
                )
    for item in history:
        if isinstance(item, FunctionCall) and outputs[item.call_id] != 1:
            count = outputs[item.call_id]
            found.append(Violation(18, end_s, f"{item.name} ({item.call_id}) has {count} results"))
    return found


def check_history_is_heard(evidence: Evidence, history: ChatContext) -> list[Violation]:
    """9 and 10: the assistant's words in history are those heard; of an interrupted item one word may be off."""
    found = []
    end_s = evidence.log[-1][0] if evidence.log else 0.0
    deleted = {e.item_id for _, e in evidence.log if isinstance(e, ev.ItemDeleted)}
    for item_id in evidence.sources:
        item = history.get(item_id)
        whole, begun = evidence.heard_words(item_id)
        said = item.text.split() if isinstance(item, Message) else []
        grace = 1 if item is None or (isinstance(item, Message) and item.interrupted) else 0
        stretches = evidence.of_item(item_id)
        at_s = stretches[-1].end_s if stretches else end_s
        if item is None and item_id in deleted and not whole:
            continue
        if len(whole) - len(said) > grace:
            missing = " ".join(whole[len(said) :])
            found.append(Violation(9, at_s, f"{item_id}: {missing!r} was heard and is not in history"))
        if len(said) - len(begun) > grace:
            unheard = " ".join(said[len(begun) :])
            found.append(Violation(10, at_s, f"{item_id}: {unheard!r} is in history and was not heard"))
        shared = min(len(said), len(whole))
        if said[:shared] != whole[:shared]:
            found.append(
                Violation(9, at_s, f"{item_id}: history has {' '.join(said)!r}, heard {' '.join(whole)!r}")
            )
    return found


# -- the loop --------------------------------------------------------------------------------------------------


def check_nothing_left(loop: VirtualTimeLoop | None = None) -> list[Violation]:
    """23: no task but the calling one, no timer and no open async generator is left. For use within a run.

    Args:
        loop: default: the running one.

    Raises:
        TypeError: it is not a `VirtualTimeLoop`.
    """
    loop_ = loop if loop is not None else asyncio.get_running_loop()
    if not isinstance(loop_, VirtualTimeLoop):
        raise TypeError("only a VirtualTimeLoop knows what is left; run the test with @virtual_time")
    current = asyncio.current_task(loop_)
    return [Violation(23, loop_.time(), f"left: {leak}") for leak in loop_.leaks(besides=current)]


_LOG_CHECKS: Sequence[Callable[[Evidence], list[Violation]]] = (
    check_time,
    check_interims,
    check_replies,
    check_responses_end,
)
_SOUND_CHECKS: Sequence[Callable[[Evidence], list[Violation]]] = (
    check_silence_after_interruption,
    check_cancelled_is_silent,
    check_one_holds_the_floor,
    check_starts_in_silence,
    check_nothing_skipped,
    check_sent_was_generated,
    check_lead,
    check_truncations,
)
_HISTORY_CHECKS: Sequence[Callable[[Evidence, ChatContext], list[Violation]]] = (
    check_user_turns,
    check_calls,
)
