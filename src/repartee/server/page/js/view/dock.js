/** Where one speaks and types. */

import { byId, isForField } from "./dom.js";

export class Dock {
  /** @param {import("../talk.js").Talk} talk */
  constructor(talk) {
    this.talk = talk;
    this.mic = byId("mic");
    this.message = byId("message");
    byId("start-voice").addEventListener("click", () => talk.start({ voice: true }));
    byId("start-text").addEventListener("click", () => this.#startTyping());
    byId("end").addEventListener("click", () => talk.stop());
    byId("interrupt").addEventListener("click", () => talk.interrupt());
    byId("dock").addEventListener("submit", (event) => this.#send(event));
    byId("transport-choice").addEventListener("input", ({ target }) => talk.choose({ transport: target.value }));
    this.mic.addEventListener("click", () => this.#click());
    this.mic.addEventListener("pointerdown", (event) => this.#hold(event, true));
    for (const over of ["pointerup", "pointercancel", "lostpointercapture"]) {
      this.mic.addEventListener(over, (event) => this.#hold(event, false));
    }
    document.addEventListener("keydown", (event) => this.#key(event, true));
    document.addEventListener("keyup", (event) => this.#key(event, false));
    window.addEventListener("blur", () => talk.hold(false));
    talk.addEventListener("state", () => this.update());
    talk.addEventListener("settings", () => this.update());
    this.update();
  }

  get pushing() {
    return this.talk.tuning.settings.detection === "none";
  }

  update() {
    const { phase, microphone, muted, holding, trouble } = this.talk;
    const spoken = phase === "live" && microphone !== null;
    this.mic.disabled = !spoken && phase !== "idle" && phase !== "live";
    this.mic.dataset.muted = String(spoken && muted && !this.pushing);
    this.mic.dataset.holding = String(holding);
    if (spoken && this.pushing) this.mic.setAttribute("aria-pressed", String(holding));
    else this.mic.removeAttribute("aria-pressed"); // its name says what it does then
    const label = spoken ? (this.pushing ? (holding ? "Listening" : "Hold to talk") : muted ? "Unmute" : "Mute") : "Talk";
    this.mic.title = spoken && this.pushing ? "Hold to talk (space bar)" : spoken ? `${label} (M)` : "Start talking";
    byId("mic-text").textContent = label;
    byId("end").hidden = phase === "idle";
    byId("welcome").hidden ||= phase !== "idle" || Boolean(trouble);
    this.frame();
  }

  /** What changes all the time. */
  frame() {
    const { answer, chronicle, phase, timeline, now } = this.talk;
    byId("interrupt").hidden = phase !== "live" || !(answer.audible || chronicle.live.size);
    const time = now.call(this.talk);
    const level = phase === "live" ? Math.sqrt(timeline.you.peak(time - 120, time)) : 0;
    this.mic.style.setProperty("--level", level.toFixed(2));
  }

  async #startTyping() {
    await this.talk.start({ voice: false });
    this.message.focus();
  }

  async #send(event) {
    event.preventDefault();
    const text = this.message.value.trim();
    if (!text) return;
    if (this.talk.phase === "idle") await this.talk.start({ voice: false });
    if (!(await this.talk.ready())) return;
    this.message.value = "";
    await this.talk.say(text);
  }

  #click() {
    if (this.talk.phase === "idle") this.talk.start({ voice: true });
    else if (!this.talk.microphone) this.talk.addVoice();
    else if (!this.pushing) this.talk.mute(!this.talk.muted);
  }

  #hold(event, down) {
    if (!this.pushing || this.talk.phase !== "live") return;
    if (down) this.mic.setPointerCapture(event.pointerId);
    this.talk.hold(down);
  }

  #key(event, down) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const own = event.target === this.mic;
    if (event.code === "Space" && this.pushing && (own || !isForField(event))) {
      event.preventDefault();
      if (!event.repeat) this.talk.hold(down);
    } else if (!down || event.repeat) return;
    else if (event.key === "Escape" && this.talk.phase === "live") this.talk.interrupt();
    else if (event.key.toLowerCase() === "m" && !isForField(event) && this.talk.microphone) this.#click();
  }
}
