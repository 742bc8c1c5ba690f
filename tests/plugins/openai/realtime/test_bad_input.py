"""What a user may get wrong, over a real socket where there is one: one error, which says what to do; never a key."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from repartee.audio import AudioFrame
from repartee.chat import ChatContext
from repartee.errors import ConfigurationError, ModelConnectionError, ModelError, ReparteeError
from repartee.models import ChatRequest, SessionOptions
from repartee.models import events as ev
from repartee.plugins import openai
from repartee.plugins.openai.realtime import RealtimeModel
from repartee.plugins.openai.realtime.link import connect
from repartee.protocol import events as wire
from repartee.testing import elapse, virtual_time
from repartee.testing.realtime_connection import ServedConnection
from repartee.testing.realtime_faults import freeze
from repartee.testing.realtime_server import ScriptedRealtimeServer
from tests.plugins.openai.realtime.talk import KEY, Talk

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def no_secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that is logged, at any level, holds the key."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    said: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not record.name.startswith("websockets"):  # the server's own
                said.append(f"{record.getMessage()} {record.args!r}")

    root, keep = logging.getLogger(), Keep(level=1)
    monkeypatch.setattr(root, "level", 1)
    root.addHandler(keep)
    logging.getLogger("repartee").debug("the log is read")
    yield
    root.removeHandler(keep)
    assert [line for line in said if line.startswith("the log is read")]
    assert not [line for line in said if KEY in line]


def check_secret(error: BaseException) -> None:
    """An exception, and all that it drags along, holds no key."""
    seen: BaseException | None = error
    while seen is not None:
        assert KEY not in str(seen) + repr(seen)
        seen = seen.__cause__ or seen.__context__ if not seen.__suppress_context__ else seen.__cause__


async def failed_start(base_url: str, **options: Any) -> ModelError:
    """Start a session over TCP: what is raised, and that nothing else is told."""
    model = RealtimeModel(base_url=base_url, **{"api_key": KEY, **options})
    talk = Talk(ScriptedRealtimeServer(), model=model)
    assert KEY not in repr(talk.model) + repr(talk.session)
    with pytest.raises(ModelError) as caught:
        await talk.session.start()
    await talk.session.aclose()
    await talk.model.aclose()
    assert talk.log == []
    check_secret(caught.value)
    return caught.value


@asynccontextmanager
async def serving(answer: Answer, **options: Any) -> Any:
    """A server that answers each connection like this; its port."""
    tasks: set[asyncio.Task[Any]] = set()

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await answer(reader, writer)
        except (ConnectionError, ssl.SSLError):
            pass  # the client is gone
        finally:
            writer.close()

    server = await asyncio.start_server(each, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def page(status: str, body: str = "<html><body>Welcome!</body></html>") -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()

    return answer


# -- who and what --------------------------------------------------------------------------------------------------


def test_a_wrong_key() -> None:
    async def main() -> ModelError:
        async with ScriptedRealtimeServer(api_key="another") as server:
            return await failed_start(server.base_url)

    error = asyncio.run(main())
    assert (error.code, error.recoverable) == ("invalid_api_key", False)
    assert "check api_key=" in str(error)


def test_the_environments_key_is_not_sent_to_a_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    async def main() -> tuple[ModelError, ScriptedRealtimeServer]:
        async with ScriptedRealtimeServer(api_key=KEY) as server:
            return await failed_start(server.base_url, api_key=None), server

    error, server = asyncio.run(main())
    assert not [headers for _, headers in server.requests if KEY in str(headers)]
    assert "pass api_key=os.environ['OPENAI_API_KEY']" in str(error)


def test_a_wrong_model() -> None:
    async def main() -> ModelError:
        async with ScriptedRealtimeServer(models=["gpt-realtime"]) as server:
            return await failed_start(server.base_url, model="gpt-imaginary")

    error = asyncio.run(main())
    assert (error.code, error.recoverable) == ("invalid_model", False)
    assert "check model=" in str(error)


def refuse_updates(monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Any], bool], message: str) -> None:
    """The server refuses such updates, as the service does."""
    whole = ServedConnection.receive

    def receive(self: ServedConnection, frame: bytes | str) -> None:
        from repartee.protocol.codec import decode_client_event

        event = decode_client_event(frame)
        if isinstance(event, wire.SessionUpdate) and wrong(event.session):
            error = wire.ErrorDetails(
                type="invalid_request_error", code="invalid_value", message=message, event_id=event.event_id
            )
            self.say([wire.Error(error=error)], made=False)
        else:
            whole(self, frame)

    monkeypatch.setattr(ServedConnection, "receive", receive)


def test_an_unknown_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "Invalid value: 'bob'. Supported values are: 'alloy', 'cedar' and 'marin'."
    refuse_updates(monkeypatch, lambda session: session.audio.output.voice == "bob", told)

    async def main() -> ModelError:
        async with ScriptedRealtimeServer() as server:
            return await failed_start(server.base_url, voice="bob")

    error = asyncio.run(main())
    assert not error.recoverable
    assert "Supported values are: 'alloy'" in str(error)


@virtual_time
async def test_another_voice_once_it_has_spoken() -> None:
    async with Talk(ScriptedRealtimeServer(["Yes.", "No."])) as talk:
        await talk.answer("Hello?")
        talk.session.update(SessionOptions(voice="cedar", instructions="Be brief."))
        [told] = talk.of(ev.ErrorOccurred)
        assert isinstance(told.error, ConfigurationError)
        assert "choose the voice before, or start a new session" in str(told.error)
        await talk.answer("And now?")
        assert talk.served.protocol.session.instructions == "Be brief."  # type: ignore[union-attr]
        assert len(talk.of(ev.ErrorOccurred)) == 1


@virtual_time
async def test_an_update_that_the_server_rejects(monkeypatch: pytest.MonkeyPatch) -> None:
    told = f"Invalid value: instructions may not say {KEY}."
    refuse_updates(monkeypatch, lambda session: session.instructions == "Say it.", told)
    async with Talk(
        ScriptedRealtimeServer(["Yes."]), session=SessionOptions(instructions="Be kind.")
    ) as talk:
        talk.session.update(SessionOptions(instructions="Say it."))
        await elapse(1.0)
        [told_error] = talk.of(ev.ErrorOccurred)
        assert "Invalid value: instructions" in str(told_error.error)
        check_secret(told_error.error)
        assert not told_error.fatal
        assert talk.session.options.instructions == "Be kind."
        assert (await talk.answer("Hello?")).status == "completed"


@virtual_time
async def test_audio_of_another_rate() -> None:
    async with Talk(ScriptedRealtimeServer(["Yes."])) as talk:
        for _ in range(50):
            talk.session.append_audio(AudioFrame.silence(20, 8000))
        [told] = talk.of(ev.ErrorOccurred)
        assert told.stage == "input"
        assert "must be mono of 24000 Hz: resample it" in str(told.error)
        assert (await talk.answer("Hello?")).status == "completed"


# -- where ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["api.openai.com/v1", "ftp://api.openai.com/v1", "", "https:///v1"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"base_url is .* such as 'https://api") as caught:
        RealtimeModel(api_key=KEY, base_url=url)
    check_secret(caught.value)


def test_a_host_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = asyncio.run(failed_start("https://nobody.invalid/v1"))
    assert isinstance(error, ModelConnectionError)
    assert str(error).startswith("nobody.invalid can't be reached (")
    assert "check base_url" in str(error)


def test_a_port_on_which_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = asyncio.run(failed_start(f"http://127.0.0.1:{port}/v1"))
    assert str(error).startswith(f"127.0.0.1:{port} can't be reached (")
    assert "check base_url" in str(error)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("404 Not Found", "knows no such address (HTTP 404): check base_url and model"),
        ("200 OK", "answered with a page instead of a WebSocket (HTTP 200): check base_url"),
        ("302 Found", "answered with a page instead of a WebSocket (HTTP 302): check base_url"),
        ("401 Unauthorized", "refused the key (HTTP 401): check api_key="),
    ],
)
def test_something_else_answers(status: str, says: str) -> None:
    async def main() -> ModelError:
        async with serving(page(status)) as port:
            error = await failed_start(f"http://127.0.0.1:{port}/v1")
            assert str(error).startswith(f"127.0.0.1:{port} ")
            return error

    error = asyncio.run(main())
    assert says in str(error)
    assert not error.recoverable


def test_a_page_where_an_api_should_be() -> None:
    """The parts that go by HTTP."""

    async def main() -> None:
        async with serving(page("200 OK")) as port:
            llm = openai.LLM("m", base_url=f"http://127.0.0.1:{port}", api_key=KEY, max_retries=0)
            with pytest.raises(ModelError) as caught:
                async for _ in llm.chat(ChatRequest(ChatContext())):
                    pass
            await llm.aclose()
            check_secret(caught.value)
            assert "base_url" in str(caught.value) or "ended" in str(caught.value)

    asyncio.run(main())


# -- TLS -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server that vouches for itself: certificate and key of 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "repartee test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(pem))
    return path


def tls_in_front_of(server: ScriptedRealtimeServer | None, certificate: Path) -> Any:
    """A port that speaks TLS, and passes on to the server what comes."""

    async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
        sink.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert server is not None
        behind = await asyncio.open_connection("127.0.0.1", server._port)
        await asyncio.gather(pipe(reader, behind[1]), pipe(behind[0], writer))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return serving(answer, ssl=context)


def test_a_certificate_that_nobody_vouches_for(certificate: Path) -> None:
    async def main() -> ModelError:
        async with tls_in_front_of(None, certificate) as port:
            error = await failed_start(f"https://127.0.0.1:{port}/v1")
            assert str(error).startswith(
                f"127.0.0.1:{port}'s certificate is not one that this machine trusts"
            )
            return error

    error = asyncio.run(main())
    assert isinstance(error, ModelConnectionError)
    assert not error.recoverable
    assert "self-signed" in str(error) or "self signed" in str(error)
    assert "SSL_CERT_FILE" in str(error)


def test_a_certificate_that_was_made_known(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same server, and the advice is followed."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def main() -> None:
        async with (
            ScriptedRealtimeServer(["Yes."], api_key=KEY) as server,
            tls_in_front_of(server, certificate) as port,
        ):
            talk = Talk(server, connector=connect, base_url=f"https://127.0.0.1:{port}/v1")
            await talk.session.start()
            assert (await talk.answer("Hello?")).status == "completed"
            await talk.session.aclose()

    asyncio.run(main())


def test_http_parts_and_a_certificate_that_nobody_vouches_for(certificate: Path) -> None:
    async def main() -> ModelError:
        async with tls_in_front_of(None, certificate) as port:
            tts = openai.TTS("m", base_url=f"https://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0)
            with pytest.raises(ModelError) as caught:
                await tts.prewarm()
            await tts.aclose()
            return caught.value

    error = asyncio.run(main())
    check_secret(error)
    assert "certificate is not one that this machine trusts" in str(error)


def test_no_tls_where_it_is_wanted_and_tls_where_it_is_not(certificate: Path) -> None:
    async def main() -> list[ReparteeError]:
        async with ScriptedRealtimeServer() as server:
            plain = await failed_start(server.base_url.replace("http:", "https:"))
        async with tls_in_front_of(None, certificate) as port:
            secret = await failed_start(f"http://127.0.0.1:{port}/v1", connect_timeout_s=2.0)
        return [plain, secret]

    for error in asyncio.run(main()):
        assert "base_url" in str(error)


def test_a_handshake_without_end() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        port = mute.getsockname()[1]
        error = asyncio.run(failed_start(f"http://127.0.0.1:{port}/v1", connect_timeout_s=0.2))
    assert str(error).startswith(f"127.0.0.1:{port} did not answer within 0.2 s")


def test_a_server_that_reads_nothing_is_left_in_time() -> None:
    """The end of a connection whose other end is stuck has a deadline, and the socket goes with it."""

    async def main() -> None:
        async with ScriptedRealtimeServer(faults=[freeze(on="response.create")]) as server:
            talk = Talk(server, connector=connect, base_url=server.base_url, close_timeout_s=0.3)
            await talk.session.start()
            talk.ask(instructions="x" * 8_000_000)
            assert talk.session._keeper.unsent_bytes > 100_000  # type: ignore[attr-defined]
            async with asyncio.timeout(5.0):
                await talk.session.aclose()

    asyncio.run(main())
