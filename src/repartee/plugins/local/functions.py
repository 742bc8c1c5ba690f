"""The functions of the embedded default: time, date, arithmetic, timers, spelling and repeating.

They are ordinary function tools, so they work with any model: ``AgentSession(tools=local.BUILTIN_TOOLS, …)``. Each
returns a sentence that can be spoken as it is. None of them blocks, so all are coroutines and none costs a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Protocol
from weakref import WeakKeyDictionary

from repartee.chat import FunctionTool, RunContext, function_tool
from repartee.clock import local_datetime
from repartee.errors import ToolError
from repartee.plugins.local.slots import evaluate

if TYPE_CHECKING:
    import time

__all__ = ["BUILTIN_TOOLS", "TimerHost", "say_duration", "say_number"]


# -- the calendar --------------------------------------------------------------------------------------------------

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


@function_tool(
    examples=[
        "what time is it",
        "what is the time",
        "tell me the time",
        "do you have the time",
        "do you know what time it is",
        "what time is it now",
        "current time",
        "how late is it",
    ]
)
async def tell_time() -> str:
    """Tell the present local time of day."""
    now = local_datetime()
    half = "AM" if now.tm_hour < 12 else "PM"
    return f"It is {now.tm_hour % 12 or 12}:{now.tm_min:02} {half}."


@function_tool(
    examples=[
        "what is the date",
        "what is the date {day}",
        "what day is it",
        "what day is it {day}",
        "what day was it {day}",
        "what day is {day}",
        "what day of the week is it {day}",
        "what is {day} 's date",
        "which day will it be {day}",
        "tell me the date",
        "which day is it",
        "what is today",
        "what month is it",
        "what month are we in",
        "what year is it",
        "today's date",
    ]
)
async def tell_date(day: Literal["today", "tomorrow", "yesterday"] = "today") -> str:
    """Tell the date and the day of the week.

    Args:
        day: which day.
    """
    ordinal = _ordinal(local_datetime()) + {"today": 0, "tomorrow": 1, "yesterday": -1}[day]
    verb = {"today": "Today is", "tomorrow": "Tomorrow will be", "yesterday": "Yesterday was"}[day]
    year, month, number = _date_of(ordinal)
    return f"{verb} {_DAYS[ordinal % 7]}, {_MONTHS[month - 1]} {number}, {year}."


def _ordinal(now: time.struct_time) -> int:
    from datetime import date  # deferred: only this function needs it

    return date(now.tm_year, now.tm_mon, now.tm_mday).toordinal() - 1  # so that 0 is a Monday


def _date_of(ordinal: int) -> tuple[int, int, int]:
    from datetime import date

    day = date.fromordinal(ordinal + 1)
    return day.year, day.month, day.day


# -- arithmetic ----------------------------------------------------------------------------------------------------


@function_tool(
    examples=[
        "what is {expression}",
        "how much is {expression}",
        "calculate {expression}",
        "what does {expression} make",
        "what do you get when you {expression}",
        "can you {expression}",
        "compute {expression}",
        "work out {expression}",
        "{expression}",
    ]
)
async def calculate(
    expression: Annotated[str, "A formula of numbers, + - * / ^ ( ), '% of' and 'root'"],
) -> str:
    """Work out an arithmetic expression."""
    try:
        value = evaluate(expression)
    except ValueError as error:
        raise ToolError(f"I can't work that out: {error}.") from None
    return f"{_spoken_formula(expression)} is {say_number(value)}."


_SPOKEN = {
    "*": "times",
    "/": "divided by",
    "+": "plus",
    "-": "minus",
    "^": "to the power of",
    "% of": "percent of",
}


def _spoken_formula(expression: str) -> str:
    text = f" {expression} ".replace(" % of ", " percent of ").replace(" root ", " the square root of ")
    for sign, word in _SPOKEN.items():
        text = text.replace(f" {sign} ", f" {word} ")
    text = " ".join(text.split())
    return text[:1].upper() + text[1:]


def say_number(value: float) -> str:
    """A number as it is read out: whole where it is whole, else with at most six significant decimals."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"about {value:.6g}" if round(value, 6) != value else f"{value:g}"


# -- timers --------------------------------------------------------------------------------------------------------


class _Handle(Protocol):
    def cancel(self) -> object: ...


class TimerHost(Protocol):
    """What the timers need of a session. `AgentSession` has it."""

    @property
    def now(self) -> float:
        """Session time, in seconds."""

    def call_later(self, delay_s: float, callback: Callable[[], object], /) -> _Handle:
        """Call back in ``delay_s`` seconds of session time, unless the session ends before."""

    def say(self, text: str, /) -> object:
        """Speak a text."""


@dataclass(slots=True, eq=False)
class _Timer:
    duration_s: float
    due_s: float  # in session time
    handle: _Handle | None = None


_TIMERS_MAX = 20
# By session and gone with it: a timer's callback is dropped by the session when it ends.
_timers: WeakKeyDictionary[TimerHost, list[_Timer]] = WeakKeyDictionary()


def _host(context: RunContext) -> TimerHost:
    if not hasattr(context.session, "call_later"):
        raise ToolError("Timers are not available in this session.")
    session: TimerHost = context.session
    return session


@function_tool(
    examples=[
        "set a timer for {duration_s}",
        "set a timer",
        "set a {duration_s} timer",
        "start a {duration_s} timer",
        "start a timer for {duration_s}",
        "make a timer for {duration_s}",
        "i need a timer for {duration_s}",
        "timer {duration_s}",
        "wake me up in {duration_s}",
        "remind me in {duration_s}",
        "tell me when {duration_s} is over",
        "set an alarm in {duration_s}",
        "set an alarm for {duration_s}",
        "count down {duration_s}",
        "give me a {duration_s} timer",
        "put a timer on for {duration_s}",
        "start a countdown of {duration_s}",
    ]
)
async def set_timer(duration_s: Annotated[float, "For how long, in seconds"], context: RunContext) -> str:
    """Set a timer that speaks when it is over."""
    session = _host(context)
    running = _timers.setdefault(session, [])
    if not 0 < duration_s <= 366 * 86400:
        raise ToolError("A timer must be longer than nothing and at most a year.")
    if len(running) >= _TIMERS_MAX:
        raise ToolError(f"There are {_TIMERS_MAX} timers already. Cancel one first.")
    timer = _Timer(duration_s, session.now + duration_s)

    def ring() -> None:
        running.remove(timer)
        session.say(f"Your timer for {say_duration(duration_s)} is over.")

    timer.handle = session.call_later(duration_s, ring)
    running.append(timer)
    return f"Timer set for {say_duration(duration_s)}."


@function_tool(
    examples=[
        "what timers are running",
        "which timers are set",
        "how long is left on the timer",
        "how much time is left",
        "how much time is left on my timer",
        "list my timers",
        "is there a timer running",
        "when does the timer go off",
        "check the timer",
        "timer status",
        "how long until the timer goes off",
        "how much longer on the timer",
        "when is the timer done",
        "when will the timer end",
    ]
)
async def list_timers(context: RunContext) -> str:
    """Say which timers are running and how long each has left."""
    session = _host(context)
    running = sorted(_timers.get(session, ()), key=lambda timer: timer.due_s)
    if not running:
        return "No timer is running."
    left = [
        f"the timer for {say_duration(timer.duration_s)} has {say_duration(timer.due_s - session.now)} left"
        for timer in running
    ]
    text = _listed(left)
    return f"{text[:1].upper()}{text[1:]}."


@function_tool(
    examples=[
        "cancel the timer",
        "cancel my timer",
        "cancel all timers",
        "stop the timer",
        "stop all timers",
        "delete the timer",
        "cancel the {duration_s} timer",
        "stop the {duration_s} timer",
        "cancel the timer for {duration_s}",
        "turn off the timer",
        "forget the timer",
        "kill the timer",
        "end the timer",
        "clear the timer",
    ]
)
async def cancel_timer(
    context: RunContext,
    duration_s: Annotated[float | None, "The length of the one to cancel, in seconds; none: all"] = None,
) -> str:
    """Cancel the running timers, or the one of a given length."""
    running = _timers.get(_host(context), [])
    chosen = [timer for timer in running if duration_s is None or abs(timer.duration_s - duration_s) < 0.5]
    if not chosen:
        return (
            "No timer is running."
            if not running
            else f"No timer for {say_duration(duration_s or 0)} is running."
        )
    for timer in chosen:
        running.remove(timer)
        if timer.handle is not None:
            timer.handle.cancel()
    return "The timer is cancelled." if len(chosen) == 1 else f"All {len(chosen)} timers are cancelled."


def say_duration(seconds: float) -> str:
    """A length of time in words: ``5400`` is "1 hour and 30 minutes"."""
    rest = max(0, round(seconds))
    parts: list[str] = []
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {name}{'s' if count != 1 else ''}")
    return _listed(parts) if parts else "less than a second"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f" and {parts[-1]}"


# -- words ---------------------------------------------------------------------------------------------------------


@function_tool(
    examples=[
        "spell {word:words}",
        "spell the word {word:words}",
        "how do you spell {word:words}",
        "how is {word:words} spelled",
        "how is {word:words} spelt",
        "how do you spell the word {word:words}",
        "how do you spell",
        "can you spell {word:words} for me",
        "what is the spelling of {word:words}",
        "give me the spelling of {word:words}",
    ]
)
async def spell(word: Annotated[str, "The word"]) -> str:
    """Spell a word, letter by letter."""
    words = [", ".join(letter.upper() for letter in each if letter.isalnum()) for each in word.split()]
    spelled = "; ".join(each for each in words if each)
    if not spelled:
        raise ToolError("There is no word to spell.")
    return f"{spelled}."


@function_tool(
    examples=[
        "repeat after me {text}",
        "repeat {text}",
        "repeat the words {text}",
        "repeat the sentence {text}",
        "say {text}",
        "please say {text} for me",
        "say the following {text}",
    ]
)
async def repeat(text: Annotated[str, "What to say"]) -> str:
    """Say exactly what the user asks to have repeated."""
    text = text.strip()
    if not text:
        raise ToolError("There is nothing to repeat.")
    return text[:1].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


@function_tool(
    examples=[
        "say that again",
        "repeat what you said",
        "i did not catch that",
        "repeat that",
        "can you repeat that",
        "repeat that please",
        "what did you say",
        "what did you just say",
        "did you say something",
        "i did not hear you",
        "i did not understand you",
        "come again",
        "pardon",
        "what",
        "sorry what",
        "huh",
        "one more time please",
    ]
)
async def say_again(context: RunContext) -> str:
    """Repeat the last thing the assistant said."""
    history = getattr(context.session, "history", None)
    said = [message.text for message in history.messages if message.role == "assistant"] if history else []
    last = next((text for text in reversed(said) if text.strip()), None)
    return last if last is not None else "I have not said anything yet."


BUILTIN_TOOLS: tuple[FunctionTool, ...] = (
    tell_time,
    tell_date,
    calculate,
    set_timer,
    list_timers,
    cancel_timer,
    spell,
    repeat,
    say_again,
)
"""The embedded default's functions."""
