"""An `STT` that hears what was scripted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from repartee.errors import ModelError
from repartee.models import STT, Final, Interim, STTCapabilities, STTEvent, STTStream, Word
from repartee.testing._delay import DelayLine
from repartee.testing.faults import Fault, FaultPlan
from repartee.testing.speech import Speech, SpeechDecoder

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["ScriptedSTT"]


class ScriptedSTT(STT):
    """Hears the words in scripted speech (`MemoryInput.speak`, `ScriptedTTS`), or those of a list.

    A word is part of the reading once its last sample was pushed. It belongs to the segment that is open then.

    Args:
        script: what is said when, in seconds of a stream's own audio. Default: none, then the words are read from
            the audio itself (`repartee.testing.speech`).
        interim_lag_s: how long after a word's last sample an interim shows it. Default: 0.1. ``None``: no interims.
        final_lag_s: how long after a flush its final comes. Default: 0.05. An interim that would come later is
            dropped.
        misheard: words that interims show otherwise than the final: ``{"table": "cable"}``.
        finals: whole segments that the final gives otherwise: ``{"book a cable": "book a table", "hm": ""}``.
        confidence: of finals. Default: none.
        endpointing_s: silence after which the model ends a segment by itself. Default: ``None``, it does not.
        sample_rate: the rate it likes best; it takes any. Default: 24000, so that scripted audio is not resampled.
        faults: a call is a segment (from 1, over all of this model's streams), a result an interim or a final.
    """

    def __init__(
        self,
        script: Sequence[Speech] | None = None,
        *,
        interim_lag_s: float | None = 0.1,
        final_lag_s: float = 0.05,
        misheard: Mapping[str, str] | None = None,
        finals: Mapping[str, str] | None = None,
        confidence: float | None = None,
        endpointing_s: float | None = None,
        sample_rate: int = 24_000,
        faults: Sequence[Fault] = (),
    ) -> None:
        self.capabilities = STTCapabilities(
            interim=interim_lag_s is not None,
            endpointing=endpointing_s is not None,
            word_times=True,
            sample_rate=sample_rate,
        )
        self.script = script
        self.interim_lag_s = interim_lag_s
        self.final_lag_s = final_lag_s
        self.misheard = dict(misheard or {})
        self.finals = dict(finals or {})
        self.confidence = confidence
        self.endpointing_s = endpointing_s
        self.plan = FaultPlan(faults, "stt")
        self.streams: list[ScriptedSTTStream] = []
        """Every stream, in the order in which they were opened."""
        self.segments = 0
        """How many segments were begun, over all streams."""

    @property
    def open_streams(self) -> int:
        """How many streams have not been closed."""
        return sum(not stream.closed for stream in self.streams)

    def stream(
        self,
        *,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> STTStream:
        stream = ScriptedSTTStream(self, sample_rate, on_event, on_error)
        self.streams.append(stream)
        return stream


class ScriptedSTTStream(STTStream):
    """One stream of a `ScriptedSTT`."""

    def __init__(
        self,
        stt: ScriptedSTT,
        sample_rate: int,
        on_event: Callable[[STTEvent], None],
        on_error: Callable[[ModelError], None],
    ) -> None:
        self._stt = stt
        self._sample_rate = sample_rate
        self._on_event = on_event
        self._on_error = on_error
        self._line = DelayLine()
        self._decoder = SpeechDecoder(sample_rate)
        self._script: list[Word] = _words_of(stt.script or (), sample_rate)
        self._words: list[Word] = []
        self._segment: int | None = None
        self._given = 0
        self._stalled = False
        self._failed = False
        self._flushes = 0
        self.cancels = 0
        """How often `cancel` was called."""

    @property
    def closed(self) -> bool:
        """Whether the stream was closed."""
        return self._line.closed

    @property
    def pushed_samples(self) -> int:
        """How much audio it was given."""
        return self._decoder.position_samples

    def push(self, frame: AudioFrame) -> None:
        if self._failed or self.closed:
            return
        found = [
            Word(word.text, word.start_samples, word.end_samples) for word in self._decoder.feed(frame.data)
        ]
        if self._stt.script is not None:
            found = []
            while self._script and self._script[0].end_position_samples <= self.pushed_samples:
                found.append(self._script.pop(0))
        for word in found:
            self._end_if_silent(before=word.start_position_samples)
            self._words.append(word)
            if self._stt.interim_lag_s is not None:
                self._give(self._stt.interim_lag_s, self._interim())
        self._end_if_silent(before=self.pushed_samples)

    def flush(self) -> int:
        self._flushes += 1
        self._end_segment(self._flushes)
        return self._flushes

    def cancel(self) -> None:
        self.cancels += 1
        if self._segment is not None:
            self._line.drop(self._segment)
        self._decoder.finish()
        self._close_segment()

    async def aclose(self) -> None:
        self._line.close()

    # -- segments ------------------------------------------------------------------------------------------------

    def _end_if_silent(self, *, before: int) -> None:
        silence_s = self._stt.endpointing_s
        if silence_s is None or not self._words:
            return
        if before - self._words[-1].end_position_samples >= silence_s * self._sample_rate:
            self._end_segment(None)

    def _end_segment(self, flush_id: int | None) -> None:
        truth = " ".join(word.text for word in self._words)
        text = self._stt.finals.get(truth, truth)
        final = Final(text, self._stt.confidence, tuple(self._words) if text == truth else (), flush_id)
        self._begin_segment()
        # A reading of a segment is of no use once its final is there.
        self._line.drop(self._segment, due_after_s=self._stt.final_lag_s)
        self._give(self._stt.final_lag_s, final)
        self._close_segment()

    def _begin_segment(self) -> int:
        if self._segment is None:
            self._stt.segments += 1
            self._segment = self._stt.segments
            self._given, self._stalled = 0, False
        return self._segment

    def _close_segment(self) -> None:
        self._segment = None
        self._words = []

    def _interim(self) -> Interim:
        shown = [self._stt.misheard.get(word.text, word.text) for word in self._words]
        # The newest word may still change, and so does one that was misheard with all behind it.
        sure = 0
        for word, text in zip(self._words[:-1], shown[:-1], strict=True):
            if word.text != text:
                break
            sure += len(text) + 1
        return Interim(" ".join(shown), max(0, sure - 1))

    def _give(self, lag_s: float, event: STTEvent) -> None:
        segment = self._begin_segment()
        fault = self._stt.plan.at(segment, self._given)
        self._given += 1
        if self._failed or self._stalled:
            return
        if fault is not None and fault.kind == "slow":
            # What comes behind it waits for it, so it is added once.
            lag_s += fault.delay_s
        elif fault is not None and fault.kind == "stall":
            self._stalled = True
            return
        elif fault is not None:
            self._failed = True
            self._line.after(lag_s, self._on_error, self._stt.plan.model_error(fault, segment))
            return
        self._line.after(lag_s, self._on_event, event, tag=segment)


def _words_of(script: Sequence[Speech], sample_rate: int) -> list[Word]:
    words = [
        Word(word.text, round(word.start_s * sample_rate), round(word.end_s * sample_rate))
        for speech in script
        for word in speech.words
    ]
    return sorted(words, key=lambda word: word.end_position_samples)
