/** The loudspeaker for a WebSocket: plays the answer, and knows what of it was heard. */

import { TalkError } from "../link/failure.js";
import { SAMPLE_RATE } from "./pcm.js";

const RESUME_MS = 4000;
const WORKLET = new URL("./playback-worklet.js", import.meta.url);

/**
 * @typedef {object} Position
 * @property {string|null} item whose sample was played last
 * @property {number} heard_ms of that item; what is still on its way to the ear is not counted
 * @property {number} queued_ms come, and not yet played
 * @property {number} peak of the last 20 ms
 * @property {boolean} busy whether there is more to play
 */

export class Speaker {
  /** @param {(position: Position) => void} onPosition */
  constructor(onPosition) {
    this.onPosition = onPosition;
    this.context = null;
    this.node = null;
    this.ticket = 0;
    this.waiting = new Map();
    this.underruns = 0;
    /** For tests: how loud and how much was really played. */
    this.total = { samples: 0, energy: 0 };
  }

  /**
   * Get ready. Browsers allow sound only after the person did something: call it from a click.
   * @throws {TalkError} no_loudspeaker
   */
  async open() {
    if (!this.context) {
      this.context = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: "interactive" });
      await this.context.audioWorklet.addModule(WORKLET);
      this.node = new AudioWorkletNode(this.context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
      this.node.port.onmessage = ({ data }) => this.#report(data);
      this.node.connect(this.context.destination);
    }
    // Where there is no device Firefox neither resumes nor fails.
    const late = new Promise((_, fail) => setTimeout(() => fail(new TalkError("no_loudspeaker")), RESUME_MS));
    await Promise.race([this.context.resume(), late]);
  }

  /** @param {string} item @param {Int16Array} samples */
  play(item, samples) {
    this.node?.port.postMessage({ kind: "audio", item, samples });
  }

  /** @param {string} item */
  end(item) {
    this.node?.port.postMessage({ kind: "end", item });
  }

  /**
   * Stop at once.
   * @returns {Promise<{item: string|null, heard_ms: number, dropped_ms: number}>} what was cut, and where
   */
  async clear() {
    if (!this.node) return { item: null, heard_ms: 0, dropped_ms: 0 };
    const ticket = ++this.ticket;
    const cut = new Promise((done) => this.waiting.set(ticket, done));
    this.node.port.postMessage({ kind: "clear", ticket });
    const { item, played, dropped } = await cut;
    return { item, heard_ms: this.#heardMs(played), dropped_ms: (1000 * dropped) / SAMPLE_RATE };
  }

  async close() {
    await this.context?.close();
    this.context = this.node = null;
  }

  #heardMs(played) {
    const behind_s = this.context?.outputLatency || this.context?.baseLatency || 0;
    return Math.max(0, Math.round((1000 * played) / SAMPLE_RATE - 1000 * behind_s));
  }

  #report(data) {
    if (data.kind === "cleared") {
      this.waiting.get(data.ticket)?.(data);
      this.waiting.delete(data.ticket);
      return;
    }
    this.underruns = data.underruns;
    if (data.peak > 0) {
      this.total.samples += SAMPLE_RATE / 50;
      this.total.energy += data.peak ** 2;
    }
    // The last sample has left the device only after its latency: then all of it counts as heard.
    const heard_ms = data.busy ? this.#heardMs(data.played) : (1000 * data.played) / SAMPLE_RATE;
    const queued_ms = (1000 * data.queued) / SAMPLE_RATE;
    this.onPosition({ item: data.item, heard_ms, queued_ms, peak: data.peak, busy: data.busy });
  }
}
