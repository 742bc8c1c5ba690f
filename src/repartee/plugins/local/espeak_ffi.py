"""eSpeak NG by ctypes: the engine as it is, one for the process.

What the engine asks of its caller (speak_lib.h of eSpeak NG 1.52):

* It is one machine with global state. `Espeak.speak` holds a lock for the whole of a synthesis, which is short:
  a second of speech takes about a millisecond.
* The library's mode is SYNCHRONOUS (2): ``espeak_Synth`` calls back with blocks of about 60 ms and returns at the
  end. Mode 1 would return at once and speak later.
* A callback that returns 1 stops the synthesis at once, and the engine stays usable.
* Text positions count characters (not bytes) of the text, from 1.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repartee.errors import MissingDependencyError, ModelError, ModelFileError

__all__ = ["Espeak", "EspeakSettings", "WordMark", "espeak"]

_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_END_PAUSE = 0x1000
_EVENT_LIST_END = 0
_EVENT_WORD = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
# The engine keeps its path in a buffer of fixed size and cuts off what is longer (N_PATH_HOME in its source).
_MAX_DATA_PATH = 159


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),  # (priority byte, C string) repeated, then a 0 byte
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True, slots=True)
class EspeakSettings:
    """How it speaks."""

    voice: str = "en-us+f2"
    """A language or voice (``"en-us"``, ``"de"``, ``"en-gb"``), with a variant where wanted (``"en-us+f3"``)."""
    rate_wpm: int = 160
    """Words a minute, 80 to 450."""
    pitch: int = 40
    """0 to 99."""
    pitch_range: int = 50
    """0 (monotone) to 99."""
    volume: int = 100
    """0 to 200; beyond 100 it may clip."""


@dataclass(frozen=True, slots=True)
class WordMark:
    """The engine began a word: its first character's index in the text, and the sample where it begins."""

    text_index: int
    sample: int


class Espeak:
    """The engine. Use `espeak` to get the process's one.

    Raises:
        MissingDependencyError: the package espeakng-loader, or its library for this platform, is missing.
        ModelFileError: the engine can't read its data.
    """

    sample_rate: int

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings: EspeakSettings | None = None
        library, data = _locate()
        self._lib = _load(library)
        if len(data.encode()) > _MAX_DATA_PATH:
            raise ModelFileError(
                f"eSpeak NG can't read its data from {data!r}: the path has more than {_MAX_DATA_PATH} bytes; "
                "install it into a directory with a shorter path"
            )
        rate = self._lib.espeak_Initialize(_SYNCHRONOUS, 60, data.encode(), _DONT_EXIT)
        if rate <= 0:
            raise ModelFileError(
                f"eSpeak NG found no usable data in {data!r}: reinstall the package 'espeakng-loader'"
            )
        self.sample_rate = rate
        # The function lives as long as the engine: the library keeps only its address.
        self._callback = _Callback(self._on_block)
        self._sink: Callable[[bytes, list[WordMark]], bool] | None = None
        self._failure: BaseException | None = None
        self._lib.espeak_SetSynthCallback(self._callback)
        self._voices = self._read_voices()
        self._variants = {path.name for path in Path(data, "voices", "!v").glob("*")}

    def languages_of(self, voice: str) -> tuple[str, ...]:
        """The languages of a voice; empty if there is no such voice or variant."""
        name, _, variant = voice.partition("+")
        if variant and variant not in self._variants:
            return ()
        found = self._voices.get(name.lower())
        return found[1] if found else ()

    def voices(self) -> list[str]:
        """Every language code and voice name, sorted."""
        return sorted(self._voices)

    def speak(
        self, text: str, settings: EspeakSettings, sink: Callable[[bytes, list[WordMark]], bool]
    ) -> None:
        """Synthesize, in the calling thread; blocks until the end.

        Args:
            text: without NUL. Markup has no meaning in it.
            settings: voice and manner.
            sink: takes each block of PCM16 (possibly empty) with the marks announced so far; returns whether to
                go on.

        Raises:
            ModelError: the engine refused. What ``sink`` raises passes through.
        """
        data = text.encode("utf-8", "replace")
        with self._lock:
            self._set(settings)
            self._sink, self._failure = sink, None
            try:
                error = self._lib.espeak_Synth(
                    data, len(data) + 1, 0, 1, 0, _CHARS_UTF8 | _END_PAUSE, None, None
                )
                failure = self._failure
            finally:
                self._sink = self._failure = None
        if failure is not None:
            raise failure
        if error:
            raise ModelError(f"eSpeak NG failed with code {error}", stage="tts", provider="local")

    def _on_block(self, samples: Any, count: int, events: Any) -> int:
        sink = self._sink
        if sink is None:
            return 1
        try:
            marks: list[WordMark] = []
            at = 0
            while (event := events[at]).type != _EVENT_LIST_END:
                if event.type == _EVENT_WORD:
                    marks.append(WordMark(event.text_position - 1, event.sample))
                at += 1
            block = ctypes.string_at(samples, 2 * count) if samples and count > 0 else b""
            return 0 if sink(block, marks) else 1
        except BaseException as error:  # it must not unwind through C; `speak` raises it again
            self._failure = error
            return 1

    def _set(self, settings: EspeakSettings) -> None:
        before = self._settings
        if settings == before:
            return
        self._settings = None
        if before is None or settings.voice != before.voice:
            name, plus, variant = settings.voice.partition("+")
            found = self._voices.get(name.lower())
            identifier = (found[0] if found else name) + plus + variant
            if self._lib.espeak_SetVoiceByName(identifier.encode()):
                raise ModelError(
                    f"eSpeak NG has no voice {settings.voice!r}",
                    stage="tts",
                    provider="local",
                    recoverable=False,
                )
        for parameter, value in (
            (_RATE, settings.rate_wpm),
            (_VOLUME, settings.volume),
            (_PITCH, settings.pitch),
            (_RANGE, settings.pitch_range),
        ):
            self._lib.espeak_SetParameter(parameter, value, 0)
        self._settings = settings

    def _read_voices(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """From each language code, name and identifier to the identifier and languages."""
        table: dict[str, tuple[int, str, tuple[str, ...]]] = {}
        listed = self._lib.espeak_ListVoices(None)
        at = 0
        while listed[at]:
            voice = listed[at].contents
            at += 1
            identifier = voice.identifier.decode()
            languages = _languages(voice.languages)
            keys = [(language, priority) for priority, language in languages]
            keys += [(voice.name.decode().lower(), 0), (identifier.lower(), 0)]
            entry = tuple(language for _, language in languages)
            for key, priority in keys:
                if key not in table or priority < table[key][0]:
                    table[key] = (priority, identifier, entry)
        return {key: (identifier, languages) for key, (_, identifier, languages) in table.items()}


def _languages(address: int | None) -> list[tuple[int, str]]:
    """Read the engine's list: a priority byte and a C string, repeated until a priority of 0."""
    found: list[tuple[int, str]] = []
    while address:
        priority = ctypes.c_ubyte.from_address(address).value
        if not priority:
            break
        name = ctypes.string_at(address + 1)
        found.append((priority, name.decode()))
        address += len(name) + 2
    return found


def _locate() -> tuple[str, str]:
    try:
        import espeakng_loader
    except ImportError as error:
        raise MissingDependencyError("the local voice", package="espeakng-loader", extra="local") from error
    try:
        return str(espeakng_loader.get_library_path()), str(espeakng_loader.get_data_path())
    except RuntimeError as error:
        raise ModelFileError(f"espeakng-loader is incomplete ({error}): reinstall it") from error


def _load(path: str) -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL(path)
    except OSError as error:
        raise MissingDependencyError(
            "the local voice",
            package="espeakng-loader",
            extra="local",
            detail=f"its library can't be loaded: {error}",
        ) from error
    lib.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    lib.espeak_SetSynthCallback.argtypes = [_Callback]
    lib.espeak_SetSynthCallback.restype = None
    lib.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    lib.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
    lib.espeak_ListVoices.argtypes = [ctypes.c_void_p]
    lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    lib.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    return lib


_engine: Espeak | None = None
_engine_lock = threading.Lock()


def espeak() -> Espeak:
    """The process's engine; starting it takes about 5 ms, once."""
    global _engine
    with _engine_lock:
        if _engine is None:
            _engine = Espeak()
        return _engine
