/**
 * A conversation with the server: connects, speaks, listens, reconnects. It knows no element of the page; views read
 * its models and hear of changes through its events `state`, `event` and `settings`.
 */

import { Answer } from "./answer.js";
import { Microphone, tapOf } from "./audio/microphone.js";
import { SAMPLE_RATE, toBase64 } from "./audio/pcm.js";
import { askWhy } from "./link/address.js";
import { Backoff } from "./link/backoff.js";
import { FAILURES, judgeClose, judgeStatus, TalkError } from "./link/failure.js";
import { WebRtcLink } from "./link/webrtc.js";
import { WebSocketLink } from "./link/websocket.js";
import { Chronicle } from "./model/chronicle.js";
import { SessionClock } from "./model/clock.js";
import { Conversation } from "./model/conversation.js";
import { EventLog } from "./model/event-log.js";
import { Timeline } from "./model/timeline.js";
import { Turns } from "./model/turns.js";
import { REACTIONS } from "./reactions.js";
import { Tuning } from "./tuning.js";

const STEADY_MS = 10000; // a session that lasted so long: the next attempts begin early again

/**
 * @typedef {"idle"|"connecting"|"live"|"reconnecting"} Phase
 * @typedef {{kind: string, detail: string}|null} Trouble
 */

export class Talk extends EventTarget {
  constructor() {
    super();
    this.conversation = new Conversation();
    this.timeline = new Timeline();
    this.turns = new Turns();
    this.log = new EventLog();
    this.chronicle = new Chronicle(this.timeline, this.turns, new SessionClock());
    const now = () => this.now();
    const send = (event) => this.send(event);
    this.answer = new Answer({ conversation: this.conversation, chronicle: this.chronicle, send, now });
    this.tuning = new Tuning(send, () => {
      this.gate();
      this.dispatchEvent(new Event("settings"));
    });
    this.microphone = null;
    this.backoff = new Backoff();
    this.where = { transport: "websocket", model: "", key: "" };
    this.device = ""; // the microphone that was chosen; "": the browser's own
    /** @type {Phase} */
    this.phase = "idle";
    /** @type {Trouble} */
    this.trouble = null;
    this.muted = false;
    this.holding = false; // push to talk
    this.link = null;
    this.sent = 0; // events, for their ids
  }

  /** Page time: milliseconds since the page was opened. */
  now() {
    return performance.now();
  }

  // -- beginning and ending ------------------------------------------------------------------------------------

  /**
   * Begin a session.
   * @param {{voice: boolean}} how with the microphone, or typing only
   */
  async start({ voice }) {
    if (this.phase !== "idle") return;
    this.backoff.reset();
    this.voice = voice;
    if (this.trouble?.kind === "lost") this.replay = this.conversation.replay();
    else if (!this.replay) this.conversation.startAnew();
    this.#change("connecting", null);
    try {
      await this.#openSpeaker();
      if (voice) await this.#openMicrophone();
      await this.#connect();
    } catch (error) {
      await this.#fail(error);
    }
  }

  /** End the session. */
  async stop() {
    clearTimeout(this.retry);
    this.link?.close();
    await this.#release();
    this.#change("idle", null);
  }

  /** Who wants written answers needs none. */
  async #openSpeaker() {
    try {
      await this.answer.speaker.open();
    } catch (error) {
      if (this.tuning.settings.answer !== "text") throw error;
    }
  }

  async #openMicrophone() {
    const microphone = new Microphone((chunk) => microphone === this.microphone && this.#hear(chunk), this.device);
    microphone.onEnded = () => microphone === this.microphone && this.#microphoneLost();
    try {
      await microphone.open();
    } catch (error) {
      await microphone.close();
      throw error;
    }
    if (this.phase === "idle" || microphone.device !== this.device) {
      await microphone.close(); // the session ended meanwhile, or another one was chosen
      return;
    }
    const old = this.microphone;
    this.microphone = microphone;
    this.gate();
    await old?.close();
  }

  /**
   * Speak through another microphone from now on; the session goes on. If that fails the old one stays.
   * @param {string} device the browser's id; `""`: its own choice
   */
  async useMicrophone(device) {
    const before = this.device;
    this.device = device;
    if (this.phase !== "live" || !this.microphone) return;
    try {
      await this.#openMicrophone();
      if (this.microphone) await this.link?.useStream?.(this.microphone.stream);
      this.#change(this.phase, this.trouble);
    } catch (error) {
      if (this.device === device) this.device = before;
      this.#change(this.phase, this.trouble);
      if (!(error instanceof TalkError)) throw error;
      const why = FAILURES[error.kind].title.toLowerCase();
      this.conversation.note(`You are still heard by the same microphone. The other: ${why}.`);
    }
  }

  /** Speak, after typing only. Over WebRTC that takes a new call, which is told what was said. */
  async addVoice() {
    if (this.phase !== "live" || this.microphone) return;
    if (this.where.transport === "webrtc") {
      this.replay = this.conversation.replay();
      await this.stop();
      await this.start({ voice: true });
      return;
    }
    try {
      await this.#openMicrophone();
      this.voice = true;
      this.#change("live", null);
    } catch (error) {
      if (!(error instanceof TalkError)) throw error;
      this.#change("live", { kind: error.kind, detail: error.detail });
    }
  }

  /** The person has read what went wrong. */
  dismiss() {
    this.#change(this.phase, null);
  }

  /** Let the microphone through, or not. */
  gate() {
    const closed = this.tuning.settings.detection === "none" && !this.holding;
    if (this.microphone) this.microphone.muted = this.muted || closed;
  }

  async #microphoneLost() {
    await this.stop();
    this.#change("idle", { kind: "microphone_lost", detail: "" });
  }

  async #connect() {
    const { transport, model, key } = this.where;
    const events = {
      onEvent: (event) => this.#receive(event),
      onClose: (close) => this.#closed(close),
      onTrack: (stream) => this.#playRemote(stream),
    };
    this.lastError = null;
    if (transport === "webrtc") {
      this.link = new WebRtcLink({ model, key, stream: this.microphone?.stream ?? null }, events);
      await this.link.open();
    } else this.link = new WebSocketLink({ model, key }, events);
  }

  async #fail(error) {
    this.link?.close();
    await this.#release();
    const kind = error instanceof TalkError ? error.kind : "webrtc";
    this.#change("idle", { kind, detail: error.detail ?? error.message });
    if (!(error instanceof TalkError)) throw error;
  }

  async #release() {
    this.link = null;
    this.holding = false;
    this.tuning.end();
    this.chronicle.reset(this.now());
    await this.answer.stop();
    await this.microphone?.close();
    this.microphone = null;
    await this.remote?.close();
    this.remote = null;
  }

  async #closed(close) {
    const opened = close.opened && this.phase !== "connecting";
    if (this.phase === "live" && this.now() - this.begunAt > STEADY_MS) this.backoff.reset();
    let { kind, again } = judgeClose({ ...close, opened, error: this.lastError?.code });
    this.chronicle.reset(this.now());
    this.tuning.end();
    await this.answer.stop();
    const wait_ms = again || this.phase === "reconnecting" ? this.backoff.next() : null;
    if (wait_ms !== null && kind !== "key" && kind !== "model") {
      if (this.phase === "live") this.conversation.note("The connection broke. Trying to get it back.");
      this.retryAt = this.now() + wait_ms;
      this.#change("reconnecting", null);
      this.retry = setTimeout(() => this.#again(), wait_ms);
      return;
    }
    if (kind === "unreachable") kind = await askWhy(this.where.key, judgeStatus);
    this.backoff.reset();
    await this.#release();
    this.#change("idle", { kind, detail: this.lastError?.message ?? close.reason });
  }

  async #again() {
    this.replay = this.conversation.replay();
    try {
      await this.#connect();
    } catch (error) {
      await this.#closed({ code: 1006, reason: error.message, opened: true });
    }
  }

  #change(phase, trouble) {
    this.phase = phase;
    this.trouble = trouble;
    this.dispatchEvent(new Event("state"));
  }

  /** Where the next session goes. @param {{transport?: string, model?: string, key?: string}} where */
  choose(where) {
    Object.assign(this.where, where);
    this.dispatchEvent(new Event("settings"));
  }

  /** @returns {Promise<boolean>} whether there is a session, once it is known */
  ready() {
    if (this.phase === "live" || this.phase === "idle") return Promise.resolve(this.phase === "live");
    return new Promise((done) => {
      const look = () => {
        if (this.phase === "connecting") return;
        this.removeEventListener("state", look);
        done(this.phase === "live");
      };
      this.addEventListener("state", look);
    });
  }

  // -- out -----------------------------------------------------------------------------------------------------

  /** Send a client event. @param {any} event @returns {string} its id */
  send(event) {
    event.event_id ??= `page_${++this.sent}`;
    this.link?.send(event, JSON.stringify(event));
    this.log.add(true, event, this.now());
    this.dispatchEvent(new Event("event"));
    return event.event_id;
  }

  /** Say something in writing. @param {string} text */
  async say(text) {
    await this.interrupt();
    const content = [{ type: "input_text", text }];
    this.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
    this.chronicle.typed(this.now());
    this.send({ type: "response.create" });
  }

  /** Stop the agent. */
  async interrupt() {
    if (this.chronicle.live.size) this.send({ type: "response.cancel" });
    if (this.where.transport === "webrtc") {
      if (this.answer.remote) this.send({ type: "output_audio_buffer.clear" });
    } else await this.answer.interrupt();
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.muted = muted;
    this.gate();
    this.dispatchEvent(new Event("state"));
  }

  /** Push to talk. @param {boolean} down */
  async hold(down) {
    if (down === this.holding || this.phase !== "live" || !this.microphone) return;
    this.holding = down;
    this.gate();
    this.dispatchEvent(new Event("state"));
    if (down) {
      this.heldSince = this.now();
      await this.interrupt();
      this.send({ type: "input_audio_buffer.clear" });
      this.timeline.begin("speech", this.heldSince);
    } else if (this.now() - this.heldSince < 250) {
      this.timeline.end("speech", this.now()); // a slip of the finger: too short to say anything
      this.send({ type: "input_audio_buffer.clear" });
    } else {
      this.send({ type: "input_audio_buffer.commit" });
      this.send({ type: "response.create" });
    }
  }

  #hear({ samples, peak }) {
    const now = this.now();
    if (this.phase !== "live") return;
    const manual = this.tuning.settings.detection === "none";
    const open = !this.muted && (!manual || this.holding);
    this.timeline.you.add(now, open ? peak : 0);
    this.timeline.you.add(now - 15, open ? peak : 0);
    if (this.where.transport === "webrtc") return; // it travels on its own track
    if (manual && !this.holding) return;
    this.send({ type: "input_audio_buffer.append", audio: toBase64(samples) });
    this.chronicle.clock.sent((1000 * samples.length) / SAMPLE_RATE, now);
  }

  // -- in ------------------------------------------------------------------------------------------------------

  #receive(event) {
    const now = this.now();
    this.log.add(false, event, now);
    this.conversation.receive(event);
    this.chronicle.receive(event, now);
    this.answer.receive(event);
    this.tuning.receive(event);
    REACTIONS[event.type]?.(this, event);
    this.dispatchEvent(new Event("event"));
  }

  /** The session is there. */
  begun() {
    this.begunAt = this.now();
    this.tuning.begin();
    for (const item of this.replay ?? []) this.send({ type: "conversation.item.create", item });
    if (this.phase === "reconnecting") {
      this.conversation.note("Connected again. The agent was told what was said so far.");
    }
    this.replay = null;
    this.#change("live", null);
  }

  /** The user begins to speak: the server cancels; the sound is ours to stop. */
  spokenOver() {
    const { detection, interrupt_response } = this.tuning.settings;
    if (detection === "none" || !interrupt_response || this.where.transport === "webrtc") return;
    this.answer.interrupt();
  }

  async #playRemote(stream) {
    this.remote = new AudioContext({ latencyHint: "interactive" });
    const player = new Audio(); // the element plays; the context only listens
    player.srcObject = stream;
    await player.play();
    await tapOf(this.remote, stream, ({ peak }) => {
      const { total } = this.answer.speaker;
      total.samples += peak > 0.001 ? (SAMPLE_RATE * 30) / 1000 : 0;
      total.energy += peak ** 2;
      this.answer.hearRemote(peak);
    });
  }
}
