"""What a conversation costs, and what is left out of it."""

from __future__ import annotations

from repartee.chat import (
    AudioContent,
    FunctionCall,
    FunctionCallOutput,
    ImageContent,
    Item,
    Message,
    function_tool,
)
from repartee.server.sessions.token_count import audio_tokens, item_tokens, surplus, text_tokens, tool_tokens


def message(role: str, chars: int, id: str) -> Message:
    """Of so many characters."""
    return Message.of(role, "x" * chars, id=id)  # type: ignore[arg-type]


def test_text_is_four_characters_and_audio_by_the_clock() -> None:
    assert [text_tokens(text) for text in ("", "a", "abcd", "abcde")] == [0, 1, 1, 2]
    assert audio_tokens(1000, assistant=False) == 10
    assert audio_tokens(1000, assistant=True) == 20
    assert item_tokens(message("user", 400, "a")) == (104, 0)
    assert item_tokens(Message("user", (AudioContent("hello", 2000),))) == (4, 20)
    assert item_tokens(Message("assistant", (AudioContent("hello", 2000),))) == (4, 40)
    assert item_tokens(Message("user", (AudioContent("hello"),))) == (6, 0)
    assert item_tokens(Message("user", (ImageContent("data:,"),)))[0] > 100
    assert item_tokens(FunctionCall("name", "{...}"))[0] == 7


def test_functions_cost_what_is_shown_of_them() -> None:
    @function_tool
    def roll(sides: int) -> str:
        """Roll a die."""
        return ""

    assert 10 < tool_tokens([roll]) < 100


def test_what_fits_stays() -> None:
    assert surplus([message("user", 40, "a")], limit=14, keep=1) == []
    assert surplus([], limit=0, keep=0) == []


def test_the_oldest_go_first_and_system_messages_and_the_newest_stay() -> None:
    items = [message("system", 80, "s"), *(message("user", 80, f"u{n}") for n in range(5))]  # 24 each
    assert [item.id for item in surplus(items, limit=100, keep=100)] == ["u0", "u1"]
    assert [item.id for item in surplus(items, limit=100, keep=50)] == ["u0", "u1", "u2", "u3"]
    assert [item.id for item in surplus(items, limit=10, keep=10)] == ["u0", "u1", "u2", "u3"]


def test_a_call_and_its_output_go_together() -> None:
    items: list[Item] = [
        FunctionCall("f", "{}", "call_1", "c"),
        message("user", 40, "u"),
        FunctionCallOutput("call_1", "x" * 40, id="o"),
        message("user", 40, "n"),
    ]
    assert [item.id for item in surplus(items, limit=40, keep=40)] == ["c", "o"]
    assert surplus(items[:3], limit=20, keep=20) == [items[1]]  # the newest stays, so its call does
