"""Who is asking: keys, compared in constant time, and where clients put them.

A key is never kept, only its digest, so none can be logged or found in a dump of the process.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from repartee.errors import ConfigurationError
from repartee.server.access.client_secrets import SECRET_PREFIX, ClientSecret, ClientSecrets

__all__ = ["KEYS_VARIABLE", "Gatekeeper", "Identity", "credential_of", "read_keys"]

KEYS_VARIABLE: Final = "REPARTEE_API_KEYS"
KEY_PROTOCOL: Final = "openai-insecure-api-key."
KEY_CHARS_MIN: Final = 8
CREDENTIAL_CHARS_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks."""

    kind: Literal["anyone", "key", "secret"]
    name: str
    """Tells keys apart, in counts and in the log; says nothing about the key. A secret's is that of its key."""
    secret: ClientSecret | None = None


def credential_of(headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> str | None:
    """The key or client secret that a request brings: a bearer token, ``api-key:``, or a browser's subprotocol.

    Args:
        headers: names in lower case, or a mapping that ignores case.
        subprotocols: that a WebSocket offers.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if headers.get("api-key"):
        return headers["api-key"].strip()
    return next((each[len(KEY_PROTOCOL) :] for each in subprotocols if each.startswith(KEY_PROTOCOL)), None)


class Gatekeeper:
    """Knows the keys and the client secrets.

    Args:
        keys: that are right. None: anyone may come in (and a client secret still binds its session).
        secrets: where client secrets are.
    """

    def __init__(self, keys: Iterable[str], secrets: ClientSecrets) -> None:
        self._secrets = secrets
        self._digests: tuple[bytes, ...] = ()
        self.replace_keys(keys)

    @property
    def open(self) -> bool:
        """Whether there are no keys."""
        return not self._digests

    def replace_keys(self, keys: Iterable[str]) -> None:
        """Take other keys. The secrets of a key that is gone are revoked; its running sessions go on.

        Raises:
            ConfigurationError: a key is too short, or would look like a client secret.
        """
        digests = []
        for number, key in enumerate(keys, 1):
            if len(key) < KEY_CHARS_MIN or not key.isascii() or not key.isprintable() or " " in key:
                raise ConfigurationError(
                    f"API key {number} is not usable; right are {KEY_CHARS_MIN} or more ASCII characters without spaces"
                )
            if key.startswith(SECRET_PREFIX):
                raise ConfigurationError(
                    f"API key {number} begins with {SECRET_PREFIX}, as client secrets do"
                )
            digests.append(_digest(key))
        gone = set(self._digests) - set(digests)
        self._digests = tuple(dict.fromkeys(digests))
        for digest in gone:
            self._secrets.revoke_of(_name(digest))

    def identify(self, credential: str | None, now: float) -> Identity | None:
        """Who brings this credential; ``None``: nobody who may come in.

        Args:
            credential: as `credential_of` found it.
            now: in seconds of Unix time.
        """
        if credential is not None and len(credential) > CREDENTIAL_CHARS_MAX:
            return None
        if credential is not None and credential.startswith(SECRET_PREFIX):
            secret = self._secrets.find(credential, now)
            return None if secret is None else Identity("secret", secret.owner, secret)
        if self.open:
            return Identity("anyone", "anyone")
        digest = _digest(credential or "")
        found = None
        for known in self._digests:  # all of them, always: the time says nothing about which
            if hmac.compare_digest(known, digest):
                found = known
        return None if found is None else Identity("key", _name(found))


def read_keys(path: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> list[str]:
    """The keys of a file (one a line; ``#`` begins a comment) and of the variable ``REPARTEE_API_KEYS``.

    Args:
        path: of the file. ``None``: there is none.
        environ: the environment; keys in it are separated by commas or spaces.

    Raises:
        ConfigurationError: the file can't be read, or holds no key.
    """
    keys = environ.get(KEYS_VARIABLE, "").replace(",", " ").split()
    if path is not None:
        try:
            lines = Path(path).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the key file {os.fspath(path)!r} can't be read: {error}") from None
        of_file = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not of_file:
            raise ConfigurationError(f"the key file {os.fspath(path)!r} holds no key; right is one a line")
        keys += of_file
    return keys


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _name(digest: bytes) -> str:
    # Of the digest's digest: a name in a log is no help in guessing a weak key faster than online.
    return "key_" + hashlib.sha256(b"name:" + digest).hexdigest()[:10]
