"""What both ends of the load share: a stamp within the sound, a turn for everybody every 20 ms, figures."""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

__all__ = [
    "FRAME_MS",
    "SAMPLE_RATE",
    "STAMP_BYTES",
    "Carousel",
    "percentile",
    "pin",
    "stamp",
    "stamped",
    "waited_s",
]

SAMPLE_RATE = 24_000
FRAME_MS = 20  # of a microphone
NAP_S = 0.001
"""The shortest sleep: uvloop would turn less into none, and a load that spins takes half of the core beside it."""
BEHIND_MAX_S = 1.0  # who is later than that leaves out turns, instead of being late for ever
_STAMP = struct.Struct("<dB")
STAMP_BYTES = _STAMP.size  # 9, so that the base64 of a stamp stands alone
_MARK = 0xA5

T = TypeVar("T")


def stamp(at_s: float) -> bytes:
    """A moment (of `time.monotonic`, which all processes of a machine share) to begin a piece of sound with."""
    return _STAMP.pack(at_s, _MARK)


def stamped(pcm: bytes) -> float | None:
    """The moment that a piece of sound begins with; ``None``: with none."""
    if len(pcm) < STAMP_BYTES or pcm[STAMP_BYTES - 1] != _MARK:
        return None
    moment: float = _STAMP.unpack_from(pcm)[0]
    return moment


def percentile(values: Sequence[float], percent: float) -> float:
    """As the name says; not a number where there is nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


def pin(core: int) -> None:
    """Keep this process on one core, where there are two of them."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[core % len(cores)]})


def waited_s() -> float:
    """How long this process has waited for its core while others used it; 0 where the system does not tell."""
    try:
        with open("/proc/self/schedstat") as told:
            return int(told.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


class Carousel(Generic[T]):
    """Gives each of its members its turn every ``period_s``, each at its own moment.

    Args:
        turn: is called with a member and the moment that is its own; may be a coroutine function.
        period_s: between two turns of a member.
    """

    def __init__(self, turn: Callable[[T, float], Awaitable[None] | None], period_s: float) -> None:
        self._turn = turn
        self._period_s = period_s
        self._members: deque[tuple[float, T]] = deque()  # in the order of their turns, which never changes
        self._gone: set[int] = set()
        self._wake = asyncio.Event()

    def add(self, member: T, due_s: float | None = None) -> None:
        """Let another one ride; its first turn is a period from now, or at that moment, later than all others'."""
        now = asyncio.get_running_loop().time()
        self._members.append((now + self._period_s if due_s is None else due_s, member))
        self._wake.set()

    def remove(self, member: T) -> None:
        """Let one go."""
        self._gone.add(id(member))

    async def run(self, until_s: float = float("inf")) -> None:
        """Turn until that moment."""
        loop, members, period_s = asyncio.get_running_loop(), self._members, self._period_s
        while (now := loop.time()) < until_s:
            if not members:
                self._wake.clear()
                await self._wake.wait()
                continue
            due_s = members[0][0]
            if due_s > now:
                await asyncio.sleep(max(min(due_s, until_s) - now, NAP_S))
                continue
            # Everybody once at most: where all are late, the sockets need their turn, too.
            for _ in range(len(members)):
                due_s, member = members[0]
                if due_s > now:
                    break
                members.popleft()
                if id(member) in self._gone:
                    self._gone.discard(id(member))
                    continue
                members.append((max(due_s, now - BEHIND_MAX_S) + period_s, member))
                made = self._turn(member, due_s)
                if made is not None:
                    await made
            await asyncio.sleep(0)  # the sockets need their turn
