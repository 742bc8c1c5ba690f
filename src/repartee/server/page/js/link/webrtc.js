/** A session over WebRTC: audio on a track each way, events on the data channel `oai-events`. */

import { endpoint } from "./address.js";
import { judgeStatus, TalkError } from "./failure.js";

const GATHER_MS = 1500;
const OPEN_MS = 12000;

export class WebRtcLink {
  static ownsPlayback = false;

  /**
   * @param {{model: string, key: string, stream: MediaStream|null}} where
   * @param {import("./websocket.js").LinkEvents & {onTrack: (stream: MediaStream) => void}} events
   */
  constructor(where, { onEvent, onClose, onTrack }) {
    this.where = where;
    this.onClose = onClose;
    this.opened = false;
    this.location = null;
    this.peer = new RTCPeerConnection();
    this.channel = this.peer.createDataChannel("oai-events");
    this.channel.onmessage = ({ data }) => onEvent(JSON.parse(data));
    this.channel.onclose = () => this.#closed(1006, "");
    this.peer.ontrack = ({ streams: [stream] }) => onTrack(stream);
    this.peer.onconnectionstatechange = () => {
      if (this.peer.connectionState === "failed") this.#closed(1006, "the network path failed");
    };
    if (where.stream) for (const track of where.stream.getAudioTracks()) this.peer.addTrack(track, where.stream);
    else this.peer.addTransceiver("audio", { direction: "recvonly" });
  }

  /**
   * Call.
   * @throws {TalkError} unreachable, key, full, model, refused or webrtc
   */
  async open() {
    await this.peer.setLocalDescription();
    await gathered(this.peer);
    const response = await this.#offer(this.peer.localDescription.sdp);
    this.location = response.headers.get("location");
    await this.peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
    await new Promise((done, fail) => {
      const late = setTimeout(() => fail(new TalkError("webrtc", "no data channel within 12 s")), OPEN_MS);
      this.channel.onopen = () => {
        clearTimeout(late);
        this.opened = true;
        done();
      };
    });
  }

  async #offer(sdp) {
    const { key, model } = this.where;
    const headers = key ? { authorization: `Bearer ${key}` } : {};
    const form = new FormData();
    form.set("sdp", new Blob([sdp], { type: "application/sdp" }));
    const session = { type: "realtime", ...(model ? { model } : {}) };
    form.set("session", new Blob([JSON.stringify(session)], { type: "application/json" }));
    let response;
    try {
      response = await fetch(endpoint("v1/realtime/calls", { observe: "1" }), { method: "POST", headers, body: form });
    } catch {
      throw new TalkError("unreachable");
    }
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({}));
    if (error?.code === "invalid_model") throw new TalkError("model", error.message);
    throw new TalkError(judgeStatus(response.status) ?? "webrtc", error?.message ?? `HTTP ${response.status}`);
  }

  /** Send another microphone's sound from now on. @param {MediaStream} stream */
  async useStream(stream) {
    const sender = this.peer.getSenders().find(({ track }) => track?.kind === "audio");
    await sender?.replaceTrack(stream.getAudioTracks()[0]);
  }

  /** @param {object} _event @param {string} text */
  send(_event, text) {
    if (this.channel.readyState === "open") this.channel.send(text);
  }

  close() {
    this.onClose = () => {};
    this.channel.close();
    this.peer.close();
  }

  #closed(code, reason) {
    const tell = this.onClose;
    this.onClose = () => {};
    this.peer.close();
    tell({ code, reason, opened: this.opened });
  }
}

/** Until all ways to reach us are known; the offer is sent once. */
function gathered(peer) {
  if (peer.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((done) => {
    const late = setTimeout(done, GATHER_MS);
    peer.onicegatheringstatechange = () => {
      if (peer.iceGatheringState !== "complete") return;
      clearTimeout(late);
      done();
    };
  });
}
