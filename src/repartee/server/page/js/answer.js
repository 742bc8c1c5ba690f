/**
 * The answer that is being heard.
 *
 * Over a WebSocket the page plays it, and so it is the page that stops it and tells the server how far it was heard.
 * Over WebRTC the server plays; the page only estimates until the server says.
 */

import { fromBase64, peaks, SAMPLE_RATE } from "./audio/pcm.js";
import { Speaker } from "./audio/speaker.js";
import { STEP_MS } from "./model/timeline.js";

const STEP_SAMPLES = (SAMPLE_RATE * STEP_MS) / 1000;

export class Answer {
  /**
   * @param {object} parts
   * @param {import("./model/conversation.js").Conversation} parts.conversation
   * @param {import("./model/chronicle.js").Chronicle} parts.chronicle
   * @param {(event: object) => void} parts.send to the server
   * @param {() => number} parts.now page time
   */
  constructor({ conversation, chronicle, send, now }) {
    this.conversation = conversation;
    this.chronicle = chronicle;
    this.send = send;
    this.now = now;
    this.speaker = new Speaker((position) => this.#report(position));
    this.cutResponses = new Set(); // their stragglers are not played
    /** Items that are queued or playing, in order: what came of each, for drawing. */
    this.shapes = new Map();
    this.speaking = false;
    this.remote = null; // over WebRTC: since when the server plays which item
  }

  /** @param {any} event of the server */
  receive(event) {
    HANDLERS[event.type]?.(this, event);
  }

  /** Whether anything is, or is about to be, heard. */
  get audible() {
    return this.speaking || this.shapes.size > 0 || this.remote !== null;
  }

  /**
   * Stop what plays, at once, and say how far it was heard. Over WebRTC the server does that.
   * @returns {Promise<boolean>} whether there was something to stop
   */
  async interrupt() {
    if (!this.shapes.size) return false;
    for (const response of this.chronicle.live) this.cutResponses.add(response);
    const items = [...this.shapes.keys()];
    this.shapes.clear();
    this.speaking = false;
    const { item, heard_ms } = await this.speaker.clear();
    this.chronicle.cut(item ?? items[0], this.now());
    for (const id of items) {
      const response = this.chronicle.responseOf.get(id);
      if (response) this.cutResponses.add(response);
      // The service refuses 0; a millisecond is nothing that anybody hears.
      const audio_end_ms = id === item ? Math.max(1, heard_ms) : 1;
      this.conversation.cut(id, audio_end_ms);
      this.send({ type: "conversation.item.truncate", item_id: id, content_index: 0, audio_end_ms });
    }
    return true;
  }

  /** The session is over. */
  async stop() {
    this.shapes.clear();
    this.remote = null;
    this.speaking = false;
    await this.speaker.clear();
  }

  /** WebRTC: a level of what arrives. @param {number} peak */
  hearRemote(peak) {
    const now = this.now();
    this.chronicle.timeline.agent.add(now, peak);
    if (this.remote?.item && !this.remote.told) {
      this.conversation.played(this.remote.item, now - this.remote.since);
    }
  }

  play(event) {
    if (this.cutResponses.has(event.response_id)) return;
    const samples = fromBase64(event.delta);
    const shape = this.shapes.get(event.item_id) ?? [];
    shape.push(...peaks(samples, STEP_SAMPLES));
    this.shapes.set(event.item_id, shape);
    this.conversation.addAudio(event.item_id, (1000 * samples.length) / SAMPLE_RATE);
    this.speaker.play(event.item_id, samples);
  }

  #report({ item, heard_ms, queued_ms, peak, busy }) {
    const now = this.now();
    if (!this.shapes.size && busy) return; // a report from before the cut
    this.chronicle.timeline.agent.add(now, peak);
    if (item !== null && this.shapes.has(item)) {
      this.conversation.played(item, heard_ms);
      for (const id of [...this.shapes.keys()]) {
        if (id === item) break;
        this.shapes.delete(id); // played before it
      }
      if (!this.speaking && busy) this.chronicle.playing(item, now);
      this.speaking = busy;
      this.chronicle.timeline.ahead = [...this.shapes.values()].flat().slice(-Math.ceil(queued_ms / STEP_MS));
    }
    if (!busy) this.#ranOut(item, now);
  }

  #ranOut(item, now) {
    this.speaking = false;
    const heard = this.conversation.byId.get(item)?.heard;
    if (heard && !heard.whole) return; // more is to come: a gap, not the end
    if (item !== null) this.conversation.finished(item);
    this.shapes.clear();
    this.chronicle.silent(now);
  }
}

/** @type {Record<string, (answer: Answer, event: any) => void>} */
const HANDLERS = {
  "response.output_audio.delta": (answer, event) => answer.play(event),
  "response.output_audio.done": (answer, { item_id }) => answer.speaker.end(item_id),
  "response.output_audio_transcript.delta": (answer, { item_id }) => {
    if (answer.remote && !answer.remote.item) answer.remote.item = item_id;
    answer.lastSpoken = item_id;
  },
  "output_audio_buffer.started": (answer) => {
    answer.remote = { since: answer.now(), item: answer.lastSpoken ?? null, told: false };
  },
  "output_audio_buffer.stopped": (answer) => {
    if (answer.remote?.item) answer.conversation.finished(answer.remote.item);
    answer.remote = answer.lastSpoken = null;
  },
  "output_audio_buffer.cleared": (answer) => {
    const { remote } = answer;
    answer.remote = answer.lastSpoken = null;
    if (remote?.item) answer.conversation.cut(remote.item, answer.now() - remote.since);
  },
  "repartee.heard": (answer) => {
    if (answer.remote) answer.remote.told = true;
  },
};
