"""What a session waits for, each with its deadline: `Waits`, with one timer for all of them, and `TurnWaits`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from repartee.clock import Clock
from repartee.protocol import events as wire

__all__ = ["TurnWaits", "Wait", "Waits"]

_ROUNDING_S = 1e-6
_KEPT = 64


@dataclass(frozen=True, slots=True)
class Wait:
    """One kind of waiting.

    Args:
        oldest_s: since when, in session time, the oldest such thing is waited for; ``None``: nothing is.
        limit_s: how long that may be.
        time_out: called with the session time at or before which what is overdue began, and with ``limit_s``.
    """

    oldest_s: Callable[[], float | None]
    limit_s: float
    time_out: Callable[[float, float], None]


class Waits:
    """Several kinds of waiting, and one timer.

    Args:
        clock: session time.
        waits: the kinds.
    """

    def __init__(self, clock: Clock, waits: Sequence[Wait]) -> None:
        self._clock = clock
        self._waits = waits
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._closed = False

    def arm(self) -> None:
        """Something may have begun or ended."""
        due = [oldest_s + wait.limit_s for wait in self._waits if (oldest_s := wait.oldest_s()) is not None]
        if not due or self._closed:
            self._stop()
        elif self._timer is None or min(due) < self._due_s - _ROUNDING_S:
            # A later one than the timer is looked at when that runs: most of what is waited for comes in time.
            self._stop()
            self._due_s = min(due)
            self._timer = asyncio.get_running_loop().call_at(self._clock.to_source(self._due_s), self._look)

    def close(self) -> None:
        """Wait for nothing any more."""
        self._closed = True
        self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._clock.now()
        for wait in self._waits:
            oldest_s = wait.oldest_s()
            if oldest_s is not None and now - oldest_s >= wait.limit_s - _ROUNDING_S:
                wait.time_out(now - wait.limit_s + _ROUNDING_S, wait.limit_s)
        self.arm()


class TurnWaits:
    """The caller's turns: which were committed and are not acknowledged, and which are still to be written down.

    Args:
        now: session time, in seconds.
        local: our id for an item of the server's.
        transcribes: whether the server writes turns down.
    """

    def __init__(self, now: Callable[[], float], local: Callable[[str], str], *, transcribes: bool) -> None:
        self._now = now
        self._local = local
        self.transcribes = transcribes
        self._commits: deque[float] = deque()  # bounded by who talks, and emptied by its deadline
        self._words: dict[str, float] = {}  # the oldest are forgotten

    def committed_here(self) -> None:
        """A commit was sent."""
        self._commits.append(self._now())

    def connection_lost(self) -> None:
        """No acknowledgement comes of what was sent."""
        self._commits.clear()

    def note(self, event: wire.ServerEvent) -> None:
        """An event of the server's, once it has been dealt with."""
        match event:
            case wire.InputAudioBufferCommitted(item_id=item_id):
                self.commit_ended()
                if self.transcribes:
                    self._words[self._local(item_id)] = self._now()
                    while len(self._words) > _KEPT:
                        del self._words[next(iter(self._words))]
            case wire.TranscriptionDelta(item_id=item_id) if self._local(item_id) in self._words:
                self._words[self._local(item_id)] = self._now()
            case wire.TranscriptionCompleted(item_id=item_id) | wire.TranscriptionFailed(item_id=item_id):
                self._words.pop(self._local(item_id), None)
            case _:
                pass

    def commit_ended(self) -> None:
        """The oldest commit was acknowledged, or refused."""
        if self._commits:
            self._commits.popleft()

    def oldest_commit_s(self) -> float | None:
        """When the oldest commit was sent that is not acknowledged."""
        return self._commits[0] if self._commits else None

    def oldest_words_s(self) -> float | None:
        """Since when the words of a turn are waited for."""
        return min(self._words.values(), default=None)

    def overdue_words(self, before_s: float) -> list[str]:
        """The turns, by our ids, of which nothing was written since then. They are waited for no more."""
        overdue = [item_id for item_id, since_s in self._words.items() if since_s <= before_s]
        for item_id in overdue:
            del self._words[item_id]
        return overdue
