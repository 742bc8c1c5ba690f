"""What was heard: three totals that move one way, and sums that agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.errors import StateError
from repartee.turns import HeardLedger, ItemAccount


def ledger_with(*items: tuple[str, int], rate: int = 1000) -> HeardLedger:
    """Items that are generated and sent whole. At 1000 Hz, a sample is a millisecond."""
    ledger = HeardLedger(rate)
    for item_id, samples in items:
        account = ledger.open(item_id, "r1")
        ledger.generated(account, samples)
        ledger.sent(account, samples)
    return ledger


def test_a_position_is_shared_out_among_items_in_order() -> None:
    ledger = ledger_with(("a", 300), ("b", 200))
    assert (ledger.sent_samples, ledger.played_samples, ledger.unplayed_samples) == (500, 0, 500)
    ledger.played(250)
    assert (ledger.heard_ms("a"), ledger.heard_ms("b")) == (250.0, 0.0)
    ledger.played(450)
    assert (ledger.heard_ms("a"), ledger.heard_ms("b")) == (300.0, 150.0)
    assert ledger.unplayed_samples == 50


def test_a_late_or_impossible_position_changes_nothing_it_should_not() -> None:
    ledger = ledger_with(("a", 300))
    ledger.played(200)
    ledger.played(100)  # behind what is known
    assert ledger.played_samples == 200
    ledger.played(10_000)  # an output can't have played what it was not given
    assert ledger.played_samples == 300
    assert ledger.heard_ms("a") == 300.0


def test_clearing_takes_back_what_was_not_played_and_the_line_goes_on_there() -> None:
    ledger = ledger_with(("a", 300), ("b", 200))
    ledger.cleared(120)
    assert (ledger.sent_samples, ledger.played_samples, ledger.unplayed_samples) == (120, 120, 0)
    a, b = ledger.account("a"), ledger.account("b")
    assert a is not None
    assert b is not None
    assert (a.generated_samples, a.sent_samples, a.played_samples) == (300, 120, 120)
    assert (b.generated_samples, b.sent_samples, b.played_samples) == (200, 0, 0)
    ledger.played(120)  # an acknowledgement that was under way
    account = ledger.open("c", "r2")
    ledger.generated(account, 100)
    ledger.sent(account, 100)
    ledger.played(170)
    assert [ledger.heard_ms(item) for item in "abc"] == [120.0, 0.0, 50.0]


def test_clearing_may_say_that_more_was_played_than_was_known() -> None:
    ledger = ledger_with(("a", 300))
    ledger.played(100)
    ledger.cleared(180)
    assert ledger.heard_ms("a") == 180.0
    ledger.cleared(50)  # a second, late answer
    assert ledger.played_samples == 180


def test_an_item_that_is_sent_in_turns_with_another() -> None:
    ledger = ledger_with(("a", 100), ("b", 50), ("a", 100), ("c", 0), ("b", 50))
    ledger.played(240)
    assert [ledger.heard_ms(item) for item in "abc"] == [190.0, 50.0, 0.0]
    ledger.played(300)
    assert [ledger.heard_ms(item) for item in "abc"] == [200.0, 100.0, 0.0]


def test_heard_words_follow_the_audio() -> None:
    ledger = ledger_with(("a", 900))
    account = ledger.account("a")
    assert account is not None
    for word, start_ms in (("One ", 0.0), ("two ", 300.0), ("three", 600.0)):
        account.alignment.add_text(word, start_ms)
    ledger.played(650)
    assert ledger.heard_text("a") == "One two"
    ledger.played(900)
    assert ledger.heard_text("a") == "One two"
    ledger.close(account)
    assert account.closed
    assert ledger.heard_text("a") == "One two three"


def test_an_item_it_does_not_know_was_not_heard() -> None:
    ledger = HeardLedger(24_000)
    assert ledger.account("x") is None
    assert ledger.heard_ms("x") == 0.0
    assert ledger.heard_text("x") == ""


def test_milliseconds_are_of_the_outputs_rate() -> None:
    ledger = ledger_with(("a", 12_000), rate=24_000)
    ledger.played(6_000)
    assert ledger.heard_ms("a") == 250.0
    account = ledger.account("a")
    assert account is not None
    assert account.alignment.audio_ms == 500.0


def test_more_sent_than_generated_is_refused_and_changes_nothing() -> None:
    ledger = ledger_with(("a", 100))
    account = ledger.open("a", "r1")
    with pytest.raises(StateError, match="101 samples of a sent, but 100 generated"):
        ledger.sent(account, 1)
    assert account.sent_samples == ledger.sent_samples == 100


def test_an_account_is_opened_once() -> None:
    ledger = HeardLedger(1000)
    assert ledger.open("a", "r1") is ledger.open("a", "r1") is ledger.account("a")


def test_the_oldest_account_is_forgotten_but_not_one_that_plays() -> None:
    ledger = HeardLedger(1000, keep_items=3)
    for item_id in "abc":
        account = ledger.open(item_id, "r1")
        if item_id == "a":
            ledger.generated(account, 10)
            ledger.sent(account, 10)
    ledger.open("d", "r1")
    assert [ledger.account(item) is not None for item in "abcd"] == [True, False, True, True]
    ledger.played(10)
    ledger.open("e", "r1")
    assert ledger.account("a") is None


def test_even_where_everything_plays_accounts_are_bounded() -> None:
    ledger = HeardLedger(1000, keep_items=2)
    for item_id in "abc":
        account = ledger.open(item_id, "r1")
        ledger.generated(account, 10)
        ledger.sent(account, 10)
    assert ledger.account("a") is None
    ledger.played(30)
    assert ledger.heard_ms("c") == 10.0


events = st.lists(
    st.tuples(
        st.sampled_from(["generate", "send", "play", "late", "clear"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 400),
    ),
    max_size=60,
)


@given(events)
def test_generated_sent_and_played_keep_their_order(events: list[tuple[str, str, int]]) -> None:
    ledger = HeardLedger(1000)
    accounts: list[ItemAccount] = [ledger.open(item_id, "r1") for item_id in "abc"]
    played, position = dict.fromkeys("abc", 0), 0
    for kind, item_id, samples in events:
        account = ledger.open(item_id, "r1")
        match kind:
            case "generate":
                ledger.generated(account, samples)
            case "send":
                ledger.sent(account, min(samples, account.generated_samples - account.sent_samples))
            case "play":
                ledger.played(ledger.played_samples + samples)
            case "late":
                ledger.played(ledger.played_samples - samples)
            case _:
                ledger.cleared(ledger.played_samples + samples - 200)
                assert ledger.unplayed_samples == 0
        assert ledger.played_samples >= position
        position = ledger.played_samples
        for each in accounts:
            assert each.generated_samples >= each.sent_samples >= each.played_samples >= played[each.item_id]
            played[each.item_id] = each.played_samples
        assert sum(each.played_samples for each in accounts) == ledger.played_samples
        assert sum(each.sent_samples for each in accounts) == ledger.sent_samples


def test_an_item_that_broke_off() -> None:
    ledger = HeardLedger(1000)
    account = ledger.open("a", "r1")
    account.alignment.add_text("one two")
    ledger.generated(account, 500)
    account.alignment.add_text(" three")
    ledger.sent(account, 500)
    ledger.cut_off(account)
    ledger.played(500)
    assert account.closed
    assert ledger.heard_text("a") == "one two"
