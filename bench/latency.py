"""Voice-to-voice latency of the embedded default, at real time, over thirty-two spoken turns.

Measured from the true end of speech (the last sample of the caller's file that is louder than -40 dBFS) to the first
sample of the agent's voice that is louder than that, where the loudspeaker plays it. Three settings in one run:

* ``silence 300, plain``: 300 ms of silence end a turn; the reply is begun then. The baseline.
* ``silence 300``: the same, with the reply prepared in the pause.
* ``end of turn``: the default: the end-of-turn model decides how long to wait.

Run it with: python bench/latency.py [--turns N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from pathlib import Path

from repartee import Agent, AgentSession, AudioFrame
from repartee.models.events import OutputStarted, StageReached, TimedStage, TranscriptCompleted
from repartee.observe import LatencyView, TurnLatency
from repartee.plugins import local
from repartee.transports.file import FileInput, PlayedFile, RecordingOutput
from repartee.turns import FixedEndpointing, SpeculationOptions

AUDIO = Path(__file__).parent / "audio"
AUDIBLE = 327  # -40 dBFS
STAGES: dict[str, TimedStage] = {
    "speech end found off by": "speech_end",
    "words settled after": "transcript",
    "turn over after": "decision",
    "first token after": "first_token",
    "first clause after": "first_clause",
    "first sound ready after": "first_audio",
}
PATIENCE_S = 8.0


class Ear:
    """Hears the agent: when was the first audible sample after a moment?"""

    def __init__(self) -> None:
        self.since_s = float("inf")
        self.first_s: float | None = None

    def agent(self, frame: AudioFrame, at_s: float) -> None:
        """Takes what the loudspeaker plays, and when its first sample sounds (loop time)."""
        if self.first_s is not None or at_s + frame.duration_s < self.since_s:
            return
        loud = [at for at, sample in enumerate(frame.as_array().tolist()) if abs(sample) > AUDIBLE]
        if loud:
            self.first_s = at_s + loud[0] / frame.sample_rate


class Turns:
    """Runs the turns of one setting."""

    def __init__(self, session: AgentSession) -> None:
        self.session = session
        self.latency = LatencyView()
        self.words: list[str] = []
        self.began = asyncio.Event()
        session.on(StageReached, self.latency.receive)
        session.on(TranscriptCompleted, lambda event: self.words.append(event.transcript))
        session.on(OutputStarted, lambda _: self.began.set())

    async def run(self, files: list[Path]) -> list[dict[str, float]]:
        """Each file's figures, in ms; a turn without an answer is left out, and said."""
        ear = Ear()
        microphone = FileInput(sample_rate=16_000)
        loudspeaker = RecordingOutput(ear)  # type: ignore[arg-type]
        await self.session.start(Agent(), audio_input=microphone, audio_output=loudspeaker)
        rows = []
        for path in files:
            self.began.clear()
            ear.first_s, ear.since_s = None, asyncio.get_running_loop().time()
            played = microphone.play(path, after_ms=700.0)
            try:
                async with asyncio.timeout(PATIENCE_S + 4):
                    await self.began.wait()
                    await asyncio.sleep(0.25)
            except TimeoutError:
                print(f"  {path.name}: no answer")
                continue
            rows.append(self.figures(played, microphone, ear, self.latency.turns[-1]))
            self.session.interrupt()
            await self.session.wait_for_idle()
        await self.session.aclose()
        return rows

    def figures(
        self, played: PlayedFile, microphone: FileInput, ear: Ear, turn: TurnLatency
    ) -> dict[str, float]:
        """One turn's figures."""
        loop_minus_session = asyncio.get_running_loop().time() - self.session.now
        assert played.speech_end_samples is not None
        assert microphone.started_s is not None
        assert ear.first_s is not None
        end_s = microphone.started_s + played.speech_end_samples / microphone.sample_rate - loop_minus_session
        heard_s = ear.first_s - loop_minus_session
        stages = turn.stages
        figures = {name: stages[stage] - end_s for name, stage in STAGES.items() if stage in stages}
        figures |= {"decision to voice": heard_s - stages["decision"], "voice to voice": heard_s - end_s}
        return {name: seconds * 1000 for name, seconds in figures.items()}


def show(name: str, rows: list[dict[str, float]]) -> None:
    """Print a setting's figures."""
    print(f"\n{name}: {len(rows)} turns, ms         p50     p95     min     max")
    for stage in rows[0]:
        values = sorted(row[stage] for row in rows if stage in row)
        p95 = values[min(len(values) - 1, round(0.95 * (len(values) - 1)))]
        print(f"  {stage:<32} {statistics.median(values):7.0f} {p95:7.0f} {values[0]:7.0f} {values[-1]:7.0f}")


async def main() -> None:
    """Run every setting over the same turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=32)
    count = parser.parse_args().turns
    names = [json.loads(line)["file"] for line in (AUDIO / "turns.jsonl").read_text().splitlines()]
    files = [AUDIO / name for name in names[:count]]
    plain = SpeculationOptions(enabled=False)
    settings = {
        "silence 300, plain (baseline)": (FixedEndpointing(300), None, plain),
        "silence 300": (FixedEndpointing(300), None, None),
        "end of turn (default)": (None, "english", None),
    }
    medians = {}
    for name, (endpointing, detector, speculation) in settings.items():
        if detector is None:
            model = local.RealtimeModel(turn_detection=None)
            session = AgentSession(
                llm=model, vad=local.VAD(), endpointing=endpointing, speculation=speculation
            )
        else:
            session = AgentSession(llm=local.RealtimeModel())
        await session.model.prewarm()
        rows = await Turns(session).run(files)
        await session.model.aclose()
        show(name, rows)
        medians[name] = statistics.median(row["voice to voice"] for row in rows)
    base = medians["silence 300, plain (baseline)"]
    print("\nvoice to voice, median, beside the baseline of this run:")
    for name, median in medians.items():
        print(f"  {name:<32} {median:7.0f} ms   {median / base:5.2f} x")


if __name__ == "__main__":
    asyncio.run(main())
