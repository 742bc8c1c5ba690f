"""One of a thing for the whole process, as long as somebody holds it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

__all__ = ["shared"]

T = TypeVar("T")

_lock = threading.Lock()
_things: weakref.WeakValueDictionary[Hashable, Any] = weakref.WeakValueDictionary()


def shared(key: Hashable, make: Callable[[], T]) -> T:
    """The thing that lives under ``key``, made by ``make`` if there is none.

    Nothing here owns it: it is gone when the last holder lets go, and the next call makes another. ``make``
    must be quick (load later, on first use), since it runs under a lock, and must not call `shared` itself.
    """
    with _lock:
        thing = _things.get(key)
        if thing is None:
            thing = _things[key] = make()
        found: T = thing
        return found
