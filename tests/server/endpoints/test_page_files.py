"""How the page is served: its own files and no others, under a strict policy."""

from __future__ import annotations

import re

import pytest

from tests.server.serving import http, make_app, over_sockets, serving


@over_sockets
async def test_the_page_and_all_it_names_is_there() -> None:
    async with serving(make_app()) as server, http(server) as client:
        index = await client.get("/")
        assert index.headers["content-type"] == "text/html; charset=utf-8"
        named = re.findall(r'(?:src|href)="(?:\./)?(page/[^"]+)"', index.text)
        assert named
        for path in named:
            answer = await client.get(f"/{path}")
            assert answer.status_code == 200, path
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


@over_sockets
async def test_the_policy_allows_nothing_from_elsewhere() -> None:
    async with serving(make_app()) as server, http(server) as client:
        policy = (await client.get("/")).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert f"connect-src 'self' ws://127.0.0.1:{server.port} wss://127.0.0.1:{server.port};" in policy
        injected = await client.get("/", headers={"Host": "localhost:80; script-src *"})
        assert "script-src *" not in injected.headers.get("content-security-policy", "")


@pytest.mark.parametrize(
    "path",
    [
        "../options.py",
        "..%2foptions.py",
        "%2e%2e/options.py",
        "/etc/passwd",
        "",
        "js",
        ".hidden",
        "index.html",
    ],
)
@over_sockets
async def test_no_other_file_is_served(path: str) -> None:
    async with serving(make_app()) as server, http(server) as client:
        assert (await client.get(f"/page/{path}")).status_code == 404


@over_sockets
async def test_the_page_can_be_left_out() -> None:
    async with serving(make_app(page=False)) as server, http(server) as client:
        assert (await client.get("/")).status_code == 404
