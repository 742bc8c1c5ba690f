/** The turns as a table: the timeline's numbers for those who don't see it, or want them exactly. */

import { ending, latency, median, parts } from "../model/turns.js";
import { byId, duration, h } from "./dom.js";

export class TurnsView {
  /** @param {import("../talk.js").Talk} talk */
  constructor(talk) {
    this.talk = talk;
    this.rows = byId("turn-rows");
  }

  update() {
    const { turns, conversation } = this.talk;
    if (turns.version === this.version && conversation.version === this.said) return;
    const numbers = turns.version !== this.version;
    this.version = turns.version;
    this.said = conversation.version;
    const middle = median(turns.list);
    byId("median").textContent = middle === null ? "" : `median wait ${duration(middle)}`;
    byId("turns-empty").hidden = turns.list.length > 0;
    if (byId("page-turns").hidden && !numbers) return;
    this.rows.replaceChildren(...turns.list.toReversed().map((turn) => this.#row(turn)));
  }

  #row(turn) {
    const said = this.talk.conversation.byId.get(turn.item)?.text ?? (turn.typed ? "typed" : "");
    const ms = latency(turn);
    const list = h("div", { class: "part-list" });
    for (const part of parts(turn)) {
      list.append(
        h("i", { class: `part-${part.stage}`, "aria-hidden": "true" }),
        h("span", { text: part.name, title: part.title }),
        h("b", { text: String(part.ms) }),
      );
    }
    return h(
      "tr",
      {},
      h("td", {}, String(turn.number), h("span", { class: "said-there", text: said, title: said })),
      h(
        "td",
        {},
        h("span", { class: "total", text: ms === null ? "–" : String(ms) }),
        turn.interrupted ? " interrupted" : "",
        h("span", { class: "said-there", text: ending(turn), title: ending(turn) }),
      ),
      h("td", {}, list),
    );
  }
}
