"""Keys: where they are found, how they are compared, and that none is kept."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest

from repartee.errors import ConfigurationError
from repartee.protocol.sessions import default_session
from repartee.server.access.auth import Gatekeeper, credential_of, read_keys
from repartee.server.access.client_secrets import ClientSecret, ClientSecrets


@pytest.mark.parametrize(
    "headers, subprotocols, found",
    [
        ({"authorization": "Bearer sk-1"}, [], "sk-1"),
        ({"authorization": "bearer  sk-1 "}, [], "sk-1"),
        ({"authorization": "Basic abc"}, [], None),
        ({"api-key": "azure"}, [], "azure"),
        ({}, ["realtime", "openai-insecure-api-key.ek_1"], "ek_1"),
        ({"authorization": "Bearer sk-1"}, ["openai-insecure-api-key.other"], "sk-1"),
        ({}, [], None),
    ],
)
def test_a_key_is_found_where_clients_put_it(
    headers: dict[str, str], subprotocols: list[str], found: str | None
) -> None:
    assert credential_of(headers, subprotocols) == found


def test_only_the_right_keys_come_in_and_are_told_apart() -> None:
    keeper = Gatekeeper(["sk-first-key", "sk-second-key"], ClientSecrets(9))
    first, second = keeper.identify("sk-first-key", 0), keeper.identify("sk-second-key", 0)
    assert first is not None
    assert second is not None
    assert first.kind == "key"
    assert first.name != second.name
    assert "first" not in first.name
    for wrong in (None, "", "sk-first-ke", "sk-first-key2", "x" * 5000, "\udcff"):
        assert keeper.identify(wrong, 0) is None
    assert "sk-first-key" not in repr(vars(keeper))


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def noted(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return compare(first, second)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    keeper = Gatekeeper(["sk-first-key", "sk-second-key", "sk-third-key"], ClientSecrets(9))
    keeper.identify("sk-first-key", 0)
    keeper.identify("nobody's", 0)
    assert len(compared) == 6
    assert all(len(first) == len(second) == 32 for first, second in compared)


def test_without_keys_anyone_comes_in_but_a_wrong_secret() -> None:
    keeper = Gatekeeper([], ClientSecrets(9))
    assert keeper.open
    assert keeper.identify(None, 0) == keeper.identify("anything", 0)
    assert keeper.identify("ek_unknown", 0) is None


def test_a_secret_brings_its_owner_and_goes_with_its_key() -> None:
    secrets = ClientSecrets(9)
    keeper = Gatekeeper(["sk-first-key"], secrets)
    owner = keeper.identify("sk-first-key", 0)
    assert owner is not None
    value = secrets.mint(ClientSecret(owner.name, "realtime", default_session(id="s"), "", 60), 0)
    found = keeper.identify(value, 0)
    assert found is not None
    assert (found.kind, found.name) == ("secret", owner.name)
    keeper.replace_keys(["sk-first-key", "sk-added-key"])
    assert keeper.identify(value, 0) is not None
    keeper.replace_keys(["sk-added-key"])
    assert keeper.identify(value, 0) is None
    assert keeper.identify("sk-first-key", 0) is None


@pytest.mark.parametrize(
    "key", ["short", "with a space in it", "ek_looks_like_a_secret", "schlüssel-schlüssel"]
)
def test_an_unusable_key_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="API key 2") as refusal:
        Gatekeeper(["sk-good-key", key], ClientSecrets(9))
    assert key not in str(refusal.value)


def test_keys_are_read_from_a_file_and_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours\nsk-of-the-file\n\n  sk-also-there  \n")
    environ = {"REPARTEE_API_KEYS": "sk-env-1, sk-env-2"}
    assert read_keys(file, environ) == ["sk-env-1", "sk-env-2", "sk-of-the-file", "sk-also-there"]
    assert read_keys(None, {}) == []
    file.write_text("# nothing\n")
    with pytest.raises(ConfigurationError, match="holds no key"):
        read_keys(file, {})
    with pytest.raises(ConfigurationError, match="can't be read"):
        read_keys(tmp_path / "missing", {})
