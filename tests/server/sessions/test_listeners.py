"""Who listens to a session."""

from __future__ import annotations

import json

from repartee.protocol import events as ev
from repartee.protocol.beta import BetaDialect
from repartee.server.sessions.listeners import Listeners

DELTA = ev.ResponseOutputAudioDelta(
    event_id="e", response_id="r", item_id="i", output_index=0, content_index=0, delta=b"\0\0"
)
WORDS = ev.ResponseOutputTextDelta(
    event_id="e", response_id="r", item_id="i", output_index=0, content_index=0, delta="hi"
)


class Ear:
    """A client."""

    def __init__(self, *, observe: bool = False) -> None:
        self.observe = observe
        self.frames: list[bytes] = []
        self.types: list[str] = []
        self.closed: list[tuple[int, str]] = []

    def send(self, frame: bytes, *, audio: bool = False) -> None:
        self.frames.append(frame)
        self.types.append(json.loads(frame)["type"] + (" (audio)" if audio else ""))

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


def test_a_sideband_gets_no_audio_and_what_is_encoded_once_goes_to_all() -> None:
    listeners = Listeners(sends_audio=True)
    main, side = Ear(), Ear()
    listeners.add(main, sideband=False, dialect=None)
    listeners.add(side, sideband=True, dialect=None)
    listeners.tell([WORDS, DELTA])
    assert main.types == ["response.output_text.delta", "response.output_audio.delta (audio)"]
    assert side.types == ["response.output_text.delta"]
    assert main.frames[0] is side.frames[0]
    listeners.remove(side)
    listeners.tell([WORDS])
    assert len(side.frames) == 1
    assert len(listeners) == 1


def test_nobody_gets_audio_where_the_server_plays() -> None:
    listeners = Listeners(sends_audio=False)
    main = Ear()
    listeners.add(main, sideband=False, dialect=None)
    listeners.tell([DELTA])
    assert main.types == []


def test_only_observers_observe() -> None:
    listeners = Listeners(sends_audio=True)
    plain, page = Ear(), Ear(observe=True)
    listeners.add(plain, sideband=False, dialect=None)
    assert [listeners.observed] == [False]
    listeners.add(page, sideband=True, dialect=None)
    assert listeners.observed
    listeners.tell_observers({"type": "repartee.state"})
    assert (plain.types, page.types) == ([], ["repartee.state"])


def test_a_dialect_of_its_own_and_the_end() -> None:
    listeners = Listeners(sends_audio=True)
    old, new = Ear(), Ear()
    dialect = BetaDialect()
    listeners.add(new, sideband=False, dialect=None)
    assert [listeners.translates] == [False]
    listeners.add(old, sideband=False, dialect=dialect)
    assert listeners.translates
    assert listeners.dialect_of(old) is dialect
    assert listeners.dialect_of(new) is None
    listeners.tell([WORDS, DELTA])
    assert old.types == ["response.text.delta", "response.audio.delta (audio)"]
    assert new.types[0] == "response.output_text.delta"
    listeners.close(1001, "over")
    assert old.closed == new.closed == [(1001, "over")]
