"""What a `ScriptedRealtimeServer` answers: replies in order, by the words that it heard, or by a rule."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from repartee.chat import FunctionCall
from repartee.protocol.items import (
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    ItemReference,
    Message,
    id_of,
)
from repartee.protocol.model import given
from repartee.protocol.responses import ResponseParams
from repartee.testing.scripted_llm import Reply, ScriptError

__all__ = ["FailedReply", "Question", "ServerReplies", "ServerScript", "question_of"]


@dataclass(frozen=True, slots=True)
class FailedReply:
    """A response that does not end well."""

    code: str = "server_error"
    """Failed: such as ``inference_rate_limit_exceeded``. Incomplete: ``max_output_tokens``, ``content_filter``."""
    message: str = "The server had an error while processing your request."
    text: str = ""
    """What it says before."""
    status: Literal["failed", "incomplete"] = "failed"


@dataclass(frozen=True, slots=True)
class Question:
    """What a response is to answer."""

    text: str
    """What was said or typed last, or the output of a function."""
    items: tuple[Item, ...]
    """What the model sees: the conversation, or the ``input`` of the request."""
    params: ResponseParams
    """What the client wants of this response."""
    connection: int
    """On which connection, from 1."""
    is_output: bool = False
    """Whether ``text`` is the output of a function."""


ServerReply = str | Reply | FunctionCall | FailedReply
ServerScript = Sequence[ServerReply] | Mapping[str, ServerReply] | Callable[[Question], ServerReply]


def question_of(
    conversation: Sequence[Item], params: ResponseParams, heard: Mapping[str, str], connection: int
) -> Question:
    """What a response is to answer.

    Args:
        conversation: its items.
        params: what the client wants.
        heard: the words of user messages that are audio, by item id.
        connection: on which, from 1.
    """
    by_id = {id_of(item): item for item in conversation}
    items = tuple(conversation)
    if isinstance(params.input, list):
        items = tuple(
            by_id[item.id] if isinstance(item, ItemReference) and item.id in by_id else item
            for item in params.input
        )
    for item in reversed(items):
        if isinstance(item, FunctionCallOutput):
            return Question(str(item.output), items, params, connection, is_output=True)
        if isinstance(item, Message) and item.role == "user":
            return Question(_words(item, heard), items, params, connection)
    return Question("", items, params, connection)


def _words(item: Message, heard: Mapping[str, str]) -> str:
    words = []
    for part in item.content:
        if isinstance(part, InputText):
            words.append(given(part.text, ""))
        elif isinstance(part, InputAudio):
            words.append(heard.get(str(id_of(item)), "") or given(part.transcript, ""))
    return " ".join(word for word in words if word)


def echo(question: Question) -> ServerReply:
    """What a server without a script answers."""
    if question.is_output:
        return f"The answer is {question.text}."
    return f"You said: {question.text}." if question.text else "Hello."


class ServerReplies:
    """Finds the reply to a question.

    Args:
        script: replies in order; or by the words asked (``"*"`` for any others); or a function of the `Question`.
            ``None``: what was said, said again.
    """

    def __init__(self, script: ServerScript | None) -> None:
        self._rule: Mapping[str, Any] | Callable[[Question], Any] | None = None
        self._queue: deque[ServerReply] = deque()  # bounded by the script
        if script is None:
            self._rule = echo
        elif callable(script) or isinstance(script, Mapping):
            self._rule = script
        else:
            self._queue.extend(script)

    @property
    def unused(self) -> int:
        """How many replies of a list are left."""
        return len(self._queue)

    def find(self, question: Question) -> Reply | FailedReply:
        """The reply.

        Raises:
            ScriptError: there is none.
        """
        if callable(self._rule):
            found = self._rule(question)
        elif self._rule is not None:
            if question.text not in self._rule and "*" not in self._rule:
                raise ScriptError(f"no reply to {question.text!r} (nor for '*') in the server's script")
            found = self._rule.get(question.text, self._rule.get("*"))
        elif self._queue:
            found = self._queue.popleft()
        else:
            raise ScriptError(f"the server's script has no reply left, and was asked {question.text!r}")
        if isinstance(found, str):
            return Reply(found)
        if isinstance(found, FunctionCall):
            return Reply(calls=(found,))
        if isinstance(found, Reply | FailedReply):
            return found
        raise ScriptError(f"the server's script replied {found!r}, which is no text, Reply, call or failure")
