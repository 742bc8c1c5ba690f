/** The timeline: scrolls as you talk; zoom, pause, cursor by mouse and keyboard. Painting is in timeline-paint.js. */

import { latency, parts } from "../model/turns.js";
import { byId, duration, h, once } from "./dom.js";
import { paint, readColours } from "./timeline-paint.js";

const ZOOMS = [6, 12, 24, 48, 96, 192, 384]; // pixels a second
const IDLE_FRAME_MS = 1000;
const CALM_FRAME_MS = 250; // reduced motion: steps, no scrolling
const AHEAD_SHARE = 0.14; // of the width, right of now: what is generated and not yet heard

const LEGEND = [
  ["box", "--you", "you"],
  ["box", "--agent", "agent"],
  ["line", "", "end of turn, probability"],
  ["box", "--part-1", "deciding"],
  ["box", "--part-2", "first word"],
  ["box", "--part-3", "first sound"],
  ["box", "--part-4", "to the ear"],
  ["bar-mark", "", "interruption"],
];

export class TimelineView {
  /** @param {import("../talk.js").Talk} talk */
  constructor(talk) {
    this.talk = talk;
    this.canvas = byId("canvas");
    this.context = this.canvas.getContext("2d");
    this.tooltip = byId("tooltip");
    this.zoom = 3;
    this.following = true;
    this.end = 0; // page time at the line of now
    this.cursor = null; // page time that is looked at
    this.drawn = -Infinity;
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.colours = readColours();
    this.draw = once(() => this.#draw());
    this.#listen();
    this.#legend();
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
  }

  /** Called before each paint: draws when there is something to see. */
  frame() {
    const now = this.talk.now();
    const every = this.talk.phase === "idle" ? IDLE_FRAME_MS : this.calm.matches ? CALM_FRAME_MS : 0;
    if (!this.following || now - this.drawn < every || (this.talk.phase === "idle" && this.drawn > 0)) return;
    this.drawn = now;
    this.#draw();
  }

  /** What is seen. @returns {import("./timeline-paint.js").Scene} */
  scene() {
    const { width, height } = this.size;
    if (this.following && this.talk.phase !== "idle") this.end = this.talk.now();
    const perSecond = ZOOMS[this.zoom];
    const nowX = Math.round(width * (1 - AHEAD_SHARE));
    const timeAt = (x) => this.end + ((x - nowX) * 1000) / perSecond;
    const xAt = (time) => nowX + ((time - this.end) * perSecond) / 1000;
    const { timeline, turns } = this.talk;
    return { width, height, perSecond, nowX, timeAt, xAt, timeline, turns, cursor: this.cursor, live: this.following };
  }

  #draw() {
    if (!this.size) return;
    paint(this.context, this.scene(), this.colours);
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = window.devicePixelRatio || 1;
    this.size = { width, height };
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#draw();
  }

  #listen() {
    const { canvas } = this;
    const repaint = () => {
      this.colours = readColours();
      this.draw();
    };
    document.addEventListener("theme", repaint);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    byId("zoom-in").addEventListener("click", () => this.#zoom(1));
    byId("zoom-out").addEventListener("click", () => this.#zoom(-1));
    byId("follow").addEventListener("click", () => this.follow(!this.following));
    canvas.addEventListener("pointermove", (event) => this.#point(event));
    canvas.addEventListener("pointerleave", () => this.#look(null));
    canvas.addEventListener("pointerdown", (event) => {
      this.dragging = { x: event.clientX, end: this.end };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointerup", () => (this.dragging = null));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#look(null));
  }

  /** @param {boolean} following what happens now, or standing still */
  follow(following) {
    this.following = following;
    byId("follow").setAttribute("aria-pressed", String(following));
    byId("follow").textContent = following ? "Live" : "Paused";
    if (following) this.end = this.talk.now();
    this.draw();
  }

  #zoom(step) {
    this.zoom = Math.max(0, Math.min(ZOOMS.length - 1, this.zoom + step));
    byId("zoom-in").disabled = this.zoom === ZOOMS.length - 1;
    byId("zoom-out").disabled = this.zoom === 0;
    this.draw();
  }

  #scroll(ms) {
    this.follow(false);
    this.end = Math.max(0, Math.min(this.talk.now(), this.end + ms));
    this.draw();
  }

  #wheel(event) {
    if (event.ctrlKey) {
      event.preventDefault();
      this.#zoom(event.deltaY < 0 ? 1 : -1);
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
      event.preventDefault();
      this.#scroll(((event.deltaX || event.deltaY) * 1000) / ZOOMS[this.zoom]);
    }
  }

  #point({ clientX, offsetX }) {
    if (this.dragging && Math.abs(clientX - this.dragging.x) > 3) {
      const moved = ((this.dragging.x - clientX) * 1000) / ZOOMS[this.zoom];
      this.end = this.dragging.end;
      this.#scroll(moved);
    }
    this.#look(this.scene().timeAt(offsetX));
  }

  #key(event) {
    const step_ms = event.shiftKey ? 1000 : 100;
    const { end } = this;
    const at = this.cursor ?? end;
    const moves = { ArrowLeft: at - step_ms, ArrowRight: at + step_ms, Home: 0, End: end, PageUp: at - 5000, PageDown: at + 5000 };
    if (event.key in moves) this.#moveTo(Math.max(0, Math.min(this.talk.now(), moves[event.key])));
    else if (event.key === "+" || event.key === "=") this.#zoom(1);
    else if (event.key === "-") this.#zoom(-1);
    else if (event.key.toLowerCase() === "p") this.follow(!this.following);
    else return;
    event.preventDefault();
  }

  #moveTo(time) {
    if (this.following) this.follow(false);
    const { timeAt, nowX } = this.scene();
    if (time < timeAt(0)) this.end = time + (this.end - timeAt(0)) * 0.9;
    if (time > timeAt(nowX)) this.end = time;
    this.#look(time);
  }

  #look(time) {
    this.cursor = time;
    this.tooltip.hidden = true;
    if (time !== null) this.#tell(time);
    if (!this.following || this.talk.phase === "idle") this.draw();
  }

  #tell(time) {
    const { xAt, perSecond, width } = this.scene();
    const said = this.#words(time, 3000 / perSecond);
    this.canvas.setAttribute("aria-valuemax", String(Math.round(this.talk.now())));
    this.canvas.setAttribute("aria-valuenow", String(Math.round(time)));
    const at = `${(time / 1000).toFixed(1)} s`;
    this.canvas.setAttribute("aria-valuetext", `${at}: ${said.join("; ") || "silence"}`);
    if (!said.length) return;
    this.tooltip.replaceChildren(h("b", { text: at }), ...said.map((text) => h("div", { text })));
    this.tooltip.hidden = false;
    const x = xAt(time);
    const left = x > width - this.tooltip.offsetWidth - 24 ? x - this.tooltip.offsetWidth - 12 : x + 12;
    this.tooltip.style.left = `${Math.max(4, left)}px`;
  }

  #words(time, slack_ms) {
    const said = this.talk.timeline.describe(time, slack_ms);
    for (const turn of this.talk.turns.list) {
      const { speech_end: from } = turn.at;
      const found = parts(turn);
      if (from === undefined || !found.length || time < from || time > found.at(-1).to) continue;
      said.push(`wait of turn ${turn.number}: ${duration(latency(turn))}`);
      for (const part of found) if (time >= part.from && time < part.to) said.push(`${part.name}: ${part.ms} ms`);
    }
    return said;
  }

  #legend() {
    for (const [shape, colour, text] of LEGEND) {
      const mark = h("i", { class: shape });
      if (colour) mark.style.background = `var(${colour})`;
      byId("legend").append(h("li", {}, mark, text));
    }
  }
}
