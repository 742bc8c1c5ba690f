"""Ephemeral keys for browsers: ``ek_…``, bound to a session's configuration, good for a while.

A secret is usable more than once until it expires, and a session may outlive it. Only its digest is kept: looking one
up by digest takes the same time whatever is wrong with it.
"""

from __future__ import annotations

import hashlib
import secrets
import string
from dataclasses import dataclass
from typing import Final

from repartee.errors import UsageError
from repartee.protocol.config import SessionConfig
from repartee.protocol.sessions import SessionKind

__all__ = ["SECRET_PREFIX", "TTL_MAX_S", "TTL_MIN_S", "ClientSecret", "ClientSecrets", "TooManySecretsError"]

SECRET_PREFIX: Final = "ek_"
TTL_MIN_S: Final = 10
TTL_MAX_S: Final = 7200
_ALPHABET: Final = string.ascii_letters + string.digits


class TooManySecretsError(UsageError):
    """As many secrets are valid as the server keeps."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """What a secret is good for."""

    owner: str
    """The name of the key that asked for it."""
    kind: SessionKind
    session: SessionConfig
    """As its sessions begin."""
    model: str
    """``""``: whichever the client names."""
    expires_at: int
    """In seconds of Unix time."""


class ClientSecrets:
    """The secrets that are valid.

    Args:
        secrets_max: how many; beyond, no new one is made until an old one expires.
    """

    def __init__(self, secrets_max: int) -> None:
        self._max = secrets_max
        self._secrets: dict[bytes, ClientSecret] = {}  # bounded by secrets_max

    def __len__(self) -> int:
        return len(self._secrets)

    def mint(self, secret: ClientSecret, now: float) -> str:
        """A new value for a secret.

        Args:
            secret: what it is good for.
            now: in seconds of Unix time.

        Raises:
            TooManySecretsError: there are too many already.
        """
        if len(self._secrets) >= self._max:
            self._drop_expired(now)
        if len(self._secrets) >= self._max:
            raise TooManySecretsError(f"{self._max} client secrets are valid already; wait until one expires")
        value = SECRET_PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(32))
        self._secrets[_digest(value)] = secret
        return value

    def find(self, value: str, now: float) -> ClientSecret | None:
        """What a value is good for; ``None``: it is not valid (any more)."""
        digest = _digest(value)
        secret = self._secrets.get(digest)
        if secret is not None and now >= secret.expires_at:
            del self._secrets[digest]
            return None
        return secret

    def revoke(self, value: str, *, owner: str | None = None) -> bool:
        """Make a value invalid. Returns whether it was valid.

        Args:
            value: of the secret.
            owner: the key that must have asked for it. Default: any.
        """
        digest = _digest(value)
        secret = self._secrets.get(digest)
        if secret is None or owner not in (None, secret.owner):
            return False
        del self._secrets[digest]
        return True

    def revoke_of(self, owner: str) -> None:
        """Make all secrets invalid that a key has asked for."""
        self._secrets = {digest: each for digest, each in self._secrets.items() if each.owner != owner}

    def _drop_expired(self, now: float) -> None:
        self._secrets = {digest: each for digest, each in self._secrets.items() if now < each.expires_at}


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()
