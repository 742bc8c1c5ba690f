"""A recogniser that listens beside a model which hears by itself."""

from __future__ import annotations

from repartee.compose import Overheard
from repartee.models import STT
from repartee.models import events as ev
from repartee.plugins.openai.realtime import RealtimeModel
from repartee.testing import ScriptedSTT, elapse, fail, virtual_time
from repartee.testing.realtime_connection import ServedConnection
from repartee.testing.realtime_server import ScriptedRealtimeServer
from repartee.testing.realtime_talk import RealtimeTalk, frames_of


class Talk(RealtimeTalk):
    """With a model at a scripted server that hears by itself, and a recogniser beside it."""

    def __init__(self, transcriber: str | None, stt: STT) -> None:
        self.server = ScriptedRealtimeServer(["Sure."])
        super().__init__(Overheard(remote(self.server, transcriber), stt))

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        await self.server.aclose()

    @property
    def served(self) -> ServedConnection:
        return self.server.connections[-1]


def remote(server: ScriptedRealtimeServer, transcriber: str | None) -> RealtimeModel:
    return RealtimeModel(
        api_key="sk-any",
        connector=server.connect,
        turn_detection=None,
        input_audio_transcription=None if transcriber is None else {"model": transcriber},
    )


async def one_turn(talk: Talk) -> None:
    talk.session.begin_input("item_mine")
    for frame in frames_of("book a table", quiet_ms=60):
        talk.session.append_audio(frame)
        await elapse(0.02)
    talk.session.settle_audio()
    await elapse(0.2)
    talk.session.commit_audio()
    await talk.answer()
    await elapse(0.2)


@virtual_time
async def test_the_recogniser_settles_and_the_model_hears() -> None:
    async with Talk(
        "whisper-1", ScriptedSTT(misheard={"table": "cable"}, finals={"book a table": "book a cable"})
    ) as talk:
        assert talk.model.capabilities.settles
        await one_turn(talk)
        interims = talk.of(ev.InterimTranscript)
        settled = [e.text for e in interims if e.settled]
        assert settled[0] == "book a cable"
        assert {e.item_id for e in interims} == {"item_mine"}
        # The conversation has what the model heard.
        assert [e.transcript for e in talk.of(ev.TranscriptCompleted)] == ["book a table"]
        assert talk.said() == [("user", "book a table"), ("assistant", "Sure.")]
        assert talk.served.count("input_audio_buffer.commit") == 1


@virtual_time
async def test_where_the_model_writes_nothing_down_the_recognisers_words_stand() -> None:
    async with Talk(None, ScriptedSTT()) as talk:
        await one_turn(talk)
        assert [(e.item_id, e.transcript) for e in talk.of(ev.TranscriptCompleted)] == [
            ("item_mine", "book a table")
        ]
        assert talk.said() == [("user", "book a table"), ("assistant", "Sure.")]


@virtual_time
async def test_the_answer_does_not_wait_for_the_words_that_will_stand() -> None:
    async with Talk(None, ScriptedSTT(final_lag_s=0.4)) as talk:
        talk.session.begin_input("item_mine")
        for frame in frames_of("book a table"):
            talk.session.append_audio(frame)
            await elapse(0.02)
        talk.session.commit_audio()  # nobody has asked for the final words yet
        committed_at = talk.clock.now()
        await talk.answer()
        await talk.until(lambda: talk.of(ev.TranscriptCompleted), "the transcript")
        assert talk.said() == [("user", "book a table"), ("assistant", "Sure.")]
        asked_at = min(at for at, event in talk.log if isinstance(event, ev.ResponseCreated))
        written_at = max(at for at, event in talk.log if isinstance(event, ev.TranscriptCompleted))
        assert asked_at - committed_at < 0.1 < written_at - committed_at
        kinds = [type(event) for _, event in talk.log]
        assert kinds.index(ev.ItemDone) < kinds.index(ev.TranscriptCompleted)
        assert not [e for e in talk.of(ev.InterimTranscript) if e.settled]  # the turn was over


@virtual_time
async def test_a_turn_that_nobody_could_write_down_says_so() -> None:
    async with Talk(None, ScriptedSTT(interim_lag_s=None, final_lag_s=0.3, faults=[fail(1)])) as talk:
        await one_turn(talk)  # the commit comes before the last words
        await elapse(1)
        assert [e.stage for e in talk.of(ev.ErrorOccurred)] == ["stt"]
        assert [e.item_id for e in talk.of(ev.TranscriptFailed)] == ["item_mine"]
        assert talk.said() == [("user", ""), ("assistant", "Sure.")]


@virtual_time
async def test_the_models_own_words_are_taken_where_they_come_in_time() -> None:
    stt = ScriptedSTT(finals={"book a table": "look at cable"})
    async with Talk("whisper-1", stt) as talk:
        talk.session.begin_input("item_mine")
        for frame in frames_of("book a table"):
            talk.session.append_audio(frame)
            await elapse(0.02)
        talk.served.inject(
            {
                "type": "conversation.item.input_audio_transcription.delta",
                "event_id": "event_1",
                "item_id": "item_theirs",
                "content_index": 0,
                "delta": "book a table",
            }
        )
        await elapse(0.05)
        talk.session.settle_audio()
        await elapse(0.2)
        last = talk.of(ev.InterimTranscript)[-1]
        assert (last.item_id, last.text, last.settled) == ("item_mine", "book a table", True)


@virtual_time
async def test_the_turn_goes_on_though_the_recogniser_fails() -> None:
    async with Talk("whisper-1", ScriptedSTT(faults=[fail(1)])) as talk:
        await one_turn(talk)
        assert [e.stage for e in talk.of(ev.ErrorOccurred)] == ["stt"]
        assert talk.said() == [("user", "book a table"), ("assistant", "Sure.")]


@virtual_time
async def test_what_is_cleared_is_cleared_in_both() -> None:
    async with Talk("whisper-1", ScriptedSTT()) as talk:
        talk.session.begin_input("item_one")
        for frame in frames_of("never mind"):
            talk.session.append_audio(frame)
        talk.session.clear_audio(reason="too short")
        assert [e.reason for e in talk.of(ev.InputCleared)] == ["too short"]
        await elapse(0.1)
        await one_turn(talk)
        assert talk.said() == [("user", "book a table"), ("assistant", "Sure.")]
