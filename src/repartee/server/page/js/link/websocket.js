/** A session over a WebSocket. */

import { endpoint, socketUrl } from "./address.js";

const HIGH_WATER_BYTES = 1 << 20; // of microphone audio that the network does not take: then it is dropped

/**
 * @typedef {object} LinkEvents what a link tells
 * @property {(event: object) => void} onEvent a server event
 * @property {(close: {code: number, reason: string, opened: boolean}) => void} onClose once, unless closed from here
 */

export class WebSocketLink {
  /** Whether audio travels as events, and playback is ours. */
  static ownsPlayback = true;

  /** @param {{model: string, key: string}} where @param {LinkEvents} events */
  constructor({ model, key }, { onEvent, onClose }) {
    const url = socketUrl(endpoint("v1/realtime", { model, observe: "1" }));
    const protocols = key ? ["realtime", `openai-insecure-api-key.${key}`] : ["realtime"];
    this.opened = false;
    this.dropped = 0;
    this.socket = new WebSocket(url, protocols);
    this.socket.onopen = () => (this.opened = true);
    this.socket.onmessage = ({ data }) => {
      if (typeof data === "string") onEvent(JSON.parse(data));
    };
    this.socket.onclose = ({ code, reason }) => onClose({ code, reason, opened: this.opened });
  }

  /** @param {object} event @param {string} text the same as JSON */
  send(event, text) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    const audio = event.type === "input_audio_buffer.append";
    if (audio && this.socket.bufferedAmount > HIGH_WATER_BYTES) this.dropped += 1;
    else this.socket.send(text);
  }

  close() {
    this.socket.onclose = null;
    this.socket.close(1000);
  }
}
