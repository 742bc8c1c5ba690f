"""A Piper voice: an ``.onnx`` file with its ``.onnx.json``, spoken by the package piper-tts (extra ``piper``).

The package gives one chunk for each sentence; a synthesis that is closed ends after the sentence under way. Words
get times where the voice tells how long each phoneme takes: a voice patched for that, or any usual one when the
package ``onnx`` is there to patch it in memory.
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from repartee.audio.frame import check_sample_rate
from repartee.errors import AudioFormatError, ConfigurationError, MissingDependencyError, ModelFileError
from repartee.models import TimedWord, TTSCapabilities
from repartee.plugins.local.speakable import word_spans
from repartee.plugins.local.voices import Emit, LocalVoice

__all__ = ["PiperVoice", "check_onnx", "sentences", "words_of_groups"]

_SENTENCE_GAP = re.compile(r"(?<=[^\s.]{2}[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])")
_ABBREVIATION = re.compile(r"\b(?:dr|mr|mrs|ms|prof|sr|jr|st|vs|no|e\.g|i\.e)\.\s+$", re.IGNORECASE)
_OTHER_KINDS = (
    (b"version https://git-lfs", "a Git LFS pointer: the file itself was never fetched"),
    (b"GGUF", "a GGUF language model"),
    (b"PK\x03\x04", "a zip archive or a PyTorch checkpoint"),
    (b"RIFF", "a WAV file"),
    (b"<", "a web page (a download that went wrong?)"),
    (b"{", "a JSON file"),
)


def check_onnx(path: Path) -> Path:
    """The ONNX file that is meant by a path: itself, or the only one in that directory.

    Raises:
        ModelFileError: it is missing, or of another kind (which one, where that can be told).
    """
    if path.is_dir():
        found = sorted(path.glob("*.onnx"))
        if len(found) != 1:
            raise ModelFileError(
                f"the directory {path} holds {len(found)} .onnx files: give the path of the voice's own file"
            )
        path = found[0]
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError as error:
        raise ModelFileError(
            f"the voice file {path} can't be read ({error.strerror or error}); give the path of a Piper or Kokoro "
            "voice (.onnx), or the name of an eSpeak NG voice such as 'en-us'"
        ) from None
    kind = next((kind for magic, kind in _OTHER_KINDS if head.startswith(magic)), None)
    if kind is None and not head:
        kind = "empty"
    # An ONNX file is a protobuf message whose first field is nearly always ir_version (field 1, a varint).
    if kind is None and head[0] != 0x08:
        kind = "not an ONNX model"
    if kind is not None:
        raise ModelFileError(
            f"the voice file {path} is {kind}; a Piper or Kokoro voice is an ONNX model (.onnx)"
        )
    return path


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence that has something to say."""
    start = 0
    for end in [*(match.end() for match in _SENTENCE_GAP.finditer(text)), len(text)]:
        piece = text[start:end]
        last = end == len(text)
        if any(char.isalnum() for char in piece) and (last or not _ABBREVIATION.search(piece)):
            yield start, end
            start = end


def words_of_groups(text: str, phonemes: Iterable[tuple[str, float]]) -> list[TimedWord]:
    """Words of a sentence from its timed phonemes.

    Phonemes fall into groups between spaces. Where there are as many groups as words, each group is a word; where
    not (a number that is said as several words, two words said as one), no time is invented.

    Args:
        text: the sentence.
        phonemes: each phoneme and when it begins, in ms.
    """
    starts: list[float] = []
    fresh = True
    for phoneme, start_ms in phonemes:
        if not phoneme.strip():
            fresh = True
        elif fresh and any(char.isalpha() for char in phoneme):
            starts.append(start_ms)
            fresh = False
    spans = [span for span in word_spans(text) if any(char.isalnum() for char in text[span[0] : span[1]])]
    if len(spans) != len(starts):
        return []
    return [TimedWord(start, end, at) for (start, end), at in zip(spans, starts, strict=True)]


@dataclass(slots=True)
class _Engine:
    """What all speakers of a voice share."""

    engine: Any = None
    timed: bool = False
    options: dict[str, Any] = field(default_factory=dict)


class PiperVoice(LocalVoice):
    """A Piper voice.

    Args:
        path: of the ``.onnx`` file; its ``.onnx.json`` lies beside it.
        speaker: name or number, of a voice with several. Default: the voice's first.
        speed: 1 is the voice's own.
        volume: 1 is full scale.

    Raises:
        ModelFileError, ConfigurationError, MissingDependencyError: as `repartee.plugins.local.TTS`.
    """

    def __init__(self, path: Path, *, speaker: str | int | None, speed: float, volume: float) -> None:
        config = _read_config(path)
        rate = config["audio"]["sample_rate"]
        self.name = f"piper {path.stem}"
        language = str(
            config.get("language", {}).get("code") or config.get("espeak", {}).get("voice") or "en"
        )
        self._speakers = _speakers(config)
        self._speaker = _speaker_number(config, speaker, path)
        own = [name for name, number in self._speakers.items() if number == (self._speaker or 0)]
        names = tuple(dict.fromkeys((*own[:1], *self._speakers)))
        self.capabilities = TTSCapabilities(rate, False, 3, (language.replace("_", "-"),), names)
        if importlib.util.find_spec("piper") is None:
            raise MissingDependencyError("a Piper voice", package="piper-tts", extra="piper")
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="repartee-piper")
        self._path = path
        self._length_scale = float(config.get("inference", {}).get("length_scale", 1.0)) / speed
        self._volume = volume
        self._shared = _Engine()

    def with_speaker(self, name: str) -> PiperVoice:
        """Another of the voice's speakers, by the same engine.

        Raises:
            ConfigurationError: it has no such speaker.
        """
        if name not in self._speakers:
            raise _no_such_speaker(self._path, name, self._speakers)
        other = copy.copy(self)
        other._speaker = self._speakers[name]
        other.name = f"{self.name} {name}"
        return other

    def load(self) -> None:
        shared = self._shared
        if shared.engine is None:
            self._load(shared)
        self.capabilities = replace(self.capabilities, word_times=shared.timed)

    def _load(self, shared: _Engine) -> None:
        import piper

        options: dict[str, Any] = {}
        can_patch = "include_alignments" in inspect.signature(piper.PiperVoice.load).parameters
        if can_patch and importlib.util.find_spec("onnx") is not None:
            options["include_alignments"] = True
        try:
            engine = piper.PiperVoice.load(self._path, **options)
        except Exception as error:  # whatever the runtime raises for a broken file
            raise ModelFileError(
                f"the Piper voice {self._path} can't be loaded, so it is truncated or no Piper voice: {error}"
            ) from error
        if "include_alignments" in inspect.signature(engine.synthesize).parameters:
            shared.options["include_alignments"] = True
        shared.timed = bool(shared.options) and len(engine.session.get_outputs()) > 1
        shared.engine = engine

    def speak(self, text: str, *, first: bool, last: bool, emit: Emit) -> None:
        import piper

        self.load()
        shared = self._shared
        manner = piper.SynthesisConfig(
            speaker_id=self._speaker, length_scale=self._length_scale, volume=min(1.0, self._volume)
        )
        given_ms = 0.0
        for start, end in sentences(text):
            sentence = text[start:end]
            # Double brackets would be read as raw phonemes.
            said = sentence.replace("[[", "  ").replace("]]", "  ")
            for number, chunk in enumerate(shared.engine.synthesize(said, manner, **shared.options)):
                words = _words(sentence, chunk) if number == 0 else []
                shifted = [
                    TimedWord(w.text_start + start, w.text_end + start, w.start_ms + given_ms) for w in words
                ]
                audio = chunk.audio_int16_bytes
                given_ms += len(audio) / 2 / self.capabilities.sample_rate * 1000
                if audio and not emit(audio, shifted):
                    return

    def close(self) -> None:
        self.executor.shutdown(wait=False, cancel_futures=True)


def _words(sentence: str, chunk: Any) -> list[TimedWord]:
    alignments = getattr(chunk, "phoneme_alignments", None)
    if not alignments:
        return []
    timed: list[tuple[str, float]] = []
    samples = 0
    for alignment in alignments:
        mark = alignment.phoneme in ("^", "$", "_")  # begin, end and padding say nothing
        timed.append(("" if mark else alignment.phoneme, samples * 1000 / chunk.sample_rate))
        samples += int(alignment.num_samples)
    # "" would part words as a space does; only a real space may.
    return words_of_groups(sentence, [(phoneme, at) for phoneme, at in timed if phoneme])


def _read_config(path: Path) -> dict[str, Any]:
    beside = path.with_name(path.name + ".json")
    try:
        config = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelFileError(
            f"the Piper voice {path} needs its description {beside.name} beside it: get both files of the voice "
            "(for a Kokoro model, give voices=...)"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{beside} is no description of a Piper voice: {error}") from None
    try:
        check_sample_rate(config["audio"]["sample_rate"])
        complete = isinstance(config["phoneme_id_map"], dict) and int(config["num_speakers"]) >= 1
        complete = complete and "voice" in config["espeak"] and int(config["num_symbols"]) >= 1
    except (KeyError, TypeError, ValueError, AudioFormatError) as error:
        raise ModelFileError(f"{beside} is no description of a Piper voice ({error!r})") from None
    if not complete:
        raise ModelFileError(f"{beside} is no description of a Piper voice: its phoneme_id_map is missing")
    found: dict[str, Any] = config
    return found


def _speaker_number(config: dict[str, Any], speaker: str | int | None, path: Path) -> int | None:
    if speaker is None:
        return None
    names = _speakers(config)
    if isinstance(speaker, int) and 0 <= speaker < int(config["num_speakers"]):
        return speaker
    if speaker in names:
        return names[str(speaker)]
    raise _no_such_speaker(path, speaker, names)


def _speakers(config: dict[str, Any]) -> dict[str, int]:
    """Names and numbers; none, if there is but one speaker."""
    count = int(config["num_speakers"])
    named = {str(name): int(number) for name, number in (config.get("speaker_id_map") or {}).items()}
    return named or ({str(number): number for number in range(count)} if count > 1 else {})


def _no_such_speaker(path: Path, speaker: str | int, names: Mapping[str, int]) -> ConfigurationError:
    some = list(names)
    known = ", ".join(some[:10]) + (", …" if len(some) > 10 else "") if some else "one, without a name"
    return ConfigurationError(f"the voice {path.name} has no speaker {speaker!r}; it has {known}")
