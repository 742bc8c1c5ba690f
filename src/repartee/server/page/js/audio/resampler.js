/** A streaming resampler for the microphone: windowed sinc, so that nothing above the new Nyquist folds back. */

const HALF_TAPS = 16; // zero crossings on each side, at the lower of both rates
const PHASES = 64;

export class Resampler {
  /**
   * @param {number} from samples per second that come in
   * @param {number} to samples per second that go out
   */
  constructor(from, to) {
    this.step = from / to;
    const cutoff = Math.min(1, to / from) * 0.94;
    this.half = Math.ceil(HALF_TAPS / Math.min(1, to / from));
    this.taps = designPhases(this.half, cutoff);
    this.kept = new Float32Array(2 * this.half); // the past that the next output still needs
    this.at = this.half; // where the next output lies, in `kept` and what follows
  }

  /**
   * @param {Float32Array} input
   * @returns {Float32Array} what can be told so far; the rest comes with the next input
   */
  push(input) {
    if (this.step === 1) return input.slice();
    const all = new Float32Array(this.kept.length + input.length);
    all.set(this.kept);
    all.set(input, this.kept.length);
    const count = Math.max(0, Math.ceil((all.length - this.half - this.at) / this.step));
    const out = new Float32Array(count);
    let made = 0;
    while (made < count && this.at + this.half < all.length) {
      const whole = Math.floor(this.at);
      const taps = this.taps[Math.min(PHASES - 1, Math.floor((this.at - whole) * PHASES))];
      let sum = 0;
      for (let i = 0; i < taps.length; i++) sum += all[whole - this.half + 1 + i] * taps[i];
      out[made++] = sum;
      this.at += this.step;
    }
    const gone = Math.max(0, Math.floor(this.at) - this.half);
    this.kept = all.slice(gone);
    this.at -= gone;
    return out.subarray(0, made);
  }
}

/** @returns {Float32Array[]} the taps for each position between two samples; each row sums to one */
function designPhases(half, cutoff) {
  const rows = [];
  for (let phase = 0; phase < PHASES; phase++) {
    const row = new Float32Array(2 * half);
    let sum = 0;
    for (let i = 0; i < row.length; i++) {
      const x = i - half + 1 - phase / PHASES;
      const window = 0.5 + 0.5 * Math.cos((Math.PI * x) / (half + 1));
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * cutoff * x) / (Math.PI * cutoff * x);
      row[i] = sinc * window;
      sum += row[i];
    }
    rows.push(row.map((tap) => tap / sum));
  }
  return rows;
}
