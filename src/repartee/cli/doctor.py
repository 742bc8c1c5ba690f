"""`repartee doctor`: what works on this machine, and what to install for the rest.

A check is *ok*, *missing* (something optional that could be had) or *failed* (the local default needs it). The exit
code is 0 if nothing has failed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files
from typing import Literal

from rich.text import Text

from repartee._version import __version__
from repartee.audio import AudioFrame, read_audio
from repartee.chat import ChatContext
from repartee.cli.output import print_json, print_table, terminal
from repartee.clock import Clock
from repartee.errors import ModelError, ReparteeError
from repartee.models import ChatRequest, Final, SpeechProbability, STTEvent, TurnContext
from repartee.plugins.local.catalogue import CATALOGUE
from repartee.plugins.local.weights import models_directory

__all__ = ["Check", "add_arguments", "run"]

Status = Literal["ok", "missing", "failed"]

_DEADLINE_S = 60.0
_PACKAGES = (
    # extra, distributions, needed by the local default
    ("local", ("onnxruntime", "pocketsphinx", "xllamacpp", "espeakng-loader"), True),
    ("talk", ("sounddevice", "livekit"), False),
    ("whisper", ("faster-whisper",), False),
    ("sherpa", ("sherpa-onnx",), False),
    ("piper", ("piper-tts",), False),
    ("kokoro", ("kokoro-onnx",), False),
    ("server", ("starlette", "uvicorn", "httptools", "picows", "python-multipart"), False),
    ("webrtc", ("aiortc",), False),
)
_STYLES: dict[Status, str] = {"ok": "green", "missing": "yellow", "failed": "bold red"}


@dataclass(slots=True)
class Check:
    """What was looked at, and what came of it."""

    name: str
    status: Status
    detail: str
    fix: str = ""
    """What to do; empty where nothing is to be done."""
    seconds: float | None = None
    """How long it took, where that says something."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--quick", action="store_true", help="only look; don't try the models")


def run(args: argparse.Namespace) -> int:
    """Check everything; 0 if the local default works."""
    console = terminal()
    checks = [*_system(), *_packages(), *_files(), *_devices()]
    if not args.quick:
        with _status("", shown=not args.json and console.is_terminal) as say:
            checks += asyncio.run(_try_models(say))
    failed = [check for check in checks if check.status == "failed"]
    if args.json:
        result = {"version": __version__, "ok": not failed, "checks": [asdict(check) for check in checks]}
        print_json(result)
        return 1 if failed else 0
    rows: list[list[str | Text]] = [
        [
            Text(check.status, style=_STYLES[check.status]),
            check.name,
            "" if check.seconds is None else f"{check.seconds:.2f} s",
            check.detail,
        ]
        for check in checks
    ]
    print_table(console, ["", "what", "time", "found"], rows)
    fixes = dict.fromkeys((check.fix, check.status) for check in checks if check.fix and check.status != "ok")
    if fixes:
        console.print("\nWhat would help:", style="bold")
        for fix, status in fixes:
            why = "needed" if status == "failed" else "optional"
            console.print(f"  {why}: {fix}", markup=False, soft_wrap=True)
    verdict = (
        "the local default does not work yet" if failed else "the local default works: repartee talk --demo"
    )
    console.print(f"\n{verdict}", style="bold red" if failed else "bold green")
    return 1 if failed else 0


@contextmanager
def _status(text: str, *, shown: bool) -> Iterator[Callable[[str], None]]:
    if not shown:
        yield lambda _: None
        return
    with terminal().status(text) as status:
        yield lambda message: status.update(message)


# -- looking ---------------------------------------------------------------------------------------------------


def _system() -> Iterator[Check]:
    version = platform.python_version()
    if sys.version_info >= (3, 14):
        fix = "use Python 3.11 or 3.13: speech recognition by pocketsphinx has no wheel for newer ones"
        yield Check("Python", "missing", f"{version} on {platform.platform()}", fix)
    else:
        yield Check("Python", "ok", f"{version} on {platform.platform()}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    detail = f"{cores} core{'s' if cores > 1 else ''}, {platform.machine()}"
    if cores < 2:
        yield Check("CPU", "missing", detail, "two cores or more: with one, answers come late")
    else:
        yield Check("CPU", "ok", detail)


def _packages() -> Iterator[Check]:
    for extra, names, needed in _PACKAGES:
        found, absent = [], []
        for name in names:
            try:
                found.append(f"{name} {importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                absent.append(name)
        if not absent:
            yield Check(f"extra {extra}", "ok", ", ".join(found))
        else:
            detail = ", ".join([*found, *(f"no {name}" for name in absent)])
            fix = f"pip install 'repartee[{extra}]'"
            yield Check(f"extra {extra}", "failed" if needed else "missing", detail, fix)


def _files() -> Iterator[Check]:
    for entry in CATALOGUE:
        if not entry.default:
            continue
        path = entry.find()
        if path is not None:
            yield Check(f"{entry.kind} {entry.name}", "ok", str(path))
        else:
            yield Check(f"{entry.kind} {entry.name}", "failed", "not here", entry.get_command())
    here = [entry.name for entry in CATALOGUE if not entry.default and entry.find() is not None]
    detail = ", ".join(here) if here else f"none in {models_directory()}"
    yield Check("better models", "ok" if here else "missing", detail, "" if here else "repartee models")


def _devices() -> Iterator[Check]:
    from repartee.transports.console import find_devices
    from repartee.transports.echo import EchoCanceller

    try:
        microphone, loudspeaker = find_devices()
        yield Check("microphone, loudspeaker", "ok", f"{microphone}; {loudspeaker}")
    except ReparteeError as error:
        yield Check("microphone, loudspeaker", "missing", str(error), _fix_of(error))
    try:
        canceller = EchoCanceller(24_000)
        silence = bytes(2 * canceller.block_samples)
        clock = Clock()
        for _ in range(100):
            canceller.far(silence)
            canceller.near(silence, delay_ms=40)
        yield Check("echo cancellation", "ok", "one second of sound", seconds=clock.now())
    except (ReparteeError, RuntimeError) as error:
        yield Check("echo cancellation", "missing", str(error), _fix_of(error))


def _fix_of(error: Exception) -> str:
    """The part of a message that says what to type."""
    text = str(error)
    if "apt install" in text:
        return text[text.index("on Debian") :].rstrip(")")
    if "pip install" in text:
        return text[text.index("pip install") :].partition(" (")[0]
    return "plug in a microphone and a loudspeaker, or use sound files: repartee talk --in question.wav"


# -- trying ----------------------------------------------------------------------------------------------------


async def _try_models(say: Callable[[str], None]) -> list[Check]:
    """Let each stage of the local default work for a second."""
    checks = []
    for name, attempt in (
        ("try VAD", _try_vad),
        ("try STT", _try_stt),
        ("try LLM", _try_llm),
        ("try TTS", _try_tts),
        ("try turn detector", _try_turn_detector),
    ):
        say(f"{name} …")
        checks.append(await _attempt(name, attempt))
    return checks


async def _attempt(name: str, attempt: Callable[[], Awaitable[tuple[str, float]]]) -> Check:
    try:
        async with asyncio.timeout(_DEADLINE_S):
            detail, seconds = await attempt()
        return Check(name, "ok", detail, seconds=seconds)
    except TimeoutError:
        return Check(name, "failed", f"no answer within {_DEADLINE_S:.0f} s", "repartee --debug doctor")
    except ReparteeError as error:
        text = " ".join(str(error).split())
        command = text[text.index("repartee models get") :] if "repartee models get" in text else ""
        fix = text[text.index("pip install") :].partition(" (")[0] if "pip install" in text else command
        return Check(name, "failed", text, fix)


def _sample() -> AudioFrame:
    """Two seconds of somebody speaking."""
    with as_file(files("repartee.cli") / "data" / "sum.flac") as path:
        audio = read_audio(path, sample_rate=16_000)
    return audio.slice(0, 2 * audio.sample_rate)


async def _try_vad() -> tuple[str, float]:
    from repartee.plugins import local

    vad, clock, audio = local.VAD(), Clock(), _sample()
    await vad.prewarm()
    ready_s = clock.now()
    heard: list[float] = []
    failed: list[ModelError] = []
    news = asyncio.Event()

    def on_result(result: SpeechProbability) -> None:
        heard.append(result.probability)
        news.set()

    def on_error(error: ModelError) -> None:
        failed.append(error)
        news.set()

    window = audio.sample_rate * vad.capabilities.window_ms // 1000
    stream = vad.stream(sample_rate=audio.sample_rate, on_result=on_result, on_error=on_error)
    try:
        begun_s = clock.now()
        for at in range(0, audio.samples - window + 1, window):
            # One at a time, as a microphone gives them: a stream drops what piles up.
            news.clear()
            stream.push(audio.slice(at, at + window))
            await news.wait()
            if failed:
                raise failed[0]
        took_s = clock.now() - begun_s
    finally:
        await stream.aclose()
        await vad.aclose()
    if max(heard) < 0.5:
        raise ModelError("it hears no speech in a spoken sample", stage="vad", provider="local")
    return f"speech found; ready after {ready_s:.2f} s, then two seconds of sound in", took_s


async def _try_stt() -> tuple[str, float]:
    from repartee.plugins import local

    stt, clock, audio = local.STT(), Clock(), _sample()
    await stt.prewarm()
    ready_s = clock.now()
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_event(event: STTEvent) -> None:
        if isinstance(event, Final) and event.flush_id is not None and not done.done():
            done.set_result(event.text)

    def on_error(error: ModelError) -> None:
        if not done.done():
            done.set_exception(error)

    stream = stt.stream(sample_rate=audio.sample_rate, on_event=on_event, on_error=on_error)
    try:
        begun_s = clock.now()
        stream.push(audio)
        stream.flush()
        text = await done
        took_s = clock.now() - begun_s
    finally:
        await stream.aclose()
        await stt.aclose()
    if not text:
        raise ModelError("it hears no words in a spoken sample", stage="stt", provider="local")
    return f"heard “{text}”; ready after {ready_s:.2f} s, then two seconds of sound in", took_s


async def _try_llm() -> tuple[str, float]:
    from repartee.plugins import local

    llm, clock = local.LLM(), Clock()
    try:
        await llm.prewarm(ChatRequest(ChatContext(), tool_choice="none"))
        ready_s = clock.now()
        text, first_s = "", 0.0
        async for delta in llm.generate_reply("What is the capital of France?"):
            first_s = first_s or clock.now() - ready_s
            text += delta
        took_s = clock.now() - ready_s
    finally:
        await llm.aclose()
    if not text.strip():
        raise ModelError("it gives no answer", stage="llm", provider="local")
    said = " ".join(text.split())
    return (
        f"said “{said}”; ready after {ready_s:.2f} s, first word after {first_s:.2f} s, all of it in",
        took_s,
    )


async def _try_tts() -> tuple[str, float]:
    from repartee.plugins import local

    tts, clock = local.TTS(), Clock()
    try:
        await tts.prewarm()
        ready_s = clock.now()
        first_s, samples = 0.0, 0
        async for chunk in tts.synthesize("One, two, three."):
            first_s = first_s or clock.now() - ready_s
            samples += chunk.audio.samples
        took_s = clock.now() - ready_s
    finally:
        await tts.aclose()
    length_s = samples / tts.capabilities.sample_rate
    if length_s < 0.3:
        raise ModelError("it gives no sound", stage="tts", provider="local")
    return (
        f"first sound after {first_s * 1000:.1f} ms; ready after {ready_s:.2f} s, {length_s:.1f} s of speech in",
        took_s,
    )


async def _try_turn_detector() -> tuple[str, float]:
    from repartee.plugins.turn_detector import EnglishModel

    detector, clock = EnglishModel(deadline_s=10.0), Clock()
    try:
        await detector.prewarm()
        ready_s = clock.now()
        ended = await detector.predict(TurnContext("what time is it", ChatContext()))
        took_s = clock.now() - ready_s
        open_ = await detector.predict(TurnContext("i would like to", ChatContext()))
    finally:
        await detector.aclose()
    detail = f"“what time is it” ends with {ended:.2f}, “i would like to” with {open_:.2f}; ready after {ready_s:.2f} s"
    return f"{detail}, one answer in", took_s
