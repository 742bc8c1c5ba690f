"""What it costs to send a piece of the microphone, by its length; prints one line of figures (JSON), in µs.

python -m bench.realtime_load.appends --port PORT
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random

from bench.realtime_load.pace import FRAME_MS, SAMPLE_RATE, STAMP_BYTES, pin, stamp
from repartee.clock import cpu_seconds
from repartee.plugins.openai.realtime.link import LinkRequest, connect
from repartee.protocol.codec import encode_append

CHUNKS_MS = (20, 40, 60, 100)
LINKS = 40
ROUNDS = 60


async def measure(port: int) -> dict[int, float]:
    """CPU for an append: the least of many rounds, each over all links, since other programs only add to it."""
    request = LinkRequest(f"ws://127.0.0.1:{port}/v1/realtime", {})
    links = [
        await connect(request, on_message=lambda _: None, on_close=lambda _, __: None) for _ in range(LINKS)
    ]
    noise = random.Random(5).randbytes(2 * SAMPLE_RATE * FRAME_MS // 1000 - STAMP_BYTES)
    least = dict.fromkeys(CHUNKS_MS, float("inf"))
    for _ in range(ROUNDS):
        for chunk in CHUNKS_MS:
            pcm = (stamp(asyncio.get_running_loop().time()) + noise) * (chunk // FRAME_MS)
            begun = cpu_seconds()
            for link in links:
                link.send(encode_append(pcm))
            least[chunk] = min(least[chunk], (cpu_seconds() - begun) / LINKS * 1e6)
            await asyncio.sleep(0.005)
    return least


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--core", type=int, default=1)
    options = parser.parse_args()
    pin(options.core)
    logging.disable(logging.WARNING)
    print(json.dumps(asyncio.run(measure(options.port))), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
