/** The panel and its tabs, as the ARIA pattern for tabs has it. */

import { byId } from "./dom.js";

const PAGES = ["settings", "turns", "events"];

export class Panel {
  /** @param {() => void} onShow a page came to sight */
  constructor(onShow) {
    this.onShow = onShow;
    this.toggle = byId("panel-toggle");
    this.toggle.addEventListener("click", () => this.set(byId("panel").hidden, true));
    byId("panel-close").addEventListener("click", () => this.set(false, true));
    byId("panel").addEventListener("keydown", (event) => this.#key(event));
    for (const page of PAGES) byId(`tab-${page}`).addEventListener("click", () => this.show(page));
    if (window.matchMedia("(min-width: 1200px)").matches) this.set(true, false);
  }

  /** @param {boolean} open @param {boolean} focus whether the focus goes along */
  set(open, focus) {
    byId("panel").hidden = !open;
    this.toggle.setAttribute("aria-expanded", String(open));
    const covers = open && window.matchMedia("(max-width: 900px)").matches;
    for (const covered of document.querySelectorAll("main, .timeline, .bar")) covered.inert = covers;
    if (focus && open) byId("panel").querySelector("[aria-selected=true]").focus();
    else if (focus) this.toggle.focus();
    this.onShow();
  }

  /** @param {string} page */
  show(page) {
    for (const each of PAGES) {
      const tab = byId(`tab-${each}`);
      tab.setAttribute("aria-selected", String(each === page));
      tab.tabIndex = each === page ? 0 : -1;
      byId(`page-${each}`).hidden = each !== page;
    }
    this.onShow();
  }

  #key(event) {
    if (event.key === "Escape") {
      event.stopPropagation();
      this.set(false, true);
      return;
    }
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || event.target.role !== "tab") return;
    const at = PAGES.findIndex((page) => byId(`tab-${page}`) === event.target);
    const next = PAGES[(at + step + PAGES.length) % PAGES.length];
    this.show(next);
    byId(`tab-${next}`).focus();
  }
}
