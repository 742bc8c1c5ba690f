"""Which server, with which key: what the caller and the environment say, checked and joined.

Nothing here opens a connection. A `Server` knows its secrets, and neither its ``repr`` nor `Server.redact` shows them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict
from urllib.parse import urlsplit

from repartee.errors import ConfigurationError

__all__ = ["AccountArguments", "ClientArguments", "EntraToken", "Server", "ServerArguments", "find_server"]

EntraToken = str | Callable[[], "str | Awaitable[str]"]
"""A Microsoft Entra token, or what gets one (it is called before each request, so that it may renew it)."""

Kind = Literal["openai", "azure", "azure_v1", "compatible"]

OPENAI_URL = "https://api.openai.com/v1"
_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
_NO_KEY = "none"
"""Sent to servers that want no key: the client insists on one."""

# Keys and tokens by their usual looks, for those that this process never saw whole (a server may echo them).
_SECRET_LOOKS = re.compile(
    r"\b(?:sk|pk|ek|rk|gsk|xai|key)[-_][\w*.-]{8,}|\beyJ[\w-]{6,}(?:\.[\w-]+)*|(?<=Bearer )\S+", re.IGNORECASE
)


class AccountArguments(TypedDict, total=False):
    """Whose account it is, and Azure's own: what every model of this plugin takes by these names."""

    organization: str | None
    """Of OpenAI. Default: the key's own."""
    project: str | None
    """Of OpenAI. Default: the key's own."""
    azure_deployment: str | None
    """Azure's name for the model; makes it Azure."""
    entra_token: EntraToken | None
    """A Microsoft Entra token instead of a key, or a function that gets one; makes it Azure."""
    api_version: str | None
    """Of Azure's dated API; makes it Azure. Default: ``OPENAI_API_VERSION``, else Azure's API without versions."""


class ServerArguments(AccountArguments, total=False):
    """Which server, with which key: what every model of this plugin takes by these names."""

    api_key: str | None
    """Default: the environment's ``OPENAI_API_KEY``, for Azure ``AZURE_OPENAI_API_KEY``. The environment's goes only
    to OpenAI, or to the server that the environment names (``OPENAI_BASE_URL``): a server at another ``base_url``
    is sent the key that it is given here, or none."""
    base_url: str | None
    """Another server than OpenAI's, with its path (``http://localhost:11434/v1``); for Azure the resource. Default:
    ``OPENAI_BASE_URL``, else OpenAI's."""


class ClientArguments(ServerArguments, total=False):
    """The server, and how long a request to it is waited for: what `LLM`, `STT` and `TTS` have in common."""

    timeout_s: float
    """How long the server may take for the next piece of an answer. Default: 10."""
    max_retries: int
    """How often a request is asked again as long as nothing came of it. Default: 2."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where requests go, and how they are allowed."""

    kind: Kind
    base_url: str
    key: str | None = field(default=None, repr=False)
    key_source: str = ""
    """Where the key came from, as its user would say it: ``api_key=``, ``OPENAI_API_KEY``."""
    entra_token: EntraToken | None = field(default=None, repr=False)
    organization: str | None = None
    project: str | None = None
    deployment: str | None = None
    """Azure's name for the model."""
    api_version: str | None = None
    """Of Azure's dated API."""
    key_withheld: bool = False
    """The environment has a key, which is not sent here: it is for another server."""

    @property
    def host(self) -> str:
        """Its name and port, for messages."""
        return urlsplit(self.base_url).netloc

    @property
    def is_openai(self) -> bool:
        """Whether OpenAI's own models answer, so that all of their API's parameters are understood."""
        return self.kind != "compatible"

    @property
    def sends_key(self) -> bool:
        """Whether requests carry a key or token."""
        return self.entra_token is not None or self.key not in (None, _NO_KEY)

    @property
    def key_advice(self) -> str:
        """What to do when the server wants a key and there is none, or refuses the one there is."""
        if self.sends_key:
            return f"check {self.key_source} (is the key mistyped, expired, or for another server?)"
        if self.key_withheld:
            return (
                "OPENAI_API_KEY goes only to OpenAI, or to the server in OPENAI_BASE_URL; if it is for this one, pass "
                "api_key=os.environ['OPENAI_API_KEY']"
            )
        return "pass api_key="

    def redact(self, text: str) -> str:
        """A text of the server without anything that is, or looks like, a secret."""
        for secret in (self.key, self.entra_token):
            if isinstance(secret, str) and len(secret) > 4:
                text = text.replace(secret, "[secret]")
        return _SECRET_LOOKS.sub("[secret]", text)


def find_server(
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    organization: str | None = None,
    project: str | None = None,
    azure_deployment: str | None = None,
    entra_token: EntraToken | None = None,
    api_version: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Server:
    """The server that these arguments and the environment name.

    Without ``base_url`` it is ``OPENAI_BASE_URL`` or OpenAI's own; with any of Azure's arguments, or an address of
    Azure's, it is Azure: ``base_url`` or ``AZURE_OPENAI_ENDPOINT``. Azure's dated API is used where there is an
    ``api_version`` (or ``OPENAI_API_VERSION``), else its API without versions (``/openai/v1``).

    The environment's key is sent where it belongs: to OpenAI, and to the server that the environment itself names. The
    official client sends it to any ``base_url``, so whoever tries a stranger's server gives their key away; here such
    a server is sent none unless it is passed. A local server wants none, and one that does says so, with a
    message that tells how (`Server.key_advice`).

    Args:
        api_key, base_url, organization, project, azure_deployment, entra_token, api_version: as in `ServerArguments`.
        environment: default: the process's.

    Raises:
        ConfigurationError: something is missing, malformed, or contradicts something else.
    """
    env = os.environ if environment is None else environment
    if base_url is not None:
        base_url = _checked_url(base_url, "base_url")
    if api_key is not None and not api_key.strip():
        raise ConfigurationError("api_key is empty: leave it out to use the environment's, or pass a key")
    azure = azure_deployment is not None or entra_token is not None or api_version is not None
    if azure or (base_url is not None and _is_azure(base_url)):
        if api_key is not None and entra_token is not None:
            raise ConfigurationError("api_key and entra_token contradict each other: pass one of them")
        return _azure(api_key, base_url, azure_deployment, entra_token, api_version, env)
    from_env = env.get("OPENAI_BASE_URL") or None
    url = base_url or (_checked_url(from_env, "OPENAI_BASE_URL") if from_env else OPENAI_URL)
    is_openai = _is_openai(url)
    key, source = (api_key, "api_key=") if api_key else (env.get("OPENAI_API_KEY") or None, "OPENAI_API_KEY")
    named_by_env = from_env is not None and url == from_env.strip().rstrip("/")
    withheld = api_key is None and key is not None and not is_openai and not named_by_env
    if key is None or withheld:
        if is_openai:
            raise ConfigurationError(
                "there is no key for OpenAI: pass api_key=, or set the environment variable OPENAI_API_KEY; for a "
                "server of your own pass base_url=, such as base_url='http://localhost:11434/v1'"
            )
        key, source = _NO_KEY, ""
    return Server(
        "openai" if is_openai else "compatible",
        url,
        key,
        source,
        organization=organization,
        project=project,
        key_withheld=withheld,
    )


def _azure(
    api_key: str | None,
    base_url: str | None,
    deployment: str | None,
    entra_token: EntraToken | None,
    api_version: str | None,
    env: Mapping[str, str],
) -> Server:
    endpoint = env.get("AZURE_OPENAI_ENDPOINT") or None
    if base_url is None and endpoint is None:
        raise ConfigurationError(
            "Azure needs the address of your resource: pass base_url='https://NAME.openai.azure.com', or set the "
            "environment variable AZURE_OPENAI_ENDPOINT"
        )
    url = base_url or _checked_url(endpoint or "", "AZURE_OPENAI_ENDPOINT")
    key, source = api_key, "api_key="
    if entra_token is not None:
        source = "entra_token="
    elif key is None:
        key, source = env.get("AZURE_OPENAI_API_KEY") or None, "AZURE_OPENAI_API_KEY"
        entra_token = None if key else env.get("AZURE_OPENAI_AD_TOKEN") or None
        if entra_token is not None:
            source = "AZURE_OPENAI_AD_TOKEN"
    if key is None and entra_token is None:
        raise ConfigurationError(
            "there is no key for Azure: pass api_key= or entra_token=, or set the environment variable "
            "AZURE_OPENAI_API_KEY"
        )
    version = api_version or env.get("OPENAI_API_VERSION") or None
    parts = urlsplit(url)
    resource = f"{parts.scheme}://{parts.netloc}{parts.path.partition('/openai')[0]}"
    if parts.path.endswith("/openai/v1") or version is None:
        return Server("azure_v1", f"{resource}/openai/v1", key, source, entra_token, deployment=deployment)
    return Server("azure", resource, key, source, entra_token, deployment=deployment, api_version=version)


def _is_openai(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    # Over TLS only: without it nobody has shown to be OpenAI. Regions have names before it (eu.api.openai.com).
    return parts.scheme == "https" and (host == "api.openai.com" or host.endswith(".api.openai.com"))


def _is_azure(url: str) -> bool:
    return (urlsplit(url).hostname or "").endswith(_AZURE_HOSTS)


def _checked_url(url: str, name: str) -> str:
    try:
        parts = urlsplit(url.strip())
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        raise ConfigurationError(f"{name} is no address: {error}") from None
    if parts.username is not None or parts.password is not None:
        # Not repeated: it holds a password, and addresses are logged.
        raise ConfigurationError(
            f"{name} has a user or password in it: pass the key as api_key=, and the address without it"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"{name} is {url!r}; it must be an address with its path, such as 'https://api.openai.com/v1'"
        )
    for ending in ("/chat/completions", "/audio/speech", "/audio/transcriptions"):
        if parts.path.rstrip("/").endswith(ending):
            raise ConfigurationError(
                f"{name} is {url!r}; leave {ending!r} out: it is the address that all requests begin with"
            )
    if parts.query or parts.fragment:
        raise ConfigurationError(f"{name} has a query or fragment, which requests can't carry: leave it out")
    return url.strip().rstrip("/")
