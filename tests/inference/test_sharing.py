from __future__ import annotations

import gc
import threading

from repartee.inference import shared


class Thing:
    pass


def test_same_key_same_thing_until_nobody_holds_it() -> None:
    made: list[int] = []

    def make() -> Thing:
        made.append(1)
        return Thing()

    one = shared(("test", 1), make)
    assert shared(("test", 1), make) is one
    assert shared(("test", 2), make) is not one
    assert len(made) == 2
    del one
    gc.collect()
    assert isinstance(shared(("test", 1), make), Thing)
    assert len(made) == 3


def test_threads_that_ask_at_once_get_one_thing() -> None:
    meet = threading.Barrier(8)
    got: list[Thing] = []

    def ask() -> None:
        meet.wait(30)
        got.append(shared("test at once", Thing))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, got))) == 1
