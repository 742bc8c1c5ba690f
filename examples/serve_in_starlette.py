"""The server within an application of yours: mounted under a prefix, beside your own addresses.

    python examples/serve_in_starlette.py            # serves, asks it with the openai client, and ends
    uvicorn --app-dir examples serve_in_starlette:site

FastAPI is a Starlette: `api.mount("/voice", voice)` and the same lifespan do it there.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import repartee.server
from repartee.plugins import local
from repartee.server.policy import Policy
from repartee.server.served import Served

ASKED = "what is twelve times twelve"
POLICY = Policy("You are the front desk of a library.", client_tools=(), max_output_tokens=200)
voice = repartee.server.app(Served.of(local.RealtimeModel(), name="desk", policy=POLICY))


@asynccontextmanager
async def lifespan(site: Starlette) -> AsyncIterator[None]:
    """Load the model before the first request, and end the sessions when the site stops."""
    async with repartee.server.lifespan(voice):
        yield


async def home(request: Request) -> PlainTextResponse:
    """Something of the site's own."""
    return PlainTextResponse("Talk to us at /voice/")


site = Starlette(routes=[Route("/", home), Mount("/voice", voice)], lifespan=lifespan)


async def converse(base_url: str) -> None:
    """A client's side."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=base_url, api_key="none-is-needed-on-this-machine")
    print(f"models     {', '.join([model.id async for model in client.models.list()])}")
    async with client.realtime.connect(model="desk") as connection:
        session: Any = {"type": "realtime", "output_modalities": ["text"]}
        await connection.session.update(session=session)
        print(f"user       {ASKED}")
        content: Any = [{"type": "input_text", "text": ASKED}]
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": content}
        )
        await connection.response.create()
        async for event in connection:
            if event.type == "response.output_text.done":
                print(f"assistant  {event.text}")
                break
            if event.type == "error":
                raise SystemExit(event.error.message)
    await client.close()


async def main() -> None:
    """Serve the site on a free port, and converse with it."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(site, log_level="error"))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await converse(f"http://127.0.0.1:{listening.getsockname()[1]}/voice/v1")
    finally:
        server.should_exit = True
        await serving


if __name__ == "__main__":
    asyncio.run(main())
