"""Client secrets: how long, how many, whose."""

from __future__ import annotations

import pytest

from repartee.protocol.sessions import default_session
from repartee.server.access.client_secrets import (
    SECRET_PREFIX,
    ClientSecret,
    ClientSecrets,
    TooManySecretsError,
)


def _secret(owner: str = "key_1", expires_at: int = 100) -> ClientSecret:
    return ClientSecret(owner, "realtime", default_session(id="sess_1"), "", expires_at)


def test_a_secret_is_usable_more_than_once_until_it_expires() -> None:
    secrets = ClientSecrets(10)
    value = secrets.mint(_secret(), 0)
    assert value.startswith(SECRET_PREFIX)
    assert secrets.find(value, 99.9) == secrets.find(value, 1) == _secret()
    assert secrets.find(value, 100) is None
    assert secrets.find(value, 1) is None, "it was forgotten"
    assert secrets.find("ek_unknown", 0) is None
    assert secrets.find("ek_\udcff", 0) is None


def test_their_number_is_bounded_and_expired_ones_make_room() -> None:
    secrets = ClientSecrets(2)
    secrets.mint(_secret(expires_at=10), 0)
    secrets.mint(_secret(expires_at=20), 0)
    with pytest.raises(TooManySecretsError, match="2 client secrets"):
        secrets.mint(_secret(), 5)
    secrets.mint(_secret(), 10)
    assert len(secrets) == 2


def test_they_are_revoked_one_by_one_by_their_owner_or_all_of_a_key() -> None:
    secrets = ClientSecrets(10)
    mine, other, third = (secrets.mint(_secret(owner), 0) for owner in ("key_1", "key_2", "key_2"))
    assert not secrets.revoke(mine, owner="key_2")
    assert secrets.revoke(mine, owner="key_1")
    assert not secrets.revoke(mine)
    secrets.revoke_of("key_2")
    assert secrets.find(other, 0) is None
    assert secrets.find(third, 0) is None


def test_no_value_is_kept() -> None:
    secrets = ClientSecrets(10)
    value = secrets.mint(_secret(), 0)
    assert value[3:] not in repr(vars(secrets))
