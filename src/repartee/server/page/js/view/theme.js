/** Light, dark, or as the system: a button that goes round. */

import { byId } from "./dom.js";

const NAMES = { system: "as the system", light: "light", dark: "dark" };
const ICONS = {
  system: "M10 3a7 7 0 1 0 0 14zm0-2a9 9 0 1 1 0 18 9 9 0 0 1 0-18z",
  light: [
    "M10 5.500a4.500 4.500 0 1 1 0 9 4.500 4.500 0 0 1 0-9zM9.200 1h1.600v3H9.200zm0 15h1.600v3H9.200zM1 9.200h3v1.600H1z",
    "m15 0h3v1.600h-3zM3 4.200 4.200 3l2 2.100L5.100 6.200zm10.800 10.700 1.100-1.100 2.100 2.100-1.200 1.200z",
    "M3 15.900l2.100-2.100 1.100 1.100-2 2.100zM13.800 5.100 15.800 3 17 4.200l-2.100 2z",
  ].join(""),
  dark: "M8 1.600A8.500 8.500 0 1 0 18.400 12 7 7 0 0 1 8 1.600z",
};

export class ThemeButton {
  constructor() {
    this.button = byId("theme");
    this.button.addEventListener("click", () => this.#next());
    this.#show();
  }

  #next() {
    const order = Object.keys(NAMES);
    const { dataset } = document.documentElement;
    dataset.theme = order[(order.indexOf(dataset.theme) + 1) % order.length];
    try {
      localStorage.setItem("repartee.theme", dataset.theme);
    } catch {
      // A browser that keeps nothing: then it holds until the page is closed.
    }
    this.#show();
    document.dispatchEvent(new Event("theme"));
  }

  #show() {
    const theme = document.documentElement.dataset.theme in NAMES ? document.documentElement.dataset.theme : "system";
    const label = `Theme: ${NAMES[theme]}`;
    this.button.setAttribute("aria-label", label);
    this.button.title = label;
    this.button.querySelector("path").setAttribute("d", ICONS[theme]);
  }
}
