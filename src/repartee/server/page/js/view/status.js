/** The state of the connection in one line, and what went wrong with what to do about it. */

import { FAILURES } from "../link/failure.js";
import { byId, h } from "./dom.js";

export class StatusView {
  /**
   * @param {import("../talk.js").Talk} talk
   * @param {{retry: () => void, type: () => void, settings: () => void}} actions
   */
  constructor(talk, actions) {
    this.talk = talk;
    this.actions = actions;
    byId("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      talk.where.key = byId("set-key").value = byId("key-entry").value.trim();
      actions.retry();
    });
    talk.addEventListener("state", () => this.show());
    this.show();
  }

  show() {
    document.body.dataset.phase = this.talk.phase;
    const [line, more] = this.#line();
    byId("status-text").replaceChildren(line, h("span", { class: "status-more", text: more }));
    clearTimeout(this.timer);
    if (this.talk.phase === "reconnecting") this.timer = setTimeout(() => this.show(), 1000);
    this.#trouble();
  }

  #line() {
    const { phase, where, retryAt, voice, muted, trouble } = this.talk;
    if (phase === "connecting") return ["Connecting…", ""];
    if (phase === "reconnecting") {
      const left_s = Math.ceil((retryAt - this.talk.now()) / 1000);
      return [left_s > 0 ? `Trying again in ${left_s} s` : "Reconnecting…", " · connection lost"];
    }
    if (phase === "idle") return [trouble ? FAILURES[trouble.kind].title : "Not connected", ""];
    const how = where.transport === "webrtc" ? "WebRTC" : "WebSocket";
    return [voice && muted ? "Muted" : "Connected", ` · ${how}${voice ? "" : " · typing only"}`];
  }

  #trouble() {
    const { trouble } = this.talk;
    byId("trouble").hidden = !trouble;
    byId("trouble").dataset.kind = trouble?.kind ?? "";
    byId("key-form").hidden = trouble?.kind !== "key";
    if (!trouble) return;
    const { title, advice, actions } = FAILURES[trouble.kind];
    byId("trouble-title").textContent = title;
    byId("trouble-advice").textContent = advice;
    byId("trouble-detail").textContent = trouble.detail === title ? "" : trouble.detail;
    const buttons = actions
      .filter((action) => action !== "key")
      .map((action) => h("button", { type: "button", class: "button", text: LABELS[action], onclick: this.actions[action] }));
    byId("trouble-actions").replaceChildren(...buttons);
    if (trouble.kind === "key") byId("key-entry").focus();
  }
}

const LABELS = { retry: "Try again", type: "Type instead", settings: "Open settings" };
