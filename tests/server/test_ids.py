"""Ids as the service's."""

from __future__ import annotations

from repartee.server.ids import random_id


def test_ids_are_long_different_and_of_letters_and_digits() -> None:
    made = {random_id("event") for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(each) == len("event_") + 21 <= 32 and each[6:].isalnum() for each in made)
