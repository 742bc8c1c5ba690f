"""The page's logic (what was heard, the timeline, turns, playback, settings), tested in the browser it runs in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from repartee.server.asgi import app
from repartee.server.served import Served
from repartee.testing import ScriptedRealtimeModel
from tests.integration.browser import ROOT, browser, needs_browser, serving, visit

TESTS = ROOT / "tests" / "server" / "page"


async def _serve_test(route: Any) -> None:
    """A test beside the page's own modules, for this browser only."""
    body = (TESTS / Path(route.request.url).name).read_text("utf-8")
    await route.fulfill(body=body, content_type="text/javascript")


@needs_browser
def test_the_logic_of_the_page() -> None:
    results = asyncio.run(asyncio.wait_for(_run(), 60))
    assert len(results) >= 40
    failed = [f"{each['name']}: {each['error']}" for each in results if each["error"]]
    assert not failed, "\n".join(failed)


async def _run() -> list[dict[str, Any]]:
    files = sorted(path.name for path in TESTS.glob("*.test.js"))
    served = Served.of(ScriptedRealtimeModel([]), name="scripted")
    async with serving(app(served)) as url, browser() as launched, visit(launched, url) as opened:
        await opened.page.route("**/page/tests/*", _serve_test)
        imports = ", ".join(f"import('./page/tests/{name}')" for name in files)
        found: list[dict[str, Any]] = await opened.page.evaluate(
            f"async () => {{ await Promise.all([{imports}]); "
            "return (await import('./page/tests/check.js')).runAll(); }"
        )
        return found
