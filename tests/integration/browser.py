"""A real browser for the tests of the page: Debian's Chromium, headless, with a file for its microphone."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shutil
import sys
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette

from repartee.audio import AudioFrame, read_audio, resample
from repartee.server.sockets.runner import RealtimeServer, bind

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "out" / "page"
"""Where pictures of the page are left, to be looked at."""
MICROPHONE_RATE = 48_000
WAIT_MS = 40_000.0


def chromium() -> str | None:
    """The path of the browser, if there is one: ``$CHROMIUM``, or one on the path."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def _why_not() -> str | None:
    if importlib.util.find_spec("playwright") is None:
        return "the package playwright is not installed"
    if chromium() is None:
        return "no Chromium is installed (Debian: apt-get install chromium), nor named by $CHROMIUM"
    return None


needs_browser = pytest.mark.skipif(_why_not() is not None, reason=str(_why_not()))


def microphone_file(path: Path, pieces: Sequence[Path | float]) -> Path:
    """A recording for the browser's microphone.

    Args:
        path: to write to.
        pieces: sound files, and lengths of silence in seconds.
    """
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(MICROPHONE_RATE)
        for piece in pieces:
            if isinstance(piece, Path):
                out.writeframes(_mono(piece).data)
            else:
                out.writeframes(bytes(2 * int(piece * MICROPHONE_RATE)))
    return path


def _mono(path: Path) -> AudioFrame:
    return resample(read_audio(path), MICROPHONE_RATE)


@asynccontextmanager
async def browser(microphone: Path | None = None, *, devices: bool = True) -> AsyncIterator[Browser]:
    """A browser.

    Args:
        microphone: what is said into it, once. Default: the browser's own beeps.
        devices: whether there is a microphone, and whether pages get it without asking.
    """
    from playwright.async_api import async_playwright

    arguments = ["--no-sandbox", "--autoplay-policy=user-gesture-required"]
    if devices:
        arguments += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    if microphone is not None:
        arguments.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=chromium(), headless=True, args=["--headless=new", *arguments]
        )
        try:
            yield launched
        finally:
            await launched.close()


class Visit:
    """The page, opened; it remembers what went wrong in it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.set_default_timeout(WAIT_MS)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    async def until(self, condition: str) -> None:
        """Wait for a condition, in JavaScript; ``talk`` is the conversation.

        Raises:
            AssertionError: it does not come.
        """
        from playwright.async_api import TimeoutError as Late

        looked = f"const talk = window.repartee.talk; return Boolean({condition});"
        body = f"() => {{ try {{ {looked} }} catch {{ return false; }} }}"
        try:
            await self.page.wait_for_function(body, polling=50)
        except Late:
            raise AssertionError(f"never: {condition}; {await self.state()}; {self.complaints}") from None

    async def get(self, expression: str) -> Any:
        """The value of an expression."""
        return await self.page.evaluate(
            f"() => {{ const talk = window.repartee.talk; return {expression}; }}"
        )

    async def state(self) -> Any:
        """What to look at when something is missing."""
        return await self.get(
            "({ phase: talk.phase, trouble: talk.trouble, last: talk.log.entries.slice(-6).map(({ type }) => type), "
            "said: talk.conversation.entries.map(({ kind, state, text }) => [kind, state, text]) })"
        )

    async def shoot(self, name: str) -> None:
        """Take a picture."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SHOTS / f"{name}.png")


@asynccontextmanager
async def visit(
    launched: Browser, url: str, *, width: int = 1440, height: int = 900, **options: Any
) -> AsyncIterator[Visit]:
    """Open the page in a window of its own, and see that it complained of nothing."""
    context: BrowserContext = await launched.new_context(
        viewport={"width": width, "height": height}, **options
    )
    try:
        opened = Visit(await context.new_page(), url)
        await opened.page.goto(url)
        await opened.until("talk")
        yield opened
        assert not opened.complaints, opened.complaints
    finally:
        await context.close()


@asynccontextmanager
async def in_process_of_its_own(model: str) -> AsyncIterator[str]:
    """``repartee serve`` for a model ``module:attribute``. Yields the address of its page.

    Not in this process: it converses in real time, and with browsers whose addresses are not all this machine's own.
    """
    start = "import sys; from repartee.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "serve", "--model", model, "--port", "0", "--no-open"]
    serve = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert serve.stdout is not None
    try:
        address = None
        while address is None:
            line = (await serve.stdout.readline()).decode()
            assert line, "the server ended before it told its address"
            address = re.search(r"http://127\.0\.0\.1:\d+/", line)
        yield address.group()
    finally:
        serve.terminate()
        await serve.communicate()


@asynccontextmanager
async def serving(application: Starlette, prefix: str = "") -> AsyncIterator[str]:
    """The application on a socket of this machine. Yields the address of its page."""
    server = RealtimeServer(application, bind("127.0.0.1", 0), tune=False)
    task = asyncio.get_running_loop().create_task(server.run_until_stopped())
    started = asyncio.get_running_loop().create_task(server.serving.wait())
    try:
        await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield f"http://127.0.0.1:{server.port}{prefix}/"
    finally:
        started.cancel()
        server.stop(drain=False)
        await task
