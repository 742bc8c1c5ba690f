"""`repartee serve`, as its user runs it."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import ipaddress
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from repartee.cli import serve
from repartee.cli.command import run_command
from repartee.errors import ConfigurationError
from repartee.server.options import ServerOptions, option_table
from repartee.server.sockets.runner import bind

EXAMPLES = "tests.server.agent_for_tests"


def _arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return parser.parse_args(words)


def test_every_option_has_a_flag_with_its_help_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["serve", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for option in option_table():
        assert f" {option.flag}" in shown
        assert " ".join(option.help.split()[:3]) in shown
    assert serve.options_from(_arguments()) == ServerOptions()


def test_flags_become_options() -> None:
    given = _arguments(
        *("--sessions", "7", "--idle-s", "2.5", "--no-page", "--slow-consumer", "close"),
        *("--allow-origin", "https://a.test", "--allow-origin", "https://b.test"),
    )
    assert serve.options_from(given) == ServerOptions(
        sessions=7,
        idle_s=2.5,
        page=False,
        slow_consumer="close",
        allow_origins=("https://a.test", "https://b.test"),
    )
    with pytest.raises(ConfigurationError, match="sessions=0"):
        serve.options_from(_arguments("--sessions", "0"))


def test_what_a_person_is_told() -> None:
    told = serve.greeting(_arguments(), 8080, has_keys=False)
    assert told[0] == "Talk to it: http://127.0.0.1:8080/"
    assert '  client = OpenAI(base_url="http://127.0.0.1:8080/v1", api_key="any")' in told
    assert any('model="local"' in line for line in told)
    told = serve.greeting(_arguments("--host", "0.0.0.0", "--model", "m:a.b", "--no-page"), 1, has_keys=True)
    assert told[0] == "Serving at http://localhost:1/v1/realtime"
    assert "microphone" in told[1]
    assert any("YOUR_KEY" in line for line in told)
    assert any('model="b"' in line for line in told)


def test_the_pages_address() -> None:
    assert serve.page_address("::1", 5) == "http://[::1]:5/"
    assert serve.page_address("::", 5, tls=True) == "https://localhost:5/"


def test_a_browser_is_opened_where_somebody_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "get", lambda: object())
    assert serve.has_browser({"DISPLAY": ":0"}, "linux")
    assert serve.has_browser({"WAYLAND_DISPLAY": "wayland-0"}, "linux")
    assert serve.has_browser({}, "darwin")
    assert not serve.has_browser({}, "linux")
    assert not serve.has_browser({"DISPLAY": ":0", "SSH_CONNECTION": "1"}, "linux")
    assert not serve.has_browser({"CI": "1"}, "darwin")

    def none() -> None:
        raise webbrowser.Error("none")

    monkeypatch.setattr(webbrowser, "get", none)
    assert not serve.has_browser({"DISPLAY": ":0"}, "linux")


@pytest.mark.parametrize(
    "words, says",
    [
        (["--host", "0.0.0.0"], "needs keys"),
        (["--model", "nonsense"], "right are 'local'"),
        (["--api-key-file", "no-such-file"], "can't be read"),
        (["--tls-cert", "no-such-file"], "right are both"),
        (["--ping-s", "-1"], "ping_s=-1"),
    ],
)
def test_what_is_wrong_is_one_line(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["serve", "--port", "0", "--no-open", *words]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1


def test_a_busy_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert run_command(["serve", "--port", str(port), "--model", f"{EXAMPLES}:model"]) == 2
    assert f"port {port} is taken" in capsys.readouterr().err


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert run_command(["serve"]) == 1
    assert "pip install 'repartee[server]'" in capsys.readouterr().err


@contextmanager
def _running(*words: str, log_level: str = "debug") -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The server as a process of its own, and where it says that it is."""
    code_to_run = "import sys; from repartee.cli import main; sys.exit(main(sys.argv[1:]))"
    first = ["serve", "--json", "--port", "0", "--no-open", "--model", f"{EXAMPLES}:model"]
    server = subprocess.Popen(
        [sys.executable, "-c", code_to_run, *first, "--log-level", log_level, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with server:
        assert server.stdout is not None
        try:
            yield server, json.loads(server.stdout.readline())
        finally:
            if server.poll() is None:
                server.kill()


def _ended(server: subprocess.Popen[str], code: int) -> str:
    """What it told, once it has ended as it should."""
    _, told = server.communicate(timeout=20)
    assert server.returncode == code, told
    assert "Traceback" not in told
    return told


POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@POSIX
@pytest.mark.parametrize("how, code", [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_serves_until_it_is_stopped(how: signal.Signals, code: int, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("sk-first-key\n")
    with _running("--api-key-file", str(keys)) as (server, where):
        request = urllib.request.Request(f"{where['base_url']}/models", headers={"api-key": "sk-first-key"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["data"][0]["id"] == "model"
        with urllib.request.urlopen(where["page"], timeout=10) as answer:
            assert answer.status == 200
        server.send_signal(how)
        assert "sk-" not in _ended(server, code)


UPDATE = json.dumps({"type": "session.update", "session": {"type": "realtime", "instructions": "Hi."}})


def _converse(opened: Any) -> None:
    opened.send(UPDATE)
    assert json.loads(opened.recv(10))["type"] == "session.updated"


@POSIX
def test_on_sigterm_who_converses_may_finish() -> None:
    with (
        _running() as (server, where),
        connect(where["base_url"].replace("http", "ws", 1) + "/realtime") as opened,
    ):
        assert json.loads(opened.recv(10))["type"] == "session.created"
        server.send_signal(signal.SIGTERM)
        while True:
            try:
                urllib.request.urlopen(where["page"] + "readyz", timeout=10).close()
            except urllib.error.HTTPError as refusal:
                status = json.load(refusal)["status"]
                break
        assert status == "draining"
        _converse(opened)
        assert server.poll() is None
        opened.close()
        told = _ended(server, 0)
        assert "draining: 1 sessions are running" in told
        ours = [line for line in told.splitlines() if "session sess_" in line]
        assert all(
            re.match(r"[-0-9]{10} [:,0-9]{12} INFO +session \w+: (began \(.*\)|over after .* s)$", each)
            for each in ours
        )
        assert len(ours) == 2  # a line each, however long


@POSIX
def test_on_sigterm_who_does_not_finish_is_told() -> None:
    url = "/realtime?model=any"
    with (
        _running("--drain-s", "0.3") as (server, where),
        connect(f"ws{where['base_url'][4:]}{url}") as opened,
    ):
        opened.recv(10)
        _converse(opened)
        server.send_signal(signal.SIGTERM)
        assert json.loads(opened.recv(10))["error"]["code"] == "server_shutdown"
        with pytest.raises(ConnectionClosedError) as closed:
            opened.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        _ended(server, 0)


def _self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(pem))
    paths[1].write_bytes(secret)
    return paths


async def _converse_over_tls(url: str, trusted: ssl.SSLContext) -> None:
    """In one thread: the blocking client reads and writes one TLS connection in two, which OpenSSL doesn't allow."""
    async with asyncio.timeout(20), connect_async(url, ssl=trusted) as opened:
        assert json.loads(await opened.recv())["type"] == "session.created"
        await opened.send(UPDATE)
        assert json.loads(await opened.recv())["type"] == "session.updated"


@POSIX
def test_it_serves_over_tls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificate, key = _self_signed(tmp_path)
    trusted = ssl.create_default_context(cafile=str(certificate))
    with _running("--tls-cert", str(certificate), "--tls-key", str(key)) as (server, where):
        assert where["base_url"].startswith("https://127.0.0.1:")
        with urllib.request.urlopen(where["page"] + "readyz", timeout=10, context=trusted) as answer:
            assert json.load(answer) == {"status": "ready"}
        asyncio.run(_converse_over_tls(f"wss{where['base_url'][5:]}/realtime", trusted))
        with pytest.raises(OSError, match=r"(?i)reset|disconnect|closed|refused|without response|timed out"):
            urllib.request.urlopen(
                where["page"].replace("https", "http", 1), timeout=5
            )  # no plain HTTP there
        server.send_signal(signal.SIGTERM)
        _ended(server, 0)
    words = ["serve", "--port", "0", "--no-open", "--model", f"{EXAMPLES}:model"]
    assert run_command([*words, "--tls-cert", str(key), "--tls-key", str(certificate)]) == 2
    told = capsys.readouterr().err
    assert "--tls-cert" in told
    assert told.count("\n") == 1
