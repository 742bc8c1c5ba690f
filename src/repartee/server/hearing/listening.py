"""`Listening`: the server's ears in one session.

The shell of `repartee.turns.listening.ListeningEngine`. Audio is kept on a tape as it comes; the detector reads the
tape (`Detection`), the engine is told its results, and what the engine decides is carried out: audio goes to the model,
turns are told to the session, answers prepared. Nothing is decided here but where the session's configuration leads.

*Audio time.* Positions are seconds of the session's audio, whatever its format was. Real time matters where no audio
comes, where an answer is owed, and for ``idle_timeout_ms``.

*On the way to the model* audio is decoded once (G.711), cleaned once (noise reduction), and resampled once, and that
only where it belongs to a turn: a caller who is silent costs the detector alone.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from repartee.audio import AudioFrame, Resampler
from repartee.chat import ChatContext, new_id
from repartee.clock import Clock
from repartee.compose.tasks import TaskOwner
from repartee.errors import ModelError, ModelTimeoutError, ReparteeError
from repartee.models import RealtimeSession, TurnContext
from repartee.models import events as ev
from repartee.models.history import apply_event
from repartee.protocol.config import SessionConfig
from repartee.server.hearing.alarm import Alarm
from repartee.server.hearing.arrivals import Arrivals
from repartee.server.hearing.detection import STALL_S, Detection
from repartee.server.hearing.idle import IdleTimer
from repartee.server.hearing.listening_settings import ListeningSettings
from repartee.server.hearing.prepared import PreparedAnswers
from repartee.server.hearing.tape import Tapes
from repartee.server.hearing.wire_audio import PCM_24K
from repartee.server.served import Served
from repartee.turns import actions as do
from repartee.turns import facts
from repartee.turns import listening_words as words
from repartee.turns.listening import ListeningEngine

__all__ = ["Listening", "ListeningOwner"]

log = logging.getLogger("repartee.server")

GAP_S: Final = 1.0
"""When no audio has come for so long while a turn is open, that is silence."""
LOST_S: Final = STALL_S + GAP_S
"""And when audio comes, but the detector and its successors have told nothing of it for so long."""
KEPT_MAX_S: Final = 150.0
"""Most audio of a turn that is kept for ``conversation.item.retrieve``; the oldest goes."""
WAITING_MAX_S: Final = 900.0
"""Most audio that may wait for the detector; what comes then is refused."""
PIECE_S: Final = 0.2
"""Longest piece that is resampled and handed to the model at once."""
_ROUNDING_S: Final = 1e-6


class ListeningOwner(Protocol):
    """What `Listening` needs of the session that it serves."""

    inner: RealtimeSession

    def speech_started(self, item_id: str, audio_start_ms: int) -> None:
        """The caller began to speak; their turn will be that item."""

    def speech_stopped(self, item_id: str, audio_end_ms: int) -> None:
        """The caller's turn is over; `turn_over` follows."""

    def turn_ends(self, item_id: str, reason: str, speech_end_s: float) -> None:
        """Why the caller's turn ends, for observers; then it becomes an item, by `turn_over` or the client's commit.

        Args:
            item_id: of the item.
            reason: ``"silence"``, ``"end of turn"``, ``"ceiling"`` or ``"manual"``.
            speech_end_s: session time at which the last of the speech came; now, where the caller speaks still.
        """

    def turn_over(self, item_id: str, audio: bytes, *, respond: bool | None, draft: str | None) -> None:
        """The caller's turn becomes an item. ``inner.commit_audio`` was called just before.

        Args:
            item_id: of the item.
            audio: what was said, as on the wire.
            respond: whether to answer. ``None``: as the session's ``create_response`` says; ``False``: there are no
                words in it.
            draft: the request of the answer that was prepared, if it has begun and the words are still the same.
        """

    def idle_timeout(self, item_id: str, audio_start_ms: int, audio_end_ms: int) -> None:
        """Nobody has said anything for the idle timeout; `turn_over` follows."""

    def observe(self, event: ev.RealtimeEvent) -> None:
        """Something for observers and the log."""


class Listening:
    """Hears the caller of one session. Made when the session's model is there; then `configure`.

    Args:
        owner: the session.
        served: what there is to listen with.
        clock: session time.
    """

    def __init__(self, owner: ListeningOwner, served: Served, *, clock: Clock) -> None:
        self._owner = owner
        self._served = served
        self._clock = clock
        self._settings = ListeningSettings(PCM_24K, words.ListeningOptions(detects=False))
        self._engine = ListeningEngine(self._settings.options)
        self._tapes = Tapes(PCM_24K)
        self._detection: Detection | None = None
        self._resampler: Resampler | None = None
        self._idle = IdleTimer(clock, self._on_idle)
        self._prepared = PreparedAnswers(owner.inner)
        self._history = ChatContext()
        self._tasks = TaskOwner(self._crashed)
        self._deadline = Alarm(clock, self._timeout)
        self._gap = Alarm(clock, self._look)
        self._question: asyncio.Task[None] | None = None
        self._item_id: str | None = None
        self._committed = (
            b"",
            clock.now(),
        )  # of the turn that a program commits: its audio, and its speech's end
        self._arrivals = Arrivals(clock.now())
        self._draining = False
        self._closed = False

    async def aclose(self) -> None:
        """Stop listening. Idempotent."""
        self._closed = True
        self._deadline.set(None)
        self._gap.set(None)
        self._idle.stop()
        if self._detection is not None:
            await self._detection.aclose()
        await self._tasks.aclose()

    # -- verbs -------------------------------------------------------------------------------------------------

    def configure(self, session: SessionConfig | None) -> None:
        """The session has changed (or begins): listen by that from now on, also in the middle of speech."""
        old, new = self._settings, ListeningSettings.of(session, self._served)
        if self._closed or new == old:
            return
        self._settings = new
        if new.lacks and new.lacks != old.lacks:
            log.warning("%s", new.lacks)
            if new.options.detects:
                self._owner.observe(ev.WordsFrom("silence"))
        if (new.format, new.noise) != (old.format, old.noise):
            heard_s = self._detection.heard_s if self._detection is not None else 0.0
            self._tapes.change(new.format, new.noise)
            self._resampler = None
            if self._detection is not None:
                self._detection.read(self._tapes.pcm, self._tapes.pcm.to_sample(heard_s))
        self._idle.configure(new.idle_s)
        self._detect(new.options.detects)
        self._engine.configure(new.options, self._tapes.pcm.end_s, self._clock.now())
        self._drain()

    def append(self, audio: bytes) -> None:
        """The next audio, as on the wire: whole samples.

        It costs little: what takes time (detection, recognition) happens elsewhere, later.
        """
        if self._closed:
            return
        tapes = self._tapes
        pcm = tapes.pcm
        if pcm.end >= tapes.room_until and not self._has_room():
            return
        tapes.append(audio)
        now = self._clock.now()
        detection = self._detection
        if detection is None:
            self._arrivals.note(pcm.end_s, now)
            self._engine.receive(words.Audio(pcm.end_s), now)
            self._drain()
        elif pcm.end >= detection.due:
            self._arrivals.note(pcm.end_s, now)
            detection.pump(now)
        else:
            self._arrivals.last_s = now
        if pcm.end >= tapes.trim_at:
            self._trim()

    def _has_room(self) -> bool:
        """Whether more audio may wait to be heard; that it may not is told once."""
        tapes = self._tapes
        tapes.room_until = tapes.pcm.to_sample(self._engine.position_s + WAITING_MAX_S) + 1
        was_full, tapes.full = tapes.full, tapes.pcm.end >= tapes.room_until
        if tapes.full and not was_full:
            self._refuse()
        return not tapes.full

    def commit(self, item_id: str | None = None) -> bytes:
        """The client closes the turn: all audio that was appended belongs to it.

        Args:
            item_id: of the item that it becomes, where nobody was heard to begin to speak. Default: a new one.

        Returns:
            The turn's audio as on the wire.
        """
        item_id, audio, speech_end_s = self._commit(item_id or new_id("item"))
        self._owner.turn_ends(item_id, "manual", speech_end_s)
        return audio

    def _commit(self, item_id: str) -> tuple[str, bytes, float]:
        """Close the turn: of which item, its audio, and when its speech ended."""
        if self._item_id is None:
            self._item_id = item_id
            self._owner.inner.begin_input(self._item_id)
        item_id = self._item_id
        self._tapes.finish()
        self._committed = b"", self._clock.now()
        self._engine.receive(words.Commit(self._tapes.pcm.end_s), self._clock.now())
        self._drain()
        (audio, speech_end_s), self._committed = self._committed, (b"", 0.0)
        return item_id, audio, speech_end_s

    def clear(self) -> None:
        """The client drops all audio that was not committed."""
        self._tapes.finish()
        self._engine.receive(words.Clear(self._tapes.pcm.end_s), self._clock.now())
        self._drain()

    def on_event(self, event: ev.RealtimeEvent) -> None:
        """An event of the model's session; of a draft, before it is released, `ResponseCreated` alone."""
        if isinstance(event, ev.InterimTranscript):
            if event.item_id == self._item_id and not self._closed:
                self._engine.receive(facts.Heard(event.text, event.settled), self._clock.now())
                self._drain()
            return
        self._prepared.on_event(event)
        apply_event(self._history, event)

    def response_begins(self) -> None:
        """A response begins: nobody is idle."""
        self._idle.stop()

    def output_ends(self, at_s: float) -> None:
        """The audio of the last response is heard to its end at that session time: idle from then on."""
        if not self._engine.turn_open:
            self._idle.begin(at_s, self._tapes.pcm.end_s)

    # -- audio -------------------------------------------------------------------------------------------------

    def _detect(self, wanted: bool) -> None:
        vad = self._served.vad
        if wanted and self._detection is None and vad is not None:
            self._detection = Detection(
                vad,
                self._tapes.pcm,
                clock=self._clock,
                on_window=self._on_window,
                on_error=self._on_vad_error,
            )
        elif not wanted and self._detection is not None:
            self._detection.close()
            self._tasks.finish(self._detection.aclose(), name="listening.close_detection")
            self._detection = None

    def _on_window(self, probability: float, end_s: float) -> None:
        if not self._closed and not self._engine.passes(probability, end_s):
            self._engine.receive(words.Window(probability, end_s), self._clock.now())
            self._drain()

    def _on_vad_error(self, error: ModelError) -> None:
        log.warning("%s", error)
        self._owner.observe(ev.ErrorOccurred(error, "vad"))

    def _refuse(self) -> None:
        error = ModelError(
            f"{WAITING_MAX_S:g} s of audio wait to be heard; what comes now is dropped", stage="input"
        )
        self._owner.observe(ev.ErrorOccurred(error, "input"))

    def _trim(self) -> None:
        keep_s = self._engine.keep_from_s
        if self._idle.counting:
            keep_s = min(keep_s, self._idle.position_s)
        self._tapes.forget(max(keep_s, self._engine.position_s - KEPT_MAX_S))

    def _pass(self, start_s: float, end_s: float) -> None:
        """Give audio to the model."""
        pcm, inner = self._tapes.pcm, self._owner.inner
        model_rate = self._served.model.capabilities.input_sample_rate
        if self._resampler is None or self._resampler.target_rate != model_rate:
            self._resampler = Resampler(pcm.rate, model_rate)
        at, stop = max(pcm.start, pcm.to_sample(start_s)), pcm.to_sample(end_s)
        step = int(PIECE_S * pcm.rate)
        while at < stop:
            until = min(stop, at + step)
            frame = self._resampler.push(AudioFrame(pcm.cut(at, until), pcm.rate, 1, at))
            if frame.data:
                inner.append_audio(frame)
            at = until

    # -- the engine's shell ------------------------------------------------------------------------------------

    def _drain(self) -> None:
        if self._draining:
            return  # an action has led to this fact; the loop below goes on with what follows from it
        self._draining = True
        try:
            while (action := self._engine.next_action()) is not None:
                self._carry_out(action)
        finally:
            self._draining = False
        self._deadline.set(None if self._closed else self._engine.deadline())

    def _timeout(self) -> None:
        self._engine.timeout(self._clock.now())
        self._drain()

    def _look(self) -> None:
        """See whether audio still comes, as long as a turn is open."""
        if not self._closed and self._engine.turn_open:
            self._gap.set(self._see())

    def _see(self) -> float | None:
        """Tell the engine if no audio comes; when to look again."""
        now, end_s, since_s = self._clock.now(), self._tapes.pcm.end_s, self._arrivals.last_s
        detection = self._detection
        if detection is not None:
            detection.pump()
            if detection.caught_up:
                since_s = max(since_s, detection.told_s)
            elif now < detection.told_s + LOST_S - _ROUNDING_S:
                return now + GAP_S
            else:
                since_s, end_s = detection.told_s, detection.heard_s
        if now < since_s + GAP_S - _ROUNDING_S:
            return since_s + GAP_S
        self._engine.receive(words.Quiet(end_s, since_s), now)
        self._drain()
        return now + GAP_S if self._engine.turn_open else None

    def _carry_out(self, action: words.ListeningAction) -> None:
        match action:
            case words.Pass(start_s=start_s, end_s=end_s):
                self._pass(start_s, end_s)
            case words.TurnBegan(start_s=start_s):
                self._begin(start_s)
            case do.SpeechStarts(at_s=at_s):
                self._owner.observe(ev.SpeechStarted(self._item_id or "", at_s * 1000.0))
            case do.SpeechStops(at_s=at_s):
                self._owner.observe(ev.SpeechStopped(self._item_id or "", at_s * 1000.0))
            case do.Settle():
                self._owner.inner.settle_audio()
            case do.AskPrediction(question=question, text=text):
                self._ask(question, text)
            case do.Prepare(draft=draft, text=text):
                self._prepared.begin(f"draft:{draft}", self._item_id or "", text)
            case do.Discard(draft=draft, reason=reason):
                self._prepared.discard(f"draft:{draft}", reason)
            case do.TimedOut(after_s=after_s):
                late = ModelTimeoutError(
                    f"the words of the turn did not come within {after_s:g} s", stage="stt"
                )
                self._owner.observe(ev.ErrorOccurred(late, "stt"))
            case words.TurnOver():
                self._over(action)
            case words.TurnDropped(reason=reason):
                self._item_id = None
                self._owner.inner.clear_audio(reason=reason)
                self._trim()

    def _begin(self, start_s: float) -> None:
        self._idle.stop()
        self._item_id = new_id("item")
        self._owner.inner.begin_input(self._item_id)
        self._owner.speech_started(self._item_id, round(start_s * 1000.0))
        self._gap.set(self._clock.now() + GAP_S)

    def _over(self, action: words.TurnOver) -> None:
        item_id, self._item_id = self._item_id, None
        audio = self._tapes.wire.cut_s(action.start_s, action.end_s)
        spoken_s = action.end_s if action.speech_end_s is None else action.speech_end_s
        speech_end_s = self._arrivals.time_of(spoken_s, self._clock.now())
        if action.reason == "manual":
            self._committed = audio, speech_end_s
            self._owner.inner.commit_audio()
        else:
            assert item_id is not None
            self._owner.speech_stopped(item_id, round(action.end_s * 1000.0))
            self._owner.turn_ends(item_id, action.reason, speech_end_s)
            self._owner.inner.commit_audio()
            draft = self._prepared.take(f"draft:{action.draft}") if action.draft is not None else None
            self._owner.turn_over(item_id, audio, respond=None if action.answerable else False, draft=draft)
            if not action.answerable and not self._idle.counting:
                self._idle.begin(self._clock.now(), action.end_s)  # no answer comes that would begin it
        self._trim()

    # -- the end-of-turn model ---------------------------------------------------------------------------------

    def _ask(self, question: int, text: str) -> None:
        if self._question is not None:
            self._question.cancel()
        self._question = self._tasks.spawn(
            self._predict(question, text, self._item_id or ""), name="listening.predict"
        )

    async def _predict(self, question: int, text: str, item_id: str) -> None:
        detector = self._served.turn_detector
        assert detector is not None
        probability = None
        try:
            async with asyncio.timeout(detector.capabilities.deadline_s):
                probability = await detector.predict(TurnContext(text, self._history))
        except TimeoutError:
            log.debug("the end-of-turn model did not answer in time; going on without")
        except ReparteeError as error:
            self._owner.observe(ev.ErrorOccurred(error, "turn_detector"))
        if probability is not None:
            self._owner.observe(ev.EndOfTurnPredicted(item_id, probability, text))
        self._engine.receive(facts.Prediction(question, probability), self._clock.now())
        self._drain()

    def _crashed(self, error: Exception) -> None:
        failure = ModelError(
            f"the turn detector failed with {type(error).__name__}: {error}", stage="turn_detector"
        )
        self._owner.observe(ev.ErrorOccurred(failure, "turn_detector"))

    # -- idle --------------------------------------------------------------------------------------------------

    def _on_idle(self) -> None:
        if self._closed or self._engine.turn_open or self._engine.waiting_windows:
            return
        item_id, end_s = new_id("item"), self._tapes.pcm.end_s
        start_s = min(self._idle.position_s, end_s)
        self._owner.idle_timeout(item_id, round(start_s * 1000.0), round(end_s * 1000.0))
        if self._settings.options.turn.transcribes:
            # A recogniser would make words of silence.
            audio = self._tapes.wire.cut_s(start_s, end_s)
            self._owner.inner.begin_input(item_id)
            self._owner.inner.commit_audio()
        else:
            _, audio, _ = self._commit(item_id)
        self._owner.turn_over(item_id, audio, respond=True, draft=None)
