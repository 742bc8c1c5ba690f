"""One response, from what the model gives to what the client is told."""

from __future__ import annotations

from typing import Any

from repartee.audio import AudioFrame
from repartee.protocol import events as ev
from repartee.protocol.config import PcmAudio
from repartee.protocol.connection import SERVER, Connection
from repartee.protocol.responses import ResponseParams
from repartee.server.sessions.answer import Answer
from repartee.server.sessions.output_audio import ItemAudio

RATE = 24_000


class Kit:
    """A response in progress."""

    def __init__(self, *, text: bool = False, speed: float = 1.0) -> None:
        self.connection = Connection(SERVER)
        self.connection.server.start()
        params = ResponseParams(output_modalities=["text"]) if text else None
        writer, _ = self.connection.server.respond(params)
        self.said: list[Any] = []
        self.played: list[tuple[str, int]] = []
        self.answer = Answer(
            writer,
            make_audio=lambda rate: ItemAudio(rate, PcmAudio(rate=RATE), speed=speed),
            tell=self.said.extend,
            play=lambda item_id, pcm: self.played.append((item_id, pcm.samples)),
        )

    def all(self, kind: type) -> list[Any]:
        return [event for event in self.said if isinstance(event, kind)]


def frame(ms: int) -> AudioFrame:
    """Of silence."""
    return AudioFrame(bytes(48 * ms), RATE)


def test_words_and_sound_begin_the_message_and_count() -> None:
    kit = Kit(speed=1.5)
    answer = kit.answer
    answer.words("item_1", "Hello ")
    assert answer.speaks
    answer.sound("item_1", frame(300))
    answer.words("item_1", "there.")
    answer.end_message("item_1")
    answer.end_message("item_1")
    answer.words("item_1", "late")
    answer.sound("item_1", frame(300))
    assert len(kit.all(ev.ResponseOutputItemDone)) == 1
    assert sum(len(each.delta) for each in kit.all(ev.ResponseOutputAudioDelta)) == 200 * 48
    assert sum(samples for _, samples in kit.played) == 200 * 24
    assert answer.output_tokens == (3, 4)
    assert answer.spoken["item_1"].source_ms == 300


def test_a_silent_response_drops_the_sound() -> None:
    kit = Kit(text=True)
    kit.answer.sound("item_1", frame(100))
    kit.answer.words("item_1", "Hello")
    assert [each.delta for each in kit.all(ev.ResponseOutputTextDelta)] == ["Hello"]
    assert kit.played == []


def test_calls_here_and_at_the_client() -> None:
    kit = Kit(text=True)
    answer = kit.answer
    answer.call("item_1", "call_1", "weather", '{"a"', None)
    answer.call("item_1", "call_1", "weather", ": 1}", None)
    answer.call("item_2", "call_2", "roll", "", "here")
    answer.call("item_2", "call_2", "roll", "{}", "here")
    assert (answer.client_calls, answer.calls_now) == (1, 2)
    assert [each.delta for each in kit.all(ev.ResponseFunctionCallArgumentsDelta)] == ['{"a"', ": 1}"]
    assert [each.delta for each in kit.all(ev.ResponseMcpCallArgumentsDelta)] == ["{}"]
    assert answer.calls == {"item_1": '{"a": 1}', "item_2": "{}"}


def test_nothing_is_said_once_it_is_over() -> None:
    kit = Kit()
    kit.answer.words("item_1", "Hello")
    kit.answer.writer.cancel()
    count = len(kit.said)
    kit.answer.words("item_1", "more")
    kit.answer.sound("item_1", frame(100))
    kit.answer.end_message("item_1")
    assert len(kit.said) == count
