"""Ids: ours, the server's, and those that are too long."""

from __future__ import annotations

from repartee.plugins.openai.realtime.ids import Ids, fit_id

LONG = "an_identifier_of_more_than_32_characters"


def test_a_short_id_is_kept_and_a_long_one_is_cut_always_to_the_same() -> None:
    assert fit_id("item_1") == "item_1"
    assert len(fit_id(LONG)) <= 32
    assert fit_id(LONG) == fit_id(LONG) != fit_id(LONG + "x")


def test_the_server_names_our_turn() -> None:
    ids = Ids()
    ids.adopt("item_server", "item_mine")
    assert ids.local("item_server") == "item_mine"
    assert ids.remote("item_mine") == "item_server"
    assert ids.known("item_server")
    assert ids.local("item_other") == ids.remote("item_other") == "item_other"
    ids.clear()
    assert ids.remote("item_mine") == "item_mine"


def test_an_item_that_is_sent_again_has_our_id_there() -> None:
    ids = Ids()
    ids.adopt("item_server", "item_mine")
    assert ids.sent("item_mine") == "item_mine"
    assert ids.remote("item_mine") == "item_mine"
    assert ids.local(ids.sent(LONG)) == LONG
    assert ids.remote(LONG) == fit_id(LONG)


def test_the_oldest_are_forgotten() -> None:
    ids = Ids()
    for at in range(5000):
        ids.adopt(f"r{at}", f"l{at}")
    assert not ids.known("r0")
    assert ids.remote("l0") == "l0"
    assert ids.local("r4999") == "l4999"
