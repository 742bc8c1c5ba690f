"""Whether one more is taken in: counts of sessions and connections, and the rate of a client's events.

Everything here is decided before a session is made, or an event is decoded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from repartee.server.options import LoadOptions
from repartee.server.replies import ErrorReply

__all__ = ["Admission", "EventRate", "Place"]

RETRY_AFTER_S = 5


class Place:
    """One session's place among the admitted; given back once."""

    __slots__ = ("_admission", "_name")

    def __init__(self, admission: Admission, name: str) -> None:
        self._admission: Admission | None = admission
        self._name = name

    def release(self) -> None:
        """Give it back. Idempotent."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission._leave(self._name)


class Admission:
    """Counts who is in.

    Args:
        options: the limits.
    """

    def __init__(self, options: LoadOptions) -> None:
        self._options = options
        self._by_name: Counter[str] = Counter()
        self.sessions = 0
        """Running now."""
        self.connections = 0
        """Open now, with a session or not."""
        self.draining = False
        """Whether the server is about to stop: nobody new is taken in."""

    @property
    def full(self) -> bool:
        """Whether there is room for no more sessions."""
        return self.sessions >= self._options.sessions

    def enter(self, name: str) -> Place:
        """Take one session in.

        Args:
            name: of the key it comes with.

        Raises:
            ErrorReply: 503, there is no room, or the server is about to stop; 429, there is none for this key.
        """
        self.check_open()
        if self.full:
            raise _busy(
                503, "server_full", f"All {self._options.sessions} sessions of this server are taken."
            )
        most = self._options.sessions_per_key
        if most and self._by_name[name] >= most:
            raise _busy(429, "too_many_sessions", f"This key has its {most} sessions already.")
        self.sessions += 1
        self._by_name[name] += 1
        return Place(self, name)

    def check_open(self) -> None:
        """See that the server is not about to stop.

        Raises:
            ErrorReply: 503, it is.
        """
        if self.draining:
            raise _busy(503, "server_draining", "The server is about to stop and takes no new sessions.")

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Count one connection while it is open.

        Raises:
            ErrorReply: 503, there are too many.
        """
        if self.connections >= self._options.connections:
            raise _busy(503, "server_full", f"All {self._options.connections} connections are taken.")
        self.connections += 1
        try:
            yield
        finally:
            self.connections -= 1

    def _leave(self, name: str) -> None:
        self.sessions -= 1
        self._by_name[name] -= 1
        if not self._by_name[name]:
            del self._by_name[name]


def _busy(status: int, code: str, message: str) -> ErrorReply:
    return ErrorReply(
        status,
        code,
        f"{message} Try again later.",
        type="server_error",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


class EventRate:
    """A token bucket over one client's events.

    Args:
        per_s: events a second over a longer time.
        burst: events that may come at once.
    """

    __slots__ = ("_burst", "_per_s", "_then", "_tokens")

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._then = 0.0

    def allows(self, now: float) -> bool:
        """Whether one more event is allowed, which is then counted."""
        return self.take(1, now) == 1

    def take(self, most: int, now: float) -> int:
        """Count events: as many as are allowed now, up to ``most``.

        Args:
            most: how many are wanted. Who asks for some ahead looks at the clock less often.
            now: in seconds, of any clock that only goes forward.

        Returns:
            How many may come; 0: not one.
        """
        tokens = min(self._burst, self._tokens + (now - self._then) * self._per_s)
        self._then = now
        taken = min(most, int(tokens))
        self._tokens = tokens - taken
        return taken
