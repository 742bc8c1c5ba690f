"""What an event costs to write and to read, in µs, beside the standard library's json and base64 in the same run.

The audio is 100 ms of 24 kHz PCM, 4800 bytes. Run it with: python bench/codec.py [--rounds N]
"""

from __future__ import annotations

import argparse
import base64
import functools
import json
import timeit
from collections.abc import Callable
from typing import Any

from repartee.protocol import events as ev
from repartee.protocol.codec import decode_client_event, decode_server_event, encode
from repartee.protocol.connection import CLIENT, SERVER, Connection
from repartee.protocol.sessions import default_session

PCM = bytes(range(256)) * 18 + bytes(192)


def us(call: Callable[[], Any], rounds: int) -> float:
    """The least time of five series, a call."""
    return min(timeit.repeat(call, number=rounds, repeat=5)) / rounds * 1e6


def by_json(raw: dict[str, Any], field: str | None) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Writing and reading as the standard library would do it."""
    frame = json.dumps({**raw, field: base64.b64encode(PCM).decode()} if field else raw)

    def write() -> str:
        return json.dumps({**raw, field: base64.b64encode(PCM).decode()} if field else raw)

    def read() -> Any:
        found = json.loads(frame)
        return base64.b64decode(found[field]) if field else found

    return write, read


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3000)
    rounds = parser.parse_args().rounds
    where: dict[str, Any] = {
        "response_id": "resp_" + "a" * 21,
        "item_id": "item_" + "b" * 21,
        "output_index": 0,
        "content_index": 0,
        "event_id": "event_" + "c" * 21,
    }
    session = default_session(id="sess_" + "d" * 21, model="model")
    rows: list[tuple[str, Any, Any, str | None]] = [
        ("input_audio_buffer.append", ev.InputAudioBufferAppend(audio=PCM), decode_client_event, "audio"),
        (
            "response.output_audio.delta",
            ev.ResponseOutputAudioDelta(delta=PCM, **where),
            decode_server_event,
            "delta",
        ),
        (
            "response.output_text.delta",
            ev.ResponseOutputTextDelta(delta="words ", **where),
            decode_server_event,
            None,
        ),
        ("session.updated", ev.SessionUpdated(session=session), decode_server_event, None),
    ]
    print(f"{'µs an event':<32}{'write':>8}{'json':>8}{'read':>8}{'json':>8}")
    for name, event, decode, field in rows:
        frame = encode(event)
        raw = json.loads(frame)
        if field:
            del raw[field]
        write, read = by_json(raw, field)
        figures: list[Callable[[], Any]] = [
            functools.partial(encode, event),
            write,
            functools.partial(decode, frame),
            read,
        ]
        print(f"{name:<32}" + "".join(f"{us(each, rounds):8.2f}" for each in figures))
    print(
        f"{'the state, an audio delta':<32}"
        + f"{_state(rounds):8.2f}   (server's writer and client's flow together)"
    )


def _state(rounds: int) -> float:
    server, client = Connection(SERVER), Connection(CLIENT)
    for event in server.server.start():
        client.receive(event)
    writer, made = server.server.respond()
    for event in [*made, *writer.begin_message()]:
        client.receive(event)

    def once() -> None:
        for event in writer.audio(PCM):
            client.receive(event)

    return us(once, rounds)


if __name__ == "__main__":
    main()
