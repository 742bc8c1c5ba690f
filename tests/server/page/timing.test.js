import { Chronicle } from "../js/model/chronicle.js";
import { SessionClock } from "../js/model/clock.js";
import { Envelope, Timeline } from "../js/model/timeline.js";
import { ending, latency, median, parts, Turns } from "../js/model/turns.js";
import { equal, ok, test } from "./check.js";

function chronicle() {
  return new Chronicle(new Timeline(), new Turns(), new SessionClock());
}

test("session time becomes page time by the least delay seen", () => {
  const clock = new SessionClock();
  clock.observe(100, 1150);
  clock.observe(200, 1210);
  clock.observe(300, 1390);
  equal(clock.ofSession(300, 1390), 1310);
  equal(clock.ofSession(900, 1400), 1400);
});

test("a place in the audio becomes the time at which it was recorded", () => {
  const clock = new SessionClock();
  equal(clock.ofAudio(0), null);
  clock.sent(30, 1030);
  clock.sent(30, 1060);
  equal(clock.ofAudio(45), 1045);
});

test("an envelope keeps the loudest, and finds the last sound", () => {
  const envelope = new Envelope();
  envelope.add(100, 0.5);
  envelope.add(105, 0.2);
  envelope.add(200_000, 0.1);
  equal(envelope.peak(80, 140).toFixed(2), "0.50");
  equal(envelope.peak(140, 1000), 0);
  equal(envelope.lastLoud(900, 0.3, 900), 120);
  equal(envelope.lastLoud(900, 0.6, 900), null);
});

test("a sound began where there was no pause since", () => {
  const envelope = new Envelope();
  for (const at of [100, 1000, 1020, 1200, 1220]) envelope.add(at, 0.5);
  equal(envelope.onset(1300, 0.1, 250), 1000);
  equal(envelope.onset(900, 0.1, 250), 900);
});

test("a span that goes on is one, and ends once", () => {
  const timeline = new Timeline();
  timeline.begin("speech", 10);
  timeline.begin("speech", 20);
  timeline.end("speech", 30);
  timeline.end("speech", 40);
  equal(timeline.spans.map(({ from, to }) => [from, to]), [[10, 30]]);
  equal(timeline.describe(15), ["you speak, 0.02 s"]);
});

test("a turn by voice has all its parts, and they add up", () => {
  const log = chronicle();
  for (let at = 0; at < 1000; at += 20) log.timeline.you.add(at, 0.4);
  log.clock.sent(2000, 2000);
  log.receive({ type: "input_audio_buffer.speech_started", item_id: "u1", audio_start_ms: 0 }, 200);
  log.receive({ type: "input_audio_buffer.speech_stopped", item_id: "u1", audio_end_ms: 1500 }, 1510);
  log.receive({ type: "input_audio_buffer.committed", item_id: "u1" }, 1512);
  log.receive({ type: "response.created", response: { id: "r1", conversation_id: "c" } }, 1520);
  log.receive({ type: "response.output_item.added", response_id: "r1", item: { id: "a1" } }, 1530);
  log.receive({ type: "response.output_audio_transcript.delta", response_id: "r1", item_id: "a1" }, 1600);
  log.receive({ type: "response.output_audio.delta", response_id: "r1", item_id: "a1" }, 1650);
  log.playing("a1", 1720);
  const [turn] = log.turns.list;
  equal(turn.at.speech_end, 1000);
  equal(parts(turn).map(({ stage, ms }) => [stage, ms]), [
    ["decision", 512],
    ["first_token", 88],
    ["first_audio", 50],
    ["heard", 70],
  ]);
  equal(latency(turn), 720);
  equal(median(log.turns.list), 720);
});

test("the server's own times count for what the page can't see", () => {
  const log = chronicle();
  log.turns.asked("u1", 1200);
  log.receive({ type: "repartee.state", at_ms: 1400, user: "listening", agent: "thinking" }, 1500);
  log.receive({ type: "response.created", response: { id: "r1", conversation_id: "c" } }, 1520);
  log.receive({ type: "repartee.stage", response_id: "r1", stage: "speech_end", at_ms: 900 }, 1500);
  log.receive({ type: "repartee.stage", response_id: "r1", stage: "decision", at_ms: 1400 }, 1500);
  equal(log.turns.list[0].at, { speech_end: 1000, decision: 1500 });
});

test("the server says why a turn ended, when the speech did, and when the answer's parts were really done", () => {
  const log = chronicle();
  log.receive({ type: "repartee.state", at_ms: 100, user: "speaking", agent: "listening" }, 200);
  log.receive({ type: "input_audio_buffer.speech_started", item_id: "u1", audio_start_ms: 0 }, 200);
  log.receive({ type: "input_audio_buffer.speech_stopped", item_id: "u1", audio_end_ms: 1500 }, 1510);
  const turn = { type: "repartee.turn", item_id: "u1", reason: "end of turn", at_ms: 1405, speech_end_ms: 1050 };
  log.receive(turn, 1511);
  log.receive({ type: "input_audio_buffer.committed", item_id: "u1" }, 1512);
  log.receive({ type: "response.created", response: { id: "r1", conversation_id: "c" } }, 1520);
  const stages = { speech_end: 1050, decision: 1410, first_token: 1300, first_audio: 1450, playback: 1460 };
  for (const [stage, at_ms] of Object.entries(stages)) {
    log.receive({ type: "repartee.stage", response_id: "r1", stage, at_ms }, 1580);
  }
  log.receive({ type: "response.output_audio.delta", response_id: "r1", item_id: "a1" }, 1590);
  log.receive({ type: "repartee.stage", response_id: "r1", stage: "first_token", at_ms: 1480 }, 1600); // a follow-up's
  const [first] = log.turns.list;
  equal(first.at, { speech_end: 1150, decision: 1510, first_token: 1400, first_audio: 1550 });
  equal(ending(first), "ended by its words");
  equal(log.timeline.spansIn(0, 2000)[0].to, 1150);
});

test("a typed turn has no speech to wait from", () => {
  const log = chronicle();
  log.typed(100);
  log.receive({ type: "response.created", response: { id: "r1", conversation_id: "c" } }, 110);
  log.receive({ type: "repartee.stage", response_id: "r1", stage: "speech_end", at_ms: 10 }, 111);
  equal(log.turns.list[0].at.speech_end, 100);
});

test("a call and its follow-up answer one turn", () => {
  const log = chronicle();
  log.typed(0);
  log.receive({ type: "response.created", response: { id: "r1", conversation_id: "c" } }, 5);
  log.receive({ type: "response.function_call_arguments.done", item_id: "f1", call_id: "c1", name: "time" }, 20);
  log.receive({ type: "response.done", response: { id: "r1" } }, 21);
  log.receive({ type: "conversation.item.added", item: { type: "function_call_output", call_id: "c1" } }, 30);
  log.receive({ type: "response.created", response: { id: "r2", conversation_id: "c" } }, 31);
  log.turns.reached("r2", "heard", 90);
  equal(log.turns.list.length, 1);
  equal(latency(log.turns.list[0]), 90);
  equal(log.timeline.spans.filter(({ kind }) => kind === "tool").map(({ from, to }) => [from, to]), [[20, 30]]);
});

test("an out-of-band response is nobody's answer", () => {
  const log = chronicle();
  log.receive({ type: "response.created", response: { id: "r9", conversation_id: null } }, 5);
  equal(log.live.size, 0);
});

test("an interruption marks the turn that was answered", () => {
  const log = chronicle();
  log.typed(0);
  log.receive({ type: "response.created", response: { id: "r1", conversation_id: "c" } }, 5);
  log.receive({ type: "response.output_item.added", response_id: "r1", item: { id: "a1" } }, 6);
  log.playing("a1", 10);
  log.cut("a1", 50);
  equal(log.turns.list[0].interrupted, 50);
  equal(log.timeline.marks.length, 1);
  ok(!log.timeline.open("speaking"), "it speaks no more");
});
