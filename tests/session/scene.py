"""One conversation on virtual time: a microphone, a loudspeaker, scripted models, and what came of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from types import TracebackType
from typing import Any, TypeVar, cast

from repartee.errors import ReparteeError
from repartee.models import events as ev
from repartee.observe import AudioLogged
from repartee.session import Agent, AgentSession
from repartee.testing import (
    MemoryInput,
    MemoryOutput,
    MemoryTextOutput,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedVAD,
    check_all,
    check_nothing_left,
    sleep_until,
)

E = TypeVar("E")


class Scene:
    """A session of scripted parts. Everything can be replaced; ``None`` leaves a part out.

    Entering starts the session (at time 0, so session time is the loop's); leaving closes it and checks every
    invariant on what was logged, heard and remembered, and that nothing is left.

    Args:
        replies: of the default LLM.
        model: in place of ``ScriptedLLM(replies)``.
        skip: invariants that don't apply.
        shared: whether other sessions use the same models (then who runs them sees to it that nothing is left).
        comparable: whether what sounds are the very samples that were generated (not where they are resampled).
        options: further arguments of `AgentSession`.
    """

    def __init__(
        self,
        *replies: Any,
        model: Any = None,
        stt: Any = ...,
        tts: Any = ...,
        vad: Any = ...,
        microphone: MemoryInput | Any = ...,
        loudspeaker: MemoryOutput | Any = ...,
        captions: MemoryTextOutput | None = None,
        agent: Agent | None = None,
        skip: Collection[int] = (),
        comparable: bool = True,
        shared: bool = False,
        **options: Any,
    ) -> None:
        self.llm: Any = model if model is not None else ScriptedLLM(replies)
        self.stt: Any = ScriptedSTT() if stt is ... else stt
        # 200 ms a word: whoever reads a test can reckon in words.
        self.tts: Any = ScriptedTTS(ms_per_word=200.0) if tts is ... else tts
        self.vad: Any = ScriptedVAD() if vad is ... else vad
        self.mic: Any = MemoryInput() if microphone is ... else microphone
        self.out: Any = MemoryOutput() if loudspeaker is ... else loudspeaker
        self.captions = captions
        self.agent = agent
        self.skip = skip
        self.comparable = comparable
        self.shared = shared
        self.session = AgentSession(llm=self.llm, stt=self.stt, tts=self.tts, vad=self.vad, **options)
        self._sound: list[ev.AudioDelta] = []
        self.session.on(ev.AudioDelta, self._sound.append)
        self.origin_s = 0.0

    async def __aenter__(self) -> Scene:
        self.origin_s = asyncio.get_running_loop().time()
        await self.session.start(
            self.agent, audio_input=self.mic, audio_output=self.out, text_output=self.captions
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.aclose()
        if error is None:
            self.check()

    async def until(self, at_s: float) -> None:
        """Wait for a session time."""
        await sleep_until(self.origin_s + at_s)

    # -- what came of it ---------------------------------------------------------------------------------------

    def check(self) -> None:
        """Every invariant, by the session's own log and by one with all its sound; nothing is left open."""
        session = self.session
        sound = iter(self._sound)
        full = [(s, next(sound) if isinstance(e, AudioLogged) else e) for s, e in session.log]
        for log in (full, session.log):
            out = self.out if self.comparable else None
            found = check_all(log, out, session.history, origin_s=self.origin_s, skip=self.skip)
            assert found == [], "\n".join([*map(str, found), *self.brief()])
        if not self.shared:
            self._check_models()

    def _check_models(self) -> None:
        left = check_nothing_left()
        assert left == [], "\n".join(map(str, left))
        assert isinstance(self.stt, ScriptedSTT) is False or self.stt.open_streams == 0
        assert isinstance(self.vad, ScriptedVAD) is False or self.vad.open_streams == 0
        if isinstance(self.llm, ScriptedLLM):
            assert self.llm.count("running") == 0
            assert self.llm.script_errors == [], "\n".join(self.brief())
        if isinstance(self.tts, ScriptedTTS):
            assert [u.text for u in self.tts.utterances if u.outcome == "running"] == []

    def times(self, kind: type[Any], **fields: Any) -> list[float]:
        """When events of a type with these field values happened, in ms of session time."""
        return [round(s * 1000, 3) for s, event in self.session.log if _fits(event, kind, fields)]

    def events(self, kind: type[E], **fields: Any) -> list[E]:
        """Events of a type with these field values."""
        return [cast(E, event) for _, event in self.session.log if _fits(event, kind, fields)]

    @property
    def said(self) -> list[tuple[str, str]]:
        """The history's messages: role and words; an interrupted one ends in a dash."""
        return [(m.role, m.text + ("–" if m.interrupted else "")) for m in self.session.history.messages]

    @property
    def heard(self) -> str:
        """The words that sounded."""
        return str(self.out.heard_text())

    @property
    def spans_ms(self) -> list[tuple[float, float]]:
        """When the agent was audible, in ms of session time."""
        spans = self.out.spans()
        return [
            (round((a - self.origin_s) * 1000, 1), round((b - self.origin_s) * 1000, 1)) for a, b in spans
        ]

    @property
    def errors(self) -> list[tuple[str, str]]:
        """Stage and kind of each error that was told."""
        return [(e.stage, type(e.error).__name__) for e in self.events(ev.ErrorOccurred)]

    @property
    def agent_states(self) -> list[tuple[float, str]]:
        """The agent's states, and since when (ms)."""
        return [(round(s * 1000), e.new) for s, e in self.session.log if isinstance(e, ev.AgentStateChanged)]

    @property
    def user_states(self) -> list[tuple[float, str]]:
        """The user's states, and since when (ms)."""
        return [(round(s * 1000), e.new) for s, e in self.session.log if isinstance(e, ev.UserStateChanged)]

    def brief(self) -> list[str]:
        """The log without its audio, a short line each, for messages."""
        lines = [re.sub(r"'(\w+_\w{4})\w{17}'", r"\1", line) for line in self.lines()]
        return [line[:160] for line in lines if "AudioLogged" not in line and "OutputHeard" not in line]

    def lines(self) -> list[str]:
        """The log, a line each, for comparing runs."""
        return [f"{s:9.4f} {event!r}" for s, event in self.session.log]


def _fits(event: object, kind: type[Any], fields: dict[str, Any]) -> bool:
    return isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items())


def error_texts(scene: Scene) -> list[str]:
    """The messages of the errors that were told."""
    errors: list[ReparteeError] = [e.error for e in scene.events(ev.ErrorOccurred)]
    return [str(error) for error in errors]
