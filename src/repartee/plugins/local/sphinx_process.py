"""A PocketSphinx decoder in a process of its own, where its C functions can't be called (Windows).

There only the package's Python API is left, which holds the interpreter's lock for up to 26 ms while it decodes. In
a process of its own it holds nobody else's. `ProcessDecoder` has the methods of `pocketsphinx_ffi.Decoder`; a
thread that waits for an answer waits on a pipe, without the lock. It costs 90 MB each, since nothing is shared.

Each message, in both directions, is a length (32 bits, big endian) and that many bytes: one letter and what
belongs to it. The answer to ``S`` start, ``A`` audio, ``C`` cepstral mean is text; to ``F`` finish, JSON; ``!`` is
an error's message.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from repartee.errors import ModelFileError
from repartee.plugins.local.pocketsphinx_ffi import FILLERS, Hypothesis, Segment

__all__ = ["ProcessDecoder"]

_LENGTH: Final = struct.Struct(">I")


class ProcessDecoder:
    """One recogniser, in a child process. See `pocketsphinx_ffi.Decoder` for the arguments and methods."""

    def __init__(
        self,
        config: Mapping[str, str | int | float | bool],
        *,
        grammar: str | None = None,
        words: Mapping[str, str] | None = None,
    ) -> None:
        self._text = ""
        source = str(Path(__file__).parents[3])
        path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH", ""))))
        self._child = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
        settings = {"config": dict(config), "grammar": grammar, "words": dict(words or {})}
        try:
            self._ask(b"S", json.dumps(settings).encode())
        except RuntimeError as error:
            self.close()
            raise ModelFileError(str(error)) from error

    def start(self) -> None:
        """Begin an utterance."""
        self._text = ""
        self._ask(b"U")

    def feed(self, pcm: bytes) -> None:
        """Decode more of the utterance: PCM16 of 16 kHz."""
        self._text = self._ask(b"A", pcm).decode()

    def text(self) -> str:
        """What was said so far."""
        return self._text

    def finish(self) -> Hypothesis:
        """End the utterance."""
        found = json.loads(self._ask(b"F"))
        self._text = found["text"]
        return Hypothesis(found["text"], found["probability"], tuple(Segment(*s) for s in found["segments"]))

    def cmn(self) -> str:
        """The cepstral mean as it is now."""
        return self._ask(b"C").decode()

    def set_cmn(self, mean: str) -> None:
        """Set the cepstral mean, between utterances."""
        self._ask(b"C", mean.encode())

    def close(self) -> None:
        """End the process. Idempotent."""
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # it has ended before, and something was on the way
                pipe.close()  # the child ends when its input does
        self._child.kill()
        self._child.wait()

    def __del__(self) -> None:
        if hasattr(self, "_child") and self._child.returncode is None:
            self.close()

    def _ask(self, what: bytes, body: bytes = b"") -> bytes:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            _send(self._child.stdin, what + body)
            answer = _receive(self._child.stdout)
        except OSError as error:
            raise RuntimeError(f"the recogniser's process ended ({error})") from error
        if answer is None:
            raise RuntimeError(f"the recogniser's process ended with code {self._child.poll()}")
        if answer[:1] == b"!":
            raise RuntimeError(f"PocketSphinx refused: {answer[1:].decode()}")
        return answer[1:]


def _send(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(_LENGTH.pack(len(message)) + message)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes | None:
    """The next message; None at the end."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    return pipe.read(length)


def _serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """The child: answer until the input ends."""
    decoder: Any = None
    while (message := _receive(source)) is not None:
        what, body = message[:1], message[1:]
        try:
            if what == b"S":
                decoder, answer = _make(json.loads(body)), b""
            else:
                answer = _answer(decoder, what, body)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            _send(sink, b"!" + str(error).encode())
        else:
            _send(sink, b"=" + answer)


def _make(settings: dict[str, Any]) -> Any:
    import pocketsphinx

    decoder = pocketsphinx.Decoder(**{"lm": None, **settings["config"]})
    for word, phones in settings["words"].items():
        decoder.add_word(word, phones, True)
    if settings["grammar"] is not None:
        decoder.add_jsgf_string("repartee", settings["grammar"])
        decoder.activate_search("repartee")
    return decoder


def _answer(decoder: Any, what: bytes, body: bytes) -> bytes:
    if what == b"U":
        decoder.start_utt()
        return b""
    if what == b"A":
        decoder.process_raw(body, False, False)
        found = decoder.hyp()
        return found.hypstr.encode() if found is not None else b""
    if what == b"C":
        if body:
            decoder.set_cmn(body.decode())
        return str(decoder.get_cmn(True)).encode()
    decoder.end_utt()
    found = decoder.hyp()
    if found is None or not found.hypstr:
        return json.dumps({"text": "", "probability": 0.0, "segments": []}).encode()
    segments = [
        (s.word.partition("(")[0], s.start_frame, s.end_frame + 1, min(1.0, s.prob))
        for s in decoder.seg()
        if not s.word.startswith(FILLERS)
    ]
    whole = {"text": found.hypstr, "probability": min(1.0, found.prob), "segments": segments}
    return json.dumps(whole).encode()


if __name__ == "__main__":
    # The library's own parsers may print; that must not get between the messages.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        _serve(sys.stdin.buffer, answers)
