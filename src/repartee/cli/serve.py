"""`repartee serve`: the server, and the page to talk to."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import ssl
import sys
import webbrowser
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.logging import RichHandler

from repartee.errors import ConfigurationError, MissingDependencyError, ReparteeError
from repartee.server.options import Option, ServerOptions, option_table

if TYPE_CHECKING:
    from repartee.server.service import Service
    from repartee.server.sockets.runner import RealtimeServer

__all__ = ["add_arguments", "add_option_flags", "has_browser", "options_from", "run"]

PORT = 8080
EXIT_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options; those of the server itself come from its own table."""
    parser.add_argument(
        "--model",
        action="append",
        metavar="MODEL",
        help="what is served: 'local'; 'openai:NAME' or 'azure:DEPLOYMENT' (a relay, with the key and address of the "
        "environment); or 'module:attribute' (a model, an agent, or a function that makes one); may be repeated "
        "(default: local)",
    )
    parser.add_argument(
        "--app-dir",
        metavar="DIR",
        default=".",
        help="where a module:attribute is looked for first (default: the working directory)",
    )
    parser.add_argument(
        "--llm", metavar="GGUF", help="a language model, by path or name (see: repartee models)"
    )
    parser.add_argument("--stt", metavar="MODEL", help="a recogniser, by path or name; also beside a relay")
    parser.add_argument("--tts", metavar="VOICE", help="a voice, by path or name")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=PORT, help="port to listen on; 0: any free one (default: %(default)s)"
    )
    parser.add_argument(
        "--api-key-file",
        metavar="FILE",
        help="keys that let in, one a line, besides those in the variable REPARTEE_API_KEYS; read again on SIGHUP. "
        "Needed for any address but this machine's own",
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate chain, for https and wss")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key")
    parser.add_argument("--json", action="store_true", help="say where it serves as a line of JSON")
    parser.add_argument("--no-open", action="store_true", help="don't open the page in a browser")
    parser.add_argument(
        "--log-level",
        choices=["error", "warning", "info", "debug"],
        default="info",
        help="how much the server tells (default: %(default)s); never keys",
    )
    add_option_flags(parser)


def add_option_flags(parser: argparse.ArgumentParser) -> None:
    """A flag for each row of the server's table."""
    group = parser.add_argument_group("limits and switches")
    for option in option_table():
        group.add_argument(option.flag, dest=f"option_{option.field}", **_argument(option))


def _argument(option: Option) -> dict[str, Any]:
    text = option.help.replace("%", "%%")
    if option.kind is bool:
        default = "on" if option.default else "off"
        return {
            "action": argparse.BooleanOptionalAction,
            "default": None,
            "help": f"{text} (default: {default})",
        }
    if option.kind is tuple:
        metavar = option.flag.rpartition("-")[2].upper()
        return {"action": "append", "metavar": metavar, "default": None, "help": text}
    unit = f" {option.unit}" if option.unit else ""
    if option.kind is str:
        metavar = "POLICY" if option.field == "slow_consumer" else "TEXT"
        default = f" (default: {option.default})" if option.default else ""
        return {"metavar": metavar, "default": None, "help": f"{text}{default}"}
    shown = f"{option.default:g}" if option.kind is float else str(option.default)
    return {
        "type": option.kind,
        "metavar": "N",
        "default": None,
        "help": f"{text} (default: {shown}{unit})",
    }


def options_from(args: argparse.Namespace) -> ServerOptions:
    """The options that the flags give.

    Raises:
        ConfigurationError: one makes no sense.
    """
    given: dict[str, Any] = {}
    for option in option_table():
        value = getattr(args, f"option_{option.field}")
        if value is not None:
            given[option.field] = tuple(value) if option.kind is tuple else value
    return ServerOptions(**given)


def run(args: argparse.Namespace) -> int:
    """Serve until stopped; the exit code."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("repartee serve", package=str(error.name), extra="server") from None
    console = Console(highlight=False, soft_wrap=True, stderr=args.json)
    _log_to(Console(stderr=True, highlight=False), args.log_level)
    server, keys = _make_server(args)
    factory = _loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(server, args, console, has_keys=bool(keys)))
    return EXIT_INTERRUPTED if server.signal == signal.SIGINT else 0


def _make_server(args: argparse.Namespace) -> tuple[RealtimeServer, list[str]]:
    """Everything that can be wrong with the arguments is found here, before a model is loaded."""
    from repartee.server import app
    from repartee.server.access.auth import read_keys
    from repartee.server.sockets.runner import RealtimeServer, bind, check_host
    from repartee.server.source import LocalParts, served_from

    options = options_from(args)
    keys = read_keys(args.api_key_file, os.environ)
    check_host(args.host, has_keys=bool(keys))
    tls = _tls(args)
    if not os.path.isdir(args.app_dir):
        raise ConfigurationError(f"--app-dir {args.app_dir} is no folder")
    sys.path.insert(
        0, os.path.abspath(args.app_dir)
    )  # for as long as we run: what is served may import more later
    parts = LocalParts(args.llm, args.stt, args.tts)
    sock = bind(args.host, args.port)
    try:
        served = [served_from(source, parts) for source in args.model or ["local"]]
        application = app(served, options=options, api_keys=keys)
        return RealtimeServer(application, sock, tls=tls), keys
    except BaseException:
        sock.close()
        raise


def _tls(args: argparse.Namespace) -> dict[str, Any]:
    if not args.tls_cert and not args.tls_key:
        return {}
    for flag, path in (("--tls-cert", args.tls_cert), ("--tls-key", args.tls_key)):
        if not path or not os.path.isfile(path):
            raise ConfigurationError(
                f"{flag} {path or '(not given)'} is no file; right are both, in PEM form"
            )
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(args.tls_cert, args.tls_key, "")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise ConfigurationError(
            f"--tls-cert {args.tls_cert} and --tls-key {args.tls_key} don't go together: {error}; right are a "
            "certificate chain and its private key without a password, both in PEM form"
        ) from None
    return {"ssl_certfile": args.tls_cert, "ssl_keyfile": args.tls_key}


async def _serve(
    server: RealtimeServer, args: argparse.Namespace, console: Console, *, has_keys: bool
) -> None:
    from repartee.server.asgi import service_of

    service = service_of(server.application)
    console.print("getting the model ready …", style="dim")
    greeter = asyncio.get_running_loop().create_task(_greet(server, args, console, has_keys=has_keys))
    _reload_on_hangup(service, args.api_key_file)
    try:
        await server.run_until_stopped()
    finally:
        greeter.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await greeter
    console.print("stopped", style="dim")


async def _greet(
    server: RealtimeServer, args: argparse.Namespace, console: Console, *, has_keys: bool
) -> None:
    """Say where it is, once it is there."""
    await server.serving.wait()
    address = page_address(args.host, server.port, tls=bool(args.tls_cert))
    if args.json:
        print(json.dumps({"base_url": f"{address}v1", "page": address, "port": server.port}), flush=True)
    else:
        for line in greeting(args, server.port, has_keys=has_keys):
            console.print(line, markup=False)
    if server.shows_page and not args.no_open and has_browser(os.environ, sys.platform):
        await asyncio.to_thread(_open, address)


def greeting(args: argparse.Namespace, port: int, *, has_keys: bool) -> list[str]:
    """What a person is told: the page's address, and how to connect with the official client."""
    tls = bool(args.tls_cert)
    page = page_address(args.host, port, tls=tls)
    kind, _, name = (args.model or ["local"])[0].partition(":")
    model = (name if kind in ("openai", "azure") else name.rpartition(".")[2]) or "local"
    key = "YOUR_KEY" if has_keys else "any"
    lines = [f"Talk to it: {page}"] if args.option_page is not False else [f"Serving at {page}v1/realtime"]
    if args.host in ("0.0.0.0", "::", "") and not tls:
        lines.append(
            "  (browsers give a page the microphone only on localhost or over https: --tls-cert, --tls-key)"
        )
    return [
        *lines,
        "Connect with the openai client:",
        "  from openai import OpenAI",
        f'  client = OpenAI(base_url="{page}v1", api_key="{key}")',
        f'  with client.realtime.connect(model="{model}") as connection: ...',
        "Ctrl-C stops it.",
    ]


def page_address(host: str, port: int, *, tls: bool = False) -> str:
    """Where a browser on this machine finds the page."""
    name = "localhost" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{name}:{port}/"


def has_browser(environ: Mapping[str, str], platform: str) -> bool:
    """Whether a person in front of this machine has a browser that we may open."""
    if environ.get("SSH_CONNECTION") or environ.get("CI"):
        return False
    if platform in ("darwin", "win32"):
        return True
    if not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _open(address: str) -> None:
    try:
        webbrowser.open(address)
    except webbrowser.Error as error:
        logging.getLogger("repartee.server").info("no browser was opened: %s", error)


def _reload_on_hangup(service: Service, path: str | None) -> None:
    """Read the keys again on SIGHUP; secrets of keys that are gone are revoked."""
    if path is None or not hasattr(signal, "SIGHUP"):
        return
    from repartee.server.access.auth import read_keys

    log = logging.getLogger("repartee.server")

    def reload() -> None:
        try:
            service.gatekeeper.replace_keys(read_keys(path, os.environ))
            log.info("the keys were read again")
        except ReparteeError as error:
            log.error("the keys stay as they were: %s", error)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _log_to(console: Console, level: str) -> None:
    if console.is_terminal:
        handler: logging.Handler = RichHandler(
            console=console, show_path=False, log_time_format="%H:%M:%S", markup=False
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:  # for a file or a journal: one line for each event, whatever its length
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    ours = logging.getLogger("repartee")
    ours.setLevel(level.upper())
    ours.handlers = [handler]
    ours.propagate = False
    theirs = (
        logging.getLogger()
    )  # of other packages: failures only, whatever the level, for some log requests
    theirs.setLevel(logging.ERROR)
    theirs.handlers = [handler]
