"""Sound files: read whole, read as a stream, and written as WAV while a call goes on.

Reading understands what libsndfile does (WAV, AIFF, FLAC, Ogg, MP3 and more), of any width: 8 to 32 bits,
floating point (clipped at ±1.0, what is not a number becomes 0), µ-law and A-law. Rates are 8 to 96 kHz,
channels up to 8.

All of it blocks on the disk: call it from a thread, or where waiting is fine.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from repartee.audio.frame import MAX_CHANNELS, AudioFrame, check_channels, check_sample_rate
from repartee.audio.frame import MAX_SAMPLE_RATE as MAX_RATE
from repartee.audio.frame import MIN_SAMPLE_RATE as MIN_RATE
from repartee.audio.resample import Resampler
from repartee.errors import AudioFormatError, StateError

if TYPE_CHECKING:
    import numpy.typing as npt

PathLike = str | os.PathLike[str]

_HEADER_BYTES = 44
_MAX_DATA_BYTES = 0xFFFFFFFF - _HEADER_BYTES  # sizes in a RIFF header are 32 bits
# Subtypes whose samples PCM16 holds exactly; all others are read as floating point, so that they are rounded
# and clipped by us (libsndfile neither scales floating point files to integers nor rounds wider ones).
_EXACT_SUBTYPES = frozenset({"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW"})


def read_audio(
    path: PathLike, *, sample_rate: int | None = None, mono: bool = True, max_duration_s: float = 1800.0
) -> AudioFrame:
    """Read a whole sound file.

    Args:
        path: the file.
        sample_rate: resample to this rate, in Hz. Default: the file's own.
        mono: mix all channels down to one. Default: ``True``.
        max_duration_s: refuse longer files, in seconds, since all of it is held in memory (half an hour at 24
            kHz is 86 MB). Default: 1800.

    Returns:
        All samples, from position 0.

    Raises:
        AudioFormatError: no such file, a directory, not a sound file, no samples, longer than
            ``max_duration_s``, or a rate or number of channels outside the range.
    """
    with open_audio(path, sample_rate=sample_rate, mono=mono, frame_ms=1000.0) as reader:
        if reader.duration_s > max_duration_s:
            raise AudioFormatError(
                f"{os.fspath(path)!r} lasts {reader.duration_s:.1f} s, more than the {max_duration_s:g} s "
                "allowed: read it in pieces with open_audio(), or raise max_duration_s"
            )
        data = b"".join(frame.data for frame in reader)
        return AudioFrame(data, reader.sample_rate, reader.channels, 0)


def open_audio(
    path: PathLike, *, sample_rate: int | None = None, mono: bool = True, frame_ms: float = 20.0
) -> AudioReader:
    """Open a sound file to read it as a stream of frames, in memory that doesn't grow with its length.

    ::

        with open_audio("call.flac", sample_rate=16000) as reader:
            for frame in reader:
                ...

    Args:
        path: the file.
        sample_rate: resample to this rate, in Hz. Default: the file's own.
        mono: mix all channels down to one. Default: ``True``.
        frame_ms: about how much to read at once, in milliseconds (in samples of the file, rounded). For
            frames of an exact length push them through a :class:`~repartee.audio.framing.Framer`. Default:
            20.

    Raises:
        AudioFormatError: as :func:`read_audio`, except for long files.
    """
    return AudioReader(path, sample_rate=sample_rate, mono=mono, frame_ms=frame_ms)


class AudioReader:
    """A sound file being read: an iterator of frames and a context manager. Made by :func:`open_audio`.

    Positions begin at 0 and count on without a gap. The frames together hold every sample of the file, or
    ``ceil(samples * sample_rate / source_rate)`` when resampled; the resampler's delay is taken out.
    """

    def __init__(self, path: PathLike, *, sample_rate: int | None, mono: bool, frame_ms: float) -> None:
        if sample_rate is not None:
            check_sample_rate(sample_rate)
        self._name = os.fspath(path)
        self._file = _open_sound_file(self._name)
        try:
            self.source_rate: int = self._file.samplerate
            """The file's rate, in Hz."""
            self.source_channels: int = self._file.channels
            """The file's channels."""
            self.source_samples: int = self._file.frames
            """Samples per channel in the file, as its header says."""
            self._check()
            self.sample_rate: int = sample_rate or self.source_rate
            """Rate of the frames, in Hz."""
            self.channels: int = 1 if mono else self.source_channels
            """Channels of the frames."""
            self._resampler = Resampler(self.source_rate, self.sample_rate, self.channels)
        except BaseException:
            self._file.close()
            raise
        self._block = max(1, round(self.source_rate * frame_ms / 1000))
        self._frames = self._read()

    def _check(self) -> None:
        if not MIN_RATE <= self.source_rate <= MAX_RATE:
            raise AudioFormatError(
                f"{self._name!r} is sampled at {self.source_rate} Hz: convert it to a rate from "
                f"{MIN_RATE} to {MAX_RATE} Hz, for example with 'sox in.wav -r 24000 out.wav'"
            )
        if self.source_channels > MAX_CHANNELS:
            raise AudioFormatError(
                f"{self._name!r} has {self.source_channels} channels: mix it down to {MAX_CHANNELS} or fewer"
            )
        if self.source_samples <= 0:
            raise AudioFormatError(
                f"{self._name!r} is a sound file with no samples in it: record something first"
            )

    @property
    def duration_s(self) -> float:
        """Length of the file in seconds, as its header says."""
        return self.source_samples / self.source_rate

    def __iter__(self) -> Iterator[AudioFrame]:
        return self

    def __next__(self) -> AudioFrame:
        return next(self._frames)

    def close(self) -> None:
        """Close the file; reading on ends as at the end of the file."""
        self._frames.close()
        self._file.close()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> Generator[AudioFrame, None, None]:
        dtype = "int16" if self._file.subtype in _EXACT_SUBTYPES else "float32"
        position = 0
        while True:
            block = self._read_block(dtype)
            if not len(block):
                break
            frame = AudioFrame.from_array(block, self.source_rate, position_samples=position)
            position = frame.end_samples
            out = self._resampler.push(frame.to_mono() if self.channels == 1 else frame)
            out = out.slice(
                max(0, -out.position_samples)
            )  # the filter's lead-in, before the file's beginning
            if out.data:
                yield out
        if not position:
            raise AudioFormatError(
                f"{self._name!r} has a header but no samples that can be read: it is damaged"
            )
        tail = self._resampler.flush()
        tail = tail.slice(max(0, -tail.position_samples))
        if tail.data:
            yield tail

    def _read_block(self, dtype: str) -> npt.NDArray[Any]:
        import soundfile

        try:
            block: npt.NDArray[Any] = self._file.read(self._block, dtype=dtype, always_2d=True)
        except soundfile.SoundFileError as error:
            raise AudioFormatError(
                f"{self._name!r} is damaged: decoding stopped ({_reason(error)}); "
                "convert it again from its source"
            ) from error
        return block


def _open_sound_file(name: str) -> Any:
    import soundfile

    path = Path(name)
    if path.is_dir():
        raise AudioFormatError(f"{name!r} is a directory: give the path of a sound file")
    try:
        with path.open("rb"):
            pass  # to have the system's own reason: libsndfile only says "System error"
    except FileNotFoundError as error:
        raise AudioFormatError(f"there is no file {name!r}: check the path") from error
    except OSError as error:
        raise AudioFormatError(
            f"{name!r} can't be opened: {error.strerror}; check its permissions"
        ) from error
    if path.stat().st_size == 0:
        raise AudioFormatError(f"{name!r} is empty (0 bytes): give a sound file with audio in it")
    try:
        return soundfile.SoundFile(name)
    except TypeError as error:  # soundfile's answer to a name that ends in .raw
        raise AudioFormatError(
            f"{name!r} is raw audio without a header, so its rate is unknown: convert it to WAV, "
            "for example with 'sox -r 16000 -e signed -b 16 -c 1 in.raw out.wav'"
        ) from error
    except soundfile.SoundFileError as error:
        formats = ", ".join(sorted(soundfile.available_formats()))
        raise AudioFormatError(
            f"{name!r} is not a sound file that can be read ({_reason(error)}): give one of {formats}"
        ) from error


def _reason(error: Exception) -> str:
    """What libsndfile says, without the path it repeats."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


class WavWriter:
    """Writes frames to a WAV file (PCM16) as they come.

    The header is brought up to date after each ``refresh_s`` of audio, so the file is valid, but for the last
    moment, even if the process is killed. Frames are appended whatever their positions. A context manager.

    Args:
        path: the file; replaced if it exists.
        sample_rate: of the frames, in Hz.
        channels: of the frames. Default: 1.
        refresh_s: seconds of audio between two updates of the header. Default: 1.

    Raises:
        AudioFormatError: a rate or number of channels outside its range.
        OSError: the file can't be created, or (from ``write``) the disk is full.
    """

    def __init__(
        self, path: PathLike, sample_rate: int, channels: int = 1, *, refresh_s: float = 1.0
    ) -> None:
        check_sample_rate(sample_rate)
        check_channels(channels)
        self.path = Path(path)
        self.sample_rate = sample_rate
        self.channels = channels
        self._data_bytes = 0
        self._refresh_bytes = max(1, round(refresh_s * sample_rate) * channels * 2)
        self._refreshed_at = 0
        self._file: BinaryIO | None = self.path.open("wb")
        self._file.write(self._header())
        self._file.flush()

    @property
    def samples(self) -> int:
        """Samples per channel written so far."""
        return self._data_bytes // (2 * self.channels)

    @property
    def duration_s(self) -> float:
        """Seconds written so far."""
        return self.samples / self.sample_rate

    def write(self, frame: AudioFrame) -> None:
        """Append a frame.

        Raises:
            AudioFormatError: a frame of another rate or number of channels, or more than a WAV file can hold
                (4 GiB: six hours of stereo at 48 kHz).
            StateError: the writer is closed.
        """
        if self._file is None:
            raise StateError(f"{str(self.path)!r} is closed: nothing more can be written to it")
        if frame.sample_rate != self.sample_rate or frame.channels != self.channels:
            raise AudioFormatError(
                f"{str(self.path)!r} holds {self.sample_rate} Hz with {self.channels} channel(s), "
                f"not {frame.sample_rate} Hz with {frame.channels}: resample or mix the frame first"
            )
        if self._data_bytes + len(frame.data) > _MAX_DATA_BYTES:
            raise AudioFormatError(
                f"{str(self.path)!r} has reached the 4 GiB of a WAV file: begin another file"
            )
        self._file.write(frame.data)
        self._data_bytes += len(frame.data)
        if self._data_bytes - self._refreshed_at >= self._refresh_bytes:
            self.refresh()

    def refresh(self) -> None:
        """Bring the file on disk up to date now: all audio so far, and a header that says so."""
        if self._file is None:
            return
        self._file.flush()  # first the audio, then the header that promises it
        self._file.seek(0)
        self._file.write(self._header())
        self._file.seek(0, os.SEEK_END)
        self._file.flush()
        self._refreshed_at = self._data_bytes

    def close(self) -> None:
        """Finish the file. Closing twice does nothing."""
        file = self._file
        if file is None:
            return
        try:
            self.refresh()
        finally:
            self._file = None
            file.close()

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _header(self) -> bytes:
        """RIFF, a ``fmt `` chunk of type 1 (PCM) and the head of the ``data`` chunk (IBM and Microsoft, 1991)."""
        block = 2 * self.channels
        return struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            b"RIFF",
            _HEADER_BYTES - 8 + self._data_bytes,
            b"WAVE",
            b"fmt ",
            16,
            1,
            self.channels,
            self.sample_rate,
            self.sample_rate * block,
            block,
            16,
            b"data",
            self._data_bytes,
        )


def write_audio(path: PathLike, frame: AudioFrame) -> None:
    """Write one frame as a WAV file (PCM16); replaces the file if it exists.

    Raises:
        OSError: the file can't be written.
    """
    with WavWriter(path, frame.sample_rate, frame.channels) as writer:
        writer.write(frame)
