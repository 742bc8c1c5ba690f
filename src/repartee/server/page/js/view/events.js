/** The event log: search, filter, pause, look inside, download. */

import { summary } from "../model/event-log.js";
import { byId, h } from "./dom.js";

const SHOWN_MAX = 400; // rows; older ones are found by searching, or in the download
const EVERY_MS = 150;

export class EventsView {
  /** @param {import("../talk.js").Talk} talk */
  constructor(talk) {
    this.talk = talk;
    this.list = byId("event-list");
    this.paused = false;
    this.open = new Set();
    for (const id of ["event-query", "event-direction", "event-audio"]) {
      byId(id).addEventListener("input", () => this.#draw());
    }
    byId("event-pause").addEventListener("click", () => this.#pause());
    byId("event-clear").addEventListener("click", () => this.#clear());
    byId("event-download").addEventListener("click", () => this.#download());
  }

  update() {
    const { count } = this.talk.log;
    byId("event-count").textContent = count ? String(count) : "";
    if (this.paused || byId("page-events").hidden || byId("panel").hidden || count === this.count) return;
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.#draw();
    }, EVERY_MS);
  }

  #draw() {
    const { log } = this.talk;
    this.count = log.count;
    const found = log.find({
      query: byId("event-query").value,
      direction: byId("event-direction").value,
      audio: byId("event-audio").checked,
    });
    const shown = found.slice(-SHOWN_MAX);
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 60;
    const kept = new Map([...this.list.children].map((row) => [row.firstChild.key, row]));
    this.list.replaceChildren(...shown.map((entry) => this.#row(entry, kept)));
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
    byId("events-empty").hidden = shown.length > 0;
    byId("events-empty").textContent = log.entries.length ? "Nothing matches." : "No event yet.";
  }

  #row({ number, at, times, sent, type, event }, kept) {
    const key = `${number}/${times}`;
    const old = kept.get(key);
    if (old) return old;
    const details = h(
      "details",
      { class: "event", "data-sent": String(sent), "data-error": String(type === "error") },
      h(
        "summary",
        {},
        h("time", { text: (at / 1000).toFixed(2) }),
        h("span", { class: "way", text: sent ? "↑" : "↓", "aria-label": sent ? "sent" : "received", role: "img" }),
        h("span", { class: "what" }, h("span", { class: "type", text: type }), h("span", { class: "gist", text: String(summary(event)) })),
        h("span", { class: "times", text: times > 1 ? `×${times}` : "" }),
      ),
    );
    details.key = key;
    details.open = this.open.has(number);
    const fill = () => {
      if (details.open) this.open.add(number);
      else this.open.delete(number);
      if (details.open && details.children.length === 1) {
        details.append(h("pre", { text: JSON.stringify(event, null, 2), tabIndex: 0 }));
      }
    };
    details.addEventListener("toggle", fill);
    return h("li", {}, details);
  }

  #pause() {
    this.paused = !this.paused;
    byId("event-pause").setAttribute("aria-pressed", String(this.paused));
    byId("event-pause").textContent = this.paused ? "Go on" : "Pause";
    if (!this.paused) this.#draw();
  }

  #clear() {
    this.talk.log.clear();
    this.#draw();
  }

  #download() {
    const blob = new Blob([this.talk.log.toJsonLines()], { type: "application/jsonl" });
    const link = h("a", { href: URL.createObjectURL(blob), download: "repartee-events.jsonl" });
    link.click();
    URL.revokeObjectURL(link.href);
  }
}
