"""Several realtime models as one: when one fails, the next goes on with the conversation.

Theory of operation. All that another model needs to go on is kept here as plain state: the conversation (by the events
that tell it), the audio that no transcript has replaced yet, and the responses that were asked for and have not begun.
Verbs change that state and are passed on. Replacing a model is opening a session with the next and telling it that
state; while none is open, verbs change the state alone, so nothing has to be queued.

The consumer sees one session. Ids that the old model gave stay valid: a response that had not begun goes on under its
id, and what the new model was told is not announced again. A response that broke off in its middle ends as failed, and
is asked for anew, unless it had called functions: those have run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from repartee.chat import ChatContext, Item, Message
from repartee.clock import Clock
from repartee.compose.fallback_lines import Lines
from repartee.compose.fallback_responses import Response, Responses
from repartee.compose.providers import Desk, close_all, first_to_begin, log_bad_end, prewarm_all
from repartee.compose.replay import InputAudio, Line, is_empty
from repartee.compose.tasks import TaskOwner
from repartee.errors import ConfigurationError, ModelError, ModelTimeoutError, ReparteeError, UsageError
from repartee.models import (
    ChatChunk,
    ChatRequest,
    PlaybackReport,
    PlaybackStarted,
    RealtimeModel,
    RealtimeSession,
    ResponseOptions,
    SessionOptions,
    Sink,
)
from repartee.models import events as ev
from repartee.models.history import apply_event

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["FallbackRealtimeModel"]

_BOTH = (
    "tools", "parallel_tool_calls", "images", "speculation", "audio_input", "audio_output", "transcription",
    "truncation", "drafts", "verbatim",
)  # fmt: skip


class FallbackRealtimeModel(RealtimeModel):
    """Several realtime models as one. See `repartee.compose.Fallback`."""

    def __init__(self, desk: Desk[RealtimeModel], *, deadline_s: float | None) -> None:
        self.desk = desk
        self.deadline_s = deadline_s
        able = [model.capabilities for model in desk.models]
        for name in ("turn_detection", "floor"):
            if len({getattr(each, name) for each in able}) > 1:
                differing = ", ".join(
                    f"{each}: {getattr(model.capabilities, name)}"
                    for each, model in zip(desk.names, desk.models, strict=True)
                )
                raise ConfigurationError(
                    f"realtime models that stand in for each other must agree on who takes turns, and differ in {name} "
                    f"({differing}): build them all with turn_detection=None, or all with their own"
                )
        shared: dict[str, Any] = {name: all(getattr(each, name) for each in able) for name in _BOTH}
        self.capabilities = replace(able[0], **shared)

    @property
    def in_use(self) -> str:
        """The name of the one that answered last."""
        return self.desk.names[self.desk.rotation.current]

    def session(self, options: SessionOptions, *, on_event: Sink, clock: Clock) -> RealtimeSession:
        """A conversation that goes on when a model fails."""
        return _Session(self, options, on_event=on_event, clock=clock)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Answer a conversation in text, by the first that begins to within the deadline.

        Raises:
            ModelError: all failed, or one failed after its first words.
        """
        answers = first_to_begin(self.desk, lambda model: model.chat(request), self.deadline_s)
        async with aclosing(answers) as chunks:
            async for _, chunk in chunks:
                yield chunk

    async def prewarm(self, request: ChatRequest | None = None) -> None:
        """Prewarm them all.

        Raises:
            ModelError: none of them could be.
        """
        await prewarm_all(self.desk, lambda model: model.prewarm(request))

    async def aclose(self) -> None:
        """Close them all."""
        await close_all(self.desk.models)


class _Session(RealtimeSession):
    def __init__(
        self, model: FallbackRealtimeModel, options: SessionOptions, *, on_event: Sink, clock: Clock
    ) -> None:
        super().__init__(options, on_event=on_event, clock=clock)
        self._model = model
        self._desk = model.desk.bound(on_event)
        self._deadline_s = model.deadline_s
        self._line: Line | None = None
        self._history = ChatContext()
        self._input = InputAudio()
        self._responses = Responses(self.emit, self._history, deadline_s=model.deadline_s, on_late=self._late)
        self._lines = Lines(
            self._desk,
            model.capabilities,
            hear=self._hear,
            close=self._close,
            clock=clock,
            deadline_s=model.deadline_s,
        )
        self._playing: set[str] = set()
        self._told_error: ReparteeError | None = None
        self._return_timer: asyncio.TimerHandle | None = None
        self._tasks = TaskOwner(self._crashed)
        self._closing = TaskOwner(log_bad_end)
        self._returning = False
        self._over = False

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        line = await self._lines.open(self.options)
        if line is None:
            self._over = True
            raise self._desk.exhausted(self._lines.tried)
        self._adopt(line)

    async def aclose(self) -> None:
        if self._line is not None and self._line.session is not None:
            await self._line.session.aclose()
        self._over = True
        for response in self._responses:
            self._responses.end(response, "cancelled", "session closed")
        if self._return_timer is not None:
            self._return_timer.cancel()
        await self._tasks.aclose()
        await self._closing.aclose()

    def _close(self, session: RealtimeSession) -> None:
        self._closing.finish(session.aclose(), name="fallback.close_session")

    @property
    def _inner(self) -> RealtimeSession | None:
        return self._line.session if self._line is not None else None

    def _adopt(self, line: Line) -> None:
        """Go on with this one: tell it all that it needs."""
        self._line = line
        inner = line.session
        assert inner is not None
        self._desk.succeeded(line.index)
        inner.update(self._lines.options_for(line.index, self.options))
        reheard = {turn.item_id for turn in self._input.turns}
        for item in self._history:
            if item.id not in reheard and not is_empty(item):
                line.told.add(item.id)
                inner.create_item(item)
        for turn in self._input.turns:
            line.recommitted.append(turn.item_id)
            inner.begin_input(turn.item_id)
            for frame in turn.frames:
                inner.append_audio(line.rates.input(frame))
            inner.commit_audio()
        if self._input.item_id is not None:
            inner.begin_input(self._input.item_id)
        for frame in self._input.frames:
            inner.append_audio(line.rates.input(frame))
        for response in self._responses:
            response.inner_id = None
            self._responses.arm(response)
            inner.create_response(self._asked(response, line.index))
        self._watch_preferred()

    def _asked(self, response: Response, index: int) -> ResponseOptions:
        return response.options if self._lines.is_same_kind(index) else replace(response.options, voice=None)

    # -- when it fails -------------------------------------------------------------------------------------------

    def _fail(self, error: ModelError) -> None:
        """The model in use is of no more use."""
        line, self._line = self._line, None
        if line is None or line.session is None or self._over:
            return
        self._lines.tried[line.index] = error
        told = self._told_error is error or len(self._lines.tried) == len(self._desk.models)
        self._desk.failed(line.index, error, tell=not told)
        self._close(line.session)
        if self._return_timer is not None:
            self._return_timer.cancel()
        self._responses.lose_model(error)
        self._tasks.spawn(self._switch(), name="fallback.switch")

    async def _switch(self) -> None:
        line = await self._lines.open(self.options)
        if line is None:
            error = self._desk.exhausted(self._lines.tried)
            for response in self._responses:
                self._responses.end(response, "failed", "all_providers_failed", error)
            line = await self._lines.open_again(self.options)
            if line is None:
                self._over = True
                self.emit(ev.ErrorOccurred(error, "realtime", fatal=True))
                return
            self.emit(ev.ErrorOccurred(error, "realtime"))
        self._adopt(line)

    def _crashed(self, error: Exception) -> None:
        failure = ModelError(f"switching failed with {type(error).__name__}: {error}", stage="realtime")
        self._over = True
        self.emit(ev.ErrorOccurred(failure, "realtime", fatal=True))

    # -- back to the preferred one -------------------------------------------------------------------------------

    def _watch_preferred(self) -> None:
        """Look whether a better one is well again, when it may be."""
        if self._return_timer is not None:
            self._return_timer.cancel()
            self._return_timer = None
        loop = asyncio.get_running_loop()
        due_s = self._desk.rotation.preferred_at(self._line.index) if self._line is not None else None
        if due_s is not None and not self._over:
            self._return_timer = loop.call_at(max(due_s, loop.time()), self._maybe_return)

    def _maybe_return(self) -> None:
        if self._return_timer is not None:
            self._return_timer.cancel()
            self._return_timer = None
        if self._over or self._returning or self._line is None or not self._quiet:
            return
        index = self._desk.rotation.better(asyncio.get_running_loop().time(), self._line.index)
        if index is not None:
            self._returning = True
            self._tasks.spawn(self._return_to(index), name="fallback.return")
        else:
            self._watch_later()

    def _watch_later(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = self._desk.rotation.preferred_at(self._line.index) if self._line is not None else None
        # One that is well but was just tried by another session is looked at again, not waited for.
        if due_s is not None:
            self._return_timer = loop.call_at(max(due_s, loop.time() + 1.0), self._maybe_return)

    async def _return_to(self, index: int) -> None:
        try:
            line = await self._lines.open_only(index, self.options)
        finally:
            self._returning = False
        if line is None:
            self._watch_preferred()
            return
        if self._over or self._line is None or not self._quiet:
            # Something happened meanwhile, and the old one is in the middle of it.
            self._desk.abandoned(index)
            assert line.session is not None
            self._close(line.session)
            self._watch_later()
            return
        old = self._line.session
        assert old is not None
        self._close(old)
        self._adopt(line)

    @property
    def _quiet(self) -> bool:
        return not self._responses and not self._playing and not self._input.busy()

    def _settle(self) -> None:
        """Something ended: perhaps it is quiet now."""
        if self._return_timer is None and self._line is not None and self._line.index > 0:
            due_s = self._desk.rotation.preferred_at(self._line.index)
            if due_s is not None and due_s <= asyncio.get_running_loop().time():
                self._maybe_return()

    # -- verbs ---------------------------------------------------------------------------------------------------

    def update(self, options: SessionOptions) -> None:
        self.options = options
        if self._line is not None and self._inner is not None:
            self._inner.update(self._lines.options_for(self._line.index, self.options))

    def append_audio(self, frame: AudioFrame) -> None:
        # Who detects turns by itself is sent silence too, of which the next one needs little.
        self._input.append(frame, keep_all=not self._model.capabilities.turn_detection)
        if self._line is not None and self._inner is not None:
            self._inner.append_audio(self._line.rates.input(frame))

    def begin_input(self, item_id: str) -> None:
        self._input.item_id = item_id
        if self._inner is not None:
            self._inner.begin_input(item_id)

    def commit_audio(self) -> None:
        self._input.commit(None)
        if self._inner is not None:
            self._inner.commit_audio()

    def clear_audio(self, *, reason: str = "client_cleared") -> None:
        self._input.clear()
        if self._inner is not None:
            self._inner.clear_audio(reason=reason)
        else:
            self.emit(ev.InputCleared(reason))

    def settle_audio(self) -> None:
        if self._inner is not None:
            self._inner.settle_audio()

    def create_item(self, item: Item, *, previous_item_id: str | None = None) -> None:
        if self._inner is not None:
            self._inner.create_item(item, previous_item_id=previous_item_id)
            return
        try:
            self._history.insert(item, previous_item_id=previous_item_id)
        except UsageError as error:
            self.emit(ev.ErrorOccurred(error, "realtime"))
            return
        self.emit(ev.ItemAdded(item, self._history.previous_id(item.id)))
        self.emit(ev.ItemDone(item))

    def delete_item(self, item_id: str) -> None:
        if self._line is not None and self._inner is not None:
            self._line.told.discard(item_id)
            self._inner.delete_item(self._line.own_id(item_id))
            return
        if item_id in self._history:
            self._history.delete(item_id)
            self.emit(ev.ItemDeleted(item_id))

    def truncate_item(self, item_id: str, *, audio_end_ms: int, text: str | None = None) -> None:
        line = self._line
        if line is not None and line.session is not None and item_id not in line.told:
            line.session.truncate_item(item_id, audio_end_ms=audio_end_ms, text=text)
            return
        # To the model in use it is a text that somebody else said: it can only be replaced.
        item = self._history.get(item_id)
        if not isinstance(item, Message) or item.role != "assistant":
            unknown = UsageError(f"there is no assistant message {item_id!r} to truncate")
            self.emit(ev.ErrorOccurred(unknown, "realtime"))
            return
        words = item.text if text is None else text
        if audio_end_ms <= 0 or not words:
            self.delete_item(item_id)
            return
        cut = replace(item.with_text(words), interrupted=True, status="incomplete")
        self._history.replace(cut)
        if line is not None and line.session is not None:
            line.session.delete_item(item_id)
            line.session.create_item(cut, previous_item_id=self._history.previous_id(item_id) or "root")
        self.emit(ev.ItemTruncated(item_id, audio_end_ms, words))

    def create_response(self, options: ResponseOptions) -> None:
        response = self._responses.ask(options)
        if self._over:
            error = self._desk.exhausted(self._lines.tried)
            self._responses.end(response, "failed", "session_failed", error)
            return
        if self._line is not None and self._inner is not None:
            self._responses.arm(response)
            self._inner.create_response(self._asked(response, self._line.index))

    def cancel_response(self, response_id: str | None = None, *, reason: str = "client_cancelled") -> None:
        if self._inner is not None:
            inner_id = response_id
            for response in self._responses:
                if response_id is not None and response.id == response_id:
                    inner_id = response.inner_id or response.options.request_id
            self._inner.cancel_response(inner_id, reason=reason)
            return
        for response in self._responses:
            named = response_id in (response.id, response.options.request_id)
            if named or (response_id is None and response.options.conversation == "auto"):
                self._responses.end(response, "cancelled", reason)

    def tools_finished(self) -> None:
        if self._inner is not None:
            self._inner.tools_finished()

    def release_response(self, request_id: str) -> None:
        for response in self._responses:
            if response.options.request_id == request_id:  # what it answers is in the conversation now
                response.options = replace(response.options, draft=None)
        if self._inner is not None:
            self._inner.release_response(request_id)

    def report_playback(self, report: PlaybackReport) -> None:
        if isinstance(report, PlaybackStarted):
            self._playing.add(report.response_id)
        else:
            self._playing.discard(report.response_id)
        if self._inner is not None:
            inner_id = next(
                (
                    each.inner_id
                    for each in self._responses
                    if each.id == report.response_id and each.inner_id
                ),
                report.response_id,
            )
            self._inner.report_playback(replace(report, response_id=inner_id))
        self._settle()

    # -- events of the model in use ------------------------------------------------------------------------------

    def _hear(self, line: Line, event: ev.RealtimeEvent) -> None:
        if line is not self._line or self._over:
            return  # of one that was replaced, or is not in use yet
        if isinstance(event, ev.ErrorOccurred):
            if event.fatal:
                self._fail(self._desk.error_of(line.index, event.error, self._deadline_s))
            else:
                self._told_error = event.error
                self.emit(event)
            return
        if isinstance(event, ev.ResponseCreated):
            self._responses.created(event)
            return
        if self._is_old_news(line, event):
            return
        response = self._responses.of_inner(getattr(event, "response_id", None))
        translated = line.translate(event, response.id if response is not None else None)
        self._note(translated)
        if response is not None and isinstance(translated, ev.ResponseDone):
            if not self._finished(response, translated):
                return
        elif response is not None:
            response.follow(translated)
        self.emit(translated)
        self._settle()

    def _is_old_news(self, line: Line, event: ev.RealtimeEvent) -> bool:
        match event:
            case ev.ItemAdded(item=item) | ev.ItemDone(item=item):
                if item.id in line.told:
                    return True
                known = line.item_ids.get(item.id, item.id)
                return isinstance(event, ev.ItemAdded) and known in self._history
            case ev.ItemDeleted(item_id=item_id):
                return item_id in line.told
            case ev.InputCommitted(item_id=item_id) if line.recommitted:
                known = line.recommitted.popleft()
                if known and known != item_id:
                    line.item_ids[item_id] = known
                return known in self._history
            case _:
                return False

    def _note(self, event: ev.RealtimeEvent) -> None:
        """Keep what the next model would have to know."""
        apply_event(self._history, event)
        match event:
            case ev.SpeechStarted():
                self._input.speaking = True
            case ev.InputCommitted(item_id=item_id):
                self._input.speaking = False
                self._input.committed(item_id)
            case ev.InputCleared():
                self._input.speaking = False
            case ev.TranscriptCompleted(item_id=item_id) | ev.TranscriptFailed(item_id=item_id):
                self._input.forget(item_id)
            case _:
                pass

    def _finished(self, response: Response, event: ev.ResponseDone) -> bool:
        """A response is over; whether the consumer is to see that it is."""
        if event.status != "failed" or isinstance(event.error, UsageError):
            self._responses.remove(response)
            if event.status == "completed":
                self._lines.answered()
                self._input.answered()
            return True
        index = self._line.index if self._line is not None else 0
        error = event.error or ModelError(f"the response failed: {event.reason}", stage="realtime")
        self._fail(self._desk.error_of(index, error, self._deadline_s))
        return False

    def _late(self, response: Response) -> None:
        if self._line is not None:
            name = self._desk.names[self._line.index]
            text = f"{name} did not begin its response within {self._deadline_s:g} s"
            self._fail(ModelTimeoutError(text, stage="realtime", code="timeout"))
