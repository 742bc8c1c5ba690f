"""The HTTP endpoints: client secrets, calls, models, and how the server is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from repartee.clock import wall_time
from repartee.protocol.beta import BetaDialect
from repartee.protocol.sessions import SessionKind
from repartee.server.access.auth import Identity
from repartee.server.access.client_secrets import TTL_MAX_S, TTL_MIN_S, ClientSecret, TooManySecretsError
from repartee.server.replies import ErrorReply, json_response
from repartee.server.served import Served
from repartee.server.service import Service
from repartee.server.sessions.session_config import begin_session, bound_session, kind_named, session_to_raw

__all__ = ["Rest", "read_body", "read_json"]

BETA_TTL_S: Final = 60

Handler = Callable[[Request], Awaitable[Response]]


async def read_body(request: Request, *, bytes_max: int, within_s: float) -> bytes:
    """The body of a request.

    Args:
        request: whose.
        bytes_max: more is refused, before it is read where its length is told.
        within_s: how long it may take to come.

    Raises:
        ErrorReply: 413, it is too large; 408, it came too slowly; 400, it broke off.
    """
    told = request.headers.get("content-length", "")
    too_large = ErrorReply(
        413, "body_too_large", f"The body is too large; at most {bytes_max} bytes are read."
    )
    if told.isdecimal() and int(told) > bytes_max:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(within_s):
            async for part in request.stream():
                size += len(part)
                if size > bytes_max:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise ErrorReply(408, "timeout", f"The body did not come within {within_s:g} seconds.") from None
    except ClientDisconnect:
        raise ErrorReply(400, "incomplete_body", "The body broke off.") from None
    return b"".join(parts)


def read_json(body: bytes) -> dict[str, Any]:
    """A body as the JSON object that it is; an empty one as an empty object.

    Raises:
        ErrorReply: 400, it is none.
    """
    if not body.strip():
        return {}
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ErrorReply(400, "invalid_json", f"The body is no JSON: {error}.") from None
    if not isinstance(raw, dict):
        raise ErrorReply(400, "invalid_json", "The body must be one JSON object.")
    return raw


class Rest:
    """The HTTP endpoints, but those of calls.

    Args:
        service: what is shared.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    # -- client secrets ----------------------------------------------------------------------------------------

    async def create_secret(self, request: Request) -> Response:
        """``POST …/realtime/client_secrets``."""
        return await self._create_secret(request, "realtime")

    async def create_translation_secret(self, request: Request) -> Response:
        """``POST …/realtime/translations/client_secrets``."""
        return await self._create_secret(request, "translation")

    async def _create_secret(self, request: Request, default: SessionKind) -> Response:
        identity = self._service.demand(request.headers, key_only=True)
        raw = await self._json(request)
        session = raw.get("session", {})
        if not isinstance(session, dict):
            raise ErrorReply(
                400, "invalid_type", "Invalid type for 'session': expected an object.", param="session"
            )
        kind = kind_named(session, default)
        if (kind == "translation") is not (default == "translation"):
            raise ErrorReply(
                400, "invalid_value", f"A {kind} session's secret is made elsewhere.", param="session.type"
            )
        ttl_s = self._ttl(raw.get("expires_after"))
        value, secret = self._mint(identity, kind, {**session, "type": kind}, ttl_s)
        return json_response(
            {"value": value, "expires_at": secret.expires_at, "session": session_to_raw(secret.session)}
        )

    async def delete_secret(self, request: Request) -> Response:
        """``DELETE …/realtime/client_secrets/{value}``: ours; makes a secret invalid at once."""
        identity = self._service.demand(request.headers, key_only=True)
        value = str(request.path_params["value"])
        if not self._service.secrets.revoke(value, owner=identity.name):
            raise ErrorReply(404, "client_secret_not_found", "There is no such client secret (any more).")
        return json_response({"object": "realtime.client_secret.deleted", "deleted": True})

    async def create_beta_session(self, request: Request) -> Response:
        """``POST …/realtime/sessions``: the beta's way to a client secret."""
        return await self._create_beta_secret(request, "realtime")

    async def create_beta_transcription_session(self, request: Request) -> Response:
        """``POST …/realtime/transcription_sessions``: the same, to transcribe."""
        return await self._create_beta_secret(request, "transcription")

    async def _create_beta_secret(self, request: Request, kind: SessionKind) -> Response:
        if not self._service.options.beta:
            raise ErrorReply(
                404, "unknown_url", "The beta shape of the Realtime API is off; use client_secrets."
            )
        identity = self._service.demand(request.headers, key_only=True)
        raw = await self._json(request)
        raw.pop("client_secret", None)
        expires = raw.pop("expires_after", None)
        dialect = BetaDialect(transcription=kind == "transcription")
        [update] = dialect.from_beta({"type": "session.update", "session": raw})
        ttl_s = BETA_TTL_S if expires is None else self._ttl(expires)
        value, secret = self._mint(identity, kind, update["session"], ttl_s)
        told = session_to_raw(secret.session, beta=True)
        return json_response({**told, "client_secret": {"value": value, "expires_at": secret.expires_at}})

    def _mint(
        self, identity: Identity, kind: SessionKind, raw: dict[str, Any], ttl_s: int
    ) -> tuple[str, ClientSecret]:
        named = raw.get("model", "")
        model = named if isinstance(named, str) else ""
        served = self.served(model, kind)
        default = begin_session(served, kind, model=model, expires_at=0)
        now = wall_time()
        secret = ClientSecret(
            owner=identity.name,
            kind=kind,
            session=bound_session(raw, default, served.policy),
            model=model,
            expires_at=int(now) + ttl_s,
        )
        try:
            return self._service.secrets.mint(secret, now), secret
        except TooManySecretsError as error:
            raise ErrorReply(
                429, "too_many_client_secrets", str(error), headers={"Retry-After": "60"}
            ) from None

    def served(self, model: str, kind: SessionKind) -> Served:
        """What is served under a name.

        Raises:
            ErrorReply: 400, nothing is, or not for this kind of session.
        """
        served = self._service.served_for(model)
        if served is None:
            raise ErrorReply(
                400, "invalid_model", f'Model "{model}" is not served here.', param="session.model"
            )
        if self._service.kind_problem(kind, served):
            raise ErrorReply(
                400,
                "invalid_model",
                f'Model "{model or served.name}" does not translate.',
                param="session.model",
            )
        return served

    def _ttl(self, raw: Any) -> int:
        if raw is None:
            return self._service.options.secret_ttl_s
        anchor = raw.get("anchor", "created_at") if isinstance(raw, dict) else None
        if anchor != "created_at":
            raise ErrorReply(
                400,
                "invalid_value",
                'Invalid value for \'expires_after\': right is {"anchor": "created_at", "seconds": 600}.',
                param="expires_after",
            )
        seconds = raw.get("seconds", self._service.options.secret_ttl_s)
        if type(seconds) is not int or not TTL_MIN_S <= seconds <= TTL_MAX_S:
            raise ErrorReply(
                400,
                "invalid_value",
                f"Invalid value for 'expires_after.seconds': right is {TTL_MIN_S} to {TTL_MAX_S}.",
                param="expires_after.seconds",
            )
        return seconds

    async def _json(self, request: Request) -> dict[str, Any]:
        options = self._service.options
        return read_json(await read_body(request, bytes_max=options.body_bytes, within_s=options.handshake_s))

    # -- models, and how the server is -------------------------------------------------------------------------

    async def models(self, request: Request) -> Response:
        """``GET …/models``."""
        self._service.demand(request.headers)
        return json_response({"object": "list", "data": [self._model(each) for each in self._service.served]})

    async def model(self, request: Request) -> Response:
        """``GET …/models/{name}``."""
        self._service.demand(request.headers)
        name = str(request.path_params["name"])
        for served in self._service.served:
            if served.name == name:
                return json_response(self._model(served))
        raise ErrorReply(404, "model_not_found", f"The model '{name}' is not served here.", param="model")

    def _model(self, served: Served) -> dict[str, Any]:
        created = self._service.started_at
        model = {"id": served.name, "object": "model", "created": created, "owned_by": "repartee"}
        voices = served.policy.voices or served.voices or served.model.capabilities.voices
        return model | ({"voices": list(voices)} if voices else {})

    async def health(self, request: Request) -> Response:
        """``GET …/healthz``: the process answers."""
        return json_response({"status": "ok"})

    async def readiness(self, request: Request) -> Response:
        """``GET …/readyz``: a new session would begin at once."""
        service = self._service
        service.begin_start()
        if (status := service.status) == "ready":
            return json_response({"status": status})
        return json_response({"status": status}, status=503, headers={"Retry-After": "1"})
