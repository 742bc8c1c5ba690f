"""Answers that are prepared while the caller's turn may still go on: held back until the turn is over.

Whoever prepares one (`Listening`) asks the model's session for it; all that is known here is that no client has asked
for that response.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from repartee.models.events import RealtimeEvent, ResponseCreated, ResponseDone

__all__ = ["Draft", "HeldDrafts"]

DRAFTS_MAX = 8
"""The oldest is forgotten then; whoever prepared it has cancelled it long since."""


@dataclass(slots=True)
class Draft:
    """One answer."""

    request_id: str
    response_id: str
    changes: int
    """The conversation's state when it was begun."""
    held: deque[RealtimeEvent] = field(default_factory=deque)  # bounded by how far the voice may run ahead


class HeldDrafts:
    """The answers that nobody may know of yet."""

    def __init__(self) -> None:
        self._drafts: dict[str, Draft] = {}  # by response

    def hold(self, event: ResponseCreated, changes: int) -> None:
        """A response that no client has asked for begins."""
        while len(self._drafts) >= DRAFTS_MAX:
            del self._drafts[next(iter(self._drafts))]
        self._drafts[event.response_id] = Draft(event.request_id or "", event.response_id, changes)

    def take(self, event: RealtimeEvent, response_id: str) -> bool:
        """Hold an event back, if it belongs to a draft: whether it does."""
        draft = self._drafts.get(response_id)
        if draft is None:
            return False
        if isinstance(event, ResponseDone) and event.status in ("cancelled", "failed"):
            del self._drafts[response_id]
            return True
        draft.held.append(event)
        return True

    def release(self, request_id: str) -> Draft | None:
        """The draft of a request, held no longer; ``None``: there is none, or it has failed."""
        for response_id, draft in self._drafts.items():
            if draft.request_id == request_id:
                del self._drafts[response_id]
                return draft
        return None
