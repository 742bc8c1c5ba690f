"""What a translation says, as events: the speaker's words, the same in the other language, and the voice that says it.

Continuous: no turns, no items, no responses. All three only grow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from repartee.protocol import events as ev
from repartee.protocol.faults import ODD_PCM
from repartee.protocol.outlet import Outlet
from repartee.protocol.sessions import PCM_RATE
from repartee.protocol.tables import SessionState

__all__ = ["TranslationWriter"]


class TranslationWriter:
    """Writes a translation session. A server's `Connection` has one (`translation`).

    Every method returns the events to send, in order; nothing, once the session is over. In a session of another kind
    each raises `LocalProtocolError`.

    ``elapsed_ms`` says where in the session's audio the words or the voice belong. Default: not told.

    Args:
        outlet: where its events go.
        on_closed: called when the session is over.
    """

    def __init__(self, outlet: Outlet, on_closed: Callable[[], None]) -> None:
        self._outlet = outlet
        self._on_closed = on_closed

    @property
    def closing(self) -> bool:
        """Whether the client has said all (``session.close``): what is left is translated, then comes `closed`."""
        return self._outlet.flow.session_state is SessionState.CLOSING

    def input_transcript(self, delta: str, *, elapsed_ms: int | None = None) -> list[ev.ServerEvent]:
        """More of the speaker's words."""
        return self._emit(ev.SessionInputTranscriptDelta, elapsed_ms, delta=delta)

    def output_transcript(self, delta: str, *, elapsed_ms: int | None = None) -> list[ev.ServerEvent]:
        """More of the words in the other language."""
        return self._emit(ev.SessionOutputTranscriptDelta, elapsed_ms, delta=delta)

    def audio(self, audio: bytes, *, elapsed_ms: int | None = None) -> list[ev.ServerEvent]:
        """More of the voice in the other language.

        Args:
            audio: 24 kHz mono 16-bit PCM.
            elapsed_ms: see above.

        Raises:
            ProtocolError: no whole number of samples.
        """
        if len(audio) % 2:
            raise ODD_PCM.error(length=len(audio))
        return self._emit(
            ev.SessionOutputAudioDelta,
            elapsed_ms,
            delta=audio,
            sample_rate=PCM_RATE,
            channels=1,
            format="pcm16",
        )

    def closed(self) -> list[ev.ServerEvent]:
        """All is translated: the session is over, and the connection to be closed."""
        made = self._emit(ev.SessionClosed, None)
        if made:
            self._on_closed()
        return made

    def _emit(self, event: type[Any], elapsed_ms: int | None, **fields: Any) -> list[ev.ServerEvent]:
        if self._outlet.flow.session_state is SessionState.CLOSED:
            return []
        if elapsed_ms is not None:
            fields["elapsed_ms"] = elapsed_ms
        return self._outlet.emit(event(**fields))
