"""A recogniser followed through turns: what is told, in which order, and what a failure leaves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from repartee.compose.hearing import Hearing, Segment, Turn
from repartee.errors import ModelError, ModelTimeoutError
from repartee.models import Interim
from repartee.testing import Fault, ScriptedSTT, elapse, fail, stall, virtual_time
from repartee.testing.realtime_talk import frames_of


class Told:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.readings: list[tuple[str, bool]] = []
        self.done: list[str] = []
        self.lost: list[str | None] = []
        self.errors: list[ModelError] = []

    def on_reading(self, turn: Turn, *, endpoint: bool) -> None:
        assert turn.item_id is not None
        self.readings.append((turn.text, turn.settled))

    def on_turn_done(self, turn: Turn) -> None:
        assert turn.settled
        self.done.append(turn.text)

    def on_turn_lost(self, turn: Turn, error: ModelError) -> None:
        self.lost.append(turn.item_id)

    def on_hearing_error(self, error: ModelError) -> None:
        self.errors.append(error)


def hearing(final_lag_s: float = 0.1, faults: Sequence[Fault] = ()) -> tuple[Hearing, Told]:
    told = Told()
    stt = ScriptedSTT(final_lag_s=final_lag_s, faults=faults)
    return Hearing(stt, told, final_timeout_s=1.0), told


async def speak(ears: Hearing, text: str) -> None:
    for frame in frames_of(text):
        ears.push(frame)
        await elapse(0.02)


@virtual_time
async def test_turns_are_done_in_order_each_with_its_words() -> None:
    ears, told = hearing(final_lag_s=0.6)
    await speak(ears, "one")
    first = ears.commit()
    await speak(ears, "two")
    ears.commit()
    waits = [ears.is_committing]
    assert (first.committed, told.done) == (True, [])
    await elapse(2)
    assert told.done == ["one", "two"]
    waits.append(ears.is_committing)
    assert waits == [True, False]
    assert told.readings[-1] == ("two", True)
    await ears.aclose()


@virtual_time
async def test_settled_words_stand_while_the_turn_goes_on() -> None:
    ears, told = hearing()
    await speak(ears, "book a")
    ears.settle()
    await elapse(0.3)
    assert told.readings[-1] == ("book a", True)
    await speak(ears, "table")
    await elapse(0.1)
    assert told.readings[-1] == ("book a table", False)
    assert ears.commit().text == "book a table"
    await elapse(0.3)
    assert told.done == ["book a table"]
    await ears.aclose()


@virtual_time
async def test_what_is_cleared_while_its_last_words_are_awaited_is_no_failure() -> None:
    ears, told = hearing(final_lag_s=0.5)
    await speak(ears, "never mind")
    ears.settle()
    ears.clear()
    await elapse(3)
    assert told.errors == []
    assert ears.turn.text == ""
    await speak(ears, "again")
    ears.commit()
    await elapse(1)
    assert told.done == ["again"]
    await ears.aclose()


@virtual_time
async def test_clearing_the_open_turn_leaves_the_committed_one_its_deadline() -> None:
    ears, told = hearing(faults=[stall(1, after=1)])
    await speak(ears, "hello")
    ears.commit()
    await speak(ears, "what")
    ears.clear()
    await elapse(3)
    assert [type(error) for error in told.errors] == [ModelTimeoutError]
    assert len(told.done) == 1
    await ears.aclose()


@virtual_time
async def test_a_recogniser_that_fails_is_replaced() -> None:
    ears, told = hearing(faults=[fail(1)])
    ears.turn.item_id = "item_1"
    await speak(ears, "hello")
    ears.commit()
    await elapse(2)
    assert len(told.errors) == 1
    assert (told.lost, told.done) in ((["item_1"], [""]), ([], [""]))
    await speak(ears, "again")
    ears.commit()
    await elapse(1)
    assert told.done[-1] == "again"
    await ears.aclose()


@virtual_time
async def test_nothing_is_told_once_it_is_closed() -> None:
    ears, told = hearing()
    await speak(ears, "hello")
    ears.commit()
    await ears.aclose()
    await ears.aclose()
    ears.push(frames_of("x")[0])
    await elapse(2)
    assert told.done == []


@pytest.mark.parametrize(
    "segments, interim, text, stable, settled",
    [
        ([], Interim("a b", 1), "a b", 1, False),
        ([Segment("a", 0, None)], Interim(""), "a", 1, True),
        ([Segment("a", 0, None), Segment("bcd", 2, 7)], Interim("e"), "a bcd e", 4, False),
    ],
)
def test_what_a_turn_says_of_itself(
    segments: list[Segment], interim: Interim, text: str, stable: int, settled: bool
) -> None:
    turn = Turn(segments=segments, interim=interim)
    assert (turn.text, turn.stable_chars, turn.settled) == (text, stable, settled)


def test_a_late_reading_belongs_to_the_segment_that_is_awaited_unless_it_contradicts_it() -> None:
    turn = Turn(interim=Interim("book a", 4))
    turn.flushed(1)
    turn.read(Interim("book a table", 4))
    assert (turn.text, turn.interim.text) == ("book a table", "")
    turn.read(Interim("for two"))
    assert turn.text == "book a table for two"
    error = ModelError("deaf", stage="stt")
    assert turn.give_up(error)
    assert turn.settled
    assert turn.lost is error
    turn.lost = None
    assert not turn.give_up(error)
    assert turn.lost is None, "nothing was owed"
