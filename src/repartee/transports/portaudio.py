"""The machine's microphone and loudspeaker, as one full-duplex stream of PortAudio (package sounddevice)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from repartee.errors import DeviceError, MissingDependencyError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["BlockTiming", "OnBlock", "PortAudioDevice", "SoundDevice", "import_sounddevice"]


@dataclass(frozen=True, slots=True)
class BlockTiming:
    """When a block is what, in seconds of the device's clock."""

    now_s: float
    captured_s: float
    """When the first sample of the captured block came in."""
    played_s: float
    """When the first sample of the block that is asked for will sound."""


OnBlock = Callable[[bytes, BlockTiming], bytes]
"""Takes a captured block (PCM16 mono) and gives the block to play, of the same length. Runs in the device's thread."""


class SoundDevice(Protocol):
    """What a console needs of a sound card. Tests bring their own."""

    sample_rate: int
    block_samples: int
    """10 ms."""

    def start(self, on_block: OnBlock, on_stopped: Callable[[str], None]) -> None:
        """Begin to call ``on_block`` for each block; ``on_stopped`` with a reason if the device stops by itself."""

    def stop(self) -> None:
        """Stop; neither is called any more once this returns. Idempotent."""


_HOW_TO_GET_PORTAUDIO = (
    "the system library PortAudio is missing; on Debian and Ubuntu: apt install libportaudio2, on Fedora: dnf install "
    "portaudio, on macOS: brew install portaudio"
)
_RATES = (48_000, 44_100, 16_000)
_CHANNELS = ((1, 1), (1, 2), (2, 2), (2, 1))


def import_sounddevice() -> ModuleType:
    """The package sounddevice.

    Raises:
        MissingDependencyError: it, or PortAudio, is not installed; the message says what to install.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise MissingDependencyError("talking by microphone", package="sounddevice", extra="talk") from error
    except OSError as error:  # what it raises when it finds no PortAudio
        raise MissingDependencyError(
            "talking by microphone",
            package="sounddevice",
            extra="talk",
            detail=_HOW_TO_GET_PORTAUDIO,
        ) from error
    module: ModuleType = sounddevice
    return module


class PortAudioDevice:
    """A microphone and a loudspeaker.

    Args:
        input_device: number or part of the name of a microphone (``python -m sounddevice`` lists them). Default: the
            system's.
        output_device: likewise, of a loudspeaker.
        sample_rate: wanted, in Hz; if the devices refuse it, 48000, 44100 or 16000 is taken. Default: 24000.
        sounddevice: the package, for tests. Default: the installed one.

    Raises:
        MissingDependencyError: sounddevice or PortAudio is not installed.
        DeviceError: there is no microphone or no loudspeaker, or they are busy.
    """

    def __init__(
        self,
        input_device: int | str | None = None,
        output_device: int | str | None = None,
        *,
        sample_rate: int = 24_000,
        sounddevice: Any = None,
    ) -> None:
        self._sd: Any = sounddevice if sounddevice is not None else import_sounddevice()
        self._devices = (input_device, output_device)
        self.names = (self._find("input", input_device), self._find("output", output_device))
        """Of the microphone and the loudspeaker."""
        self.sample_rate, self._channels = self._settings(sample_rate)
        self.block_samples = self.sample_rate // 100
        self._stream: Any = None
        self._stopping = False
        self._on_block: OnBlock | None = None
        self._on_stopped: Callable[[str], None] | None = None

    def start(self, on_block: OnBlock, on_stopped: Callable[[str], None]) -> None:
        """Open the stream; see `SoundDevice`.

        Raises:
            DeviceError: it can't be opened.
        """
        self._on_block, self._on_stopped = on_block, on_stopped
        self._stopping = False
        try:
            self._stream = self._sd.RawStream(
                samplerate=self.sample_rate,
                blocksize=self.block_samples,
                device=self._devices,
                channels=self._channels,
                dtype="int16",
                latency="low",
                callback=self._callback,
                finished_callback=self._finished,
            )
            self._stream.start()
        except self._sd.PortAudioError as error:
            self.stop()
            raise DeviceError(f"the microphone and loudspeaker can't be opened: {_reason(error)}") from error

    def stop(self) -> None:
        """Close the stream; see `SoundDevice`."""
        self._stopping = True
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)

    def _find(self, kind: str, wanted: int | str | None) -> str:
        name = "microphone" if kind == "input" else "loudspeaker"
        try:
            return str(self._sd.query_devices(wanted, kind)["name"])
        except (self._sd.PortAudioError, ValueError) as error:
            which = f"no {name} {wanted!r}" if wanted is not None else f"no {name}"
            raise DeviceError(
                f"there is {which} here ({_reason(error)}); `python -m sounddevice` lists the devices"
            ) from error

    def _settings(self, wanted_rate: int) -> tuple[int, tuple[int, int]]:
        """The first rate and numbers of channels that both devices take."""
        error: Exception | None = None
        for rate in dict.fromkeys((wanted_rate, *_RATES)):
            for channels in _CHANNELS:
                try:
                    self._sd.check_input_settings(self._devices[0], channels[0], "int16", samplerate=rate)
                    self._sd.check_output_settings(self._devices[1], channels[1], "int16", samplerate=rate)
                except (self._sd.PortAudioError, ValueError) as refused:
                    error = error or refused
                else:
                    return rate, channels
        raise DeviceError(
            f"the microphone and loudspeaker can't be used together: {_reason(error)}"
        ) from error

    # -- in the device's thread --------------------------------------------------------------------------------

    def _callback(self, captured: Any, played: Any, frames: int, time: Any, status: Any) -> None:
        block = bytes(captured)
        if self._channels[0] == 2:
            block = _to_mono(block)
        now_s = time.currentTime
        input_s, output_s = self._stream.latency if self._stream is not None else (0.0, 0.0)
        # Some host APIs give no times: what the stream says of its latency must do.
        captured_s = time.inputBufferAdcTime or now_s - input_s
        played_s = time.outputBufferDacTime or now_s + output_s
        assert self._on_block is not None
        block = self._on_block(block, BlockTiming(now_s, min(captured_s, now_s), max(played_s, now_s)))
        played[:] = _to_stereo(block) if self._channels[1] == 2 else block

    def _finished(self) -> None:
        if not self._stopping and self._on_stopped is not None:
            self._on_stopped("the sound device stopped: was it unplugged?")


def _to_mono(block: bytes) -> bytes:
    import numpy as np

    both = np.frombuffer(block, "<i2").reshape(-1, 2).astype(np.int32)
    return bytes(((both[:, 0] + both[:, 1]) // 2).astype("<i2").tobytes())


def _to_stereo(block: bytes) -> bytes:
    import numpy as np

    return bytes(np.repeat(np.frombuffer(block, "<i2"), 2).tobytes())


def _reason(error: object) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
