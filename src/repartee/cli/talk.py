"""`repartee talk`: a conversation with the local default, by voice, with sound files, or typed."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from repartee.cli.talk_view import JsonView, TalkView
from repartee.errors import DeviceError, MissingDependencyError, UsageError
from repartee.io import AudioInput, AudioOutput
from repartee.models.events import OutputStarted
from repartee.session import Agent, AgentSession
from repartee.turns import FixedEndpointing

if TYPE_CHECKING:
    pass

__all__ = ["add_arguments", "run"]

INSTRUCTIONS = "You are a friendly voice assistant. Answer in one short sentence."

# One more file is played when nothing has been said for this long.
_GAP_S = 0.8
# An interruption comes this long after the agent began to speak.
_INTERRUPT_AFTER_S = 1.2
# No answer after this long: the next file is played all the same.
_PATIENCE_S = 15.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--in",
        dest="files",
        nargs="+",
        metavar="FILE",
        help="speak these sound files, each once the answer to the one before it has ended; a name that begins with "
        f"'!' interrupts the agent {_INTERRUPT_AFTER_S:g} s after it began to speak",
    )
    how.add_argument("--text", action="store_true", help="type instead of speaking (end with Ctrl-D)")
    how.add_argument("--demo", action="store_true", help="three spoken turns that come with the package")
    parser.add_argument(
        "--out",
        metavar="CALL.WAV",
        help="record the call: caller on the left, the agent as heard on the right",
    )
    parser.add_argument("--instructions", default=INSTRUCTIONS, help="what the agent is told about its part")
    parser.add_argument(
        "--llm", metavar="GGUF", help="a language model, by path or name (see: repartee models)"
    )
    parser.add_argument("--stt", metavar="MODEL", help="a recogniser, by path or name")
    parser.add_argument("--tts", metavar="VOICE", help="a voice, by path or name")
    parser.add_argument(
        "--silence-ms",
        type=float,
        metavar="MS",
        help="end a turn after this silence, without the end-of-turn model",
    )
    parser.add_argument(
        "--no-echo-cancellation",
        action="store_true",
        help="for headphones: what the loudspeaker plays is not removed",
    )
    parser.add_argument("--json", action="store_true", help="write every event as a line of JSON")


def run(args: argparse.Namespace) -> int:
    """Talk; the exit code."""
    return asyncio.run(_talk(args))


async def _talk(args: argparse.Namespace) -> int:
    console = Console(stderr=args.json, highlight=False)
    session, paths, out = _session(args), _paths(args), _out(args)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(session.model.aclose)
        with console.status("getting the models ready (about two seconds) …"):
            await session.model.prewarm()
        stack.push_async_callback(session.aclose)
        view = JsonView(session, sys.stdout) if args.json else TalkView(session, console, text=args.text)
        stack.callback(view.close)
        agent = Agent(args.instructions)
        if args.text:
            await session.start(agent)
            await _typed(session, console)
        elif paths:
            await _filed(session, agent, paths, out, stack, view)
        else:
            await _spoken(session, agent, out, console, stack, echo=not args.no_echo_cancellation)
    if out is not None and not args.text:
        console.print(
            f"the call is in {out}: caller on the left, the agent as heard on the right", style="dim"
        )
    if args.demo:
        _invite(console)
    return 0


def _session(args: argparse.Namespace) -> AgentSession:
    from repartee.plugins import local

    if args.text:
        return AgentSession(llm=local.LLM(args.llm), user_away_timeout_s=None)
    if args.silence_ms is None:
        model = local.RealtimeModel(llm=args.llm, stt=args.stt, tts=args.tts)
    else:
        silence = FixedEndpointing(args.silence_ms)
        model = local.RealtimeModel(llm=args.llm, stt=args.stt, tts=args.tts, turn_detection=None)
        return AgentSession(llm=model, endpointing=silence, vad=local.VAD())
    return AgentSession(llm=model)


def _paths(args: argparse.Namespace) -> list[str]:
    if args.demo:
        data = files("repartee.cli") / "data"
        return [str(data / "sum.flac"), str(data / "abilities.flac"), "!" + str(data / "interruption.flac")]
    return list(args.files or ())


def _out(args: argparse.Namespace) -> Path | None:
    if args.out is None and not args.demo:
        return None
    out = Path(args.out if args.out is not None else "out/call.wav")
    if out.suffix.lower() != ".wav":
        raise UsageError(f"--out is {str(out)!r}; the recording is a WAV file, so its name must end in .wav")
    out.parent.mkdir(parents=True, exist_ok=True)
    return out


# -- typed -----------------------------------------------------------------------------------------------------


async def _typed(session: AgentSession, console: Console) -> None:
    """Each line is a turn; end of file ends it."""
    loop = asyncio.get_running_loop()
    if sys.stdin.isatty():
        console.print("type, and press Enter; Ctrl-D ends", style="dim")
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            return
        if line.strip():
            if not sys.stdin.isatty():
                console.print(f"    you  {line.strip()}")
            await session.send_text(line.strip())


# -- with sound files ------------------------------------------------------------------------------------------


async def _filed(
    session: AgentSession,
    agent: Agent,
    paths: list[str],
    out: Path | None,
    stack: AsyncExitStack,
    view: TalkView | JsonView,
) -> None:
    """Speak files, one turn after another, as a person would: not before the answer to the last has ended."""
    from repartee.audio import open_audio
    from repartee.transports.file import FileInput, RecordedInput, RecordingOutput
    from repartee.transports.recorder import CallRecorder

    for path in paths:
        with open_audio(path.removeprefix("!")):
            pass  # what can't be read is said before the call begins
    rate = session.model.capabilities.input_sample_rate
    microphone = FileInput(sample_rate=rate)
    recorder = CallRecorder(out, 24_000) if out is not None else None
    if recorder is not None:
        stack.callback(recorder.close)
    loudspeaker = RecordingOutput(recorder)
    source = RecordedInput(microphone, recorder) if recorder is not None else microphone
    await session.start(agent, audio_input=source, audio_output=loudspeaker)
    if recorder is not None:
        view.recording(asyncio.get_running_loop().time() - session.now - recorder.start_s)
    replies = _Replies(session)
    for at, path in enumerate(paths):
        if at and path.startswith("!"):
            await replies.begin()
            await asyncio.sleep(_INTERRUPT_AFTER_S)
        elif at:
            await replies.end()
        replies.expect()
        played = microphone.play(path.removeprefix("!"), after_ms=0.0)
        await played.finished()
        if played.speech_end_samples is not None and microphone.started_s is not None:
            end_s = microphone.started_s + played.speech_end_samples / microphone.sample_rate
            view.ends.spoken_until(end_s - (asyncio.get_running_loop().time() - session.now))
    await replies.end()


class _Replies:
    """Tells when the reply to the last file begins and has ended."""

    def __init__(self, session: AgentSession) -> None:
        self._session = session
        self._began = asyncio.Event()
        session.on(OutputStarted, lambda _: self._began.set())

    def expect(self) -> None:
        """A file is about to be played."""
        self._began.clear()

    async def begin(self) -> None:
        """Wait until the reply is heard; not for ever."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._began.wait()
        except TimeoutError:
            pass  # what was said needed no answer, or there was none: the view has shown why

    async def end(self) -> None:
        """Wait until the reply is over, and a moment more."""
        await self.begin()
        await self._session.wait_for_idle()
        await asyncio.sleep(_GAP_S)


# -- by voice --------------------------------------------------------------------------------------------------


async def _spoken(
    session: AgentSession,
    agent: Agent,
    out: Path | None,
    console: Console,
    stack: AsyncExitStack,
    *,
    echo: bool,
) -> None:
    from repartee.transports.console import Console as SoundCard
    from repartee.transports.file import RecordedInput
    from repartee.transports.recorded_output import RecordedOutput
    from repartee.transports.recorder import CallRecorder

    card = SoundCard(echo_cancellation=None if echo else False)
    source: AudioInput = card.input
    sink: AudioOutput = card.output
    if card.echo is None and echo:
        console.print("no echo canceller (pip install 'repartee[talk]'): use headphones", style="yellow")
    if out is not None:
        recorder = CallRecorder(out, 24_000)
        stack.callback(recorder.close)
        source, sink = RecordedInput(source, recorder), RecordedOutput(sink, recorder)
    await session.start(agent, audio_input=source, audio_output=sink)
    console.print("speak; Ctrl-C ends", style="dim")
    await asyncio.Event().wait()


def _invite(console: Console) -> None:
    """After the demo: can the person speak with it, too?"""
    try:
        from repartee.transports.console import Console as SoundCard

        SoundCard()
    except (DeviceError, MissingDependencyError) as missing:
        console.print(
            f"to speak yourself, this machine lacks something: {missing}", style="dim", markup=False
        )
    else:
        console.print("now speak with it yourself:  repartee talk", style="bold")
