/**
 * Writes server events and what the audio devices report into the timeline and the turns. Pure: time is an argument.
 *
 * What only this project's server tells (`repartee.*`, with `?observe=1`) makes it exact; with any other server it is
 * derived from the standard events.
 */

const QUIET = 0.01; // of a microphone's level: never speech
const LOUD_SHARE = 0.05; // of the loudest in a turn: still speech
const LOOK_BACK_MS = 20000;
const PAUSE_MS = 250; // quiet for longer: another sound

export class Chronicle {
  /**
   * @param {import("./timeline.js").Timeline} timeline
   * @param {import("./turns.js").Turns} turns
   * @param {import("./clock.js").SessionClock} clock
   */
  constructor(timeline, turns, clock) {
    this.timeline = timeline;
    this.turns = turns;
    this.clock = clock;
    /** @type {Map<string, string>} item → response */
    this.responseOf = new Map();
    this.live = new Set(); // responses that go on
    this.newest = null;
    this.user = null; // item of the turn that is open
  }

  /** A new session begins, or the old one ended. @param {number} now */
  reset(now) {
    this.timeline.endAll(now);
    this.clock.reset();
    this.live.clear();
    this.user = null;
  }

  /** @param {any} event @param {number} now page time of its arrival */
  receive(event, now) {
    if (typeof event.at_ms === "number") this.clock.observe(event.at_ms, now);
    HANDLERS[event.type]?.(this, event, now);
  }

  /** The user typed. @param {number} now */
  typed(now) {
    this.turns.asked(null, now, true);
  }

  /** The first or a later sample of an item was played. @param {string|null} item @param {number} now */
  playing(item, now) {
    const response = this.responseOf.get(item);
    if (response) this.turns.reached(response, "heard", now);
    this.timeline.end("thinking", now);
    this.timeline.begin("speaking", now);
  }

  /** Nothing is played any more. @param {number} now */
  silent(now) {
    this.timeline.end("speaking", now);
    this.timeline.ahead = [];
  }

  /** An answer was cut off. @param {string|null} item @param {number} now */
  cut(item, now) {
    this.silent(now);
    this.timeline.mark("interruption", now, "interrupted");
    this.turns.interrupted(this.responseOf.get(item) ?? this.newest, now);
  }

  /** @returns {number} page time of a position in the audio that was sent; now where that can't be told */
  timeOf(audio_ms, now) {
    return Math.min(now, this.clock.ofAudio(audio_ms) ?? now);
  }

  /**
   * When the user really fell silent. `audio_end_ms` is the end of what the model was given, with the silence that the
   * server waited for; so the microphone says it, until the server's `speech_end` does.
   */
  lastSound(before, now) {
    const from = this.timeline.open("speech")?.from ?? now - LOOK_BACK_MS;
    const floor = Math.max(QUIET, LOUD_SHARE * this.timeline.you.peak(from, before));
    return this.timeline.you.lastLoud(before, floor, before - from) ?? before;
  }
}

function firstOf(chronicle, response, stage, now) {
  if (response) chronicle.turns.reached(response, stage, now);
}

/** @type {Record<string, (chronicle: Chronicle, event: any, now: number) => void>} */
const HANDLERS = {
  "input_audio_buffer.speech_started": (chronicle, { item_id, audio_start_ms }, now) => {
    chronicle.user = item_id;
    chronicle.timeline.end("thinking", now);
    const { clock, timeline } = chronicle;
    const heard = clock.sentAt === null ? timeline.you.onset(now, QUIET, PAUSE_MS) : null; // WebRTC: nobody counts
    const from = heard ?? chronicle.timeOf(audio_start_ms, now);
    chronicle.timeline.begin("speech", from);
  },
  "input_audio_buffer.speech_stopped": (chronicle, { item_id, audio_end_ms }, now) => {
    const end = chronicle.lastSound(chronicle.timeOf(audio_end_ms, now), now);
    chronicle.timeline.end("speech", end);
    chronicle.turns.asked(item_id, end);
  },
  "input_audio_buffer.committed": (chronicle, { item_id }, now) => {
    if (chronicle.timeline.open("speech") || chronicle.turns.list.at(-1)?.item !== item_id) {
      chronicle.turns.asked(item_id, now); // by hand: the wait begins when it was sent
      chronicle.timeline.end("speech", now);
    }
    chronicle.turns.decided(now);
    chronicle.user = null;
  },
  "response.created": (chronicle, { response }, now) => {
    if (response.conversation_id === null) return; // out of band: nobody waits for it
    chronicle.newest = response.id;
    chronicle.live.add(response.id);
    chronicle.turns.answered(response.id, now);
    chronicle.timeline.begin("thinking", now);
  },
  "response.output_item.added": (chronicle, { item, response_id }) => {
    chronicle.responseOf.set(item.id, response_id);
  },
  "response.output_audio_transcript.delta": (chronicle, { response_id }, now) =>
    firstOf(chronicle, response_id, "first_token", now),
  "response.output_text.delta": (chronicle, { response_id }, now) => {
    firstOf(chronicle, response_id, "first_token", now);
    chronicle.timeline.end("thinking", now);
  },
  "response.output_audio.delta": (chronicle, { response_id }, now) => {
    firstOf(chronicle, response_id, "first_token", now);
    firstOf(chronicle, response_id, "first_audio", now);
  },
  "output_audio_buffer.started": (chronicle, { response_id }, now) => {
    firstOf(chronicle, response_id, "first_audio", now);
    firstOf(chronicle, response_id, "heard", now);
    chronicle.timeline.end("thinking", now);
    chronicle.timeline.begin("speaking", now);
  },
  "output_audio_buffer.stopped": (chronicle, _, now) => chronicle.silent(now),
  "output_audio_buffer.cleared": (chronicle, _, now) => chronicle.cut(null, now),
  "response.function_call_arguments.done": (chronicle, { call_id, name, item_id }, now) => {
    chronicle.timeline.begin("tool", now, name ?? "", call_id ?? item_id);
  },
  "conversation.item.added": (chronicle, { item }, now) => {
    if (item.type === "function_call_output") chronicle.timeline.end("tool", now, item.call_id);
  },
  "response.done": (chronicle, { response }, now) => {
    chronicle.live.delete(response.id);
    if (!chronicle.live.size) chronicle.timeline.end("thinking", now);
  },
  "repartee.end_of_turn": (chronicle, { at_ms, probability, text = "" }, now) => {
    chronicle.timeline.predict(chronicle.clock.ofSession(at_ms, now), probability, text);
  },
  "repartee.turn": (chronicle, { item_id, reason, speech_end_ms }, now) => {
    const at = chronicle.clock.ofSession(speech_end_ms, now);
    chronicle.turns.ended(item_id, reason, at);
    chronicle.timeline.ended("speech", at);
  },
  "repartee.stage": (chronicle, { at_ms, response_id, stage }, now) => {
    chronicle.turns.told(response_id, stage, chronicle.clock.ofSession(at_ms, now));
  },
  "repartee.tool": (chronicle, { at_ms, call_id, name, state }, now) => {
    const at = chronicle.clock.ofSession(at_ms, now);
    if (state === "running") chronicle.timeline.begin("tool", at, name, call_id);
    else chronicle.timeline.end("tool", at, call_id);
  },
  "repartee.state": (chronicle, { at_ms, agent }, now) => {
    const at = chronicle.clock.ofSession(at_ms, now);
    if (agent === "thinking") chronicle.timeline.begin("thinking", at);
    else chronicle.timeline.end("thinking", at);
  },
};
