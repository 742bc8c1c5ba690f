"""The one place that reads a clock."""

from __future__ import annotations

from repartee.clock import Clock, cpu_seconds, local_datetime, wall_time


def test_a_clock_counts_from_where_it_was_made_on_its_source() -> None:
    times = iter([100.0, 100.5, 103.0])
    clock = Clock(lambda: next(times))
    assert clock.now() == 0.5
    assert clock.now() == 3.0
    assert clock.to_source(3.0) == 103.0


def test_the_default_source_never_goes_back() -> None:
    clock = Clock()
    times = [clock.now() for _ in range(1000)]
    assert times == sorted(times)
    assert times[0] >= 0.0


def test_the_other_readings_are_what_they_say() -> None:
    before = cpu_seconds()
    assert sum(range(100_000))
    assert cpu_seconds() >= before
    assert wall_time() > 1_700_000_000
    assert 0 <= local_datetime().tm_hour < 24
