"""Streaming conversion of the sampling rate: a polyphase FIR filter with less than 2 ms of delay.

Theory of operation
-------------------
Raising the rate by ``L``, filtering, and keeping every ``M``-th sample converts ``source`` to ``source * L /
M``. Output ``n`` is a sum over input ``j`` of ``h[n * M - j * L] * x[j]``: for each of the ``L`` phases of
``n`` another choice of the taps (J. O. Smith, *Digital Audio Resampling*; Crochiere and Rabiner, 1983).

*Delay.* The filter ``h`` is symmetric, so its delay is half its length; that length decides how sharp it can
be. It is 16 sampling periods of the lower rate, but never more than 1.9 ms, in whole *output* samples, hence
positions stay exact. The filter is causal and output ``n`` is computed as soon as input ``floor(n * M / L)``
has come: nothing is held back beyond that delay.

*Response*, measured, in parts of the lower rate's Nyquist frequency: -0.1 dB or better at 0.85, -1 dB at 0.9;
what lies above it and would fold back (or is an image) is below -45 dB from 1.1, below -75 dB from 1.15.

*Exactness.* The taps are integers divided by a power of two, the samples are integers, and all sums stay
below 2**53: each sum of products is exact in double precision, in whatever order it is added. So the output
doesn't depend on how the stream was cut into chunks, on the machine, or on the linear algebra library.

*Speed.* One matrix product computes a block of ``G`` consecutive outputs from the ``width`` inputs which they
need, for many blocks at once. A period of ``L`` outputs is cut into groups when ``L`` is large, since the
matrix of a whole period would be mostly zeros.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING, Final

from repartee.audio.frame import AudioFrame, check_channels, check_sample_rate
from repartee.errors import AudioFormatError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

MAX_DELAY_S: Final = 0.0019
"""No resampler delays by more than this."""

DELAY_PERIODS: Final = 16
"""The delay wanted, in sampling periods of the lower rate: 1 ms at 16 kHz, 0.67 ms at 24 kHz."""

STOPBAND_DB: Final = 75.0
"""Attenuation which the Kaiser window is designed for, beyond the transition band."""

_CUTOFF: Final = 0.97  # of the lower Nyquist frequency: the middle of the transition band
_SCALE: Final = float(1 << 30)  # taps are integers over this; |sample| * sum |tap| < 2**15 * 2**33
_MAX_TABLE: Final = 2_000_000  # coefficients; only pairs of odd rates such as 44099 and 16000 come near
_PRODUCTS_AT_ONCE: Final = 200_000  # below the size from which OpenBLAS would wake further threads (2**18)
_CHUNK: Final = 16_384  # longest piece of input converted at once, in samples: bounds the working memory


class _Table:
    """The filter of one pair of rates: shared by all resamplers of that pair, never changed."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        import numpy as np

        self.pcm16 = np.dtype("<i2")
        divisor = gcd(source_rate, target_rate)
        self.up = up = target_rate // divisor
        self.down = down = source_rate // divisor
        delay_s = min(MAX_DELAY_S, DELAY_PERIODS / min(source_rate, target_rate))
        self.delay_samples = int(delay_s * target_rate + 1e-9)  # at the target rate
        half = self.delay_samples * down  # taps on either side of the middle, at the raised rate
        self.reach = reach = 2 * half // up + 1  # inputs before the newest one that an output may need
        if up * (reach + 1) > _MAX_TABLE:
            raise AudioFormatError(
                f"can't resample {source_rate} Hz to {target_rate} Hz: their greatest common divisor, "
                f"{divisor} Hz, is too small; choose a usual rate such as 16000, 24000 or 48000"
            )
        self.group = group = self._outputs_at_once(up, down, reach)
        self.groups = groups = max(1, up // group)  # blocks until the phases repeat
        self.period_in = down * max(1, group // up)  # inputs until then
        taps = _quantised_taps(self._window(source_rate, target_rate, half), up, down, reach)

        # Block g covers outputs g*group ... g*group + group-1, from input `first[g]` on. `bank[g]` is its
        # matrix.
        outputs = np.arange(groups * group).reshape(groups, group)
        newest = outputs * down // up
        first = newest[:, 0] - reach
        self.width = width = int((newest[:, -1] - first).max()) + 1
        self.bank: FloatArray = np.zeros((groups, width, group))
        for g in range(groups):
            for c in range(group):
                at = int(newest[g, c] - reach - first[g])
                self.bank[g, at : at + reach + 1, c] = taps[outputs[g, c] % up]
        self.first = first
        self.history = (
            width + self.period_in
        )  # inputs kept: a block may begin that far before the next output
        self.rows_at_once = max(1, _PRODUCTS_AT_ONCE // (groups * width * group))
        self._known_indices: dict[int, npt.NDArray[np.intp]] = {}

    @staticmethod
    def _outputs_at_once(up: int, down: int, reach: int) -> int:
        """Outputs of a block: as many as come from about ``reach / 2`` inputs.

        Either a multiple of the period ``up`` or a divisor of it.
        """
        wanted = max(1, reach * up // (2 * down))
        if wanted >= up:
            return wanted // up * up
        return min((d for d in range(1, up + 1) if up % d == 0), key=lambda d: abs(d - wanted))

    @staticmethod
    def _window(source_rate: int, target_rate: int, half: int) -> FloatArray:
        """The windowed low-pass at the raised rate: ``2 * half + 1`` taps."""
        import numpy as np

        raised = source_rate * target_rate / gcd(source_rate, target_rate)
        cutoff = _CUTOFF * min(source_rate, target_rate) / raised
        # Kaiser's empirical formula for the window's shape (Oppenheim and Schafer, 7.6).
        beta = 0.1102 * (STOPBAND_DB - 8.7)
        shape: FloatArray = np.sinc(np.arange(-half, half + 1) * cutoff) * np.kaiser(2 * half + 1, beta)
        return shape

    def convert(self, raw: bytes, channels: int, origin: int, start: int, stop: int) -> bytes:
        """Outputs ``start`` to ``stop`` as PCM16.

        Args:
            raw: interleaved PCM16; ``history`` samples older than the newest one that output ``start`` needs,
                and as many of any value after the newest that output ``stop - 1`` needs.
            channels: of ``raw`` and of the result.
            origin: which sample of the stream (per channel) ``raw`` begins with.
        """
        import numpy as np

        run = self._run_blocks if self.groups == 1 else self._run_groups
        samples = np.frombuffer(raw, self.pcm16)
        if channels == 1:
            outputs = run(samples.astype(np.float64), origin, start, stop)
        else:
            planes = samples.reshape(-1, channels).T.astype(np.float64, order="C")
            outputs = np.stack([run(plane, origin, start, stop) for plane in planes], axis=1)
        np.rint(outputs, outputs)
        np.minimum(outputs, 32767.0, out=outputs)  # two of these cost less than one `clip`
        np.maximum(outputs, -32768.0, out=outputs)
        return outputs.astype(self.pcm16).tobytes()

    def _run_blocks(self, inputs: FloatArray, origin: int, start: int, stop: int) -> FloatArray:
        """Outputs where the period is one block: blocks may begin at any multiple of the period."""
        import numpy as np

        parts: list[FloatArray] = []
        size = inputs.itemsize
        first = at = start - start % self.up
        while at < stop:
            rows = min(-(-(stop - at) // self.group), self.rows_at_once)
            offset = at // self.up * self.down - self.reach - origin
            windows: FloatArray = np.ndarray(
                (rows, self.width), inputs.dtype, inputs, offset * size, (self.period_in * size, size)
            )
            parts.append(np.dot(windows, self.bank[0]).reshape(-1))
            at += rows * self.group
        outputs = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return outputs[start - first : stop - first]

    def _run_groups(self, inputs: FloatArray, origin: int, start: int, stop: int) -> FloatArray:
        """Outputs where the period has several blocks, each with its own matrix: whole periods at once."""
        import numpy as np

        parts: list[FloatArray] = []
        block = start // self.group
        first = block * self.group
        while block * self.group < stop:
            g = block % self.groups
            wanted = -(-stop // self.group) - block
            rows = 1 if g or wanted < self.groups else min(wanted // self.groups, self.rows_at_once)
            until = min(self.groups, g + wanted)
            offset = block // self.groups * self.period_in - origin
            windows = inputs.take(self._indices(rows)[g:until] + offset, mode="clip")
            made = np.matmul(windows, self.bank[g:until])  # (groups, rows, group)
            parts.append((made.swapaxes(0, 1) if rows > 1 else made).reshape(-1))
            block += rows * (until - g)
        outputs = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return outputs[start - first : stop - first]

    def _indices(self, rows: int) -> npt.NDArray[np.intp]:
        """Which inputs the blocks of ``rows`` periods need, the first at 0: shape (groups, rows, width)."""
        import numpy as np

        found = self._known_indices.get(rows)
        if found is None:
            start = self.first[:, None] + np.arange(rows)[None, :] * self.period_in
            found = start[:, :, None] + np.arange(self.width)
            if len(self._known_indices) < 16:  # frames of a stream have one or two sizes
                self._known_indices[rows] = found
        return found


def _quantised_taps(window: FloatArray, up: int, down: int, reach: int) -> FloatArray:
    """Taps of each phase, oldest input first: shape (up, reach + 1), each row's sum exactly 1."""
    import numpy as np

    phases = np.arange(up)
    # Output n has the phase n * down % up; its newest input meets tap `phase`, the next older one `phase +
    # up`, ...
    tap = (phases * down % up)[:, None] + np.arange(reach, -1, -1)[None, :] * up
    taps: FloatArray = np.where(tap < len(window), window[np.minimum(tap, len(window) - 1)], 0.0)
    taps = np.rint(taps / taps.sum(axis=1, keepdims=True) * _SCALE)
    # Rounding left each sum some units off; the largest tap takes them, so silence and DC pass exactly.
    taps[phases, np.argmax(taps, axis=1)] += _SCALE - taps.sum(axis=1)
    return taps / _SCALE


@lru_cache(maxsize=64)
def _table(source_rate: int, target_rate: int) -> _Table:
    return _Table(source_rate, target_rate)


class Resampler:
    """Converts a stream of frames from one sampling rate to another as it comes.

    After ``N`` input samples it has put out ``ceil(N * target_rate / source_rate)``: 20 ms in, 20 ms out. The
    sound comes ``delay_s`` later than it went in. Positions account for that: the output sample at position
    ``p`` sounds at the same moment of the stream as the input sample at ``p * source_rate / target_rate``.
    The first frame hence begins at the negative position ``-delay_samples``: the filter's lead-in.

    The output is bit for bit the same however the input is cut into frames. With equal rates frames pass
    untouched.

    Args:
        source_rate: rate of the frames that come, in Hz; 8000 to 96000.
        target_rate: rate of the frames that go, in Hz; 8000 to 96000.
        channels: of both. Default: 1.

    Raises:
        AudioFormatError: a rate or number of channels outside its range, or two rates with so small a common
            step (below about 10 Hz) that the filter would be huge.
    """

    def __init__(self, source_rate: int, target_rate: int, channels: int = 1) -> None:
        check_sample_rate(source_rate)
        check_sample_rate(target_rate)
        check_channels(channels)
        self.source_rate = source_rate
        self.target_rate = target_rate
        self.channels = channels
        self._table = None if source_rate == target_rate else _table(source_rate, target_rate)
        self.reset()

    def reset(self) -> None:
        """Forget the stream: what comes next is the beginning of another one."""
        self._received = 0  # samples per channel since the beginning
        self._produced = 0
        self._end_samples = 0  # position after the newest input frame
        self._history = b""  # the newest `table.history` inputs

    @property
    def delay_samples(self) -> int:
        """Delay in samples at the target rate."""
        return self._table.delay_samples if self._table else 0

    @property
    def delay_s(self) -> float:
        """Exactly ``delay_samples / target_rate``: 1.875 ms at 8 kHz, 1 ms at 16 kHz, 0 with equal rates."""
        return self.delay_samples / self.target_rate

    def push(self, frame: AudioFrame) -> AudioFrame:
        """Convert the next frame.

        A jump in the input's positions becomes a jump in the output's; the sound is filtered on across it.

        Args:
            frame: at ``source_rate`` with ``channels`` channels, of any length.

        Returns:
            What became computable, at ``target_rate``; may be empty if the frame is shorter than an output
            sample.

        Raises:
            AudioFormatError: a frame of another rate or number of channels.
        """
        if frame.sample_rate != self.source_rate or frame.channels != self.channels:
            raise AudioFormatError(
                f"this resampler takes {self.source_rate} Hz with {self.channels} channel(s), "
                f"not {frame.sample_rate} Hz with {frame.channels}"
            )
        table = self._table
        if table is None:
            return frame
        shift = frame.position_samples - self._received
        position = self._produced + _divide(shift * table.up, table.down) - table.delay_samples
        self._end_samples = frame.end_samples
        whole = frame.channels * 2 * _CHUNK
        if len(frame.data) <= whole:
            data = self._convert(table, frame.data)
        else:
            data = b"".join(
                self._convert(table, frame.data[at : at + whole]) for at in range(0, len(frame.data), whole)
            )
        return AudioFrame(data, self.target_rate, self.channels, position)

    def flush(self) -> AudioFrame:
        """End the stream: give the sound still within the filter, ``delay_samples`` long, and :meth:`reset`.

        With the lead-in (``delay_samples`` too) dropped, the whole output has exactly as many samples as it
        had before, ``ceil(N * target_rate / source_rate)``. With equal rates, or before any input, the frame
        is empty.
        """
        table = self._table
        if table is None or not self._received:
            empty = AudioFrame(b"", self.target_rate, self.channels, self._end_samples)
            self.reset()
            return empty
        shift = self._end_samples - self._received
        position = self._produced + _divide(shift * table.up, table.down) - table.delay_samples
        zeros = bytes(2 * self.channels * (table.delay_samples * table.down // table.up + 1))
        data = self._convert(table, zeros)[: 2 * self.channels * table.delay_samples]
        self.reset()
        return AudioFrame(data, self.target_rate, self.channels, position)

    def _convert(self, table: _Table, data: bytes) -> bytes:
        channels = self.channels
        whole = 2 * channels
        count = len(data) // whole
        # The last block may read beyond the newest input, for outputs that are cut off again.
        padding = bytes(table.history * whole)
        raw = (self._history or padding) + data
        origin = self._received - table.history  # which input comes first in `raw`
        self._history = raw[count * whole :]
        self._received += count
        start = self._produced
        self._produced = stop = -(-self._received * table.up // table.down)
        if stop == start:
            return b""
        return table.convert(raw + padding, channels, origin, start, stop)


def _divide(a: int, b: int) -> int:
    """``a / b`` rounded to the nearest integer, halves up; exact for integers of any size."""
    return (2 * a + b) // (2 * b)


def resample(frame: AudioFrame, target_rate: int) -> AudioFrame:
    """Convert one whole piece of audio, without delay.

    Args:
        frame: any rate, channels and length.
        target_rate: in Hz; 8000 to 96000.

    Returns:
        ``ceil(frame.samples * target_rate / frame.sample_rate)`` samples, at the position that belongs to the
        first; ``frame`` itself if the rates are equal.

    Raises:
        AudioFormatError: as :class:`Resampler`.
    """
    if frame.sample_rate == target_rate:
        return frame
    resampler = Resampler(frame.sample_rate, target_rate, frame.channels)
    body = resampler.push(frame)
    tail = resampler.flush()
    lead_in = 2 * frame.channels * resampler.delay_samples
    return AudioFrame(
        (body.data + tail.data)[lead_in:],
        target_rate,
        frame.channels,
        body.position_samples + resampler.delay_samples,
    )
