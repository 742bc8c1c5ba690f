"""Answers that are prepared while the turn may still go on."""

from __future__ import annotations

from repartee.models.events import ResponseCreated, ResponseDone, StageReached, TranscriptDelta
from repartee.server.sessions.held_drafts import DRAFTS_MAX, HeldDrafts
from repartee.testing import ScriptedTurnDetector, elapse, virtual_time
from tests.server.talk import Talk


def test_a_draft_is_held_until_it_is_released() -> None:
    drafts = HeldDrafts()
    drafts.hold(ResponseCreated("resp_1", "draft:1"), 7)
    words = TranscriptDelta("resp_1", "item_1", "hello")
    assert drafts.take(words, "resp_1")
    stage = StageReached("resp_1", "first_token", 0.1)  # says when the work was really done
    assert drafts.take(stage, "resp_1")
    assert not drafts.take(words, "resp_2")
    draft = drafts.release("draft:1")
    assert draft is not None
    assert (list(draft.held), draft.changes) == ([words, stage], 7)
    assert drafts.release("draft:1") is None
    assert not drafts.take(words, "resp_1")


def test_a_draft_that_failed_is_none() -> None:
    drafts = HeldDrafts()
    drafts.hold(ResponseCreated("resp_1", "draft:1"), 0)
    assert drafts.take(ResponseDone("resp_1", "failed"), "resp_1")
    assert drafts.release("draft:1") is None


def test_forgotten_drafts_do_not_pile_up() -> None:
    drafts = HeldDrafts()
    for n in range(DRAFTS_MAX + 1):
        drafts.hold(ResponseCreated(f"resp_{n}", f"draft:{n}"), 0)
    assert drafts.release("draft:0") is None
    assert drafts.release(f"draft:{DRAFTS_MAX}") is not None


SEMANTIC = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}


@virtual_time
async def test_a_prepared_answer_is_given_at_the_end_of_the_turn() -> None:
    async with Talk(
        replies={"*": "Certainly, for you."}, session=SEMANTIC, turn_detector=ScriptedTurnDetector()
    ) as talk:
        talk.hear(0.3, "book a table", 4.0)
        done = await talk.done()
        await elapse(1)
        assert done["output"][0]["content"][0]["transcript"] == "Certainly, for you."
        assert talk.llm.requests[0].speculative
        assert len([record for record in talk.llm.records if record.outcome == "completed"]) == 1
        assert len(talk.client.all("response.created")) == 1
        await talk.answer("and now?", output_modalities=["text"])
        assert talk.asked[-1] == [
            ("user", "book a table"),
            ("assistant", "Certainly, for you."),
            ("user", "and now?"),
        ]


@virtual_time
async def test_what_changes_meanwhile_makes_a_prepared_answer_out_of_date() -> None:
    async with Talk(
        replies=lambda request: f"{len(request.context.items)} items.",
        session=SEMANTIC,
        turn_detector=ScriptedTurnDetector(0.3),
    ) as talk:
        talk.hear(0.3, "book a table", 0.3)
        for _ in range(200):
            if talk.llm.requests:
                break
            await elapse(0.005)
        assert talk.llm.requests[0].speculative
        assert not talk.client.all("response.created")
        talk.say("by the way")
        talk.hear(4.0)
        done = await talk.done()
        assert done["output"][0]["content"][0]["transcript"] == "2 items."
