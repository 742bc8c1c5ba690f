"""What the program says and stops: `say`, `generate_reply`, `interrupt`, and the handles of both."""

from __future__ import annotations

import pytest

from repartee.errors import ModelError
from repartee.models import events as ev
from repartee.testing import Reply, ScriptedLLM, ScriptedTTS, elapse, fail, virtual_time
from tests.session.scene import Scene

BOOK = "book a table"
LONG = "one two three four five six seven eight nine ten"  # 2 s, said 50 ms after it is asked for


@virtual_time
async def test_two_says_are_queued() -> None:
    async with Scene() as scene:
        first = scene.session.say("one two three")
        second = scene.session.say("four five six")
        await second
        assert first.done
    assert scene.spans_ms == [(50, 650), (700, 1300)]
    assert scene.said == [("assistant", "one two three"), ("assistant", "four five six")]
    assert len(scene.llm.records) == 0


@virtual_time
async def test_say_during_speech_waits_and_is_not_lost() -> None:
    async with Scene(model=ScriptedLLM({BOOK: "Sure, for how many people?"})) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(1.5)
        handle = scene.session.say("Dinner is ready.")  # the user speaks, so it waits
        await scene.until(8)
    # What was asked for first comes first, once the user's turn is over; then the answer to that.
    assert handle.done
    assert not handle.interrupted
    assert scene.said == [
        ("user", BOOK),
        ("assistant", "Dinner is ready."),
        ("assistant", "Sure, for how many people?"),
    ]
    assert scene.spans_ms == [(2534, 3134), (3304, 4304)]
    # An answer had been prepared; it was made anew, since it should know what was said before it.
    assert [record.outcome for record in scene.llm.records] == ["completed", "completed"]
    assert [m.text for m in scene.llm.requests[1].context.messages] == [BOOK, "Dinner is ready."]


@virtual_time
async def test_say_while_the_agent_speaks_comes_behind() -> None:
    async with Scene("Sure, for how many people?") as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(2.7)
        await scene.session.say("Dinner is ready.")
    assert scene.heard == "Sure, for how many people? Dinner is ready."
    assert scene.spans_ms == [(2484, 3484), (3534, 4134)]


@virtual_time
async def test_a_say_that_is_interrupted_is_cut_in_history() -> None:
    async with Scene(model=ScriptedLLM({"*": "Fine."})) as scene:
        handle = scene.session.say(LONG)
        scene.mic.speak("stop it", 0.96)
        await scene.until(5)
    assert handle.interrupted
    assert scene.said[0] == ("assistant", "one two three four five–")
    assert scene.said[1:] == [("user", "stop it"), ("assistant", "Fine.")]


@virtual_time
async def test_an_interruption_drops_what_waits() -> None:
    async with Scene(model=ScriptedLLM({"*": "Fine."})) as scene:
        first = scene.session.say(LONG)
        second = scene.session.say("eleven")
        scene.mic.speak("stop it", 0.96)
        await scene.until(5)
    assert first.interrupted
    assert second.interrupted
    assert second.done
    assert "eleven" not in scene.heard


@virtual_time
async def test_handle_interrupt_while_it_speaks() -> None:
    async with Scene() as scene:
        handle = scene.session.say(LONG)
        other = scene.session.say("eleven")
        await scene.until(1.0)
        handle.interrupt()
        handle.interrupt()
        await handle
        assert scene.session.now == pytest.approx(1.0)
        await other
    # Its own speech alone: what waits behind it goes on.
    assert scene.said == [("assistant", "one two three four–"), ("assistant", "eleven")]
    assert scene.spans_ms == [(50, 1000), (1050, 1250)]
    assert handle.interrupted
    assert not other.interrupted


@virtual_time
async def test_handle_interrupt_while_it_waits() -> None:
    async with Scene() as scene:
        first = scene.session.say("one two three")
        second = scene.session.say("four")
        third = scene.session.say("five")
        second.interrupt()
        assert second.done
        assert second.interrupted
        await third
    assert not first.interrupted
    assert scene.heard == "one two three five"


@virtual_time
async def test_handle_interrupt_of_a_generated_reply_before_it_sounds() -> None:
    async with Scene(model=ScriptedLLM(["Sure."], ttft_s=1.0)) as scene:
        handle = scene.session.send_text(BOOK)
        await scene.until(0.5)
        handle.interrupt()
        await handle
        await elapse(0)
        assert scene.session.now == 0.5
        assert scene.llm.records[0].outcome == "cancelled"
    assert scene.said == [("user", BOOK)]


@virtual_time
async def test_interrupt_stops_all() -> None:
    async with Scene() as scene:
        handles = [scene.session.say(LONG), scene.session.say("eleven"), scene.session.say("twelve")]
        await scene.until(1.0)
        scene.session.interrupt()
        await scene.session.wait_for_idle()
        assert scene.session.now == pytest.approx(1.0)
        assert all(handle.interrupted and handle.done for handle in handles)
        await scene.session.say("thirteen")
    assert scene.spans_ms == [(50, 1000), (1050, 1250)]
    assert scene.said == [("assistant", "one two three four–"), ("assistant", "thirteen")]


@virtual_time
async def test_interrupt_with_nothing_to_stop() -> None:
    async with Scene() as scene:
        scene.session.interrupt()
        await elapse(1)
        await scene.session.say("hello")
    assert scene.heard == "hello"


@virtual_time
async def test_interrupt_stops_an_uninterruptible_one_too() -> None:
    async with Scene() as scene:
        handle = scene.session.say(LONG, allow_interruptions=False)
        await scene.until(1.0)
        scene.session.interrupt()
        await handle
    assert scene.said == [("assistant", "one two three four–")]


@virtual_time
async def test_send_text_stops_what_is_said() -> None:
    async with Scene("Sure.") as scene:
        scene.session.say(LONG)
        await scene.until(1.0)
        await scene.session.send_text(BOOK)
    # The answer is asked for with the history as heard, in the moment in which the output says where it stopped.
    assert scene.said == [("assistant", "one two three four–"), ("user", BOOK), ("assistant", "Sure.")]
    assert scene.llm.requests[0].context.messages[0].text == "one two three four"


@virtual_time
async def test_a_reply_with_instructions_of_its_own() -> None:
    async with Scene("Hello.") as scene:
        await scene.session.generate_reply(instructions="Greet the user.", tool_choice="none")
    assert scene.llm.requests[0].instructions == "Greet the user."
    assert scene.llm.requests[0].tool_choice == "none"


@virtual_time
async def test_two_replies_asked_for_at_once_take_turns() -> None:
    async with Scene("One.", "Two.") as scene:
        first = scene.session.generate_reply(user_input="a")
        second = scene.session.generate_reply(user_input="b")
        await second
        assert first.done
    assert scene.heard == "One. Two."


@virtual_time
async def test_one_request_too_many_is_refused() -> None:
    async with Scene() as scene:
        handles = [scene.session.say(f"number {index}") for index in range(20)]
        refused = [index for index, handle in enumerate(handles) if handle.done]
        assert refused == [17, 18, 19]  # one speaks, 16 wait
        await handles[16]
    assert scene.heard.endswith("number 16")


@virtual_time
async def test_a_failed_reply_tells_its_handle() -> None:
    async with Scene(model=ScriptedLLM(["Sure."], faults=[fail()])) as scene:
        handle = await scene.session.send_text(BOOK)
    assert isinstance(handle.error, ModelError)
    assert scene.errors == [("llm", "ModelError")]


@virtual_time
async def test_done_callbacks() -> None:
    ended: list[str] = []
    async with Scene() as scene:
        handle = scene.session.say("hello")
        handle.add_done_callback(lambda which: ended.append(which.id))
        await handle
        await elapse(0)
        handle.add_done_callback(lambda which: ended.append(which.id))
        await elapse(0)
    assert ended == [handle.id, handle.id]


@virtual_time
async def test_wait_for_idle_waits_for_the_sound() -> None:
    async with Scene("Sure.") as scene:
        await scene.session.wait_for_idle()
        assert scene.session.now == 0.0
        scene.session.send_text(BOOK)
        await scene.session.wait_for_idle()
        assert scene.session.now == pytest.approx(0.35)
    assert len(scene.events(ev.OutputHeard)) == 1


@virtual_time
async def test_a_voice_without_word_times_is_cut_by_characters() -> None:
    async with Scene(tts=ScriptedTTS(ms_per_word=200.0, word_times=False)) as scene:
        handle = scene.session.say("alpha bravo coder delta eager focus")  # six words of one length
        await scene.until(0.75)
        handle.interrupt()
        await handle
    assert scene.said == [("assistant", "alpha bravo coder–")]


@virtual_time
async def test_a_reply_of_several_clauses_is_one_message() -> None:
    async with Scene(Reply("Yes. It is noon, and the sun shines. Bye.")) as scene:
        await scene.session.send_text(BOOK)
    assert [u.text for u in scene.tts.utterances] == [
        "Yes. ",
        "It is noon, and the sun shines. ",
        "Bye.",
    ]
    assert scene.said[1] == ("assistant", "Yes. It is noon, and the sun shines. Bye.")
