from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from repartee.errors import ModelFileError
from repartee.inference import Lane

pytest.importorskip("pocketsphinx", reason="the extra 'local' is not installed")

from repartee.plugins.local import pocketsphinx_ffi as ffi
from repartee.plugins.local.recognition import Recogniser
from repartee.plugins.local.sphinx import SphinxEngine, SphinxModel, _Levels, _Segment, find_model
from tests.plugins.local.speech_data import TEXTS, sample

pytestmark = pytest.mark.local

GRAMMAR = f"#JSGF V1.0; grammar g; public <s> = {TEXTS['lights_slt']};"


def model() -> SphinxModel:
    found = find_model(None, None, None)
    return SphinxModel(found.acoustic, found.dictionary, found.language_model, GRAMMAR)


def pcm(*levels: int) -> bytes:
    """100 ms of a square wave for each level."""
    return b"".join(
        (level.to_bytes(2, "little") + (-level).to_bytes(2, "little", signed=True)) * 800 for level in levels
    )


def test_levels_tell_words_from_the_background() -> None:
    levels = _Levels()
    levels.take(pcm(20, 20))
    assert not levels.have_speech()
    assert levels.is_quiet()
    for part in (pcm(20)[:500], pcm(20)[500:], pcm(500), pcm(20)):
        levels.take(part)
    assert levels.have_speech()
    assert levels.is_quiet()
    assert levels.stands_out(4800, 6400)
    assert levels.stands_out(4000, 5600)  # part of it does
    assert not levels.stands_out(0, 4800)
    assert not levels.stands_out(10_000, 12_000)  # there is nothing
    levels.take(pcm(500))
    assert not levels.is_quiet()


def test_streams_are_spread_over_the_threads() -> None:
    async def main() -> None:
        engine = SphinxEngine(model(), threads=2, decoders_max=4)
        lanes: list[Lane[object]] = []
        used = []
        for _ in range(4):
            pool = engine.pool()
            used.append(pool)
            lanes.append(pool.open(lambda _: None, lambda _: None, pending_max=1))
        assert used[0] is used[2] is not used[1] is used[3]
        for lane in lanes:
            await lane.aclose()

    asyncio.run(main())


def test_decoders_are_used_again_and_the_mean_follows_the_speaker() -> None:
    async def main() -> None:
        engine = SphinxEngine(model(), threads=1, decoders_max=1)
        pool = engine.pool()
        speaker: dict[str, object] = {}
        called: list[int] = []

        def begin() -> Recogniser | None:
            return engine.begin(pool, lambda: called.append(1), speaker)

        first = await pool.run(begin)
        assert isinstance(first, _Segment)
        fresh = speaker["cmn"]
        assert await pool.run(begin) is None
        assert "all 1 decoders are busy" in engine.busy()
        text = await pool.run(lambda: first.feed(sample("lights_slt").audio.data, behind=False))
        assert text == TEXTS["lights_slt"]
        result = await pool.run(first.finish)
        assert result.text == TEXTS["lights_slt"]
        assert called == [1]
        assert speaker["cmn"] != fresh
        with pytest.raises(RuntimeError, match="has ended"):
            first.finish()
        second = await pool.run(begin)
        assert isinstance(second, _Segment)
        assert second._decoder is not None
        assert second._decoder.cmn() == speaker["cmn"]
        await pool.run(second.abort)

    asyncio.run(main())


def test_decoder_that_fails_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        engine = SphinxEngine(model(), threads=1, decoders_max=1)
        pool = engine.pool()
        called: list[int] = []
        segment = await pool.run(lambda: engine.begin(pool, lambda: called.append(1), {}))
        assert isinstance(segment, _Segment)
        assert await pool.run(lambda: engine.begin(pool, lambda: called.append(2), {})) is None
        decoder = segment._decoder

        def fail(_: bytes) -> None:
            raise RuntimeError("can't decode")

        assert decoder is not None
        monkeypatch.setattr(decoder, "feed", fail)
        with pytest.raises(RuntimeError, match="can't decode"):
            segment.feed(bytes(320), behind=False)
        segment.abort()  # nothing is left to do
        assert called == [2]
        other = await pool.run(lambda: engine.begin(pool, lambda: called.append(1), {}))
        assert isinstance(other, _Segment)
        assert other._decoder is not decoder
        await pool.run(other.abort)

    asyncio.run(main())


def test_stream_that_is_gone_is_not_called() -> None:
    async def main() -> None:
        engine = SphinxEngine(model(), threads=1, decoders_max=1)
        pool = engine.pool()
        called: list[str] = []

        def retry() -> None:
            called.append("gone")

        segment = await pool.run(lambda: engine.begin(pool, lambda: None, {}))
        assert segment is not None
        await pool.run(lambda: engine.begin(pool, retry, {}))
        await pool.run(lambda: engine.begin(pool, retry, {}))  # asks twice, waits once
        await pool.run(lambda: engine.forget(pool, retry))
        await pool.run(lambda: engine.forget(pool, retry))
        await pool.run(segment.abort)
        assert not called

    asyncio.run(main())


def test_without_the_c_functions_a_process_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffi, "load_library", lambda: None)

    async def main() -> str:
        engine = SphinxEngine(model(), threads=1, decoders_max=1)
        await engine.prewarm()
        pool = engine.pool()
        segment = await pool.run(lambda: engine.begin(pool, lambda: None, {}))
        assert segment is not None
        await pool.run(lambda: segment.feed(sample("lights_slt").audio.data, behind=False))
        return (await pool.run(segment.finish)).text

    assert asyncio.run(main()) == TEXTS["lights_slt"]


def test_files_of_a_model(tmp_path: Path) -> None:
    directory = tmp_path / "nl"
    directory.mkdir()
    for name in ("mdef", "means", "variances", "transition_matrices"):
        (directory / name).touch()
    package = find_model(None, None, None)
    assert find_model("en-us", None, None) == package
    assert find_model(directory, None, None) == SphinxModel(
        directory, package.dictionary, package.language_model
    )
    (tmp_path / "nl.dict").touch()
    (directory / "nl.lm.bin").touch()
    assert find_model(directory, None, None) == SphinxModel(
        directory, tmp_path / "nl.dict", directory / "nl.lm.bin"
    )
    (directory / "means").unlink()
    with pytest.raises(ModelFileError, match="no file 'means'"):
        find_model(directory, None, None)
    with pytest.raises(ModelFileError, match=r"the language model .* does not exist"):
        find_model(None, None, tmp_path / "x.lm")
