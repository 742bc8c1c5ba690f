import { Conversation } from "../js/model/conversation.js";
import { equal, ok, test } from "./check.js";

function after(...events) {
  const talk = new Conversation();
  for (const event of events) talk.receive(event);
  return talk;
}

const user = (id, previous_item_id = null) => ({
  type: "conversation.item.added",
  previous_item_id,
  item: { id, type: "message", role: "user", content: [{ type: "input_audio", transcript: null }] },
});
const words = (item_id, delta) => ({ type: "response.output_audio_transcript.delta", item_id, delta });

test("words that come before their item exists find it", () => {
  const talk = after(
    { type: "input_audio_buffer.speech_started", item_id: "u1" },
    { type: "conversation.item.input_audio_transcription.delta", item_id: "u1", delta: "hel" },
    user("u1"),
    { type: "conversation.item.input_audio_transcription.completed", item_id: "u1", transcript: "hello" },
  );
  equal(talk.entries.map(({ text, state }) => [text, state]), [["hello", "done"]]);
});

test("interim words are set apart from settled ones, and go when it is settled", () => {
  const talk = after({ type: "repartee.interim", item_id: "u1", text: "what time is a", stable_chars: 9 });
  equal([talk.entries[0].text, talk.entries[0].interim], ["what time", " is a"]);
  talk.receive({ type: "conversation.item.input_audio_transcription.delta", item_id: "u1", delta: "what time" });
  equal([talk.entries[0].text, talk.entries[0].interim], ["what time", " is a"]);
  talk.receive({ type: "conversation.item.input_audio_transcription.completed", item_id: "u1", transcript: "what time is it" });
  talk.receive({ type: "repartee.interim", item_id: "u1", text: "late", stable_chars: 0 });
  equal([talk.entries[0].text, talk.entries[0].interim], ["what time is it", ""]);
});

test("what was dropped with the buffer was never said", () => {
  const talk = after(
    { type: "repartee.interim", item_id: "u0", text: "", stable_chars: 0 },
    user("u1"),
    { type: "repartee.interim", item_id: "u2", text: "hm", stable_chars: 0 },
    { type: "input_audio_buffer.cleared" },
  );
  equal(talk.entries.map(({ id }) => id), ["u1"]);
});

test("an item goes behind the one it follows", () => {
  const talk = after(user("a"), user("c"), user("b", "a"));
  equal(talk.entries.map(({ id }) => id), ["a", "b", "c"]);
});

test("a truncation marks the answer as cut", () => {
  const talk = after(words("a1", "one two three four"), {
    type: "response.output_audio.done",
    item_id: "a1",
  });
  talk.addAudio("a1", 2000);
  talk.cut("a1", 1000);
  talk.receive({ type: "conversation.item.truncated", item_id: "a1", audio_end_ms: 1700 });
  equal([talk.entries[0].state, talk.entries[0].heard.split().heard], ["cut", "one two"]);
});

test("a call has its arguments and its output", () => {
  const talk = after(
    {
      type: "response.output_item.added",
      response_id: "r1",
      item: { id: "f1", type: "function_call", name: "time", call_id: "c1", arguments: "" },
    },
    { type: "response.function_call_arguments.done", item_id: "f1", call_id: "c1", arguments: '{"zone":"UTC"}' },
    {
      type: "conversation.item.added",
      item: { id: "o1", type: "function_call_output", call_id: "c1", output: "noon" },
    },
  );
  const [{ call, state, response }] = talk.entries;
  equal([call.name, call.arguments, call.output, state, response], ["time", '{"zone":"UTC"}', "noon", "done", "r1"]);
});

test("a new session is told what was said, as far as it was heard", () => {
  const talk = after(user("u1"), words("a1", "one two three four"));
  talk.entries[0].text = "count";
  talk.addAudio("a1", 2000);
  talk.byId.get("a1").heard.whole = true;
  talk.cut("a1", 1000);
  talk.note("The connection broke.");
  equal(
    talk.replay().map(({ role, content: [{ type, text }] }) => [role, type, text]),
    [
      ["user", "input_text", "count"],
      ["assistant", "output_text", "one two"],
    ],
  );
});

test("a session that was begun anew is told only of itself", () => {
  const talk = new Conversation();
  talk.startAnew();
  equal(talk.entries.length, 0);
  talk.receive(user("u1"));
  talk.entries[0].text = "before";
  talk.startAnew();
  talk.receive(user("u2"));
  talk.byId.get("u2").text = "after";
  equal(talk.replay().map(({ content: [{ text }] }) => text), ["after"]);
});

test("a deleted item goes, an unknown event changes nothing", () => {
  const talk = after(user("a"));
  const { version } = talk;
  talk.receive({ type: "something.new" });
  equal(talk.version, version);
  talk.receive({ type: "conversation.item.deleted", item_id: "a" });
  ok(!talk.entries.length, "the list is empty");
});
