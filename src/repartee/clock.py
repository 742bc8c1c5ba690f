"""Time, in one place: the only module that reads a real clock.

Every other module is handed a `Clock` (or a plain ``now``), so a whole session can run on virtual time. A clock
counts seconds since it was made, which is also what every ``now`` of the pure machines means: seconds since the
session began. It is monotonic: a step of the wall clock changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock", "cpu_seconds", "local_datetime", "wall_time"]


class Clock:
    """Seconds since it was made.

    Args:
        source: returns monotonically increasing seconds. Default: `time.monotonic`. A session passes its event
            loop's ``time``, so on a virtual-time loop the session's time is virtual too.
    """

    __slots__ = ("_origin", "_source")

    def __init__(self, source: Callable[[], float] | None = None) -> None:
        self._source = source if source is not None else time.monotonic
        self._origin = self._source()

    def now(self) -> float:
        """Seconds since this clock was made."""
        return self._source() - self._origin

    def to_source(self, when: float) -> float:
        """Translate one of this clock's times into its source's (what ``loop.call_at`` takes)."""
        return when + self._origin


def cpu_seconds() -> float:
    """CPU seconds that this process has used, over all its threads; for benchmarks and `repartee doctor`."""
    return time.process_time()


def wall_time() -> float:
    """Unix time in seconds. For stamps that leave the process (a recording's header), never for decisions."""
    return time.time()


def local_datetime() -> time.struct_time:
    """The local calendar time, for the tools that tell it to a caller."""
    return time.localtime()
