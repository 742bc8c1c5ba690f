/** PCM16 as it travels: mono, 24 kHz, little endian, base64 within JSON. */

/** Samples per second on the wire. */
export const SAMPLE_RATE = 24000;

const SLICE_BYTES = 0x8000; // String.fromCharCode takes only so many arguments

/**
 * @param {Int16Array} samples
 * @returns {string} base64
 */
export function toBase64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    text += String.fromCharCode(...bytes.subarray(at, at + SLICE_BYTES));
  }
  return btoa(text);
}

/**
 * @param {string} base64
 * @returns {Int16Array} an odd last byte is left out
 */
export function fromBase64(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length & ~1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return new Int16Array(bytes.buffer);
}

/**
 * @param {Float32Array} samples from -1 to 1
 * @returns {Int16Array} louder ones are clipped
 */
export function toInt16(samples) {
  const out = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i++) {
    out[i] = Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32767)));
  }
  return out;
}

/**
 * The loudest sample of each stretch, for drawing.
 * @param {Int16Array} samples
 * @param {number} stretch samples in one
 * @returns {number[]} from 0 to 1
 */
export function peaks(samples, stretch) {
  const found = [];
  for (let at = 0; at < samples.length; at += stretch) {
    let top = 0;
    const end = Math.min(at + stretch, samples.length);
    for (let i = at; i < end; i++) top = Math.max(top, Math.abs(samples[i]));
    found.push(top / 32768);
  }
  return found;
}
