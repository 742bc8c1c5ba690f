"""`Speeches`: which replies were asked for, and when each has been said."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from repartee.chat import FunctionCall, FunctionTool, new_id
from repartee.models import PlaybackFinished, PlaybackReport, RealtimeSession, ResponseOptions
from repartee.models import events as ev
from repartee.session.speech_handle import SpeechHandle

__all__ = ["Speeches"]


@dataclass(frozen=True, slots=True)
class _Request:
    """A response that was asked for: the first of a reply, or one that follows from functions."""

    options: ResponseOptions
    handle: SpeechHandle | None = None
    step: int = 1


@dataclass(slots=True)
class _Response:
    """A response of the model, until its reply is over or goes on with another response."""

    request: _Request
    audio: bool = False
    generated: bool = False
    played: bool = False
    calls: int = 0
    overtaken: bool = False
    """Whether the user has taken another turn, or the floor, since it began: its functions' results are not spoken."""

    @property
    def handle(self) -> SpeechHandle | None:
        return self.request.handle


class Speeches:
    """Follows replies from request to end.

    Args:
        session: who is asked.
    """

    def __init__(self, session: RealtimeSession) -> None:
        self._session = session
        self._requests: dict[str, _Request] = {}  # bounded by how many the model lets wait
        self._responses: dict[str, _Response] = {}  # live ones, and those whose functions run
        self._idle = asyncio.Event()
        self._idle.set()

    # -- asking ------------------------------------------------------------------------------------------------

    def request(self, options: ResponseOptions) -> SpeechHandle:
        """Ask for a reply."""
        handle = SpeechHandle(options.request_id, self._interrupt)
        self._ask(_Request(options, handle))
        return handle

    def _ask(self, request: _Request) -> None:
        self._requests[request.options.request_id] = request
        self._idle.clear()
        self._session.create_response(request.options)

    def _interrupt(self, handle: SpeechHandle) -> None:
        for request_id, request in tuple(self._requests.items()):
            if request.handle is handle:  # it waits for the floor: nothing of it will be said
                self._session.cancel_response(request_id)
        for response_id, response in tuple(self._responses.items()):
            if response.handle is handle:
                self._overtake(response_id, response)
                self._session.cancel_response(response_id)

    def overtake(self) -> None:
        """The conversation moves on: what was to follow from functions that still run is not said."""
        for response_id, response in tuple(self._responses.items()):
            self._overtake(response_id, response)

    def _overtake(self, response_id: str, response: _Response) -> None:
        response.overtaken = True
        if response.generated and response.calls:
            self._session.tools_finished()
            self._finish(response_id, response)

    # -- rounds of functions -----------------------------------------------------------------------------------

    def tools(self, response_id: str) -> tuple[FunctionTool, ...] | None:
        """The functions that a response was given for itself; ``None``: the session's."""
        response = self._responses.get(response_id)
        return response.request.options.tools if response is not None else None

    def follow_up(self, response_id: str, *, completed: bool, max_steps: int) -> None:
        """All functions of a response have run: ask the model to go on, unless the conversation has moved on.

        Args:
            response_id: of the response.
            completed: whether it ended as it should.
            max_steps: how many responses in a row may call functions.
        """
        response = self._responses.pop(response_id, None)
        if response is None:
            return
        if not completed or response.overtaken:
            self._session.tools_finished()
            if response.handle is not None:
                response.handle.finish()
            self._say_idle()
            return
        before = response.request
        options = replace(
            before.options,
            request_id=new_id("req"),
            say=None,
            tool_choice="none" if before.step >= max_steps else None,
            follow_up=True,
        )
        self._ask(_Request(options, before.handle, before.step + 1))

    # -- events ------------------------------------------------------------------------------------------------

    def receive(self, event: ev.RealtimeEvent) -> None:
        """An event of the model."""
        match event:
            case ev.AudioDelta(response_id=response_id):
                response = self._responses.get(response_id)
                if response is not None:
                    response.audio = True
            case ev.ResponseCreated(response_id=response_id, request_id=request_id):
                self._created(response_id, request_id or "")
            case ev.OutputItemDone(response_id=response_id, item=item) if response_id in self._responses:
                response = self._responses[response_id]
                response.calls += isinstance(item, FunctionCall)
                if response.handle is not None:
                    response.handle.items.append(item)
            case ev.ResponseDone(response_id=response_id) if response_id in self._responses:
                self._done(event, self._responses[response_id])
            case ev.InputCommitted():
                self.overtake()
            case _:
                pass

    def _created(self, response_id: str, request_id: str) -> None:
        request = self._requests.pop(request_id, None) or _Request(ResponseOptions(request_id=request_id))
        self._responses[response_id] = _Response(request)
        self._idle.clear()
        if request.handle is not None:
            request.handle.response_ids.append(response_id)

    def _done(self, event: ev.ResponseDone, response: _Response) -> None:
        response.generated = True
        if response.handle is not None:
            response.handle.error = response.handle.error or event.error
        if event.status == "cancelled":
            self._cut_short(response)
        self._finish(event.response_id, response)

    def playback(self, report: PlaybackReport) -> None:
        """Something was heard for the first, or the last, time."""
        response = self._responses.get(report.response_id)
        if response is None or not isinstance(report, PlaybackFinished):
            return
        response.played = True
        if report.interrupted:
            self._cut_short(response)
        self._finish(report.response_id, response)

    def _cut_short(self, response: _Response) -> None:
        response.overtaken = True
        if response.handle is not None:
            response.handle.interrupted = True

    def _finish(self, response_id: str, response: _Response) -> None:
        """Its reply is over once it was generated and heard, and no function's result is to follow."""
        if not response.generated or (response.audio and not response.played):
            return
        if not response.calls:
            del self._responses[response_id]
        elif not response.overtaken:
            return  # `follow_up` comes
        else:
            self._cut_short(response)
        if response.handle is not None:
            response.handle.finish()
        self._say_idle()

    # -- idleness ----------------------------------------------------------------------------------------------

    def _say_idle(self) -> None:
        if not self._responses and not self._requests:
            self._idle.set()

    async def wait_for_idle(self) -> None:
        """Wait until nothing is being said, prepared or waiting to be said."""
        await self._idle.wait()

    def close(self) -> None:
        """The session has ended: nothing more will be said."""
        handles = [request.handle for request in self._requests.values()]
        handles += [response.handle for response in self._responses.values()]
        for handle in handles:
            if handle is not None:
                handle.interrupted = True
                handle.finish()
        self._requests.clear()
        self._responses.clear()
        self._idle.set()
