"""A model around a model, which by itself changes nothing."""

from __future__ import annotations

from typing import Any

from repartee.audio import AudioFrame
from repartee.chat import Message
from repartee.clock import Clock
from repartee.compose.wrapper import WrapperModel, WrapperSession
from repartee.models import ChatRequest, PlaybackStarted, ResponseOptions, SessionOptions
from repartee.models import events as ev
from repartee.testing import ScriptedRealtimeModel, elapse, virtual_time


class Plain(WrapperModel):
    def session(self, options: SessionOptions, **rest: Any) -> WrapperSession:
        return WrapperSession(self.model, options, **rest)


@virtual_time
async def test_verbs_go_down_and_events_come_up() -> None:
    inner = ScriptedRealtimeModel(["Yes."], turn_detection=False)
    model = Plain(inner)
    assert model.capabilities is inner.capabilities
    events: list[ev.RealtimeEvent] = []
    session = model.session(SessionOptions(), on_event=events.append, clock=Clock(lambda: 0.0))
    await session.start()
    item = Message.of("user", "hello")
    session.begin_input("i1")
    session.append_audio(AudioFrame.silence(20))
    session.settle_audio()
    session.clear_audio(reason="r")
    session.create_item(item)
    session.delete_item(item.id)
    session.truncate_item("x", audio_end_ms=1)
    session.create_response(ResponseOptions())
    session.cancel_response(reason="enough")
    session.report_playback(PlaybackStarted("r"))
    session.tools_finished()
    session.release_response("x")
    session.commit_audio()
    await elapse(1)
    update = SessionOptions(instructions="new")
    session.update(update)
    await session.aclose()
    below = inner.sessions[0]
    assert below.options is update
    assert session.options is update
    assert [call.name for call in below.calls] == [
        "start",
        "begin_input",
        "settle_audio",
        "clear_audio",
        "create_item",
        "delete_item",
        "truncate_item",
        "create_response",
        "cancel_response",
        "report_playback",
        "commit_audio",
        "aclose",
    ]
    assert below.appended_samples == 480
    kinds = [type(event).__name__ for event in events]
    assert kinds[:4] == ["InputCleared", "ItemAdded", "ItemDone", "ItemDeleted"]
    assert "ResponseDone" in kinds


@virtual_time
async def test_it_owns_what_it_wraps() -> None:
    done: list[object] = []

    class Inner(ScriptedRealtimeModel):
        async def prewarm(self, request: ChatRequest | None = None) -> None:
            done.append(request)

        async def aclose(self) -> None:
            done.append("closed")

    model = Plain(Inner(["Yes."], turn_detection=False))
    await model.prewarm(None)
    assert "".join([delta async for delta in model.generate_reply("hello")]) == "Yes."
    await model.aclose()
    assert done == [None, "closed"]
