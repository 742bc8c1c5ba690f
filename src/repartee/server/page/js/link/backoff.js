/** How long to wait before the next attempt to connect. Pure; chance is an argument. */

const FIRST_MS = 500;
const LONGEST_MS = 15000;
const ATTEMPTS_MAX = 8;

export class Backoff {
  /** @param {() => number} [random] from 0 to 1 */
  constructor(random = Math.random) {
    this.random = random;
    this.attempt = 0;
  }

  /** @returns {number|null} milliseconds until the next attempt; null: give up */
  next() {
    if (this.attempt >= ATTEMPTS_MAX) return null;
    const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.attempt);
    this.attempt += 1;
    return Math.round(whole * (0.5 + 0.5 * this.random())); // jitter: not everybody at the same moment
  }

  /** It worked. */
  reset() {
    this.attempt = 0;
  }
}
