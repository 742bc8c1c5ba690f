"""`repartee serve`, as its user runs it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import urllib.request
import webbrowser
from pathlib import Path

import pytest

from repartee.cli import serve
from repartee.cli.command import run_command
from repartee.errors import ConfigurationError
from repartee.server.options import ServerOptions, option_table
from repartee.server.runner import bind

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


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("how, code", [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_serves_until_it_is_stopped(how: signal.Signals, code: int, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("sk-first-key\n")
    code_to_run = "import sys; from repartee.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["serve", "--json", "--port", "0", "--no-open", "--model", f"{EXAMPLES}:model"]
    words += ["--api-key-file", str(keys), "--log-level", "debug"]
    server = subprocess.Popen(
        [sys.executable, "-c", code_to_run, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with server:
        assert server.stdout is not None
        where = json.loads(server.stdout.readline())
        request = urllib.request.Request(f"{where['base_url']}/models", headers={"api-key": "sk-first-key"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["data"][0]["id"] == "model"
        with urllib.request.urlopen(where["page"], timeout=10) as answer:
            assert answer.status == 200
        server.send_signal(how)
        _, told = server.communicate(timeout=20)
    assert server.returncode == code, told
    assert "sk-" not in told
    assert "Traceback" not in told
