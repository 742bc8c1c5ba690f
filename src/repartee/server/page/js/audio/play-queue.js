/**
 * The jitter buffer, and the only one who knows which sample was played: audio of items in order, in; blocks for the
 * device, out. Pure: it runs in the audio thread, and in a test.
 *
 * It holds a little back before it begins, more each time that it ran dry (up to a limit), and hides the seams of a
 * gap or a cut with a short fade. It grows with what the server sends ahead: one answer.
 */

const TARGET_MS = 60;
const TARGET_MS_MAX = 300;
const TARGET_STEP_MS = 40;
const FADE_MS = 4;

export class PlayQueue {
  /** @param {number} rate samples per second */
  constructor(rate) {
    this.rate = rate;
    this.fade = Math.round((rate * FADE_MS) / 1000);
    this.targetMs = TARGET_MS;
    this.running = false;
    this.underruns = 0;
    this.last = 0; // the last sample that went out
    this.ramp = 0; // samples of fade-in still to come
    this.falling = 0; // samples of fade-out still to come
    /** @type {{item: string, samples: Int16Array}[]} */
    this.chunks = [];
    this.offset = 0; // samples played of the first chunk
    this.queued = 0;
    this.item = null; // of which the last sample was
    this.played = 0; // samples of that item
    this.ended = new Set(); // items of which all audio has come
  }

  /** @param {string} item @param {Int16Array} samples */
  push(item, samples) {
    if (!samples.length) return;
    this.chunks.push({ item, samples });
    this.queued += samples.length;
  }

  /** All audio of an item has come. @param {string} item */
  end(item) {
    this.ended.add(item);
  }

  /** Drop what was not played. @returns {{item: string|null, played: number, dropped: number}} played: of that item, in samples */
  clear() {
    const next = this.chunks[0]?.item ?? null;
    const dropped = this.queued;
    const cut = this.item ?? next;
    const played = this.item === null ? 0 : this.played;
    if (this.running) this.falling = this.fade;
    this.chunks = [];
    this.offset = this.queued = this.played = 0;
    this.running = false;
    this.item = null;
    this.ended.clear();
    return { item: cut, played, dropped };
  }

  /**
   * Fill a block.
   * @param {Float32Array} out
   * @returns {number} its peak, 0 to 1
   */
  pull(out) {
    this.#startIfReady();
    let at = 0;
    let peak = 0;
    while (this.running && at < out.length) {
      const chunk = this.chunks[0];
      if (!chunk) {
        this.#dry();
        break;
      }
      if (chunk.item !== this.item) {
        this.item = chunk.item;
        this.played = 0;
      }
      const count = Math.min(out.length - at, chunk.samples.length - this.offset);
      for (let i = 0; i < count; i++) {
        let sample = chunk.samples[this.offset + i] / 32768;
        if (this.ramp > 0) sample *= 1 - this.ramp-- / this.fade;
        out[at + i] = sample;
        peak = Math.max(peak, Math.abs(sample));
      }
      at += count;
      this.offset += count;
      this.played += count;
      this.queued -= count;
      if (this.offset === chunk.samples.length) {
        this.chunks.shift();
        this.offset = 0;
      }
    }
    if (at) this.last = out[at - 1];
    for (; at < out.length; at++) out[at] = this.falling > 0 ? (this.last * --this.falling) / this.fade : 0;
    return peak;
  }

  /** Whether something of an item is or will be heard. */
  get busy() {
    return this.queued > 0;
  }

  #startIfReady() {
    if (this.running || !this.queued) return;
    const whole = this.ended.has(this.chunks[this.chunks.length - 1].item);
    if (whole || this.queued >= (this.rate * this.targetMs) / 1000) {
      this.running = true;
      this.ramp = this.fade;
      this.falling = 0;
    }
  }

  #dry() {
    this.running = false;
    this.falling = this.fade;
    if (this.item !== null && !this.ended.has(this.item)) {
      this.underruns += 1;
      this.targetMs = Math.min(TARGET_MS_MAX, this.targetMs + TARGET_STEP_MS);
    }
  }
}
