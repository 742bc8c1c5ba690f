/** Runs beside the audio: turns the microphone into chunks of PCM16 at 24 kHz, and says how loud each is. */

import { SAMPLE_RATE, toInt16 } from "./pcm.js";
import { Resampler } from "./resampler.js";

const CHUNK = (SAMPLE_RATE * 30) / 1000; // 30 ms

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, SAMPLE_RATE);
    this.chunk = new Float32Array(CHUNK);
    this.filled = 0;
  }

  process(inputs) {
    const channels = inputs[0];
    if (!channels.length) return true; // nothing is connected yet
    let rest = this.resampler.push(mono(channels));
    while (rest.length) {
      const part = rest.subarray(0, CHUNK - this.filled);
      this.chunk.set(part, this.filled);
      this.filled += part.length;
      rest = rest.subarray(part.length);
      if (this.filled === CHUNK) this.send();
    }
    return true;
  }

  send() {
    this.filled = 0;
    const samples = toInt16(this.chunk);
    let peak = 0;
    for (const sample of this.chunk) peak = Math.max(peak, Math.abs(sample));
    this.port.postMessage({ samples, peak }, [samples.buffer]);
  }
}

function mono(channels) {
  if (channels.length === 1) return channels[0];
  const mixed = new Float32Array(channels[0].length);
  for (const channel of channels) {
    for (let i = 0; i < mixed.length; i++) mixed[i] += channel[i] / channels.length;
  }
  return mixed;
}

registerProcessor("capture", Capture);
