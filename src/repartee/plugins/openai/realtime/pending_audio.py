"""`PendingAudio`: the caller's audio that no words stand for yet, so that a new connection can be given it.

Three kinds, oldest first: turns that are committed and whose words are not known (a server that has lost its
connection knows them; the next one must hear them), turns that were committed and not acknowledged, and what came
since. While the server takes turns and nobody speaks, only the newest moment is kept.
"""

from __future__ import annotations

from collections import deque

__all__ = ["PendingAudio"]


class PendingAudio:
    """What may have to be said again.

    Args:
        max_bytes: how much is kept, a sixth of it of turns whose words are not known; the oldest is dropped, and
            counted in `dropped_bytes`.
        idle_bytes: how much of it while nobody speaks (see `speaking`).
        server_commits: whether the server takes turns, so that it says when somebody speaks.
    """

    __slots__ = (
        "_committing",
        "_idle_bytes",
        "_max_bytes",
        "_open",
        "_open_size",
        "_server_commits",
        "_turns",
        "dropped_bytes",
        "speaking",
    )

    def __init__(self, max_bytes: int, idle_bytes: int, *, server_commits: bool = False) -> None:
        self._max_bytes = max_bytes
        self._idle_bytes = idle_bytes
        self._open: deque[bytes] = deque()  # bounded by max_bytes; the oldest is dropped
        self._committing: deque[bytes] = deque()  # bounded by max_bytes, with the next; the oldest is dropped
        self._turns: dict[str, bytes] = {}
        self._open_size = 0
        self.dropped_bytes = 0
        self._server_commits = server_commits
        self.speaking = not server_commits
        """Whether what comes may be part of a turn. Only a server that takes turns says otherwise."""

    @property
    def open_bytes(self) -> int:
        """How much has been appended and not committed."""
        return self._open_size

    def append(self, pcm: bytes) -> None:
        """More audio."""
        self._open.append(pcm)
        self._open_size += len(pcm)
        limit = self._max_bytes if self.speaking else self._idle_bytes
        if self._open_size <= limit:
            return
        while self._open_size > limit and len(self._open) > 1:
            oldest = self._open.popleft()
            self._open_size -= len(oldest)
            if self.speaking:
                self.dropped_bytes += len(oldest)

    def commit(self) -> None:
        """What was appended is a turn; the server has not said so yet."""
        self._committing.append(b"".join(self._open))
        self.clear()
        self._trim()

    def acknowledged(self, item_id: str) -> None:
        """The server has the oldest turn, as that item."""
        if self._committing:
            self._turns[item_id] = self._committing.popleft()
        else:  # the server's own turn detection committed what it was sent
            self._turns[item_id] = b"".join(self._open)
            self.clear()
        self.speaking = not self._server_commits
        self._trim()

    def refused(self) -> None:
        """The server has not taken the oldest turn."""
        if self._committing:
            self._committing.popleft()

    def known(self, item_id: str) -> None:
        """The words of a turn are known, or it is gone: its audio is not needed any more."""
        self._turns.pop(item_id, None)

    def audio_of(self, item_id: str) -> bytes | None:
        """The audio of a turn whose words are not known."""
        return self._turns.get(item_id)

    def clear(self) -> None:
        """Forget what was not committed."""
        self._open.clear()
        self._open_size = 0

    def to_replay(self) -> tuple[list[bytes], bytes]:
        """Turns that were committed and not acknowledged, oldest first, and what follows them."""
        return list(self._committing), b"".join(self._open)

    def _trim(self) -> None:
        size = sum(map(len, self._turns.values()))
        while size > self._max_bytes // 6:  # a turn's meaning is mostly in its answer, which is kept
            size -= self._drop(self._turns.pop(next(iter(self._turns))))
        size += sum(map(len, self._committing))
        while size > self._max_bytes:
            size -= self._drop(self._committing.popleft())

    def _drop(self, pcm: bytes) -> int:
        self.dropped_bytes += len(pcm)
        return len(pcm)
