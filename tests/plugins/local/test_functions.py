from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from repartee.chat import ChatContext, FunctionTool, RunContext, tool_table
from repartee.errors import ToolError
from repartee.plugins.local import functions
from repartee.plugins.local.functions import BUILTIN_TOOLS, say_duration, say_number


class Handle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Host:
    """A session whose time is moved by hand."""

    def __init__(self, history: ChatContext | None = None) -> None:
        self.now = 0.0
        self.history = history
        self.said: list[str] = []
        self.waiting: list[tuple[float, Callable[[], object], Handle]] = []

    def call_later(self, delay_s: float, callback: Callable[[], object], /) -> Handle:
        handle = Handle()
        self.waiting.append((self.now + delay_s, callback, handle))
        return handle

    def say(self, text: str, /) -> None:
        self.said.append(text)

    def move_to(self, now: float) -> None:
        for due, callback, handle in sorted(self.waiting, key=lambda each: each[0]):
            if due <= now and not handle.cancelled:
                self.now = due
                callback()
        self.waiting = [each for each in self.waiting if each[0] > now]
        self.now = now


def call(name: str, arguments: str = "{}", host: object = None) -> str:
    tool: FunctionTool = tool_table(BUILTIN_TOOLS)[name]
    bound = tool.bind(arguments, RunContext(host, "call_1", name))
    result: str = asyncio.run(tool.function(**bound))
    return result


def test_none_of_them_blocks() -> None:
    assert all(tool.is_async for tool in BUILTIN_TOOLS)
    assert all(tool.examples and tool.description for tool in BUILTIN_TOOLS)


# -- the calendar --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hour, minute, said",
    [(0, 5, "12:05 AM"), (9, 30, "9:30 AM"), (12, 0, "12:00 PM"), (23, 59, "11:59 PM")],
)
def test_the_time(monkeypatch: pytest.MonkeyPatch, hour: int, minute: int, said: str) -> None:
    now = time.struct_time((2026, 12, 31, hour, minute, 0, 3, 365, 0))
    monkeypatch.setattr(functions, "local_datetime", lambda: now)
    assert call("tell_time") == f"It is {said}."


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("{}", "Today is Thursday, December 31, 2026."),
        ('{"day": "tomorrow"}', "Tomorrow will be Friday, January 1, 2027."),
        ('{"day": "yesterday"}', "Yesterday was Wednesday, December 30, 2026."),
    ],
)
def test_the_date(monkeypatch: pytest.MonkeyPatch, arguments: str, said: str) -> None:
    now = time.struct_time((2026, 12, 31, 23, 59, 0, 3, 365, 0))
    monkeypatch.setattr(functions, "local_datetime", lambda: now)
    assert call("tell_date", arguments) == said


# -- arithmetic ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "formula, said",
    [
        ("23 * 4", "23 times 4 is 92."),
        ("10 / 4", "10 divided by 4 is 2.5."),
        ("10 / 3", "10 divided by 3 is about 3.33333."),
        ("20 % of 60", "20 percent of 60 is 12."),
        ("root 16", "The square root of 16 is 4."),
        ("-5 + 2", "-5 plus 2 is -3."),
        ("2^10", "2^10 is 1024."),
    ],
)
def test_a_sum(formula: str, said: str) -> None:
    assert call("calculate", f'{{"expression": "{formula}"}}') == said


@pytest.mark.parametrize("formula, reason", [("1 / 0", "divided by zero"), ("one", "is not arithmetic")])
def test_a_sum_that_has_no_answer(formula: str, reason: str) -> None:
    with pytest.raises(ToolError, match=f"I can't work that out: .*{reason}"):
        call("calculate", f'{{"expression": "{formula}"}}')


@pytest.mark.parametrize(
    "value, said",
    [
        (3.0, "3"),
        (-2.0, "-2"),
        (0.5, "0.5"),
        (1 / 3, "about 0.333333"),
        (1e20, "1e+20"),
        (0.1 + 0.2, "about 0.3"),
    ],
)
def test_a_number_is_said(value: float, said: str) -> None:
    assert say_number(value) == said


@pytest.mark.parametrize(
    "seconds, said",
    [
        (0.2, "less than a second"),
        (1, "1 second"),
        (90, "1 minute and 30 seconds"),
        (5400, "1 hour and 30 minutes"),
        (90061, "1 day, 1 hour, 1 minute and 1 second"),
        (-5, "less than a second"),
    ],
)
def test_a_duration_is_said(seconds: float, said: str) -> None:
    assert say_duration(seconds) == said


# -- timers --------------------------------------------------------------------------------------------------------


def test_a_timer_goes_off_when_it_is_due() -> None:
    host = Host()
    assert call("set_timer", '{"duration_s": 600}', host) == "Timer set for 10 minutes."
    host.move_to(599.9)
    assert host.said == []
    host.move_to(600)
    assert host.said == ["Your timer for 10 minutes is over."]
    assert call("list_timers", host=host) == "No timer is running."


def test_running_timers_are_listed_by_what_is_left() -> None:
    host = Host()
    call("set_timer", '{"duration_s": 600}', host)
    host.move_to(60)
    call("set_timer", '{"duration_s": 60}', host)
    assert call("list_timers", host=host) == (
        "The timer for 1 minute has 1 minute left and the timer for 10 minutes has 9 minutes left."
    )


def test_timers_are_cancelled_one_or_all() -> None:
    host = Host()
    for seconds in (60, 600, 600):
        call("set_timer", f'{{"duration_s": {seconds}}}', host)
    assert call("cancel_timer", '{"duration_s": 120}', host) == "No timer for 2 minutes is running."
    assert call("cancel_timer", '{"duration_s": 60}', host) == "The timer is cancelled."
    assert call("cancel_timer", "{}", host) == "All 2 timers are cancelled."
    assert call("cancel_timer", "{}", host) == "No timer is running."
    host.move_to(1000)
    assert host.said == []


def test_sessions_have_timers_of_their_own() -> None:
    one, other = Host(), Host()
    call("set_timer", '{"duration_s": 60}', one)
    assert call("list_timers", host=other) == "No timer is running."


def test_a_session_takes_its_timers_with_it() -> None:
    host = Host()
    call("set_timer", '{"duration_s": 60}', host)
    count = len(functions._timers)
    host.waiting.clear()
    del host
    assert len(functions._timers) == count - 1


@pytest.mark.parametrize("seconds", ["0", "-1", "1e9"])
def test_a_timer_has_a_sensible_length(seconds: str) -> None:
    with pytest.raises(ToolError, match="longer than nothing and at most a year"):
        call("set_timer", f'{{"duration_s": {seconds}}}', Host())


def test_timers_are_bounded() -> None:
    host = Host()
    for _ in range(20):
        call("set_timer", '{"duration_s": 60}', host)
    with pytest.raises(ToolError, match="20 timers already"):
        call("set_timer", '{"duration_s": 60}', host)


def test_without_a_session_that_can_wait_there_are_no_timers() -> None:
    for name, arguments in (
        ("set_timer", '{"duration_s": 60}'),
        ("list_timers", "{}"),
        ("cancel_timer", "{}"),
    ):
        with pytest.raises(ToolError, match="Timers are not available"):
            call(name, arguments, object())


# -- words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word, said", [("cat", "C, A, T."), ("ice cream", "I, C, E; C, R, E, A, M."), ("it's 2", "I, T, S; 2.")]
)
def test_spelling(word: str, said: str) -> None:
    assert call("spell", f'{{"word": "{word}"}}') == said


@pytest.mark.parametrize("word", ["", "..."])
def test_nothing_to_spell(word: str) -> None:
    with pytest.raises(ToolError, match="no word to spell"):
        call("spell", f'{{"word": "{word}"}}')


@pytest.mark.parametrize("text, said", [("hello", "Hello."), ("is it?", "Is it?"), (" a b ", "A b.")])
def test_repeating(text: str, said: str) -> None:
    assert call("repeat", f'{{"text": "{text}"}}') == said


def test_nothing_to_repeat() -> None:
    with pytest.raises(ToolError, match="nothing to repeat"):
        call("repeat", '{"text": " "}')


@pytest.mark.parametrize(
    "said, repeated",
    [
        ([("user", "a"), ("assistant", "One."), ("user", "again")], "One."),
        ([("assistant", "One."), ("assistant", "Two."), ("assistant", " ")], "Two."),
        ([("user", "again")], "I have not said anything yet."),
    ],
)
def test_saying_it_again(said: list[tuple[Any, str]], repeated: str) -> None:
    history = ChatContext()
    for role, text in said:
        history.add_message(role, text)
    assert call("say_again", host=Host(history)) == repeated


def test_saying_it_again_without_a_history() -> None:
    assert call("say_again", host=object()) == "I have not said anything yet."
