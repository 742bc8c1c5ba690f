from __future__ import annotations

import asyncio
import importlib.util
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from repartee.audio import AudioFrame
from repartee.errors import MissingDependencyError, ModelError, ModelFileError
from repartee.models import Final, STTEvent
from repartee.plugins.local import sherpa
from repartee.plugins.local.sherpa import SherpaModel, _Segment, _words, find_model
from repartee.plugins.local.stt import STT

TINY = Path(__file__).parents[2] / "data" / "tiny_ctc"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if sherpa-onnx were there: what looks at files does not need it."""
    monkeypatch.setattr(
        sherpa, "importlib", SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: name))
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    shutil.copytree(TINY, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.usefixtures("installed")
def test_kinds_by_their_files(directory: Path) -> None:
    tokens, model = ("tokens", str(directory / "tokens.txt")), directory / "model.onnx"
    assert find_model(directory) == SherpaModel("from_nemo_ctc", (tokens, ("model", str(model))))
    for name in ("encoder-a.int8.onnx", "encoder-a.onnx", "decoder-a.onnx"):
        shutil.copy(model, directory / name)
    parts = tuple((part, str(directory / f"{part}-a.onnx")) for part in ("encoder", "decoder", "joiner"))
    parts = (("encoder", str(directory / "encoder-a.int8.onnx")), *parts[1:])
    assert find_model(directory) == SherpaModel("from_paraformer", (tokens, *parts[:2]))
    shutil.copy(model, directory / "joiner-a.onnx")
    assert find_model(directory) == SherpaModel("from_transducer", (tokens, *parts))


@pytest.mark.usefixtures("installed")
def test_bad_files(directory: Path) -> None:
    model, tokens = directory / "model.onnx", directory / "tokens.txt"
    whole, words = model.read_bytes(), tokens.read_text()
    model.write_bytes(whole[:-200])
    with pytest.raises(ModelFileError, match="truncated"):
        find_model(directory)
    model.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ModelFileError, match="not an ONNX file"):
        find_model(directory)
    model.write_bytes(whole.replace(b"EncDecCTCModel", b"EncDecFooModel"))
    with pytest.raises(ModelFileError, match="calls itself 'EncDecFooModel'"):
        find_model(directory)
    model.rename(directory / "tiny-encoder.onnx").write_bytes(
        whole.replace(b"EncDecCTCModel", b"whisper-tinyXX")
    )
    shutil.copy(TINY / "model.onnx", directory / "tiny-decoder.onnx")
    with pytest.raises(ModelFileError, match="not a streaming one"):
        find_model(directory)
    (directory / "tiny-encoder.onnx").unlink()
    (directory / "tiny-decoder.onnx").unlink()
    with pytest.raises(ModelFileError, match="there must be encoder, decoder and joiner"):
        find_model(directory)
    tokens.write_text("just\nwords\n")
    with pytest.raises(ModelFileError, match="each line must be a symbol and its number"):
        find_model(directory)
    tokens.write_bytes(b"\xff\xfe" + words.encode())
    with pytest.raises(ModelFileError, match="UTF-8"):
        find_model(directory)
    tokens.unlink()
    with pytest.raises(ModelFileError, match="no tokens"):
        find_model(directory)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None))
    monkeypatch.setattr(sherpa, "importlib", nothing)
    with pytest.raises(MissingDependencyError, match=r"repartee\[sherpa\]"):
        STT(TINY)


def test_words_from_pieces() -> None:
    found = _words(["▁HEL", "LO", "▁YES", "S"], [0.1, 0.2, 0.5, 0.6])
    assert [(w.text, w.start_samples, w.end_samples) for w in found] == [
        ("hello", 1600, 8000),
        ("yess", 8000, 12_800),
    ]
    assert _words([], []) == ()


class FakeRecogniser:
    """Needs 100 ms for a step; "hears" how much it got."""

    def __init__(self) -> None:
        self.samples = self.steps = 0
        self.ended = False

    def create_stream(self) -> FakeRecogniser:
        return self

    def accept_waveform(self, rate: int, samples: Any) -> None:
        assert rate == 16_000
        assert not self.ended
        self.samples += len(samples)

    def is_ready(self, stream: FakeRecogniser) -> bool:
        return self.samples >= (self.steps + 1) * 1600

    def decode_stream(self, stream: FakeRecogniser) -> None:
        self.steps += 1

    def input_finished(self) -> None:
        self.ended = True

    def get_result(self, stream: FakeRecogniser) -> str:
        return "GOT " + "X" * self.steps

    def get_result_all(self, stream: FakeRecogniser) -> SimpleNamespace:
        text = self.get_result(stream)
        return SimpleNamespace(
            text=text, tokens=["▁GOT", "▁" + text[4:]], timestamps=[0.0, 0.1], ys_probs=[-0.1, -0.3]
        )


def test_segment_decodes_what_is_ready_and_adds_the_tail() -> None:
    segment = _Segment(FakeRecogniser())
    assert segment.feed(bytes(2 * 1700), behind=False) == "got x"
    result = segment.finish()
    assert result.text == "got xxxxxxx"  # 106 ms and 600 ms of silence
    assert [w.text for w in result.words] == result.text.split()
    assert result.confidence == pytest.approx(0.8187, abs=1e-4)


@pytest.mark.skipif(
    importlib.util.find_spec("sherpa_onnx") is None, reason="the extra 'sherpa' is not installed"
)
def test_a_real_model_from_its_files() -> None:
    async def main() -> list[STTEvent]:
        import numpy as np

        events: list[STTEvent] = []
        done = asyncio.Event()

        def on_event(event: STTEvent) -> None:
            events.append(event)
            if isinstance(event, Final):
                done.set()

        def on_error(error: ModelError) -> None:
            raise error

        stream = STT(TINY).stream(sample_rate=24_000, on_event=on_event, on_error=on_error)
        noise = np.random.default_rng(0).normal(0, 2000, 72_000).astype("<i2")
        stream.push(AudioFrame(noise.tobytes(), 24_000))
        stream.flush()
        await asyncio.wait_for(done.wait(), 60)
        await stream.aclose()
        return events

    final = asyncio.run(main())[-1]
    assert isinstance(final, Final)
    assert final.text
    assert " ".join(w.text for w in final.words) == final.text


@pytest.mark.skipif(
    importlib.util.find_spec("sherpa_onnx") is None, reason="the extra 'sherpa' is not installed"
)
def test_a_model_that_lies_does_not_end_the_process(directory: Path) -> None:
    whole = (directory / "model.onnx").read_bytes()
    (directory / "model.onnx").write_bytes(whole.replace(b"window_size", b"window_sizX"))
    with pytest.raises(ModelFileError, match="window_size"):
        asyncio.run(STT(directory).prewarm())
