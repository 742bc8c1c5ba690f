"""What ``--model`` names."""

from __future__ import annotations

from pathlib import Path

import pytest

from repartee.compose import Overheard
from repartee.errors import ConfigurationError
from repartee.models import RealtimeModel
from repartee.plugins.openai.realtime import RealtimeModel as OpenAIModel
from repartee.protocol.sessions import default_session
from repartee.server.served import Served
from repartee.server.source import LocalParts, served_from
from tests.server import agent_for_tests as examples

HERE = "tests.server.agent_for_tests"


def within(served: Served) -> RealtimeModel:
    """The model, without the recogniser beside it that is there where it is installed."""
    return served.model.model if isinstance(served.model, Overheard) else served.model


def test_a_model_a_factory_and_what_is_served_already() -> None:
    assert within(served_from(f"{HERE}:model")) is examples.model
    assert served_from(f"{HERE}:model").name == "model"
    assert type(within(served_from(f"{HERE}:make_model"))) is type(examples.model)
    assert served_from(f"{HERE}:served") is examples.served


@pytest.mark.parametrize("name", ["shop", "Shop"])
def test_an_agent_brings_its_instructions_and_tools(name: str) -> None:
    served = served_from(f"{HERE}:{name}")
    assert served.instructions == "You help in a shop."
    assert [tool.name for tool in served.tools] == ["check_stock"]
    assert within(served) is examples.Shop.llm


def test_an_agent_brings_its_past_and_something_for_each_session() -> None:
    served = served_from(f"{HERE}:Stall")
    assert [getattr(item, "text", "") for item in served.history] == ["I am Ann.", "Hello, Ann."]
    config = default_session("realtime", id="sess_1", model="m")
    first, second = served.userdata_for(config), served.userdata_for(config)
    assert isinstance(first, examples.Till)
    assert first is not second


def test_an_agent_for_each_session() -> None:
    served = served_from(f"{HERE}:stall_for")
    assert served.for_session is not None
    made = [served.for_session(default_session("realtime", id="s", model=name)) for name in ("a", "b")]
    assert [each.instructions for each in made] == ["You serve a.", "You serve b."]
    assert made[0].model is made[1].model is served.model
    other = served_from(f"{HERE}:other_model_for")
    assert other.for_session is not None
    with pytest.raises(ConfigurationError, match="all agents share"):
        other.for_session(default_session("realtime", id="s", model="a"))


def test_the_parts_of_a_session() -> None:
    served = served_from(f"{HERE}:session")
    assert served.model is examples.Shop.llm
    assert [tool.name for tool in served.tools] == ["check_stock"]
    assert served.userdata_for(default_session("realtime", id="s", model="m")) == {"shop": "north"}


def test_a_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-tests")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    served = served_from("openai:gpt-realtime")
    model = within(served)
    assert isinstance(model, OpenAIModel)
    assert (served.name, model.options.model, model.options.turn_detection) == (
        "gpt-realtime",
        "gpt-realtime",
        None,
    )
    assert served.voices[0] == "marin"
    assert "sk-of" not in repr(served)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    assert served_from("openai:other").voices == ()  # another server has voices of its own


def test_a_relay_to_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://name.openai.azure.com")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "key-of-the-tests")
    model = within(served_from("azure:talking"))
    assert isinstance(model, OpenAIModel)
    assert model.server.deployment == "talking"


def test_a_relay_without_a_key_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        served_from("openai:gpt-realtime")


@pytest.mark.local
def test_local_and_an_agent_without_a_model() -> None:
    pytest.importorskip("xllamacpp", reason="the embedded models are not installed")
    assert served_from("local").name == "local"
    served = served_from(f"{HERE}:agent")
    assert (served.name, served.instructions) == ("agent", "You help in a shop.")
    assert [tool.name for tool in served.tools] == ["check_stock"]
    assert None not in (served.vad, served.turn_detector)
    spoken = served_from(f"{HERE}:text_model")
    assert spoken.model.capabilities.audio_input
    assert spoken.model.capabilities.audio_output
    with pytest.raises(ConfigurationError, match="no-such-voice"):
        served_from("local", LocalParts(tts="no-such-voice"))


def test_a_script_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_agent_script.py").write_text(f"from {HERE} import model\n")
    monkeypatch.chdir(tmp_path)
    assert within(served_from("my_agent_script:model")) is examples.model


@pytest.mark.parametrize(
    "source, says",
    [
        ("gpt", "right are 'local'"),
        ("module:", "right are 'local'"),
        (":model", "right are 'local'"),
        ("no_such_module_here:model", "no module 'no_such_module_here'"),
        (f"{HERE}.below:model", "no module"),
        (f"{HERE}:missing", "has no 'missing'.*check_stock|shop"),
        (f"{HERE}:number", "is a int"),
        (f"{HERE}:nothing", "is nothing"),
        (
            f"{HERE}:needs_more",
            "called for each session, and makes a ScriptedRealtimeModel; right is an agent",
        ),
        (f"{HERE}:make_later", "async function"),
        (f"{HERE}:BrokenShop", "no @function_tool"),
        (f"{HERE}:MuteShop", "the tts of the agent 'MuteShop' is a str; right is a TTS"),
    ],
)
def test_anything_else_is_refused_with_what_would_be_right(source: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        served_from(source)


def test_a_fault_within_a_factory_is_shown_as_it_is() -> None:
    with pytest.raises(TypeError, match="a fault within"):
        served_from(f"{HERE}:fails")
