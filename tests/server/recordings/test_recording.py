"""Recordings of served sessions."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import shutil
import stat
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from repartee.audio import g711, read_audio
from repartee.clock import Clock
from repartee.errors import ConfigurationError, ModelError
from repartee.models import events as ev
from repartee.plugins.openai.realtime import RealtimeModel
from repartee.server.options import ServerOptions
from repartee.server.recordings.recording import Recordings, log_line, recordings_of
from repartee.testing import ScriptedRealtimeServer, elapse, virtual_time
from tests.server.ears import sound
from tests.server.serving import open_socket, over_sockets, serving
from tests.server.talk import Talk


def recordings_in(folder: Path, **more: Any) -> Recordings:
    return Recordings(folder, **{"minutes_max": 10.0, "free_bytes": 0, **more})


def made(folder: Path, kind: str) -> Path:
    [found] = folder.glob(f"*{kind}")
    return found


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in made(folder, ".jsonl").read_text("utf-8").splitlines()]


def loud(folder: Path, side: int) -> tuple[float, float]:
    """From when to when one side is heard."""
    channel = read_audio(made(folder, ".wav"), mono=False).as_array()[:, side]
    places = channel.nonzero()[0]
    return (float(places[0]) / 24_000, float(places[-1] + 1) / 24_000) if len(places) else (0.0, 0.0)


@virtual_time
async def test_a_turn_its_answer_and_what_happened(tmp_path: Path) -> None:
    folder = tmp_path / "calls"
    recordings = recordings_in(folder)
    async with Talk(replies=["Sure, it is done."], recordings=recordings) as talk:
        await elapse(1.0)
        talk.hear(0.3, "book a table", 1.0)
        await talk.done()
        await elapse(5.0)
    recordings.close()
    caller, agent = loud(folder, 0), loud(folder, 1)
    assert 0.0 < caller[0] < caller[1] < 4.0
    assert agent[0] >= 1.0
    assert agent[1] - agent[0] == pytest.approx(1.0, abs=0.05)  # four words of 250 ms
    kinds = [line["event"] for line in lines(folder)]
    assert kinds.index("SpeechStarted") < kinds.index("TranscriptCompleted") < kinds.index("ResponseDone")
    sample = next(line for line in lines(folder) if line["event"] == "AudioLogged")
    assert set(sample) == {
        "at_s",
        "event",
        "response_id",
        "item_id",
        "sample_rate",
        "position_samples",
        "samples",
    }
    assert [line["at_s"] for line in lines(folder)] == sorted(line["at_s"] for line in lines(folder))
    facts = json.loads(made(folder, ".json").read_text("utf-8"))
    assert (facts["id"], facts["model"], facts["transport"]) == ("sess_1", "scripted", "websocket")
    assert facts["seconds"] >= 6.0
    assert "ended_early" not in facts
    assert made(folder, ".wav").stem.endswith("Z-sess_1")
    if os.name == "posix":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@virtual_time
async def test_what_the_client_truncates_was_not_heard(tmp_path: Path) -> None:
    recordings = recordings_in(tmp_path)
    async with Talk(replies=["word " * 16], recordings=recordings) as talk:
        done = await talk.answer("talk")  # 4 s of sound, at once
        item = talk.client.last("response.output_audio.delta")["item_id"]
        await elapse(1.2)
        talk.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=1000)
        await elapse(4.0)
        assert done["status"] == "completed"
    recordings.close()
    agent = loud(tmp_path, 1)
    assert agent[1] - agent[0] == pytest.approx(1.0, abs=0.03)


@virtual_time
async def test_an_interruption_cuts_it_and_an_aside_is_no_part_of_it(tmp_path: Path) -> None:
    recordings = recordings_in(tmp_path)
    async with Talk(replies=["aside " * 40, "word " * 40, "Yes."], recordings=recordings) as talk:
        await talk.answer("topic?", conversation="none")
        await elapse(1.0)
        await talk.answer("talk")
        await elapse(2.0)
        stopped = talk.session.clock.now()
        talk.hear("stop that")
        await elapse(2.0)
    recordings.close()
    agent = loud(tmp_path, 1)
    assert agent[0] > 1.0  # nothing of the aside
    assert agent[0] < stopped - 2.0
    channel = read_audio(made(tmp_path, ".wav"), mono=False).as_array()[:, 1]
    first, last = (round(at_s * 24_000) for at_s in (stopped, stopped + 0.5))
    assert channel[first - 480 : first - 240].any()
    assert not channel[first + 240 : last].any()


@virtual_time
async def test_g711_is_kept_as_it_sounded(tmp_path: Path) -> None:
    recordings = recordings_in(tmp_path)
    form = {"format": {"type": "audio/pcmu"}}
    async with Talk(recordings=recordings, session={"audio": {"input": form, "output": form}}) as talk:
        await elapse(1.0)
        pcm = bytes.fromhex("0010") * 4000 + bytes.fromhex("00f0") * 4000
        for _ in range(2):
            audio = base64.b64encode(g711.encode(pcm, "ulaw")).decode()
            talk.send("input_audio_buffer.append", audio=audio)
        await elapse(3.0)
    recordings.close()
    begin, end = loud(tmp_path, 0)
    assert end - begin == pytest.approx(2.0, abs=0.02)


@virtual_time
async def test_a_relay_is_recorded_like_any_other(tmp_path: Path) -> None:
    recordings = recordings_in(tmp_path)
    server = ScriptedRealtimeServer(["Sure, done."])
    model = RealtimeModel(api_key="sk-secret-of-tests", turn_detection=None, connector=server.connect)
    async with Talk(model, recordings=recordings) as talk:
        await elapse(0.1)
        talk.hear(0.3, "book a table", 1.0)
        await talk.done()
        await elapse(3.0)
    recordings.close()
    assert loud(tmp_path, 0)[1] > 0.3
    assert loud(tmp_path, 1)[1] > 0.3
    text = made(tmp_path, ".jsonl").read_text("utf-8") + made(tmp_path, ".json").read_text("utf-8")
    assert "sk-secret" not in text
    assert "Sure, done." in text


@virtual_time
async def test_it_ends_after_its_minutes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recordings = recordings_in(tmp_path, minutes_max=0.05)
    async with Talk(recordings=recordings) as talk:
        for _ in range(10):
            await elapse(1.0)
            talk.session.hear(sound(1.0))
    recordings.close()
    facts = json.loads(made(tmp_path, ".json").read_text("utf-8"))
    assert facts["ended_early"] == "longer than 0.05 minutes"
    assert 3.0 <= facts["seconds"] < 5.0


@virtual_time
async def test_a_full_disk_ends_all_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    free = [10 << 20]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1 << 30, 0, free[0]))
    recordings = recordings_in(tmp_path, free_bytes=1 << 20)
    clock = Clock(asyncio.get_running_loop().time)
    with caplog.at_level(logging.WARNING, logger="repartee.server"):
        async with Talk(recordings=recordings) as talk:
            free[0] = 1000
            for _ in range(20):
                await elapse(1.0)
                talk.session.hear(sound(1.0))
            recordings.close()
            assert recordings.open("sess_2", clock, plays=False, about={}) is None
            free[0] = 10 << 20
            assert recordings.open("sess_3", clock, plays=False, about={}) is not None
            assert not talk.client.all("error")  # the call goes on
    recordings.close()
    assert len([record for record in caplog.records if "recordings end here" in record.message]) == 1
    first = json.loads(made(tmp_path, "_1.json").read_text("utf-8"))
    assert first["ended_early"] == "the disk is full"


@virtual_time
async def test_a_disk_that_fails_is_not_the_calls_affair(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recordings = recordings_in(tmp_path / "calls")
    shutil.rmtree(tmp_path / "calls")
    with caplog.at_level(logging.WARNING, logger="repartee.server"):
        recordings.has_room = lambda: True  # type: ignore[method-assign]
        async with Talk(replies=["Yes."], recordings=recordings) as talk:
            assert (await talk.answer("hello?"))["status"] == "completed"
        recordings.close()
    assert any("ended early" in record.message for record in caplog.records)


def test_a_folder_that_can_not_be_written_to_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="can't be written to"):
        recordings_in(tmp_path / "file" / "below")
    assert recordings_of(ServerOptions()) is None
    made_of_options = recordings_of(ServerOptions(record=str(tmp_path / "calls"), record_minutes=3))
    assert made_of_options is not None
    assert made_of_options.minutes_max == 3


def test_a_line_of_the_log() -> None:
    line = json.loads(log_line(1.23456, ev.ErrorOccurred(ModelError("gone", stage="llm"), "llm")))
    assert (line["at_s"], line["event"], line["stage"]) == (1.2346, "ErrorOccurred", "llm")
    assert line["error"] == {"type": "ModelError", "message": "gone"}
    long = json.loads(log_line(0.0, ev.InterimTranscript("item", "x" * 50_000, 0)))
    assert long["text"].endswith("(50000 characters)")


@over_sockets
async def test_the_server_records_who_connects(tmp_path_factory: pytest.TempPathFactory) -> None:
    from repartee.server.asgi import app
    from repartee.testing import ScriptedRealtimeModel

    folder = tmp_path_factory.mktemp("calls")
    application = app(ScriptedRealtimeModel([]), options=ServerOptions(record=str(folder), record_free_mib=0))
    async with serving(application) as server, open_socket(server) as socket:
        assert json.loads(await socket.recv())["type"] == "session.created"
        audio = base64.b64encode(sound(0.5)).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
        await socket.send(json.dumps({"type": "fake"}))
        assert json.loads(await socket.recv())["type"] == "error"
        await socket.close()
    facts = json.loads(made(folder, ".json").read_text("utf-8"))
    assert facts["kind"] == "realtime"
    assert facts["seconds"] >= 0.4
