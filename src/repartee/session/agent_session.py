"""`AgentSession`: one agent in one conversation; and `Agent`: who that is.

It composes a model of its parts, moves audio between the input, the model and the output, keeps the history as the
model's events tell it, and runs tools. It takes no turns: that is the model's own business (`repartee.compose`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from repartee.chat import ChatContext, FunctionCall, FunctionCallOutput, FunctionTool, Message, ToolChoice
from repartee.chat.tools import tool_table
from repartee.clock import Clock
from repartee.compose.tasks import TaskOwner
from repartee.errors import ConfigurationError, ReparteeError, StateError
from repartee.io import AudioInput, AudioOutput, TextOutput
from repartee.models import (
    LLM,
    STT,
    TTS,
    VAD,
    PlaybackFinished,
    PlaybackReport,
    RealtimeModel,
    RealtimeSession,
    ResponseOptions,
    SessionOptions,
)
from repartee.models import events as ev
from repartee.models.history import apply_event
from repartee.observe.log import SessionLog
from repartee.session.composition import Parts, TurnDetection, check_kind, compose
from repartee.session.input_pump import InputPump
from repartee.session.listeners import EventFeed, Listeners
from repartee.session.playback import Playback
from repartee.session.speech_handle import SpeechHandle
from repartee.session.speeches import Speeches
from repartee.session.tool_runner import Round, ToolRunner
from repartee.turns import Endpointing, InterruptionOptions, SpeculationOptions, SpeechGateOptions

__all__ = ["Agent", "AgentSession"]

E = TypeVar("E")

_UNSET: Any = object()


class Agent:
    """Who converses.

    Args:
        instructions: what the model is told about its part. Default: nothing.
        tools: functions that it may call, besides the session's.
        chat_context: what was said before. Default: nothing.
        voice: a name of one of the model's voices (of `TTS.with_voice`, where there is a ``tts``); if it has none of
            that name, that is one `ErrorOccurred`, and its default voice speaks. Default: that.
    """

    def __init__(
        self,
        instructions: str = "",
        *,
        tools: Sequence[FunctionTool] = (),
        chat_context: ChatContext | None = None,
        voice: str | None = None,
    ) -> None:
        self.instructions = instructions
        self.voice = voice
        self.tools = tuple(tools)
        self.chat_context = chat_context.copy() if chat_context is not None else ChatContext()

    async def on_enter(self, session: AgentSession) -> None:
        """The session runs. Override to greet, for example. Default: nothing."""

    async def on_exit(self, session: AgentSession) -> None:
        """The session is about to end. Default: nothing."""


class AgentSession:
    """One agent in one conversation.

    Args:
        llm: the model: a text `LLM`, or a `RealtimeModel`.
        stt: hears, for a model that takes text.
        tts: speaks, for a model that gives text.
        vad: finds speech. Default: the one that ``repartee[local]`` brings, where one is needed.
        turn_detection: who says that a turn is over: an end-of-turn model (such as ``EnglishModel()``), ``"vad"``,
            ``"stt"``, ``"realtime_llm"`` or ``"manual"``. Default: the model's own where it has one, else ``"vad"``.
        tools: functions that any agent of this session may call. Default: those that the model brings along (the local
            one has the time, sums, timers and the like); ``()`` for none.
        endpointing: how long silence must last. Default: by the end-of-turn model's probability, or 500 ms.
        interruption: whether and how the user may interrupt.
        speculation: whether answers are prepared before the turn is over.
        speech: how sure to be that it is speech.
        max_tool_steps: how many times in a row a reply may call functions before it must answer. Default 3.
        tool_timeout_s: how long a function may take that does not say so itself. Default 60.
        user_away_timeout_s: silence of both after which the user counts as away; ``None`` for never. Default 15.
        userdata: anything of yours; functions find it in their `RunContext`.

    Raises:
        ConfigurationError: there is no model, or the parts contradict each other.
    """

    def __init__(
        self,
        *,
        llm: LLM | None = None,
        stt: STT | None = None,
        tts: TTS | None = None,
        vad: VAD | None = _UNSET,
        turn_detection: TurnDetection = None,
        tools: Sequence[FunctionTool] | None = None,
        endpointing: Endpointing | None = None,
        interruption: InterruptionOptions | None = None,
        speculation: SpeculationOptions | None = None,
        speech: SpeechGateOptions | None = None,
        max_tool_steps: int = 3,
        tool_timeout_s: float = 60.0,
        user_away_timeout_s: float | None = 15.0,
        userdata: Any = None,
    ) -> None:
        if max_tool_steps < 0:
            raise ConfigurationError(f"max_tool_steps is {max_tool_steps}; it must be 0 or more")
        if tool_timeout_s <= 0:
            raise ConfigurationError(f"tool_timeout_s is {tool_timeout_s}; it must be above 0")
        tool_table(tools or ())
        self._made: list[VAD | STT] = []  # the defaults, which nobody else has
        self.model: RealtimeModel = compose(
            Parts(
                llm,
                stt,
                tts,
                None if vad is _UNSET else vad,
                vad is not _UNSET,
                turn_detection,
                endpointing,
                interruption,
                speculation,
                speech,
                user_away_timeout_s,
            ),
            self._made,
        )
        self.userdata = userdata
        self.log = SessionLog()
        self._tools = tuple(tools) if tools is not None else self.model.default_tools
        self._max_tool_steps = max_tool_steps
        self._tool_timeout_s = tool_timeout_s
        self._history = ChatContext()
        self._listeners = Listeners()
        self._agent: Agent | None = None
        self._user_state: ev.UserState = "listening"
        self._agent_state: ev.AgentState = "initializing"
        self._live: _Live | None = None
        self._closing = False
        self._closed = False

    # -- what it shows -----------------------------------------------------------------------------------------

    @property
    def history(self) -> ChatContext:
        """The conversation so far: what was said by the user, and what was heard of the agent. A copy."""
        return self._history.copy()

    @property
    def user_state(self) -> ev.UserState:
        """``"listening"``, ``"speaking"`` or ``"away"``."""
        return self._user_state

    @property
    def agent_state(self) -> ev.AgentState:
        """``"initializing"``, ``"listening"``, ``"thinking"`` or ``"speaking"``."""
        return self._agent_state

    @property
    def agent(self) -> Agent | None:
        """Who converses; ``None`` before `start`."""
        return self._agent

    @property
    def tools(self) -> tuple[FunctionTool, ...]:
        """The functions that the model may call now."""
        return self._tools_with(self._agent)

    def _tools_with(self, agent: Agent | None) -> tuple[FunctionTool, ...]:
        """The session's, less those that the agent has a function of the same name for, and the agent's."""
        own = agent.tools if agent is not None else ()
        names = {tool.name for tool in own}
        return (*(tool for tool in self._tools if tool.name not in names), *own)

    @property
    def now(self) -> float:
        """Session time in seconds; 0 before `start`."""
        return self._live.clock.now() if self._live is not None else 0.0

    def on(self, kind: type[E], callback: Callable[[E], object]) -> Callable[[], None]:
        """Call back for each event of a type (of `repartee.models.events`).

        Returns:
            A function that ends that.
        """
        return self._listeners.on(kind, callback)

    def events(self, *, max_queue: int = 1000) -> EventFeed:
        """Every event but audio, from now until the session ends.

        Args:
            max_queue: how many events may wait for a slow reader; beyond that the oldest are dropped, and a warning
                is logged. Default 1000.
        """
        return self._listeners.events(max_queue)

    # -- its life ----------------------------------------------------------------------------------------------

    async def start(
        self,
        agent: Agent | None = None,
        *,
        audio_input: AudioInput | None = None,
        audio_output: AudioOutput | None = None,
        text_output: TextOutput | None = None,
    ) -> None:
        """Begin the conversation.

        Args:
            agent: who converses. Default: one without instructions.
            audio_input: where the user is heard. Default: nowhere; `send_text` and `generate_reply` work all the same.
            audio_output: where the agent is heard. Default: nowhere; it answers in text.
            text_output: where the agent's words go: as they are heard, or written where nothing is heard.

        Raises:
            StateError: it was started before.
            ConfigurationError: there is audio, but no part of the model that could take or give it.
            ModelError: the model can't be had.
        """
        if self._live is not None or self._closing:
            raise StateError(
                "this session was started before; make a new AgentSession for a new conversation"
            )
        check_kind("agent", agent, Agent, "an Agent")
        check_kind("audio_input", audio_input, AudioInput, "an AudioInput")
        check_kind("audio_output", audio_output, AudioOutput, "an AudioOutput")
        check_kind("text_output", text_output, TextOutput, "a TextOutput")
        able = self.model.capabilities
        if audio_input is not None and not able.audio_input:
            raise ConfigurationError("there is an audio_input, but nothing that hears: pass stt=")
        if audio_output is not None and not able.audio_output:
            raise ConfigurationError("there is an audio_output, but nothing that speaks: pass tts=")
        tool_table(self._tools_with(agent))
        self._agent = agent if agent is not None else Agent()
        self._live = live = _Live(self, audio_output, text_output)
        try:
            await live.session.start()
        except BaseException:
            await self.aclose()
            raise
        if self._closing:
            raise StateError("the session was closed while it was starting")
        for item in self._agent.chat_context:
            live.session.create_item(item)
        self._set_agent_state("listening")
        if audio_input is not None:
            live.input = InputPump(audio_input, live.session, able.input_sample_rate, self)
            live.tasks.spawn(live.input.run(), name="session.input")
        await self._agent.on_enter(self)

    async def aclose(self) -> None:
        """End the conversation: what is being said stops, and counts as said as far as it was heard. Idempotent.

        The models that the session was given stay open: they are yours. Those that it made for itself are closed.
        """
        if self._closing:
            return
        self._closing = True
        try:
            if self._agent is not None and self._agent_state != "initializing":
                await self._agent.on_exit(self)
        finally:
            self._closed = True
            try:
                if self._live is not None:
                    await self._live.aclose()
            finally:
                self._set_agent_state("idle")
                self._listeners.close()
                async with AsyncExitStack() as stack:  # one that fails to close keeps no other open
                    for part in self._made:
                        stack.push_async_callback(part.aclose)

    async def __aenter__(self) -> AgentSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def wait_for_idle(self) -> None:
        """Wait until nothing is being said, prepared or waiting to be said."""
        await self._need_live().speeches.wait_for_idle()

    def update_agent(self, agent: Agent) -> None:
        """Let another agent go on with this conversation: what it is counts from the next reply."""
        live = self._need_live()
        tool_table(self._tools_with(agent))
        self._agent = agent
        live.session.update(self.session_options(live.session.options.modalities))

    def session_options(self, modalities: tuple[Any, ...]) -> SessionOptions:
        """The model's standing configuration for the present agent."""
        agent = self._agent
        return SessionOptions(
            instructions=agent.instructions if agent is not None else "",
            tools=self.tools,
            modalities=modalities,
            voice=agent.voice if agent is not None else None,
        )

    # -- speaking and listening --------------------------------------------------------------------------------

    def say(self, text: str, *, allow_interruptions: bool = True) -> SpeechHandle:
        """Say exactly this, when the agent has the floor.

        Raises:
            StateError: the session does not run.
            ConfigurationError: the model can only generate.
        """
        if not self.model.capabilities.verbatim:
            raise ConfigurationError(
                "this model can't say a given text: pass tts=, or use generate_reply(instructions=)"
            )
        return self._need_live().speeches.request(
            ResponseOptions(say=text, interruptible=allow_interruptions)
        )

    def generate_reply(
        self,
        *,
        user_input: str | None = None,
        instructions: str | None = None,
        tools: Sequence[FunctionTool] | None = None,
        tool_choice: ToolChoice | None = None,
        allow_interruptions: bool = True,
    ) -> SpeechHandle:
        """Answer the conversation as it stands, when the agent has the floor.

        Args:
            user_input: first add this to the conversation as the user's words.
            instructions: for this reply alone, instead of the agent's.
            tools: for this reply alone.
            tool_choice: for this reply alone.
            allow_interruptions: whether the user may interrupt it by speaking. Default ``True``.

        Raises:
            StateError: the session does not run.
        """
        live = self._need_live()
        if user_input is not None:
            live.session.create_item(Message.of("user", user_input))
        return live.speeches.request(
            ResponseOptions(
                instructions=instructions,
                tools=tuple(tools) if tools is not None else None,
                tool_choice=tool_choice,
                interruptible=allow_interruptions,
            )
        )

    def send_text(self, text: str) -> SpeechHandle:
        """The user has typed this: what is being said stops, and it is answered."""
        self.interrupt()
        return self.generate_reply(user_input=text)

    def interrupt(self) -> None:
        """Stop what is being said, and drop what waits to be said or was to follow from functions that run."""
        live = self._need_live()
        live.speeches.overtake()
        live.session.cancel_response()

    def commit_user_turn(self) -> SpeechHandle:
        """The user has finished (push-to-talk): close their turn, and answer it."""
        live = self._need_live()
        live.session.commit_audio()
        return live.speeches.request(ResponseOptions())

    def clear_user_turn(self) -> None:
        """Forget what the user has said since their last turn."""
        self._need_live().session.clear_audio()

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """Call back on the event loop after that time, unless the session ends before."""
        return self._need_live().call_later(delay_s, callback)

    def _need_live(self) -> _Live:
        if self._live is None:
            raise StateError("the session does not run yet: await start() first")
        if self._closed:
            raise StateError("the session has ended: make a new AgentSession")
        return self._live

    # -- events of the model -----------------------------------------------------------------------------------

    def tell(self, event: ev.RealtimeEvent) -> None:
        """Something happened: log it, and tell whoever listens."""
        self.log.record(self.now, event)
        self._listeners.tell(event)

    def receive(self, event: ev.RealtimeEvent) -> None:
        """An event of the model."""
        live = self._live
        if type(event) is ev.AudioDelta:  # nearly all; the history has no part in it
            self.tell(event)
            if live is not None:
                live.receive_audio(event)
            return
        apply_event(self._history, event)
        match event:
            case ev.UserStateChanged(new=state):
                self._user_state = state
            case ev.AgentStateChanged(new=state):
                self._agent_state = state
            case _:
                pass
        if not (isinstance(event, ev.TranscriptDelta) and not event.delta):  # that is for who plays, alone
            self.tell(event)
        if live is not None:
            live.receive(event)

    def _set_agent_state(self, state: ev.AgentState) -> None:
        if state != self._agent_state:
            old, self._agent_state = self._agent_state, state
            self.tell(ev.AgentStateChanged(old, state))

    # -- tools -------------------------------------------------------------------------------------------------

    def tool_result(self, output: FunctionCallOutput) -> None:
        """A function has given its result: it belongs to the history, whatever has happened since."""
        if self._live is not None:
            self._live.session.create_item(output)

    def round_finished(self, finished: Round) -> None:
        """All functions of a response have run: ask the model to go on, unless the conversation has moved on."""
        if self._live is not None:
            self._live.speeches.follow_up(
                finished.response_id, completed=finished.completed, max_steps=self._max_tool_steps
            )


class _Live:
    """What exists only while a session runs."""

    def __init__(
        self, owner: AgentSession, audio_output: AudioOutput | None, text_output: TextOutput | None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.owner = owner
        self.clock = Clock(loop.time)
        self.tasks = TaskOwner(self._crashed)
        self.input: InputPump | None = None
        self.text_output = text_output
        self._timers: set[asyncio.TimerHandle] = set()
        self._shown: tuple[str, int] = ("", 0)
        modalities: tuple[Any, ...] = ("audio",) if audio_output is not None else ("text",)
        self.session: RealtimeSession = owner.model.session(
            owner.session_options(modalities), on_event=owner.receive, clock=self.clock
        )
        self.playback = Playback(audio_output, self, self.clock) if audio_output is not None else None
        self.tools = ToolRunner(owner, timeout_s=owner._tool_timeout_s)
        self.speeches = Speeches(self.session)

    async def aclose(self) -> None:
        """End everything, in the order in which it is used; what fails to end keeps nothing else from ending."""
        self.speeches.overtake()
        self.session.cancel_response(reason="session closed")
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        async with AsyncExitStack() as last_first:
            last_first.callback(self.speeches.close)
            if self.playback is not None:
                last_first.push_async_callback(self.playback.aclose)
            last_first.push_async_callback(self.session.aclose)
            if self.playback is not None:
                last_first.push_async_callback(self.playback.drain)
            last_first.push_async_callback(self.tools.aclose)
            if self.input is not None:
                last_first.push_async_callback(self.input.aclose)
            last_first.push_async_callback(self.tasks.aclose)

    def receive_audio(self, event: ev.AudioDelta) -> None:
        """A piece of the model's voice."""
        self.speeches.receive(event)
        if self.playback is not None:
            self.playback.receive(event)

    def receive(self, event: ev.RealtimeEvent) -> None:
        """Any other event of the model, after the history has it."""
        self.speeches.receive(event)
        if self.playback is not None:
            self.playback.receive(event)
        match event:
            case ev.OutputClear(response_id=response_id) if self.playback is None:
                self.playback_report(PlaybackFinished(response_id, interrupted=True))
            case ev.OutputItemDone(response_id=response_id, item=FunctionCall() as call):
                tools = self.speeches.tools(response_id)
                self.tools.call(response_id, call, self.owner.tools if tools is None else tools)
            case ev.ResponseDone(response_id=response_id, status=status):
                self.tools.response_done(response_id, completed=status == "completed")
            case _:
                pass
        if self.text_output is not None:
            self._show(self.text_output, event)

    def _show(self, text_output: TextOutput, event: ev.RealtimeEvent) -> None:
        match event:
            case ev.TranscriptDelta(delta=delta) if self.playback is None:
                text_output.write(delta)
            case ev.ResponseDone() if self.playback is None:
                text_output.write("", final=True)
            case _:
                pass

    # -- what playback says ------------------------------------------------------------------------------------

    def playback_report(self, report: PlaybackReport) -> None:
        """Something was heard for the first, or the last, time."""
        if isinstance(report, PlaybackFinished):
            self.owner.tell(ev.OutputStopped(report.response_id, report.interrupted))
        else:
            self.owner.tell(ev.OutputStarted(report.response_id))
        self.session.report_playback(report)
        self.speeches.playback(report)
        if (
            isinstance(report, PlaybackFinished)
            and self.text_output is not None
            and self.playback is not None
        ):
            self.text_output.write("", final=True)
            self._shown = ("", 0)

    def truncate(self, item_id: str, audio_end_ms: int, text: str) -> None:
        """Only that much of an item was heard."""
        self.session.truncate_item(item_id, audio_end_ms=audio_end_ms, text=text)

    def tell(self, event: ev.RealtimeEvent) -> None:
        """Something for whoever listens."""
        self.owner.tell(event)
        if isinstance(event, ev.OutputHeard) and self.text_output is not None:
            item_id, shown = self._shown
            shown = shown if item_id == event.item_id else 0
            self.text_output.write(event.text[shown:])
            self._shown = (event.item_id, len(event.text))

    # -- timers and faults -------------------------------------------------------------------------------------

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """A timer that ends with the session."""

        def due() -> None:
            self._timers.discard(timer)
            callback()

        timer = asyncio.get_running_loop().call_later(delay_s, due)
        self._timers.add(timer)
        return timer

    def _crashed(self, error: Exception) -> None:
        failure = (
            error if isinstance(error, ReparteeError) else StateError(f"{type(error).__name__}: {error}")
        )
        self.owner.tell(ev.ErrorOccurred(failure, "session"))
