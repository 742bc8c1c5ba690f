"""`ReplyTimes`: when the turn that a reply answers was over."""

from __future__ import annotations

from repartee.models.events import StageReached, TimedStage
from repartee.turns.actions import CommitInput

__all__ = ["ReplyTimes"]

Times = dict[TimedStage, float]


class ReplyTimes:
    """Carries the times of a turn to the reply that answers it; to the one after functions, if they come first."""

    __slots__ = ("_by_request", "_by_response", "_unanswered", "_words_s")

    def __init__(self) -> None:
        self._words_s: float | None = None
        self._by_request: dict[str, Times] = {}
        self._by_response: dict[str, Times] = {}
        self._unanswered: Times | None = None

    def turn_opened(self) -> None:
        """The caller begins a turn."""
        self._words_s = None

    def words_settled(self, now: float) -> None:
        """The words said so far are final."""
        self._words_s = now

    def committed(self, request_id: str, commit: CommitInput) -> None:
        """The turn is over, and that request answers it."""
        times: dict[TimedStage, float | None] = {
            "speech_end": commit.speech_end_s,
            "transcript": self._words_s,
            "decision": commit.decided_s,
        }
        self._by_request[request_id] = {stage: at_s for stage, at_s in times.items() if at_s is not None}

    def asked_after_functions(self, request_id: str) -> None:
        """That request goes on where the last response asked for functions."""
        if self._unanswered is not None:
            self._by_request[request_id], self._unanswered = self._unanswered, None

    def begun(self, response_id: str, request_id: str | None) -> list[StageReached]:
        """A response begins; what is known of the turn that it answers."""
        times = self._by_request.pop(request_id, None) if request_id is not None else None
        if times is None:
            return []
        self._by_response[response_id] = times
        return [StageReached(response_id, stage, at_s) for stage, at_s in times.items()]

    def ended(self, response_id: str, *, functions_only: bool) -> None:
        """A response has ended; if it only asked for functions, the turn is not answered yet."""
        times = self._by_response.pop(response_id, None)
        self._unanswered = times if functions_only else None
