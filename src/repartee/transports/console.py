"""`Console`: this machine's microphone and loudspeaker as an `AudioInput` and an `AudioOutput`, without echo.

Theory of operation. One full-duplex stream calls back in the device's own thread, 10 ms at a time. In that thread, and
nowhere else, the block to play is taken, both blocks go through the echo canceller, and the captured one is put into a
bounded queue; then the event loop is woken, once for however much there is. The loop hands frames and positions on.

*Heard* is the device's clock: a sample counts once the time has passed at which the device said it would sound. So
positions lag what was handed over by the device's latency; a clear is answered when the last sample that was handed
over before it has sounded. What `pause` and `clear` find in the queue stops with the block under way (10 ms).

If the event loop stalls, captured audio waits up to 2 s, then the oldest is dropped: positions jump, and
`ConsoleInput.dropped_samples` counts. What is to be played waits up to 120 s; a write beyond is refused.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable

from repartee.audio import AudioFrame, Gain
from repartee.errors import AudioFormatError, DeviceError, MissingDependencyError, ReparteeError, StateError
from repartee.io import AudioInput, AudioOutput, OutputCapabilities, PlaybackPosition
from repartee.transports.echo import EchoCanceller
from repartee.transports.portaudio import BlockTiming, PortAudioDevice, SoundDevice
from repartee.transports.recorder import CallRecorder

__all__ = ["Console", "ConsoleInput", "ConsoleOutput", "find_devices", "open_console"]

_CAPTURED_BLOCKS = 200
_LIMIT_S = 120.0
_SOUNDING_BLOCKS = 1000


def find_devices() -> tuple[str, str]:
    """The names of the system's microphone and loudspeaker.

    Raises:
        MissingDependencyError: a package that is needed is not installed (extra ``talk``).
        DeviceError: there is no microphone or no loudspeaker.
    """
    return PortAudioDevice().names


def open_console(
    *,
    echo_cancellation: bool | None = True,
    recorder: CallRecorder | None = None,
    input_device: int | str | None = None,
    output_device: int | str | None = None,
) -> tuple[ConsoleInput, ConsoleOutput]:
    """Both ends of a `Console` on the system's devices; its arguments, its errors."""
    console = Console(
        input_device=input_device,
        output_device=output_device,
        echo_cancellation=echo_cancellation,
        recorder=recorder,
    )
    return console.input, console.output


class Console:
    """A microphone and a loudspeaker.

    It starts with the first use of either end, on the running event loop, and stops when both are closed.

    Args:
        device: the sound card. Default: the system's, by PortAudio.
        input_device: number or part of the name of the microphone, without ``device``. Default: the system's.
        output_device: likewise, of the loudspeaker.
        sample_rate: wanted, in Hz. Default: 24000. What the device takes is in ``input.sample_rate``.
        echo_cancellation: ``None``: where its package is installed (see ``echo``). Default: ``None``.
        silent_s: a device that gives no block for so long has gone away. Default: 2.
        recorder: takes what the loudspeaker plays, as the agent. Default: nobody.

    Raises:
        MissingDependencyError: a package that is needed is not installed (extra ``talk``).
        DeviceError: there is no microphone or no loudspeaker.
    """

    def __init__(
        self,
        device: SoundDevice | None = None,
        *,
        input_device: int | str | None = None,
        output_device: int | str | None = None,
        sample_rate: int = 24_000,
        echo_cancellation: bool | None = None,
        silent_s: float = 2.0,
        recorder: CallRecorder | None = None,
    ) -> None:
        self.device: SoundDevice = device or PortAudioDevice(
            input_device, output_device, sample_rate=sample_rate
        )
        self.echo: EchoCanceller | None = _canceller(self.device.sample_rate, echo_cancellation)
        """The echo canceller; ``None``: there is none, and the agent may hear itself without headphones."""
        self.input = ConsoleInput(self)
        self.output = ConsoleOutput(self, recorder)
        self._silent_s = silent_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = False
        self._error: DeviceError | None = None
        self._blocks = 0
        self._blocks_seen = 0
        self._watchdog: asyncio.TimerHandle | None = None
        self._woken = threading.Lock()  # held from a wake-up of the loop until that runs

    def start(self) -> None:
        """Open the device. Either end does it by itself.

        Raises:
            DeviceError: it can't be opened, or has gone away before.
        """
        if self._error is not None:
            raise self._error
        if not self._running:
            self._loop = asyncio.get_running_loop()
            self._running = True
            try:
                self.device.start(self._on_block, self._on_stopped)
            except BaseException:
                self._running = False
                raise
            self._watchdog = self._loop.call_later(self._silent_s, self._watch)

    def _release(self) -> None:
        """One end was closed."""
        if self.input.closed and self.output.closed:
            self._stop()

    def _stop(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        if self._running:
            self._running = False
            self.device.stop()

    # -- in the device's thread --------------------------------------------------------------------------------

    def _on_block(self, captured: bytes, timing: BlockTiming) -> bytes:
        self._blocks += 1
        played = self.output._playout.take(len(captured) // 2, timing)
        if self.echo is not None:
            self.echo.far(played)
            delay_ms = (timing.played_s - timing.captured_s) * 1000
            captured = self.echo.near(captured, delay_ms=delay_ms)
        self.input._captured.append(captured)  # at its bound the oldest goes
        if self._woken.acquire(blocking=False):
            self._call(self._drain)
        return played

    def _on_stopped(self, reason: str) -> None:
        self._call(self._fail, reason)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop was closed: there is nobody to tell
            return

    # -- on the event loop -------------------------------------------------------------------------------------

    def _drain(self) -> None:
        self._woken.release()
        if self._running:
            assert self._loop is not None
            self.input._arrived(self._blocks)
            self.output._report(self._loop.time())

    def _watch(self) -> None:
        assert self._loop is not None
        if self._blocks == self._blocks_seen:
            self._fail(f"the sound device gave nothing for {self._silent_s:g} s: was it unplugged?")
            return
        self._blocks_seen = self._blocks
        self._watchdog = self._loop.call_later(self._silent_s, self._watch)

    def _fail(self, reason: str) -> None:
        if not self._running:
            return
        self._stop()
        self._error = DeviceError(reason)
        self.input._failed(self._error)
        self.output._failed(self._error)


class ConsoleInput(AudioInput):
    """The microphone: 10 ms a frame, without echo. Made by `Console`.

    Iterating raises `DeviceError` when the device goes away. One reader.
    """

    def __init__(self, console: Console) -> None:
        self.sample_rate = console.device.sample_rate
        self.closed = False
        self.dropped_samples = 0
        """Captured, and dropped because nobody took them for 2 s."""
        self._console = console
        self._captured: deque[bytes] = deque(maxlen=_CAPTURED_BLOCKS)
        self._taken = 0  # blocks, the dropped ones counted
        self._error: DeviceError | None = None
        self._wake: asyncio.Future[None] | None = None

    def __aiter__(self) -> AsyncIterator[AudioFrame]:
        return self

    async def __anext__(self) -> AudioFrame:
        if not self.closed:
            self._console.start()
        while not self._captured and not self.closed:
            if self._error is not None:
                raise self._error
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        if self.closed:
            raise StopAsyncIteration
        data = self._captured.popleft()
        size = self._console.device.block_samples
        frame = AudioFrame(data, self.sample_rate, position_samples=self._taken * size)
        self._taken += 1
        return frame

    async def aclose(self) -> None:
        self.closed = True
        self._wake_up()
        self._console._release()

    def _arrived(self, blocks: int) -> None:
        lost = blocks - self._taken - len(self._captured)
        # Only a full queue loses; otherwise a block that comes this moment is counted before it lies there.
        if lost > 1 and len(self._captured) == _CAPTURED_BLOCKS:
            self._taken += lost
            self.dropped_samples += lost * self._console.device.block_samples
        self._wake_up()

    def _failed(self, error: DeviceError) -> None:
        self._error = error
        self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class ConsoleOutput(AudioOutput):
    """The loudspeaker. Made by `Console`."""

    def __init__(self, console: Console, recorder: CallRecorder | None) -> None:
        self.sample_rate = console.device.sample_rate
        self.capabilities = OutputCapabilities()
        self.closed = False
        self._console = console
        self._recorder = recorder
        self._device_to_loop_s: float | None = None
        self._playout = _Playout(self.sample_rate, keep=recorder is not None)
        self._on_position: Callable[[PlaybackPosition], None] | None = None
        self._on_error: Callable[[ReparteeError], None] | None = None
        self._reported = 0

    def open(
        self,
        *,
        on_position: Callable[[PlaybackPosition], None],
        on_error: Callable[[ReparteeError], None],
    ) -> None:
        self._on_position, self._on_error = on_position, on_error
        self._console.start()

    def write(self, frame: AudioFrame) -> None:
        if self._on_position is None or self.closed:
            raise StateError("write() needs an open output: open() comes first, and nothing after aclose()")
        if frame.sample_rate != self.sample_rate or frame.channels != 1:
            raise AudioFormatError(
                f"this output plays mono at {self.sample_rate} Hz, not {frame.channels} channel(s) at "
                f"{frame.sample_rate} Hz: resample or mix the frame first"
            )
        if not self._playout.put(frame):
            raise StateError(
                f"{_LIMIT_S:.0f} s of audio already wait to be played: keep to the output's max_lead_ms"
            )

    def clear(self) -> None:
        self._playout.clear()

    def pause(self) -> None:
        self._playout.set_paused(True)

    def resume(self) -> None:
        self._playout.set_paused(False)

    def set_gain(self, db: float) -> None:
        self._playout.set_gain(db)

    async def aclose(self) -> None:
        self.closed = True
        self._playout.clear()
        self._console._release()

    def _report(self, now_s: float) -> None:
        if self.closed or self._on_position is None:
            return
        if self._recorder is not None:
            self._record(self._recorder, now_s)
        heard, cleared = self._playout.heard()
        for position in cleared:
            self._reported = position
            self._on_position(PlaybackPosition(position, cleared=True))
        if heard > self._reported:
            self._reported = heard
            self._on_position(PlaybackPosition(heard))

    def _record(self, recorder: CallRecorder, now_s: float) -> None:
        device_now_s, blocks = self._playout.given()
        # The loop looks a little after the device; the least that was ever seen is nearest to the clocks' distance.
        distance = now_s - device_now_s
        if self._device_to_loop_s is None or distance < self._device_to_loop_s:
            self._device_to_loop_s = distance
        for played_s, data in blocks:
            recorder.agent(AudioFrame(data, self.sample_rate), played_s + self._device_to_loop_s)

    def _failed(self, error: DeviceError) -> None:
        if not self.closed and self._on_error is not None:
            self._on_error(error)


class _Playout:
    """What is to be played, between the event loop and the device's thread. Each call holds the lock briefly."""

    def __init__(self, sample_rate: int, *, keep: bool) -> None:
        self._sample_rate = sample_rate
        self._lock = threading.Lock()
        self._keep = keep
        self._now_s = 0.0  # the device's, at its newest block
        self._given: deque[tuple[float, bytes]] = deque(
            maxlen=_SOUNDING_BLOCKS
        )  # for the recorder; the oldest goes
        self._queue: deque[AudioFrame] = deque()  # bounded: `put` refuses what is beyond _LIMIT_S
        self._queued = 0
        self._gain = Gain(sample_rate)
        self._paused = False
        self._handed = 0  # samples that the device has got
        self._heard = 0  # samples that have sounded
        # When the samples handed over will have sounded, and up to which; bounded by the device's latency.
        self._sounding: deque[tuple[float, int]] = deque(maxlen=_SOUNDING_BLOCKS)
        self._clears: deque[int] = deque()  # bounded: one for each `clear` that the device has yet to answer

    def put(self, frame: AudioFrame) -> bool:
        """Queue audio; whether there was room."""
        with self._lock:
            if self._queued + frame.samples > _LIMIT_S * self._sample_rate:
                return False
            if frame.samples:
                self._queue.append(frame)
                self._queued += frame.samples
            return True

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()
            self._queued = 0
            self._paused = False
            self._gain = Gain(self._sample_rate)
            self._clears.append(self._handed)

    def set_paused(self, paused: bool) -> None:
        with self._lock:
            self._paused = paused

    def set_gain(self, db: float) -> None:
        with self._lock:
            self._gain.set(db)

    def heard(self) -> tuple[int, list[int]]:
        """How much has sounded, and the clears that are over, by their positions."""
        with self._lock:
            over = []
            while self._clears and self._clears[0] <= self._heard:
                over.append(self._clears.popleft())
            return self._heard, over

    def given(self) -> tuple[float, list[tuple[float, bytes]]]:
        """The device's time, and what it got since this was asked before, each with the time at which it sounds."""
        with self._lock:
            blocks = list(self._given)
            self._given.clear()
            return self._now_s, blocks

    def take(self, count: int, timing: BlockTiming) -> bytes:
        """The next block for the device, silence where there is nothing."""
        with self._lock:
            self._now_s = timing.now_s
            while self._sounding and self._sounding[0][0] <= timing.now_s:
                self._heard = self._sounding.popleft()[1]
            parts: list[bytes] = []
            missing = count
            while missing and self._queue and not self._paused:
                frame = self._queue.popleft()
                if frame.samples > missing:
                    self._queue.appendleft(frame.slice(missing))
                    frame = frame.slice(0, missing)
                missing -= frame.samples
                parts.append(self._gain.push(frame).data)
            taken = count - missing
            if taken:
                self._queued -= taken
                self._handed += taken
                end_s = timing.played_s + taken / self._sample_rate
                self._sounding.append((end_s, self._handed))
                if self._keep:
                    self._given.append((timing.played_s, b"".join(parts)))
            parts.append(bytes(2 * missing))
            return b"".join(parts)


def _canceller(sample_rate: int, wanted: bool | None) -> EchoCanceller | None:
    if wanted is False:
        return None
    try:
        return EchoCanceller(sample_rate)
    except MissingDependencyError:
        if wanted:
            raise
        return None
