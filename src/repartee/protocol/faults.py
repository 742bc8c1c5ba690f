"""Everything that the server refuses, as one table: code, message, and whether the connection is closed for it.

The codes and messages are the live service's where they are known (clients match on them: one on the prefix
``Cancellation failed``, another on ``invalid_value`` with ``already``).
"""

from __future__ import annotations

import dataclasses
from typing import Final

from repartee.errors import ProtocolError
from repartee.protocol.server_events import Error, ErrorDetails

__all__ = ["CLOSE_EXPIRED", "CLOSE_NORMAL", "Close", "Fault", "error_event"]


@dataclasses.dataclass(frozen=True, slots=True)
class Close:
    """How a WebSocket is closed.

    Args:
        code: 1000–4999.
        reason: at most 123 bytes.
    """

    code: int
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One thing that can be wrong.

    Args:
        code: the protocol's.
        message: with the fields of `error` in braces.
        param: the field at fault, where it is always the same.
        type: the class of error.
        close: how the connection is closed after it; ``None``: it stays open, as after nearly all.
    """

    code: str
    message: str
    param: str | None = None
    type: str = "invalid_request_error"
    close: Close | None = None

    def error(self, *, param: str | None = None, **fields: object) -> ProtocolError:
        """The exception that says it."""
        message = self.message.format(param=param or self.param, **fields)
        return ProtocolError(message, code=self.code, param=param or self.param)

    def event(self, *, param: str | None = None, **fields: object) -> Error:
        """The error event that says it, by itself: no client event is at fault."""
        return error_event(self.error(param=param, **fields), type=self.type)


def error_event(
    error: ProtocolError, event_id: str | None = None, *, type: str = "invalid_request_error"
) -> Error:
    """The event that tells a client of an error.

    Args:
        error: what was wrong.
        event_id: the id of the client event at fault; its own if the error knows it.
        type: ``invalid_request_error``, ``server_error``, …
    """
    return Error(
        error=ErrorDetails(
            type=type,
            code=error.code,
            message=str(error),
            param=error.param,
            event_id=event_id or error.event_id,
        )
    )


CLOSE_NORMAL: Final = Close(1000)
CLOSE_EXPIRED: Final = Close(1001, "Your session hit the maximum duration of 60 minutes.")


def _fatal(code: str, message: str, close: int) -> Fault:
    return Fault(code, message, close=Close(close, f"invalid_request_error.{code}"))


# ---------------------------------------------------------------------------------------------------- any event

INVALID_VALUE: Final = Fault("invalid_value", "Invalid value for '{param}': {detail}.")
UNSUPPORTED_TYPE: Final = Fault(
    "invalid_value", "Invalid value: '{type}'. Supported values are: {supported}.", param="type"
)
MISSING_PARAMETER: Final = Fault("missing_required_parameter", "Missing required parameter: '{param}'.")
UNKNOWN_PARAMETER: Final = Fault("unknown_parameter", "Unknown parameter: '{param}'.")
TOO_LONG: Final = Fault(
    "string_above_max_length",
    "Invalid '{param}': string too long. Expected a string with maximum length {maximum}, "
    "but got a string with length {length} instead.",
)
SESSION_OVER: Final = Fault("session_closed", "The session is over; open a new connection.")

# ----------------------------------------------------------------------------------------------------- session

CANNOT_UPDATE_VOICE: Final = Fault(
    "cannot_update_voice",
    "Cannot update a conversation's voice if assistant audio is present.",
    param="session.audio.output.voice",
)
SESSION_EXPIRED: Final = Fault("session_expired", CLOSE_EXPIRED.reason, close=CLOSE_EXPIRED)
INVALID_API_KEY: Final = _fatal("invalid_api_key", "Incorrect API key provided.", 3000)
INVALID_MODEL: Final = _fatal("invalid_model", 'Model "{model}" is not supported in realtime mode.', 4000)
BETA_DISABLED: Final = _fatal(
    "beta_api_shape_disabled", "The beta shape of the Realtime API is off; use the current one.", 4000
)

# ---------------------------------------------------------------------------------------- the caller's audio

COMMIT_EMPTY: Final = Fault(
    "input_audio_buffer_commit_empty",
    "Error committing input audio buffer: buffer too small. Expected at least {minimum}ms of audio, "
    "but buffer only has {buffered:.2f}ms of audio.",
)
ODD_PCM: Final = Fault(
    "invalid_value", "Invalid 'audio': {length} bytes are no whole number of 16-bit samples.", param="audio"
)

# ------------------------------------------------------------------------------------------------ conversation

DUPLICATE_ITEM: Final = Fault(
    "item_create_duplicate_item_id",
    "Error adding item: an item with id '{item_id}' already exists.",
    param="item.id",
)
INVALID_PREVIOUS: Final = Fault(
    "item_create_invalid_previous_item_id",
    "Error adding item: the previous item with id '{item_id}' does not exist.",
    param="previous_item_id",
)
TRUNCATE_UNKNOWN: Final = Fault(
    "item_truncate_invalid_item_id", "Item with item_id not found: {item_id}", param="item_id"
)
TRUNCATE_NO_AUDIO: Final = Fault(
    "invalid_value", "Only model output audio messages can be truncated.", param="item_id"
)
TRUNCATE_NO_PART: Final = Fault(
    "invalid_value", "The item has no audio at content_index {content_index}.", param="content_index"
)
TRUNCATE_PAST_END: Final = Fault(
    "invalid_value",
    "Audio content of {duration}ms is already shorter than {audio_end}ms",
    param="audio_end_ms",
)
DELETE_UNKNOWN: Final = Fault(
    "item_delete_invalid_item_id", "Error deleting item: the item with id '{item_id}' does not exist."
)
RETRIEVE_UNKNOWN: Final = Fault(
    "item_retrieve_invalid_item_id",
    "Error retrieving item: the item with id '{item_id}' does not exist.",
    param="item_id",
)
CONVERSATION_TOO_LONG: Final = Fault(
    "conversation_too_long", "Conversation is too long to create a Response."
)

# --------------------------------------------------------------------------------------------------- responses

ALREADY_ACTIVE: Final = Fault(
    "conversation_already_has_active_response",
    "Conversation already has an active response in progress: {response_id}. "
    "Wait until the response is finished before creating a new one.",
)
TOO_MANY_RESPONSES: Final = Fault(
    "rate_limit_exceeded", "{maximum} responses are in progress already; wait until one is done."
)
CANCEL_NOT_ACTIVE: Final = Fault(
    "response_cancel_not_active", "Cancellation failed: no active response found"
)
