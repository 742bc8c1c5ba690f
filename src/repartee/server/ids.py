"""Ids as the service's: a prefix and 21 random letters or digits."""

from __future__ import annotations

import secrets
import string
from typing import Final

__all__ = ["random_id"]

ALPHABET: Final = string.ascii_letters + string.digits
LENGTH: Final = 21
"""124 bits: not guessed, and not met twice. With any prefix of the protocol at most 32 characters."""


def random_id(prefix: str) -> str:
    """A new id: ``sess_Ck2…``."""
    return f"{prefix}_{''.join(secrets.choice(ALPHABET) for _ in range(LENGTH))}"
