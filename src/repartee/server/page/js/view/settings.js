/** The settings form: what is chosen goes to the session, what is in force comes back. */

import { EXAMPLE } from "../tools.js";
import { byId, h } from "./dom.js";

const SETTLE_MS = 350; // a slider that is dragged, or a sentence that is typed, is one change

export class SettingsView {
  /** @param {import("../talk.js").Talk} talk */
  constructor(talk) {
    this.talk = talk;
    this.form = byId("page-settings");
    this.timers = new Map();
    for (const legend of this.form.querySelectorAll("[data-group] > legend")) {
      legend.append(h("span", { class: "verdict", role: "status" }));
    }
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", ({ target }) => this.#changed(target));
    byId("tools-example").addEventListener("click", () => this.#insertExample());
    this.served = [];
    byId("set-model").addEventListener("input", ({ target }) => {
      talk.where.model = target.value.trim();
      this.#offerVoices();
    });
    byId("set-key").addEventListener("input", ({ target }) => (talk.where.key = target.value.trim()));
    talk.addEventListener("settings", () => this.show());
    this.show();
  }

  /** @param {{id: string, voices: string[]}[]} models that the server serves */
  offerModels(models) {
    this.served = models;
    byId("models").replaceChildren(...models.map(({ id }) => h("option", { value: id })));
    this.#offerVoices();
  }

  /** The voices of the model that is meant: the first, unless another is named. */
  #offerVoices() {
    const model = this.served.find(({ id }) => id === this.talk.where.model) ?? this.served[0];
    byId("voices").replaceChildren(...(model?.voices ?? []).map((value) => h("option", { value })));
  }

  /** Show what is in force. */
  show() {
    const { settings, verdicts } = this.talk.tuning;
    for (const field of this.form.querySelectorAll("[name]")) {
      if (!(field.name in settings) || this.timers.has(groupOf(field))) continue;
      if (field === document.activeElement && field.matches("textarea, [type=text]")) continue;
      put(field, settings[field.name]);
    }
    for (const [group, { state, message }] of verdicts) {
      const verdict = this.form.querySelector(`[data-group="${group}"] .verdict`);
      if (verdict.textContent !== message) verdict.textContent = message;
      verdict.dataset.state = state;
    }
    this.#reveal();
  }

  #changed(field) {
    if (field.name === "transport2") this.talk.choose({ transport: field.value });
    const group = groupOf(field);
    if (!group) return;
    const output = field.parentElement.querySelector("output");
    if (output) output.textContent = said(field);
    const wait_ms = field.matches("[type=range], [type=text], textarea") ? SETTLE_MS : 0;
    clearTimeout(this.timers.get(group));
    this.timers.set(
      group,
      setTimeout(() => {
        this.timers.delete(group);
        this.talk.tuning.change(group, this.#read(group));
      }, wait_ms),
    );
    this.#reveal();
  }

  #read(group) {
    const values = {};
    for (const field of this.form.querySelectorAll(`[data-group="${group}"] [name]`)) {
      if (field.type === "checkbox") values[field.name] = field.checked;
      else if (field.type === "radio") {
        if (field.checked) values[field.name] = field.value;
      } else if (field.type === "range" || field.dataset.number !== undefined) values[field.name] = Number(field.value);
      else values[field.name] = field.value;
    }
    return values;
  }

  /** Show only the fields that have a meaning now. */
  #reveal() {
    const detection = this.form.querySelector("[name=detection]:checked")?.value ?? "";
    for (const part of this.form.querySelectorAll("[data-when]")) {
      part.hidden = !part.dataset.when.split(" ").includes(detection);
    }
    for (const part of this.form.querySelectorAll("[data-if]")) {
      part.hidden = !this.form.querySelector(`[name=${part.dataset.if}]`).checked;
    }
    for (const radio of document.querySelectorAll("[name=transport], [name=transport2]")) {
      radio.checked = radio.value === this.talk.where.transport;
    }
  }

  #insertExample() {
    const field = this.form.querySelector("[name=tools]");
    field.value = EXAMPLE;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

function groupOf(field) {
  return field.closest("[data-group]")?.dataset.group;
}

function put(field, value) {
  if (field.type === "checkbox") field.checked = Boolean(value);
  else if (field.type === "radio") field.checked = field.value === value;
  else {
    const text = String(value ?? "");
    if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === text)) {
      field.append(h("option", { value: text, text: `${Number(text) / 1000} s` }));
    }
    if (field.value !== text) field.value = text;
  }
  const output = field.parentElement.querySelector("output");
  if (output) output.textContent = said(field);
}

function said({ name, value, dataset }) {
  if (dataset.unit) return `${value} ${dataset.unit}`;
  return name === "speed" ? `${Number(value).toFixed(2)}×` : Number(value).toFixed(2);
}
