"""Frames to events and back: one JSON object a text frame.

Nearly all frames of a session are audio, so audio has a road of its own (`_read_audio`, `encode`'s templates): no tree
of Python objects, base64 by pybase64. Everything else is read into JSON's own values first, for the sake of unknown
fields and of errors that name the field.

Frames that are too large are refused before anything is decoded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pybase64

from repartee.errors import RemoteProtocolError
from repartee.protocol.client_events import (
    ClientEvent,
    InputAudioBufferAppend,
    SessionInputAudioBufferAppend,
)
from repartee.protocol.limits import EVENT_ID_CHARS
from repartee.protocol.model import UNSET, Family, Model, Unknown, extra, from_raw, given, to_json
from repartee.protocol.response_events import ResponseOutputAudioDelta
from repartee.protocol.server_events import ServerEvent

__all__ = [
    "DEFAULT_LIMITS",
    "CodecLimits",
    "decode_client_event",
    "decode_object",
    "decode_server_event",
    "encode",
    "encode_append",
    "encode_object",
    "event_from_raw",
    "param_of",
    "read_append",
]


@dataclasses.dataclass(frozen=True, slots=True)
class CodecLimits:
    """What is refused before it is decoded.

    Args:
        append_bytes: audio of one ``input_audio_buffer.append``, decoded. Default: 15 MiB, as OpenAI's.
        frame_bytes: a whole frame. Default: an append of 15 MiB in base64, and 64 KiB around it.
    """

    append_bytes: int = 15 << 20
    frame_bytes: int = (15 << 20) * 4 // 3 + (64 << 10)


DEFAULT_LIMITS: Final = CodecLimits()

# ------------------------------------------------------------------------------------------------------------ reading


class _Append(msgspec.Struct, tag="input_audio_buffer.append", forbid_unknown_fields=True, gc=False):
    audio: str
    event_id: str | msgspec.UnsetType = UNSET


class _AudioDelta(msgspec.Struct, tag="response.output_audio.delta", forbid_unknown_fields=True, gc=False):
    delta: str
    event_id: str
    response_id: str
    item_id: str
    output_index: int
    content_index: int


_APPEND_MARK = b'"input_audio_buffer.append"'
_DELTA_MARK = b'"response.output_audio.delta"'
_MARK_WITHIN = 160
"""Where the type stands if the sender writes it early, as all do. Further on, the frame takes the ordinary road."""
_read_append = msgspec.json.Decoder(_Append).decode
_read_audio_delta = msgspec.json.Decoder(_AudioDelta).decode
_read_any = msgspec.json.Decoder().decode


def decode_client_event(frame: bytes | str, limits: CodecLimits = DEFAULT_LIMITS) -> ClientEvent:
    """Read what a client sent.

    Returns:
        The event; `UnknownEvent` if its type is not known.

    Raises:
        RemoteProtocolError: no JSON object, too large, or a field is missing or of a wrong type. Its ``code`` and
            ``param`` are those of the error event that answers it, its ``event_id`` the one the client gave.
    """
    data = (
        frame if type(frame) is bytes and len(frame) <= limits.frame_bytes else _bytes_within(frame, limits)
    )
    if data.find(_APPEND_MARK, 0, _MARK_WITHIN) >= 0:
        try:
            append = _read_append(data)
            if len(append.audio) // 4 * 3 > limits.append_bytes + 2:
                _check_append(len(append.audio), limits, given(append.event_id, "") or None)
            return InputAudioBufferAppend(
                audio=pybase64.b64decode(append.audio, validate=True), event_id=append.event_id
            )
        except (msgspec.DecodeError, ValueError):
            pass  # an unknown field, or an error: the ordinary road keeps the one and names the other
    event: ClientEvent = event_from_raw(_read_object(data), ClientEvent, limits)
    return event


def read_append(frame: bytes | str, limits: CodecLimits = DEFAULT_LIMITS) -> bytes | None:
    """The audio of an ``input_audio_buffer.append`` with which nothing is wrong: a short cut for nearly all frames.

    Returns:
        The audio; ``None``: `decode_client_event` tells what else it is, or what is wrong with it.
    """
    if type(frame) is not bytes or frame.find(_APPEND_MARK, 0, _MARK_WITHIN) < 0:
        return None
    if len(frame) // 4 * 3 > limits.append_bytes:
        return None
    try:
        append = _read_append(frame)
        event_id = append.event_id
        if event_id is not UNSET and len(event_id) > EVENT_ID_CHARS:
            return None
        return pybase64.b64decode(append.audio, validate=True)
    except (msgspec.DecodeError, ValueError):
        return None


def decode_server_event(frame: bytes | str, limits: CodecLimits = DEFAULT_LIMITS) -> ServerEvent:
    """Read what a server sent. As `decode_client_event`."""
    data = _bytes_within(frame, limits)
    if data.find(_DELTA_MARK, 0, _MARK_WITHIN) >= 0:
        try:
            delta = _read_audio_delta(data)
            return ResponseOutputAudioDelta(
                delta=pybase64.b64decode(delta.delta, validate=True),
                event_id=delta.event_id,
                response_id=delta.response_id,
                item_id=delta.item_id,
                output_index=delta.output_index,
                content_index=delta.content_index,
            )
        except (msgspec.DecodeError, ValueError):
            pass
    event: ServerEvent = event_from_raw(_read_object(data), ServerEvent, limits)
    return event


def _bytes_within(frame: bytes | str, limits: CodecLimits) -> bytes:
    if len(frame) > limits.frame_bytes:
        raise RemoteProtocolError(
            f"A frame of {len(frame)} bytes is too large; at most {limits.frame_bytes} are read.",
            code="invalid_event",
        )
    if isinstance(frame, str):
        try:
            frame = frame.encode()
        except UnicodeEncodeError:
            raise RemoteProtocolError(
                "The frame is no Unicode text (a lone surrogate).", code="invalid_event"
            ) from None
    return frame


def decode_object(frame: bytes | str, limits: CodecLimits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Read a frame as the JSON object that it is, of whatever fields.

    Raises:
        RemoteProtocolError: it is none, or too large.
    """
    return _read_object(_bytes_within(frame, limits))


def _read_object(data: bytes) -> dict[str, Any]:
    try:
        raw = _read_any(data)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        detail = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RemoteProtocolError(
            f"The frame is not the JSON of an event: {detail}.", code="invalid_event"
        ) from None
    if not isinstance(raw, dict):
        raise RemoteProtocolError("A frame must hold one JSON object.", code="invalid_event")
    return raw


def event_from_raw(raw: dict[str, Any], family: type[Family], limits: CodecLimits = DEFAULT_LIMITS) -> Any:
    """An event from decoded JSON; as `decode_client_event` and `decode_server_event`, which are this after JSON."""
    event_id = raw.get("event_id")
    event_id = event_id if isinstance(event_id, str) else None
    if "type" not in raw:
        raise RemoteProtocolError("The 'type' field is missing.", code="invalid_event", event_id=event_id)
    if raw["type"] in ("input_audio_buffer.append", "session.input_audio_buffer.append"):
        audio = raw.get("audio")
        _check_append(len(audio) if isinstance(audio, str) else 0, limits, event_id)
    try:
        return from_raw(family, raw)
    except (ValueError, RecursionError) as error:
        raise _refused(str(error), event_id) from None


def _check_append(base64_chars: int, limits: CodecLimits, event_id: str | None = None) -> None:
    if base64_chars // 4 * 3 > limits.append_bytes + 2:
        raise RemoteProtocolError(
            f"Invalid 'audio': {base64_chars // 4 * 3} bytes in one event; at most {limits.append_bytes} are taken.",
            code="invalid_value",
            param="audio",
            event_id=event_id,
        )


def _refused(message: str, event_id: str | None) -> RemoteProtocolError:
    """An error of section H from msgspec's words, such as ``Expected `int`, got `str` - at `$.rate```."""
    what, param = param_of(message)
    if what.startswith("Object missing required field"):
        field = what.split("`")[1]
        param = f"{param}.{field}" if param else field
        text, code = f"Missing required parameter: '{param}'.", "missing_required_parameter"
    elif what.startswith("Expected"):
        text = f"Invalid type for '{param}': {what[0].lower()}{what[1:].replace('`', '')}."
        code = "invalid_type"
    else:
        text, code = f"Invalid value for '{param}': {what.replace('`', '')}.", "invalid_value"
    return RemoteProtocolError(text, code=code, param=param or None, event_id=event_id)


def param_of(message: str) -> tuple[str, str]:
    """Split a message of msgspec's into what is wrong and where: ``session.audio.input.format.rate``.

    An object within a family adds its own path behind that of the object within it, so the paths come inside out.
    """
    what, *paths = message.split(" - at ")
    return what, "".join(path.strip("`").removeprefix("$") for path in reversed(paths)).lstrip(".")


# ------------------------------------------------------------------------------------------------------------ writing

_text: Callable[[Any], bytes] = msgspec.json.Encoder().encode
_b64: Callable[[bytes], bytes] = pybase64.b64encode


def encode(event: ClientEvent | ServerEvent) -> bytes:
    """Write an event as one frame of JSON (UTF-8). Absent fields are not written, unknown ones are.

    Raises:
        TypeError: it is no event, or a field holds something that JSON has no form for.
    """
    write = _TEMPLATES.get(type(event))
    if write is not None and not extra(event):  # type: ignore[arg-type]
        return write(event)
    if not isinstance(event, Model | Unknown):
        raise TypeError(f"{type(event).__name__} is no event of the protocol")
    return to_json(event)


def encode_object(raw: dict[str, Any]) -> bytes:
    """Write a JSON object as a frame."""
    return _text(raw)


def encode_append(audio: bytes) -> bytes:
    """Write an ``input_audio_buffer.append`` without an id: what a client sends fifty times a second."""
    return b'{"type":"input_audio_buffer.append","audio":"%b"}' % _b64(audio)


def _event_id(event: Any) -> bytes:
    return b"" if event.event_id is UNSET else b',"event_id":' + _text(event.event_id)


def _write_append(event: InputAudioBufferAppend) -> bytes:
    return b'{"type":"input_audio_buffer.append"%b,"audio":"%b"}' % (_event_id(event), _b64(event.audio))


def _write_translation_append(event: SessionInputAudioBufferAppend) -> bytes:
    return b'{"type":"session.input_audio_buffer.append"%b,"audio":"%b"}' % (
        _event_id(event),
        _b64(event.audio),
    )


def _write_audio_delta(event: ResponseOutputAudioDelta) -> bytes:
    return (
        b'{"type":"response.output_audio.delta"%b,"response_id":%b,"item_id":%b,"output_index":%d,'
        b'"content_index":%d,"delta":"%b"}'
    ) % (
        _event_id(event),
        _text(event.response_id),
        _text(event.item_id),
        event.output_index,
        event.content_index,
        _b64(event.delta),
    )


_TEMPLATES: Final[dict[type, Callable[[Any], bytes]]] = {
    InputAudioBufferAppend: _write_append,
    ResponseOutputAudioDelta: _write_audio_delta,
    SessionInputAudioBufferAppend: _write_translation_append,
}
"""The events that carry audio, written without a tree of objects: 3 times as fast."""
