"""The page in a real browser, against the real server: talked to on both transports, typed to, tuned, and in trouble.

What only ears can't be fooled about is measured: the energy of the samples that the page's player really played. The
pictures in ``out/page`` are for eyes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from repartee.compose import Conversing, Spoken
from repartee.server.asgi import app, lifespan, service_of
from repartee.server.options import ServerOptions
from repartee.server.served import Served
from repartee.testing import ScriptedLLM, ScriptedTTS, call_function
from tests.integration.browser import (
    ROOT,
    Visit,
    browser,
    in_process_of_its_own,
    microphone_file,
    needs_browser,
    serving,
    visit,
)
from tests.integration.storyteller import STORY

pytestmark = needs_browser

SPOKEN = ROOT / "src" / "repartee" / "cli" / "data"
LIVE = "talk.phase === 'live'"
AUDIBLE = "talk.answer.speaker.total.samples > 12000"


def run(scenario: Callable[..., Coroutine[Any, Any, None]], *args: Any, limit_s: float = 110) -> None:
    asyncio.run(asyncio.wait_for(scenario(*args), limit_s))


def typing_model(*replies: Any, **tts: Any) -> Served:
    """Answers typed messages as scripted, in an audible code."""
    return Served.of(Spoken(Conversing(ScriptedLLM(list(replies))), ScriptedTTS(**tts)), name="scripted")


# -- talking ---------------------------------------------------------------------------------------------------


@pytest.mark.local
@pytest.mark.slow
@pytest.mark.parametrize("transport", ["websocket", "webrtc"])
def test_it_is_talked_to_and_interrupted(transport: str, tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="the extra 'local' is not installed")
    if transport == "webrtc":
        pytest.importorskip("aiortc", reason="the extra 'webrtc' is not installed")
    run(talk_and_interrupt, transport, tmp_path)


async def talk_and_interrupt(transport: str, tmp_path: Path) -> None:
    # Long enough between them for a machine that has much else to do; the story is longer.
    said = microphone_file(
        tmp_path / "microphone.wav",
        [2.5, SPOKEN / "abilities.flac", 10.0, SPOKEN / "interruption.flac", 30.0],
    )
    async with (
        in_process_of_its_own("tests.integration.storyteller:served") as url,
        browser(said) as launched,
        visit(launched, url) as opened,
    ):
        page = opened.page
        await opened.shoot(f"{transport}-welcome")
        if transport == "webrtc":
            await page.locator("[name=transport][value=webrtc]").check()
        await page.get_by_role("button", name="Start talking").click()
        await opened.until(LIVE)
        await opened.until("talk.conversation.entries.some((each) => each.kind === 'user' && each.text)")
        await opened.until(AUDIBLE)
        answer = page.locator(".entry[data-kind=agent]").first
        await opened.until(
            "document.querySelector('[data-kind=agent] .heard')?.textContent.startsWith('Once')"
        )
        assert await answer.locator(".unheard").count() == 1, "what is still to come is set apart"
        await opened.shoot(f"{transport}-speaking")
        await opened.until("talk.conversation.entries.some((each) => each.state === 'cut')")
        await opened.until("talk.conversation.entries.filter(({ kind }) => kind === 'user').length >= 2")
        told = await opened.get(
            "talk.conversation.entries.find(({ state }) => state === 'cut').heard.split()"
        )
        assert told["heard"].startswith("Once upon a time"), told
        assert told["heard"] + told["rest"] == await opened.get(
            "talk.conversation.entries.find(({ state }) => state === 'cut').text"
        )
        assert 10 < len(told["heard"]) < len(STORY) - 10, told
        await judge_interruption(opened, transport)
        await opened.until("document.querySelectorAll('.entry[data-kind=agent]').length >= 2")
        await opened.until("talk.turns.list.length >= 2 && talk.turns.list[1].at.heard")
        energy = await opened.get("talk.answer.speaker.total")
        assert energy["energy"] / energy["samples"] > 1e-7, "the reply is voiced"
        await opened.shoot(f"{transport}-interrupted")
        await page.get_by_role("button", name="End", exact=True).click()
        await opened.until("talk.phase === 'idle' && !talk.trouble")


async def judge_interruption(opened: Visit, transport: str) -> None:
    """The sound stopped at once, and both sides agree on what was heard."""
    log = "talk.log.entries.filter(({ type }) => type === %r)"
    if transport == "webrtc":
        assert await opened.get(f"{log % 'output_audio_buffer.cleared'}.length") == 1
    else:
        [sent] = await opened.get(log % "conversation.item.truncate")
        [done] = await opened.get(log % "conversation.item.truncated")
        assert sent["event"]["audio_end_ms"] == done["event"]["audio_end_ms"] > 500
        [*_, started] = [
            each
            for each in await opened.get(log % "input_audio_buffer.speech_started")
            if each["at"] <= sent["at"]
        ]
        assert sent["at"] - started["at"] < 250, "the player says at once what it has played"
    [mark] = await opened.get("talk.timeline.marks")
    assert mark["kind"] == "interruption"
    first = await opened.get("talk.turns.list[0]")
    assert first["interrupted"] is not None
    for inner in ("decision", "first_token"):  # the answer may be prepared before the turn is over
        assert first["at"]["speech_end"] <= first["at"][inner] <= first["at"]["heard"], first


# -- typing, settings, tools -----------------------------------------------------------------------------------


def test_it_is_typed_to_and_tuned() -> None:
    run(type_and_tune)


async def type_and_tune() -> None:
    served = typing_model(call_function("browser_time"), "It is noon where you are.", STORY, ms_per_char=20)
    async with (
        serving(app(served)) as url,
        browser(devices=False) as launched,
        visit(launched, url, color_scheme="dark") as opened,
    ):
        page = opened.page
        await page.get_by_role("button", name="Type instead").click()
        await opened.until(LIVE)
        await page.get_by_label("browser_time").check()
        await opened.until("talk.tuning.verdicts.get('tools')?.message === 'In force'")
        await page.get_by_label("Message").fill("What time is it?")
        await page.keyboard.press("Enter")
        await opened.until("talk.conversation.entries.at(-1).text === 'It is noon where you are.'")
        await opened.until("talk.conversation.entries.at(-1).heard.split().rest === ''")
        call = await opened.get("talk.conversation.entries.find(({ kind }) => kind === 'tool').call")
        assert call["name"] == "browser_time"
        assert "time_zone" in json.loads(call["output"])
        assert await opened.get("talk.turns.list.length") == 1

        await page.locator("[name=voice]").fill("somebody-else")
        await opened.until("talk.tuning.verdicts.get('voice')?.state === 'refused'")
        verdict = page.locator("[data-group=voice] .verdict")
        assert "voice" in (await verdict.inner_text()).lower()
        await page.locator("[name=detection][value=none]").check()
        await opened.until("talk.tuning.session.audio.input.turn_detection === null")
        assert await page.get_by_text("Hold the microphone button").is_visible()

        await page.get_by_label("Message").fill("Tell me a story.")
        await page.keyboard.press("Enter")
        await opened.until("talk.conversation.entries.at(-1).heard?.heard_ms > 600")
        await opened.shoot("dark-speaking")
        await page.keyboard.press("Escape")
        await opened.until("talk.conversation.entries.at(-1).state === 'cut'")
        await page.locator("#interrupt").wait_for(state="hidden")
        await look_into_the_panel(opened)


@pytest.mark.parametrize("transport", ["websocket", "webrtc"])
def test_another_microphone_and_the_voices_that_there_are(transport: str) -> None:
    if transport == "webrtc":
        pytest.importorskip("aiortc", reason="the extra 'webrtc' is not installed")
    run(choose_devices, transport)


async def choose_devices(transport: str) -> None:
    async with (
        in_process_of_its_own("tests.integration.storyteller:silent") as url,
        browser() as launched,
        visit(launched, url) as opened,
    ):
        page = opened.page
        voices = "[...document.querySelectorAll('#voices option')].map(({ value }) => value)"
        await opened.until(f"{voices}.length")
        assert await opened.get(voices) == ["ann", "bob"]
        await page.locator(f"[name=transport][value={transport}]").check()
        await page.get_by_role("button", name="Start talking").click()
        await opened.until(LIVE)
        await opened.until("document.querySelectorAll('#set-microphone option').length > 2")
        first = page.locator("#set-microphone option").first
        assert await first.inner_text() == "The browser's own"
        session = await opened.get("talk.tuning.session.id")
        await page.get_by_label("Microphone", exact=True).select_option(label="Fake Audio Input 2")
        label = "talk.microphone.stream.getAudioTracks()[0].label"
        await opened.until(f"{label} === 'Fake Audio Input 2'")
        if transport == "webrtc":
            await opened.until("talk.link.peer.getSenders()[0].track.label === 'Fake Audio Input 2'")
        else:
            sent = "talk.log.entries.filter(({ sent, type }) => sent && type === 'input_audio_buffer.append')"
            before = await opened.get(f"{sent}.reduce((sum, {{ times }}) => sum + times, 0)")
            await opened.until(f"{sent}.reduce((sum, {{ times }}) => sum + times, 0) > {before} + 20")
        assert await opened.get("talk.phase") == "live"
        assert await opened.get("talk.tuning.session.id") == session
        ids = "(await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === 'audioinput')"
        twice = f"const [, a, b] = {ids}; const talk = window.repartee.talk; "
        twice += "await Promise.all([talk.useMicrophone(a.deviceId), talk.useMicrophone(b.deviceId)]);"
        await page.evaluate(f"async () => {{ {twice} }}")
        assert await opened.get(f"{label} === 'Fake Audio Input 2' && talk.device === talk.microphone.device")
        await page.evaluate("window.repartee.talk.useMicrophone('gone')")
        said = page.get_by_role("region", name="What was said")
        await said.get_by_text("The other: no microphone found.").wait_for()
        assert await opened.get(label) == "Fake Audio Input 2", "the old one stays"
        assert await opened.get("talk.phase") == "live"
        await opened.shoot(f"{transport}-microphones")
        await page.evaluate(
            "async () => { const { talk } = window.repartee; const changing = talk.useMicrophone(''); "
            "await talk.stop(); await changing; }"
        )
        assert await opened.get("talk.phase === 'idle' && talk.microphone === null"), "none is left open"


def _text_of(path: Path) -> str:
    return path.read_text("utf-8")


async def look_into_the_panel(opened: Visit) -> None:
    page = opened.page
    await page.get_by_role("tab", name="Turns").click()
    assert await page.locator("#turn-rows tr").count() == 2
    await opened.shoot("dark-turns")
    await page.keyboard.press("ArrowRight")
    assert await page.get_by_role("tab", name="Events").get_attribute("aria-selected") == "true"
    await page.get_by_label("Search events").fill("session.update")
    await opened.until("document.querySelectorAll('.event').length >= 4")
    rows = await page.locator(".event .type").all_inner_texts()
    assert {"session.update", "session.updated"} <= set(rows)
    await page.get_by_label("Direction").select_option("sent")
    await page.locator(".event summary").first.click()
    assert '"session.update"' in await page.locator(".event pre").first.inner_text()
    await opened.shoot("dark-events")
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Download").click()
    path = await (await downloading.value).path()
    lines = [json.loads(line) for line in _text_of(path).splitlines()]
    assert [lines[0]["event"]["type"], lines[0]["sent"]] == ["session.created", False]
    assert any(line["sent"] and line["event"]["type"] == "conversation.item.truncate" for line in lines)

    await page.locator("#canvas").focus()
    for key in ("ArrowLeft", "Shift+ArrowLeft", "+"):
        await page.keyboard.press(key)
    assert " s: " in (await page.locator("#canvas").get_attribute("aria-valuetext") or "")
    assert await page.locator("#follow").inner_text() == "Paused"
    await page.keyboard.press("p")
    assert await page.locator("#follow").inner_text() == "Live"


# -- trouble ---------------------------------------------------------------------------------------------------


def test_each_trouble_says_what_to_do() -> None:
    run(meet_trouble)


async def trouble(opened: Visit, kind: str) -> str:
    await opened.until(f"talk.trouble?.kind === '{kind}'")
    shown = opened.page.get_by_role("alert")
    assert await shown.is_visible()
    opened.complaints.clear()  # a browser logs each connection that fails
    return await shown.inner_text()


async def meet_trouble() -> None:
    async with browser(devices=False) as launched:
        application = app(typing_model(), api_keys=["sk-right"], options=ServerOptions(sessions=1))
        async with serving(application) as url, visit(launched, url) as opened:
            page = opened.page
            opened.complaints.clear()  # /v1/models wants the key, too
            await page.get_by_role("button", name="Start talking").click()
            said = await trouble(opened, "no_microphone")
            assert "Plug one in" in said
            await opened.shoot("no-microphone")
            await page.get_by_role("alert").get_by_role("button", name="Type instead").click()
            await trouble(opened, "key")
            await opened.shoot("key")
            await page.get_by_role("alert").get_by_label("Key").fill("sk-wrong")
            await page.keyboard.press("Enter")
            await trouble(opened, "key")
            await page.get_by_role("alert").get_by_label("Key").fill("sk-right")
            await page.keyboard.press("Enter")
            await opened.until(LIVE)
            assert await opened.get("!JSON.stringify(talk.log.entries).includes('sk-right')")
            assert await opened.get("!JSON.stringify({ ...localStorage }).includes('sk-right')")
            async with visit(launched, url) as second:
                second.complaints.clear()
                await second.page.locator("#set-key").fill("sk-right")
                await second.page.get_by_role("button", name="Type instead").click()
                assert "try again" in (await trouble(second, "full")).lower()


def test_a_browser_that_plays_no_sound_says_so_and_writes() -> None:
    run(play_nothing)


async def play_nothing() -> None:
    """As Firefox does where there is no loudspeaker: the context never starts."""
    async with (
        serving(app(typing_model("Hello."))) as url,
        browser(devices=False) as launched,
        visit(launched, url) as opened,
    ):
        page = opened.page
        await page.evaluate("() => { AudioContext.prototype.resume = () => new Promise(() => {}); }")
        await page.get_by_role("button", name="Type instead").click()
        assert "written answers" in await trouble(opened, "no_loudspeaker")
        await page.locator("[name=answer][value=text]").check()
        await page.get_by_role("alert").get_by_role("button", name="Try again").click()
        await opened.until(LIVE)
        await page.get_by_label("Message").fill("Hello?")
        await page.keyboard.press("Enter")
        await opened.until("talk.conversation.entries.at(-1).text === 'Hello.'")


def test_a_refused_microphone_and_a_lost_server() -> None:
    run(refuse_and_lose)


async def refuse_and_lose() -> None:
    async with browser() as launched:
        application = app(typing_model("Good morning.", "Here again."))
        async with serving(application) as url, visit(launched, url) as opened:
            page = opened.page
            await page.evaluate(
                "() => { navigator.mediaDevices.getUserMedia = () => "
                "Promise.reject(new DOMException('Permission denied', 'NotAllowedError')); }"
            )
            await page.get_by_role("button", name="Start talking").click()
            assert "Allow it" in await trouble(opened, "microphone_refused")
            await page.get_by_role("alert").get_by_role("button", name="Type instead").click()
            await opened.until(LIVE)
            await page.get_by_label("Message").fill("Good morning")
            await page.keyboard.press("Enter")
            await opened.until("talk.conversation.entries.at(-1).heard?.split().rest === ''")

            await service_of(application).sessions.drain(drain_s=0)
            await opened.until("talk.phase === 'reconnecting'")
            await opened.shoot("reconnecting")
            await opened.until(LIVE)
            texts = await opened.get("talk.conversation.entries.map(({ text }) => text)")
            assert "Connected again. The agent was told what was said so far." in texts
            await page.get_by_label("Message").fill("And now?")
            await page.keyboard.press("Enter")
            await opened.until("talk.conversation.entries.at(-1).text === 'Here again.'")
            opened.complaints.clear()


# -- how it looks, and to whom ---------------------------------------------------------------------------------


def test_it_is_narrow_light_and_under_a_prefix() -> None:
    run(narrow_and_mounted)


async def narrow_and_mounted() -> None:
    inner = app(typing_model(STORY, ms_per_char=30))
    outer = Starlette(routes=[Mount("/voice", inner)])
    outer.state.service = service_of(inner)
    async with (
        lifespan(inner),
        serving(outer, "/voice") as url,
        browser(devices=False) as launched,
        visit(launched, url, width=360, height=740, color_scheme="light") as opened,
    ):
        page = opened.page
        assert await opened.get("document.documentElement.scrollWidth") == 360
        await opened.shoot("narrow-welcome")
        await page.get_by_label("Message").fill("Tell me a story.")
        await page.get_by_role("button", name="Send").click()
        await opened.until("talk.conversation.entries.at(-1).heard?.heard_ms > 1200")
        await opened.shoot("narrow-speaking")
        await page.locator("#panel-toggle").click()
        assert await page.locator("main").evaluate("(main) => main.inert")
        await opened.shoot("narrow-settings")
        await page.keyboard.press("Escape")
        assert not await page.locator("#panel").is_visible()
        assert await page.evaluate("document.activeElement.id") == "panel-toggle"
        await page.evaluate("document.querySelector('#median').textContent = 'median wait 12345 ms'")
        assert await opened.get("document.documentElement.scrollWidth") == 360, "also when answers are slow"


CONTRASTS = """(pairs) => {
  const probe = document.body.appendChild(document.createElement("i"));
  const light = (colour) => {
    probe.style.color = colour;
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    canvas.fillStyle = getComputedStyle(probe).color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((byte) => {
      const share = byte / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return pairs.map(([ink, ground]) => {
    const [a, b] = [light(`var(--${ink})`), light(`var(--${ground})`)].sort((x, y) => y - x);
    return [ink, ground, (a + 0.05) / (b + 0.05)];
  });
}"""

NAMELESS = """() => [...document.querySelectorAll("button, input, select, textarea, a[href], canvas, [role=img]")]
  .filter((element) => {
    const labels = [...(element.labels ?? [])].map((label) => label.textContent).join("");
    const named = element.getAttribute("aria-label") || element.title || element.textContent || labels;
    return !named.trim();
  })
  .map((element) => element.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_and_reach_it(scheme: str) -> None:
    run(read_and_reach, scheme)


async def read_and_reach(scheme: str) -> None:
    served = typing_model()
    async with (
        serving(app(served)) as url,
        browser(devices=False) as launched,
        visit(launched, url, color_scheme=scheme, reduced_motion="reduce") as opened,
    ):
        page = opened.page
        grounds = ("paper", "surface", "raised")
        pairs = [(ink, ground) for ground in grounds for ink in ("ink", "ink-2", "ink-3", "you", "agent")]
        pairs += [("warn", "warn-soft"), ("ink", "bad-soft"), ("paper", "ink"), ("paper", "you")]
        pairs += [(state, "surface") for state in ("good", "bad", "warn")]
        for ink, ground, contrast in await page.evaluate(CONTRASTS, pairs):
            assert contrast >= 4.5, f"{ink} on {ground} in {scheme}: {contrast:.2f}"
        for part in ("line-strong", "part-1", "part-2", "part-3", "part-4", "focus"):
            [[*_, contrast]] = await page.evaluate(CONTRASTS, [(part, "surface")])
            assert contrast >= 3, f"{part} in {scheme}: {contrast:.2f}"
        assert await page.evaluate(NAMELESS) == []
        ids = await page.evaluate("() => [...document.querySelectorAll('[id]')].map(({ id }) => id)")
        assert len(ids) == len(set(ids))
        reached = []
        for _ in range(12):
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate("document.activeElement.id || document.activeElement.tagName"))
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none" or "INPUT" in reached[-1], f"no visible focus on {reached[-1]}"
        assert reached[0] == "A", "the way past the bar comes first"
        assert reached.index("start-voice") < reached.index("mic") < reached.index("message")
        await page.locator("#theme").click()
        assert await page.locator("html").get_attribute("data-theme") == "light"
        await opened.shoot(f"welcome-{scheme}")
