"""The endpoints of calls: the offer comes in, the answer goes out; and hanging up."""

from __future__ import annotations

import logging
from typing import Any, Final

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from repartee.errors import MissingDependencyError, ProtocolError
from repartee.protocol.beta import BetaDialect
from repartee.protocol.config import SessionConfig
from repartee.protocol.sessions import kind_of
from repartee.server.access.auth import Identity
from repartee.server.endpoints.calls import Call
from repartee.server.endpoints.rest import read_body, read_json
from repartee.server.ids import random_id
from repartee.server.replies import ErrorReply
from repartee.server.served import Served
from repartee.server.service import Service
from repartee.server.sessions.running import RunningSession
from repartee.server.sessions.served_session import OutputSink
from repartee.server.sessions.session_config import begin_session, bound_session, kind_named

__all__ = ["CallRoutes"]

log = logging.getLogger("repartee.server")

SDP: Final = "application/sdp"
PARTS_MAX: Final = 8


class CallRoutes:
    """The endpoints of calls.

    Args:
        service: what is shared.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def create(self, request: Request) -> Response:
        """``POST …/realtime/calls``: an offer by itself, or with the session's configuration in a form."""
        identity = self._service.demand(request.headers)
        self._service.admission.check_open()
        offer, raw = await self._read(request)
        beta = self._service.options.beta and "realtime=v1" in request.headers.get("openai-beta", "")
        return await self._answer(request, identity, offer, raw, beta=beta)

    async def create_beta(self, request: Request) -> Response:
        """``POST …/realtime?model=``: the beta's way."""
        if not self._service.options.beta:
            raise ErrorReply(405, "method_not_allowed", "POST the offer to …/realtime/calls.")
        return await self.create(request)

    async def hang_up(self, request: Request) -> Response:
        """``POST …/realtime/calls/{id}/hangup``."""
        identity = self._service.demand(request.headers)
        call = self._service.calls.find(str(request.path_params["call_id"]), identity.name)
        if call is None:
            raise _no_call()
        await call.media.hangup("hung up by request")
        return Response(status_code=200)

    async def no_telephone(self, request: Request) -> Response:
        """``accept``, ``reject``, ``refer``: there is no telephone here."""
        self._service.demand(request.headers)
        verb = str(request.path_params["verb"])
        if verb not in ("accept", "reject", "refer"):
            raise ErrorReply(404, "unknown_url", f"Unknown request URL: POST {request.url.path}.")
        raise ErrorReply(
            501,
            "sip_not_supported",
            f"This server takes no calls by telephone (SIP), so there is none to {verb}.",
        )

    async def _read(self, request: Request) -> tuple[str, Any]:
        """The offer, and the configuration that came with it, if one did."""
        options = self._service.options
        body = await read_body(request, bytes_max=options.body_bytes, within_s=options.handshake_s)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == SDP:
            return _text(body), None
        if kind == "multipart/form-data":
            return await _form(request, body)
        raise ErrorReply(
            415,
            "unsupported_content_type",
            f"Content-Type {kind or '(none)'!r} is not read here; right are '{SDP}' and 'multipart/form-data'.",
        )

    async def _answer(
        self, request: Request, identity: Identity, sdp: str, raw: Any, *, beta: bool
    ) -> Response:
        service = self._service
        try:
            from repartee.server.webrtc.call import WebRtcCall
            from repartee.server.webrtc.offer import read_offer
        except MissingDependencyError as error:
            raise ErrorReply(501, "webrtc_not_installed", f"{error}.", type="server_error") from None
        served, config = self._config(request, identity, raw)
        running: list[RunningSession] = []

        def open_session(output: OutputSink) -> RunningSession:
            running.append(service.sessions.open(served, config, owner=identity.name, output=output))
            return running[0]

        with service.calls.opening():
            try:
                media = WebRtcCall(
                    read_offer(sdp),
                    open_session,
                    options=service.options,
                    observe=request.query_params.get("observe") == "1",
                    dialect=BetaDialect(transcription=kind_of(config) == "transcription") if beta else None,
                    on_end=service.calls.ended,
                )
                answer = await media.answer()
            except ProtocolError as error:
                raise ErrorReply(400, error.code, str(error), param=error.param) from None
            service.calls.add(Call(media, running[0]))
        base = request.url.path.rstrip("/").removesuffix("/calls")
        headers = {"Location": f"{base}/calls/{media.id}", "X-Request-Id": random_id("req")}
        return Response(answer, 201, headers=headers, media_type="text/plain")

    def _config(self, request: Request, identity: Identity, raw: Any) -> tuple[Served, SessionConfig]:
        """What the call converses with, and how its session begins."""
        service = self._service
        secret = identity.secret
        kind = secret.kind if secret is not None else kind_named(raw)
        if kind == "translation" or (
            secret is not None and raw is not None and kind_named(raw, kind) != kind
        ):
            raise ErrorReply(
                400,
                "invalid_value",
                f"A call can't be a {kind_named(raw, kind)} session here.",
                param="session.type",
            )
        named = raw.get("model", "") if isinstance(raw, dict) else ""
        model = request.query_params.get("model", "") or (named if isinstance(named, str) else "")
        if secret is not None and secret.model:
            if model not in ("", secret.model):
                raise ErrorReply(400, "invalid_model", f'The client secret is for model "{secret.model}".')
            model = secret.model
        served = service.served_for(model)
        if served is None:
            raise ErrorReply(
                400, "invalid_model", f'Model "{model}" is not served here.', param="session.model"
            )
        bound = secret.session if secret is not None else None
        config = begin_session(served, kind, model=model, expires_at=service.expires_at(), bound=bound)
        if raw is not None:
            config = bound_session({**raw, "type": kind}, config, served.policy)
        return served, config


def _no_call() -> ErrorReply:
    return ErrorReply(404, "call_id_not_found", "No session found for the provided call_id", param="")


def _text(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise ErrorReply(400, "invalid_offer", "The SDP offer is no UTF-8 text.", param="sdp") from None
    if not text.strip():
        raise ErrorReply(400, "invalid_offer", "The SDP offer is missing.", param="sdp")
    return text


async def _form(request: Request, body: bytes) -> tuple[str, Any]:
    """The parts ``sdp`` and ``session`` of a form, which come as fields or as files."""
    sent = False

    async def receive() -> Message:
        nonlocal sent
        more, sent = not sent, True
        return {"type": "http.request", "body": body if more else b"", "more_body": False}

    buffered = Request(request.scope, receive)
    try:
        parser = MultiPartParser(
            buffered.headers,
            buffered.stream(),
            max_files=PARTS_MAX,
            max_fields=PARTS_MAX,
            max_part_size=len(body) + 1,  # which was bounded already
        )
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        detail = error.message if isinstance(error, MultiPartException) else str(error)
        raise ErrorReply(400, "invalid_form", f"The form can't be read: {detail}.") from None
    parts: dict[str, bytes] = {}
    for name, part in form.multi_items():
        parts[name] = part.encode() if isinstance(part, str) else await part.read()
    await form.close()
    if "sdp" not in parts:
        raise ErrorReply(400, "missing_required_parameter", "Missing required parameter: 'sdp'.", param="sdp")
    return _text(parts["sdp"]), read_json(parts["session"]) if "session" in parts else None
