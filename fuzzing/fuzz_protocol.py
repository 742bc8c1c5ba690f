"""Spoilt frames against the whole of `repartee.protocol`: each is read, or refused with a documented exception.

A frame that is read is written again and must read the same; then a server answers it, and a client takes it in.
Anything else that is raised is a bug, and is shown with the frame.

Run it with ``python -m fuzzing.fuzz_protocol [--seconds N] [--seed N]``; with atheris installed it can be guided by
coverage (``python -m fuzzing.fuzz_protocol --atheris``, and libFuzzer's own options behind it).
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from repartee.errors import RemoteProtocolError
from repartee.protocol.beta import BetaDialect
from repartee.protocol.codec import decode_client_event, decode_server_event, encode
from repartee.protocol.connection import CLIENT, SERVER, Connection

SEEDS = [
    b'{"type":"session.update","session":{"type":"realtime","audio":{"input":{"format":{"type":"audio/pcm","rate":24000},'
    b'"turn_detection":{"type":"server_vad","threshold":0.5},"transcription":{"model":"m"}},"output":{"voice":"marin"}},'
    b'"model":"m","instructions":"","tools":[{"type":"function","name":"f","parameters":{"type":"object"}}],"tool_choice":"auto","tracing":null}}',
    b'{"type":"input_audio_buffer.append","audio":"AAAAAAAA"}',
    b'{"type":"input_audio_buffer.commit","event_id":"e1"}',
    b'{"type":"conversation.item.create","previous_item_id":"root","item":{"type":"message","id":"i1","role":"user",'
    b'"content":[{"type":"input_text","text":"hi"},{"type":"input_audio","audio":"AAAA","transcript":null}]}}',
    b'{"type":"conversation.item.create","item":{"type":"function_call_output","call_id":"c","output":"{}"}}',
    b'{"type":"conversation.item.truncate","item_id":"i1","content_index":0,"audio_end_ms":10}',
    b'{"type":"conversation.item.delete","item_id":"i1"}',
    b'{"type":"response.create","response":{"conversation":"none","metadata":{"a":"b"},"input":[{"type":"item_reference",'
    b'"id":"i1"}],"output_modalities":["text"],"max_output_tokens":"inf"}}',
    b'{"type":"response.cancel","response_id":"r"}',
    b'{"type":"session.created","event_id":"e","session":{"type":"realtime","id":"s","audio":{"output":{"voice":{"id":"v"}}}}}',
    b'{"type":"response.created","event_id":"e","response":{"id":"r","conversation_id":"c","status":"in_progress","output":[]}}',
    b'{"type":"response.output_item.added","event_id":"e","response_id":"r","output_index":0,"item":{"type":"message",'
    b'"id":"m","role":"assistant","status":"in_progress","content":[]}}',
    b'{"type":"conversation.item.added","event_id":"e","previous_item_id":null,"item":{"type":"message","id":"m",'
    b'"role":"assistant","content":[{"type":"output_audio","transcript":"x"}]}}',
    b'{"type":"response.content_part.added","event_id":"e","response_id":"r","item_id":"m","output_index":0,'
    b'"content_index":0,"part":{"type":"audio","transcript":""}}',
    b'{"type":"response.output_audio.delta","event_id":"e","response_id":"r","item_id":"m","output_index":0,'
    b'"content_index":0,"delta":"AAAA"}',
    b'{"type":"conversation.item.truncated","event_id":"e","item_id":"m","content_index":0,"audio_end_ms":0}',
    b'{"type":"conversation.item.done","event_id":"e","item":{"type":"function_call","id":"f","name":"n","arguments":"{}"}}',
    b'{"type":"response.output_item.done","event_id":"e","response_id":"r","output_index":0,"item":{"type":"mcp_call",'
    b'"id":"x","server_label":"s","name":"n","arguments":"","error":{"type":"http_error","code":5}}}',
    b'{"type":"response.done","event_id":"e","response":{"id":"r","status":"failed","status_details":{"type":"failed",'
    b'"error":{"code":"x"}},"usage":{"input_tokens":1,"input_token_details":{"cached_tokens_details":{}}}}}',
    b'{"type":"input_audio_buffer.speech_started","event_id":"e","audio_start_ms":0,"item_id":"u"}',
    b'{"type":"conversation.item.input_audio_transcription.completed","event_id":"e","item_id":"u","content_index":0,'
    b'"transcript":"t","usage":{"type":"duration","seconds":1.5}}',
    b'{"type":"error","event_id":"e","error":{"type":"x","code":"y","message":"z","param":null,"event_id":"e1"}}',
]

WORDS = [
    b"null",
    b"true",
    b"-1",
    b"1e400",
    b"18446744073709551616",
    b'""',
    b"[]",
    b"{}",
    b'"\\ud800"',
    b"\xff",
    b",",
    b":",
]
KEYS = [
    b'"type"',
    b'"item"',
    b'"session"',
    b'"content"',
    b'"id"',
    b'"event_id"',
    b'"audio"',
    b'"response"',
    b'"x"',
]


class Fuzzer:
    """Spoils frames, and checks what becomes of them.

    Args:
        random: the dice.
    """

    def __init__(self, random: random.Random) -> None:
        self._random = random
        self._ends()
        self.accepted = 0
        self.refused = 0

    def _ends(self) -> None:
        self._server, self._client = Connection(SERVER), Connection(CLIENT)
        for event in self._server.server.start():
            self._client.receive(event)

    def once(self) -> None:
        """Try one frame; raises `AssertionError` for a bug."""
        if self._random.random() < 0.02:
            self._ends()
        frame = self._random.choice(SEEDS)
        for _ in range(self._random.randrange(4)):
            frame = self._spoilt(frame)
        self.check(frame)

    def _spoilt(self, frame: bytes) -> bytes:
        dice = self._random
        at = dice.randrange(len(frame) + 1)
        kind = dice.randrange(6)
        if kind == 0:
            return frame[:at] + bytes([dice.randrange(256)]) + frame[at + 1 :]
        if kind == 1:
            return frame[:at] + frame[at + dice.randrange(8) :]
        if kind == 2:
            return frame[:at] + dice.choice(WORDS) + frame[at:]
        colons = [i for i, byte in enumerate(frame) if byte == 0x3A]
        if kind == 3 and colons:  # another value
            at = dice.choice(colons) + 1
            end = min((i for i in (frame.find(b",", at), frame.find(b"}", at)) if i > 0), default=len(frame))
            return frame[:at] + dice.choice(WORDS) + frame[end:]
        if kind == 4:  # another key
            return frame.replace(dice.choice(KEYS), dice.choice(KEYS), 1)
        other = dice.choice(SEEDS)
        braces = [i for i, byte in enumerate(frame) if byte == 0x7B]
        at = dice.choice(braces) if braces else 0
        return frame[:at] + other + frame[at + dice.randrange(1, 60) :]

    def check(self, frame: bytes) -> None:
        """Try this frame."""
        try:
            self._check(frame)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}; by the frame {frame!r}") from error

    def _check(self, frame: bytes) -> None:
        for decode, end in ((decode_client_event, self._server), (decode_server_event, self._client)):
            try:
                event = decode(frame)
            except RemoteProtocolError as error:
                self.refused += 1
                for answer in self._server.server.refuse(error):
                    encode(answer)
                continue
            self.accepted += 1
            again = decode(encode(event))
            assert again == event, f"{again} is not {event}"
            for answer in end.receive(event):
                self._client.receive(decode_server_event(encode(answer)))
            for writer in iter(self._server.server.next_response, None):
                for answer in writer.finish():
                    encode(answer)
        try:
            for event in BetaDialect().decode_client_event(frame):
                BetaDialect().encode(event)
        except RemoteProtocolError:
            pass


def fuzz_with_atheris() -> None:
    """Let coverage choose the frames."""
    import atheris  # type: ignore[import-untyped]

    fuzzer = Fuzzer(random.Random(0))
    atheris.Setup([sys.argv[0], *sys.argv[2:]], fuzzer.check)
    atheris.Fuzz()


def main() -> None:
    """Run for some seconds, or with atheris for ever."""
    if sys.argv[1:2] == ["--atheris"]:
        fuzz_with_atheris()
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    fuzzer = Fuzzer(random.Random(options.seed))
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        fuzzer.once()
    print(f"{fuzzer.accepted} read, {fuzzer.refused} refused, nothing else")


if __name__ == "__main__":
    main()
