"""What all endpoints share: who may come in, what is served, what runs."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from starlette.types import Scope

from repartee.clock import wall_time
from repartee.errors import ConfigurationError, MissingDependencyError, ReparteeError
from repartee.protocol.sessions import SessionKind
from repartee.server.access.admission import Admission
from repartee.server.access.auth import Gatekeeper, Identity, credential_of
from repartee.server.access.client_secrets import ClientSecrets
from repartee.server.endpoints.calls import Calls
from repartee.server.options import ServerOptions
from repartee.server.policy import Policy, policy_of
from repartee.server.recordings.recording import recordings_of
from repartee.server.replies import ErrorReply
from repartee.server.served import Served
from repartee.server.sessions.running import RunningSessions, SessionFactory
from repartee.server.sessions.served_session import ServedSession

__all__ = ["Service"]

log = logging.getLogger("repartee.server")


class Service:
    """What all endpoints share.

    Args:
        served: what is served; the first is the default.
        options: every limit and switch.
        api_keys: that let in. None: anyone on this machine may come in.
        session_factory: makes sessions. Default: `ServedSession`.

    Raises:
        ConfigurationError: nothing is served, two have one name, or a key is not usable.
    """

    def __init__(
        self,
        served: Sequence[Served],
        options: ServerOptions,
        api_keys: Iterable[str] = (),
        *,
        session_factory: SessionFactory = ServedSession,
    ) -> None:
        names = [each.name for each in served]
        if not served or len(set(names)) != len(names):
            raise ConfigurationError(
                f"the served models are named {names}; right is one or more, each with a name of its own"
            )
        policy = policy_of(options)
        self.served = tuple(
            each if policy == Policy() else replace(each, policy=policy & each.policy) for each in served
        )
        if options.any_model and len(self.served) == 1:
            self.served = (replace(self.served[0], any_name=True),)
        self.options = options
        self.secrets = ClientSecrets(options.secrets)
        self.gatekeeper = Gatekeeper(api_keys, self.secrets)
        self.admission = Admission(options)
        self.recordings = recordings_of(options)
        self.sessions = RunningSessions(options, self.admission, session_factory, self.recordings)
        self.calls = Calls(options)
        self.started_at = int(wall_time())
        self.failure: str | None = None
        """Why it is not ready, if starting has failed."""
        self._starting: asyncio.Task[None] | None = None
        self._closed = False

    # -- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load what the first session would otherwise wait for. Idempotent.

        Raises:
            ReparteeError: a part can't be had.
        """
        await asyncio.shield(self._start())

    def begin_start(self) -> None:
        """Start in the background, unless that was done; where nobody runs our lifespan, the first request does it."""
        if not self._closed:
            self._start()

    def _start(self) -> asyncio.Task[None]:
        failed = self._starting is not None and self._starting.done() and self.failure is not None
        if self._starting is None or failed:
            self.failure = None
            loop = asyncio.get_running_loop()
            self._starting = loop.create_task(self._prewarm(), name="repartee.server.start")
            self._starting.add_done_callback(self._started)
        return self._starting

    async def _prewarm(self) -> None:
        # These take up to a second to import, for which the first session, or call, would hold up all others.
        imports = asyncio.to_thread(_import_late)
        await asyncio.gather(imports, *(served.prewarm() for served in self.served))

    def _started(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.failure = "starting was cancelled"
        elif (error := task.exception()) is not None:
            self.failure = str(error) if isinstance(error, ReparteeError) else type(error).__name__
            log.error("the model can't be had: %s", self.failure, exc_info=error)

    @property
    def ready(self) -> bool:
        """Whether a new session would begin at once."""
        started = self._starting is not None and self._starting.done() and self.failure is None
        return started and not self.admission.draining and not self._closed

    @property
    def status(self) -> str:
        """How it is: ``ready``, or why no session would begin: ``starting``, ``failed``, ``draining`` or ``full``."""
        if self.admission.draining or self._closed:
            return "draining"
        if not self.ready:
            return "failed" if self.failure else "starting"
        return "full" if self.admission.full else "ready"

    def begin_drain(self) -> None:
        """Take no new sessions from now on."""
        self.admission.draining = True

    async def drain(self) -> None:
        """Take no new sessions, and let the running ones come to their end; ends those that last too long."""
        self.begin_drain()
        log.info("draining: %d sessions are running", len(self.sessions))
        await self.sessions.drain()

    async def aclose(self) -> None:
        """End all sessions now, and close the models. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.begin_drain()
        await self.calls.aclose()
        await self.sessions.drain(drain_s=0)
        if self.recordings is not None:
            await self.recordings.aclose()
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait((self._starting,))
        for served in self.served:
            await served.aclose()

    # -- requests ----------------------------------------------------------------------------------------------

    def identify(self, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> Identity | None:
        """Who asks; ``None``: nobody who may come in."""
        return self.gatekeeper.identify(credential_of(headers, subprotocols), wall_time())

    def demand(self, headers: Mapping[str, str], *, key_only: bool = False) -> Identity:
        """Who asks.

        Args:
            headers: of the request.
            key_only: whether a client secret is not enough.

        Raises:
            ErrorReply: 401, nobody who may come in.
        """
        credential = credential_of(headers)
        identity = self.gatekeeper.identify(credential, wall_time())
        if identity is None or (key_only and identity.kind == "secret"):
            if credential is None:
                text = "You didn't provide an API key. Send it as a header: Authorization: Bearer YOUR_KEY."
            elif identity is not None:
                text = "A client secret is not enough here; use an API key."
            else:
                text = "Incorrect API key provided."
            raise ErrorReply(401, "invalid_api_key", text, headers={"WWW-Authenticate": "Bearer"})
        return identity

    def served_for(self, model: str) -> Served | None:
        """What is served under a name that a client wrote; ``""``: the default."""
        for served in self.served:
            if model in ("", served.name):
                return served
        return self.served[0] if self.options.any_model and len(self.served) == 1 else None

    def expires_at(self) -> int:
        """When a session that begins now will be over, in seconds of Unix time."""
        return int(wall_time() + self.options.session_s)

    def translates(self, served: Served) -> bool:
        """Whether a model can hold a translation session."""
        return bool(getattr(served, "translates", False))

    def kind_problem(self, kind: SessionKind, served: Served) -> bool:
        """Whether a session of this kind can't be held."""
        return kind == "translation" and not self.translates(served)


def _import_late() -> None:
    importlib.import_module("repartee.server.hearing.listening")
    with contextlib.suppress(MissingDependencyError):  # calls are then answered with what to install
        importlib.import_module("repartee.server.webrtc.call")


def peer_of(scope: Scope) -> str:
    """Where a request comes from, for the log."""
    client = scope.get("client")
    return client[0] if client else "-"
