"""`Fallback` over realtime models: the conversation goes on with the next, and nothing of it is lost or doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from repartee.audio import AudioFrame
from repartee.chat import ChatContext, FunctionCallOutput, Message
from repartee.clock import Clock
from repartee.compose import Fallback, FallbackRealtimeModel
from repartee.errors import ConfigurationError, ModelConnectionError, ModelError
from repartee.models import (
    ChatRequest,
    PlaybackFinished,
    PlaybackStarted,
    RealtimeCapabilities,
    RealtimeSession,
    ResponseOptions,
    SessionOptions,
    TextDelta,
)
from repartee.models import events as ev
from repartee.models.history import apply_event
from repartee.testing import (
    Disconnect,
    Fault,
    Reply,
    ScriptedRealtimeModel,
    ScriptedTTS,
    UserTurn,
    call_function,
    elapse,
    fail,
    stall,
    virtual_time,
)

Step = Any


def model(
    name: str, *faults: Fault, steps: Sequence[Step] = (), replies: Sequence[Any] = (), **options: Any
) -> ScriptedRealtimeModel:
    """Says who it is, whatever it is asked."""
    answers = replies or [f"{name} says number {number} to you" for number in range(9)]
    return ScriptedRealtimeModel(answers, steps, faults=faults, strict=False, **options)


class Call:
    """A session of a `Fallback`, what it told, and the conversation as its consumer knows it."""

    def __init__(self, *models: ScriptedRealtimeModel, **options: Any) -> None:
        self.models = models
        self.fallback: FallbackRealtimeModel = Fallback(models, **options)
        self.events: list[ev.RealtimeEvent] = []
        self.history = ChatContext()
        self.session: RealtimeSession = self.fallback.session(
            SessionOptions(instructions="Be kind.", voice="nova"),
            on_event=self._hear,
            clock=Clock(asyncio.get_running_loop().time),
        )

    def _hear(self, event: ev.RealtimeEvent) -> None:
        if isinstance(event, ev.ItemAdded):
            assert event.item.id not in self.history, f"{event.item} was added twice"
        apply_event(self.history, event)
        self.events.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def said(self) -> list[tuple[str, str]]:
        """The conversation."""
        return [(item.role, item.text) for item in self.history if isinstance(item, Message)]

    def ask(self, text: str | None = None, **options: Any) -> None:
        if text is not None:
            self.session.create_item(Message.of("user", text))
        self.session.create_response(ResponseOptions(**options))

    def hear(self, text: str) -> None:
        data, _ = ScriptedTTS().speak(text)
        self.session.append_audio(AudioFrame(data, 24_000))

    def check(self) -> None:
        """Each response was created once and ended once."""
        created = [event.response_id for event in self.of(ev.ResponseCreated)]
        done = [event.response_id for event in self.of(ev.ResponseDone)]
        assert len(set(created)) == len(created)
        assert sorted(created) == sorted(done)
        known: set[str] = set()
        for event in self.events:
            if isinstance(event, ev.ResponseCreated):
                known.add(event.response_id)
            elif (response_id := getattr(event, "response_id", None)) is not None:
                assert response_id in known, f"{event} is of a response that nobody knows"

    async def close(self) -> None:
        await self.session.aclose()
        self.check()
        for each in self.models:
            assert all(session.closed for session in each.sessions), "a session was left open"
        await self.fallback.aclose()


@virtual_time
async def test_without_failures_it_is_the_first_model() -> None:
    call = Call(model("a"), model("b"))
    await call.session.start()
    call.ask("hello")
    await elapse(10.0)
    assert call.said == [("user", "hello"), ("assistant", "a says number 0 to you")]
    assert call.of(ev.ProviderSwitched) == []
    assert call.models[1].sessions == []
    assert call.models[0].sessions[0].options.instructions == "Be kind."
    await call.close()


@virtual_time
async def test_the_next_one_begins_when_the_first_can_not() -> None:
    refused = ModelConnectionError("no network", stage="realtime")
    call = Call(model("a", start_error=refused), model("b"))
    await call.session.start()
    call.ask("hello")
    await elapse(10.0)
    assert call.said[-1] == ("assistant", "b says number 0 to you")
    assert call.of(ev.ErrorOccurred) == [ev.ErrorOccurred(refused, "realtime")]
    assert call.of(ev.ProviderSwitched)[0].reason == "no network"
    await call.close()


class Slow(ScriptedRealtimeModel):
    """Never gets connected."""

    def session(self, options: SessionOptions, **more: Any) -> Any:
        session = super().session(options, **more)

        async def start() -> None:
            await asyncio.get_running_loop().create_future()

        session.start = start  # type: ignore[method-assign]
        return session


@virtual_time
async def test_connecting_has_a_deadline() -> None:
    call = Call(Slow(strict=False), model("b"), deadline_s=3.0)
    await call.session.start()
    assert asyncio.get_running_loop().time() == pytest.approx(3.0)
    assert "nothing for 3 s" in str(call.of(ev.ErrorOccurred)[0].error)
    await call.close()


@virtual_time
async def test_when_none_can_begin_the_start_says_why() -> None:
    call = Call(
        model("a", start_error=ModelError("no key", stage="realtime")),
        model("b", start_error=ModelError("no network", stage="realtime")),
    )
    with pytest.raises(ModelError, match=r"all 2 providers failed: .*no key; .*no network"):
        await call.session.start()
    call.ask()
    await call.close()
    assert call.of(ev.ResponseDone)[0].status == "failed"


@pytest.mark.parametrize("fault", [fail(1), stall(1)])
@virtual_time
async def test_a_response_that_does_not_begin_is_given_by_the_next(fault: Fault) -> None:
    call = Call(model("a", fault), model("b"), deadline_s=2.0)
    await call.session.start()
    call.ask("hello", request_id="mine", metadata={"k": "v"})
    await elapse(6.0)
    assert call.said == [("user", "hello"), ("assistant", "b says number 0 to you")]
    (created,), (done,) = call.of(ev.ResponseCreated), call.of(ev.ResponseDone)
    assert (created.request_id, created.metadata) == ("mine", {"k": "v"})
    assert (done.status, done.response_id) == ("completed", created.response_id)
    assert len(call.of(ev.ErrorOccurred)) == 1
    assert len(call.of(ev.ProviderSwitched)) == 1
    # What the second was told.
    (session,) = call.models[1].sessions
    assert [item.text for item in session.context if isinstance(item, Message)] == [
        "hello",
        "b says number 0 to you",
    ]
    await call.close()


@virtual_time
async def test_a_response_that_breaks_off_is_asked_for_anew() -> None:
    call = Call(model("a", fail(1, after=2)), model("b"))
    await call.session.start()
    call.ask("hello")
    await elapse(10.0)
    first, second = call.of(ev.ResponseDone)
    assert (first.status, second.status) == ("failed", "completed")
    assert [event.request_id is None for event in call.of(ev.ResponseCreated)] == [False, False]
    (_, broken, whole) = call.said
    assert broken[1]
    assert "a says number 0 to you".startswith(broken[1])
    assert whole == ("assistant", "b says number 0 to you")
    await call.close()


@virtual_time
async def test_a_lost_connection_in_a_reply_between_replies_and_for_good() -> None:
    lost = model("a", steps=[Disconnect(after_s=3.0)], ttft_s=2.9)
    call = Call(lost, model("b"))
    await call.session.start()
    call.ask("hello")
    await elapse(6.0)
    assert call.said[-1] == ("assistant", "b says number 0 to you")
    assert not any(event.fatal for event in call.of(ev.ErrorOccurred))
    call.ask("and now")
    await elapse(6.0)
    assert call.said[-2:] == [("user", "and now"), ("assistant", "b says number 1 to you")]
    await call.close()


@virtual_time
async def test_functions_that_ran_are_not_called_again() -> None:
    replies = [Reply("One moment.", (call_function("book", "c1", guests=2),))]
    first = model("a", fail(1, after=20), replies=replies, audio=False)
    first.plan = type(first.plan)([fail(1, after=3)], "realtime")
    call = Call(first, model("b"))
    await call.session.start()
    call.ask("book a table")
    await elapse(5.0)
    assert [event.status for event in call.of(ev.ResponseDone)] == ["failed"], "not asked for anew"
    call.session.create_item(FunctionCallOutput("c1", "booked"))
    call.ask()
    await elapse(10.0)
    (session,) = call.models[1].sessions
    assert [type(item).__name__ for item in session.context] == [
        "Message",
        "Message",
        "FunctionCall",
        "FunctionCallOutput",
        "Message",
    ]
    assert call.said[-1] == ("assistant", "b says number 0 to you")
    await call.close()


@virtual_time
async def test_audio_of_the_open_turn_is_heard_by_the_next() -> None:
    call = Call(model("a", steps=[Disconnect(after_s=1.0)]), model("b"))
    await call.session.start()
    call.session.begin_input("item_turn")
    call.hear("turn on")
    await elapse(2.0)
    call.hear("the light")
    call.session.commit_audio()
    call.ask()
    await elapse(10.0)
    assert call.said == [("user", "turn on the light"), ("assistant", "b says number 0 to you")]
    assert [event.item_id for event in call.of(ev.InputCommitted)] == ["item_turn"]
    await call.close()


@virtual_time
async def test_a_committed_turn_without_words_is_heard_again() -> None:
    call = Call(model("a", steps=[Disconnect(after_s=1.0)], transcript_lag_s=5.0), model("b"))
    await call.session.start()
    call.session.begin_input("item_turn")
    call.hear("turn on the light")
    await elapse(0.9)
    call.session.commit_audio()
    call.ask()
    await elapse(10.0)
    assert call.said == [("user", "turn on the light"), ("assistant", "b says number 0 to you")]
    assert len(call.of(ev.InputCommitted)) == 1
    assert len(call.of(ev.TranscriptCompleted)) == 1
    await call.close()


@virtual_time
async def test_a_model_that_takes_turns_goes_on_listening() -> None:
    first = model("a", steps=[UserTurn("hello there"), Disconnect(after_s=5.0)])
    second = model("b", steps=[UserTurn("are you there", after_s=1.0)])
    call = Call(first, second)
    await call.session.start()
    for _ in range(1000):
        call.session.append_audio(AudioFrame.silence(20, 24_000))
        await elapse(0.02)
    assert call.said == [
        ("user", "hello there"),
        ("assistant", "a says number 0 to you"),
        ("user", "are you there"),
        ("assistant", "b says number 0 to you"),
    ]
    assert second.sessions[0].appended_samples < 20 * 24_000
    await call.close()


@virtual_time
async def test_what_is_asked_while_none_is_connected() -> None:
    class Late(ScriptedRealtimeModel):
        def session(self, options: SessionOptions, **more: Any) -> Any:
            session = super().session(options, **more)
            begin = session.start

            async def start() -> None:
                await elapse(2.0)
                await begin()

            session.start = start  # type: ignore[method-assign]
            return session

    call = Call(model("a", steps=[Disconnect(after_s=1.0)]), Late(["late but true"], strict=False))
    await call.session.start()
    await elapse(1.5)
    keep, drop = Message.of("user", "keep this"), Message.of("user", "drop this")
    for item in (keep, drop, keep):
        call.session.create_item(item)
    call.session.delete_item(drop.id)
    call.session.delete_item("item_unknown")
    call.session.update(SessionOptions(instructions="Be brief."))
    call.session.settle_audio()
    call.session.tools_finished()
    call.session.release_response("none")
    call.hear("cough")
    call.session.clear_audio()
    call.ask(request_id="first")
    call.session.cancel_response("first")
    call.ask(request_id="second")
    call.session.cancel_response("nobody")
    await elapse(10.0)
    assert call.said == [("user", "keep this"), ("assistant", "late but true")]
    assert [(event.request_id) for event in call.of(ev.ResponseCreated)] == ["first", "second"]
    assert [event.status for event in call.of(ev.ResponseDone)] == ["cancelled", "completed"]
    assert [type(event.error).__name__ for event in call.of(ev.ErrorOccurred)] == [
        "ModelConnectionError",
        "UsageError",
    ]
    assert call.models[1].sessions[0].options.instructions == "Be brief."
    await call.close()


@virtual_time
async def test_what_the_first_said_can_be_cut_and_deleted_later() -> None:
    call = Call(model("a", steps=[Disconnect(after_s=5.0)]), model("b"))
    await call.session.start()
    call.ask("hello")
    await elapse(6.0)
    said = call.history.messages[-1]
    call.session.truncate_item(said.id, audio_end_ms=800, text="a says")
    assert call.of(ev.ItemTruncated) == [ev.ItemTruncated(said.id, 800, "a says")]
    call.ask("what")
    await elapse(5.0)
    (session,) = call.models[1].sessions
    texts = ["hello", "a says", "what", "b says number 0 to you"]
    assert [item.text for item in session.context if isinstance(item, Message)] == texts
    assert [text for _, text in call.said] == texts
    call.session.truncate_item(said.id, audio_end_ms=0)
    call.session.truncate_item("item_unknown", audio_end_ms=0)
    await elapse(0)
    assert [text for _, text in call.said] == [
        item.text for item in session.context if isinstance(item, Message)
    ]
    assert said.id not in call.history
    # What the second said is cut by itself.
    last = call.history.messages[-1]
    call.session.truncate_item(last.id, audio_end_ms=500, text="b")
    assert session.calls_of("truncate_item")
    assert call.said[-1] == ("assistant", "b")
    await call.close()


@virtual_time
async def test_a_response_under_its_first_id_can_be_cancelled() -> None:
    call = Call(model("a", fail(1)), model("b"))
    await call.session.start()
    call.ask("hello")
    await elapse(0.3)
    (created,) = call.of(ev.ResponseCreated)
    call.session.report_playback(PlaybackStarted(created.response_id))
    call.session.cancel_response(created.response_id)
    await elapse(0)
    (done,) = call.of(ev.ResponseDone)
    assert (done.response_id, done.status) == (created.response_id, "cancelled")
    call.session.report_playback(PlaybackFinished(created.response_id, interrupted=True))
    await call.close()


@virtual_time
async def test_back_to_the_first_when_it_is_quiet() -> None:
    call = Call(model("a", fail(1)), model("b"))
    await call.session.start()
    call.ask("hello")
    await elapse(1.0)
    (created,) = call.of(ev.ResponseCreated)
    call.session.report_playback(PlaybackStarted(created.response_id))
    await elapse(12.0)
    assert len(call.models[0].sessions) == 1, "not while it is heard"
    call.session.report_playback(PlaybackFinished(created.response_id))
    await elapse(0.1)
    assert len(call.models[0].sessions) == 2
    call.ask("again")
    await elapse(5.0)
    assert call.said[-2:] == [("user", "again"), ("assistant", "a says number 1 to you")]
    assert [event.new for event in call.of(ev.ProviderSwitched)] == [
        "ScriptedRealtimeModel #2",
        "ScriptedRealtimeModel",
    ]
    assert [item.text for item in call.models[0].sessions[1].context if isinstance(item, Message)] == [
        text for _, text in call.said
    ]
    assert call.fallback.in_use == "ScriptedRealtimeModel"
    await call.close()


@virtual_time
async def test_not_back_while_the_user_speaks_or_it_is_still_ill() -> None:
    first = model("a", steps=[Disconnect(after_s=1.0)])
    call = Call(first, model("b"))
    await call.session.start()
    await elapse(5.0)
    first.start_error = ModelConnectionError("still no network", stage="realtime")
    call.hear("one")
    await elapse(10.0)
    assert len(first.sessions) == 1
    call.session.commit_audio()
    await elapse(3.0)
    assert len(first.sessions) == 2
    first.start_error = None
    await elapse(30.0)
    assert len(first.sessions) == 3
    assert call.fallback.in_use == "ScriptedRealtimeModel"
    assert call.said == [("user", "one")]
    await call.close()


@virtual_time
async def test_when_all_fail_the_response_fails_and_the_next_time_the_call() -> None:
    call = Call(model("a", fail(None)), model("b", fail(None)))
    await call.session.start()
    call.ask("hello")
    await elapse(2.0)
    errors = call.of(ev.ErrorOccurred)
    assert [error.fatal for error in errors] == [False] * len(errors)
    assert errors[-1].error.code == "all_providers_failed"
    (done,) = call.of(ev.ResponseDone)
    assert (done.status, done.reason) == ("failed", "all_providers_failed")
    call.ask("hello?")
    await elapse(2.0)
    assert [event.status for event in call.of(ev.ResponseDone)] == ["failed", "failed"]
    assert [error.fatal for error in call.of(ev.ErrorOccurred)].count(True) == 1
    call.ask("hello??")
    assert call.of(ev.ResponseDone)[-1].status == "failed"
    await call.close()


@virtual_time
async def test_a_turn_that_no_model_can_answer_does_not_end_the_call() -> None:
    call = Call(model("a", fail(1)), model("b", fail(1)))
    await call.session.start()
    call.ask("something forbidden")
    await elapse(2.0)
    call.ask("hello")
    await elapse(5.0)
    assert [event.status for event in call.of(ev.ResponseDone)] == ["failed", "completed"]
    assert call.said == [
        ("user", "something forbidden"),
        ("user", "hello"),
        ("assistant", "a says number 1 to you"),
    ]
    await call.close()


@virtual_time
async def test_none_can_be_reached_any_more() -> None:
    first, second = model("a", steps=[Disconnect(after_s=2.0)]), model("b", ttft_s=1.0)
    call = Call(first, second)
    await call.session.start()
    first.start_error = second.start_error = ModelConnectionError("no network", stage="realtime")
    await elapse(5.0)
    (fatal,) = [event for event in call.of(ev.ErrorOccurred) if event.fatal]
    assert "all 2 providers failed" in str(fatal.error)
    await call.close()


class OwnIds(ScriptedRealtimeModel):
    """Gives the user's turns ids of its own."""

    def session(self, options: SessionOptions, **more: Any) -> Any:
        session = super().session(options, **more)
        session.begin_input = lambda item_id: None  # type: ignore[method-assign]
        return session


@virtual_time
async def test_a_turn_keeps_its_id_with_a_model_that_gives_another() -> None:
    second = OwnIds(["b heard you", "b again"], strict=False)
    call = Call(model("a", steps=[Disconnect(after_s=1.0)], transcript_lag_s=5.0), second)
    await call.session.start()
    call.session.begin_input("item_turn")
    call.hear("turn on the light")
    await elapse(0.9)
    call.session.commit_audio()
    call.ask()
    await elapse(5.0)
    assert call.said == [("user", "turn on the light"), ("assistant", "b heard you")]
    assert call.history.messages[0].id == "item_turn"
    call.session.delete_item("item_turn")
    assert call.said == [("assistant", "b heard you")]
    assert "turn on the light" not in [
        item.text for item in second.sessions[0].context if isinstance(item, Message)
    ]
    await call.close()


@virtual_time
async def test_a_request_that_is_refused_is_no_reason_to_switch() -> None:
    call = Call(model("a"), model("b"))
    await call.session.start()
    call.ask("hello")
    call.ask()
    await elapse(10.0)
    assert [event.status for event in call.of(ev.ResponseDone)] == ["failed", "completed"]
    assert call.models[1].sessions == []
    await call.close()


@virtual_time
async def test_models_of_other_rates() -> None:
    second = ScriptedRealtimeModel(
        ["b says so"], voice=ScriptedTTS(sample_rate=16_000), strict=False, transcription=False
    )
    call = Call(model("a", fail(None), transcription=False), second)
    await call.session.start()
    call.hear("hello")
    call.session.commit_audio()
    call.ask()
    await elapse(10.0)
    frames = [event.audio for event in call.of(ev.AudioDelta)]
    assert {frame.sample_rate for frame in frames} == {24_000}
    assert frames[0].position_samples == 0
    assert second.sessions[0].appended_samples == pytest.approx(
        ScriptedTTS().duration_ms("hello") * 16, abs=2
    )
    await call.close()


@virtual_time
async def test_sessions_share_what_they_find_out() -> None:
    first, second = model("a", start_error=ModelError("no network", stage="realtime")), model("b")
    shared = Fallback([first, second])
    for expected in (1, 1):
        session = shared.session(
            SessionOptions(), on_event=lambda event: None, clock=Clock(asyncio.get_running_loop().time)
        )
        await session.start()
        assert len(first.sessions) == expected, "the second session does not try what failed for the first"
        await session.aclose()
    await shared.aclose()


@virtual_time
async def test_a_single_answer_too() -> None:
    model_ = Fallback([model("a", start_error=ModelError("no", stage="realtime")), model("b")])
    await model_.prewarm()
    request = ChatRequest(ChatContext([Message.of("user", "hello")]))
    text = "".join([chunk.text async for chunk in model_.chat(request) if isinstance(chunk, TextDelta)])
    assert text == "b says number 0 to you"
    await model_.aclose()


def test_models_that_take_turns_differently_can_not_stand_in() -> None:
    with pytest.raises(ConfigurationError, match=r"differ in turn_detection \(ScriptedRealtimeModel: False"):
        Fallback([ScriptedRealtimeModel(), ScriptedRealtimeModel(turn_detection=True)])
    both = Fallback([ScriptedRealtimeModel(), ScriptedRealtimeModel(audio=False, transcription=False)])
    assert both.capabilities == RealtimeCapabilities(audio_input=True, truncation=True, verbatim=True)
