import { endpoint, socketUrl } from "../js/link/address.js";
import { Backoff } from "../js/link/backoff.js";
import { FAILURES, judgeClose, judgeStatus } from "../js/link/failure.js";
import { EventLog, summary } from "../js/model/event-log.js";
import { defaults, GROUPS, sessionOf, settingsOf } from "../js/model/settings.js";
import { EXAMPLE, run, toolsOf } from "../js/tools.js";
import { Tuning } from "../js/tuning.js";
import { equal, ok, test } from "./check.js";

test("addresses follow the page under any prefix", () => {
  const url = endpoint("v1/realtime", { model: "local", observe: "1", key: "" }, "https://example.test/voice/");
  equal(url.href, "https://example.test/voice/v1/realtime?model=local&observe=1");
  equal(socketUrl(url).protocol, "wss:");
  equal(socketUrl(new URL("http://localhost:80/x")).protocol, "ws:");
});

test("attempts come later and later, with jitter, and end", () => {
  const backoff = new Backoff(() => 1);
  const waits = Array.from({ length: 9 }, () => backoff.next());
  equal(waits, [500, 1000, 2000, 4000, 8000, 15000, 15000, 15000, null]);
  backoff.reset();
  equal(new Backoff(() => 0).next(), 250);
  equal(backoff.next(), 500);
});

test("each way to end has its meaning", () => {
  equal(judgeClose({ code: 3000, reason: "invalid_request_error.invalid_api_key", opened: true }), { kind: "key", again: false });
  equal(judgeClose({ code: 4000, reason: "", opened: true, error: "invalid_model" }), { kind: "model", again: false });
  equal(judgeClose({ code: 1013, reason: "", opened: false }), { kind: "full", again: false });
  equal(judgeClose({ code: 1001, reason: "", opened: true }), { kind: "lost", again: true });
  equal(judgeClose({ code: 1006, reason: "", opened: false }), { kind: "unreachable", again: false });
  equal(judgeClose({ code: 1008, reason: "policy", opened: true }), { kind: "refused", again: false });
  equal([401, 503, 200].map(judgeStatus), ["key", "full", null]);
});

test("every failure says what to do", () => {
  for (const [kind, { title, advice, actions }] of Object.entries(FAILURES)) {
    ok(title && advice.length > 20 && actions.length, kind);
  }
});

test("settings become a session, and a session settings", () => {
  const settings = { ...defaults(), detection: "semantic_vad", eagerness: "high", speed: 1.25, noise: "near_field" };
  const session = sessionOf(["turns", "speed", "noise"], settings);
  equal(session.audio.input.turn_detection, {
    type: "semantic_vad",
    eagerness: "high",
    create_response: true,
    interrupt_response: true,
  });
  equal(session.audio.output, { speed: 1.25 });
  const back = settingsOf(session);
  equal([back.detection, back.eagerness, back.speed, back.noise], ["semantic_vad", "high", 1.25, "near_field"]);
});

test("push to talk is no turn detection, and never is no idle timeout", () => {
  equal(sessionOf(["turns"], { ...defaults(), detection: "none" }).audio.input.turn_detection, null);
  equal(sessionOf(["turns"], defaults()).audio.input.turn_detection.idle_timeout_ms, null);
  equal(settingsOf({ audio: { input: { turn_detection: null } } }), { detection: "none" });
});

test("every setting belongs to one group", () => {
  equal(Object.values(GROUPS).flat().sort(), Object.keys(defaults()).sort());
});

test("a change is in force when the server says so, and refused when it says why", () => {
  const sent = [];
  const tuning = new Tuning((event) => sent.push(event) && `e${sent.length}`, () => {});
  tuning.receive({ type: "session.created", session: { audio: { output: { voice: "alloy" } } } });
  tuning.begin();
  tuning.change("voice", { voice: "marin" });
  equal(tuning.verdicts.get("voice").state, "sent");
  tuning.receive({ type: "session.updated", session: { audio: { output: { voice: "alloy" } } } });
  equal(tuning.settings.voice, "marin");
  tuning.receive({ type: "error", error: { event_id: "e2", message: "Cannot update a voice." } });
  equal(tuning.verdicts.get("voice"), { state: "refused", message: "Cannot update a voice." });
  equal([tuning.owns("e2"), tuning.owns("e1"), tuning.owns(null)], [true, false, false]);
  ok(!tuning.touched.has("voice"), "it is not asked again");
});

test("what was chosen is asked of the next session again", () => {
  const sent = [];
  const tuning = new Tuning((event) => sent.push(event) && `e${sent.length}`, () => {});
  tuning.change("speed", { speed: 1.2 });
  equal(sent.length, 0);
  tuning.receive({ type: "session.created", session: { audio: { output: { speed: 1 } } } });
  tuning.begin();
  equal(sent[0].session.audio.output, { speed: 1.2 });
});

test("tools of one's own have their results, and a wrong one its reason", () => {
  const { definitions, results } = toolsOf({ browser_tool: true, tools: EXAMPLE });
  equal(definitions.map(({ name }) => name), ["browser_time", "check_stock"]);
  equal(run("check_stock", results), '{"in_stock":true,"left":3}');
  ok(JSON.parse(run("browser_time", results)).time, "the time");
  ok(JSON.parse(run("nothing", results)).error, "an error");
  for (const wrong of ["{", '[{"name": "two words"}]', "[1]"]) {
    let message = "";
    try {
      toolsOf({ browser_tool: false, tools: wrong });
    } catch (error) {
      message = error.message;
    }
    ok(message, wrong);
  }
});

test("the log finds, joins and hides", () => {
  const log = new EventLog();
  log.add(true, { type: "input_audio_buffer.append", audio: "AAAA" }, 1);
  log.add(true, { type: "input_audio_buffer.append", audio: "AAAA" }, 2);
  log.add(false, { type: "error", error: { message: "No such Voice" } }, 3);
  equal(log.find({ query: "voice" }).map(({ type }) => type), ["error"]);
  equal(log.find({ direction: "sent" }).map(({ times, until }) => [times, until]), [[2, 2]]);
  equal(log.find({ audio: false }).length, 1);
  equal([log.count, log.entries.length], [3, 2]);
  equal(summary(log.entries[1].event), "No such Voice");
  const lines = log.toJsonLines().trim().split("\n").map(JSON.parse);
  const event = { type: "input_audio_buffer.append", audio: "(3 bytes of audio)" };
  equal(lines[0], { at_ms: 1, times: 2, until_ms: 2, sent: true, event });
});

test("the log is bounded, and says what it dropped", () => {
  const log = new EventLog();
  for (let i = 0; i < 6601; i++) log.add(false, { type: "x" }, i);
  ok(log.entries.length <= 6000, "bounded");
  equal(log.dropped + log.entries.length, 6601);
});
