"""What ``--model`` names."""

from __future__ import annotations

from pathlib import Path

import pytest

from repartee.errors import ConfigurationError
from repartee.server.source import served_from
from repartee.testing import ScriptedRealtimeModel
from tests.server import agent_for_tests as examples

HERE = "tests.server.agent_for_tests"


def test_a_model_a_factory_and_what_is_served_already() -> None:
    assert served_from(f"{HERE}:model").model is examples.model
    assert served_from(f"{HERE}:model").name == "model"
    assert isinstance(served_from(f"{HERE}:make_model").model, ScriptedRealtimeModel)
    assert served_from(f"{HERE}:served") is examples.served


@pytest.mark.parametrize("name", ["shop", "Shop"])
def test_an_agent_brings_its_instructions_and_tools(name: str) -> None:
    served = served_from(f"{HERE}:{name}")
    assert served.instructions == "You help in a shop."
    assert [tool.name for tool in served.tools] == ["check_stock"]
    assert served.model is examples.Shop.llm


@pytest.mark.local
def test_local_and_an_agent_without_a_model() -> None:
    pytest.importorskip("xllamacpp", reason="the embedded models are not installed")
    assert served_from("local").name == "local"
    served = served_from(f"{HERE}:agent")
    assert (served.name, served.instructions) == ("agent", "You help in a shop.")
    assert [tool.name for tool in served.tools] == ["check_stock"]


def test_a_script_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_agent_script.py").write_text(f"from {HERE} import model\n")
    monkeypatch.chdir(tmp_path)
    assert served_from("my_agent_script:model").model is examples.model


@pytest.mark.parametrize(
    "source, says",
    [
        ("gpt", "right are 'local'"),
        ("module:", "right are 'local'"),
        (":model", "right are 'local'"),
        ("no_such_module_here:model", "no module 'no_such_module_here'"),
        (f"{HERE}.below:model", "no module"),
        (f"{HERE}:missing", "has no 'missing'"),
        (f"{HERE}:number", "is a int"),
        (f"{HERE}:nothing", "is nothing"),
        (f"{HERE}:needs_more", "can't be called without arguments"),
        (f"{HERE}:BrokenShop", "no @function_tool"),
    ],
)
def test_anything_else_is_refused_with_what_would_be_right(source: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        served_from(source)
