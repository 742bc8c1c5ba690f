"""Streaming models of sherpa-onnx, as an engine of `repartee.plugins.local.recognition`.

A model is a directory as its project publishes them: ``tokens.txt`` beside the ONNX files, whose names and
metadata say which kind it is. All files are checked before sherpa-onnx sees them, and it sees them in a process of
its own first, since on a bad one it ends the process instead of raising.
"""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from repartee.errors import MissingDependencyError, ModelFileError
from repartee.inference import WorkerPool
from repartee.plugins.local.onnx_file import read_metadata
from repartee.plugins.local.recognition import RATE, Engine, RecognisedWord, Recogniser, Result

__all__ = ["SherpaEngine", "SherpaModel", "find_model"]

TAIL_MS: Final = 600
"""Silence given after the last audio, so that the model's look-ahead is filled and its last word comes out."""
_CTC_KINDS: Final = {
    "zipformer2": "from_zipformer2_ctc",
    "EncDecCTCModel": "from_nemo_ctc",
    "EncDecHybridRNNTCTCBPEModel": "from_nemo_ctc",
    "wenet_ctc": "from_wenet_ctc",
    "t_one": "from_t_one_ctc",
    "t-one": "from_t_one_ctc",
}
"""Metadata ``model_type`` of a model in a single file, and what makes a recogniser of it."""


_REHEARSAL: Final = """
import json, sys, sherpa_onnx
getattr(sherpa_onnx.OnlineRecognizer, sys.argv[1])(**json.loads(sys.argv[2]), num_threads=1).create_stream()
"""


@dataclass(frozen=True, slots=True)
class SherpaModel:
    """Which constructor of ``sherpa_onnx.OnlineRecognizer``, and its files by argument."""

    constructor: str
    files: tuple[tuple[str, str], ...]


def find_model(path: Path) -> SherpaModel:
    """What kind of model a directory holds.

    Raises:
        MissingDependencyError: the package isn't installed.
        ModelFileError: no streaming model, or one with a file that is missing, truncated, or not ONNX.
    """
    if importlib.util.find_spec("sherpa_onnx") is None:
        raise MissingDependencyError("a sherpa-onnx model", package="sherpa-onnx", extra="sherpa")
    tokens = _tokens(path)
    encoder, decoder, joiner = (_part(path, name) for name in ("encoder", "decoder", "joiner"))
    if encoder and decoder:
        kind = read_metadata(encoder, "encoder").get("model_type", "")
        read_metadata(decoder, "decoder")
        if kind.startswith(("whisper", "moonshine")) or "whisper" in encoder.name:
            raise ModelFileError(
                f"{path} holds a {kind or 'Whisper'} model for whole files, not a streaming one: "
                "for Whisper give the directory of a faster-whisper model"
            )
        files = [("tokens", tokens), ("encoder", encoder), ("decoder", decoder)]
        if joiner is None:
            return SherpaModel("from_paraformer", _as_text(files))
        read_metadata(joiner, "joiner")
        return SherpaModel("from_transducer", _as_text([*files, ("joiner", joiner)]))
    single = _part(path, "model") or _only(path)
    if single is None:
        raise ModelFileError(
            f"{path} is no streaming sherpa-onnx model: beside tokens.txt there must be encoder, decoder and joiner "
            "(or encoder and decoder, or one model) as .onnx files"
        )
    kind = read_metadata(single, "model").get("model_type", "")
    constructor = _CTC_KINDS.get(kind)
    if constructor is None:
        raise ModelFileError(
            f"{single} calls itself {kind or 'nothing'!r}: streaming models in one file are "
            + ", ".join(sorted(_CTC_KINDS))
        )
    return SherpaModel(constructor, _as_text([("tokens", tokens), ("model", single)]))


def _as_text(files: list[tuple[str, Path]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(path)) for name, path in files)


def _part(path: Path, name: str) -> Path | None:
    """The file of one part: of 8 bits where there is a choice, which is faster on a CPU."""
    found = sorted(file for file in path.glob("*.onnx") if name in file.name.lower())
    return next((file for file in found if "int8" in file.name), found[0] if found else None)


def _only(path: Path) -> Path | None:
    found = sorted(path.glob("*.onnx"))
    return found[0] if len(found) == 1 else None


def _tokens(path: Path) -> Path:
    tokens = path / "tokens.txt"
    if not tokens.is_file():
        raise ModelFileError(f"{path} is no sherpa-onnx model: it has no tokens.txt")
    try:
        lines = tokens.read_text("utf-8").splitlines()
    except ValueError as error:
        raise ModelFileError(f"{tokens} is not text in UTF-8: get it again") from error
    # "symbol number" on each line; the symbol itself may be a space.
    if not lines or not all(line.rpartition(" ")[2].isdigit() for line in lines if line.strip()):
        raise ModelFileError(f"{tokens} is damaged: each line must be a symbol and its number")
    return tokens


class SherpaEngine(Engine):
    """One model; segments of different streams are decoded in parallel.

    Args:
        model: from `find_model`.
        threads: how many segments at once.
    """

    def __init__(self, model: SherpaModel, *, threads: int) -> None:
        self._model = model
        self._pool = WorkerPool(name="repartee-sherpa", threads=threads)
        self._threads = threads
        self._recogniser: Any = None

    def pool(self) -> WorkerPool:
        """Of all streams."""
        return self._pool

    def begin(
        self, pool: WorkerPool, retry: Callable[[], object], memory: dict[str, Any]
    ) -> Recogniser | None:
        """Begin a segment; loads the model the first time."""
        return _Segment(self.load())

    def forget(self, pool: WorkerPool, retry: Callable[[], object]) -> None:
        """Nothing waits here."""

    async def prewarm(self) -> None:
        """Load the model."""
        await self._pool.run(self.load)

    def load(self) -> Any:
        """The recogniser. Two threads that come first at once load it twice, and one copy is dropped."""
        if self._recogniser is None:
            _rehearse(self._model)
            self._recogniser = _make(self._model.constructor, dict(self._model.files))
        return self._recogniser


def _make(constructor: str, files: dict[str, str]) -> Any:
    import sherpa_onnx

    return getattr(sherpa_onnx.OnlineRecognizer, constructor)(**files, num_threads=1)


def _rehearse(model: SherpaModel) -> None:
    """Load the model in a process of its own first.

    Where a model fits its name and is yet wrong, sherpa-onnx calls ``exit``, and that must not be ours.
    """
    call = [sys.executable, "-c", _REHEARSAL, model.constructor, json.dumps(dict(model.files))]
    tried = subprocess.run(call, capture_output=True, check=False)
    if tried.returncode != 0:
        lines = tried.stderr.decode("utf-8", "replace").strip().splitlines() or [f"code {tried.returncode}"]
        raise ModelFileError(f"sherpa-onnx can't load {Path(model.files[0][1]).parent}: {lines[-1]}")


class _Segment(Recogniser):
    def __init__(self, recogniser: Any) -> None:
        self._recogniser = recogniser
        self._stream = recogniser.create_stream()

    def feed(self, pcm: bytes, *, behind: bool) -> str:
        self._accept(pcm)
        return _readable(self._recogniser.get_result(self._stream))

    def finish(self) -> Result:
        self._accept(bytes(2 * RATE * TAIL_MS // 1000))
        self._stream.input_finished()
        self._decode()
        found = self._recogniser.get_result_all(self._stream)
        text = _readable(found.text.strip())
        words = _words(found.tokens, found.timestamps)
        scores = list(getattr(found, "ys_probs", ()))
        confidence = min(1.0, math.exp(sum(scores) / len(scores))) if scores else None
        return Result(text, confidence, words if " ".join(w.text for w in words) == text else ())

    def abort(self) -> None:
        self._stream = None

    def _accept(self, pcm: bytes) -> None:
        import numpy as np

        self._stream.accept_waveform(RATE, np.frombuffer(pcm, "<i2").astype(np.float32) / 32768)
        self._decode()

    def _decode(self) -> None:
        while self._recogniser.is_ready(self._stream):
            self._recogniser.decode_stream(self._stream)


def _readable(text: str) -> str:
    """Models trained on upper case only are put into lower case, as other recognisers give it."""
    return text.lower() if text.isupper() else text


def _words(tokens: list[str], timestamps: list[float]) -> tuple[RecognisedWord, ...]:
    """Words from pieces of words; a new one begins with a space or U+2581. A word ends where the next begins."""
    starts: list[tuple[str, float]] = []
    for token, at in zip(tokens, timestamps, strict=False):
        piece = token.replace("\u2581", " ")
        if piece.startswith(" ") or not starts:
            starts.append((piece.strip(), at))
        else:
            starts[-1] = (starts[-1][0] + piece, starts[-1][1])
    if not starts:
        return ()
    ends = [*(at for _, at in starts[1:]), timestamps[-1] + 0.2]
    return tuple(
        RecognisedWord(_readable(text), round(at * RATE), round(end * RATE))
        for (text, at), end in zip(starts, ends, strict=True)
        if text
    )
