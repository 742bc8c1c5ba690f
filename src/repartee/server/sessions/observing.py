"""What observers are told besides the protocol: ``repartee.*`` events, for a page that shows how a session goes.

Nobody gets them who has not asked (``?observe=1``). ``at_ms`` is session time.

=========================  ===========================================================================
event                      fields
=========================  ===========================================================================
``repartee.state``         at_ms, user (listening, speaking), agent (listening, thinking, speaking)
``repartee.end_of_turn``   at_ms, item_id, probability, text: what the end-of-turn model said
``repartee.interim``       item_id, text, stable_chars: how the open turn reads so far
``repartee.words``         item_id, delta, start_ms: where a transcript delta begins in the item's audio
``repartee.turn``          at_ms, item_id, reason (silence, end of turn, ceiling, manual), speech_end_ms: why the
                           caller's turn ends, and the session time at which their speech really ended
``repartee.stage``         at_ms, response_id, stage: as `repartee.models.events.TimedStage`. ``speech_end`` and
                           ``decision`` of each answer to a spoken turn come with its ``response.created``; those of a
                           prepared answer say when the work was really done, so they may lie before the decision
``repartee.heard``         item_id, text, audio_ms: how far the server has played an item (WebRTC)
``repartee.tool``          at_ms, call_id, name, state (running, done, failed)
``repartee.error``         at_ms, stage, message: what failed, without the session's end
=========================  ===========================================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from repartee.clock import Clock
from repartee.models.events import AgentState, UserState
from repartee.server.sessions.listeners import Listeners
from repartee.turns.alignment import Alignment

__all__ = ["Observing"]

CALLS_MAX = 256
ALIGNED_MAX = 16
"""Items whose words are kept, for what was heard of them."""


class Observing:
    """Tells the observers of a session.

    Args:
        listeners: of the session.
        clock: session time.
        new_id: makes event ids.
    """

    def __init__(self, listeners: Listeners, *, clock: Clock, new_id: Callable[[str], str]) -> None:
        self._listeners = listeners
        self._clock = clock
        self._new_id = new_id
        self._user: UserState = "listening"
        self._agent: AgentState = "listening"
        self._timer: asyncio.TimerHandle | None = None
        self._alignments: dict[str, Alignment] = {}
        self._calls: dict[str, str] = {}  # that run, and their functions
        self._speech_end_s: float | None = None  # of a turn that is not answered yet

    @property
    def wanted(self) -> bool:
        """Whether anybody observes."""
        return self._listeners.observed

    def close(self) -> None:
        """Nothing is told any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, event_type: str, *, at_s: float | None = None, timed: bool = True, **fields: Any) -> None:
        if not self._listeners.observed:
            return
        event: dict[str, Any] = {"type": event_type, "event_id": self._new_id("event")}
        if timed:
            event["at_ms"] = round((self._clock.now() if at_s is None else at_s) * 1000)
        self._listeners.tell_observers({**event, **fields})

    # -- states ------------------------------------------------------------------------------------------------

    def user(self, state: UserState) -> None:
        """The caller speaks, or listens."""
        if state != self._user:
            self._user = state
            self._state()

    def agent(self, state: AgentState) -> None:
        """The agent thinks, speaks or listens."""
        self.close()
        if state != self._agent:
            self._agent = state
            self._state()

    def agent_until(self, at_s: float) -> None:
        """The agent speaks until then, as far as can be known of a client that plays by itself."""
        self.close()
        wait_s = at_s - self._clock.now()
        if wait_s <= 0 or not self._listeners.observed:
            self.agent("listening")
        else:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait_s, self.agent, "listening")

    def _state(self) -> None:
        self._tell("repartee.state", user=self._user, agent=self._agent)

    # -- what happens ------------------------------------------------------------------------------------------

    def end_of_turn(self, item_id: str, probability: float, text: str) -> None:
        """The end-of-turn model answered."""
        self._tell("repartee.end_of_turn", item_id=item_id, probability=round(probability, 4), text=text)

    def interim(self, item_id: str, text: str, stable_chars: int) -> None:
        """How the open turn reads."""
        self._tell("repartee.interim", timed=False, item_id=item_id, text=text, stable_chars=stable_chars)

    def words(self, item_id: str, delta: str, start_ms: float | None) -> None:
        """Words of an answer, and where they are in its audio as the client hears it."""
        if not self._listeners.observed:
            return
        if item_id not in self._alignments:
            while len(self._alignments) >= ALIGNED_MAX:
                del self._alignments[next(iter(self._alignments))]
            self._alignments[item_id] = Alignment()
        self._alignments[item_id].add_text(delta, start_ms)
        if delta:
            place = None if start_ms is None else round(start_ms, 1)
            self._tell("repartee.words", timed=False, item_id=item_id, delta=delta, start_ms=place)

    def sound(self, item_id: str, duration_ms: float) -> None:
        """An item has so much more audio."""
        alignment = self._alignments.get(item_id)
        if alignment is not None:
            alignment.add_audio(duration_ms)

    def heard(self, item_id: str, audio_ms: int) -> None:
        """The server has played an item so far."""
        alignment = self._alignments.get(item_id)
        if alignment is not None:
            text = alignment.text_at(audio_ms)
            self._tell("repartee.heard", timed=False, item_id=item_id, text=text, audio_ms=audio_ms)

    def turn(self, item_id: str, reason: str, speech_end_s: float) -> None:
        """The caller's turn ends."""
        self._speech_end_s = speech_end_s
        self._tell("repartee.turn", item_id=item_id, reason=reason, speech_end_ms=round(speech_end_s * 1000))

    def unanswered(self) -> None:
        """Nothing was said in the turn that has just ended."""
        self._speech_end_s = None

    def answered(self, response_id: str) -> None:
        """A response begins; it answers the turn that has ended last, if none does already."""
        if self._speech_end_s is not None:
            self.stage(response_id, "speech_end", self._speech_end_s)
            self.stage(response_id, "decision", self._clock.now())
            self._speech_end_s = None

    def stage(self, response_id: str, stage: str, at_s: float) -> None:
        """A stage of an answer was reached."""
        self._tell("repartee.stage", at_s=at_s, response_id=response_id, stage=stage)

    def tool(self, call_id: str, name: str, state: Literal["running", "done", "failed"]) -> None:
        """A function runs, or has."""
        self._calls.pop(call_id, None)
        if state == "running" and len(self._calls) < CALLS_MAX:
            self._calls[call_id] = name
        self._tell("repartee.tool", call_id=call_id, name=name, state=state)

    def output(self, call_id: str) -> None:
        """The client has given a function's result."""
        if call_id in self._calls:
            self.tool(call_id, self._calls[call_id], "done")

    def error(self, stage: str, message: str) -> None:
        """Something failed, and the session goes on."""
        self._tell("repartee.error", stage=stage, message=message)
