"""Each checker finds the violation planted for it, and nothing in a sound conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from repartee.audio import AudioFrame
from repartee.chat import AudioContent, ChatContext, FunctionCall, FunctionCallOutput, Message
from repartee.errors import ModelError, UsageError
from repartee.io import OutputCapabilities
from repartee.models import events as ev
from repartee.observe.log import SessionLog
from repartee.testing import (
    LeakError,
    MemoryOutput,
    ScriptedTTS,
    check_all,
    check_nothing_left,
    elapse,
    run,
    sleep_until,
    speech,
    virtual_time,
)
from repartee.testing.checkers import INVARIANTS, Violation

VOICE = ScriptedTTS(ms_per_word=200.0)
RATE = 24_000
LogList = list[tuple[float, ev.RealtimeEvent]]


def audio(text: str) -> bytes:
    return VOICE.speak(text)[0]


def numbers(violations: Sequence[Violation]) -> list[int]:
    return [violation.invariant for violation in violations]


def user(text: str, item_id: str, at_s: float) -> LogList:
    """A turn that begins at a time and takes a second."""
    return [
        (at_s, ev.SpeechStarted(item_id, at_s * 1000)),
        (at_s + 0.5, ev.InterimTranscript(item_id, text[:4], 2)),
        (at_s + 1.0, ev.SpeechStopped(item_id, at_s * 1000 + 900)),
        (at_s + 1.0, ev.InputCommitted(item_id, None, "silence")),
        (at_s + 1.1, ev.TranscriptCompleted(item_id, text)),
    ]


def reply(number: int, text: str, at_s: float, request_id: str | None = None) -> LogList:
    """A response that is generated at once."""
    response_id, item_id = f"resp_{number}", f"a{number}"
    item = Message("assistant", (AudioContent(text),), item_id)
    return [
        (at_s, ev.ResponseCreated(response_id, request_id)),
        (at_s, ev.TranscriptDelta(response_id, item_id, text, 0.0)),
        (at_s, ev.AudioDelta(response_id, item_id, AudioFrame(audio(text), RATE))),
        (at_s, ev.OutputItemDone(response_id, item)),
        (at_s, ev.ResponseDone(response_id)),
    ]


def as_logged(log: LogList) -> SessionLog:
    """The same as a session logs it: without the sound."""
    logged = SessionLog()
    for at_s, event in log:
        logged.record(at_s, event)
    return logged


def said(text: str, item_id: str, *, interrupted: bool = False) -> Message:
    return Message("assistant", (AudioContent(text),), item_id, interrupted=interrupted)


def history(*items: Message | FunctionCall | FunctionCallOutput) -> ChatContext:
    return ChatContext(items)


Deed = bytes | AudioFrame | Callable[[MemoryOutput], object]


def play(*script: tuple[float, Deed], until_s: float = 10.0) -> MemoryOutput:
    """An output to which this was done at these times."""

    async def main() -> MemoryOutput:
        output = MemoryOutput(capabilities=OutputCapabilities(max_lead_ms=5000))
        output.open(on_position=lambda _: None, on_error=lambda _: None)
        for at_s, what in script:
            await sleep_until(at_s)
            if isinstance(what, AudioFrame):
                output.write(what)
            elif isinstance(what, bytes):
                output.write(AudioFrame(what, RATE))
            else:
                what(output)
        await sleep_until(until_s)
        await output.aclose()
        return output

    return run(main())


QUESTION = Message("user", (AudioContent("book a table"),), "u1")


def test_a_sound_conversation_has_no_violation() -> None:
    log = [*user("book a table", "u1", 0.0), *reply(1, "Sure, for how many people?", 1.2)]
    output = play((1.2, audio("Sure, for how many people?")))
    assert check_all(log, output, history(QUESTION, said("Sure, for how many people?", "a1"))) == []


def test_a_rightly_truncated_reply_has_no_violation() -> None:
    log = [
        *user("book a table", "u1", 0.0),
        *reply(1, "Sure, for how many people?", 1.2),
        (1.9, ev.OutputClear("resp_1", "interruption")),
        (1.9, ev.ItemTruncated("a1", 700, "Sure, for how")),
    ]
    output = play((1.2, audio("Sure, for how many people?")), (1.9, MemoryOutput.clear))
    for words in ("Sure, for how", "Sure, for how many", "Sure, for"):
        kept = history(QUESTION, said(words, "a1", interrupted=True))
        assert check_all(log, output, kept) == []


def test_1_an_interrupted_reply_goes_on() -> None:
    log = [*reply(1, "Sure, for how many people?", 0.0), (0.5, ev.OutputClear("resp_1", "interruption"))]
    output = play((0.0, audio("Sure, for how many people?")), (0.6, MemoryOutput.clear))
    violations = check_all(log, output)
    assert numbers(violations) == [1]
    assert "heard until 0.600 s" in violations[0].message
    assert check_all(log, play((0.0, audio("Sure, for how many people?")), (0.54, MemoryOutput.clear))) == []


def test_2_a_cancelled_reply_plays() -> None:
    log = reply(1, "Sure.", 0.0)
    log[-1] = (0.0, ev.ResponseDone("resp_1", "cancelled", "turn_detected"))
    assert numbers(check_all(log, play((0.0, audio("Sure."))))) == [2]


def test_3_two_replies_share_the_floor() -> None:
    first, second = audio("one two three"), audio("four five")
    log = [*reply(1, "one two three", 0.0), *reply(2, "four five", 0.0)]
    mixed = play((0.0, first[:9600]), (0.1, second), (0.2, first[9600:]))
    assert numbers(check_all(log, mixed)) == [3]
    assert check_all(log, play((0.0, first), (0.1, second))) == []


def test_7_a_reply_starts_while_the_user_speaks() -> None:
    log = [(0.0, ev.SpeechStarted("u1", 0.0)), *reply(1, "Sure.", 0.4), (1.0, ev.SpeechStopped("u1", 900.0))]
    assert numbers(check_all(log, play((0.5, audio("Sure."))))) == [7]
    assert check_all(log, play((0.5, audio("Sure."))), skip={7}) == []
    assert check_all(log, play((1.0, audio("Sure.")))) == []


def test_8_a_reply_skips_or_repeats() -> None:
    words = audio("one two three four")
    log = reply(1, "one two three four", 0.0)
    assert numbers(check_all(log, play((0.0, words[:9600]), (0.2, words[12_000:])))) == [8]
    # One word again is how a pause may be mended; three are not.
    assert check_all(log, play((0.0, words[:19_200]), (0.5, words[9600:]))) == []
    assert numbers(check_all(log, play((0.0, words[:28_800]), (0.7, words[2:])))) == [8]


def test_9_something_heard_is_missing_from_history() -> None:
    log = reply(1, "one two three four", 0.0)
    output = play((0.0, audio("one two three four")))
    assert numbers(check_all(log, output, history(said("one two three", "a1")))) == [9]
    assert check_all(log, output, history(said("one two three", "a1", interrupted=True))) == []
    assert numbers(check_all(log, output, history(said("one", "a1", interrupted=True)))) == [9]
    assert numbers(check_all(log, output, history())) == [9]
    assert numbers(check_all(log, output, history(said("one two tree four", "a1")))) == [9]


def test_10_something_unheard_is_in_history() -> None:
    log = [*reply(1, "one two three four", 0.0), (0.3, ev.OutputClear("resp_1"))]
    output = play((0.0, audio("one two three four")), (0.3, MemoryOutput.clear))  # heard: one, half of two
    kept = [history(said(words, "a1", interrupted=True)) for words in ("one", "one two", "one two three")]
    assert [check_all(log, output, one) for one in kept] == [[], [], []]
    assert numbers(check_all(log, output, history(said("one two three four", "a1", interrupted=True)))) == [
        10
    ]
    assert numbers(check_all(log, output, history(said("one two three", "a1")))) == [10]


def test_10_nothing_was_heard_at_all() -> None:
    log = reply(1, "one two three four", 0.0)
    assert numbers(check_all(log, play(), history(said("one two three four", "a1")))) == [10]
    log.append((0.1, ev.ItemDeleted("a1")))
    assert check_all(log, play(), history()) == []


def test_11_final_transcripts_and_history_differ() -> None:
    log = [*user("book a table", "u1", 0.0), *reply(1, "Sure.", 1.2), *user("for two", "u2", 2.0)]
    log += reply(2, "Done.", 3.2)
    second = Message("user", (AudioContent("for two"),), "u2")
    assert check_all(log, None, history(QUESTION, second)) == []
    assert numbers(check_all(log, None, history(second, QUESTION))) == [11]
    assert numbers(check_all(log, None, history(QUESTION))) == [11]
    assert numbers(check_all(log, None, history(QUESTION, second.with_text("for you")))) == [11]
    assert numbers(check_all([*log, (5.0, ev.TranscriptCompleted("u2", "for two"))])) == [11]


def test_12_an_interim_touches_what_is_final_or_stable() -> None:
    log = [*user("book a table", "u1", 0.0), *reply(1, "Sure.", 1.2)]
    assert numbers(check_all([*log, (3.0, ev.InterimTranscript("u1", "book a cable"))])) == [12]
    changed = (0.7, ev.InterimTranscript("u1", "look a table"))
    assert numbers(check_all([*log[:2], changed, *log[2:]])) == [12]


def test_13_a_turn_without_an_answer() -> None:
    log = user("book a table", "u1", 0.0)
    assert numbers(check_all(log)) == [13]
    error = ModelError("down", stage="llm")
    for answer in (
        ev.ErrorOccurred(error, "llm"),
        ev.TranscriptFailed("u1", error),
        ev.SpeechStarted("u2", 2000.0),
    ):
        assert check_all([*log, (2.0, answer)]) == []
    by_hand = [(s, replace(e, reason="manual") if isinstance(e, ev.InputCommitted) else e) for s, e in log]
    assert check_all(by_hand) == []


def test_13_a_request_is_answered_twice() -> None:
    log = [*reply(1, "Sure.", 0.0, "turn:1"), *reply(2, "Sure.", 1.0, "turn:1")]
    assert numbers(check_all(log)) == [13]


def test_14_an_empty_turn_is_in_history() -> None:
    log = user("", "u1", 0.0)
    assert check_all(log, None, history()) == []
    assert numbers(check_all(log, None, history(Message("user", (AudioContent(""),), "u1")))) == [14]


def test_18_calls_and_results() -> None:
    call = FunctionCall("weather", "{}", "call_1", "i1")
    result = FunctionCallOutput("call_1", "sunny", id="i2")
    again = FunctionCallOutput("call_1", "rainy", id="i3")
    assert check_all([], None, history(call, result)) == []
    assert numbers(check_all([], None, history(call))) == [18]
    assert numbers(check_all([], None, history(call, result, again))) == [18]
    assert set(numbers(check_all([], None, history(result, call)))) == {18}
    assert numbers(check_all([], None, history(result))) == [18]


def test_21_time_runs_back() -> None:
    assert numbers(check_all([(1.0, ev.InputCleared()), (0.5, ev.InputCleared())])) == [21]
    log: LogList = [(1.0, ev.SpeechStarted("u1", 900.0)), (1.5, ev.SpeechStopped("u1", 800.0))]
    assert numbers(check_all(log)) == [21]


def test_21_sound_that_nobody_generated() -> None:
    log = reply(1, "Sure.", 1.0)
    late = play((1.0, audio("Sure.")))
    early = play((0.9, audio("Sure.")))
    assert check_all(log, late) == []
    assert numbers(check_all(log, early)) == [21]
    assert numbers(check_all(log, play((1.0, speech.noise(480))))) == [21]
    assert check_all(log, play((0.5, bytes(960)), (1.0, audio("Sure.")))) == []


def test_22_the_output_holds_too_much() -> None:
    text = " ".join(["word"] * 20)
    whole = audio(text)
    chunks = [whole[at : at + 960] for at in range(0, len(whole), 960)]
    assert check_all(reply(1, text, 0.0), play(*((0.0, chunk) for chunk in chunks))) == []
    output = MemoryOutput(capabilities=OutputCapabilities(max_lead_ms=200))

    async def main() -> None:
        output.open(on_position=lambda _: None, on_error=lambda _: None)
        for chunk in chunks:
            output.write(AudioFrame(chunk, RATE))
        await elapse(10.0)

    run(main())
    assert numbers(check_all(reply(1, text, 0.0), output)) == [22]


def test_a_log_without_sound_is_joined_by_position() -> None:
    text = "one two three four"
    whole = AudioFrame(audio(text), RATE)
    log = [*user("book a table", "u1", 0.0), *reply(1, text, 1.2)]
    pieces: list[tuple[float, Deed]] = [(1.2, whole.slice(0, 7200)), (1.5, whole.slice(7200))]
    sound = check_all(as_logged(log), play(*pieces), history(QUESTION, said(text, "a1")))
    assert sound == []
    short = check_all(as_logged(log), play(*pieces), history(QUESTION, said("one two", "a1")))
    assert numbers(short) == [9]
    stopped = play(*pieces, (1.6, MemoryOutput.clear))
    assert numbers(check_all(as_logged(log), stopped, history(QUESTION, said(text, "a1")))) == [10]
    cleared = [*log, (1.5, ev.OutputClear("resp_1"))]
    assert numbers(check_all(as_logged(cleared), play(*pieces))) == [1]
    # What is written when its response has been cleared belongs to nobody.
    late = [*log, (1.47, ev.OutputClear("resp_1"))]
    assert numbers(check_all(as_logged(late), play(*pieces))) == [21]
    assert numbers(check_all(list(as_logged(log))[6:])) == [23] * 4


def test_23_responses_that_do_not_end_once() -> None:
    whole = reply(1, "Sure.", 0.0)
    assert numbers(check_all(whole[:-1])) == [23]
    assert numbers(check_all([*whole, (1.0, ev.ResponseDone("resp_1"))])) == [23]
    assert numbers(check_all([*whole, whole[1]])) == [23]
    assert numbers(check_all([whole[1], *whole])) == [23]
    assert numbers(check_all([*whole, *whole[:1]])) == [23, 23]


def test_23_what_is_left_in_the_loop() -> None:
    async def main() -> list[Violation]:
        assert check_nothing_left() == []
        task = asyncio.create_task(elapse(5.0), name="left")
        await elapse(1.0)
        violations = check_nothing_left()
        await task
        return violations

    violations = run(main())
    assert numbers(violations) == [23, 23]  # the task and its timer
    assert "task left" in violations[0].message

    async def elsewhere() -> None:
        check_nothing_left()

    with pytest.raises(TypeError, match="virtual_time"):
        asyncio.run(elsewhere())


def test_25_truncation_beyond_what_was_sent_or_heard() -> None:
    log = [*reply(1, "one two three", 0.0), (0.5, ev.ItemTruncated("a1", 700, "one two three"))]
    assert numbers(check_all(log, play((0.0, audio("one two three"))))) == [25]
    unheard = [*reply(1, "one two three", 0.0), (0.5, ev.ItemTruncated("a1", 0, ""))]
    assert numbers(check_all(unheard, play())) == [25]


def test_session_time_may_begin_later_than_the_loops() -> None:
    log = [*reply(1, "Sure.", 0.0), (0.1, ev.OutputClear("resp_1"))]
    output = play((2.0, audio("Sure.")), (2.1, MemoryOutput.clear))
    assert check_all(log, output, origin_s=2.0) == []


def test_another_rate_is_refused() -> None:
    output = MemoryOutput(sample_rate=16_000)
    output.writes.append((1.0, AudioFrame(bytes(2), 16_000)))
    with pytest.raises(UsageError, match="24000 Hz"):
        check_all(reply(1, "Sure.", 0.0), output)


def test_violations_print_themselves() -> None:
    text = str(Violation(7, 1.5, "resp_1 starts"))
    assert text == f"1.500 s, invariant 7 ({INVARIANTS[7]}): resp_1 starts"


def test_a_leak_is_caught_by_the_run_as_well() -> None:
    @virtual_time
    async def test() -> None:
        kept.append(asyncio.create_task(elapse(5.0)))

    kept: list[asyncio.Task[None]] = []
    with pytest.raises(LeakError):
        test()
