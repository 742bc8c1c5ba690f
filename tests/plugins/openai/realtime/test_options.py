"""What a model was told, and what it tells the server."""

from __future__ import annotations

import pytest

from repartee.errors import ConfigurationError
from repartee.models import SessionOptions
from repartee.plugins.openai.realtime.options import (
    NOT_GIVEN,
    RealtimeOptions,
    as_model,
    changed_config,
    session_config,
)
from repartee.protocol.config import SemanticVad, ServerVad, TurnDetection
from repartee.protocol.model import to_raw

MODEL = RealtimeOptions("gpt-realtime", "marin")


def test_not_given_off_and_a_value_are_three_things() -> None:
    kinds = {}
    for name, value in (("left out", NOT_GIVEN), ("off", None), ("given", ServerVad(threshold=0.4))):
        config = to_raw(session_config(RealtimeOptions("m", "v", turn_detection=value), SessionOptions()))
        kinds[name] = config["audio"]["input"].get("turn_detection", "absent")
    assert kinds == {
        "left out": "absent",
        "off": None,
        "given": {"type": "server_vad", "threshold": 0.4},
    }


@pytest.mark.parametrize(
    ("value", "detects", "answers"),
    [
        (NOT_GIVEN, True, True),
        (None, False, False),
        (SemanticVad(eagerness="high"), True, True),
        (ServerVad(create_response=False), True, False),
    ],
)
def test_who_takes_turns(value: object, detects: bool, answers: bool) -> None:
    options = RealtimeOptions("m", "v", turn_detection=value)  # type: ignore[arg-type]
    assert (options.detects_turns, options.answers_turns) == (detects, answers)


def test_dicts_are_checked() -> None:
    made = as_model("turn_detection", {"type": "server_vad", "silence_duration_ms": 300}, TurnDetection)
    assert made == ServerVad(silence_duration_ms=300)
    assert as_model("turn_detection", None, TurnDetection) is None
    with pytest.raises(ConfigurationError, match=r"turn_detection is not right.*silence_duration_ms"):
        as_model("turn_detection", {"type": "server_vad", "silence_duration_ms": "long"}, TurnDetection)
    with pytest.raises(ConfigurationError, match="turn_detection is a str"):
        as_model("turn_detection", "server_vad", TurnDetection)


def test_a_new_connection_is_told_everything() -> None:
    config = to_raw(
        session_config(
            RealtimeOptions("m", "marin", modalities=("audio",), instructions="Ours.", speed=1.2),
            SessionOptions(voice="cedar", max_output_tokens=7, tool_choice="get_time"),
        )
    )
    assert config["instructions"] == "Ours."
    assert config["output_modalities"] == ["audio"]
    assert config["audio"]["output"]["voice"] == "cedar"
    assert config["audio"]["output"]["speed"] == 1.2
    assert config["tools"] == []
    assert config["tool_choice"] == {"type": "function", "name": "get_time"}
    assert config["max_output_tokens"] == 7
    text = session_config(MODEL, SessionOptions(modalities=("text",)))
    assert text.output_modalities == ["text"]


def test_an_update_names_what_changed() -> None:
    old = SessionOptions(instructions="Be kind.", max_output_tokens=7)
    assert changed_config(MODEL, old, old) is None
    changed = changed_config(
        MODEL, old, SessionOptions(modalities=("text",), tool_choice="none", voice="cedar")
    )
    assert changed is not None
    assert to_raw(changed) == {
        "type": "realtime",
        "instructions": "",
        "tool_choice": "none",
        "output_modalities": ["text"],
        "max_output_tokens": "inf",
        "audio": {"output": {"voice": "cedar"}},
    }
