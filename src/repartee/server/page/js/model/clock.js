/** Three clocks made one: the page's, the server's session time, and the count of audio that was sent. Pure. */

export class SessionClock {
  constructor() {
    this.reset();
  }

  /** A new session begins. */
  reset() {
    this.offset_ms = Infinity; // page time minus session time, at the least delay seen
    this.sent_ms = 0; // of audio
    this.sentAt = null; // page time of the end of it
  }

  /** A server event carried session time. @param {number} at_ms @param {number} now page time of its arrival */
  observe(at_ms, now) {
    this.offset_ms = Math.min(this.offset_ms, now - at_ms);
  }

  /** @param {number} at_ms session time @param {number} now @returns {number} page time, never in the future */
  ofSession(at_ms, now) {
    return Math.min(now, at_ms + (Number.isFinite(this.offset_ms) ? this.offset_ms : now - at_ms));
  }

  /** Audio was sent. @param {number} ms of it @param {number} now page time at which its last sample was recorded */
  sent(ms, now) {
    this.sent_ms += ms;
    this.sentAt = now;
  }

  /** @param {number} audio_ms position in the audio sent @returns {number|null} page time; null: nothing was sent */
  ofAudio(audio_ms) {
    return this.sentAt === null ? null : this.sentAt - (this.sent_ms - audio_ms);
  }
}
