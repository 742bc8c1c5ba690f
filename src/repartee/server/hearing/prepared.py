"""`PreparedAnswers`: answers that were asked for while the caller's turn may still go on."""

from __future__ import annotations

from repartee.chat import AudioContent, Message
from repartee.models import RealtimeSession, ResponseOptions
from repartee.models.events import RealtimeEvent, ResponseCreated

__all__ = ["PreparedAnswers"]

UNWANTED_MAX = 16


class PreparedAnswers:
    """Asks for drafts and takes them back. Their events are held back by whoever consumes the session's.

    Args:
        inner: the model's session.
    """

    __slots__ = ("_begun", "_inner", "_unwanted")

    def __init__(self, inner: RealtimeSession) -> None:
        self._inner = inner
        self._begun: dict[str, str | None] = {}  # request → response; one turn's, so few
        self._unwanted: dict[str, str] = {}  # request → reason; bounded by UNWANTED_MAX

    def begin(self, request_id: str, item_id: str, text: str) -> None:
        """Have an answer prepared to a turn that will be this item, and reads so."""
        self._begun[request_id] = None
        message = Message("user", (AudioContent(text),), id=item_id)
        self._inner.create_response(ResponseOptions(request_id=request_id, draft=message))

    def on_event(self, event: RealtimeEvent) -> None:
        """An event of the session's."""
        if not isinstance(event, ResponseCreated) or event.request_id is None:
            return
        if event.request_id in self._unwanted:
            self._inner.cancel_response(event.response_id, reason=self._unwanted.pop(event.request_id))
        elif event.request_id in self._begun:
            self._begun[event.request_id] = event.response_id

    def take(self, request_id: str) -> str | None:
        """The prepared answer is wanted: its request, if it has begun; otherwise it is taken back."""
        if self._begun.get(request_id) is None:
            self.discard(request_id, "not begun")
            return None
        del self._begun[request_id]
        return request_id

    def discard(self, request_id: str, reason: str) -> None:
        """It is not wanted."""
        if request_id not in self._begun:
            return
        response_id = self._begun.pop(request_id)
        if response_id is None:
            while len(self._unwanted) >= UNWANTED_MAX:
                del self._unwanted[next(iter(self._unwanted))]
            self._unwanted[request_id] = reason  # if it begins all the same
        self._inner.cancel_response(response_id or request_id, reason=reason)
