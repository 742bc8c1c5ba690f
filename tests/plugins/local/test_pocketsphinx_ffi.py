from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from repartee.errors import ModelFileError
from tests.plugins.local.speech_data import TEXTS, sample

pytest.importorskip("pocketsphinx", reason="the extra 'local' is not installed")

from repartee.plugins.local.pocketsphinx_ffi import Decoder, Hypothesis, load_library
from repartee.plugins.local.sphinx import find_model
from repartee.plugins.local.sphinx_process import ProcessDecoder

pytestmark = pytest.mark.local

GRAMMAR = "#JSGF V1.0; grammar test; public <sentence> = " + " | ".join(TEXTS.values()) + ";"


def in_process(**options: str) -> Decoder:
    library = load_library()
    if library is None:
        pytest.skip("the extension module exports no C functions here")
    return Decoder(library, find_model(None, None, None).config(), **options)  # type: ignore[arg-type]


def in_child(**options: str) -> ProcessDecoder:
    return ProcessDecoder(find_model(None, None, None).config(), **options)  # type: ignore[arg-type]


Make = Callable[..., Decoder | ProcessDecoder]
both = pytest.mark.parametrize("make", [in_process, in_child])


def decode(decoder: Decoder | ProcessDecoder, name: str) -> Hypothesis:
    pcm = sample(name).audio.data
    decoder.start()
    for at in range(0, len(pcm), 1280):
        decoder.feed(pcm[at : at + 1280])
    assert decoder.text()
    return decoder.finish()


@both
def test_words_times_and_confidence(make: Make) -> None:
    decoder = make(grammar=GRAMMAR)
    voice = sample("lights_slt")
    found = decode(decoder, "lights_slt")
    assert found.text == voice.text
    assert [s.word for s in found.segments] == voice.text.split()
    assert 0 < found.probability <= 1
    assert all(0 < s.probability <= 1 for s in found.segments)
    assert found.segments[0].start_frame * 160 == pytest.approx(voice.start_position_samples, abs=2400)
    assert found.segments[-1].end_frame * 160 == pytest.approx(voice.end_position_samples, abs=2400)
    decoder.close()
    decoder.close()


def test_both_ways_give_the_same() -> None:
    one, other = in_process(grammar=GRAMMAR), in_child(grammar=GRAMMAR)
    for name in ("lights_slt", "timer_awb"):
        assert decode(one, name) == decode(other, name)
        assert one.cmn() == other.cmn()
        other.set_cmn(one.cmn())
        one.set_cmn(one.cmn())
    other.close()


@both
def test_nothing_said(make: Make) -> None:
    decoder = make(grammar=GRAMMAR)
    decoder.start()
    assert decoder.finish() == Hypothesis("", 0.0)
    decoder.start()
    decoder.feed(bytes(16_000))
    assert decoder.finish().segments == ()
    decoder.close()


@both
def test_cepstral_mean_is_kept(make: Make) -> None:
    decoder = make(grammar=GRAMMAR)
    fresh = decoder.cmn()
    decode(decoder, "lights_slt")
    learnt = decoder.cmn()
    assert learnt != fresh
    decoder.set_cmn(fresh)
    assert decoder.cmn() == fresh
    decoder.close()


@both
@pytest.mark.parametrize(
    "grammar", ["#JSGF V1.0; grammar g; public <a> = zzyzx;", "#JSGF V1.0; grammar g; public <a> ="]
)
def test_bad_grammar(make: Make, grammar: str) -> None:
    with pytest.raises(ModelFileError):
        make(grammar=grammar)


def test_why_is_what_the_library_says() -> None:
    with pytest.raises(ModelFileError, match="'zzyzx' is missing in the dictionary"):
        in_process(grammar="#JSGF V1.0; grammar g; public <a> = zzyzx;")
    library = load_library()
    assert library is not None
    with pytest.raises(ModelFileError, match="mdef"):
        Decoder(library, {"hmm": "/no/such/model", "dict": "/no/such/dictionary"})
    with pytest.raises(ModelFileError, match="parameters"):
        Decoder(library, {"no_such_parameter": 1})


def test_decoding_lets_other_threads_run() -> None:
    decoder = in_process(grammar=GRAMMAR)
    counted, running = 0, True

    def decode_all() -> None:
        nonlocal running
        decode(decoder, "river_rms")
        running = False

    thread = threading.Thread(target=decode_all)
    thread.start()
    while running:
        counted += 1
    thread.join()
    # With the interpreter's lock held, a turn of this loop would have to wait for a whole chunk: some 70 in all.
    assert counted > 5000


def test_shared_language_model() -> None:
    model = find_model(None, None, None)
    library = load_library()
    assert library is not None
    first = Decoder(library, {**model.config(), "lm": str(model.language_model)})
    shared = first.language_model()
    assert shared is not None
    second = Decoder(library, model.config(), language_model=shared)
    first.close()
    assert decode(second, "lights_slt").text == TEXTS["lights_slt"]
