from __future__ import annotations

import io

import pytest

from repartee.errors import ModelFileError

pytest.importorskip("pocketsphinx", reason="the extra 'local' is not installed")

from repartee.plugins.local.sphinx import find_model
from repartee.plugins.local.sphinx_process import ProcessDecoder, _receive, _send, _serve
from tests.plugins.local.speech_data import TEXTS, sample

pytestmark = pytest.mark.local

GRAMMAR = f"#JSGF V1.0; grammar g; public <s> = {TEXTS['lights_slt']};"

# That it hears what the decoder in this process hears is in test_pocketsphinx_ffi.py.


def test_an_utterance() -> None:
    decoder = ProcessDecoder(find_model(None, None, None).config(), grammar=GRAMMAR)
    decoder.start()
    decoder.feed(sample("lights_slt").audio.data)
    assert decoder.text() == TEXTS["lights_slt"]
    assert decoder.finish().text == TEXTS["lights_slt"]
    decoder.start()
    assert decoder.text() == ""
    decoder.finish()
    decoder.close()
    decoder.close()
    assert decoder._child.returncode is not None


def test_a_child_that_dies_is_an_error() -> None:
    decoder = ProcessDecoder(find_model(None, None, None).config(), grammar=GRAMMAR)
    decoder.start()
    decoder._child.kill()
    decoder._child.wait()
    with pytest.raises(RuntimeError, match="process ended"):
        decoder.feed(bytes(3200))
    decoder.close()


def test_what_the_library_prints_is_not_taken_for_an_answer() -> None:
    # Its grammar's scanner echoes to standard output what it does not know.
    with pytest.raises(ModelFileError):
        ProcessDecoder(find_model(None, None, None).config(), grammar="gra")


def test_messages() -> None:
    pipe = io.BytesIO()
    _send(pipe, b"A" + bytes(70_000))
    _send(pipe, b"F")
    pipe.seek(0)
    assert _receive(pipe) == b"A" + bytes(70_000)
    assert _receive(pipe) == b"F"
    assert _receive(pipe) is None


def test_errors_are_answers() -> None:
    questions, answers = io.BytesIO(), io.BytesIO()
    _send(questions, b"Snot JSON")
    questions.seek(0)
    _serve(questions, answers)
    answers.seek(0)
    answer = _receive(answers)
    assert answer is not None
    assert answer.startswith(b"!")
    assert _receive(answers) is None
