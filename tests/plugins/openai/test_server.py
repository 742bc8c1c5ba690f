"""Which server and which key: from arguments, from the environment, and refused when they make no sense."""

from __future__ import annotations

import pytest

from repartee.errors import ConfigurationError
from repartee.plugins.openai.server import OPENAI_URL, Server, find_server

KEY = "sk-proj-0123456789abcdef"
AZURE = "https://openai-east.openai.azure.com"


def test_openai_with_a_key_from_the_environment() -> None:
    server = find_server(environment={"OPENAI_API_KEY": KEY})
    assert (server.kind, server.base_url, server.key, server.key_source) == (
        "openai", OPENAI_URL, KEY, "OPENAI_API_KEY",
    )  # fmt: skip
    assert server.is_openai
    assert server.sends_key


def test_an_argument_goes_before_the_environment() -> None:
    server = find_server(
        api_key="mine",
        base_url="http://localhost:11434/v1/",
        environment={"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://x"},
    )
    assert (server.kind, server.base_url, server.key, server.key_source) == (
        "compatible", "http://localhost:11434/v1", "mine", "api_key=",
    )  # fmt: skip
    assert not server.is_openai


def test_a_server_of_ones_own_needs_no_key() -> None:
    server = find_server(environment={"OPENAI_BASE_URL": "http://localhost:8000/v1"})
    assert server.host == "localhost:8000"
    assert not server.sends_key


@pytest.mark.parametrize(
    "url", ["http://localhost:8000/v1", "https://gateway.test/v1", "http://api.openai.com/v1"]
)
def test_the_environments_key_is_not_for_any_server(url: str) -> None:
    server = find_server(base_url=url, environment={"OPENAI_API_KEY": KEY})
    assert server.kind == "compatible"
    assert not server.sends_key
    assert KEY not in str(server.key)
    assert "pass api_key=os.environ['OPENAI_API_KEY']" in server.key_advice
    given = find_server(base_url=url, api_key=KEY, environment={"OPENAI_API_KEY": KEY})
    assert (given.key, given.key_source) == (KEY, "api_key=")
    assert "check api_key=" in given.key_advice


@pytest.mark.parametrize(
    "base_url, environment",
    [
        (None, {}),
        ("https://api.openai.com/v1", {}),
        ("https://eu.api.openai.com/v1", {}),
        (None, {"OPENAI_BASE_URL": "https://gateway.test/v1"}),
        ("https://gateway.test/v1/", {"OPENAI_BASE_URL": "https://gateway.test/v1"}),
    ],
)
def test_the_environments_key_goes_where_it_belongs(
    base_url: str | None, environment: dict[str, str]
) -> None:
    server = find_server(base_url=base_url, environment={"OPENAI_API_KEY": KEY, **environment})
    assert (server.key, server.key_source) == (KEY, "OPENAI_API_KEY")
    assert "check OPENAI_API_KEY" in server.key_advice


def test_without_any_key_it_is_told_how_to_pass_one() -> None:
    assert find_server(base_url="http://localhost:8000/v1", environment={}).key_advice == "pass api_key="


@pytest.mark.parametrize("url", ["https://api.openai.com.evil.test/v1", "https://notapi.openai.com/v1"])
def test_names_that_look_like_openai(url: str) -> None:
    assert find_server(base_url=url, environment={"OPENAI_API_KEY": KEY}).kind == "compatible"


def test_openai_without_a_key_says_where_to_put_it() -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        find_server(environment={})
    with pytest.raises(ConfigurationError, match="api_key is empty"):
        find_server(api_key=" ", environment={"OPENAI_API_KEY": KEY})


def test_azure_by_its_address_has_no_version() -> None:
    server = find_server(api_key="k" * 32, base_url=AZURE, azure_deployment="mine", environment={})
    assert (server.kind, server.base_url, server.deployment) == ("azure_v1", f"{AZURE}/openai/v1", "mine")
    assert server.is_openai


@pytest.mark.parametrize("path", ["", "/", "/openai", "/openai/deployments/x"])
def test_azure_with_a_version_is_the_dated_api(path: str) -> None:
    server = find_server(
        base_url=AZURE + path, entra_token="t" * 20, api_version="2024-10-21", environment={}
    )
    assert (server.kind, server.base_url, server.api_version) == ("azure", AZURE, "2024-10-21")
    assert server.key_source == "entra_token="
    assert server.sends_key


def test_azure_from_the_environment_alone() -> None:
    env = {"AZURE_OPENAI_ENDPOINT": AZURE, "AZURE_OPENAI_API_KEY": KEY, "OPENAI_API_KEY": "not this one"}
    server = find_server(azure_deployment="mine", environment=env)
    assert (server.key, server.key_source) == (KEY, "AZURE_OPENAI_API_KEY")
    token = {"AZURE_OPENAI_ENDPOINT": AZURE, "AZURE_OPENAI_AD_TOKEN": "token-of-entra"}
    server = find_server(azure_deployment="mine", environment=token)
    assert (server.key, server.entra_token, server.key_source) == (
        None,
        "token-of-entra",
        "AZURE_OPENAI_AD_TOKEN",
    )


def test_azure_says_what_is_missing() -> None:
    with pytest.raises(ConfigurationError, match="AZURE_OPENAI_ENDPOINT"):
        find_server(azure_deployment="mine", api_key="k", environment={})
    with pytest.raises(ConfigurationError, match="AZURE_OPENAI_API_KEY"):
        find_server(base_url=AZURE, environment={"OPENAI_API_KEY": KEY})
    with pytest.raises(ConfigurationError, match="contradict"):
        find_server(base_url=AZURE, api_key="k", entra_token="t", environment={})


@pytest.mark.parametrize(
    "url, says",
    [
        ("localhost:11434/v1", "must be an address"),
        ("ftp://example.test/v1", "must be an address"),
        ("https:///v1", "must be an address"),
        ("http://example.test:99999/v1", "no address"),
        ("http://example.test/v1/chat/completions", "leave '/chat/completions' out"),
        ("http://example.test/v1?key=1", "query"),
    ],
)
def test_a_bad_address_is_refused(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        find_server(base_url=url, environment={})


def test_an_address_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="user or password") as caught:
        find_server(base_url="https://me:hunter2@example.test/v1", environment={})
    assert "hunter2" not in str(caught.value)


def test_secrets_are_in_no_text() -> None:
    server = Server("openai", OPENAI_URL, KEY, "api_key=", entra_token="entra-token-of-mine")
    assert KEY not in repr(server)
    assert "entra" not in repr(server)
    for told in (
        f"bad key {KEY}!",
        "sk-proj-********cdef",
        "Bearer abc.def",
        "eyJhbGciOi.eyJzdWIiOi.c2ln",
        "entra-token-of-mine",
    ):
        shown = server.redact(told)
        assert "[secret]" in shown
        assert "cdef" not in shown
        assert "eyJ" not in shown
    assert server.redact("the model gpt-6-luna is not there") == "the model gpt-6-luna is not there"
