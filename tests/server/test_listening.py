"""The server's ears: turns of audio that came in any way."""

from __future__ import annotations

from repartee.testing import elapse, virtual_time
from tests.server.ears import Ears, server_vad, sound


@virtual_time
async def test_a_turn_in_real_time() -> None:
    async with Ears() as ears:
        await ears.speak(sound(1.0, "book a table", 1.0))
        await elapse(0.5)
        print(ears.turns, ears.times, ears.said)


@virtual_time
async def test_a_turn_in_burst() -> None:
    async with Ears() as ears:
        ears.listening.append(sound(1.0, "book a table", 1.0, "for two please", 2.0))
        await elapse(3)
        print(ears.turns, ears.times, ears.said, [len(a) / 48 for a in ears.audio])
        await elapse(0.5)
