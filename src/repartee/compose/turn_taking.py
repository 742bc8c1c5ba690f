"""`TurnTaking`: a sense of whose turn it is, for a model without one.

The shell of `repartee.turns.TurnEngine`: it turns audio, the inner session's events and its own verbs into facts,
carries out what the engine decides, and owns one timer. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from repartee.chat import AudioContent, ChatContext, FunctionCall, Message, new_id
from repartee.clock import Clock
from repartee.compose.drafts import Drafts
from repartee.compose.input_gate import InputGate
from repartee.compose.reply_times import ReplyTimes
from repartee.compose.tasks import TaskOwner
from repartee.compose.wrapper import WrapperModel, WrapperSession
from repartee.errors import ConfigurationError, ModelError, ModelTimeoutError, ReparteeError, Stage
from repartee.models import (
    VAD,
    PlaybackFinished,
    PlaybackReport,
    PlaybackStarted,
    RealtimeModel,
    RealtimeSession,
    ResponseOptions,
    SessionOptions,
    Sink,
    TurnContext,
    TurnDetector,
)
from repartee.models import events as ev
from repartee.models.history import apply_event
from repartee.turns import SpeechGateOptions, TurnEngine, TurnOptions, facts
from repartee.turns import actions as do

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["TurnTaking"]

_DATED_BACK_MAX_S = 3.0


class TurnTaking(WrapperModel):
    """A model that takes turns.

    Args:
        model: the one that converses.
        vad: finds speech; needed for mode ``"vad"``.
        turn_detection: the end-of-turn model, or ``None``: silence alone decides.
        options: how to take turns. What they say of the parts at hand (``predicts``, ``transcribes``, ``prepares``)
            is filled in here.
        gate: how sure to be that it is speech.
        prefix_padding_ms: audio from before the speech that goes along with it. Default 300.
        words: whose words the end-of-turn model goes by, to be told as the conversation begins. Default: not told.

    Raises:
        ConfigurationError: the mode needs a part that is missing.
    """

    def __init__(
        self,
        model: RealtimeModel,
        vad: VAD | None = None,
        turn_detection: TurnDetector | None = None,
        *,
        options: TurnOptions | None = None,
        gate: SpeechGateOptions | None = None,
        prefix_padding_ms: float = 300.0,
        words: ev.WordsFrom | None = None,
    ) -> None:
        super().__init__(model)
        options = options if options is not None else TurnOptions()
        able = model.capabilities
        if options.mode == "vad" and vad is None and able.audio_input:
            raise ConfigurationError(
                "turns by silence need a VAD: pass vad=, or choose mode 'stt', 'model' or 'manual'"
            )
        if options.mode == "model" and not able.turn_detection:
            raise ConfigurationError(
                "this model does not take turns by itself: choose mode 'vad' and pass a VAD"
            )
        if options.mode == "stt" and not able.settles:
            raise ConfigurationError("mode 'stt' needs a recogniser: wrap the model in Transcribed first")
        self.vad = vad
        self.turn_detection = turn_detection
        self.options = replace(
            options,
            predicts=turn_detection is not None and options.mode == "vad",
            transcribes=able.settles,
            prepares=able.drafts,
        )
        self.gate = gate if gate is not None else SpeechGateOptions()
        self.prefix_padding_ms = prefix_padding_ms
        self.words = words
        # It prepares answers itself; a draft of its consumer would take the floor.
        self.capabilities = replace(able, turn_detection=True, floor=True, drafts=False)

    def session(self, options: SessionOptions, *, on_event: Sink, clock: Clock) -> RealtimeSession:
        """A conversation that takes turns."""
        return _TurnTakingSession(self, options, on_event=on_event, clock=clock)

    async def prewarm(self, request: object = None) -> None:
        """Prewarm the detectors and the model."""
        parts = (self.vad, self.turn_detection, self.model)
        await asyncio.gather(*(part.prewarm() for part in parts if part is not None))

    async def aclose(self) -> None:
        """Close the detectors and the model."""
        for part in (self.vad, self.turn_detection, self.model):
            if part is not None:
                await part.aclose()


class _TurnTakingSession(WrapperSession):
    def __init__(self, model: TurnTaking, options: SessionOptions, *, on_event: Sink, clock: Clock) -> None:
        super().__init__(model.model, options, on_event=on_event, clock=clock)
        self._model = model
        self._engine = TurnEngine(model.options)
        self._gate = (
            InputGate(self, model.vad, model.gate, model.prefix_padding_ms)
            if model.options.mode == "vad" and model.vad is not None
            else None
        )
        self._drafts = Drafts(self.inner)
        self._tasks = TaskOwner(self._crashed)
        self._history = ChatContext()
        self._requests: dict[str, ResponseOptions] = {}  # bounded by the engine's queue
        self._dropped: set[str] = set()  # cancelled before their response began
        self._replies: dict[str, _Reply] = {}
        self._out_of_band: set[str] = set()
        self._turn_items: dict[int, str] = {}
        self._commits: dict[str, do.CommitInput] = {}  # decided, not yet carried out by the inner session
        self._agent_state: ev.AgentState = "listening"
        self._user_state: ev.UserState = "listening"
        self._times = ReplyTimes()
        self._question: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._appended_s = 0.0
        self._draining = False
        self._closed = False

    async def start(self) -> None:
        await super().start()
        if self._model.words is not None:
            self.emit(self._model.words)
        self.feed(facts.Began())

    async def aclose(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._gate is not None:
            await self._gate.aclose()
        await self._tasks.aclose()
        await super().aclose()

    # -- the engine's shell ------------------------------------------------------------------------------------

    def feed(self, fact: facts.Fact) -> None:
        """Tell the engine a fact, and do what it decides."""
        if not self._closed:
            self._engine.receive(fact, self.clock.now())
            self._drain()

    def _drain(self) -> None:
        if self._draining:
            return  # an action has led to this fact; the loop below goes on with what follows from it
        self._draining = True
        try:
            while (action := self._engine.next_action()) is not None:
                self._carry_out(action)
        finally:
            self._draining = False
        self._rearm()

    def _rearm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._engine.deadline()
        if deadline is not None and not self._closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self.clock.to_source(deadline), self._timeout, deadline)

    def _timeout(self, deadline: float) -> None:
        self._timer = None
        self._engine.timeout(max(deadline, self.clock.now()))
        self._drain()

    def _carry_out(self, action: do.Action) -> None:
        match action:
            case do.Duck(db=db, reason=reason):
                self.emit(ev.OutputGain(db, reason))
            case do.Pause(reason=reason):
                self.emit(ev.OutputPause(self._holder(), reason))
            case do.Resume(reason=reason):
                self.emit(ev.OutputResume(self._holder(), reason))
            case do.Cancel():
                self._cancel(action)
            case do.Start():
                self._start(action)
            case do.Reject(request_id=request_id, reason=reason):
                self._reject(request_id, reason)
            case do.SetUserState(state=state):
                self._set_user_state(state)
            case do.SetAgentState(state=state):
                old, self._agent_state = self._agent_state, state
                self.emit(ev.AgentStateChanged(old, state))
            case do.TimedOut(stage=stage, after_s=after_s):
                self._timed_out(stage, after_s)
            case _:
                self._carry_out_input(action)

    def _set_user_state(self, state: ev.UserState) -> None:
        old, self._user_state = self._user_state, state
        self.emit(ev.UserStateChanged(old, state))

    def _carry_out_input(self, action: do.Action) -> None:
        match action:
            case do.OpenTurn(turn=turn):
                self._open_turn(turn)
            case do.SpeechStarts(turn=turn, at_s=at_s):
                if self._gate is not None:
                    self._gate.open(at_s)
                if self._model.options.mode != "model":
                    self.emit(ev.SpeechStarted(self._turn_items[turn], at_s * 1000.0))
            case do.SpeechStops(turn=turn, at_s=at_s):
                if self._gate is not None:
                    self._gate.close()
                if self._model.options.mode != "model":
                    self.emit(ev.SpeechStopped(self._turn_items[turn], at_s * 1000.0))
            case do.Settle():
                self.inner.settle_audio()
            case do.AskPrediction(question=question, text=text):
                self._ask(question, text)
            case do.Prepare(draft=draft, text=text):
                self._prepare(draft, text)
            case do.Discard(draft=draft, reason=reason):
                self._drafts.discard(f"draft:{draft}", reason)
            case do.CommitInput():
                self._commit(action)
            case do.ClearInput(turn=turn, reason=reason):
                self._turn_items.pop(turn, None)
                if self._gate is not None:
                    self._gate.close(restart=True)
                self.inner.clear_audio(reason=reason)
            case _:
                raise AssertionError(f"unknown action {action!r}")

    # -- the caller's turn -------------------------------------------------------------------------------------

    def _open_turn(self, turn: int) -> None:
        item_id = new_id("item")
        self._turn_items[turn] = item_id
        self._times.turn_opened()
        self.inner.begin_input(item_id)

    def _ask(self, question: int, text: str) -> None:
        if not text.strip():
            self.feed(facts.Prediction(question, None))  # nothing to go by
            return
        if self._question is not None:
            self._question.cancel()
        self._question = self._tasks.spawn(self._predict(question, text), name="turn_taking.predict")

    async def _predict(self, question: int, text: str) -> None:
        detector = self._model.turn_detection
        assert detector is not None
        probability = None
        try:
            async with asyncio.timeout(self._model.options.prediction_deadline_s):
                probability = await detector.predict(TurnContext(text, self._history))
        except TimeoutError:
            pass  # the engine goes on without an answer, and says so in its reason
        except ReparteeError as error:
            self.emit(ev.ErrorOccurred(error, "turn_detector"))
        if probability is not None:
            item_id = next(reversed(self._turn_items.values()), "")
            self.emit(ev.EndOfTurnPredicted(item_id, probability, text))
        self.feed(facts.Prediction(question, probability))

    def _prepare(self, draft: int, text: str) -> None:
        item_id = next(reversed(self._turn_items.values()))
        message = Message("user", (AudioContent(text),), id=item_id)
        self._drafts.begin(f"draft:{draft}", item_id)
        self.inner.create_response(ResponseOptions(request_id=f"draft:{draft}", draft=message))

    def _commit(self, action: do.CommitInput) -> None:
        item_id = self._turn_items.pop(action.turn, None)
        if self._gate is not None:
            self._gate.close(restart=action.speech_end_s is None)
        if action.reason == "model":
            return  # it has committed the turn itself
        if item_id is not None:
            self._commits[item_id] = action
        self._times.committed(f"turn:{action.turn}", action)
        self.inner.commit_audio()

    # -- responses ---------------------------------------------------------------------------------------------

    def _holder(self) -> str:
        response_id = self._engine.holder_response_id
        return response_id if response_id is not None else ""

    def _start(self, action: do.Start) -> None:
        request_id = action.request_id
        if action.draft is not None:
            draft_id = f"draft:{action.draft}"
            if not self._commits and self._drafts.usable(draft_id, self._history.last_id):
                self.inner.release_response(draft_id)
                self._drafts.release(
                    draft_id, lambda event: self._on_own_event(self._renamed(event, request_id))
                )
                return
            self._drafts.discard(draft_id, "not usable")
        options = self._requests.pop(request_id, None)
        self.inner.create_response(options if options is not None else ResponseOptions(request_id=request_id))

    def _renamed(self, event: ev.RealtimeEvent, request_id: str) -> ev.RealtimeEvent:
        return replace(event, request_id=request_id) if isinstance(event, ev.ResponseCreated) else event

    def _cancel(self, action: do.Cancel) -> None:
        if action.response_id is None:
            if action.request_id is not None:
                self._dropped.add(action.request_id)
                self._reject(action.request_id, action.reason)
            return
        self.inner.cancel_response(action.response_id, reason=action.reason)
        self.emit(ev.OutputClear(action.response_id, action.reason))

    def _reject(self, request_id: str, reason: str) -> None:
        """Whoever asked is told by a response that ends before it begins."""
        self._requests.pop(request_id, None)
        if request_id.startswith("turn:"):
            return
        response_id = new_id("resp")
        self.emit(ev.ResponseCreated(response_id, request_id))
        self.emit(ev.ResponseDone(response_id, "cancelled", reason))

    def _timed_out(self, stage: str, after_s: float) -> None:
        stages: dict[str, tuple[Stage, str]] = {
            "stt": ("stt", "the words of the turn did not come"),
            "response": ("realtime", "no answer was heard"),
            "playback": ("output", "the output did not say where it stopped"),
            "tool": ("tool", "the functions did not finish"),
        }
        where, what = stages[stage]
        self.emit(ev.ErrorOccurred(ModelTimeoutError(f"{what} within {after_s:g} s", stage=where), where))

    # -- verbs -------------------------------------------------------------------------------------------------

    def append_audio(self, frame: AudioFrame) -> None:
        if self._closed:
            return
        if self._gate is not None:
            self._gate.append(frame)
        else:
            self._appended_s += frame.duration_s
            self.inner.append_audio(frame)

    def commit_audio(self) -> None:
        if not self._turn_items:
            self._open_turn(0)
        self.feed(facts.Commit())

    def clear_audio(self, *, reason: str = "client_cleared") -> None:
        self.feed(facts.Clear())

    def create_response(self, options: ResponseOptions) -> None:
        if options.conversation == "none":
            self._out_of_band.add(options.request_id)
            self.inner.create_response(options)  # it does not take the floor
            return
        self._requests[options.request_id] = options
        if options.follow_up:
            self._times.asked_after_functions(options.request_id)
        self.feed(
            facts.Request(
                options.request_id, interruptible=options.interruptible, follow_up=options.follow_up
            )
        )

    def tools_finished(self) -> None:
        self.feed(facts.ToolsDone())

    def cancel_response(self, response_id: str | None = None, *, reason: str = "client_cancelled") -> None:
        if response_id is None:
            self.feed(facts.Interrupt(reason))
        elif response_id == self._engine.holder_response_id:
            self.feed(facts.Interrupt(reason, queue=False))
        elif response_id in self._requests:
            self.feed(facts.Withdraw(response_id, reason))
        else:
            self.inner.cancel_response(response_id, reason=reason)

    def report_playback(self, report: PlaybackReport) -> None:
        match report:
            case PlaybackStarted(response_id=response_id):
                self.emit(ev.StageReached(response_id, "playback", self.clock.now()))
                self.feed(facts.PlaybackStarted(response_id))
            case PlaybackFinished(response_id=response_id):
                self.feed(facts.PlaybackEnded(response_id))

    # -- events of the inner session ---------------------------------------------------------------------------

    def on_inner_event(self, event: ev.RealtimeEvent) -> None:
        if not self._drafts.hold(event):
            self._on_own_event(event)

    def _on_own_event(self, event: ev.RealtimeEvent) -> None:
        if type(event) is ev.AudioDelta:  # nearly all
            reply = self._replies.get(event.response_id)
            if reply is not None:
                reply.audio = True
            self.emit(event)
            return
        match event:
            case ev.TranscriptDelta():
                self.emit(event)
            case ev.ResponseCreated():
                self._response_created(event)
            case ev.OutputItemDone(response_id=response_id, item=FunctionCall()):
                reply = self._replies.get(response_id)
                if reply is not None:
                    reply.calls += 1
                self.emit(event)
            case ev.ResponseDone(response_id=response_id):
                reply = self._replies.pop(response_id, None)
                if reply is None or not reply.dropped:
                    self.emit(event)
                if reply is not None:
                    self._times.ended(response_id, functions_only=bool(reply.calls) and not reply.audio)
                    self.feed(facts.ResponseEnded(response_id, event.status, reply.audio, reply.calls))
            case ev.InterimTranscript():
                self._interim(event)
            case _:
                self._follow(event)

    def _response_created(self, event: ev.ResponseCreated) -> None:
        if event.request_id in self._out_of_band:
            self._out_of_band.discard(event.request_id)
            self.emit(event)
            return
        self._replies[event.response_id] = reply = _Reply()
        if event.request_id in self._dropped:
            self._dropped.discard(event.request_id)
            reply.dropped = True
            self.inner.cancel_response(event.response_id, reason="turn_detected")
            return
        self.feed(facts.ResponseStarted(event.response_id, event.request_id))
        self.emit(event)
        for stage in self._times.begun(event.response_id, event.request_id):
            self.emit(stage)

    def _interim(self, event: ev.InterimTranscript) -> None:
        """Interim words; where the recogniser finds the turns, they are the speech, too."""
        now = self.clock.now()
        by_words = self._model.options.mode == "stt"
        if by_words and event.text and not self._engine.turn_open:
            self.feed(facts.SpeechBegan(now))
            event = replace(event, item_id=next(reversed(self._turn_items.values()), event.item_id))
        self.emit(event)
        if event.settled:
            self._times.words_settled(now)
        endpoint = by_words and event.endpoint
        if endpoint:
            self.feed(facts.SpeechEnded(now))
        self.feed(facts.Heard(event.text, event.settled, endpoint))

    def _follow(self, event: ev.RealtimeEvent) -> None:
        """What else follows from an event of the inner session."""
        match event:
            case ev.InputCommitted(item_id=item_id):
                commit = self._commits.pop(item_id, None)
                if commit is not None:
                    event = replace(event, reason=commit.reason)
            case ev.InputCleared(reason="no words") if self._commits:
                del self._commits[next(iter(self._commits))]  # commits are carried out in order
            case ev.SpeechStarted(audio_start_ms=start_ms) if self._model.options.mode == "model":
                self.feed(facts.SpeechBegan(self._session_time(start_ms)))
            case ev.SpeechStopped() if self._model.options.mode == "model":
                self.feed(facts.SpeechEnded(self.clock.now()))
            case _:
                pass
        apply_event(self._history, event)
        self.emit(event)

    def _session_time(self, audio_ms: float) -> float:
        """When audio was appended that a model names by its place, which is counted from the first of it."""
        now, ago_s = self.clock.now(), self._appended_s - audio_ms / 1000.0
        # A place that is not within the newest audio is of another count: the model's connection was replaced.
        return now - ago_s if 0.0 <= ago_s <= min(_DATED_BACK_MAX_S, now) else now

    def _crashed(self, error: Exception) -> None:
        failure = ModelError(
            f"the turn detector failed with {type(error).__name__}: {error}", stage="turn_detector"
        )
        self.emit(ev.ErrorOccurred(failure, "turn_detector"))


@dataclass(slots=True)
class _Reply:
    """What is remembered of a live response."""

    audio: bool = False
    calls: int = 0
    dropped: bool = False
