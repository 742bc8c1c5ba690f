"""`WrapperModel` and `WrapperSession`: a model around a model, which by itself changes nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from repartee.chat import Item
from repartee.clock import Clock
from repartee.models import (
    ChatChunk,
    ChatRequest,
    PlaybackReport,
    RealtimeModel,
    RealtimeSession,
    ResponseOptions,
    SessionOptions,
    Sink,
)
from repartee.models.events import RealtimeEvent

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["WrapperModel", "WrapperSession"]


class WrapperSession(RealtimeSession):
    """Passes every verb down and every event up. Subclasses override what they change.

    Args:
        model: opens the inner session.
        options: of this session.
        on_event: this session's consumer.
        clock: session time.
        inner_options: of the inner session. Default: the same.
    """

    def __init__(
        self,
        model: RealtimeModel,
        options: SessionOptions,
        *,
        on_event: Sink,
        clock: Clock,
        inner_options: SessionOptions | None = None,
    ) -> None:
        super().__init__(options, on_event=on_event, clock=clock)
        self.inner = model.session(
            inner_options if inner_options is not None else options, on_event=self.on_inner_event, clock=clock
        )

    def on_inner_event(self, event: RealtimeEvent) -> None:
        """An event of the inner session. By default it is passed on."""
        self.emit(event)

    async def start(self) -> None:
        await self.inner.start()

    async def aclose(self) -> None:
        await self.inner.aclose()

    def update(self, options: SessionOptions) -> None:
        self.options = options
        self.inner.update(options)

    def append_audio(self, frame: AudioFrame) -> None:
        self.inner.append_audio(frame)

    def begin_input(self, item_id: str) -> None:
        self.inner.begin_input(item_id)

    def commit_audio(self) -> None:
        self.inner.commit_audio()

    def clear_audio(self, *, reason: str = "client_cleared") -> None:
        self.inner.clear_audio(reason=reason)

    def settle_audio(self) -> None:
        self.inner.settle_audio()

    def create_item(self, item: Item, *, previous_item_id: str | None = None) -> None:
        self.inner.create_item(item, previous_item_id=previous_item_id)

    def delete_item(self, item_id: str) -> None:
        self.inner.delete_item(item_id)

    def truncate_item(self, item_id: str, *, audio_end_ms: int, text: str | None = None) -> None:
        self.inner.truncate_item(item_id, audio_end_ms=audio_end_ms, text=text)

    def create_response(self, options: ResponseOptions) -> None:
        self.inner.create_response(options)

    def tools_finished(self) -> None:
        self.inner.tools_finished()

    def release_response(self, request_id: str) -> None:
        self.inner.release_response(request_id)

    def cancel_response(self, response_id: str | None = None, *, reason: str = "client_cancelled") -> None:
        self.inner.cancel_response(response_id, reason=reason)

    def report_playback(self, report: PlaybackReport) -> None:
        self.inner.report_playback(report)


class WrapperModel(RealtimeModel):
    """A model around another, which it owns: closing it closes the inner one.

    Args:
        model: the inner one.
    """

    def __init__(self, model: RealtimeModel) -> None:
        self.model = model
        self.capabilities = model.capabilities
        self.default_tools = model.default_tools

    def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        return self.model.chat(request)

    async def prewarm(self, request: ChatRequest | None = None) -> None:
        await self.model.prewarm(request)

    async def aclose(self) -> None:
        await self.model.aclose()
