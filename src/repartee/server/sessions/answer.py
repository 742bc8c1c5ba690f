"""`Answer`: one response, from what the model gives to what the client is told.

The model's item ids are the client's. Messages and calls may overlap: a call is complete while the message before it is
still being spoken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from repartee.chat import FunctionCall, FunctionCallOutput, Item
from repartee.models import Usage
from repartee.models.events import ResponseDone
from repartee.protocol.events import ServerEvent
from repartee.protocol.response_writer import ResponseWriter
from repartee.server.sessions.output_audio import ItemAudio
from repartee.server.sessions.token_count import audio_tokens, text_tokens

if TYPE_CHECKING:
    from repartee.audio import AudioFrame

__all__ = ["Answer", "Spoken"]


class Spoken:
    """What was told of one message."""

    __slots__ = ("audio", "ended", "text")

    def __init__(self, audio: ItemAudio | None) -> None:
        self.audio = audio
        """``None``: no audio yet."""
        self.text: list[str] = []
        self.ended = False

    @property
    def source_ms(self) -> float:
        """How much of the model's audio was given out."""
        audio = self.audio
        return audio.source_samples * 1000.0 / audio.source_rate if audio is not None else 0.0

    @property
    def audio_ms(self) -> float:
        """How long that is for who hears it."""
        return self.source_ms / self.audio.speed if self.audio is not None else 0.0


class Answer:
    """One response.

    Args:
        writer: of the protocol's.
        make_audio: makes the way out for an item's audio, at the model's rate.
        tell: sends events.
        limit: the most output tokens. Default: none.
        play: what plays it on the server: item id and audio. Default: nothing does.
    """

    __slots__ = (
        "_make_audio",
        "_play",
        "_tell",
        "calls",
        "calls_now",
        "client_calls",
        "done",
        "inner_id",
        "input_tokens",
        "last_s",
        "limit",
        "rounds",
        "running",
        "speaks",
        "speed",
        "spent",
        "spoken",
        "writer",
    )

    def __init__(
        self,
        writer: ResponseWriter,
        *,
        make_audio: Callable[[int], ItemAudio],
        tell: Callable[[Iterable[ServerEvent]], None],
        limit: int | None = None,
        play: Callable[[str, AudioFrame], None] | None = None,
    ) -> None:
        self.writer = writer
        self._make_audio = make_audio
        self._tell = tell
        self._play = play
        self.limit = limit
        self.inner_id: str | None = None
        """The model's id for it; ``None``: the model hasn't begun."""
        self.last_s = 0.0
        """When the model last gave something."""
        self.spoken: dict[str, Spoken] = {}
        """Messages, by item."""
        self.calls: dict[str, str] = {}
        """Calls that are open: item → arguments so far."""
        self.calls_now = 0
        """Calls since the model was asked last."""
        self.client_calls = 0
        self.running = 0
        """Calls that run on the server."""
        self.rounds = 1
        """How often the model has been asked: more than once where functions have run on the server."""
        self.speed = 1.0
        """Of its audio."""
        self.done: ResponseDone | None = None
        """The model's end of it, while calls still run."""
        self.spent = Usage()
        """What the model says that it cost, but for what it was asked last."""
        self.input_tokens = (0, 0)
        """Counted: text and audio that the model was given, over all rounds."""
        self.speaks = False
        """Whether words or audio have come since the model was asked last."""

    def next_round(self) -> None:
        """The model is asked again, with the results of the functions that have run on the server."""
        self.spent = self.given_usage
        self.rounds += 1
        self.calls_now = 0
        self.inner_id = self.done = None
        self.speaks = False

    # -- messages ----------------------------------------------------------------------------------------------

    def message(self, item_id: str) -> Spoken:
        """The message of an id, begun if it wasn't."""
        found = self.spoken.get(item_id)
        if found is None:
            found = self.spoken[item_id] = Spoken(None)
            self._tell(self.writer.begin_message(item_id=item_id))
        return found

    def words(self, item_id: str, delta: str) -> None:
        """More words."""
        spoken = self.message(item_id)
        if not delta or spoken.ended:
            return
        self.speaks = True
        spoken.text.append(delta)
        writer = self.writer
        self._tell(
            writer.text(delta, item_id=item_id)
            if writer.modality == "text"
            else writer.transcript(delta, item_id=item_id)
        )

    def sound(self, item_id: str, frame: AudioFrame) -> None:
        """More audio, at the model's rate."""
        if self.writer.modality == "text":
            return
        spoken = self.spoken.get(item_id) or self.message(item_id)
        if spoken.ended:
            return
        self.speaks = True
        audio = spoken.audio
        if audio is None:
            audio = spoken.audio = self._make_audio(frame.sample_rate)
        wire, pcm = audio.push(frame)
        self._give(item_id, wire, pcm)

    def _give(self, item_id: str, wire: bytes, pcm: AudioFrame) -> None:
        if wire:
            self._tell(self.writer.audio(wire, item_id=item_id))
        if self._play is not None and pcm.data:
            self._play(item_id, pcm)

    def end_message(self, item_id: str) -> None:
        """The message is complete."""
        spoken = self.spoken.get(item_id)
        if spoken is None or spoken.ended or self.writer.finished:
            return
        if spoken.audio is not None:
            self._give(item_id, *spoken.audio.flush())
        spoken.ended = True
        self._tell(self.writer.end_message(item_id))

    # -- calls -------------------------------------------------------------------------------------------------

    def call(self, item_id: str, call_id: str, name: str, delta: str, server_label: str | None) -> None:
        """More of a call's arguments; ``server_label``: it runs on the server."""
        writer = self.writer
        if item_id not in self.calls:
            self.calls[item_id] = ""
            self.calls_now += 1
            if server_label is None:
                self.client_calls += 1
                self._tell(writer.begin_call(name, call_id=call_id, item_id=item_id))
            else:
                self._tell(writer.begin_mcp_call(name, server_label, item_id=item_id))
        if delta:
            self.calls[item_id] += delta
            if server_label is None:
                self._tell(writer.arguments(delta, item_id=item_id))
            else:
                self._tell(writer.mcp_arguments(delta, item_id=item_id))

    def made_in(self, items: Iterable[Item]) -> list[Item]:
        """Which of these came of this response: its messages, calls, and the calls' results."""
        found: list[Item] = []
        call_ids: set[str] = set()
        for item in items:
            if item.id in self.calls and isinstance(item, FunctionCall):
                call_ids.add(item.call_id)
                found.append(item)
            elif item.id in self.spoken or (
                isinstance(item, FunctionCallOutput) and item.call_id in call_ids
            ):
                found.append(item)
        return found

    # -- what it cost ------------------------------------------------------------------------------------------

    @property
    def given_usage(self) -> Usage:
        """What the model says that it cost; zeros where it says nothing, or has not come to an end."""
        return self.spent + self.done.usage if self.done is not None else Usage()

    @property
    def output_tokens(self) -> tuple[int, int]:
        """Counted: text and audio."""
        text = sum(text_tokens("".join(spoken.text)) for spoken in self.spoken.values())
        text += sum(text_tokens(arguments) for arguments in self.calls.values())
        audio = sum(audio_tokens(spoken.audio_ms, assistant=True) for spoken in self.spoken.values())
        return text, audio
