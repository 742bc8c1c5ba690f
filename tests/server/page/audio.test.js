import { fromBase64, peaks, toBase64, toInt16 } from "../js/audio/pcm.js";
import { PlayQueue } from "../js/audio/play-queue.js";
import { Resampler } from "../js/audio/resampler.js";
import { equal, ok, test } from "./check.js";

const RATE = 24000;
const loud = (ms) => new Int16Array((RATE * ms) / 1000).fill(16384);

function pull(queue, ms) {
  const out = new Float32Array((RATE * ms) / 1000);
  queue.pull(out);
  return out;
}

test("samples survive the way through base64", () => {
  const samples = new Int16Array(50000).map((_, i) => (i * 7919) % 65536);
  equal([...fromBase64(toBase64(samples))], [...samples]);
});

test("what is too loud is clipped, not wrapped", () => {
  equal([...toInt16(new Float32Array([2, -2, 0, 0.5]))], [32767, -32768, 0, 16384]);
});

test("peaks are of each stretch", () => {
  equal(peaks(new Int16Array([0, -16384, 0, 8192, 32767]), 2), [0.5, 0.25, 32767 / 32768]);
});

test("half the rate gives half the samples, of the same tone, in pieces of any size", () => {
  const resampler = new Resampler(48000, RATE);
  const tone = new Float32Array(48000).map((_, i) => Math.sin((2 * Math.PI * 440 * i) / 48000));
  const out = [];
  for (let at = 0; at < tone.length; at += 128) out.push(...resampler.push(tone.subarray(at, at + 128)));
  ok(Math.abs(out.length - 24000) < 40, `${out.length} samples`);
  const middle = out.slice(4000, 20000);
  const power = middle.reduce((sum, sample) => sum + sample ** 2, 0) / middle.length;
  ok(Math.abs(power - 0.5) < 0.01, `power ${power}`);
});

test("what is above the new half rate does not fold back", () => {
  const resampler = new Resampler(48000, RATE);
  const hiss = new Float32Array(48000).map((_, i) => Math.sin((2 * Math.PI * 15000 * i) / 48000));
  const out = resampler.push(hiss).slice(1000);
  ok(Math.max(...out) < 0.02, `peak ${Math.max(...out)}`);
});

test("44.1 kHz becomes 24 kHz", () => {
  const out = new Resampler(44100, RATE).push(new Float32Array(44100).fill(0.5));
  ok(Math.abs(out.length - 24000) < 40, `${out.length} samples`);
  ok(Math.abs(out[12000] - 0.5) < 0.001, "a constant stays");
});

test("it waits until a little is there, then plays on", () => {
  const queue = new PlayQueue(RATE);
  queue.push("a", loud(40));
  equal(Math.max(...pull(queue, 10)), 0);
  queue.push("a", loud(40));
  ok(Math.max(...pull(queue, 20)) > 0.4, "it plays");
  equal([queue.item, queue.played], ["a", 480]);
});

test("something short is played as soon as all of it is there", () => {
  const queue = new PlayQueue(RATE);
  queue.push("a", loud(20));
  queue.end("a");
  ok(Math.max(...pull(queue, 10)) > 0.4, "it plays");
});

test("it knows which sample of which item was played", () => {
  const queue = new PlayQueue(RATE);
  queue.push("a", loud(50));
  queue.push("b", loud(50));
  queue.end("b");
  pull(queue, 70);
  equal([queue.item, queue.played, queue.queued], ["b", 480, 720]);
});

test("a cut says where, and begins anew", () => {
  const queue = new PlayQueue(RATE);
  queue.push("a", loud(500));
  pull(queue, 100);
  equal(queue.clear(), { item: "a", played: 2400, dropped: 9600 });
  const after = pull(queue, 20);
  ok(Math.abs(after[0]) > 0.3 && after[200] === 0, "it fades within 4 ms");
  equal(queue.clear(), { item: null, played: 0, dropped: 0 });
});

test("a gap is counted, and the next start waits longer", () => {
  const queue = new PlayQueue(RATE);
  queue.push("a", loud(60));
  pull(queue, 80);
  equal(queue.underruns, 1);
  queue.push("a", loud(60));
  equal(Math.max(...pull(queue, 10)), 0);
  queue.push("a", loud(60));
  ok(Math.max(...pull(queue, 10)) > 0.4, "it plays again");
});

test("the end of an answer is no gap", () => {
  const queue = new PlayQueue(RATE);
  queue.push("a", loud(60));
  queue.end("a");
  pull(queue, 80);
  equal([queue.underruns, queue.busy], [0, false]);
});
