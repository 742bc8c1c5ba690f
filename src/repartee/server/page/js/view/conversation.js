/** What was said, as it is said: heard words in full ink, others set apart. */

import { ending, latency, parts } from "../model/turns.js";
import { byId, duration, h, once } from "./dom.js";

const WHO = { user: "You", agent: "Agent", tool: "Tool" };
const NEAR_END_PX = 80;
const RECENT = 20; // entries that may still change with each word that is heard

export class ConversationView {
  /** @param {import("../talk.js").Talk} talk */
  constructor(talk) {
    this.talk = talk;
    this.list = byId("said");
    this.scroller = byId("scroller");
    this.newest = byId("newest");
    /** @type {Map<string, HTMLElement>} */
    this.shown = new Map();
    this.announced = new Set();
    this.following = true;
    this.draw = once(() => this.#draw());
    this.scroller.addEventListener("scroll", () => this.#scrolled());
    this.newest.addEventListener("click", () => this.#toEnd());
  }

  /** Draw if something changed. */
  update() {
    const { conversation, turns, phase, tuning, microphone } = this.talk;
    const version = `${conversation.version}/${turns.version}/${phase}/${tuning.settings.detection}/${Boolean(microphone)}`;
    if (version === this.version) return;
    this.version = version;
    this.draw();
  }

  #draw() {
    const { entries } = this.talk.conversation;
    const { turns } = this.talk;
    // What was said long ago changes only when something is added, removed or measured.
    const all = entries.length !== this.count || turns.version !== this.measured;
    this.count = entries.length;
    this.measured = turns.version;
    const ids = new Set(entries.map(({ id }) => id));
    const recent = all ? entries : entries.slice(-RECENT);
    let before = this.shown.get(entries.at(-recent.length - 1)?.id) ?? null;
    for (const entry of recent) {
      const element = this.shown.get(entry.id) ?? this.#make(entry);
      const place = before ? before.nextSibling : this.list.firstChild;
      if (element !== place) this.list.insertBefore(element, place);
      before = element;
      this.#fill(element, entry);
      this.#announce(entry);
    }
    for (const [id, element] of this.shown) {
      if (ids.has(id)) continue;
      element.remove();
      this.shown.delete(id);
    }
    byId("welcome").hidden = entries.length > 0 || this.talk.phase !== "idle" || Boolean(this.talk.trouble);
    this.#prompt(entries.length === 0);
    byId("ink-key").hidden = !entries.some((entry) => entry.heard);
    if (this.following) this.#toEnd();
  }

  /** What to do, while nothing was said. */
  #prompt(empty) {
    const { phase, microphone, tuning } = this.talk;
    const prompt = byId("prompt");
    prompt.hidden = !empty || phase === "idle";
    if (prompt.hidden) return;
    if (phase !== "live") prompt.textContent = phase === "connecting" ? "Connecting…" : "";
    else if (!microphone) prompt.textContent = "Type below.";
    else if (tuning.settings.detection === "none") prompt.textContent = "Hold the space bar, and speak.";
    else prompt.textContent = "Listening. Go ahead.";
  }

  #make(entry) {
    const element =
      entry.kind === "note"
        ? h("li", { class: "note" })
        : h("li", { class: "entry", "data-kind": entry.kind }, h("span", { class: "who", text: WHO[entry.kind] }));
    if (entry.kind === "tool") element.append(toolCall());
    else if (entry.kind !== "note") element.append(h("p", { class: "words" }), h("p", { class: "foot" }));
    this.shown.set(entry.id, element);
    return element;
  }

  #fill(element, entry) {
    if (entry.kind === "note") {
      if (element.textContent !== entry.text) element.textContent = entry.text;
    } else if (entry.kind === "tool") fillTool(element, entry);
    else {
      replaceIfNew(element.querySelector(".words"), wordsOf(entry));
      replaceIfNew(element.querySelector(".foot"), this.#footOf(entry));
    }
  }

  /** @returns {[string, string][]} class and text */
  #footOf(entry) {
    if (entry.kind !== "agent") return [];
    const foot = [];
    const turn = this.talk.turns.byResponse.get(entry.response);
    const ms = turn ? latency(turn) : null;
    const first = turn && this.talk.conversation.entries.find((each) => turn.responses.has(each.response));
    if (ms !== null && (first === entry || first?.kind === "tool")) foot.push(["wait", turn], ["", duration(ms)]);
    if (entry.state === "cut") foot.push(["stopped", "Interrupted"]);
    if (entry.heard?.estimated && entry.state === "cut") foot.push(["", "what was heard is estimated"]);
    return foot;
  }

  /** A screen reader hears each thing once, when it is settled; not each word as it comes. */
  #announce(entry) {
    const settled = entry.state !== "live" && entry.text.trim() && (entry.kind !== "user" || entry.transcribed || entry.typed);
    if (!settled || this.announced.has(entry.id)) return;
    this.announced.add(entry.id);
    const who = WHO[entry.kind] ? `${WHO[entry.kind]}: ` : "";
    byId("announcer").append(h("p", { text: who + entry.text }));
    while (byId("announcer").childElementCount > 5) byId("announcer").firstChild.remove();
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.following = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    this.newest.hidden = this.following;
  }

  #toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.following = true;
    this.newest.hidden = true;
  }
}

/** @returns {[string, string][]} class and text of each piece */
function wordsOf(entry) {
  if (entry.heard) {
    const { heard, rest } = entry.heard.split();
    const pieces = [["heard", heard]];
    if (rest) pieces.push([entry.heard.cut ? "cut" : "unheard", rest]);
    return pieces;
  }
  if (entry.text || entry.interim) {
    return [
      ["heard", entry.text],
      ["interim", entry.interim],
    ];
  }
  if (entry.state === "live") return [["dots", ""]];
  if (entry.state === "failed") return [["none", "(it could not be transcribed)"]];
  return [["none", entry.transcribed ? "(no words)" : entry.kind === "user" ? "(spoken)" : ""]];
}

/** Put pieces into an element, if they are not the ones that are there. */
function replaceIfNew(element, pieces) {
  const signature = JSON.stringify(pieces, (_, value) => (value instanceof Set ? value.size : value));
  if (element.signature === signature) return;
  element.signature = signature;
  element.replaceChildren(...pieces.filter(([kind, text]) => kind === "dots" || text).map(piece));
}

function piece([kind, content]) {
  if (kind === "dots") return h("span", { class: "dots", role: "img", "aria-label": "…" }, h("i"), h("i"), h("i"));
  if (kind === "wait") return waitBar(content);
  if (kind === "cut") {
    return h("s", { class: "cut" }, h("span", { class: "sr", text: " (never heard:) " }), content);
  }
  return h("span", { class: kind, text: content });
}

/** The parts of a wait as one small bar. @param {import("../model/turns.js").Turn} turn */
export function waitBar(turn) {
  const found = parts(turn);
  const total = found.reduce((sum, { ms }) => sum + ms, 0);
  const label = [...found.map(({ name, ms }) => `${name} ${ms} ms`), ending(turn)].filter(Boolean).join(", ");
  const bar = h("span", { class: "wait", role: "img", title: label, "aria-label": label });
  for (const { stage, ms } of found) {
    const part = h("i", { class: `part-${stage}` });
    part.style.width = `${Math.max(2, (ms / Math.max(total, 1)) * Math.min(160, 24 + total / 12))}px`;
    bar.append(part);
  }
  return bar;
}

function toolCall() {
  return h(
    "details",
    { class: "tool-call" },
    h("summary", {}, h("code", { class: "name" }), h("span", { class: "state" })),
    h("pre"),
  );
}

function fillTool(element, { call, state }) {
  const words = { live: "running", done: "done", failed: "failed", cut: "cut" };
  element.querySelector(".name").textContent = `${call.name}(${call.arguments === "{}" ? "" : call.arguments})`;
  element.querySelector(".state").textContent = (call.server ? "on the server, " : "") + words[state];
  element.querySelector("pre").textContent = call.output ?? "no result yet";
}
