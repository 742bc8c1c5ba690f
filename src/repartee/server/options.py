"""Every limit and switch of the server, in one table.

The command line's flags, ``repartee serve --help`` and the table in docs/serving.md are made from the fields below, so
they can't differ. A limit is checked before what it limits is spent, and reaching it has a clear answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from repartee.errors import ConfigurationError
from repartee.server.webrtc.ice import check_address, ice_server, port_range

__all__ = [
    "AccessOptions",
    "LoadOptions",
    "Option",
    "PolicyOptions",
    "ServerOptions",
    "SlowConsumer",
    "option_table",
]

SlowConsumer = Literal["drop_audio", "close"]
"""What happens to a client that reads too slowly: its audio deltas are dropped, or its session is closed."""

MIB: Final = 1 << 20


def _option(default: Any, help: str, *, unit: str = "", flag: str = "", least: float = 0) -> Any:
    """A field with its row of the table. ``least``: the smallest number that makes sense."""
    return dataclasses.field(
        default=default, metadata={"help": help, "unit": unit, "flag": flag, "least": least}
    )


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """Who may come in, and what is offered."""

    allow_origins: tuple[str, ...] = _option(
        (),
        "a web origin whose pages may connect besides our own (https://example.test; '*': any); may be repeated",
        flag="--allow-origin",
    )
    allow_hosts: tuple[str, ...] = _option(
        (),
        "a name that this server may be called by in a Host header ('*': any); may be repeated. Default: any with "
        "keys, the names of this machine itself without",
        flag="--allow-host",
    )
    any_model: bool = _option(
        True, "accept any model name when one model is served; otherwise a name that is not served is refused"
    )
    beta: bool = _option(True, "speak the beta's event names to clients that ask for them (OpenAI-Beta)")
    page: bool = _option(True, "serve the page to talk to at /")
    secrets: int = _option(10_000, "client secrets that are valid at the same time", unit="secrets", least=1)
    secret_ttl_s: int = _option(
        600, "how long a client secret is valid if its request doesn't say (10 to 7200)", unit="s", least=10
    )


@dataclass(frozen=True, kw_only=True)
class LoadOptions(AccessOptions):
    """What one client, and all of them, may cost."""

    frame_bytes: int = _option(
        15 * MIB * 4 // 3 + (64 << 10), "largest frame that a client may send", unit="bytes", least=1024
    )
    append_bytes: int = _option(
        15 * MIB, "most audio in one input_audio_buffer.append, decoded", unit="bytes", least=480
    )
    body_bytes: int = _option(256 << 10, "largest body of a POST", unit="bytes", least=1024)
    sessions: int = _option(200, "sessions at the same time", unit="sessions", least=1)
    sessions_per_key: int = _option(0, "sessions at the same time for one key (0: all)", unit="sessions")
    connections: int = _option(
        1000,
        "open WebSockets, with a session or not yet; HTTP may have 100 connections more",
        unit="connections",
        least=1,
    )
    calls: int = _option(100, "WebRTC calls at the same time", unit="calls", least=1)
    handshake_s: float = _option(
        10.0, "from a connection to its session; for WebRTC to its open data channel", unit="s", least=0.1
    )
    events_per_s: float = _option(
        200.0,
        "client events a second over a longer time; beyond, the session is closed (1008)",
        unit="1/s",
        least=1,
    )
    events_burst: int = _option(
        10_000, "client events that may come at once, before the rate counts", unit="events", least=1
    )
    idle_s: float = _option(
        900.0, "without an event from the client or audio to it, the session is closed (0: never)", unit="s"
    )
    ping_s: float = _option(
        20.0, "between pings; a connection that answers none in this time is dropped (0: never)", unit="s"
    )
    outgoing_bytes: int = _option(
        4 * MIB, "what may wait for a client that reads too slowly", unit="bytes", least=64 << 10
    )
    slow_consumer: SlowConsumer = _option(  # noqa: RUF009 -- it is a field, as the others are
        "drop_audio", "what then happens: drop_audio (its audio deltas), or close (its session)"
    )
    drain_s: float = _option(30.0, "after SIGTERM, how long running sessions may still last", unit="s")
    watchdog_ms: int = _option(
        100, "the log names what blocks the event loop for longer than this (0: don't watch)", unit="ms"
    )


@dataclass(frozen=True, kw_only=True)
class PolicyOptions(LoadOptions):
    """What clients may change of everything that is served, and what is kept of their sessions."""

    policy_instructions: str = _option(
        "", "instructions before the client's, which no client sees; a text, or @ and a file's name"
    )
    client_instructions: bool = _option(True, "let clients change the instructions")
    client_tools: tuple[str, ...] = _option(
        (),
        "a function that clients may declare ('none': none); may be repeated. Default: any",
        flag="--client-tool",
    )
    voices: tuple[str, ...] = _option(
        (), "a voice that clients may choose; may be repeated. Default: any", flag="--allow-voice"
    )
    max_output_tokens: int = _option(
        0, "most output tokens of a response (0: as the client says)", unit="tokens"
    )
    record: str = _option(
        "", "a folder where every session's sound and log are kept. Default: nothing is kept"
    )
    record_minutes: float = _option(
        120.0, "how much of a session is recorded; what comes after is not", unit="min", least=0.01
    )
    record_free_mib: int = _option(
        1024, "recordings end, and none begin, when less of the disk is free", unit="MiB"
    )


@dataclass(frozen=True, kw_only=True)
class ServerOptions(PolicyOptions):
    """Every limit and switch of the server.

    Raises:
        ConfigurationError: a value makes no sense; says which and what would.
    """

    session_s: float = _option(
        3600.0, "how long a session may last; then session_expired and close 1001", unit="s", least=1
    )
    context_tokens: int = _option(
        28_224, "input tokens of a conversation that a response may take in", unit="tokens", least=256
    )
    response_stall_s: float = _option(
        30.0, "a response whose model gives nothing for so long has failed", unit="s", least=0.1
    )
    tool_s: float = _option(
        60.0,
        "how long a function that runs on the server may take, if it doesn't say so itself",
        unit="s",
        least=0.1,
    )
    tokens_per_min: int = _option(0, "tokens a minute for one key (0: no limit)", unit="tokens")
    kept_audio_bytes: int = _option(
        8 * MIB, "audio of a session that is kept for conversation.item.retrieve", unit="bytes"
    )
    ice_hosts: tuple[str, ...] = _option(
        (),
        "an IP address of this machine that WebRTC calls use; may be repeated. Default: all but the loopback, and that "
        "if there is no other",
        flag="--ice-host",
    )
    ice_ports: str = _option(
        "",
        "the UDP ports that WebRTC calls use, one each (FIRST-LAST); STUN servers are not asked then. Default: any",
        flag="--ice-ports",
    )
    public_ips: tuple[str, ...] = _option(
        (),
        "an IP address by which WebRTC clients reach this machine behind a 1:1 NAT or in a container; may be repeated",
        flag="--public-ip",
    )
    ice_servers: tuple[str, ...] = _option(
        (),
        "a STUN or TURN server for WebRTC (stun:HOST:PORT, turn:USER:PASSWORD@HOST:PORT); may be repeated",
        flag="--ice-server",
    )

    def __post_init__(self) -> None:
        for option in option_table():
            value = getattr(self, option.field)
            if option.kind in (int, float) and not value >= option.least:  # also not-a-number
                raise ConfigurationError(
                    f"{option.field}={value} is too small; right is {option.least:g} or more"
                )
        if self.slow_consumer not in ("drop_audio", "close"):
            raise ConfigurationError(
                f"slow_consumer={self.slow_consumer!r}; right are 'drop_audio' and 'close'"
            )
        if self.secret_ttl_s > 7200:
            raise ConfigurationError(f"secret_ttl_s={self.secret_ttl_s} is too large; right is 10 to 7200")
        for address in (*self.ice_hosts, *self.public_ips):
            check_address(address)
        for server in self.ice_servers:
            ice_server(server)
        port_range(self.ice_ports)
        for origin in self.allow_origins:
            if origin not in ("*", "null") and ("://" not in origin or origin.count("/") != 2):
                raise ConfigurationError(
                    f"{origin!r} is no origin; right is scheme://host[:port], such as https://example.test"
                )


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table."""

    field: str
    flag: str
    kind: type
    """``int``, ``float``, ``bool``, ``str``, or ``tuple`` (of strings; the flag may be repeated)."""
    default: Any
    unit: str
    help: str
    least: float


def option_table() -> Iterator[Option]:
    """Every option, in the order of the fields of `ServerOptions`."""
    for field in dataclasses.fields(ServerOptions):
        told = field.metadata
        yield Option(
            field=field.name,
            flag=told["flag"] or "--" + field.name.replace("_", "-"),
            kind=type(field.default),
            default=field.default,
            unit=told["unit"],
            help=told["help"],
            least=told["least"],
        )
