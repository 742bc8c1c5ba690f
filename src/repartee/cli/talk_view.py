"""What `repartee talk` shows: words as they come, who has the floor, what was heard, and how long it took."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from repartee.chat import FunctionCall, FunctionCallOutput, Message
from repartee.models import events as ev
from repartee.observe import LatencyView, TurnLatency
from repartee.session import AgentSession

__all__ = ["JsonView", "TalkView", "latency_parts"]

_NAMES = {"user": "you", "assistant": "agent"}


def latency_parts(turn: TurnLatency) -> dict[str, int]:
    """A reply's latency by stage, in ms; what a reply does not have is left out.

    ``total`` is from the end of speech to the first sample heard. ``decision`` is the part of it until the turn counted
    as over, ``after_decision`` the rest. The others say when, after the end of speech, the words were settled and
    the reply's first token, clause and audio were there; with a reply prepared ahead that is before the decision.
    """
    parts = {
        "total": turn.voice_to_voice_s,
        "decision": turn.between("speech_end", "decision"),
        "after_decision": turn.after_decision_s,
        "transcript": turn.between("speech_end", "transcript"),
        "first_token": turn.between("speech_end", "first_token"),
        "first_clause": turn.between("speech_end", "first_clause"),
        "first_audio": turn.between("speech_end", "first_audio"),
    }
    return {name: round(seconds * 1000) for name, seconds in parts.items() if seconds is not None}


class _TrueEnds:
    """Where speech really ended, when that is known: of a sound file it is, of a microphone it is estimated."""

    def __init__(self) -> None:
        self._last_s: float | None = None

    def spoken_until(self, at_s: float) -> None:
        """The last sound of a file was at that session time."""
        self._last_s = at_s

    def correct(self, turn: TurnLatency) -> TurnLatency:
        """A reply's times, with the true end of the speech that it answers."""
        estimated_s = turn.stages.get("speech_end")
        if (
            self._last_s is not None
            and estimated_s is not None
            and abs(self._last_s - estimated_s) < _SAME_END_S
        ):
            return TurnLatency(turn.response_id, turn.stages | {"speech_end": self._last_s})
        return turn


_SAME_END_S = 0.5


class TalkView:
    """Shows a session on a terminal, or line by line where there is none.

    Args:
        session: whose events are shown.
        console: where.
        text: whether the user types, so that their words are on the screen already.
    """

    def __init__(self, session: AgentSession, console: Console, *, text: bool = False) -> None:
        self._session = session
        self._console = console
        self._text = text
        self._latency = LatencyView()
        self.ends = _TrueEnds()
        self._partial: tuple[str, str] = ("", "")
        self._heard: dict[str, str] = {}
        self._timings: dict[str, TurnLatency] = {}
        self._floor_text = "nobody speaks"
        self._live: Live | None = None
        self._closed = False
        kinds: tuple[type[Any], ...] = (
            ev.InterimTranscript,
            ev.TranscriptCompleted,
            ev.InputCleared,
            ev.UserStateChanged,
            ev.AgentStateChanged,
            ev.OutputHeard,
            ev.OutputStopped,
            ev.OutputPause,
            ev.OutputResume,
            ev.ItemAdded,
            ev.TranscriptDelta,
            ev.ResponseDone,
            ev.StageReached,
            ev.ErrorOccurred,
        )
        for kind in kinds:
            session.on(kind, self.receive)

    def receive(self, event: ev.RealtimeEvent) -> None:
        """Show an event."""
        match event:
            case ev.InterimTranscript(text=text):
                self._show("you", text)
            case ev.TranscriptCompleted(transcript=transcript):
                self._say("you", transcript)
            case ev.InputCleared(reason=reason):
                self._note(f"not a turn: {reason}" if reason else "not a turn")
            case ev.UserStateChanged() | ev.AgentStateChanged():
                self._floor()
            case ev.OutputPause(reason=reason):
                self._note(f"paused: {reason}")
            case ev.OutputResume(reason=reason) if reason != "finished":
                self._note(f"goes on: {reason}")
            case ev.ErrorOccurred(error=error, stage=stage):
                self._note(f"{stage} failed: {error}", style="red")
            case ev.ItemAdded(item=FunctionCall(name=name, arguments=arguments)):
                self._note(f"calls {name}({arguments})", style="magenta")
            case ev.ItemAdded(item=FunctionCallOutput(output=output)):
                self._note(f"gives {output}", style="magenta")
            case _:
                self._receive_speech(event)

    def recording(self, began_s: float) -> None:
        """The call is being recorded; session time 0 is that far into the recording."""

    def _receive_speech(self, event: ev.RealtimeEvent) -> None:
        match event:
            case ev.OutputHeard(response_id=response_id, text=text):
                self._heard[response_id] = text
                self._show("agent", text)
            case ev.TranscriptDelta(response_id=response_id, delta=delta) if self._text:
                self._heard[response_id] = self._heard.get(response_id, "") + delta
                self._show("agent", self._heard[response_id])
            case ev.ResponseDone(response_id=response_id) if self._text and response_id in self._heard:
                self._say("agent", self._heard.pop(response_id).strip())
            case ev.OutputStopped(response_id=response_id, interrupted=interrupted):
                self._stopped(response_id, interrupted=interrupted)
            case ev.StageReached():
                turn = self._latency.receive(event)
                if turn is not None:
                    self._timings[turn.response_id] = turn
            case _:
                pass

    def _floor(self) -> None:
        agent, user = self._session.agent_state, self._session.user_state
        who = {"speaking": "agent speaks", "thinking": "agent thinks"}.get(agent, "nobody speaks")
        if user == "speaking":
            who = "both speak" if agent == "speaking" else "you speak"
        self._floor_text = who
        self._show(*self._partial, changed=False)

    def _stopped(self, response_id: str, *, interrupted: bool) -> None:
        text = self._heard.pop(response_id, "")
        if text:
            self._say("agent", f"{text} —" if interrupted else text)
        if interrupted:
            self._note("interrupted: these are the words that were heard", style="yellow")
        turn = self._timings.pop(response_id, None)
        if turn is not None and turn.voice_to_voice_s is not None:
            self._say_latency(self.ends.correct(turn))

    def _say_latency(self, turn: TurnLatency) -> None:
        parts = latency_parts(turn)
        ahead = [
            f"{name} {parts[key]}"
            for key, name in (
                ("transcript", "words"),
                ("first_token", "token"),
                ("first_clause", "clause"),
                ("first_audio", "sound"),
            )
            if key in parts
        ]
        self._note(
            f"{parts['total']} ms after your last sound: {parts['decision']} until the turn was over "
            f"+ {parts['after_decision']} until it was heard  (ready after: {', '.join(ahead)})",
            style="cyan",
        )

    # -- lines -------------------------------------------------------------------------------------------------

    def _show(self, who: str, text: str, *, changed: bool = True) -> None:
        """The line that still changes: on a terminal in place, elsewhere anew for each change of the words."""
        self._partial = (who, text)
        if self._closed:
            return
        if not self._console.is_terminal:
            if changed and text:
                self._console.print(Text(f"{who:>7}  … {text}", style="dim"), soft_wrap=True)
            return
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=12, transient=True)
            self._live.start()
        self._live.update(
            Text.assemble((f"{who:>7}  ", "bold dim"), (text, "dim"), (f"   [{self._floor_text}]", "blue"))
        )

    def _say(self, who: str, text: str) -> None:
        """A line that stays."""
        self._partial = ("", "")
        self._console.print(
            Text.assemble((f"{who:>7}  ", "bold green" if who == "agent" else "bold"), text), soft_wrap=True
        )

    def _note(self, text: str, style: str = "dim") -> None:
        self._console.print(Text(f"         {text}", style=style), soft_wrap=True)

    def close(self) -> None:
        """Show what is left, and give the terminal back."""
        self._closed = True
        if self._heard and not self._text:
            for text in self._heard.values():
                self._say("agent", text)
        if self._live is not None:
            self._live.stop()
            self._live = None


class JsonView:
    """Writes every event as a line of JSON, for programs.

    Args:
        session: whose events are written.
        out: where.
    """

    def __init__(self, session: AgentSession, out: TextIO) -> None:
        self._session = session
        self._out = out
        self._latency = LatencyView()
        self.ends = _TrueEnds()
        for kind in ev.RealtimeEvent.__args__:
            if kind is not ev.AudioDelta:
                session.on(kind, self.receive)

    def receive(self, event: ev.RealtimeEvent) -> None:
        """Write an event."""
        line: dict[str, Any] = {"now_s": round(self._session.now, 4), "type": type(event).__name__}
        line |= {field.name: _plain(getattr(event, field.name)) for field in dataclasses.fields(event)}
        self.write(line)
        turn = self._latency.receive(event)
        if turn is not None and turn.voice_to_voice_s is not None:
            turn = self.ends.correct(turn)
            end_s = round(turn.stages["speech_end"], 4)
            line = {"type": "Latency", "response_id": turn.response_id, "speech_end_s": end_s}
            self.write({**line, "ms": latency_parts(turn)})

    def recording(self, began_s: float) -> None:
        """The call is being recorded; session time 0 is that far into the recording."""
        self.write({"type": "Recording", "session_began_s": round(began_s, 4)})

    def write(self, line: dict[str, Any]) -> None:
        """Write one line."""
        self._out.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._out.flush()

    def close(self) -> None:
        """Nothing is held back."""


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, BaseException):
        return {"kind": type(value).__name__, "message": str(value)}
    if isinstance(value, Message):
        return {"id": value.id, "role": value.role, "text": value.text, "status": value.status}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value
