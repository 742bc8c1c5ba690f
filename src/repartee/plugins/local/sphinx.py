"""PocketSphinx as an engine of `repartee.plugins.local.recognition`: decoders that many streams share.

Decoders are grouped in *shards* of one thread each. A language model is shared by the decoders of a shard and by
no others: it is not safe to use from two threads at once (it keeps the scores of the last history; two threads
give each other wrong ones), and a copy for each decoder would cost 70 MB. So a stream stays on the shard where
the fewest streams were when it opened. A shard loads with its first segment: about 0.3 s and 90 MB, each further
decoder 0.3 s and 20 MB. What belongs to a shard is touched by its thread only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from repartee.errors import ModelFileError
from repartee.inference import WorkerPool
from repartee.plugins.local import pocketsphinx_ffi as ffi
from repartee.plugins.local.recognition import RATE, Engine, RecognisedWord, Recogniser, Result

__all__ = ["SphinxEngine", "SphinxModel", "find_model"]

SHARDS_MAX: Final = 4
"""Most threads that are used unless told otherwise: each costs a language model of 70 MB."""


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
    return SphinxModel(*(path for _, path in files))


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
        self.waiting: deque[Callable[[], object]] = deque()
        self.made = 0
        self._model = model
        self._decoders_max = decoders_max
        self._idle: list[ffi.Decoder] = []
        self._language_model: ffi.LanguageModel | None = None

    def take(self, retry: Callable[[], object]) -> ffi.Decoder | None:
        if self._idle:
            return self._idle.pop()
        if self.made < self._decoders_max:
            return self._make()
        if retry not in self.waiting:
            self.waiting.append(retry)
        return None

    def give_back(self, decoder: ffi.Decoder) -> None:
        self._idle.append(decoder)
        if self.waiting:
            self.waiting.popleft()()

    def drop(self) -> None:
        """A decoder failed and is not used again."""
        self.made -= 1
        if self.waiting:
            self.waiting.popleft()()

    def prewarm(self) -> None:
        if not self.made:
            self._idle.append(self._make())

    def _make(self) -> ffi.Decoder:
        model, config = self._model, self._model.config()
        shared_lm = self._language_model
        if model.grammar is None and shared_lm is None:
            config["lm"] = str(model.language_model)
        library = ffi.load_library()
        assert library is not None
        decoder = ffi.Decoder(
            library, config, language_model=shared_lm, grammar=model.grammar, words=dict(model.words)
        )
        if model.grammar is None and shared_lm is None:
            self._language_model = decoder.language_model()
        self.made += 1
        return decoder


class _Segment(Recogniser):
    """An utterance on a decoder of a shard."""

    def __init__(self, shard: _Shard, decoder: ffi.Decoder, memory: dict[str, Any]) -> None:
        self._shard = shard
        self._decoder = decoder
        self._memory = memory
        try:
            mean = memory.get("cmn") or memory.setdefault("cmn", decoder.cmn())
            decoder.set_cmn(mean)
            decoder.start()
        except Exception:
            shard.drop()
            raise

    def feed(self, pcm: bytes, *, behind: bool) -> str:
        self._decoder.feed(pcm)
        return self._decoder.text()

    def finish(self) -> Result:
        found = self._decoder.finish()
        self._memory["cmn"] = self._decoder.cmn()
        self._shard.give_back(self._decoder)
        samples = RATE * ffi.FRAME_MS // 1000
        words = tuple(
            RecognisedWord(s.word, s.start_frame * samples, s.end_frame * samples, s.probability)
            for s in found.segments
        )
        confidence = sum(w.probability for w in found.segments) / len(words) if words else None
        return Result(" ".join(w.text for w in words), confidence, words)

    def abort(self) -> None:
        self._decoder.finish()
        self._shard.give_back(self._decoder)
