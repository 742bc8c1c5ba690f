"""The beta's names for the same things (``OpenAI-Beta: realtime=v1``), as one set of tables, both directions.

The core speaks the current (GA) shape only. `BetaDialect` stands between it and the codec, on decoded JSON, at either
end: what comes in is put into GA names, what goes out into the beta's (`decode_client_event`, `decode_server_event`,
`encode`, in the place of the codec's own). Unknown fields pass through.

Besides names two things differ. The beta announces an item once (``conversation.item.created``), GA twice (``added``,
``done``); and the beta's session is flat, with all fields of both directions side by side.
"""

from __future__ import annotations

from typing import Any, Final

from repartee.protocol.client_events import ClientEvent
from repartee.protocol.codec import DEFAULT_LIMITS, CodecLimits, decode_object, encode_object, event_from_raw
from repartee.protocol.model import to_raw
from repartee.protocol.server_events import ServerEvent

__all__ = ["EVENT_NAMES", "FORMATS", "PART_TYPES", "RESPONSE_FIELDS", "SESSION_FIELDS", "BetaDialect"]

Json = dict[str, Any]

EVENT_NAMES: Final[dict[str, str]] = {
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "conversation.item.added": "conversation.item.created",
}
"""GA → beta. All other events have one name."""

TRANSCRIPTION_EVENT_NAMES: Final[dict[str, str]] = {
    "session.update": "transcription_session.update",
    "session.created": "transcription_session.created",
    "session.updated": "transcription_session.updated",
}
"""GA → beta, in transcription sessions only."""

PART_TYPES: Final[dict[str, str]] = {"output_text": "text", "output_audio": "audio"}
"""GA → beta, in items of the assistant. ``response.content_part.*`` says ``text`` and ``audio`` in both."""

FORMATS: Final[dict[str, str]] = {"audio/pcm": "pcm16", "audio/pcmu": "g711_ulaw", "audio/pcma": "g711_alaw"}
"""GA type → beta name."""

SESSION_FIELDS: Final[dict[str, str]] = {
    "output_modalities": "modalities",
    "max_output_tokens": "max_response_output_tokens",
    "audio.input.format": "input_audio_format",
    "audio.input.transcription": "input_audio_transcription",
    "audio.input.noise_reduction": "input_audio_noise_reduction",
    "audio.input.turn_detection": "turn_detection",
    "audio.output.format": "output_audio_format",
    "audio.output.voice": "voice",
    "audio.output.speed": "speed",
}
"""GA path → beta field, in a session."""

RESPONSE_FIELDS: Final[dict[str, str]] = {
    "output_modalities": "modalities",
    "audio.output.format": "output_audio_format",
    "audio.output.voice": "voice",
}
"""GA path → beta field, in a response, and in what ``response.create`` asks for."""

DROPPED: Final = ("temperature",)
"""What only the beta has; GA refuses it."""


class BetaDialect:
    """Translates between GA and the beta, for one connection, either role.

    Args:
        transcription: whether it is a transcription session: its events have names of their own.
    """

    def __init__(self, *, transcription: bool = False) -> None:
        self._names = {**EVENT_NAMES, **(TRANSCRIPTION_EVENT_NAMES if transcription else {})}
        self._back = {beta: ga for ga, beta in self._names.items()}
        self._kind = "transcription" if transcription else "realtime"
        self._in_progress: set[str] = set()
        """Items of a beta server that were announced and are not complete: GA says when they are."""

    def decode_client_event(
        self, frame: bytes | str, limits: CodecLimits = DEFAULT_LIMITS
    ) -> list[ClientEvent]:
        """Read what a beta client sent; raises as `codec.decode_client_event` does."""
        made = self.from_beta(decode_object(frame, limits))
        return [event_from_raw(raw, ClientEvent, limits) for raw in made]

    def decode_server_event(
        self, frame: bytes | str, limits: CodecLimits = DEFAULT_LIMITS
    ) -> list[ServerEvent]:
        """Read what a beta server sent; raises as `codec.decode_server_event` does."""
        made = self.from_beta(decode_object(frame, limits))
        return [event_from_raw(raw, ServerEvent, limits) for raw in made]

    def encode(self, event: ClientEvent | ServerEvent) -> list[bytes]:
        """Write an event for a beta peer: one frame, or none."""
        return [encode_object(raw) for raw in self.to_beta(to_raw(event))]

    # ------------------------------------------------------------------------------------------------------ GA → beta

    def to_beta(self, event: Json) -> list[Json]:
        """A GA event, of either role, in the beta's names; none if the beta has no such event."""
        event_type = event.get("type")
        if event_type == "conversation.item.done":
            return []
        made = {**event, "type": self._names.get(str(event_type), event_type)}
        if isinstance(made.get("session"), dict):
            session = _flattened(made["session"], SESSION_FIELDS)
            session.pop("type", None)
            made["session"] = session
        if isinstance(made.get("response"), dict):
            made["response"] = self._response_to_beta(made["response"])
        if isinstance(made.get("item"), dict):
            made["item"] = _with_parts(made["item"], PART_TYPES)
        return [made]

    def _response_to_beta(self, response: Json) -> Json:
        made = _flattened(response, RESPONSE_FIELDS)
        for name in ("output", "input"):
            if isinstance(made.get(name), list):
                made[name] = [_with_parts(item, PART_TYPES) for item in made[name]]
        return made

    # ------------------------------------------------------------------------------------------------------ beta → GA

    def from_beta(self, event: Json) -> list[Json]:
        """A beta event, of either role, in GA names; two where GA says it in two."""
        event_type = event.get("type")
        made = {**event, "type": self._back.get(str(event_type), event_type)}
        if isinstance(made.get("session"), dict):
            session = _nested(made["session"], SESSION_FIELDS)
            made["session"] = {"type": self._kind, **session}
        if isinstance(made.get("response"), dict):
            made["response"] = self._response_from_beta(made["response"])
        if isinstance(made.get("item"), dict):
            made["item"] = _with_parts(made["item"], _PARTS_BACK)
        if made["type"] == "conversation.item.added":
            return self._announced(made)
        if made["type"] == "response.output_item.done":
            return self._ended(made)
        return [made]

    def _response_from_beta(self, response: Json) -> Json:
        made = _nested(response, RESPONSE_FIELDS)
        for name in ("output", "input"):
            if isinstance(made.get(name), list):
                made[name] = [_with_parts(item, _PARTS_BACK) for item in made[name]]
        return made

    def _announced(self, added: Json) -> list[Json]:
        item = added.get("item")
        if isinstance(item, dict) and item.get("status") == "in_progress":
            self._in_progress.add(str(item.get("id")))
            return [added]
        return [added, {**added, "type": "conversation.item.done"}]

    def _ended(self, done: Json) -> list[Json]:
        item = done.get("item")
        item_id = str(item.get("id")) if isinstance(item, dict) else ""
        if item_id not in self._in_progress:
            return [done]
        self._in_progress.discard(item_id)
        return [{"type": "conversation.item.done", "event_id": done.get("event_id", ""), "item": item}, done]


_PARTS_BACK: Final = {beta: ga for ga, beta in PART_TYPES.items()}
_FORMATS_BACK: Final = {beta: ga for ga, beta in FORMATS.items()}


def _flattened(config: Json, fields: dict[str, str]) -> Json:
    made = {name: value for name, value in config.items() if name != "audio"}
    for path, name in fields.items():
        value: Any = config
        *above, last = path.split(".")
        for step in above:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, dict) and last in value:
            made.pop(path, None)
            made[name] = _value_to_beta(last, value[last])
    return made


def _nested(config: Json, fields: dict[str, str]) -> Json:
    back = {beta: ga for ga, beta in fields.items()}
    made: Json = {}
    for name, value in config.items():
        if name in DROPPED:
            continue
        path = back.get(name, name)
        into = made
        *above, last = path.split(".")
        for step in above:
            if not isinstance(into.get(step), dict):
                into[step] = {}
            into = into[step]
        into[last] = _value_from_beta(last, value)
    return made


def _value_to_beta(name: str, value: Any) -> Any:
    if name == "format" and isinstance(value, dict):
        return FORMATS.get(str(value.get("type")), value)
    if name == "output_modalities" and value == ["audio"]:
        return ["text", "audio"]
    return value


def _value_from_beta(name: str, value: Any) -> Any:
    if name == "format" and isinstance(value, str) and value in _FORMATS_BACK:
        return {"type": _FORMATS_BACK[value], **({"rate": 24_000} if value == "pcm16" else {})}
    if name == "output_modalities" and isinstance(value, list):
        return ["audio"] if "audio" in value else ["text"]
    return value


def _with_parts(item: Any, types: dict[str, str]) -> Any:
    if (
        not isinstance(item, dict)
        or item.get("role") != "assistant"
        or not isinstance(item.get("content"), list)
    ):
        return item
    content = [
        {**part, "type": types.get(str(part.get("type")), part.get("type"))}
        if isinstance(part, dict)
        else part
        for part in item["content"]
    ]
    return {**item, "content": content}
