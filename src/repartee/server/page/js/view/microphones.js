/** Which microphone: a list of those that the browser tells of, once it may. */

import { byId, h } from "./dom.js";

export class MicrophoneChoice {
  /** @param {import("../talk.js").Talk} talk */
  constructor(talk) {
    this.talk = talk;
    this.select = byId("set-microphone");
    this.select.addEventListener("change", () => talk.useMicrophone(this.select.value));
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.list());
    talk.addEventListener("state", () => this.list()); // names are only told once a microphone was given
    this.list();
  }

  /** Ask the browser what there is. */
  async list() {
    const devices = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
    const found = devices.filter(({ kind, deviceId }) => kind === "audioinput" && deviceId && deviceId !== "default");
    const options = found.map(({ deviceId, label }, at) => ({ value: deviceId, text: label || `Microphone ${at + 1}` }));
    const chosen = this.talk.device;
    if (chosen && !options.some(({ value }) => value === chosen)) {
      options.push({ value: chosen, text: "The one that was chosen (gone)" });
    }
    const all = [{ value: "", text: "The browser's own" }, ...options];
    const told = JSON.stringify(all);
    if (told !== this.told) this.select.replaceChildren(...all.map((each) => h("option", each)));
    this.told = told;
    this.select.value = chosen;
    byId("microphone-hint").hidden = found.some(({ label }) => label);
  }
}
