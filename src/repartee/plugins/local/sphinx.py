"""PocketSphinx as an engine of `repartee.plugins.local.recognition`: decoders that many streams share.

Decoders are grouped in *shards* of one thread each. A language model is shared by the decoders of a shard and by
no others: it is not safe to use from two threads at once (it keeps the scores of the last history; two threads
give each other wrong ones), and a copy for each decoder would cost 70 MB. So a stream stays on the shard where
the fewest streams were when it opened. A shard loads with its first segment: about 0.3 s and 90 MB, each further
decoder 0.3 s and 20 MB. What belongs to a shard is touched by its thread only.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from repartee.errors import ModelFileError
from repartee.inference import WorkerPool
from repartee.plugins.local import pocketsphinx_ffi as ffi
from repartee.plugins.local.recognition import RATE, Engine, RecognisedWord, Recogniser, Result

__all__ = ["SphinxEngine", "SphinxModel", "find_model"]

UTTERANCE_MS: Final = 20_000
"""An utterance this long is ended in the next pause: the decoder's search grows with it."""
UTTERANCE_MAX_MS: Final = 40_000
"""And at this length anyway."""
LEVEL_MS: Final = 20
PROMINENCE_DB: Final = 6.0
"""A word must be louder than the segment's background by this, somewhere."""
CONFIDENCE_MIN: Final = 0.1
"""A segment whose words have a mean posterior below this is taken for a noise (a knock, a cough)."""
SHARDS_MAX: Final = 4
"""Most threads that are used unless told otherwise: each costs a language model of 70 MB."""


class Decoder(Protocol):
    """What `pocketsphinx_ffi.Decoder` and `sphinx_process.ProcessDecoder` have in common."""

    def start(self) -> None:
        """Begin an utterance."""

    def feed(self, pcm: bytes) -> None:
        """Decode more of it: PCM16 of 16 kHz."""

    def text(self) -> str:
        """What was said so far."""

    def finish(self) -> ffi.Hypothesis:
        """End the utterance."""

    def cmn(self) -> str:
        """The cepstral mean."""

    def set_cmn(self, mean: str) -> None:
        """Set the cepstral mean, between utterances."""

    def close(self) -> None:
        """Free it."""


@dataclass(frozen=True, slots=True)
class SphinxModel:
    """Which files, and what to listen for."""

    acoustic: Path
    dictionary: Path
    language_model: Path | None
    grammar: str | None = None
    words: tuple[tuple[str, str], ...] = ()

    def config(self) -> dict[str, str | int | float | bool]:
        """PocketSphinx's parameters, without the language model."""
        return {
            "hmm": str(self.acoustic),
            "dict": str(self.dictionary),
            "fwdflat": False,  # a second pass that costs 50 ms at the end of a turn and wins nothing (WER)
        }


def find_model(model: str | Path | None, dictionary: str | Path | None, lm: str | Path | None) -> SphinxModel:
    """The files of a model: the one in the package, or a directory with ``mdef`` and its neighbours.

    Raises:
        MissingDependencyError: the package is not there.
        ModelFileError: a file is missing.
    """
    package = ffi.package_directory() / "model" / "en-us"
    if model is None or str(model) == "en-us":
        acoustic = package / "en-us"
        found_dictionary, found_lm = package / "cmudict-en-us.dict", package / "en-us.lm.bin"
    else:
        acoustic = Path(model).expanduser()
        for name in ("mdef", "means", "variances", "transition_matrices"):
            if not (acoustic / name).is_file():
                raise ModelFileError(f"{acoustic} is no PocketSphinx acoustic model: it has no file {name!r}")
        found_dictionary = _only(acoustic, ("*.dict", "*.dic")) or package / "cmudict-en-us.dict"
        found_lm = _only(acoustic, ("*.lm.bin", "*.lm", "*.lm.gz")) or package / "en-us.lm.bin"
    files = [
        ("acoustic model", acoustic),
        ("dictionary", Path(dictionary).expanduser() if dictionary is not None else found_dictionary),
        ("language model", Path(lm).expanduser() if lm is not None else found_lm),
    ]
    for what, path in files:
        if not path.exists():
            raise ModelFileError(f"the {what} {path} does not exist")
    return SphinxModel(files[0][1], files[1][1], files[2][1])


def _only(directory: Path, patterns: tuple[str, ...]) -> Path | None:
    for pattern in patterns:
        for place in (directory, directory.parent):
            found = sorted(place.glob(pattern))
            if len(found) == 1:
                return found[0]
    return None


class SphinxEngine(Engine):
    """Decoders of one `SphinxModel`.

    Args:
        model: what to load.
        threads: how many segments are decoded at once.
        decoders_max: how many segments can be open at once; more wait for one to end.
    """

    def __init__(self, model: SphinxModel, *, threads: int, decoders_max: int) -> None:
        self.model = model
        self._decoders_max = decoders_max
        share = -(-decoders_max // threads)
        self._shards = [_Shard(model, number, share) for number in range(threads)]

    def pool(self) -> WorkerPool:
        """Of the shard with the fewest streams."""
        return min(self._shards, key=lambda shard: shard.pool.statistics().lanes).pool

    def begin(
        self, pool: WorkerPool, retry: Callable[[], object], memory: dict[str, Any]
    ) -> Recogniser | None:
        """Take a decoder, or make one; None if the shard has as many as it may, and all are busy."""
        shard = self._shard(pool)
        decoder = shard.take(retry)
        return _Segment(shard, decoder, memory) if decoder is not None else None

    def forget(self, pool: WorkerPool, retry: Callable[[], object]) -> None:
        """Don't keep a decoder for that stream."""
        waiting = self._shard(pool).waiting
        if retry in waiting:
            waiting.remove(retry)

    async def prewarm(self) -> None:
        """Load the first shard and one decoder."""
        shard = self._shards[0]
        await shard.pool.run(shard.prewarm)

    def busy(self) -> str:
        """The bound, and how to raise it."""
        made = sum(shard.made for shard in self._shards)
        if made < self._decoders_max:
            return "this machine is too slow for so many speakers at once"
        return (
            f"all {self._decoders_max} decoders are busy; local.STT(max_decoders=…) allows more, 20 MB each"
        )

    def _shard(self, pool: WorkerPool) -> _Shard:
        return next(shard for shard in self._shards if shard.pool is pool)


class _Shard:
    """The decoders of one thread."""

    def __init__(self, model: SphinxModel, number: int, decoders_max: int) -> None:
        self.pool = WorkerPool(name=f"repartee-stt-{number}", threads=1)
        self.waiting: deque[Callable[[], object]] = deque()  # bounded by the open streams: each is in it once
        self.made = 0
        self._model = model
        self._decoders_max = decoders_max
        self._idle: list[Decoder] = []
        self._language_model: ffi.LanguageModel | None = None

    def take(self, retry: Callable[[], object]) -> Decoder | None:
        if self._idle:
            return self._idle.pop()
        if self.made < self._decoders_max:
            return self._make()
        if retry not in self.waiting:
            self.waiting.append(retry)
        return None

    def give_back(self, decoder: Decoder) -> None:
        self._idle.append(decoder)
        if self.waiting:
            self.waiting.popleft()()

    def drop(self, decoder: Decoder) -> None:
        """It failed and is not used again."""
        decoder.close()
        self.made -= 1
        if self.waiting:
            self.waiting.popleft()()

    def prewarm(self) -> None:
        if not self.made:
            self._idle.append(self._make())

    def _make(self) -> Decoder:
        model, config = self._model, self._model.config()
        library = ffi.load_library()
        lm = self._language_model
        if model.grammar is None and lm is None:
            config["lm"] = str(model.language_model)
        words = dict(model.words)
        decoder: Decoder
        if library is None:
            from repartee.plugins.local.sphinx_process import ProcessDecoder

            decoder = ProcessDecoder(config, grammar=model.grammar, words=words)
        else:
            made = ffi.Decoder(library, config, language_model=lm, grammar=model.grammar, words=words)
            if model.grammar is None and lm is None:
                self._language_model = made.language_model()
            decoder = made
        self.made += 1
        return decoder


class _Segment(Recogniser):
    """What one speaker says until the flush: one utterance on a decoder, or several in a row if it is very long."""

    def __init__(self, shard: _Shard, decoder: Decoder, memory: dict[str, Any]) -> None:
        self._shard = shard
        self._decoder: Decoder | None = decoder
        self._memory = memory
        self._words: list[RecognisedWord] = []  # of the utterances before
        self._offset = 0  # where the open utterance began, in samples
        self._samples = 0
        self._levels = _Levels()
        with self._guarded():
            decoder.set_cmn(memory.get("cmn") or memory.setdefault("cmn", decoder.cmn()))
            decoder.start()

    def feed(self, pcm: bytes, *, behind: bool) -> str:
        with self._guarded() as decoder:
            decoder.feed(pcm)
            self._samples += len(pcm) // 2
            self._levels.take(pcm)
            length_ms = (self._samples - self._offset) * 1000 // RATE
            if length_ms >= UTTERANCE_MS and (self._levels.is_quiet() or length_ms >= UTTERANCE_MAX_MS):
                self._end_utterance(decoder)
                decoder.start()
            text = decoder.text()
        if text and not self._levels.have_speech():
            text = ""
        return " ".join([*(w.text for w in self._words), text] if text else (w.text for w in self._words))

    def finish(self) -> Result:
        with self._guarded() as decoder:
            self._end_utterance(decoder)
            self._memory["cmn"] = decoder.cmn()
            self._decoder = None
            self._shard.give_back(decoder)
        # What the search makes of steady noise is a word or two, and it is very sure of them: confidence can't
        # tell, the level can.
        words = tuple(w for w in self._words if self._levels.stands_out(w.start_samples, w.end_samples))
        confidence = sum(w.confidence or 0.0 for w in words) / len(words) if words else 0.0
        if confidence < CONFIDENCE_MIN:
            return Result()
        return Result(" ".join(w.text for w in words), confidence, words)

    def abort(self) -> None:
        if self._decoder is not None:
            with self._guarded() as decoder:
                decoder.finish()
                self._decoder = None
                self._shard.give_back(decoder)

    def _end_utterance(self, decoder: Decoder) -> None:
        samples = RATE * ffi.FRAME_MS // 1000
        for found in decoder.finish().segments:
            start, end = (self._offset + frame * samples for frame in (found.start_frame, found.end_frame))
            self._words.append(RecognisedWord(found.word, start, min(end, self._samples), found.probability))
        self._offset = self._samples

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[Decoder]:
        """The decoder; one that fails is not given to anybody else."""
        decoder = self._decoder
        if decoder is None:
            raise RuntimeError("this segment has ended")
        try:
            yield decoder
        except Exception:
            self._decoder = None
            self._shard.drop(decoder)
            raise


class _Levels:
    """How loud a segment is, every `LEVEL_MS`."""

    def __init__(self) -> None:
        self._rest = b""
        self._db: list[float] = []  # RMS, in dB over one quantisation step
        self._sure = False

    def take(self, pcm: bytes) -> None:
        """More of the segment: PCM16 of 16 kHz."""
        import numpy as np

        data = self._rest + pcm
        size = 2 * RATE * LEVEL_MS // 1000
        whole = len(data) // size * size
        self._rest = data[whole:]
        if whole:
            frames = np.frombuffer(data[:whole], "<i2").reshape(-1, size // 2).astype(np.float32)
            power = np.einsum("ij,ij->i", frames, frames) / (size // 2)
            self._db += (10 * np.log10(power + 1)).tolist()

    def have_speech(self) -> bool:
        """Whether anything so far was louder than the background."""
        if not self._sure and self._db:
            self._sure = max(self._db) >= self._background() + PROMINENCE_DB
        return self._sure

    def stands_out(self, start: int, stop: int) -> bool:
        """Whether samples ``start`` to ``stop`` of the segment are louder somewhere than the background."""
        frame = RATE * LEVEL_MS // 1000
        levels = self._db[start // frame : -(-stop // frame)]
        return bool(levels) and max(levels) >= self._background() + PROMINENCE_DB

    def is_quiet(self) -> bool:
        """Whether the last 100 ms are hardly louder than the background."""
        return max(self._db[-100 // LEVEL_MS :], default=0.0) < self._background() + PROMINENCE_DB

    def _background(self) -> float:
        """The level that a tenth of the segment is below."""
        ordered = sorted(self._db)
        return ordered[len(ordered) // 10] if ordered else 0.0
