"""`Ids`: which of our ids stands for which of the server's.

They are the same unless the server chose one (the caller's turns) or ours is longer than it takes.
"""

from __future__ import annotations

import hashlib

__all__ = ["Ids", "fit_id"]

_MAX_CHARS = 32  # of an item's or a call's id (measured on the wire)
_KEPT = 4096


def fit_id(own: str) -> str:
    """An id as the server takes it: shortened where it is too long, always to the same."""
    if len(own) <= _MAX_CHARS:
        return own
    return f"{own[:7]}_{hashlib.sha256(own.encode()).hexdigest()[:24]}"


class Ids:
    """The items of one connection."""

    __slots__ = ("_local", "_remote")

    def __init__(self) -> None:
        self._local: dict[str, str] = {}
        self._remote: dict[str, str] = {}

    def local(self, remote_id: str) -> str:
        """Our id for an item of the server's."""
        return self._local.get(remote_id, remote_id)

    def remote(self, local_id: str) -> str:
        """The server's id for an item of ours."""
        return self._remote.get(local_id) or fit_id(local_id)

    def known(self, remote_id: str) -> bool:
        """Whether it stands for another one."""
        return remote_id in self._local

    def adopt(self, remote_id: str, local_id: str) -> None:
        """The server's item is that one of ours."""
        if remote_id == local_id:
            return
        self._local[remote_id], self._remote[local_id] = local_id, remote_id
        while len(self._local) > _KEPT:
            oldest = next(iter(self._local))
            self._remote.pop(self._local.pop(oldest), None)

    def sent(self, local_id: str) -> str:
        """An item goes out under the id that this gives."""
        remote_id = fit_id(local_id)
        self._remote.pop(local_id, None)
        self.adopt(remote_id, local_id)
        return remote_id

    def clear(self) -> None:
        """A new server knows nothing."""
        self._local.clear()
        self._remote.clear()
