"""What every `RealtimeModel` must do, as checks that any plugin, and any wrapper, can run.

Each check takes a function that makes a model which answers any text with a few words, and raises `AssertionError`
with what was wrong::

    @pytest.mark.parametrize("check", REALTIME_CHECKS)
    def test_conformance(check: RealtimeCheck) -> None:
        asyncio.run(check(lambda: MyRealtimeModel()))

What a model can't do, by its capabilities, is not asked of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from repartee.chat import ChatContext, Message
from repartee.clock import Clock
from repartee.models import (
    ChatRequest,
    Modality,
    PlaybackFinished,
    PlaybackStarted,
    RealtimeModel,
    ResponseOptions,
    SessionOptions,
    TextDelta,
)
from repartee.models import events as ev
from repartee.models.history import apply_event

__all__ = ["REALTIME_CHECKS", "Listener", "RealtimeCheck", "check_realtime"]

MakeModel = Callable[[], RealtimeModel]
RealtimeCheck = Callable[[MakeModel], Coroutine[Any, Any, None]]
E = TypeVar("E")

WAIT_S = 30.0
"""The longest that anything may take."""


class Listener:
    """A session and its one consumer, which plays what it says at once.

    Args:
        model: opens the session.
        modality: of the session. Default: text.
    """

    def __init__(self, model: RealtimeModel, modality: Modality = "text") -> None:
        self.events: list[ev.RealtimeEvent] = []
        self.history = ChatContext()
        self._changed = asyncio.Event()
        self._heard: set[str] = set()
        self.closed = False
        self.session = model.session(
            SessionOptions(instructions="Be brief.", modalities=(modality,)),
            on_event=self._take,
            clock=Clock(asyncio.get_running_loop().time),
        )

    async def __aenter__(self) -> Listener:
        await self.session.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.aclose()
        self.closed = True
        self.check()

    def _take(self, event: ev.RealtimeEvent) -> None:
        assert not self.closed, f"an event came after aclose() had returned: {event!r}"
        self.events.append(event)
        apply_event(self.history, event)
        self._changed.set()
        match event:
            case ev.AudioDelta(response_id=response_id) if response_id not in self._heard:
                self._heard.add(response_id)
                self.session.report_playback(PlaybackStarted(response_id))
            case ev.ResponseDone(response_id=response_id, status=status) if response_id in self._heard:
                self.session.report_playback(PlaybackFinished(response_id, status == "cancelled"))
            case ev.OutputClear(response_id=response_id):
                self.session.report_playback(PlaybackFinished(response_id, interrupted=True))

    def of(self, kind: type[E]) -> list[E]:
        """The events of a type so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait for something to hold."""
        try:
            async with asyncio.timeout(WAIT_S):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{what} did not happen within {WAIT_S:g} s") from None

    def add(self, text: str) -> Message:
        """Put a message of the user's into the conversation."""
        message = Message.of("user", text)
        self.session.create_item(message)
        return message

    def ask(self, **options: Any) -> str:
        """Ask for a response; its request id."""
        wanted = ResponseOptions(**options)
        self.session.create_response(wanted)
        return wanted.request_id

    def response_id(self, request_id: str) -> str | None:
        """The response that a request led to."""
        return next((e.response_id for e in self.of(ev.ResponseCreated) if e.request_id == request_id), None)

    def done(self, request_id: str) -> ev.ResponseDone | None:
        """The end of the response that a request led to."""
        response_id = self.response_id(request_id)
        return next((e for e in self.of(ev.ResponseDone) if e.response_id == response_id), None)

    async def answer(self, text: str | None = None, **options: Any) -> ev.ResponseDone:
        """Ask for a response, and wait for its end."""
        if text is not None:
            self.add(text)
        request_id = self.ask(**options)
        await self.until(lambda: self.done(request_id), "the end of a response")
        done = self.done(request_id)
        assert done is not None
        return done

    def text_of(self, response_id: str) -> str:
        """The words of a response, as its deltas give them."""
        return "".join(e.delta for e in self.of(ev.TranscriptDelta) if e.response_id == response_id)

    def check(self) -> None:
        """Each response begins once, and ends once; nothing of it comes before or after."""
        created = Counter(e.response_id for e in self.of(ev.ResponseCreated))
        done = Counter(e.response_id for e in self.of(ev.ResponseDone))
        assert set(created.values()) <= {1}, f"a response began twice: {created}"
        assert created == done, f"began: {dict(created)}, ended: {dict(done)}"
        asked = Counter(e.request_id for e in self.of(ev.ResponseCreated) if e.request_id)
        assert set(asked.values()) <= {1}, f"a request led to two responses: {asked}"
        live: set[str] = set()
        for event in self.events:
            match event:
                case ev.ResponseCreated(response_id=response_id):
                    live.add(response_id)
                case ev.ResponseDone(response_id=response_id):
                    live.discard(response_id)
                case (
                    ev.TranscriptDelta(response_id=response_id)
                    | ev.AudioDelta(response_id=response_id)
                    | ev.CallArgumentsDelta(response_id=response_id)
                    | ev.OutputItemDone(response_id=response_id)
                ):
                    assert response_id in live, f"{type(event).__name__} outside its response: {event!r}"
                case _:
                    pass


def _check(body: Callable[[RealtimeModel], Awaitable[None]]) -> RealtimeCheck:
    async def check(make: MakeModel) -> None:
        model = make()
        try:
            await body(model)
        finally:
            await model.aclose()

    check.__name__ = body.__name__
    check.__doc__ = body.__doc__
    return check


async def answers_a_text(model: RealtimeModel) -> None:
    """An item goes in and is announced, an answer comes out, and its deltas are its item's words."""
    async with Listener(model) as listener:
        user = listener.add("Hello there.")
        await listener.until(lambda: user.id in listener.history, "the announcement of the user's item")
        done = await listener.answer()
        assert done.status == "completed", f"the answer ended as {done.status}: {done.reason} {done.error}"
        text = listener.text_of(done.response_id)
        assert text.strip(), "the answer has no words"
        items = [e.item for e in listener.of(ev.OutputItemDone) if isinstance(e.item, Message)]
        assert [item.text for item in items] == [text]
        assert [(m.role, m.text) for m in listener.history.messages] == [
            ("user", "Hello there."),
            ("assistant", text),
        ]
        assert listener.history.messages[-1].status == "completed"
        makers = [e.response_id for e in listener.of(ev.ItemAdded)]
        assert makers == [None, done.response_id], f"items say that these responses made them: {makers}"
        assert not listener.of(ev.AudioDelta), "a text session spoke"
        assert not listener.of(ev.ErrorOccurred)


async def keeps_the_order_of_the_conversation(model: RealtimeModel) -> None:
    """Turns stand in the order in which they were said."""
    async with Listener(model) as listener:
        for text in ("One.", "Two.", "Three."):
            done = await listener.answer(text)
            assert done.status == "completed", f"{text} ended as {done.status}: {done.reason} {done.error}"
        assert [m.role for m in listener.history.messages] == ["user", "assistant"] * 3
        users = [m.text for m in listener.history.messages if m.role == "user"]
        assert users == ["One.", "Two.", "Three."]


async def places_and_deletes_items(model: RealtimeModel) -> None:
    """Items go where they are wanted; what can't be done is an error event, not an exception."""
    async with Listener(model) as listener:
        first = listener.add("First.")
        third = listener.add("Third.")
        second = Message.of("user", "Second.")
        listener.session.create_item(second, previous_item_id=first.id)
        zeroth = Message.of("user", "Zeroth.")
        listener.session.create_item(zeroth, previous_item_id="root")
        await listener.until(lambda: len(listener.history) == 4, "the announcement of four items")
        ids = [item.id for item in listener.history]
        assert ids == [zeroth.id, first.id, second.id, third.id], "the items are not where they were put"
        listener.session.delete_item(second.id)
        await listener.until(lambda: len(listener.history) == 3, "a deletion")
        assert not listener.of(ev.ErrorOccurred)
        listener.session.create_item(first)
        await listener.until(
            lambda: len(listener.of(ev.ErrorOccurred)) == 1, "the refusal of a second such id"
        )
        listener.session.delete_item("item_unknown")
        await listener.until(lambda: len(listener.of(ev.ErrorOccurred)) == 2, "the refusal of an unknown id")
        assert not any(error.fatal for error in listener.of(ev.ErrorOccurred))


async def cancels(model: RealtimeModel) -> None:
    """A response that is cancelled ends once, as cancelled, and the next one is whole."""
    async with Listener(model) as listener:
        listener.session.cancel_response()
        assert not listener.of(ev.ResponseDone), "something ended that had not begun"
        listener.add("Tell me everything.")
        request_id = listener.ask()
        await listener.until(lambda: listener.response_id(request_id), "a response")
        listener.session.cancel_response()
        await listener.until(lambda: listener.done(request_id), "the end of a cancelled response")
        done = listener.done(request_id)
        assert done is not None
        assert done.status == "cancelled", f"it ended as {done.status}"
        listener.session.cancel_response(done.response_id)
        again = await listener.answer("And now?")
        assert again.status == "completed", f"the next ended as {again.status}: {again.reason} {again.error}"


async def ends_each_of_several_requests(model: RealtimeModel) -> None:
    """Of requests that come too close, each has a response that ends: in its turn, or refused."""
    async with Listener(model) as listener:
        listener.add("Hello.")
        requests = [listener.ask() for _ in range(3)]
        await listener.until(lambda: all(map(listener.done, requests)), "the end of three responses")
        statuses = [done.status for done in map(listener.done, requests) if done is not None]
        assert statuses[0] == "completed", f"the first of three ended as {statuses[0]}"
        assert set(statuses) <= {"completed", "failed"}, f"they ended as {statuses}"


async def answers_out_of_band(model: RealtimeModel) -> None:
    """A response out of band leaves no trace in the conversation."""
    async with Listener(model) as listener:
        listener.add("Hello.")
        done = await listener.answer(conversation="none", input=(Message.of("user", "Which city?"),))
        assert done.status == "completed", f"it ended as {done.status}: {done.reason} {done.error}"
        assert listener.text_of(done.response_id).strip()
        assert len(listener.history) == 1, f"the conversation has {len(listener.history)} items"


async def says_exactly_this(model: RealtimeModel) -> None:
    """What is to be said is said, word by word, and is part of the conversation."""
    if not model.capabilities.verbatim:
        return
    async with Listener(model) as listener:
        text = "This, exactly: 1, 2 and 3."
        done = await listener.answer(say=text)
        assert done.status == "completed"
        assert listener.text_of(done.response_id) == text
        assert [(m.role, m.text) for m in listener.history.messages] == [("assistant", text)]


async def truncates(model: RealtimeModel) -> None:
    """An item is cut to the words that were heard; one of which nothing was heard goes."""
    if not model.capabilities.truncation:
        return
    async with Listener(model) as listener:
        await listener.answer("One.")
        await listener.answer("Two.")
        first, second = (m for m in listener.history.messages if m.role == "assistant")
        heard = first.text.split()[0]
        listener.session.truncate_item(first.id, audio_end_ms=100, text=heard)
        await listener.until(lambda: listener.of(ev.ItemTruncated), "a truncation")
        cut = listener.history.get(first.id)
        assert isinstance(cut, Message)
        assert (cut.text, cut.interrupted) == (heard, True)
        listener.session.truncate_item(second.id, audio_end_ms=0, text="")
        await listener.until(
            lambda: second.id not in listener.history, "the end of an item that nobody heard"
        )
        assert not listener.of(ev.ErrorOccurred)
        listener.session.truncate_item("item_unknown", audio_end_ms=100, text="x")
        await listener.until(lambda: listener.of(ev.ErrorOccurred), "the refusal of an unknown id")


async def speaks(model: RealtimeModel) -> None:
    """Audio is mono, of the announced rate, without a gap; words come in order and their places never go back."""
    if not model.capabilities.audio_output:
        return
    async with Listener(model, "audio") as listener:
        done = await listener.answer("Hello.")
        assert done.status == "completed", f"it ended as {done.status}: {done.reason} {done.error}"
        frames = [e.audio for e in listener.of(ev.AudioDelta)]
        assert frames, "it gave no audio"
        position = 0
        for frame in frames:
            assert frame.channels == 1
            assert frame.sample_rate == model.capabilities.output_sample_rate
            assert frame.position_samples == position, f"audio at {frame.position_samples}, not at {position}"
            position = frame.end_samples
        starts = [e.start_ms for e in listener.of(ev.TranscriptDelta) if e.start_ms is not None]
        assert starts == sorted(starts), f"the words' places go back: {starts}"
        said = listener.history.messages[-1]
        assert said.is_audio
        assert said.text == listener.text_of(done.response_id)
        text_only = await listener.answer("And in writing?", modalities=("text",))
        spoken = {e.response_id for e in listener.of(ev.AudioDelta)}
        assert text_only.response_id not in spoken, "a response that was to be text only has audio"


async def prepares_unseen(model: RealtimeModel) -> None:
    """A draft is in nobody's conversation until it is released, and never if it is cancelled."""
    if not model.capabilities.drafts:
        return
    async with Listener(model) as listener:
        await _draft(listener, Message.of("user", "Prepared."), release=True)
        await _draft(listener, Message.of("user", "Thrown away."), release=False)
        done = await listener.answer("After all.")
        assert done.status == "completed"


async def _draft(listener: Listener, message: Message, *, release: bool) -> None:
    before = len(listener.history)
    done = await listener.answer(draft=message)
    assert done.status == "completed", f"a draft ended as {done.status}: {done.reason} {done.error}"
    created = next(e for e in listener.of(ev.ResponseCreated) if e.response_id == done.response_id)
    # Its items were announced to whoever prepares it; the conversation itself does not have them yet.
    for item in tuple(listener.history)[before:]:
        listener.history.delete(item.id)
    if not release:
        listener.session.cancel_response(done.response_id)
        return
    listener.session.create_item(message)
    listener.session.release_response(created.request_id or "")
    follow = Message.of("user", "Next.")
    listener.session.create_item(follow)
    await listener.until(lambda: follow.id in listener.history, "the announcement of an item")
    added = next(e for e in listener.of(ev.ItemAdded) if e.item.id == follow.id)
    answer = next(e.item for e in listener.of(ev.OutputItemDone) if e.response_id == done.response_id)
    assert added.previous_item_id == answer.id, "the released answer is not in the conversation"


async def closes_at_any_time(model: RealtimeModel) -> None:
    """Closing ends a live response as cancelled; closing twice, and verbs after it, do nothing."""
    async with Listener(model) as listener:
        listener.add("Tell me everything.")
        request_id = listener.ask()
        await listener.until(lambda: listener.response_id(request_id), "a response")
        await listener.session.aclose()
        done = listener.done(request_id)
        assert done is not None, "a live response did not end"
        assert done.status in ("cancelled", "failed"), f"it ended as {done.status}"
        await listener.session.aclose()
        listener.session.cancel_response()
        listener.session.clear_audio()
        listener.session.commit_audio()
    never_started = Listener(model)
    await never_started.session.aclose()


async def two_sessions_are_two_conversations(model: RealtimeModel) -> None:
    """Sessions of one model know nothing of each other."""
    async with Listener(model) as first, Listener(model) as second:
        await first.answer("One.")
        await second.answer("Two.")
        users = [[m.text for m in each.history.messages if m.role == "user"] for each in (first, second)]
        assert users == [["One."], ["Two."]]


async def is_a_text_model_too(model: RealtimeModel) -> None:
    """`LLM.chat` and `LLM.generate_reply` answer once, and leave nothing open."""
    context = ChatContext()
    context.add_message("user", "Hello.")
    async with aclosing(model.chat(ChatRequest(context))) as chunks:
        words = [chunk.text async for chunk in chunks if isinstance(chunk, TextDelta)]
    assert "".join(words).strip(), "chat() gave no words"
    assert len(context) == 1, "chat() changed the conversation that it was given"
    reply = [delta async for delta in model.generate_reply("Hello.")]
    assert "".join(reply).strip(), "generate_reply() gave no words"


REALTIME_CHECKS: tuple[RealtimeCheck, ...] = tuple(
    _check(body)
    for body in (
        answers_a_text,
        keeps_the_order_of_the_conversation,
        places_and_deletes_items,
        cancels,
        ends_each_of_several_requests,
        answers_out_of_band,
        says_exactly_this,
        truncates,
        speaks,
        prepares_unseen,
        closes_at_any_time,
        two_sessions_are_two_conversations,
        is_a_text_model_too,
    )
)
"""All checks; each makes its own model."""


async def check_realtime(make: MakeModel) -> None:
    """Run them all."""
    for check in REALTIME_CHECKS:
        await check(make)
