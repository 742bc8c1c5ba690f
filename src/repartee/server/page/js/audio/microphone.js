/** The microphone: asks for it, and hands out 30 ms chunks of PCM16 at 24 kHz. */

import { TalkError } from "../link/failure.js";

const WORKLET = new URL("./capture-worklet.js", import.meta.url);

export class Microphone {
  /**
   * @param {(chunk: {samples: Int16Array, peak: number}) => void} onChunk
   * @param {string} [device] the browser's id of one; `""`: the browser's own choice
   */
  constructor(onChunk, device = "") {
    this.onChunk = onChunk;
    this.device = device;
    /** @type {MediaStream|null} */
    this.stream = null;
    this.context = null;
    this.onEnded = () => {};
  }

  /**
   * Ask for the microphone and listen.
   * @throws {TalkError} insecure, unsupported, no_microphone, microphone_refused or microphone_busy
   */
  async open() {
    if (!window.isSecureContext) throw new TalkError("insecure");
    if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) throw new TalkError("unsupported");
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: {
          echoCancellation: true,
          noiseSuppression: true,
          autoGainControl: true,
          channelCount: 1,
          ...(this.device ? { deviceId: { exact: this.device } } : {}),
        },
      });
    } catch (error) {
      throw new TalkError(REASONS[error.name] ?? "microphone_busy", error.message);
    }
    const [track] = this.stream.getAudioTracks();
    track.addEventListener("ended", () => this.onEnded());
    // The device's own rate: some browsers refuse to join a microphone to a context of another. The worklet resamples.
    this.context = new AudioContext({ latencyHint: "interactive" });
    this.tap = await tapOf(this.context, this.stream, this.onChunk);
    return this.stream;
  }

  /** @param {boolean} muted */
  set muted(muted) {
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  async close() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    await this.context?.close();
    this.context = null;
  }
}

const REASONS = {
  NotAllowedError: "microphone_refused",
  SecurityError: "microphone_refused",
  NotFoundError: "no_microphone",
  OverconstrainedError: "no_microphone",
  NotReadableError: "microphone_busy",
  AbortError: "microphone_busy",
};

/**
 * Listen to a stream: the microphone, or what comes over WebRTC.
 * @param {AudioContext} context
 * @param {MediaStream} stream
 * @param {(chunk: {samples: Int16Array, peak: number}) => void} onChunk
 */
export async function tapOf(context, stream, onChunk) {
  await context.audioWorklet.addModule(WORKLET);
  await context.resume();
  const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 1 });
  node.port.onmessage = ({ data }) => onChunk(data);
  const silent = new GainNode(context, { gain: 0 }); // a node is only asked for audio if it leads somewhere
  new MediaStreamAudioSourceNode(context, { mediaStream: stream }).connect(node).connect(silent);
  silent.connect(context.destination);
  return node;
}
