/** Runs beside the audio: plays what the queue holds, and reports every 20 ms which sample went out last. */

import { PlayQueue } from "./play-queue.js";

const REPORT_MS = 20;

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.queue = new PlayQueue(sampleRate);
    this.since = 0;
    this.peak = 0;
    this.wasBusy = false;
    this.port.onmessage = ({ data }) => this.receive(data);
  }

  receive(message) {
    if (message.kind === "audio") this.queue.push(message.item, message.samples);
    else if (message.kind === "end") this.queue.end(message.item);
    else if (message.kind === "clear") {
      this.port.postMessage({ kind: "cleared", ticket: message.ticket, ...this.queue.clear() });
      this.wasBusy = false;
    }
  }

  process(_inputs, [[out]]) {
    this.peak = Math.max(this.peak, this.queue.pull(out));
    this.since += out.length;
    const busy = this.queue.busy || this.queue.running;
    if (this.since >= (sampleRate * REPORT_MS) / 1000) {
      if (busy || this.wasBusy) this.report(busy);
      this.wasBusy = busy;
      this.since = 0;
      this.peak = 0;
    }
    return true;
  }

  report(busy) {
    const { item, played, queued, underruns, running } = this.queue;
    this.port.postMessage({ kind: "position", item, played, queued, underruns, running, busy, peak: this.peak });
  }
}

registerProcessor("playback", Playback);
