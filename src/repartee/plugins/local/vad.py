"""Speech detection with the Silero model, one batch for all streams of the process.

The graph (``data/silero_vad_16k.onnx``, MIT, its licence beside it) takes for each stream 64 samples of context and
512 new ones at 16 kHz, and a recurrent state. Here the states of all streams are rows of one array: a batch gathers
the rows of the streams which have a window ready, runs the graph once, and scatters the new states back. The graph
was rewritten for that (``scripts/flatten_silero.py``); the published one works as well, at three times the cost.

*Resampling* is part of the batch as well: for every rate whose 32 ms are a multiple of 16 samples (8, 12, 16, 24,
32, 48, 96 kHz …) one matrix product converts all windows, with 1 ms of delay, in a few microseconds each. Other
rates (11.025, 22.05, 44.1 kHz) go through `repartee.audio.Resampler`, stream by stream.

*Staying awake.* Music, or many seconds of digital silence, can leave the recurrent state deaf to the next speech
(pipecat's observation). So after `QUIET_RESET_MS` of clear non-speech a stream's state starts anew.

*Sleep.* Half of a call, at least, its caller listens, and what comes then is steady: a room, or next to nothing. So
once a stream has been quiet for `SETTLED_MS`, windows that are hardly louder than its background are not run: they are
told as 0, and the first that is louder finds the state that the quiet has left.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from repartee.errors import AudioFormatError, MissingDependencyError, ModelError, ModelFileError
from repartee.inference import Batcher, BatcherStatistics, BatchStream, shared
from repartee.models import VAD as AbstractVAD
from repartee.models import SpeechProbability, VADCapabilities, VADStream
from repartee.plugins.local.onnx_file import read_metadata

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from repartee.audio import AudioFrame, Resampler

    Floats = npt.NDArray[np.float32]

__all__ = ["VAD"]

MODEL_RATE: Final = 16_000
WINDOW: Final = 512
"""Samples of a window at the model's rate: 32 ms."""
CONTEXT: Final = 64
"""Samples that the graph wants again before each window."""
PENDING_MS: Final = 1024
"""Most audio of a stream that may wait; past that the oldest window is dropped."""
BATCH_MAX: Final = 128
"""Larger batches leave the processor's cache, and cost more for each stream."""
QUIET_RESET_MS: Final = 2016
QUIET_PROBABILITY: Final = 0.1
"""A window below this is clear non-speech."""
SETTLED_MS: Final = 256
"""After so long without speech a stream may sleep."""
ASLEEP_DB: Final = 6.0
"""Speech that is not louder by this than what one hears all the time is not found anyway."""
ASLEEP_MAX_DBFS: Final = -40.0
"""Above this no window is passed over."""
# A window's share of the background's level, which falls at once and rises within a second: soft speech behind a noise.
_QUIETER_STEP: Final = 0.5
_LOUDER_STEP: Final = 0.1
_QUIET_WINDOWS: Final = QUIET_RESET_MS // 32
_SETTLED_WINDOWS: Final = SETTLED_MS // 32
_STATE: Final = 128
_PRODUCTS_AT_ONCE: Final = 200_000  # from 2**18 on OpenBLAS wakes further threads, which then spin
_BLOCKS: Final = 16  # a window is resampled in so many equal blocks
_FULL_SCALE: Final = 1 / 32768
_SILENCE_DBFS: Final = -96.0

DATA = Path(__file__).with_name("data")


class VAD(AbstractVAD):
    """Silero speech detection; see `repartee.models.VAD`.

    All `VAD` objects of a process that name the same file share one model and one thread, which runs while a
    stream is open. A stream takes frames of any rate and any number of channels (their mean is used).

    Args:
        model: another Silero graph (ONNX, version 5 or later). Default: the one that comes with repartee.

    Raises:
        MissingDependencyError: onnxruntime or numpy isn't installed.
        ModelFileError: there is no such file, or it is plainly no ONNX graph. One which can't be loaded after
            all makes `prewarm` raise the same, and is reported to the streams as a `ModelError`.
    """

    capabilities = VADCapabilities(sample_rate=MODEL_RATE, window_ms=32, tail_ms=64.0)

    def __init__(self, model: str | Path | None = None) -> None:
        for package in ("onnxruntime", "numpy"):
            if importlib.util.find_spec(package) is None:
                raise MissingDependencyError("local speech detection", package=package, extra="local")
        path = Path(model).expanduser().resolve() if model is not None else DATA / "silero_vad_16k.onnx"
        read_metadata(path, "speech detection model")
        self._batcher: Batcher[_Window, SpeechProbability] = shared(
            ("silero", str(path)),
            lambda: Batcher(
                lambda: _Silero(path).run,
                name="repartee-vad",
                batch_max=BATCH_MAX,
                pending_max=PENDING_MS // self.capabilities.window_ms,
            ),
        )

    def stream(
        self,
        *,
        sample_rate: int,
        on_result: Callable[[SpeechProbability], None],
        on_error: Callable[[ModelError], None],
    ) -> VADStream:
        """Begin detection on one microphone; see `repartee.models.VAD.stream`."""
        return _Stream(self._batcher, sample_rate, on_result, on_error)

    async def prewarm(self) -> None:
        """Load the model (about 0.1 s, most of it onnxruntime), off the event loop."""
        await self._batcher.prewarm()

    def statistics(self) -> BatcherStatistics:
        """Of all streams that share this model: batches, their sizes, what was dropped."""
        return self._batcher.statistics()


class _Window(msgspec.Struct, frozen=True, gc=False):
    """32 ms of one stream."""

    pcm: bytes
    rate: int
    """16 000, or one that `_converter` can do."""
    end_position_samples: int
    fresh: bool
    """Whether it is the first of its stream, or since a reset."""


class _Stream(VADStream):
    def __init__(
        self,
        batcher: Batcher[_Window, SpeechProbability],
        sample_rate: int,
        on_result: Callable[[SpeechProbability], None],
        on_error: Callable[[ModelError], None],
    ) -> None:
        self._rate = sample_rate
        self._window_rate = sample_rate if _is_batchable(sample_rate) else MODEL_RATE
        self._bytes = self._window_rate * 32 // 1000 * 2
        self._resampler = self._new_resampler()
        self._rest = b""
        self._windows = 0  # since the first frame
        self._offset = 0  # samples of the input rate that never became a window
        self._fresh = True
        self._stream: BatchStream[_Window, SpeechProbability] = batcher.open(
            on_result, lambda error: on_error(_as_model_error(error))
        )

    @property
    def dropped_windows(self) -> int:
        """Windows lost because they waited too long."""
        return self._stream.dropped

    def push(self, frame: AudioFrame) -> None:
        """Take audio; past `PENDING_MS` the oldest that waits is dropped."""
        if frame.sample_rate != self._rate:
            raise AudioFormatError(
                f"this stream was opened for {self._rate} Hz and got a frame of {frame.sample_rate} Hz"
            )
        if frame.channels != 1:
            frame = frame.to_mono()
        if self._resampler is not None:
            frame = self._resampler.push(frame)
        data, size = self._rest + frame.data if self._rest else frame.data, self._bytes
        if len(data) == size:
            self._submit(data)
            self._rest = b""
            return
        whole = len(data) // size * size
        for at in range(0, whole, size):
            self._submit(data[at : at + size])
        self._rest = data[whole:]

    def _submit(self, window: bytes) -> None:
        self._windows += 1
        end = self._offset + self._windows * WINDOW * self._rate // MODEL_RATE
        self._stream.submit(_Window(window, self._window_rate, end, self._fresh))
        self._fresh = False

    def reset(self) -> None:
        """Forget what was heard. Results of audio pushed before don't come any more."""
        self._stream.clear()
        self._fresh = True
        # Positions go on counting, also over the audio of the unfinished window.
        self._offset += len(self._rest) // 2 * self._rate // self._window_rate
        self._rest = b""
        if self._resampler is not None:
            self._resampler.reset()

    async def aclose(self) -> None:
        """Release the stream."""
        await self._stream.aclose()

    def _new_resampler(self) -> Resampler | None:
        if self._window_rate == self._rate:
            return None
        from repartee.audio import Resampler

        return Resampler(self._rate, MODEL_RATE)


class _Silero:
    """The graph and the state of all streams. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        import numpy as np

        self._session = _load(path)
        # The published graph has a branch for each of two rates.
        names = {i.name for i in self._session.get_inputs()}
        self._extra = {"sr": np.array(MODEL_RATE, np.int64)} if "sr" in names else {}
        self._converters: dict[int, _Converter] = {}
        streams = 8  # doubled when there are more
        self._state: Floats = np.zeros((2, streams, _STATE), np.float32)
        self._context: Floats = np.zeros((streams, CONTEXT), np.float32)
        self._history: Floats = np.zeros((streams, _history(96_000)), np.float32)
        self._quiet: npt.NDArray[np.int32] = np.zeros(streams, np.int32)
        self._background: Floats = np.full(streams, _SILENCE_DBFS, np.float32)
        # The batch's own, kept: memory that is asked for anew each time comes with page faults.
        self._samples: Floats = np.empty((0, CONTEXT + WINDOW), np.float32)

    def _grow(self, streams: int) -> None:
        """Make room for the state of so many streams; what is there stays."""
        import numpy as np

        more = streams - len(self._quiet)
        self._state = np.pad(self._state, ((0, 0), (0, more), (0, 0)))
        self._context = np.pad(self._context, ((0, more), (0, 0)))
        self._history = np.pad(self._history, ((0, more), (0, 0)))
        self._quiet = np.pad(self._quiet, (0, more))
        self._background = np.pad(self._background, (0, more))

    def run(self, slots: Sequence[int], windows: Sequence[_Window]) -> list[SpeechProbability]:
        """Detect on a batch (see `repartee.inference.batch.Run`); the state changes only if nothing is raised."""
        import numpy as np

        if (needed := max(slots) + 1) > len(self._quiet):
            self._grow(max(needed, 2 * len(self._quiet)))
        rows = np.array(slots)
        fresh = [slot for slot, window in zip(slots, windows, strict=True) if window.fresh]
        if fresh:
            self._state[:, fresh] = 0
            self._context[fresh] = 0
            self._history[fresh] = 0
            self._quiet[fresh] = 0
            self._background[fresh] = _SILENCE_DBFS
        if len(rows) > len(self._samples):
            self._samples = np.empty((len(rows), CONTEXT + WINDOW), np.float32)
        samples: Floats = self._samples[: len(rows)]
        samples[:, :CONTEXT] = self._context[rows]
        new = samples[:, CONTEXT:]
        histories = self._fill(new, rows, windows)
        # The floor keeps the logarithm finite.
        dbfs = 10 * np.log10(np.maximum(np.einsum("ij,ij->i", new, new) / WINDOW, 10 ** (_SILENCE_DBFS / 10)))
        awake = self._awake(rows, dbfs)
        heard = self._detect(samples, rows) if awake.all() else self._detect_some(samples, rows, awake)
        self._context[rows] = samples[:, WINDOW:]
        for those, history in histories:
            self._history[those, : history.shape[1]] = history
        return [
            SpeechProbability(p, window.end_position_samples, level)
            for p, window, level in zip(heard.tolist(), windows, dbfs.tolist(), strict=True)
        ]

    def _awake(self, rows: npt.NDArray[np.intp], dbfs: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """Which streams of a batch must be looked at; learns how loud it is where nobody speaks."""
        import numpy as np

        settled = self._quiet[rows] >= _SETTLED_WINDOWS
        background = self._background[rows]
        asleep: npt.NDArray[np.bool_] = settled & (dbfs < np.minimum(background + ASLEEP_DB, ASLEEP_MAX_DBFS))
        step = np.where(dbfs < background, _QUIETER_STEP, _LOUDER_STEP) * settled
        self._background[rows] = background + (dbfs - background) * step
        return ~asleep

    def _detect(self, samples: Floats, rows: npt.NDArray[np.intp]) -> Floats:
        """The probabilities of a batch; moves the states on."""
        probabilities, state = self._session.run(
            None, {"input": samples, "state": self._state[:, rows], **self._extra}
        )
        self._state[:, rows] = state
        heard: Floats = probabilities[:, 0]
        self._stay_awake(rows, heard)
        return heard

    def _detect_some(
        self, samples: Floats, rows: npt.NDArray[np.intp], awake: npt.NDArray[np.bool_]
    ) -> Floats:
        """The same where some streams sleep: their states stay as silence has left them."""
        import numpy as np

        heard: Floats = np.zeros(len(rows), np.float32)
        if awake.any():
            heard[awake] = self._detect(samples[awake], rows[awake])
        return heard

    def _fill(
        self, into: Floats, rows: npt.NDArray[np.intp], windows: Sequence[_Window]
    ) -> list[tuple[npt.NDArray[np.intp], Floats]]:
        """Convert each window's audio to floats at 16 kHz. Returns the resamplers' new histories by slots."""
        import numpy as np

        rates = {window.rate for window in windows}
        histories: list[tuple[npt.NDArray[np.intp], Floats]] = []
        for rate in rates:
            if len(rates) == 1:
                members, pcm, slots, target = windows, [w.pcm for w in windows], rows, into
            else:
                chosen = [i for i, w in enumerate(windows) if w.rate == rate]
                members, slots = [windows[i] for i in chosen], rows[chosen]
                pcm, target = [w.pcm for w in members], np.empty((len(chosen), WINDOW), np.float32)
            audio = np.frombuffer(b"".join(pcm), "<i2").reshape(len(members), -1)
            if rate == MODEL_RATE:
                np.multiply(audio, np.float32(_FULL_SCALE), out=target)
            else:
                converter = self._converters.get(rate) or self._converters.setdefault(rate, _Converter(rate))
                histories.append((slots, converter.convert(self._history[slots], audio, target)))
            if len(rates) > 1:
                into[chosen] = target
        return histories

    def _stay_awake(self, rows: npt.NDArray[np.intp], heard: Floats) -> None:
        import numpy as np

        quiet = np.where(heard < QUIET_PROBABILITY, self._quiet[rows] + 1, 0)
        tired = quiet >= _QUIET_WINDOWS
        if tired.any():
            self._state[:, rows[tired]] = 0
            quiet[tired] = 0
        self._quiet[rows] = quiet


class _Converter:
    """Windows of one rate to 16 kHz, all streams at once.

    Output ``k`` is a windowed-sinc interpolation of the input 1 ms before it (J. O. Smith, *Digital Audio
    Resampling*). A window is `_BLOCKS` equal blocks, so one small matrix serves each of them.
    """

    def __init__(self, rate: int) -> None:
        import numpy as np

        self._step = step = rate * 32 // 1000 // _BLOCKS  # inputs of a block
        self._reach = reach = _history(rate)
        outputs = WINDOW // _BLOCKS
        at = (
            np.arange(outputs) * rate / MODEL_RATE + reach / 2
        )  # in inputs from the block's first history sample
        distance = np.arange(reach + step)[:, None] - at[None, :]
        cutoff = 0.95 * min(1.0, MODEL_RATE / rate)  # of the input's Nyquist frequency
        inside = np.clip(1 - (distance / (reach / 2)) ** 2, 0, None)
        taps = np.sinc(distance * cutoff) * np.i0(5.0 * np.sqrt(inside)) * (np.abs(distance) <= reach / 2)
        self._rows_at_once = max(1, _PRODUCTS_AT_ONCE // taps.size)
        self._joined: Floats = np.empty((0, 0), np.float32)
        self._flat = self._joined
        self._matrix = (taps / taps.sum(axis=0) * _FULL_SCALE).astype(np.float32)

    def convert(self, history: Floats, audio: npt.NDArray[np.int16], out: Floats) -> Floats:
        """Write ``audio`` [n, inputs] as ``out`` [n, 512]; returns the history for the next window."""
        import numpy as np

        reach, step = self._reach, self._step
        if len(audio) > len(self._joined):
            self._joined = np.empty((len(audio), reach + audio.shape[1]), np.float32)
            self._flat = np.empty((len(audio), WINDOW), np.float32)
        joined, flat = self._joined[: len(audio)], self._flat[: len(audio)]
        joined[:, :reach] = history[:, :reach]
        joined[:, reach:] = audio
        blocks = np.lib.stride_tricks.as_strided(
            joined,
            (len(audio), _BLOCKS, reach + step),
            (joined.strides[0], step * joined.itemsize, joined.itemsize),
        )
        rows = blocks.reshape(-1, reach + step)
        parts = flat.reshape(len(rows), -1)
        for at in range(0, len(rows), self._rows_at_once):
            np.matmul(
                rows[at : at + self._rows_at_once], self._matrix, out=parts[at : at + self._rows_at_once]
            )
        out[:] = flat
        return joined[:, -reach:]


def _history(rate: int) -> int:
    """Inputs that a converter needs from before the window: 1 ms of delay, and as much again."""
    return 2 * (rate // 1000)


def _is_batchable(rate: int) -> bool:
    """Whether 32 ms are whole blocks of whole samples at both rates (always so for 16 kHz itself)."""
    return (rate * 32) % (1000 * _BLOCKS) == 0 and gcd(rate, MODEL_RATE) >= 1000


def _load(path: Path) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # a second thread brings nothing at this size
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (
        Exception
    ) as error:  # onnxruntime's own classes differ by version; all of them mean a bad file here
        raise ModelFileError(f"{path} can't be loaded (truncated, or no ONNX graph?): {error}") from error
    inputs = {i.name for i in session.get_inputs()}
    if inputs - {"sr"} != {"input", "state"}:
        raise ModelFileError(
            f"{path} is an ONNX graph with the inputs {', '.join(sorted(inputs))}; a Silero VAD of version 5 or "
            "later has input, state and sr"
        )
    return session


def _as_model_error(error: Exception) -> ModelError:
    wrapped = ModelError(
        f"speech detection failed: {error}",
        stage="vad",
        provider="local",
        recoverable=not isinstance(error, ModelFileError),
    )
    wrapped.__cause__ = error
    return wrapped
