"""Every exception that repartee raises or emits, as one tree.

::

    ReparteeError
    ├── UsageError (also ValueError)        yours: the call was wrong; nothing was changed
    │   ├── ConfigurationError              parameters that contradict each other, or a part that is missing
    │   ├── AudioFormatError                not a sound file, an unsupported rate, odd-length PCM, no samples
    │   ├── StateError                      the call is not possible now (not started, already closed)
    │   └── ModelFileError                  a model or voice file that is missing, truncated or of another kind
    ├── MissingDependencyError (also ImportError)   an optional package is not installed; names the extra
    ├── DeviceError                         a microphone or loudspeaker is missing, busy, or went away
    ├── ModelError                          theirs: a model failed; says the stage and whether a retry can help
    │   ├── ModelConnectionError            it could not be reached, or the connection broke
    │   └── ModelTimeoutError               it did not answer within its deadline
    ├── ProtocolError                       an event that the Realtime protocol doesn't allow; names code and field
    │   ├── LocalProtocolError              ours: we were about to send it; nothing was sent or changed
    │   └── RemoteProtocolError             theirs: the far end sent it
    └── ToolError                           a tool failed in a way that the model may be told

A *usage* error is final until the caller changes something; a *model* error may pass by itself. Each message names
what was wrong and what would be right, and never holds a key.
"""

from __future__ import annotations

from typing import Literal

Stage = Literal["vad", "stt", "turn_detector", "llm", "tts", "realtime", "tool", "input", "output", "session"]
"""Where in a conversation something failed."""


class ReparteeError(Exception):
    """The root of the tree."""


class UsageError(ReparteeError, ValueError):
    """The call was wrong. Nothing was changed; correct the call and repeat it."""


class ConfigurationError(UsageError):
    """Parameters contradict each other, or a part that the configuration needs is missing."""


class AudioFormatError(UsageError):
    """Audio that can't be used as it is: its container, rate, channels or length."""


class StateError(UsageError):
    """The call is not possible in the present state (not started, already closed)."""


class ModelFileError(UsageError):
    """A model or voice file is missing, truncated or of another kind than was asked for."""


class MissingDependencyError(ReparteeError, ImportError):
    """An optional package is not installed.

    Args:
        feature: what needs it, as the user would say it (``"local speech recognition"``).
        package: the distribution's name (``"pocketsphinx"``).
        extra: the extra of repartee that brings it (``"local"``).
        detail: one more sentence, such as a missing system library. Default: none.
    """

    def __init__(self, feature: str, *, package: str, extra: str, detail: str = "") -> None:
        self.feature = feature
        self.package = package
        self.extra = extra
        text = f"{feature} needs the package {package!r}: pip install 'repartee[{extra}]'"
        super().__init__(f"{text} ({detail})" if detail else text)


class DeviceError(ReparteeError):
    """A sound device is missing, busy, or went away."""


class ModelError(ReparteeError):
    """A model failed.

    Args:
        message: what happened and what would help.
        stage: which part of the conversation.
        provider: the plugin's name (``"openai"``, ``"local"``), or ``""``.
        recoverable: whether the same call may succeed later. Default: ``True``.
        code: the provider's own code, such as ``"rate_limit_exceeded"``. Default: none.
    """

    def __init__(
        self,
        message: str,
        *,
        stage: Stage,
        provider: str = "",
        recoverable: bool = True,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.stage = stage
        self.provider = provider
        self.recoverable = recoverable
        self.code = code


class ModelConnectionError(ModelError):
    """The provider could not be reached, or the connection broke."""


class ModelTimeoutError(ModelError):
    """The model did not answer within its deadline."""


class ProtocolError(ReparteeError):
    """An event that the Realtime protocol doesn't allow, at least not now.

    Args:
        message: what was wrong and what would be right.
        code: the protocol's own code (``"invalid_value"``, ``"item_create_duplicate_item_id"``).
        param: the field at fault, as a path (``"session.audio.input.format.rate"``). Default: none.
        event_id: the id of the client event at fault. Default: none, or not known.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "invalid_value",
        param: str | None = None,
        event_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
        self.event_id = event_id


class LocalProtocolError(ProtocolError):
    """Ours: the event was about to be sent. It was not, and nothing was changed."""


class RemoteProtocolError(ProtocolError):
    """Theirs: the far end sent what it may not, or what nobody can read."""


class ToolError(ReparteeError):
    """Raise it inside a function tool to tell the model, in plain words, what went wrong."""
