"""`Speeches`: which replies were asked for, and when each has been said."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from repartee.chat import FunctionCall
from repartee.models import PlaybackFinished, PlaybackReport, RealtimeSession, ResponseOptions
from repartee.models import events as ev
from repartee.session.speech_handle import SpeechHandle

__all__ = ["Speeches"]


@dataclass(slots=True)
class _Response:
    """A response of the model, and which reply it belongs to."""

    handle: SpeechHandle | None
    step: int = 1
    audio: bool = False
    generated: bool = False
    played: bool = False
    calls: int = 0
    overtaken: bool = False
    """Whether the user has taken another turn, or taken the floor, since it began."""
    items: list[str] = field(default_factory=list)


class Speeches:
    """Follows replies from request to end.

    Args:
        session: who is asked.
    """

    def __init__(self, session: RealtimeSession) -> None:
        self._session = session
        self._handles: dict[str, SpeechHandle] = {}
        self._steps: dict[str, int] = {}
        self._responses: dict[str, _Response] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    # -- asking ------------------------------------------------------------------------------------------------

    def request(self, options: ResponseOptions) -> SpeechHandle:
        """Ask for a reply."""
        handle = SpeechHandle(options.request_id, self._interrupt)
        self._ask(options, handle, 1)
        return handle

    def _ask(self, options: ResponseOptions, handle: SpeechHandle | None, step: int) -> None:
        if handle is not None:
            self._handles[options.request_id] = handle
        self._steps[options.request_id] = step
        self._idle.clear()
        self._session.create_response(options)

    def _interrupt(self, handle: SpeechHandle) -> None:
        live = [rid for rid in handle.response_ids if rid in self._responses]
        if live:
            self._session.cancel_response(live[-1])
        elif handle.id in self._handles:
            # It waits for the floor: nothing of it will be said.
            self._session.cancel_response(handle.id)

    # -- rounds of functions -----------------------------------------------------------------------------------

    def steps(self, response_id: str) -> int:
        """How many rounds of functions led to this response, with its own."""
        response = self._responses.get(response_id)
        return response.step if response is not None else 1

    def current(self, response_id: str) -> bool:
        """Whether the conversation still waits for what follows from this response."""
        response = self._responses.get(response_id)
        return response is not None and not response.overtaken

    def follow_up(self, response_id: str, options: ResponseOptions) -> None:
        """Ask the model to go on after functions."""
        response = self._responses.pop(response_id, None)
        step = response.step + 1 if response is not None else 2
        self._ask(options, response.handle if response is not None else None, step)

    def give_up(self, response_id: str) -> None:
        """Nothing follows from a response's functions."""
        response = self._responses.pop(response_id, None)
        if response is not None and response.handle is not None:
            response.handle.finish()
        self._say_idle()

    # -- events ------------------------------------------------------------------------------------------------

    def receive(self, event: ev.RealtimeEvent) -> None:
        """An event of the model."""
        match event:
            case ev.ResponseCreated(response_id=response_id, request_id=request_id):
                self._created(response_id, request_id or "")
            case ev.AudioDelta(response_id=response_id):
                response = self._responses.get(response_id)
                if response is not None:
                    response.audio = True
            case ev.OutputItemDone(response_id=response_id, item=item):
                response = self._responses.get(response_id)
                if response is not None:
                    response.calls += isinstance(item, FunctionCall)
                    if response.handle is not None:
                        response.handle.items.append(item)
            case ev.ResponseDone():
                self._done(event)
            case ev.InputCommitted():
                for response in self._responses.values():
                    response.overtaken = True
            case _:
                pass

    def _created(self, response_id: str, request_id: str) -> None:
        handle = self._handles.pop(request_id, None)
        self._responses[response_id] = _Response(handle, self._steps.pop(request_id, 1))
        self._idle.clear()
        if handle is not None:
            handle.response_ids.append(response_id)

    def _done(self, event: ev.ResponseDone) -> None:
        response = self._responses.get(event.response_id)
        if response is None:
            return
        response.generated = True
        if response.handle is not None:
            response.handle.error = response.handle.error or event.error
        if event.status == "cancelled":
            response.overtaken = True
            if response.handle is not None:
                response.handle.interrupted = True
        self._finish(event.response_id, response)

    def playback(self, report: PlaybackReport) -> None:
        """Something was heard for the first, or the last, time."""
        response = self._responses.get(report.response_id)
        if response is None or not isinstance(report, PlaybackFinished):
            return
        response.played = True
        if report.interrupted:
            response.overtaken = True
            if response.handle is not None:
                response.handle.interrupted = True
        self._finish(report.response_id, response)

    def _finish(self, response_id: str, response: _Response) -> None:
        """Its reply is over once it was generated and heard, and no function's result is to follow."""
        if not response.generated or (response.audio and not response.played):
            return
        if response.calls and not response.overtaken:
            return  # `follow_up` or `give_up` comes
        if not response.calls:
            del self._responses[response_id]
        if response.handle is not None:
            response.handle.finish()
        self._say_idle()

    # -- idleness ----------------------------------------------------------------------------------------------

    def _say_idle(self) -> None:
        if not self._responses and not self._steps:
            self._idle.set()

    async def wait_for_idle(self) -> None:
        """Wait until nothing is being said, prepared or waiting to be said."""
        await self._idle.wait()

    def close(self) -> None:
        """The session has ended: nothing more will be said."""
        for handle in (*self._handles.values(), *(r.handle for r in self._responses.values() if r.handle)):
            handle.interrupted = True
            handle.finish()
        self._handles.clear()
        self._responses.clear()
        self._steps.clear()
        self._idle.set()
