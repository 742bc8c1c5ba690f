"""The binding of eSpeak NG."""

from __future__ import annotations

import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from repartee.errors import MissingDependencyError, ModelError, ModelFileError
from repartee.plugins.local import espeak_ffi
from repartee.plugins.local.espeak_ffi import EspeakSettings, WordMark, espeak

here = importlib.util.find_spec("espeakng_loader") is not None
local = pytest.mark.skipif(not here, reason="needs the extra 'local' (espeakng-loader)")


def synthesize(text: str, settings: EspeakSettings | None = None) -> tuple[bytes, list[WordMark]]:
    data, marks = bytearray(), list[WordMark]()

    def take(block: bytes, new: list[WordMark]) -> bool:
        data.extend(block)
        marks.extend(new)
        return True

    espeak().speak(text, settings or EspeakSettings(), take)
    return bytes(data), marks


@local
def test_words_are_marked_by_character() -> None:
    data, marks = synthesize("Hé, 日 is here")
    assert marks[0].text_index == 0
    assert {mark.text_index for mark in marks} >= {0, 4, 9}
    assert [mark.sample for mark in marks] == sorted(mark.sample for mark in marks)
    assert marks[-1].sample < len(data) // 2


@local
def test_the_sink_can_stop_it_and_it_speaks_on() -> None:
    blocks = []

    def stop(block: bytes, marks: list[WordMark]) -> bool:
        blocks.append(block)
        return False

    espeak().speak("one two three four five six seven", EspeakSettings(), stop)
    assert len(blocks) == 1
    assert len(synthesize("one two three")[0]) > 10_000


@local
def test_what_the_sink_raises_comes_out() -> None:
    def broken(block: bytes, marks: list[WordMark]) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        espeak().speak("one two three", EspeakSettings(), broken)
    assert synthesize("yes")[0]


@local
def test_threads_take_turns() -> None:
    alone = len(synthesize("one two three")[0])
    with ThreadPoolExecutor(8) as pool:
        lengths = {len(data) for data, _ in pool.map(synthesize, ["one two three"] * 40)}
    assert max(lengths) - min(lengths) < 0.02 * alone


@local
def test_voices_and_variants_are_known() -> None:
    engine = espeak()
    assert "en-us" in engine.languages_of("en-us")
    assert engine.languages_of("de+f3") == ("de",)
    assert engine.languages_of("xx-none") == ()
    assert engine.languages_of("en-us+nobody") == ()
    assert {"en-us", "en-gb", "de", "fr"} <= set(engine.voices())
    with pytest.raises(ModelError, match="no voice"):
        synthesize("hello", EspeakSettings("xx-none"))
    assert synthesize("hello", EspeakSettings("en-gb"))[0] != synthesize("hello", EspeakSettings("en-us"))[0]


@local
def test_it_is_one_for_the_process() -> None:
    assert espeak() is espeak()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(espeak_ffi, "_engine", None)
    with pytest.raises(MissingDependencyError, match=r"repartee\[local\]"):
        espeak()


def test_a_library_that_can_not_be_loaded_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("lib") / "libespeak-ng.so"
    path.write_bytes(b"not a library")
    with pytest.raises(MissingDependencyError, match="can't be loaded"):
        espeak_ffi._load(str(path))


@local
def test_a_path_that_is_too_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    library, _ = espeak_ffi._locate()
    monkeypatch.setattr(espeak_ffi, "_locate", lambda: (library, "/" + "x" * 200))
    with pytest.raises(ModelFileError, match="shorter path"):
        espeak_ffi.Espeak()
