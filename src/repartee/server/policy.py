"""`Policy`: what the clients of a served model may change, and what they may not.

A client that asks for something else is told so, with the field's name; nothing is taken over in silence but a limit
that is "inf" (what every session begins with), which stands for the most that is allowed. What a session says already
may be said again: many clients send back all that they were told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repartee.errors import ConfigurationError, ProtocolError
from repartee.protocol import events as ev
from repartee.protocol.config import RealtimeSession, SessionConfig, VoiceId
from repartee.protocol.faults import INVALID_VALUE
from repartee.protocol.items import Message
from repartee.protocol.model import given
from repartee.protocol.responses import ResponseParams
from repartee.protocol.sessions import output_of

if TYPE_CHECKING:
    from repartee.server.options import ServerOptions

__all__ = ["Policy", "policy_of"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What the clients of a served model may change.

    Raises:
        ConfigurationError: a value makes no sense.
    """

    instructions: str = ""
    """Always put before the client's, and shown to no client. ``""``: nothing."""
    client_instructions: bool = True
    """Whether clients may write instructions (system messages are such, too)."""
    client_tools: tuple[str, ...] | None = None
    """Names of the functions that clients may declare. ``()``: none. ``None``: any."""
    voices: tuple[str, ...] | None = None
    """Voices that clients may choose. ``None``: any."""
    max_output_tokens: int | None = None
    """The most output tokens of a response. ``None``: as the client and the model have it."""

    def __post_init__(self) -> None:
        if self.max_output_tokens is not None and self.max_output_tokens < 1:
            raise ConfigurationError(
                f"max_output_tokens={self.max_output_tokens} is too small; right is 1 or more, or None"
            )
        for name in ("client_tools", "voices"):
            if isinstance(getattr(self, name), str):
                raise ConfigurationError(f"{name} is a text; right is a tuple of names, or None for any")

    def __and__(self, other: Policy) -> Policy:
        """Both: what either forbids is forbidden."""
        limits = [each for each in (self.max_output_tokens, other.max_output_tokens) if each is not None]
        return Policy(
            instructions="\n\n".join(each for each in (self.instructions, other.instructions) if each),
            client_instructions=self.client_instructions and other.client_instructions,
            client_tools=_both(self.client_tools, other.client_tools),
            voices=_both(self.voices, other.voices),
            max_output_tokens=min(limits) if limits else None,
        )

    # -- what it adds ------------------------------------------------------------------------------------------

    def before(self, instructions: str) -> str:
        """Instructions with those that always come before them."""
        return "\n\n".join(each for each in (self.instructions, instructions) if each)

    def limit(self, tokens: int | None) -> int | None:
        """A limit of output tokens (``None``: none) as far as it is allowed."""
        if self.max_output_tokens is None:
            return tokens
        return self.max_output_tokens if tokens is None else min(tokens, self.max_output_tokens)

    # -- what it forbids ---------------------------------------------------------------------------------------

    def check(self, event: Any, session: SessionConfig | None) -> None:
        """What a client may not ask for.

        Args:
            event: a client's.
            session: as it is now.

        Raises:
            ProtocolError: it asks for that; names the field.
        """
        if self == _ALLOWS_ALL:
            return
        match event:
            case ev.SessionUpdate(session=RealtimeSession() as update):
                self._check_settings(update, "session", session)
            case ev.ResponseCreate(response=ResponseParams() as params):
                self._check_settings(params, "response", session)
                for index, item in enumerate(given(params.input, []) or []):
                    self._check_item(item, f"response.input[{index}]")
            case ev.ConversationItemCreate(item=item):
                self._check_item(item, "item")
            case _:
                pass

    def _check_settings(
        self, wanted: RealtimeSession | ResponseParams, path: str, session: SessionConfig | None
    ) -> None:
        now = session if isinstance(session, RealtimeSession) else RealtimeSession()
        present = given(now.instructions, "") or ""
        instructions = given(wanted.instructions, present)
        if not self.client_instructions and instructions != present:
            raise _forbidden(f"{path}.instructions", "clients may not change the instructions of this model")
        if self.client_tools is not None:
            self._check_tools(given(wanted.tools, []) or [], path)
        voice = _name(given(output_of(wanted).voice, None))
        allowed = (
            (voice,) if self.voices is None else (*self.voices, _name(given(output_of(now).voice, None)))
        )
        if voice and voice not in allowed:
            raise _forbidden(
                f"{path}.audio.output.voice", f"the voices of this model are {_listed(self.voices or ())}"
            )
        limit = given(wanted.max_output_tokens, None)
        most = self.max_output_tokens
        if most is not None and isinstance(limit, int) and limit > most:
            raise _forbidden(f"{path}.max_output_tokens", f"this model allows at most {most}")

    def _check_tools(self, tools: Iterable[Any], path: str) -> None:
        allowed = self.client_tools or ()
        for index, tool in enumerate(tools):
            name = getattr(tool, "name", None)
            if not isinstance(name, str) or name not in allowed:
                what = f"the functions that clients may declare here are {_listed(allowed)}"
                raise _forbidden(f"{path}.tools[{index}]", what)

    def _check_item(self, item: Any, path: str) -> None:
        if not self.client_instructions and isinstance(item, Message) and item.role == "system":
            raise _forbidden(f"{path}.role", "clients may not instruct this model by system messages")


_ALLOWS_ALL = Policy()


def policy_of(options: ServerOptions) -> Policy:
    """What the options say for everything that is served.

    Raises:
        ConfigurationError: the file of instructions can't be read.
    """
    instructions = options.policy_instructions
    if instructions.startswith("@"):
        try:
            instructions = Path(instructions[1:]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"policy_instructions={instructions!r} can't be read: {error}; right is a text, or @ and a file of text"
            ) from None
    tools = options.client_tools
    return Policy(
        instructions=instructions,
        client_instructions=options.client_instructions,
        client_tools=() if tools == ("none",) else tools or None,
        voices=options.voices or None,
        max_output_tokens=options.max_output_tokens or None,
    )


def _both(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return other if one is None else one
    return tuple(name for name in one if name in other)


def _name(voice: object) -> str | None:
    if isinstance(voice, VoiceId):
        return str(voice.id)
    return voice if isinstance(voice, str) else None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(_quoted(names)) or "none"


def _quoted(names: Iterable[str]) -> Iterator[str]:
    return (f"'{name}'" for name in names)


def _forbidden(param: str, detail: str) -> ProtocolError:
    return INVALID_VALUE.error(param=param, detail=detail)
