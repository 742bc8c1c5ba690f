"""`Drafts`: answers that are prepared while the turn may still go on, and kept unseen."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from repartee.models import RealtimeSession
from repartee.models.events import RealtimeEvent, ResponseCreated, ResponseDone, StageReached

__all__ = ["Drafts"]


@dataclass(slots=True)
class _Draft:
    item_id: str
    """The user's turn that it answers."""
    response_id: str | None = None
    held: deque[RealtimeEvent] = field(default_factory=deque)  # bounded by how far the voice may run ahead
    failed: bool = False


class Drafts:
    """Holds back every event of a prepared answer until it is released.

    Args:
        session: who prepares them.
    """

    __slots__ = ("_by_request", "_by_response", "_discarded", "_session", "_unwanted")

    def __init__(self, session: RealtimeSession) -> None:
        self._session = session
        self._by_request: dict[str, _Draft] = {}
        self._by_response: dict[str, _Draft] = {}
        self._discarded: set[str] = set()
        self._unwanted: dict[str, str] = {}

    def begin(self, request_id: str, item_id: str) -> None:
        """The response of that request is a draft: the answer to a turn that will be this item."""
        self._by_request[request_id] = _Draft(item_id)

    def usable(self, request_id: str, last_item_id: str | None) -> bool:
        """Whether it can be released: it is there, has not failed, and nothing was said since the turn it answers.

        Args:
            request_id: of the draft.
            last_item_id: the newest item of the conversation.
        """
        draft = self._by_request.get(request_id)
        return (
            draft is not None
            and not draft.failed
            and draft.response_id is not None
            and draft.item_id == last_item_id
        )

    def hold(self, event: RealtimeEvent) -> bool:
        """Take an event of the session: whether it belongs to a draft, and so is nobody else's business yet."""
        if not (self._by_response or self._by_request or self._discarded or self._unwanted):
            return False
        if isinstance(event, ResponseCreated):
            return self._begun(event)
        response_id = getattr(event, "response_id", None)
        if response_id is None:
            return False
        if response_id in self._discarded:
            if isinstance(event, ResponseDone):
                self._discarded.discard(response_id)
            return True
        draft = self._by_response.get(response_id)
        if draft is None or isinstance(event, StageReached):
            return False
        if isinstance(event, ResponseDone) and event.status in ("failed", "cancelled"):
            draft.failed = True
        draft.held.append(event)
        return True

    def _begun(self, event: ResponseCreated) -> bool:
        request_id = event.request_id or ""
        if request_id in self._unwanted:
            self._discarded.add(event.response_id)
            self._session.cancel_response(event.response_id, reason=self._unwanted.pop(request_id))
            return True
        draft = self._by_request.get(request_id)
        if draft is None:
            return False
        draft.response_id = event.response_id
        draft.held.append(event)
        self._by_response[event.response_id] = draft
        return True

    def discard(self, request_id: str, reason: str) -> None:
        """Cancel it; no trace of it is ever seen."""
        draft = self._by_request.pop(request_id, None)
        if draft is None:
            return
        if draft.response_id is None:
            self._unwanted[request_id] = reason  # it is cancelled once it begins
            return
        del self._by_response[draft.response_id]
        ended = any(isinstance(event, ResponseDone) for event in draft.held)
        if not ended:
            self._discarded.add(draft.response_id)
        self._session.cancel_response(draft.response_id, reason=reason)

    def release(self, request_id: str, tell: Callable[[RealtimeEvent], None]) -> None:
        """Let it be seen: tell what was held back, in order, and hold back nothing more."""
        draft = self._by_request.pop(request_id)
        # What it says meanwhile queues behind what was held.
        while draft.held:
            tell(draft.held.popleft())
        if draft.response_id is not None:
            del self._by_response[draft.response_id]
