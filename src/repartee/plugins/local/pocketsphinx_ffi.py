"""PocketSphinx through the C functions of its own extension module.

The package's Python API holds the interpreter's lock while it decodes, so it stalls every other thread and two
decoders are slower than one. The same extension module exports the C library (``pocketsphinx.h``); called through
`ctypes` it runs without the lock. Only what `repartee.plugins.local.stt` needs is declared here.

A `Decoder` is not thread-safe: one thread at a time. Neither is a language model: it keeps a cache of the last
history (``lm_trie.c``), so decoders that share one must not run at the same time.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from repartee.errors import MissingDependencyError, ModelFileError

__all__ = [
    "FILLERS",
    "Decoder",
    "Hypothesis",
    "LanguageModel",
    "Segment",
    "load_library",
    "package_directory",
]

FRAME_MS: Final = 10
"""PocketSphinx counts time in frames of this length."""
SAMPLE_RATE: Final = 16_000
_SEARCH: Final = b"repartee"
FILLERS: Final = ("<", "[", "++")  # <s>, <sil>, [NOISE], ++UM++: not words

_p, _i, _s = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_ip = ctypes.POINTER(ctypes.c_int)
_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "ps_config_init": (_p, (_p,)),
    "ps_config_parse_json": (_p, (_p, _s)),
    "ps_config_free": (_i, (_p,)),
    "ps_init": (_p, (_p,)),
    "ps_free": (_i, (_p,)),
    "ps_start_utt": (_i, (_p,)),
    "ps_process_raw": (_i, (_p, _s, ctypes.c_size_t, _i, _i)),
    "ps_end_utt": (_i, (_p,)),
    "ps_get_hyp": (_s, (_p, _ip)),
    "ps_get_prob": (_i, (_p,)),
    "ps_get_n_frames": (_i, (_p,)),
    "ps_seg_iter": (_p, (_p,)),
    "ps_seg_next": (_p, (_p,)),
    "ps_seg_word": (_s, (_p,)),
    "ps_seg_frames": (None, (_p, _ip, _ip)),
    "ps_seg_prob": (_i, (_p, _ip, _ip, _ip)),
    "ps_get_logmath": (_p, (_p,)),
    "logmath_exp": (ctypes.c_double, (_p, _i)),
    "ps_get_cmn": (_s, (_p, _i)),
    "ps_set_cmn": (_i, (_p, _s)),
    "ps_add_word": (_i, (_p, _s, _s, _i)),
    "ps_get_lm": (_p, (_p, _s)),
    "ps_add_lm": (_i, (_p, _s, _p)),
    "ps_add_jsgf_string": (_i, (_p, _s, _s)),
    "ps_activate_search": (_i, (_p, _s)),
    "ngram_model_retain": (_p, (_p,)),
    "ngram_model_free": (_i, (_p,)),
    "err_set_logfile": (_i, (_s,)),
    "err_set_logfp": (None, (_p,)),
    "err_set_loglevel": (_i, (_i,)),
}
_ERR_ERROR: Final = 3  # err_lvl_t: debug, info, warn, error, fatal

_lock = threading.Lock()
_library: ctypes.CDLL | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A word and when it was spoken, in frames of `FRAME_MS` since the utterance began."""

    word: str
    start_frame: int
    end_frame: int
    """The first frame that is not part of it any more."""
    probability: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What an utterance was."""

    text: str
    probability: float
    """Posterior of the whole path: low for long sentences, however right they are."""
    segments: tuple[Segment, ...] = ()


def package_directory() -> Path:
    """Where the package is, found without importing it.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    spec = importlib.util.find_spec("pocketsphinx")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            "local speech recognition",
            package="pocketsphinx",
            extra="local",
            detail="it has no wheel for Python 3.14 and for some platforms: see docs/dependencies.md",
        )
    return Path(spec.submodule_search_locations[0])


def load_library() -> ctypes.CDLL | None:
    """The extension module as a C library; None where it does not export the C functions (Windows)."""
    global _library
    with _lock:
        if _library is None:
            for path in sorted(package_directory().glob("_pocketsphinx*")):
                if path.suffix in (".so", ".pyd"):
                    library = ctypes.CDLL(str(path))
                    if all(hasattr(library, name) for name in _SIGNATURES):
                        _declare(library)
                        _library = library
                        break
        return _library


def _declare(library: ctypes.CDLL) -> None:
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.err_set_loglevel(_ERR_ERROR)
    library.err_set_logfp(None)  # say nothing, but for what `_Complaints` catches


class _Complaints:
    """What the library logs while this is entered. It knows only files to log to, and one for the process."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def __enter__(self) -> _Complaints:
        self._file = tempfile.NamedTemporaryFile(suffix=".log", delete=False)
        self._file.close()
        self._library.err_set_logfile(self._file.name.encode())
        return self

    def __exit__(self, *_: object) -> None:
        self._library.err_set_logfp(None)
        with contextlib.suppress(OSError):
            Path(self._file.name).unlink()

    def text(self) -> str:
        """The messages so far, on one line."""
        lines = Path(self._file.name).read_text("utf-8", "replace").splitlines()
        # ERROR: "file.c", line 12: what it is about
        says = [line.split(": ", 2)[-1].strip() for line in lines if line.startswith(("ERROR", "FATAL"))]
        return " / ".join(says[-4:]) or "it gave no reason"


class LanguageModel:
    """An n-gram model that decoders share: one of 70 MB instead of one for each."""

    def __init__(self, library: ctypes.CDLL, handle: int) -> None:
        self._library = library
        self._handle: int | None = library.ngram_model_retain(handle)

    @property
    def handle(self) -> int:
        """The C pointer."""
        assert self._handle is not None
        return self._handle

    def __del__(self) -> None:
        if self._handle is not None:
            self._library.ngram_model_free(self._handle)
            self._handle = None


class Decoder:
    """One recogniser. Loading takes about 0.3 s and 20 MB, 70 MB more for the first one with a language model.

    Args:
        library: from `load_library`.
        config: PocketSphinx's parameters by name, without the dash.
        language_model: of another decoder, to share; then ``config`` needs no ``lm``. Default: none.
        grammar: JSGF text, to recognise nothing else. Default: none.
        words: pronunciations to add, in the phones of the dictionary: ``{"repartee": "R EH P AA R T IY"}``.

    Raises:
        ModelFileError: the library refused the files, the grammar or a word; says why.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        config: Mapping[str, str | int | float | bool],
        *,
        language_model: LanguageModel | None = None,
        grammar: str | None = None,
        words: Mapping[str, str] | None = None,
    ) -> None:
        self._c = library
        self._decoder: int | None = None  # ps_free takes NULL as well
        # Reference counts and the log are plain globals in the library: one decoder is made at a time.
        with _lock, _Complaints(library) as complaints:
            refused = self._make(config, language_model, grammar, words or {})
            if refused is not None:
                why = complaints.text()
                decoder, self._decoder = self._decoder, None
                library.ps_free(decoder)
                raise ModelFileError(f"PocketSphinx refused {refused}: {why}")
        self._logmath = library.ps_get_logmath(self._decoder)

    def _make(
        self,
        config: Mapping[str, str | int | float | bool],
        language_model: LanguageModel | None,
        grammar: str | None,
        words: Mapping[str, str],
    ) -> str | None:
        """Load everything. Returns what was refused; None if all is well."""
        library = self._c
        settings = library.ps_config_parse_json(None, json.dumps(dict(config)).encode())
        if not settings:
            return f"its parameters {dict(config)}"
        self._decoder = library.ps_init(settings)
        library.ps_config_free(settings)
        if not self._decoder:
            return f"the model {config.get('hmm')}"
        for word, phones in words.items():
            if library.ps_add_word(self._decoder, word.encode(), phones.encode(), 1) < 0:
                return f"the word {word!r} pronounced {phones!r}"
        if grammar is not None:
            if library.ps_add_jsgf_string(self._decoder, _SEARCH, grammar.encode()) < 0:
                return "the grammar"
        elif language_model is not None:
            if library.ps_add_lm(self._decoder, _SEARCH, language_model.handle) < 0:
                return "the language model"
        else:
            return None
        if library.ps_activate_search(self._decoder, _SEARCH) < 0:
            return "to search"
        return None

    def language_model(self) -> LanguageModel | None:
        """The model that it loaded itself, to share; None with a grammar."""
        with _lock:
            handle = self._c.ps_get_lm(self._decoder, None)
            return LanguageModel(self._c, handle) if handle else None

    def start(self) -> None:
        """Begin an utterance."""
        if self._c.ps_start_utt(self._decoder) < 0:
            raise RuntimeError("PocketSphinx can't begin")

    def feed(self, pcm: bytes) -> None:
        """Decode more of the utterance: PCM16 of 16 kHz. Takes about an eighth of its duration."""
        if self._c.ps_process_raw(self._decoder, pcm, len(pcm) // 2, 0, 0) < 0:
            raise RuntimeError("PocketSphinx can't decode")

    def text(self) -> str:
        """What was said so far (or, after `finish`, in all), without fillers. About 15 µs."""
        found = self._c.ps_get_hyp(self._decoder, None)
        return found.decode() if found else ""

    def finish(self) -> Hypothesis:
        """End the utterance."""
        if self._c.ps_end_utt(self._decoder) < 0:
            raise RuntimeError("PocketSphinx can't finish")
        text = self.text()
        if not text:
            return Hypothesis("", 0.0)
        probability = self._c.logmath_exp(self._logmath, self._c.ps_get_prob(self._decoder))
        return Hypothesis(text, min(1.0, probability), tuple(self._segments()))

    def _segments(self) -> list[Segment]:
        found = []
        start, end, unused = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        at = self._c.ps_seg_iter(self._decoder)
        while at:
            word = self._c.ps_seg_word(at).decode()
            if not word.startswith(FILLERS):
                self._c.ps_seg_frames(at, start, end)
                posterior = self._c.logmath_exp(
                    self._logmath, self._c.ps_seg_prob(at, unused, unused, unused)
                )
                word = word.partition("(")[0]  # "read(2)" is the second pronunciation of "read"
                found.append(Segment(word, start.value, end.value + 1, min(1.0, posterior)))
            at = self._c.ps_seg_next(at)  # frees the iterator at the end
        return found

    def cmn(self) -> str:
        """The cepstral mean as it is now: how this speaker and microphone sound."""
        return (self._c.ps_get_cmn(self._decoder, 1) or b"").decode()

    def set_cmn(self, mean: str) -> None:
        """Set the cepstral mean, between utterances; ``mean`` is what `cmn` gave."""
        self._c.ps_set_cmn(self._decoder, mean.encode())

    def close(self) -> None:
        """Free it. Idempotent."""
        with _lock:
            decoder, self._decoder = self._decoder, None
            if decoder is not None:
                self._c.ps_free(decoder)

    def __del__(self) -> None:
        if getattr(self, "_decoder", None) is not None:
            self.close()
