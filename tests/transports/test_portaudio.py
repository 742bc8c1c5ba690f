"""PortAudio, played by a stand-in for the package sounddevice."""

from __future__ import annotations

import builtins
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from repartee.errors import DeviceError, MissingDependencyError
from repartee.transports.portaudio import BlockTiming, PortAudioDevice, import_sounddevice


class PortAudioError(Exception):
    """As sounddevice's."""


class FakeStream:
    latency = (0.02, 0.03)

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.open = False

    def start(self) -> None:
        self.open = True

    def close(self, *, ignore_errors: bool) -> None:
        self.open = False
        self.options["finished_callback"]()

    def block(self, captured: bytes, size: int, **times: float) -> bytes:
        played = bytearray(size)
        self.options["callback"](
            captured, memoryview(played), len(captured) // 2, SimpleNamespace(**times), None
        )
        return bytes(played)


class FakeSoundDevice:
    """The functions of the package that are used."""

    PortAudioError = PortAudioError

    def __init__(
        self, *, rates: tuple[int, ...] = (24_000,), channels: tuple[int, int] = (1, 1), kinds: str = "io"
    ) -> None:
        self.rates, self.channels, self.kinds = rates, channels, kinds
        self.streams: list[FakeStream] = []
        self.busy = False

    def query_devices(self, device: object, kind: str) -> object:
        if kind[0] not in self.kinds:
            raise PortAudioError("Error querying device -1")
        if device == "nothing":
            raise ValueError("No input device matching 'nothing'")
        return {"name": f"the {kind}"}

    def _check(self, at: int, channels: int, rate: int) -> None:
        if rate not in self.rates or channels > self.channels[at] or (channels < self.channels[at]):
            raise PortAudioError("Invalid sample rate or number of channels.")

    def check_input_settings(self, device: object, channels: int, dtype: str, *, samplerate: int) -> None:
        self._check(0, channels, samplerate)

    def check_output_settings(self, device: object, channels: int, dtype: str, *, samplerate: int) -> None:
        self._check(1, channels, samplerate)

    def RawStream(self, **options: Any) -> FakeStream:
        if self.busy:
            raise PortAudioError("Device unavailable [PaErrorCode -9985]")
        self.streams.append(FakeStream(**options))
        return self.streams[-1]


TIMES = {"currentTime": 5.0, "inputBufferAdcTime": 4.98, "outputBufferDacTime": 5.04}


def started(card: FakeSoundDevice) -> tuple[PortAudioDevice, list[tuple[bytes, BlockTiming]], list[str]]:
    device = PortAudioDevice(sounddevice=card)
    blocks: list[tuple[bytes, BlockTiming]] = []
    reasons: list[str] = []

    def on_block(captured: bytes, timing: BlockTiming) -> bytes:
        blocks.append((captured, timing))
        return bytes(range(1, 5))

    device.start(on_block, reasons.append)
    return device, blocks, reasons


def test_blocks_go_both_ways_with_the_device_clock() -> None:
    card = FakeSoundDevice()
    device, blocks, reasons = started(card)
    assert (device.sample_rate, device.block_samples) == (24_000, 240)
    assert device.names == ("the input", "the output")
    stream = card.streams[0]
    assert stream.options["blocksize"] == 240
    assert stream.options["dtype"] == "int16"
    assert stream.block(b"\x01\x00\x02\x00", 4, **TIMES) == bytes(range(1, 5))
    assert blocks == [(b"\x01\x00\x02\x00", BlockTiming(5.0, 4.98, 5.04))]
    device.stop()
    device.stop()
    assert not stream.open
    assert not reasons, "stopping it ourselves is no accident"


def test_a_host_without_times_is_given_the_latency() -> None:
    card = FakeSoundDevice()
    _, blocks, _ = started(card)
    card.streams[0].block(bytes(4), 4, currentTime=5.0, inputBufferAdcTime=0.0, outputBufferDacTime=0.0)
    timing = blocks[0][1]
    assert timing.captured_s == pytest.approx(4.98)
    assert timing.played_s == pytest.approx(5.03)


def test_stereo_devices_are_made_mono() -> None:
    card = FakeSoundDevice(channels=(2, 2))
    _, blocks, _ = started(card)
    played = card.streams[0].block(b"\x02\x00\x04\x00\x0a\x00\x0c\x00", 8, **TIMES)
    assert blocks[0][0] == b"\x03\x00\x0b\x00"
    assert played == bytes([1, 2, 1, 2, 3, 4, 3, 4])


def test_another_rate_is_taken_where_the_wanted_one_is_refused() -> None:
    assert PortAudioDevice(sounddevice=FakeSoundDevice(rates=(44_100,))).sample_rate == 44_100
    with pytest.raises(DeviceError, match="Invalid sample rate"):
        PortAudioDevice(sounddevice=FakeSoundDevice(rates=(11_025,)))


def test_a_device_that_stops_by_itself_is_told() -> None:
    card = FakeSoundDevice()
    _, _, reasons = started(card)
    card.streams[0].options["finished_callback"]()
    assert len(reasons) == 1
    assert "unplugged" in reasons[0]


@pytest.mark.parametrize(
    ("kinds", "missing"), [("o", "microphone"), ("i", "loudspeaker"), ("", "microphone")]
)
def test_what_is_missing_is_named(kinds: str, missing: str) -> None:
    with pytest.raises(DeviceError, match=f"no {missing} here"):
        PortAudioDevice(sounddevice=FakeSoundDevice(kinds=kinds))


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(DeviceError, match="no microphone 'nothing'"):
        PortAudioDevice("nothing", sounddevice=FakeSoundDevice())


def test_a_busy_device_is_named() -> None:
    card = FakeSoundDevice()
    device = PortAudioDevice(sounddevice=card)
    card.busy = True
    with pytest.raises(DeviceError, match="Device unavailable"):
        device.start(lambda captured, timing: captured, lambda reason: None)


def test_a_missing_package_or_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingDependencyError, match=r"repartee\[talk\]"):
        import_sounddevice()
    monkeypatch.delitem(sys.modules, "sounddevice")
    real = builtins.__import__

    def no_library(name: str, *rest: Any, **options: Any) -> Any:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", no_library)
    with pytest.raises(MissingDependencyError, match="apt install libportaudio2"):
        import_sounddevice()


def test_the_real_package_is_used_or_says_why_not() -> None:
    """On a machine without PortAudio or without devices: one error that names the fix."""
    said = ""
    try:
        device = PortAudioDevice()
    except (MissingDependencyError, DeviceError) as error:
        said = str(error)
    else:
        assert device.block_samples == device.sample_rate // 100
    assert not said or any(fix in said for fix in ("pip install", "python -m sounddevice"))
